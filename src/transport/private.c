/*
 * private.c
 *	  Addresses that a stranger's URL may not lead us to.
 *
 * Everything that is not an ordinary public address: this machine, its
 * networks, its links, groups, what is reserved, and each of them in the
 * forms in which IPv6 carries an IPv4 address. Judged is the address that is
 * about to be connected to, so no spelling and no name server can hide one.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "private.h"

/* IANA's special-purpose registry, IPv4: first address and prefix length. */
static const struct
{
	uint32_t first;
	int		 bits;
} reserved_v4[] = {
	{0x00000000, 8},  /* this network */
	{0x0a000000, 8},  /* private */
	{0x64400000, 10}, /* a provider's */
	{0x7f000000, 8},  /* this machine */
	{0xa9fe0000, 16}, /* this link; cloud metadata */
	{0xac100000, 12}, /* private */
	{0xc0000000, 24}, /* protocols */
	{0xc0000200, 24}, /* documentation */
	{0xc0586300, 24}, /* 6to4 relays */
	{0xc0a80000, 16}, /* private */
	{0xc6120000, 15}, /* measurements */
	{0xc6336400, 24}, /* documentation */
	{0xcb007100, 24}, /* documentation */
	{0xe0000000, 3},  /* groups, reserved, broadcast */
};

/* Is that IPv4 address, in host order, reserved? */
static bool
is_private_v4(uint32_t address)
{
	for (size_t i = 0; i < sizeof(reserved_v4) / sizeof(reserved_v4[0]); i++)
		if ((address ^ reserved_v4[i].first) >> (32 - reserved_v4[i].bits) ==
			0)
			return true;
	return false;
}

/* The IPv4 address at that byte of an IPv6 one. */
static bool
holds_private_v4(const uint8_t *bytes, int at)
{
	uint32_t address;

	memcpy(&address, bytes + at, sizeof(address));
	return is_private_v4(ntohl(address));
}

/* Public are 2000::/3 but for some, and public IPv4 addresses inside IPv6. */
static bool
is_private_v6(const uint8_t *bytes)
{
	static const uint8_t mapped[12] = {0, 0, 0, 0, 0,	 0,
									   0, 0, 0, 0, 0xff, 0xff};
	static const uint8_t nat64[12] = {0, 0x64, 0xff, 0x9b};
	static const uint8_t documentation[4] = {0x20, 0x01, 0x0d, 0xb8};

	if (memcmp(bytes, mapped, 12) == 0 || memcmp(bytes, nat64, 12) == 0)
		return holds_private_v4(bytes, 12);
	if (bytes[0] == 0x20 && bytes[1] == 0x02) /* 6to4 */
		return holds_private_v4(bytes, 2);
	return (bytes[0] & 0xe0) != 0x20 ||
		   (bytes[0] == 0x20 && bytes[1] == 0x01 &&
			bytes[2] < 0x02) || /* protocols, as Teredo */
		   memcmp(bytes, documentation, 4) == 0 ||
		   (bytes[0] == 0x3f && bytes[1] == 0xff &&
			bytes[2] < 0x10); /* documentation */
}

/* May only those go there who were allowed to? Unknown families: only they. */
bool
private_address(const struct sockaddr *address)
{
	struct sockaddr_in	v4;
	struct sockaddr_in6 v6;

	switch (address->sa_family)
	{
		case AF_INET:
			memcpy(&v4, address, sizeof(v4));
			return is_private_v4(ntohl(v4.sin_addr.s_addr));
		case AF_INET6:
			memcpy(&v6, address, sizeof(v6));
			return is_private_v6(v6.sin6_addr.s6_addr);
		default:
			return true;
	}
}
