/*
 * smtp.c
 *	  One connection to a relay: libcurl, and what it does not tell.
 *
 * libcurl says that a message failed, not how far it came. We follow it by
 * its callbacks: the commands it writes (debug), the lines it reads (header)
 * and the end of the data (read). The read callback is called again only when
 * everything before was written, so "no more data" is exactly the moment
 * before the final dot. For that the size is not announced: libcurl would
 * then not ask again.
 *
 * The one place without callbacks is QUIT (7.88.1 waits 120 s for the answer
 * of a mute server): there the socket is shut as soon as QUIT is written.
 *
 * An object is used by one thread.
 */
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "alloc.h"
#include "handle.h"
#include "relay.h"
#include "reply.h"
#include "smtp.h"

/* A clean goodbye may take this long. */
#define QUIT_MS 500

/* How far the message has come. */
typedef enum Stage
{
	STAGE_CONNECT, /* name, socket */
	STAGE_HELLO,   /* greeting, TLS, login */
	STAGE_MAIL,	   /* from here on replies are about it */
	STAGE_RCPT,
	STAGE_DATA,
	STAGE_BODY, /* the server wants it */
	STAGE_END	/* the end of the data was written */
} Stage;

struct Smtp
{
	const Config *config;
	Handle		  handle;
	int			  relay;  /* of the connection or the next try; -1: none */
	Reply		  reply;  /* to the last command */
	Mail		 *mail;	  /* now being sent */
	size_t		  offset; /* of the body given to libcurl */
	Stage		  stage;
	bool		  utf8;		  /* the server takes SMTPUTF8 */
	bool		  lacks_utf8; /* and has to, but does not */
};

static void		set_options(Smtp *smtp);
static void		set_url(Smtp *smtp, const Relay *relay);
static bool		set_login(Smtp *smtp, const Relay *relay);
static bool		choose_relay(Smtp *smtp, unsigned *tried);
static void		try_once(Smtp *smtp, Mail *mail, bool is_open, Result *result);
static CURLcode perform(Smtp *smtp, Mail *mail);
static void		judge(Smtp *smtp, CURLcode rc, Result *result);
static int	  on_debug(CURL *curl, curl_infotype type, char *data, size_t len,
					   void *arg);
static size_t on_header(char *line, size_t size, size_t count, void *arg);
static size_t on_read(char *buffer, size_t size, size_t count, void *arg);

/* A connection that is not made yet. The configuration must outlive it. */
Smtp *
smtp_new(const Config *config)
{
	Smtp *smtp = alloc_zero(sizeof(*smtp));

	smtp->config = config;
	if (!handle_init(&smtp->handle, config, "smtp,smtps"))
	{
		free(smtp);
		return NULL;
	}
	set_options(smtp);
	smtp->relay = -1;
	return smtp;
}

/* The options that never change. */
static void
set_options(Smtp *smtp)
{
	CURL *curl = smtp->handle.curl;

	curl_easy_setopt(curl, CURLOPT_VERBOSE, 1L);
	curl_easy_setopt(curl, CURLOPT_DEBUGFUNCTION, on_debug);
	curl_easy_setopt(curl, CURLOPT_DEBUGDATA, smtp);
	curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(curl, CURLOPT_HEADERDATA, smtp);
	curl_easy_setopt(curl, CURLOPT_READFUNCTION, on_read);
	curl_easy_setopt(curl, CURLOPT_READDATA, smtp);
}

/* The address of the relay; its path is the name we greet with. */
static void
set_url(Smtp *smtp, const Relay *relay)
{
	const char *name = smtp->config->helo != NULL ? smtp->config->helo : "";
	bool		is_ipv6 = strchr(relay->host, ':') != NULL;
	CURL	   *curl = smtp->handle.curl;
	char	   *helo = curl_easy_escape(curl, name, 0);
	char		url[2048];

	snprintf(url, sizeof(url), "%s://%s%s%s:%d/%s",
			 relay->tls == TLS_SMTPS ? "smtps" : "smtp", is_ipv6 ? "[" : "",
			 relay->host, is_ipv6 ? "]" : "", relay->port,
			 helo != NULL ? helo : "");
	curl_free(helo);
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_USE_SSL,
					 relay->tls == TLS_NONE ? (long) CURLUSESSL_NONE :
											  (long) CURLUSESSL_ALL);
}

