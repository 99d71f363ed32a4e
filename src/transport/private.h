/*
 * private.h
 *	  Addresses that a stranger's URL may not lead us to.
 */
#ifndef PRIVATE_H
#define PRIVATE_H

#include <stdbool.h>
#include <sys/socket.h>

extern bool private_address(const struct sockaddr *address);

#endif /* PRIVATE_H */
