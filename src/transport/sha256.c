/*
 * sha256.c
 *	  SHA-256 (FIPS 180-4) and its HMAC (RFC 2104), for signatures.
 *
 * libcurl has both and gives neither away; a library more for a hundred lines
 * is not worth it.
 */
#include <string.h>

#include "sha256.h"

/* The first 32 bits of the fractions of the cube roots of the first primes. */
static const uint32_t round_constants[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1,
	0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3,
	0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
	0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
	0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
	0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
	0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
	0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
	0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

/* Turns the bits round to the right. */
static uint32_t
turn(uint32_t x, int bits)
{
	return x >> bits | x << (32 - bits);
}

/* The words of a block, and those that follow from them. */
static void
schedule(const uint8_t *block, uint32_t words[64])
{
	for (int i = 0; i < 16; i++)
		words[i] = (uint32_t) block[4 * i] << 24 |
				   (uint32_t) block[4 * i + 1] << 16 |
				   (uint32_t) block[4 * i + 2] << 8 | block[4 * i + 3];
	for (int i = 16; i < 64; i++)
	{
		uint32_t a = words[i - 15];
		uint32_t b = words[i - 2];

		words[i] = words[i - 16] + words[i - 7] +
				   (turn(a, 7) ^ turn(a, 18) ^ a >> 3) +
				   (turn(b, 17) ^ turn(b, 19) ^ b >> 10);
	}
}

/* Works one block in. */
static void
add_block(Sha256 *hash, const uint8_t *block)
{
	uint32_t words[64];
	uint32_t v[8]; /* a to h of the standard */

	schedule(block, words);
	memcpy(v, hash->state, sizeof(v));
	for (int i = 0; i < 64; i++)
	{
		uint32_t one =
			v[7] + (turn(v[4], 6) ^ turn(v[4], 11) ^ turn(v[4], 25)) +
			((v[4] & v[5]) ^ (~v[4] & v[6])) + round_constants[i] + words[i];
		uint32_t two = (turn(v[0], 2) ^ turn(v[0], 13) ^ turn(v[0], 22)) +
					   ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));

		memmove(v + 1, v, 7 * sizeof(v[0]));
		v[4] += one;
		v[0] = one + two;
	}
	for (int i = 0; i < 8; i++)
		hash->state[i] += v[i];
}

/* Begins a digest. */
static void
sha256_begin(Sha256 *hash)
{
	static const uint32_t start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372,
									  0xa54ff53a, 0x510e527f, 0x9b05688c,
									  0x1f83d9ab, 0x5be0cd19};

	memcpy(hash->state, start, sizeof(start));
	hash->len = 0;
}

/* Takes bytes in. */
void
sha256_add(Sha256 *hash, const void *data, size_t len)
{
	const uint8_t *bytes = data;

	while (len > 0)
	{
		size_t used = hash->len % 64;
		size_t n = 64 - used < len ? 64 - used : len;

		memcpy(hash->block + used, bytes, n);
		hash->len += n;
		bytes += n;
		len -= n;
		if (hash->len % 64 == 0)
			add_block(hash, hash->block);
	}
}

/* Ends it. */
static void
sha256_end(Sha256 *hash, uint8_t digest[SHA256_BYTES])
{
	static const uint8_t padding[64] = {0x80};
	uint64_t			 bits = hash->len * 8;
	uint8_t				 length[8];

	for (int i = 0; i < 8; i++)
		length[i] = (uint8_t) (bits >> (56 - 8 * i));
	sha256_add(hash, padding, 1 + (119 - hash->len % 64) % 64);
	sha256_add(hash, length, sizeof(length));
	for (int i = 0; i < SHA256_BYTES; i++)
		digest[i] = (uint8_t) (hash->state[i / 4] >> (24 - 8 * (i % 4)));
}

/* Begins one of the two digests of an HMAC, with the key and a byte mixed. */
static void
begin_with_key(Sha256 *hash, const char *key, size_t key_len, uint8_t with)
{
	uint8_t pad[64] = {0};

	if (key_len > sizeof(pad))
	{
		sha256_begin(hash);
		sha256_add(hash, key, key_len);
		sha256_end(hash, pad);
	}
	else
		memcpy(pad, key, key_len);
	for (size_t i = 0; i < sizeof(pad); i++)
		pad[i] ^= with;
	sha256_begin(hash);
	sha256_add(hash, pad, sizeof(pad));
	explicit_bzero(pad, sizeof(pad));
}

/* Begins an HMAC; sha256_add() takes the message in. */
void
hmac_begin(Sha256 *hash, const char *key, size_t key_len)
{
	begin_with_key(hash, key, key_len, 0x36);
}

/* Ends it; the key is the same. */
void
hmac_end(Sha256 *hash, const char *key, size_t key_len,
		 uint8_t digest[SHA256_BYTES])
{
	uint8_t inner[SHA256_BYTES];

	sha256_end(hash, inner);
	begin_with_key(hash, key, key_len, 0x5c);
	sha256_add(hash, inner, sizeof(inner));
	sha256_end(hash, digest);
}
