/*
 * dialog.c
 *	  One message after the other over a session with a relay (RFC 5321).
 *
 * Why this is not left to libcurl, which makes the session: it sends one
 * command at a time, blocks for each message, and does not tell how far a
 * message has come. Where the server offers PIPELINING (RFC 2920) the envelope
 * is one write here, message and final dot another. Nothing here blocks, so
 * one thread serves all connections.
 *
 *		[RESET ->] MAIL -> RCPT -> DATA -> BODY -> END
 *									  \--> EMPTY
 *
 * EMPTY is for what was refused after DATA was sent ahead, and the server
 * wants data all the same: it gets none, and the verdict is the refusal.
 *
 * A reply is believed only if its command was written before the reply came.
 * Whatever else the server says ends the session, so no reply is ever taken
 * for that to another command. In doubt is a message from the moment on when
 * the session has taken all of the final dot.
 */
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "dialog.h"

/* Ends the data; its room is counted with the NUL that comes with it. */
#define LAST_LINE ".\r\n"

static const char not_asked[] = "the server answers what was not asked";

static DialogNext finish(Dialog *dialog);
static void		  say_broken(Dialog *dialog, int code, const char *why);
static DialogNext fail(Dialog *dialog, const char *why);
static DialogNext give_up(Dialog *dialog, const char *why);
static void		  wait_anew(Dialog *dialog);
static void		  put_command(Dialog *dialog, Stage stage);
static DialogNext write_out(Dialog *dialog);
static DialogNext hear(Dialog *dialog);
static DialogNext take_bytes(Dialog *dialog, const char *bytes, size_t len);
static DialogNext on_reply(Dialog *dialog);
static DialogNext on_data(Dialog *dialog);
static DialogNext ask_next(Dialog *dialog);
static void		  judge(Dialog *dialog);

/* One without a message. It must not move, and the others outlive it. */
void
dialog_init(Dialog *dialog, const Config *config, Session *session)
{
	memset(dialog, 0, offsetof(Dialog, out));
	dialog->config = config;
	dialog->session = session;
}

/* Begins with a message, over a session that is open. */
DialogNext
dialog_begin(Dialog *dialog, Mail *mail, int64_t total_deadline)
{
	bool  at_once = dialog->session->offer.pipelining;
	Stage first = dialog->begun ? STAGE_RESET : STAGE_MAIL;

	dialog->mail = mail;
	dialog->stage = first;
	dialog->judged = false;
	dialog->gave_up = false;
	dialog->out_sent = dialog->out_len = 0;
	dialog->total_deadline = total_deadline;
	memset(&dialog->result, 0, sizeof(dialog->result));
	reply_reset(&dialog->reply);
	if (mail->utf8 && !dialog->session->offer.utf8)
	{
		dialog->result.outcome = MA_OUTCOME_PERMANENT;
		snprintf(dialog->result.text, sizeof(dialog->result.text),
				 "an address is not ASCII and the server cannot take it");
		return finish(dialog);
	}
	for (Stage stage = first; stage <= (at_once ? STAGE_DATA : first); stage++)
		put_command(dialog, stage);
	wait_anew(dialog);
	return write_out(dialog);
}

/* The socket can be read or written. */
DialogNext
dialog_ready(Dialog *dialog)
{
	DialogNext next;

	if (dialog->stage == STAGE_REST)
	{
		char   bytes[SESSION_BYTES];
		size_t len;

		/* it is closed, or about to be */
		if (session_receive(dialog->session, bytes, &len) != SESSION_WAIT)
			dialog->spoiled = true;
		return DIALOG_WAIT;
	}
	next = hear(dialog);
	if (next == DIALOG_WAIT && dialog_is_writing(dialog))
		next = write_out(dialog);
	return next;
}

/*
 * ENDING was said: the last part may go, unless the server has gone or said
 * something meanwhile. Then it need not be in doubt.
 */
