/*
 * secret.c
 *	  Files with secrets: passwords, tokens, keys, URLs.
 *
 * They are in mautomate.secrets_directory and never in a table. Most are read
 * by the transport program alone (transport/config.c), each time one is
 * needed; here it is found out beforehand whether it will be able to.
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/fd.h"

#include "guc.h"
#include "secret.h"

/* Where a file is; NULL for none. */
char *
ma_secret_path(const char *file)
{
	return file == NULL ? NULL :
						  psprintf("%s/%s", ma_guc_secrets_directory, file);
}

/*
 * Reads a file without the ends of its last line, at most MA_SECRET_MAX
 * bytes; returns why it cannot be used, NULL if it can.
 */
const char *
ma_secret_read(const char *path, char *secret, int *length)
{
	int fd =
		OpenTransientFile(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | PG_BINARY);
	struct stat st;
	const char *refusal = NULL;

	if (fd < 0)
		return strerror(errno);
	if (fstat(fd, &st) != 0)
		refusal = strerror(errno);
	else if (!S_ISREG(st.st_mode))
		refusal = "it is not a file";
	else if (st.st_size > MA_SECRET_MAX)
		refusal = "it is too large";
	else if ((*length = read(fd, secret, MA_SECRET_MAX)) < 0)
		refusal = strerror(errno);
	CloseTransientFile(fd);
	if (refusal != NULL)
		return refusal;
	while (*length > 0 &&
		   (secret[*length - 1] == '\n' || secret[*length - 1] == '\r'))
		(*length)--;
	return *length == 0 ? "it is empty" : NULL;
}

/* Is it the URL of a web server, as far as can be seen? */
static bool
is_url(const char *text)
{
	return strncmp(text, "http://", 7) == 0 ||
		   strncmp(text, "https://", 8) == 0;
}

/* Why a file cannot be used, for a person; NULL if it can or none is named. */
char *
ma_secret_refusal(const char *file, MaSecretKind kind)
{
	char		secret[MA_SECRET_MAX + 1];
	int			length = 0;
	const char *refusal;

	if (file == NULL)
		return NULL;
	if (ma_guc_secrets_directory[0] == '\0')
		return pstrdup("setting mautomate.secrets_directory is empty");
	refusal = ma_secret_read(ma_secret_path(file), secret, &length);
	secret[refusal == NULL ? length : 0] = '\0';
	if (refusal == NULL && kind != MA_SECRET_KEY &&
		(strlen(secret) != length || strpbrk(secret, "\r\n") != NULL))
		refusal = "it is not one line";
	if (refusal == NULL && kind == MA_SECRET_URL && !is_url(secret))
		refusal = "it holds no http or https URL";
	explicit_bzero(secret, sizeof(secret));
	return refusal == NULL ?
			   NULL :
			   psprintf("cannot use the file \"%s\": %s", file, refusal);
}
