/*
 * sha256.h
 *	  HMAC with SHA-256.
 */
#ifndef SHA256_H
#define SHA256_H

#include <stddef.h>
#include <stdint.h>

#define SHA256_BYTES 32

/* A digest in the making. */
typedef struct Sha256
{
	uint32_t state[8];
	uint64_t len; /* bytes so far */
	uint8_t	 block[64];
} Sha256;

extern void hmac_begin(Sha256 *hash, const char *key, size_t key_len);
extern void sha256_add(Sha256 *hash, const void *data, size_t len);
extern void hmac_end(Sha256 *hash, const char *key, size_t key_len,
					 uint8_t digest[SHA256_BYTES]);

#endif /* SHA256_H */
