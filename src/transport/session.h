/*
 * session.h
 *	  A connection to a relay: libcurl makes it, others speak over it.
 */
#ifndef SESSION_H
#define SESSION_H

#include <stdbool.h>
#include <stddef.h>

#include "config.h"
#include "handle.h"
#include "reply.h"
#include "result.h"

/* So much is asked for at once: one record of TLS. */
#define SESSION_BYTES 16384

/* How reading or writing went. */
typedef enum SessionIo
{
	SESSION_DONE, /* something was read or written */
	SESSION_WAIT, /* nothing can be now */
	SESSION_LOST  /* there is no connection any more */
} SessionIo;

/* What the server has offered in answer to EHLO. */
typedef struct Offer
{
	bool pipelining;
	bool size;
	bool utf8;
} Offer;

typedef struct Session
{
	const Config *config;
	Handle		  handle;
	bool		  is_open; /* made, and not closed by us */
	int			  socket;  /* of the connection, if open */
	Offer		  offer;   /* the last one: after TLS has begun */
	Reply		  reply;   /* to the last command of the greeting */
	bool		  greets;  /* a command was written or a line read */
	bool		  in_ehlo; /* the reply is one to EHLO */
} Session;

extern void session_init(Session *session, const Config *config);
extern bool session_open(Session *session, const Relay *relay, Result *result);
extern SessionIo   session_send(Session *session, const char *data, size_t len,
								size_t *sent);
extern SessionIo   session_receive(Session *session, char data[SESSION_BYTES],
								   size_t *len);
extern const char *session_reason(Session *session);
extern void		   session_quit(Session *session);
extern void		   session_close(Session *session);

#endif /* SESSION_H */
