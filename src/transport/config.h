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

/* Never changes after it was read. Texts are NULL where not given. */
typedef struct Config
{
	Kind  kind;
	char *host;
	int	  port;
	Tls	  tls;
	int	  insecure; /* do not verify the certificate */
	char *ca_file;
	char *user;
	char *auth; /* plain, login, xoauth2 */
	char *password_file;
	char *helo;
	int	  connections;
	int	  connect_ms;
	int	  reply_ms;
	int	  final_ms;
	int	  total_ms;
	int	  idle_ms;
	int	  allow_private; /* http: also to private addresses */
	bool  public_only;	 /* computed: no private address */
} Config;

extern const char *config_read(Frame *frame, Config *config);
extern void		   config_free(Config *config);

#define CONFIG_PASSWORD_MAX 4096
extern bool config_password(const Config *config,
							char		  password[CONFIG_PASSWORD_MAX + 1]);

#endif /* CONFIG_H */
