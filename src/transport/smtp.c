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
 * All deadlines are ours, kept by the progress callback, which libcurl calls
 * at least once a second, also where it blocks: its own total timeout counts
 * from the making of the connection, and its reply timeout is one for all
 * replies. The one place without callbacks is QUIT (7.88.1 waits 120 s for
 * the answer of a mute server): there the socket is shut for reading as soon
 * as QUIT is written.
 *
 * An object is used by one thread.
 */
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "alloc.h"
#include "reply.h"
#include "smtp.h"

/* An attempt at two addresses at once is all that libcurl makes. */
#define SOCKETS_MAX 4

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
	CURL		 *curl;
	int			  sockets[SOCKETS_MAX]; /* open ones; -1: free */
	char		  error[CURL_ERROR_SIZE];
	Reply		  reply;  /* to the last command */
	Mail		 *mail;	  /* now being sent */
	size_t		  offset; /* of the body given to libcurl */
	Stage		  stage;
	int64_t		  deadline;		  /* of this stage, ms of the steady clock */
	int64_t		  total_deadline; /* of the message up to STAGE_END */
	const char	 *aborted;		  /* why we gave up; or NULL */
	bool		  closing;		  /* QUIT was written, nothing counts now */
	bool		  utf8;			  /* the server takes SMTPUTF8 */
	bool		  lacks_utf8;	  /* and has to, but does not */
	bool		  no_connect;	  /* only what is open may be used */
};

static void			 set_options(Smtp *smtp);
static void			 set_tls_options(Smtp *smtp);
static void			 set_url(Smtp *smtp);
static bool			 set_login(Smtp *smtp);
static CURLcode		 perform(Smtp *smtp, Mail *mail);
static void			 judge(Smtp *smtp, CURLcode rc, SmtpResult *result);
static curl_socket_t on_open(void *arg, curlsocktype purpose,
							 struct curl_sockaddr *address);
static int			 on_close(void *arg, curl_socket_t fd);
static int	  on_debug(CURL *curl, curl_infotype type, char *data, size_t len,
					   void *arg);
static size_t on_header(char *line, size_t size, size_t count, void *arg);
static size_t on_read(char *buffer, size_t size, size_t count, void *arg);
static int	  on_progress(void *arg, curl_off_t dltotal, curl_off_t dlnow,
						  curl_off_t ultotal, curl_off_t ulnow);

/* Milliseconds of a clock that nobody sets. */
static int64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* A connection that is not made yet. The configuration must outlive it. */
Smtp *
smtp_new(const Config *config)
{
	Smtp *smtp = alloc_zero(sizeof(*smtp));

	smtp->config = config;
	for (int i = 0; i < SOCKETS_MAX; i++)
		smtp->sockets[i] = -1;
	smtp->curl = curl_easy_init();
	if (smtp->curl == NULL)
	{
		free(smtp);
		return NULL;
	}
	set_options(smtp);
	set_tls_options(smtp);
	set_url(smtp);
	return smtp;
}

/* The options that never change but for TLS and the address. */
static void
set_options(Smtp *smtp)
{
	CURL		 *curl = smtp->curl;
	const Config *config = smtp->config;
	int longest = config->final_ms > config->reply_ms ? config->final_ms :
														config->reply_ms;

	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, smtp->error);
	curl_easy_setopt(curl, CURLOPT_UPLOAD_BUFFERSIZE, 16384L);
	/* beyond ours, which say more exactly what was waited for */
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS,
					 (long) config->total_ms + 10000);
	curl_easy_setopt(curl, CURLOPT_SERVER_RESPONSE_TIMEOUT,
					 (long) longest / 1000 + 10);
	curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, on_open);
	curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, smtp);
	curl_easy_setopt(curl, CURLOPT_CLOSESOCKETFUNCTION, on_close);
	curl_easy_setopt(curl, CURLOPT_CLOSESOCKETDATA, smtp);
	curl_easy_setopt(curl, CURLOPT_VERBOSE, 1L);
	curl_easy_setopt(curl, CURLOPT_DEBUGFUNCTION, on_debug);
	curl_easy_setopt(curl, CURLOPT_DEBUGDATA, smtp);
	curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(curl, CURLOPT_HEADERDATA, smtp);
	curl_easy_setopt(curl, CURLOPT_READFUNCTION, on_read);
	curl_easy_setopt(curl, CURLOPT_READDATA, smtp);
	curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl_easy_setopt(curl, CURLOPT_XFERINFODATA, smtp);
}

/* Encryption: as asked or not at all, and verified. */
static void
set_tls_options(Smtp *smtp)
{
	CURL		 *curl = smtp->curl;
	const Config *config = smtp->config;

	curl_easy_setopt(curl, CURLOPT_USE_SSL,
					 config->tls == TLS_NONE ? (long) CURLUSESSL_NONE :
											   (long) CURLUSESSL_ALL);
	curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, config->insecure ? 0L : 1L);
	curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, config->insecure ? 0L : 2L);
	if (config->ca_file != NULL)
	{
		curl_easy_setopt(curl, CURLOPT_CAINFO, config->ca_file);
		curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
	}
}

