/*
 * reply.h
 *	  A server's reply, collected line by line.
 */
#ifndef REPLY_H
#define REPLY_H

#include <stdbool.h>
#include <stddef.h>

#include "protocol.h"

/* A server that says more than this in one reply is not one. */
#define REPLY_LINES_MAX 200
#define REPLY_BYTES_MAX (64 * 1024)

typedef struct Reply
{
	int	   code;				  /* 0 until complete */
	int	   lines;				  /* so far */
	size_t bytes;				  /* so far */
	size_t len;					  /* of text */
	char   text[MA_TEXT_MAX + 1]; /* without codes, printable ASCII */
} Reply;

extern void reply_reset(Reply *reply);
extern bool reply_add(Reply *reply, const char *line, size_t len);

#endif /* REPLY_H */
