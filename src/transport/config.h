/*
 * config.h
 *	  The relay and how to talk to it, as the sender has told us.
 */
#ifndef CONFIG_H
#define CONFIG_H

#include <stdbool.h>

#include "frame.h"

/* How the connection is made safe. */
typedef enum Tls
{
	TLS_STARTTLS, /* plain, then STARTTLS, or no mail at all */
	TLS_SMTPS,	  /* TLS from the first byte */
	TLS_NONE
} Tls;

/* What is at the other end. */
typedef enum Kind
{
	KIND_SMTP, /* a mail relay */
	KIND_HTTP  /* any web server: the requests say which */
} Kind;

/* One relay; of kind http the first one, without host, says how to log in. */
typedef struct Relay
{
	char *host;
	int	  port;
	int	  weight; /* its share of the connections; 0: none of its own */
	Tls	  tls;
	int	  insecure; /* do not verify the certificate */
	char *ca_file;
	char *user;
	char *auth; /* plain, login, xoauth2 */
	char *password_file;
} Relay;

/* What only requests have. */
typedef struct Web
{
	int	  allow_private; /* also to private addresses */
	char *url_file;		 /* the URL of all, in a file */
	char *token_file;	 /* a header: ... */
	char *token_header;	 /* ... its name */
	char *token_prefix;	 /* ... what stands before the token */
	char *sign_file;	 /* the key of the signature */
	char *sign_header;
	char *time_header;
	char *success;		/* statuses with commas between them */
	char *retry;		/* likewise */
	char *path;			/* of what in the response must be ... */
	char *values;		/* ... one of these lines */
	char *retry_values; /* or one of these to try later */
	char *id_path;		/* of the id that the server gave */
} Web;

/* Never changes after it was read. Texts are NULL where not given. */
typedef struct Config
{
	Kind  kind;
	Relay relays[MA_RELAYS_MAX];
	int	  relay_count;
	Web	  web;
	char *helo;
	int	  connections;
	int	  connect_ms;
	int	  reply_ms;
	int	  final_ms;
	int	  total_ms;
	int	  idle_ms;
	bool  public_only; /* computed: no private address */
} Config;

extern const char *config_read(Frame *frame, Config *config);
extern void		   config_free(Config *config);

#define CONFIG_SECRET_MAX 4096
extern bool config_secret(const char *file,
						  char		  secret[CONFIG_SECRET_MAX + 1]);

#endif /* CONFIG_H */
