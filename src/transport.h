/*
 * transport.h
 *	  The pipe to the program mautomate-transport. Knows nothing of tables.
 *
 * One MaTransport is one child process with its connections to one mail relay
 * or, of kind "http", to any web servers:
 *
 *		t = ma_transport_start(&config);
 *		while (ma_transport_room(t) > 0)
 *			ma_transport_send(t, &mail);
 *		ma_transport_wait(&t, 1, timeout_ms);	-- also ends at our latch
 *		while (ma_transport_poll(t, &result))
 *			... note the result, keep the id ...
 *		... commit, then for each id:
 *		ma_transport_ack(t, id);
 *
 * Every message given to ma_transport_send() gets exactly one result, also
 * when the child dies: those that may have reached the server are then
 * IN_DOUBT, the others NOT_REACHED. Nothing here waits for the network or
 * throws because of it; only starting does, if the program is not there.
 *
 * The child and all memory belong to a memory context below the one current
 * at start: deleting that one ends the child at once. So does the end of this
 * process.
 */
#ifndef MA_TRANSPORT_H
#define MA_TRANSPORT_H

#include "transport/protocol.h"

typedef struct MaTransport MaTransport;

/*
 * A relay and how to talk to it. Texts may be NULL, times 0: the default. Kind
 * "http" makes no use of host, port, tls, user, auth, password_file, helo and
 * final_ms.
 */
typedef struct MaTransportConfig
{
	const char *kind; /* "smtp" (default), "http" */
	const char *host; /* name or address of the relay */
	int			port;
	const char *tls;		   /* "starttls" (default, required), "smtps",
								 * "none" */
	bool		insecure;	   /* do not verify the certificate */
	const char *ca_file;	   /* trust this instead of the system's */
	const char *user;		   /* log in as; NULL: do not log in */
	const char *auth;		   /* "plain", "login", "xoauth2"; NULL: the best
								 * that the server offers */
	const char *password_file; /* full path; read at each connection */
	const char *helo;		   /* our name; NULL: the host's */
	int			connections;   /* at most so many at once; 0: 4 */
	int			connect_ms;	   /* to connect; 15 s */
	int			reply_ms;	   /* for one reply; 60 s */
	int			final_ms;	   /* for the reply to the end of data; 300 s */
	int			total_ms;	   /* for a message up to there; 600 s */
	int			idle_ms;	   /* close a connection unused for; 20 s */
	bool		allow_private; /* http: also to private addresses */
} MaTransportConfig;

/* One message to one recipient. Everything is copied. */
typedef struct MaMail
{
	int64		id;		   /* unique among those not acknowledged */
	const char *sender;	   /* envelope; "" is the null path */
	const char *recipient; /* envelope */
	const char *body;	   /* headers and body, lines end in CRLF */
	size_t		body_len;
} MaMail;

/* One HTTP request. Everything is copied. */
typedef struct MaRequest
{
	int64		id; /* as in MaMail */
	const char *method;
	const char *url;	 /* http or https */
	const char *headers; /* lines "Name: value" with LF between them */
	const char *body;
	size_t		body_len;
} MaRequest;

/* How it went. */
typedef struct MaTransportResult
{
	int64		id;
	MaOutcome	outcome;
	int			code; /* the server's reply code; 0: none */
	const char *text; /* reply or reason, printable ASCII; valid
								 * until the next poll or stop */
} MaTransportResult;

extern MaTransport *ma_transport_start(const MaTransportConfig *config);

/*
 * How many more messages it takes now: as many as connections are free and,
 * so that no connection idles between a result and the next message, as many
 * again ahead. 0 when draining or dead.
 */
extern int	ma_transport_room(MaTransport *t);
extern void ma_transport_send(MaTransport *t, const MaMail *mail);

/*
 * The same for kind "http". The code of the result is the status, its text the
 * first MA_TEXT_MAX bytes of the response, what is not printable ASCII as '?':
 * 2xx is SENT; 408, 425, 429 and 5xx are TEMPORARY; any other, also a
 * redirect, is PERMANENT. Without one it is IN_DOUBT as soon as the request
 * was written.
 */
extern void ma_transport_request(MaTransport *t, const MaRequest *request);

/* The next result, if there is one. */
extern bool ma_transport_poll(MaTransport *t, MaTransportResult *result);

/* The result of this message is committed: its connection may go on. */
extern void ma_transport_ack(MaTransport *t, int64 id);

/*
 * Waits until one of them has something to poll, our latch is set or the time
 * is over (-1: never; 0: only looks), and writes what their pipes take. The
 * caller resets the latch. A dead one counts as ready while it has results.
 */
extern void ma_transport_wait(MaTransport **list, int n, long timeout_ms);

/* Messages sent and not yet given back by poll. */
extern int ma_transport_pending(MaTransport *t);

/* False once the child is gone; what it owes can still be polled. */
extern bool ma_transport_alive(MaTransport *t);

/* Why it is gone ("", if drained); for the log. */
extern const char *ma_transport_reason(MaTransport *t);

/*
 * Tells it to end: what is under way is finished, at most MA_DRAIN_MS, the
 * rest comes back UNTRIED. Go on to wait and poll until it is not alive.
 */
extern void ma_transport_drain(MaTransport *t);

/* Ends it at once, frees everything. */
extern void ma_transport_stop(MaTransport *t);

#endif /* MA_TRANSPORT_H */
