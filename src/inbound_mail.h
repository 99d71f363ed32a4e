/*
 * inbound_mail.h
 *	  Read the structure of a mail that may hold anything.
 */
#ifndef MA_INBOUND_MAIL_H
#define MA_INBOUND_MAIL_H

/* A stretch of the raw mail. */
typedef struct MaSpan
{
	const char *data;
	Size		len;
} MaSpan;

/* One part of a mail that is not itself made of parts. */
typedef struct MaMailPart
{
	MaSpan head;
	MaSpan body;	 /* as sent, still encoded */
	char   type[64]; /* text/plain, in lower case */
	char   encoding; /* 'q'uoted-printable, 'b'ase64, 0: as it is */
} MaMailPart;

/* A mail. */
typedef struct MaMailTree
{
	MaSpan		head;
	MaSpan		body;
	char		type[64]; /* of the whole */
	MaMailPart *parts;
	int			nparts;
} MaMailTree;

extern void	  ma_inbound_read(MaSpan raw, MaMailTree *tree);
extern MaSpan ma_inbound_head(MaSpan raw);
extern char	 *ma_inbound_header(MaSpan head, const char *name);
extern char	 *ma_inbound_parameter(const char *header, const char *name);
extern char	 *ma_inbound_words(const char *header);
extern char	 *ma_inbound_decode(const MaMailPart *part, Size max);
extern const MaMailPart *ma_inbound_part(const MaMailTree *tree,
										 const char		  *type);

#endif /* MA_INBOUND_MAIL_H */
