/*
 * secret.h
 *	  Files with secrets.
 */
#ifndef MA_SECRET_H
#define MA_SECRET_H

/* More bytes are no secret; the transport holds the same. */
#define MA_SECRET_MAX 4096

/* What is in the file. */
typedef enum MaSecretKind
{
	MA_SECRET_KEY,	/* any bytes */
	MA_SECRET_LINE, /* one line: goes into a header */
	MA_SECRET_URL	/* of http or https */
} MaSecretKind;

extern char		  *ma_secret_path(const char *file);
extern const char *ma_secret_read(const char *path, char *secret, int *length);
extern char		  *ma_secret_refusal(const char *file, MaSecretKind kind);

#endif /* MA_SECRET_H */
