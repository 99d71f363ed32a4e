/*
 * dialog.h
 *	  One message after the other over a session with a relay.
 */
#ifndef DIALOG_H
#define DIALOG_H

#include "mail.h"
#include "result.h"
#include "session.h"

/* How far a message has come: what is answered next. */
typedef enum Stage
{
	STAGE_REST,	 /* there is none */
	STAGE_RESET, /* the last one is being forgotten */
	STAGE_MAIL,	 /* from here on replies are about it */
	STAGE_RCPT,
	STAGE_DATA,
	STAGE_EMPTY, /* it was refused, and the data ended at once */
	STAGE_BODY,	 /* the server wants it */
	STAGE_END	 /* its last part was given to the session */
} Stage;

/* What is next. */
typedef enum DialogNext
{
	DIALOG_WAIT, /* dialog_ready() when the socket is, or dialog_late() */
	DIALOG_END,	 /* say ENDING, then dialog_end() */
	DIALOG_DONE	 /* the result is there */
} DialogNext;

typedef struct Dialog
{
	const Config *config;
	Session		 *session;
	Mail		 *mail; /* now being sent; or NULL */
	Stage		  stage;
	Stage		  asked;		  /* the last one that was asked for */
	bool		  judged;		  /* the result is there; replies may not be */
	bool		  gave_up;		  /* it was we who did not go on */
	bool		  begun;		  /* the server may remember a message */
	bool		  spoiled;		  /* the session is of no more use */
	int64_t		  deadline;		  /* of what is waited for now */
	int64_t		  total_deadline; /* of it all up to the end of data */
	Reply		  reply;		  /* that is coming */
	Result		  result;
	size_t		  offset; /* of the body that was put into out */
	bool		  at_line_start;
	size_t		  out_sent;
	size_t		  out_len;
	char		  out[SESSION_BYTES]; /* to be written */
} Dialog;

extern void		  dialog_init(Dialog *dialog, const Config *config,
							  Session *session);
extern DialogNext dialog_begin(Dialog *dialog, Mail *mail,
							   int64_t total_deadline);
extern DialogNext dialog_ready(Dialog *dialog);
extern DialogNext dialog_end(Dialog *dialog);
extern DialogNext dialog_late(Dialog *dialog);
extern int64_t	  dialog_deadline(const Dialog *dialog);
extern bool		  dialog_is_writing(const Dialog *dialog);

#endif /* DIALOG_H */