/* User and password for a new connection; false if there is no password. */
static bool
set_login(Smtp *smtp, const Relay *relay)
{
	const char *auth = relay->auth;
	bool		is_token = auth != NULL && strcmp(auth, "xoauth2") == 0;
	char		password[CONFIG_SECRET_MAX + 1] = "";
	bool		log_in = relay->user != NULL;
	CURL	   *curl = smtp->handle.curl;

	if (log_in && !config_secret(relay->password_file, password))
		return false;
	curl_easy_setopt(curl, CURLOPT_USERNAME, relay->user);
	curl_easy_setopt(curl, CURLOPT_XOAUTH2_BEARER,
					 log_in && is_token ? password : NULL);
	curl_easy_setopt(curl, CURLOPT_PASSWORD,
					 log_in && !is_token ? password : NULL);
	curl_easy_setopt(curl, CURLOPT_LOGIN_OPTIONS,
					 auth == NULL				? NULL :
					 is_token					? "AUTH=XOAUTH2" :
					 strcmp(auth, "plain") == 0 ? "AUTH=PLAIN" :
												  "AUTH=LOGIN");
	explicit_bzero(password, sizeof(password));
	return true;
}

/* Is there a connection, as far as we know? */
bool
smtp_is_open(const Smtp *smtp)
{
	return handle_is_open(&smtp->handle);
}

/*
 * Sends one message and says how it went. A connection that the server has
 * closed while it rested, or closes now because it had enough of it (421),
 * says nothing about the message: then it goes over a new one at once. A relay
 * to which no connection can be made is somebody else's turn.
 */
void
smtp_send(Smtp *smtp, Mail *mail, Result *result)
{
	unsigned tried = 0;
	bool	 renewed = false;
	bool	 again = true;
	bool	 failed = false; /* what libcurl may not have closed yet */

	while (again)
	{
		bool was_open = !failed && smtp_is_open(smtp);

		if (!was_open && !choose_relay(smtp, &tried))
			return; /* the last one's result stands */
		try_once(smtp, mail, was_open, result);
		again = result->outcome == MA_OUTCOME_NOT_REACHED &&
				smtp->stage <= STAGE_HELLO;
		if (was_open)
		{
			again = !renewed && smtp->handle.aborted == NULL &&
					(result->outcome == MA_OUTCOME_NOT_REACHED ||
					 result->code == 421);
			renewed = true;
		}
		else if (again)
		{
			relay_failed(smtp->relay);
			failed = true;
		}
		else
			relay_works(smtp->relay);
	}
}

/* Makes ready for a connection to a relay not tried yet; false: none left. */
static bool
choose_relay(Smtp *smtp, unsigned *tried)
{
	const Relay *relay;

	if (smtp->relay >= 0)
		relay_leave(smtp->relay);
	smtp->relay = relay_choose(smtp->config, *tried);
	if (smtp->relay < 0)
		return false;
	*tried |= 1u << smtp->relay;
	relay = &smtp->config->relays[smtp->relay];
	handle_trust(&smtp->handle, relay);
	set_url(smtp, relay);
	return true;
}

/* One try, over the connection that is open or a new one. */
static void
try_once(Smtp *smtp, Mail *mail, bool is_open, Result *result)
{
	const Relay *relay = &smtp->config->relays[smtp->relay];

	if (!is_open && !set_login(smtp, relay))
	{
		smtp->stage = STAGE_CONNECT;
		smtp->handle.aborted = NULL;
		result->outcome = MA_OUTCOME_NOT_REACHED;
		result->code = 0;
		snprintf(result->text, sizeof(result->text),
				 "cannot read the password file: %s", strerror(errno));
		return;
	}
	judge(smtp, perform(smtp, mail), result);
}