DialogNext
dialog_end(Dialog *dialog)
{
	DialogNext next = hear(dialog);

	if (next != DIALOG_WAIT)
		return next;
	if (reply_is_begun(&dialog->reply))
		return give_up(dialog, not_asked);
	dialog->stage = STAGE_END;
	dialog->total_deadline = 0;
	reply_reset(&dialog->reply);
	wait_anew(dialog);
	return write_out(dialog);
}

/*
 * A deadline has passed. If it was we who were held up, what was waited for
 * may be there.
 */
DialogNext
dialog_late(Dialog *dialog)
{
	DialogNext next = hear(dialog);

	if (next != DIALOG_WAIT || clock_ms() < dialog_deadline(dialog))
		return next;
	return give_up(dialog, clock_ms() >= dialog->deadline ?
							   "no answer in time" :
							   "it took too long");
}

/* When to call dialog_late(). */
int64_t
dialog_deadline(const Dialog *dialog)
{
	return dialog->total_deadline != 0 &&
				   dialog->total_deadline < dialog->deadline ?
			   dialog->total_deadline :
			   dialog->deadline;
}

/* Does something wait to be written? */
bool
dialog_is_writing(const Dialog *dialog)
{
	return dialog->out_sent < dialog->out_len;
}

/*
 * The result is there; the session rests. If the server did not wait for all
 * of a command, nobody knows what it would make of the next one.
 */
static DialogNext
finish(Dialog *dialog)
{
	dialog->spoiled = dialog->spoiled || dialog_is_writing(dialog);
	dialog->mail = NULL;
	dialog->stage = STAGE_REST;
	dialog->out_sent = dialog->out_len = 0;
	return DIALOG_DONE;
}

/* The session is of no more use, and this is what it means for the message. */
static void
say_broken(Dialog *dialog, int code, const char *why)
{
	static const char *const doing[] = {"resting",
										"RSET",
										"MAIL",
										"RCPT",
										"DATA",
										"DATA",
										"sending the message",
										"end of the message"};
	Result					*result = &dialog->result;
	bool					 in_doubt = dialog->stage == STAGE_END;

	dialog->spoiled = true;
	result->outcome = in_doubt ? MA_OUTCOME_IN_DOUBT : MA_OUTCOME_NOT_REACHED;
	result->code = in_doubt || code >= 400 ? code : 0;
	snprintf(result->text, sizeof(result->text), "%s: %.900s",
			 doing[dialog->stage], why);
}

/* It has broken off; the verdict stands, if there is one. */
static DialogNext
fail(Dialog *dialog, const char *why)
{
	if (dialog->stage == STAGE_END && dialog_is_writing(dialog))
		dialog->stage = STAGE_BODY;
	dialog->spoiled = true;
	if (!dialog->judged)
		say_broken(dialog, 0, why);
	return finish(dialog);
}

/* The same, because we did not go on: another session would be no better. */
static DialogNext
give_up(Dialog *dialog, const char *why)
{
	dialog->gave_up = true;
	return fail(dialog, why);
}

/* From now on something has to happen within the time for it. */
static void
wait_anew(Dialog *dialog)
{
	dialog->deadline =
		clock_ms() + (dialog->stage == STAGE_END ? dialog->config->final_ms :
												   dialog->config->reply_ms);
}

/* Puts a command behind what is to be written. */
static void
put_command(Dialog *dialog, Stage stage)
{
	const Offer *offer = &dialog->session->offer;
	const Mail	*mail = dialog->mail;
	char		*to = dialog->out + dialog->out_len;
	size_t		 room = sizeof(dialog->out) - dialog->out_len;
	char		 size[32] = "";
	int			 len;

	if (offer->size)
		snprintf(size, sizeof(size), " SIZE=%zu", mail->body_len);
	if (stage == STAGE_MAIL)
		len = snprintf(to, room, "MAIL FROM:<%s>%s%s\r\n", mail->sender, size,
					   mail->utf8 ? " SMTPUTF8" : "");
	else if (stage == STAGE_RCPT)
		len = snprintf(to, room, "RCPT TO:<%s>\r\n", mail->recipient);
	else
		len = snprintf(to, room, "%s",
					   stage == STAGE_RESET ? "RSET\r\n" :
					   stage == STAGE_DATA	? "DATA\r\n" :
											  LAST_LINE);
	dialog->out_len += (size_t) len;
	dialog->asked = stage;
}

