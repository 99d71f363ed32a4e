/*
 * smtp.h
 *	  One connection to a relay.
 */
#ifndef SMTP_H
#define SMTP_H

#include "config.h"
#include "mail.h"

typedef struct Smtp Smtp;

/* How one message went. */
typedef struct SmtpResult
{
	MaOutcome outcome;
	int		  code; /* of the reply; 0: none */
	char	  text[MA_TEXT_MAX + 1];
} SmtpResult;

extern Smtp *smtp_new(const Config *config);
extern void	 smtp_send(Smtp *smtp, Mail *mail, SmtpResult *result);
extern bool	 smtp_is_open(const Smtp *smtp);
extern void	 smtp_quit(Smtp *smtp);
extern void	 smtp_free(Smtp *smtp);

#endif /* SMTP_H */
