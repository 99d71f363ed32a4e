/*
 * token.c
 *	  What stands in the links of messages: which message, signed.
 *
 * A token is 17 bytes that say what it is for and which message it stood in,
 * and the first 16 bytes of their HMAC-SHA256 (RFC 2104, truncated as its
 * section 5 allows), written in base64url (RFC 4648): 44 characters. The key
 * is a file that only the server reads; with another key all links die.
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base64.h"
#include "common/hmac.h"
#include "common/sha2.h"
#include "port/pg_bswap.h"
#include "storage/fd.h"
#include "utils/memutils.h"

#include "guc.h"
#include "token.h"

#define BODY_BYTES		17
#define SIGNATURE_BYTES 16
#define TOKEN_BYTES		(BODY_BYTES + SIGNATURE_BYTES)
#define TOKEN_LENGTH	(TOKEN_BYTES / 3 * 4)

/* The key: fewer bytes can be guessed, more say nothing more. */
#define KEY_MIN 16
#define KEY_MAX 1024

StaticAssertDecl(TOKEN_BYTES % 3 == 0, "tokens need no padding");

/* The key file as it was last read. */
static struct
{
	char  *path; /* NULL: never */
	time_t changed;
	off_t  size;
	int	   length;
	uint8  key[KEY_MAX];
} cached;

/* Where the key is; a setting that is missing is an error. */
static char *
key_path(void)
{
	if (ma_guc_secrets_directory[0] == '\0' ||
		ma_guc_token_key_file[0] == '\0')
		ereport(
			ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("setting %s is empty", ma_guc_token_key_file[0] == '\0' ?
											   "mautomate.token_key_file" :
											   "mautomate.secrets_directory"),
			 errhint("Put the directory of the files with secrets into "
					 "postgresql.conf.")));
	if (strchr(ma_guc_token_key_file, '/') != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("setting mautomate.token_key_file must be a bare "
						"file name")));
	return psprintf("%s/%s", ma_guc_secrets_directory, ma_guc_token_key_file);
}

/* Raises that the key cannot be used. */
static void
refuse_key(const char *path, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("cannot use the key file \"%s\"", path),
			 errdetail("%s", detail),
			 errhint("Make one, readable by the server only: openssl rand "
					 "-hex 32")));
}

/* Reads the key unless the file is still the one that was read last. */
static void
load_key(void)
{
	char	   *path = key_path();
	struct stat st;
	int			fd;
	int			length;

	if (stat(path, &st) != 0)
		refuse_key(path, strerror(errno));
	if (cached.path != NULL && strcmp(cached.path, path) == 0 &&
		cached.changed == st.st_mtime && cached.size == st.st_size)
		return;
	fd = OpenTransientFile(path, O_RDONLY | PG_BINARY);
	if (fd < 0)
		refuse_key(path, strerror(errno));
	length = read(fd, cached.key, KEY_MAX);
	CloseTransientFile(fd);
	while (length > 0 &&
		   (cached.key[length - 1] == '\n' || cached.key[length - 1] == '\r'))
		length--;
	if (length < KEY_MIN)
		refuse_key(path,
				   psprintf("A key has at least %d characters.", KEY_MIN));
	if (cached.path != NULL)
		pfree(cached.path);
	cached.path = MemoryContextStrdup(TopMemoryContext, path);
	cached.changed = st.st_mtime;
	cached.size = st.st_size;
	cached.length = length;
}

/* Is there a key? An error if not. */
void
ma_token_check_key(void)
{
	load_key();
}

/* Signs a body. */
static void
sign(const uint8 *body, uint8 *signature)
{
	pg_hmac_ctx *hmac = pg_hmac_create(PG_SHA256);
	uint8		 digest[PG_SHA256_DIGEST_LENGTH];

	load_key();
	if (hmac == NULL || pg_hmac_init(hmac, cached.key, cached.length) < 0 ||
		pg_hmac_update(hmac, body, BODY_BYTES) < 0 ||
		pg_hmac_final(hmac, digest, sizeof(digest)) < 0)
		elog(ERROR, "could not sign a token");
	pg_hmac_free(hmac);
	memcpy(signature, digest, SIGNATURE_BYTES);
}

/* Swaps the two characters in which base64 and base64url differ. */
static void
swap(char *text, const char *from, const char *to)
{
	for (char *p = text; *p != '\0'; p++)
		if (*p == from[0] || *p == from[1])
			*p = *p == from[0] ? to[0] : to[1];
}

/* The token of a message. */
char *
ma_token_make(MaTokenPurpose purpose, int64 message_id,
			  TimestampTz enqueued_at)
{
	uint8  bytes[TOKEN_BYTES];
	char  *token = palloc(TOKEN_LENGTH + 1);
	uint64 id = pg_hton64(message_id);
	uint64 at = pg_hton64(enqueued_at);

	bytes[0] = purpose;
	memcpy(bytes + 1, &id, sizeof(id));
	memcpy(bytes + 9, &at, sizeof(at));
	sign(bytes, bytes + BODY_BYTES);
	if (pg_b64_encode((void *) bytes, TOKEN_BYTES, token, TOKEN_LENGTH) !=
		TOKEN_LENGTH)
		elog(ERROR, "could not write a token");
	token[TOKEN_LENGTH] = '\0';
	swap(token, "+/", "-_");
	return token;
}

/*
 * Reads a token; false if it was not made here, or for something else.
 */
bool
ma_token_read(const char *token, MaTokenPurpose purpose, int64 *message_id,
			  TimestampTz *enqueued_at)
{
	uint8  bytes[TOKEN_BYTES];
	uint8  signature[SIGNATURE_BYTES];
	uint8  difference = 0;
	char  *text;
	uint64 id;
	uint64 at;

	if (strlen(token) != TOKEN_LENGTH || strpbrk(token, "+/") != NULL)
		return false;
	text = pstrdup(token);
	swap(text, "-_", "+/");
	if (pg_b64_decode(text, TOKEN_LENGTH, (void *) bytes, TOKEN_BYTES) !=
		TOKEN_BYTES)
		return false;
	sign(bytes, signature);
	/* takes as long wherever the first difference is */
	for (int i = 0; i < SIGNATURE_BYTES; i++)
		difference |= signature[i] ^ bytes[BODY_BYTES + i];
	memcpy(&id, bytes + 1, sizeof(id));
	memcpy(&at, bytes + 9, sizeof(at));
	*message_id = pg_ntoh64(id);
	*enqueued_at = pg_ntoh64(at);
	return difference == 0 && bytes[0] == purpose;
}