/* Hands the message to libcurl and waits for the end. */
static CURLcode
perform(Smtp *smtp, Mail *mail)
{
	struct curl_slist *recipients = curl_slist_append(NULL, mail->recipient);
	CURLcode		   rc;

	if (recipients == NULL)
		return CURLE_OUT_OF_MEMORY;
	smtp->mail = mail;
	smtp->offset = 0;
	smtp->stage = STAGE_CONNECT;
	smtp->lacks_utf8 = false;
	handle_begin(&smtp->handle);
	reply_reset(&smtp->reply);
	curl_easy_setopt(smtp->handle.curl, CURLOPT_UPLOAD, 1L);
	curl_easy_setopt(smtp->handle.curl, CURLOPT_MAIL_FROM, mail->sender);
	curl_easy_setopt(smtp->handle.curl, CURLOPT_MAIL_RCPT, recipients);
	rc = curl_easy_perform(smtp->handle.curl);
	curl_easy_setopt(smtp->handle.curl, CURLOPT_MAIL_RCPT, NULL);
	curl_slist_free_all(recipients);
	return rc;
}

/* Why nothing came back, in words. */
static const char *
reason(Smtp *smtp, CURLcode rc)
{
	if (smtp->handle.aborted == NULL && smtp->reply.code >= 400)
		return smtp->reply.text;
	return handle_reason(&smtp->handle, rc);
}

/*
 * What became of the message. Replies count only from MAIL on: what is
 * refused before is the connection, and so is a wish for login or encryption
 * (530 to 539) in answer to MAIL.
 */
static void
judge(Smtp *smtp, CURLcode rc, Result *result)
{
	static const char *const doing[] = {
		"connecting",		   "greeting",			"MAIL", "RCPT", "DATA",
		"sending the message", "end of the message"};
	int	 code = smtp->reply.code;
	bool wants_login = smtp->stage == STAGE_MAIL && code / 10 == 53;

	if (smtp->stage == STAGE_CONNECT && smtp->handle.connected)
		smtp->stage = STAGE_HELLO;
	result->code = code;
	if (smtp->lacks_utf8)
	{
		result->outcome = MA_OUTCOME_PERMANENT;
		result->code = 0;
		snprintf(result->text, sizeof(result->text),
				 "an address is not ASCII and the server cannot take it");
		return;
	}
	if (smtp->stage == STAGE_END && code / 100 == 2)
		result->outcome = MA_OUTCOME_SENT;
	else if (smtp->stage >= STAGE_MAIL && code / 100 == 4)
		result->outcome = MA_OUTCOME_TEMPORARY;
	else if (smtp->stage >= STAGE_MAIL && code / 100 == 5 && !wants_login)
		result->outcome = MA_OUTCOME_PERMANENT;
	else if (smtp->stage == STAGE_END)
		result->outcome = MA_OUTCOME_IN_DOUBT;
	else
		result->outcome = MA_OUTCOME_NOT_REACHED;
	if (result->outcome == MA_OUTCOME_NOT_REACHED && code < 400)
		result->code = 0;

	if (result->outcome <= MA_OUTCOME_PERMANENT)
		snprintf(result->text, sizeof(result->text), "%s", smtp->reply.text);
	else
		snprintf(result->text, sizeof(result->text), "%s: %.900s",
				 doing[smtp->stage], reason(smtp, rc));
}

/* Does what was written begin with that? */
static bool
begins(const char *data, size_t len, const char *with)
{
	return len >= strlen(with) && memcmp(data, with, strlen(with)) == 0;
}