/* The address of the relay; its path is the name we greet with. */
static void
set_url(Smtp *smtp)
{
	const Config *config = smtp->config;
	bool		  is_ipv6 = strchr(config->host, ':') != NULL;
	char		 *helo = curl_easy_escape(smtp->curl,
								  config->helo != NULL ? config->helo : "", 0);
	char		  url[2048];

	snprintf(url, sizeof(url), "%s://%s%s%s:%d/%s",
			 config->tls == TLS_SMTPS ? "smtps" : "smtp", is_ipv6 ? "[" : "",
			 config->host, is_ipv6 ? "]" : "", config->port,
			 helo != NULL ? helo : "");
	curl_free(helo);
	curl_easy_setopt(smtp->curl, CURLOPT_URL, url);
}

/* User and password for a new connection; false if there is no password. */
static bool
set_login(Smtp *smtp)
{
	const Config *config = smtp->config;
	char		  password[CONFIG_PASSWORD_MAX + 1];
	CURL		 *curl = smtp->curl;

	if (config->user == NULL)
		return true;
	if (!config_password(config, password))
		return false;
	curl_easy_setopt(curl, CURLOPT_USERNAME, config->user);
	if (config->auth != NULL && strcmp(config->auth, "xoauth2") == 0)
		curl_easy_setopt(curl, CURLOPT_XOAUTH2_BEARER, password);
	else
		curl_easy_setopt(curl, CURLOPT_PASSWORD, password);
	if (config->auth != NULL)
		curl_easy_setopt(curl, CURLOPT_LOGIN_OPTIONS,
						 strcmp(config->auth, "plain") == 0 ? "AUTH=PLAIN" :
						 strcmp(config->auth, "login") == 0 ? "AUTH=LOGIN" :
															  "AUTH=XOAUTH2");
	explicit_bzero(password, sizeof(password));
	return true;
}

/* Is there a connection, as far as we know? */
bool
smtp_is_open(const Smtp *smtp)
{
	for (int i = 0; i < SOCKETS_MAX; i++)
		if (smtp->sockets[i] >= 0)
			return true;
	return false;
}

/*
 * Sends one message and says how it went. A connection that the server has
 * closed while it rested, or closes now because it had enough of it (421),
 * says nothing about the message: then it goes over a new one at once.
 */
void
smtp_send(Smtp *smtp, Mail *mail, SmtpResult *result)
{
	for (int attempt = 0; attempt < 2; attempt++)
	{
		bool	 was_open = smtp_is_open(smtp);
		CURLcode rc;

		if (!was_open && !set_login(smtp))
		{
			result->outcome = MA_OUTCOME_NOT_REACHED;
			result->code = 0;
			snprintf(result->text, sizeof(result->text),
					 "cannot read the password file: %s", strerror(errno));
			return;
		}
		rc = perform(smtp, mail);
		judge(smtp, rc, result);
		if (!was_open || smtp->aborted != NULL ||
			(result->outcome != MA_OUTCOME_NOT_REACHED && result->code != 421))
			return;
	}
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
	smtp->aborted = NULL;
	smtp->closing = false;
	smtp->lacks_utf8 = false;
	smtp->error[0] = '\0';
	smtp->deadline = now_ms() + smtp->config->connect_ms;
	smtp->total_deadline = now_ms() + smtp->config->total_ms;
	reply_reset(&smtp->reply);
	curl_easy_setopt(smtp->curl, CURLOPT_UPLOAD, 1L);
	curl_easy_setopt(smtp->curl, CURLOPT_MAIL_FROM, mail->sender);
	curl_easy_setopt(smtp->curl, CURLOPT_MAIL_RCPT, recipients);
	rc = curl_easy_perform(smtp->curl);
	curl_easy_setopt(smtp->curl, CURLOPT_MAIL_RCPT, NULL);
	curl_slist_free_all(recipients);
	return rc;
}

/* Why nothing came back, in words. */
static const char *
reason(const Smtp *smtp, CURLcode rc)
{
	long system_error = 0;

	if (smtp->aborted != NULL)
		return smtp->aborted;
	if (smtp->reply.code >= 400)
		return smtp->reply.text;
	if (rc == CURLE_COULDNT_CONNECT &&
		curl_easy_getinfo(smtp->curl, CURLINFO_OS_ERRNO, &system_error) ==
			CURLE_OK &&
		system_error != 0)
		return strerror((int) system_error);
	if (smtp->error[0] != '\0')
		return smtp->error;
	return curl_easy_strerror(rc);
}

/*
 * What became of the message. Replies count only from MAIL on: what is
 * refused before is the connection, and so is a wish for login or encryption
 * (530 to 539) in answer to MAIL.
 */