/*
 * Fills what is to be written with more of the body, a dot put before each
 * dot at the begin of a line, as far as there is room for it and the last
 * line.
 */
static void
put_body(Dialog *dialog)
{
	const Mail *mail = dialog->mail;
	size_t		max = sizeof(dialog->out) - sizeof(LAST_LINE);

	while (dialog->offset < mail->body_len && dialog->out_len + 2 <= max)
	{
		const char *from = mail->body + dialog->offset;
		size_t		len = mail->body_len - dialog->offset;
		const char *end;

		if (dialog->at_line_start && *from == '.')
			dialog->out[dialog->out_len++] = '.';
		if (len > max - dialog->out_len)
			len = max - dialog->out_len;
		end = memchr(from, '\n', len);
		if (end != NULL)
			len = (size_t) (end + 1 - from);
		memcpy(dialog->out + dialog->out_len, from, len);
		dialog->out_len += len;
		dialog->offset += len;
		dialog->at_line_start = end != NULL;
	}
}

/* The session takes no more; it may have said why, in the midst of a message. */
static DialogNext
cannot_write(Dialog *dialog)
{
	if (dialog->stage >= STAGE_BODY && hear(dialog) == DIALOG_DONE)
		return DIALOG_DONE;
	return fail(dialog, session_reason(dialog->session));
}

/*
 * Writes what can be written now. Of the body that is all but its last part,
 * which is put and not yet written.
 */
static DialogNext
write_out(Dialog *dialog)
{
	for (;;)
	{
		size_t sent = 0;

		if (!dialog_is_writing(dialog))
		{
			dialog->out_sent = dialog->out_len = 0;
			if (dialog->stage != STAGE_BODY)
				return DIALOG_WAIT;
			put_body(dialog);
			if (dialog->offset == dialog->mail->body_len)
			{
				put_command(dialog, STAGE_END);
				return DIALOG_END;
			}
		}
		switch (session_send(dialog->session, dialog->out + dialog->out_sent,
							 dialog->out_len - dialog->out_sent, &sent))
		{
			case SESSION_WAIT:
				return DIALOG_WAIT;
			case SESSION_LOST:
				return cannot_write(dialog);
			case SESSION_DONE:
				dialog->out_sent += sent;
				if (dialog->stage == STAGE_BODY)
					wait_anew(dialog);
				break;
		}
	}
}

/*
 * Reads what the server has said: all of it, since nothing tells us of what
 * TLS has read ahead. After a command was written, whose reply will tell us,
 * it stops, so that nothing is taken for that reply which was there before.
 */
static DialogNext
hear(Dialog *dialog)
{
	Stage asked;

	do
	{
		char	   bytes[SESSION_BYTES];
		size_t	   len;
		DialogNext next;

		asked = dialog->asked;
		switch (session_receive(dialog->session, bytes, &len))
		{
			case SESSION_DONE:
				next = take_bytes(dialog, bytes, len);
				if (next != DIALOG_WAIT)
					return next;
				break;
			case SESSION_WAIT:
				return DIALOG_WAIT;
			case SESSION_LOST:
				return fail(dialog, session_reason(dialog->session));
		}
	} while (dialog->asked == asked);
	return DIALOG_WAIT;
}

