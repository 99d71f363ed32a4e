/*
 * smtp.c
 *	  One connection to a relay, whichever answers, kept for many messages.
 *
 * It is made when a message needs it, which blocks: that alone is done by a
 * thread (smtp_connect), while nobody else touches the object. A connection
 * that has rested may be gone: what was not delivered over it for that reason
 * goes over a new one at once. A relay to which no connection can be made is
 * somebody else's turn.
 */
#include <stdlib.h>

#include "alloc.h"
#include "clock.h"
#include "dialog.h"
#include "relay.h"
#include "session.h"
#include "smtp.h"

struct Smtp
{
	const Config *config;
	int			  relay;  /* of the connection or the last try; -1: none */
	Mail		 *mail;	  /* now being sent; or NULL */
	bool		  rested; /* over a connection made for another one */
	int64_t		  idle_deadline; /* when an open one has rested enough */
	Result		  failure;		 /* why there is no connection */
	Session		  session;
	Dialog		  dialog;
};

static bool		choose_relay(Smtp *smtp, unsigned *tried);
static SmtpNext decide(Smtp *smtp, DialogNext next);

/* A connection that is not made yet. The configuration must outlive it. */
Smtp *
smtp_new(const Config *config)
{
	Smtp *smtp = alloc_zero(sizeof(*smtp));

	smtp->config = config;
	smtp->relay = -1;
	session_init(&smtp->session, config);
	dialog_init(&smtp->dialog, config, &smtp->session);
	return smtp;
}

/* Begins to send a message that was checked. */
SmtpNext
smtp_begin(Smtp *smtp, Mail *mail)
{
	smtp->mail = mail;
	smtp->rested = smtp->session.is_open;
	if (!smtp->rested)
		return SMTP_CONNECT;
	return decide(smtp, dialog_begin(&smtp->dialog, mail,
									 clock_ms() + smtp->config->total_ms));
}

/* Makes a connection to the first relay that answers. Blocks. */
void
smtp_connect(Smtp *smtp)
{
	unsigned tried = 0;
	bool	 made = false;

	while (!made && choose_relay(smtp, &tried))
	{
		made = session_open(&smtp->session, &smtp->config->relays[smtp->relay],
							&smtp->failure);
		if (made)
			relay_works(smtp->relay);
		else
			relay_failed(smtp->relay);
	}
}

/* Chooses one that was not tried yet; false: none is left. */
static bool
choose_relay(Smtp *smtp, unsigned *tried)
{
	if (smtp->relay >= 0)
		relay_leave(smtp->relay);
	smtp->relay = relay_choose(smtp->config, *tried);
	if (smtp->relay < 0)
		return false;
	*tried |= 1u << smtp->relay;
	return true;
}

/* The connection is made, or cannot be. */
SmtpNext
smtp_go_on(Smtp *smtp)
{
	if (!smtp->session.is_open)
	{
		smtp->mail = NULL;
		smtp->dialog.result = smtp->failure;
		return SMTP_DONE;
	}
	dialog_init(&smtp->dialog, smtp->config, &smtp->session);
	return decide(smtp, dialog_begin(&smtp->dialog, smtp->mail,
									 smtp->session.handle.total_deadline));
}

/* The socket can be read or written. */
SmtpNext
smtp_ready(Smtp *smtp)
{
	return decide(smtp, dialog_ready(&smtp->dialog));
}

/* ENDING was said. */
SmtpNext
smtp_end(Smtp *smtp)
{
	return decide(smtp, dialog_end(&smtp->dialog));
}

/* The deadline has passed. */
SmtpNext
smtp_late(Smtp *smtp)
{
	if (smtp->mail != NULL)
		return decide(smtp, dialog_late(&smtp->dialog));
	smtp_quit(smtp);
	return SMTP_WAIT;
}

/* What the end of a dialog means for the connection. */
static SmtpNext
decide(Smtp *smtp, DialogNext next)
{
	const Dialog *dialog = &smtp->dialog;
	const Result *result = &dialog->result;

	if (dialog->spoiled && next != DIALOG_END)
		session_close(&smtp->session);
	if (next == DIALOG_WAIT)
		return SMTP_WAIT;
	if (next == DIALOG_END)
		return SMTP_END;
	if (smtp->rested && !dialog->gave_up &&
		(result->outcome == MA_OUTCOME_NOT_REACHED || result->code == 421))
	{
		smtp->rested = false;
		session_close(&smtp->session);
		return SMTP_CONNECT;
	}
	smtp->mail = NULL;
	smtp->idle_deadline = clock_ms() + smtp->config->idle_ms;
	return SMTP_DONE;
}

/* How the last message went. */
const Result *
smtp_result(const Smtp *smtp)
{
	return &smtp->dialog.result;
}

/* When to call smtp_late(); 0: never. */
int64_t
smtp_deadline(const Smtp *smtp)
{
	if (!smtp->session.is_open)
		return 0;
	return smtp->mail == NULL ? smtp->idle_deadline :
								dialog_deadline(&smtp->dialog);
}

/* The socket to wait for; -1: there is none. */
int
smtp_socket(const Smtp *smtp)
{
	return smtp->session.is_open ? smtp->session.socket : -1;
}

/* Is it to be waited for until it can be written, too? */
bool
smtp_is_writing(const Smtp *smtp)
{
	return dialog_is_writing(&smtp->dialog);
}

/*
 * Says goodbye and closes the connection, if there is one, without waiting
 * for an answer.
 */
void
smtp_quit(Smtp *smtp)
{
	session_quit(&smtp->session);
}

void
smtp_free(Smtp *smtp)
{
	session_close(&smtp->session);
	if (smtp->relay >= 0)
		relay_leave(smtp->relay);
	free(smtp);
}
