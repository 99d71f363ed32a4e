/*
 * smtp.h
 *	  One connection to a relay.
 */
#ifndef SMTP_H
#define SMTP_H

#include "config.h"
#include "mail.h"
#include "result.h"

typedef struct Smtp Smtp;

/* What is next. Only smtp_connect() may block, and may run elsewhere. */
typedef enum SmtpNext
{
	SMTP_WAIT, /* smtp_ready() when the socket is, smtp_late() at deadline */
	SMTP_CONNECT, /* smtp_connect(), then smtp_go_on() */
	SMTP_END,	  /* say ENDING, then smtp_end() */
	SMTP_DONE	  /* smtp_result() */
} SmtpNext;

extern Smtp			*smtp_new(const Config *config);
extern SmtpNext		 smtp_begin(Smtp *smtp, Mail *mail);
extern void			 smtp_connect(Smtp *smtp);
extern SmtpNext		 smtp_go_on(Smtp *smtp);
extern SmtpNext		 smtp_ready(Smtp *smtp);
extern SmtpNext		 smtp_end(Smtp *smtp);
extern SmtpNext		 smtp_late(Smtp *smtp);
extern const Result *smtp_result(const Smtp *smtp);
extern int64_t		 smtp_deadline(const Smtp *smtp);
extern int			 smtp_socket(const Smtp *smtp);
extern bool			 smtp_is_writing(const Smtp *smtp);
extern void			 smtp_quit(Smtp *smtp);
extern void			 smtp_free(Smtp *smtp);

#endif /* SMTP_H */