/* Follows the commands; what is not known is part of the greeting. */
static void
note_command(Smtp *smtp, const char *command, size_t len)
{
	if (begins(command, len, "MAIL FROM:"))
	{
		smtp->stage = STAGE_MAIL;
		smtp->lacks_utf8 = smtp->mail->utf8 && !smtp->utf8;
		if (smtp->lacks_utf8)
			handle_shut(&smtp->handle);
	}
	else if (begins(command, len, "RCPT TO:"))
		smtp->stage = STAGE_RCPT;
	else if (begins(command, len, "DATA\r\n") && smtp->stage == STAGE_RCPT)
		smtp->stage = STAGE_DATA;
	else if (smtp->stage <= STAGE_HELLO)
	{
		smtp->stage = STAGE_HELLO;
		if (begins(command, len, "EHLO "))
			smtp->utf8 = false;
	}
}

/* libcurl has written something; commands are what we look for. */
static int
on_debug(CURL *curl, curl_infotype type, char *data, size_t len, void *arg)
{
	Smtp *smtp = arg;

	(void) curl;
	if (type != CURLINFO_HEADER_OUT || smtp->handle.quiet)
		return 0;
	if (begins(data, len, "QUIT\r\n"))
	{
		smtp->handle.quiet = true;
		handle_shut(&smtp->handle);
		return 0;
	}
	note_command(smtp, data, len);
	smtp->handle.connected = true;
	reply_reset(&smtp->reply);
	handle_wait(&smtp->handle, smtp->config->reply_ms);
	return 0;
}

/* libcurl has read a line of a reply. */
static size_t
on_header(char *line, size_t size, size_t count, void *arg)
{
	Smtp *smtp = arg;

	if (smtp->handle.quiet)
		return size * count;
	if (smtp->stage == STAGE_HELLO && size * count >= 12 &&
		strncasecmp(line + 4, "SMTPUTF8", 8) == 0)
		smtp->utf8 = true;
	if (!reply_add(&smtp->reply, line, size * count))
	{
		smtp->handle.aborted = "the server's reply has no end";
		return 0;
	}
	return size * count;
}

/* libcurl wants more of the message. */
static size_t
on_read(char *buffer, size_t size, size_t count, void *arg)
{
	Smtp  *smtp = arg;
	size_t len = smtp->mail->body_len - smtp->offset;

	if (len > 0)
	{
		if (len > size * count)
			len = size * count;
		memcpy(buffer, smtp->mail->body + smtp->offset, len);
		smtp->offset += len;
		smtp->stage = STAGE_BODY;
		handle_wait(&smtp->handle, smtp->config->reply_ms);
		return len;
	}
	frame_write_ending(STDOUT_FILENO, smtp->mail->job.id);
	smtp->stage = STAGE_END;
	handle_wait(&smtp->handle, smtp->config->final_ms);
	smtp->handle.total_deadline = 0;
	reply_reset(&smtp->reply);
	return 0;
}

/*
 * Says goodbye and closes the connection, if there is one, without waiting
 * for an answer.
 */
void
smtp_quit(Smtp *smtp)
{
	if (!smtp_is_open(smtp))
		return;
	smtp->stage = STAGE_HELLO;
	handle_begin(&smtp->handle);
	handle_wait(&smtp->handle, QUIT_MS);
	smtp->handle.connected = true;
	smtp->handle.no_connect = true;
	curl_easy_setopt(smtp->handle.curl, CURLOPT_UPLOAD, 0L);
	curl_easy_setopt(smtp->handle.curl, CURLOPT_CUSTOMREQUEST, "QUIT");
	(void) curl_easy_perform(smtp->handle.curl);
	curl_easy_setopt(smtp->handle.curl, CURLOPT_CUSTOMREQUEST, NULL);
	smtp->handle.no_connect = false;
}

void
smtp_free(Smtp *smtp)
{
	if (smtp->relay >= 0)
		relay_leave(smtp->relay);
	handle_free(&smtp->handle);
	free(smtp);
}
