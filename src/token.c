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

#include <sys/stat.h>
#include <time.h>

#include "common/base64.h"
#include "common/hmac.h"
#include "common/sha2.h"
#include "port/pg_bswap.h"
#include "utils/memutils.h"

#include "guc.h"
#include "secret.h"
#include "token.h"

#define BODY_BYTES		17
#define SIGNATURE_BYTES 16
#define TOKEN_BYTES		(BODY_BYTES + SIGNATURE_BYTES)
#define TOKEN_LENGTH	(TOKEN_BYTES / 3 * 4)

/* A key of fewer bytes can be guessed. */
#define KEY_MIN 16

StaticAssertDecl(TOKEN_BYTES % 3 == 0, "tokens need no padding");

/* A file that changed less than so many seconds ago may change unseen. */
#define SETTLED_AFTER 2

/* The key file as it was last read. */
static struct
{
	char	   *path; /* NULL: never */
	struct stat st;
	bool		settled; /* a change since would show in st */
	int			length;
	char		key[MA_SECRET_MAX];
} cached;

/* What is wrong with the settings that say where the key is; NULL: nothing. */
static const char *
wrong_setting(void)
{
	if (ma_guc_secrets_directory[0] == '\0')
		return "setting mautomate.secrets_directory is empty";
	if (ma_guc_token_key_file[0] == '\0')
		return "setting mautomate.token_key_file is empty";
	if (strchr(ma_guc_token_key_file, '/') != NULL)
		return "setting mautomate.token_key_file must be a bare file name";
	return NULL;
}

/* Is the file still the one that was read last? */
static bool
is_cached(const char *path, const struct stat *st)
{
	const struct stat *old = &cached.st;

	return cached.path != NULL && strcmp(cached.path, path) == 0 &&
		   cached.settled && old->st_dev == st->st_dev &&
		   old->st_ino == st->st_ino && old->st_size == st->st_size &&
		   old->st_ctim.tv_sec == st->st_ctim.tv_sec &&
		   old->st_ctim.tv_nsec == st->st_ctim.tv_nsec;
}

/*
 * Reads the key unless the file is still the one that was read last; returns
 * why it cannot be used, NULL if it can. The clock of files ticks slowly: one
 * that has just changed is read again.
 */
static const char *
load_key(const char *path)
{
	struct stat		st;
	struct timespec now;
	const char	   *refusal;

	if (stat(path, &st) != 0)
		return strerror(errno);
	if (is_cached(path, &st))
		return NULL;
	clock_gettime(CLOCK_REALTIME, &now);
	refusal = ma_secret_read(path, cached.key, &cached.length);
	if (cached.path != NULL)
		pfree(cached.path);
	cached.path = NULL;
	if (refusal != NULL)
		return refusal;
	if (cached.length < KEY_MIN)
		return psprintf("A key has at least %d characters.", KEY_MIN);
	cached.path = MemoryContextStrdup(TopMemoryContext, path);
	cached.st = st;
	cached.settled = now.tv_sec - st.st_ctim.tv_sec > SETTLED_AFTER;
	return NULL;
}

/* Is there a key? An error if not. */
void
ma_token_check_key(void)
{
	const char *wrong = wrong_setting();
	const char *refusal;
	char	   *path;

	if (wrong != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIG_FILE_ERROR), errmsg("%s", wrong),
				 errhint("Put the directory of the files with secrets "
						 "into postgresql.conf.")));
	path = ma_secret_path(ma_guc_token_key_file);
	refusal = load_key(path);
	if (refusal != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIG_FILE_ERROR),
				 errmsg("cannot use the key file \"%s\"", path),
				 errdetail("%s", refusal),
				 errhint("Make one, readable by the server only: openssl rand "
						 "-hex 32")));
}

/* Why links cannot be signed, for a person; NULL if they can. */
char *
ma_token_refusal(void)
{
	const char *wrong = wrong_setting();
	const char *refusal;

	if (wrong != NULL)
		return pstrdup(wrong);
	refusal = load_key(ma_secret_path(ma_guc_token_key_file));
	return refusal == NULL ? NULL :
							 psprintf("cannot use the key file \"%s\": %s",
									  ma_guc_token_key_file, refusal);
}

/* Signs a body. */
static void
sign(const uint8 *body, uint8 *signature)
{
	pg_hmac_ctx *hmac = pg_hmac_create(PG_SHA256);
	uint8		 digest[PG_SHA256_DIGEST_LENGTH];

	ma_token_check_key();
	if (hmac == NULL ||
		pg_hmac_init(hmac, (uint8 *) cached.key, cached.length) < 0 ||
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