static void
judge(Smtp *smtp, CURLcode rc, SmtpResult *result)
{
	static const char *const doing[] = {
		"connecting",		   "greeting",			"MAIL", "RCPT", "DATA",
		"sending the message", "end of the message"};
	int	 code = smtp->reply.code;
	bool wants_login = smtp->stage == STAGE_MAIL && code / 10 == 53;

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

/* libcurl wants a socket. */
static curl_socket_t
on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	Smtp *smtp = arg;

	(void) purpose;
	if (smtp->no_connect)
		return CURL_SOCKET_BAD;
	for (int i = 0; i < SOCKETS_MAX; i++)
		if (smtp->sockets[i] < 0)
			return smtp->sockets[i] = socket(address->family,
											 address->socktype | SOCK_CLOEXEC,
											 address->protocol);
	return CURL_SOCKET_BAD;
}

/* libcurl closes one. */
static int
on_close(void *arg, curl_socket_t fd)
{
	Smtp *smtp = arg;

	for (int i = 0; i < SOCKETS_MAX; i++)
		if (smtp->sockets[i] == fd)
			smtp->sockets[i] = -1;
	return close(fd);
}

/* Nothing more will be read or, with SHUT_RDWR, written. */
static void
shut_sockets(Smtp *smtp, int how)
{
	for (int i = 0; i < SOCKETS_MAX; i++)
		if (smtp->sockets[i] >= 0)
			shutdown(smtp->sockets[i], how);
}

/* Has any of the sockets a peer? */
static bool
is_connected(const Smtp *smtp)
{
	for (int i = 0; i < SOCKETS_MAX; i++)
	{
		struct sockaddr_storage peer;
		socklen_t				len = sizeof(peer);

		if (smtp->sockets[i] >= 0 &&
			getpeername(smtp->sockets[i], (struct sockaddr *) &peer, &len) ==
				0)
			return true;
	}
	return false;
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
			shut_sockets(smtp, SHUT_RDWR);
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
	if (type != CURLINFO_HEADER_OUT || smtp->closing)
		return 0;
	if (begins(data, len, "QUIT\r\n"))
	{
		smtp->closing = true;
		shut_sockets(smtp, SHUT_RD);
		return 0;
	}
	note_command(smtp, data, len);
	reply_reset(&smtp->reply);
	smtp->deadline = now_ms() + smtp->config->reply_ms;
	return 0;
}

/* libcurl has read a line of a reply. */
static size_t
on_header(char *line, size_t size, size_t count, void *arg)
{
	Smtp *smtp = arg;

	if (smtp->closing)
		return size * count;
	if (smtp->stage == STAGE_HELLO && size * count >= 12 &&
		strncasecmp(line + 4, "SMTPUTF8", 8) == 0)
		smtp->utf8 = true;
	if (!reply_add(&smtp->reply, line, size * count))
	{
		smtp->aborted = "the server's reply has no end";
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
		smtp->deadline = now_ms() + smtp->config->reply_ms;
		return len;
	}
	frame_write_ending(STDOUT_FILENO, smtp->mail->id);
	smtp->stage = STAGE_END;
	smtp->deadline = now_ms() + smtp->config->final_ms;
	reply_reset(&smtp->reply);
	return 0;
}

/* libcurl asks whether to go on. */
static int
on_progress(void *arg, curl_off_t dltotal, curl_off_t dlnow,
			curl_off_t ultotal, curl_off_t ulnow)
{
	Smtp   *smtp = arg;
	int64_t now = now_ms();

	(void) dltotal;
	(void) dlnow;
	(void) ultotal;
	(void) ulnow;
	if (smtp->closing || smtp->aborted != NULL)
		return smtp->aborted != NULL;
	if (smtp->stage == STAGE_CONNECT && is_connected(smtp))
	{
		smtp->stage = STAGE_HELLO;
		smtp->deadline = now + smtp->config->reply_ms;
	}
	if (now >= smtp->deadline)
		smtp->aborted = "no answer in time";
	else if (smtp->stage < STAGE_END && now >= smtp->total_deadline)
		smtp->aborted = "it took too long";
	if (smtp->aborted == NULL)
		return 0;
	shut_sockets(smtp, SHUT_RDWR);
	return 1;
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
	smtp->aborted = NULL;
	smtp->closing = false;
	smtp->no_connect = true;
	smtp->deadline = smtp->total_deadline = now_ms() + QUIT_MS;
	curl_easy_setopt(smtp->curl, CURLOPT_UPLOAD, 0L);
	curl_easy_setopt(smtp->curl, CURLOPT_CUSTOMREQUEST, "QUIT");
	(void) curl_easy_perform(smtp->curl);
	curl_easy_setopt(smtp->curl, CURLOPT_CUSTOMREQUEST, NULL);
	smtp->no_connect = false;
}

void
smtp_free(Smtp *smtp)
{
	shut_sockets(smtp, SHUT_RDWR);
	curl_easy_cleanup(smtp->curl);
	free(smtp);
}
