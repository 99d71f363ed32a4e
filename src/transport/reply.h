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

/* How taking bytes of one went. */
typedef enum ReplyState
{
	REPLY_PART,	  /* it goes on */
	REPLY_WHOLE,  /* the bytes behind it are not taken */
	REPLY_ENDLESS /* it is too long to be one */
} ReplyState;

typedef struct Reply
{
	int	   code;				  /* 0 until complete */
	int	   lines;				  /* so far */
	size_t bytes;				  /* so far */
	size_t len;					  /* of text */
	char   text[MA_TEXT_MAX + 1]; /* without codes, printable ASCII */
	size_t line_len;			  /* of the line begun */
	char   line[MA_TEXT_MAX + 8]; /* what is kept of it */
} Reply;

extern void		  reply_reset(Reply *reply);
extern bool		  reply_is_begun(const Reply *reply);
extern bool		  reply_add(Reply *reply, const char *line, size_t len);
extern ReplyState reply_take(Reply *reply, const char *bytes, size_t len,
							 size_t *taken);

#endif /* REPLY_H */