/* Takes replies out of what was read. */
static DialogNext
take_bytes(Dialog *dialog, const char *bytes, size_t len)
{
	Stage last = dialog->stage > dialog->asked ? dialog->stage : dialog->asked;
	DialogNext next = DIALOG_WAIT;

	while (len > 0)
	{
		size_t taken;

		if (next == DIALOG_DONE)
		{
			dialog->spoiled = true;
			return next;
		}
		if (next == DIALOG_END || dialog->stage > last)
			return give_up(dialog, not_asked);
		switch (reply_take(&dialog->reply, bytes, len, &taken))
		{
			case REPLY_PART:
				return DIALOG_WAIT;
			case REPLY_ENDLESS:
				return give_up(dialog, "the server's reply has no end");
			case REPLY_WHOLE:
				next = on_reply(dialog);
				break;
		}
		bytes += taken;
		len -= taken;
	}
	return next;
}

/* Understands a whole reply. */
static DialogNext
on_reply(Dialog *dialog)
{
	int code = dialog->reply.code;

	if (code == 421)
		dialog->spoiled = true;
	if (dialog->stage == STAGE_END && dialog_is_writing(dialog))
		dialog->stage = STAGE_BODY;
	switch (dialog->stage)
	{
		case STAGE_DATA:
			return on_data(dialog);
		case STAGE_MAIL:
		case STAGE_RCPT:
			dialog->begun = dialog->begun || code / 100 == 2;
			if (code / 100 != 2)
				judge(dialog);
			return ask_next(dialog);
		case STAGE_RESET:
			dialog->begun = false;
			if (code / 100 == 2)
				return ask_next(dialog);
			break;
		case STAGE_EMPTY:
		case STAGE_END:
			dialog->begun = false;
			dialog->spoiled = dialog->spoiled || code / 100 == 3;
			break;
		case STAGE_BODY:
		case STAGE_REST:
			/* it does not read the rest, or we would not know to what end */
			dialog->spoiled = true;
			break;
	}
	judge(dialog);
	return finish(dialog);
}

/* The reply to DATA. */
static DialogNext
on_data(Dialog *dialog)
{
	if (dialog->reply.code != 354)
	{
		judge(dialog);
		dialog->spoiled = dialog->spoiled || dialog->reply.code < 400;
		return finish(dialog);
	}
	wait_anew(dialog);
	if (dialog->judged)
	{
		dialog->stage = STAGE_EMPTY;
		put_command(dialog, STAGE_EMPTY);
		return write_out(dialog);
	}
	dialog->stage = STAGE_BODY;
	dialog->offset = 0;
	dialog->at_line_start = true;
	return write_out(dialog);
}

/* Goes on to the next command, or to the reply to what was sent ahead. */
static DialogNext
ask_next(Dialog *dialog)
{
	if (dialog->judged && (dialog->spoiled || dialog->stage == dialog->asked))
		return finish(dialog);
	dialog->stage++;
	wait_anew(dialog);
	if (dialog->asked >= dialog->stage)
		return DIALOG_WAIT;
	put_command(dialog, dialog->stage);
	return write_out(dialog);
}

/*
 * What the reply means for the message. The first verdict counts. A wish for
 * login or encryption (530 to 539) in answer to MAIL is about the session, and
 * so is whatever makes no sense as a reply.
 */
static void
judge(Dialog *dialog)
{
	Stage stage = dialog->stage;
	int	  code = dialog->reply.code;
	int	  kind = code / 100;
	bool  about_session =
		stage == STAGE_RESET || (stage == STAGE_MAIL && code / 10 == 53);

	if (dialog->judged)
		return;
	dialog->judged = true;
	dialog->result.code = code;
	memcpy(dialog->result.text, dialog->reply.text, MA_TEXT_MAX + 1);
	if (kind == 2 && stage == STAGE_END)
		dialog->result.outcome = MA_OUTCOME_SENT;
	else if (kind == 4 && !about_session)
		dialog->result.outcome = MA_OUTCOME_TEMPORARY;
	else if (kind == 5 && !about_session)
		dialog->result.outcome = MA_OUTCOME_PERMANENT;
	else
		say_broken(dialog, code, dialog->reply.text);
}
