/*
 * transport.h
 *	  The pipe to the program mautomate-transport. Knows nothing of tables.
 *
 * One MaTransport is one child process with its connections to mail relays
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

/* A relay and how to talk to it. Texts may be NULL: the default. */
typedef struct MaTransportRelay
{
	const char *host; /* name or address */
	int			port;
	int			weight;		   /* its share of the connections; 0: only when
								* no other answers */
	const char *tls;		   /* "starttls" (default, required), "smtps",
								* "none" */
	bool		insecure;	   /* do not verify the certificate */
	const char *ca_file;	   /* trust this instead of the system's */
	const char *user;		   /* log in as; NULL: do not log in */
	const char *auth;		   /* "plain", "login", "xoauth2"; NULL: the best
								* that the server offers */
	const char *password_file; /* full path; read at each connection */
} MaTransportRelay;

/* What only requests have. Files are full paths, read at each request. */
typedef struct MaTransportWeb
{
	const char *url_file;	/* the URL of all requests */
	const char *token_file; /* becomes a header: ... */
	const char *token_header;
	const char *token_prefix; /* what stands before it */
	const char *sign_file;	  /* key of an HMAC-SHA256 of time.body */
	const char *sign_header;
	const char *time_header;
	const char *success;	  /* statuses with commas between them; "2xx" */
	const char *retry;		  /* likewise; "408,425,429,5xx" */
	const char *path;		  /* of what in the response must be ... */
	const char *values;		  /* ... one of these lines, NULL: not false */
	const char *retry_values; /* or one of these to try again */
	const char *id_path;	  /* of the id in the response */
	bool		allow_private;
} MaTransportWeb;

/*
 * With what to start. Texts may be NULL, times 0: the default. Kind "http"
 * has one relay without host, that says how to log in and whom to trust.
 */
typedef struct MaTransportConfig
{
	const char			   *kind; /* "smtp" (default), "http" */
	const MaTransportRelay *relays;
	int						relay_count; /* 1 to MA_RELAYS_MAX */
	MaTransportWeb			web;
	const char			   *helo;		 /* our name; NULL: the host's */
	int						connections; /* at most so many at once; 0: 4 */
	int						connect_ms;	 /* to connect; 15 s */
	int						reply_ms;	 /* for one reply; 60 s */
	int						final_ms; /* for that to the end of data; 300 s */
	int						total_ms; /* for a message up to there; 600 s */
	int						idle_ms;  /* close what is unused for; 20 s */
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
	int			code;		 /* the server's reply code; 0: none */
	int			retry_after; /* seconds; 0: it did not say */
	const char *provided;	 /* the id that it gave; "": none. Like text
							  * from a stranger, UTF-8 if he means well (see
							  * utf8.h), valid until the next poll or stop */
	const char *text;		 /* reply or reason */
} MaTransportResult;

extern MaTransport *ma_transport_start(const MaTransportConfig *config);

/*
 * How many more messages it takes as soon as the results it gave are
 * acknowledged: as many as connections are free then and, so that no
 * connection idles between a result and the next message, as many as it has
 * ahead. 0 when draining or dead.
 */
extern int	ma_transport_room(MaTransport *t);
extern void ma_transport_send(MaTransport *t, const MaMail *mail);

/*
 * The same for kind "http". The code of the result is the status, its text the
 * first MA_TEXT_MAX bytes of the response, what controls a terminal as '?';
 * MaTransportWeb says which are SENT, which TEMPORARY; any other, also a
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

/*
 * Writes what was sent and acknowledged, as far as its pipe takes it: not
 * each for itself, since each write wakes the child. poll and wait do it too.
 */
extern void ma_transport_flush(MaTransport *t);

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
