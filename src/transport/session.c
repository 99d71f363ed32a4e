/*
 * session.c
 *	  A connection to a relay: libcurl makes it, others speak over it.
 *
 * libcurl does what is hard: names, addresses, TLS and whom to trust, EHLO,
 * the login. It is told to stop there (CURLOPT_CONNECT_ONLY) and then only
 * carries bytes, through TLS where there is TLS. While it makes a connection,
 * which blocks, we follow by its callbacks what the server says: what it
 * offers, and why it refuses us.
 */
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "alloc.h"
#include "session.h"

static void	  set_options(Session *session, const Relay *relay);
static void	  set_url(Session *session, const Relay *relay);
static bool	  set_login(Session *session, const Relay *relay);
static bool	  take_over(Session *session);
static void	  say_failure(Session *session, CURLcode rc, Result *result);
static int	  on_debug(CURL *curl, curl_infotype type, char *data, size_t len,
					   void *arg);
static size_t on_header(char *line, size_t size, size_t count, void *arg);

/* One that is not open. It must not move; the configuration outlives it. */
void
session_init(Session *session, const Config *config)
{
	memset(session, 0, sizeof(*session));
	session->config = config;
}

/*
 * Connects to a relay, up to the login, which takes as long as it is allowed
 * to. False and the result says why, if that fails. One that is open is
 * closed before.
 */
bool
session_open(Session *session, const Relay *relay, Result *result)
{
	CURLcode rc;

	session_close(session);
	session_init(session, session->config);
	if (!handle_init(&session->handle, session->config, "smtp,smtps"))
		alloc_give_up();
	set_options(session, relay);
	set_url(session, relay);
	if (!set_login(session, relay))
	{
		result->outcome = MA_OUTCOME_NOT_REACHED;
		result->code = 0;
		snprintf(result->text, sizeof(result->text),
				 "cannot read the password file: %s", strerror(errno));
		handle_free(&session->handle);
		return false;
	}
	handle_begin(&session->handle);
	rc = curl_easy_perform(session->handle.curl);
	if (rc == CURLE_OK && take_over(session))
		return true;
	say_failure(session, rc, result);
	handle_free(&session->handle);
	return false;
}

/* The options that do not depend on the server's replies. */
static void
set_options(Session *session, const Relay *relay)
{
	CURL *curl = session->handle.curl;

	handle_trust(&session->handle, relay);
	curl_easy_setopt(curl, CURLOPT_CONNECT_ONLY, 1L);
	curl_easy_setopt(curl, CURLOPT_VERBOSE, 1L);
	curl_easy_setopt(curl, CURLOPT_DEBUGFUNCTION, on_debug);
	curl_easy_setopt(curl, CURLOPT_DEBUGDATA, session);
	curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(curl, CURLOPT_HEADERDATA, session);
	curl_easy_setopt(curl, CURLOPT_USE_SSL,
					 relay->tls == TLS_NONE ? (long) CURLUSESSL_NONE :
											  (long) CURLUSESSL_ALL);
}

/* The address of the relay; its path is the name we greet with. */
static void
set_url(Session *session, const Relay *relay)
{
	const char *name =
		session->config->helo != NULL ? session->config->helo : "";
	bool  is_ipv6 = strchr(relay->host, ':') != NULL;
	CURL *curl = session->handle.curl;
	char *helo = curl_easy_escape(curl, name, 0);
	char  url[2048];

	snprintf(url, sizeof(url), "%s://%s%s%s:%d/%s",
			 relay->tls == TLS_SMTPS ? "smtps" : "smtp", is_ipv6 ? "[" : "",
			 relay->host, is_ipv6 ? "]" : "", relay->port,
			 helo != NULL ? helo : "");
	curl_free(helo);
	curl_easy_setopt(curl, CURLOPT_URL, url);
}

/* User and password; false if there is no password. */
static bool
set_login(Session *session, const Relay *relay)
{
	const char *auth = relay->auth;
	bool		is_token = auth != NULL && strcmp(auth, "xoauth2") == 0;
	char		password[CONFIG_SECRET_MAX + 1] = "";
	CURL	   *curl = session->handle.curl;

	if (relay->user == NULL)
		return true;
	if (!config_secret(relay->password_file, password))
		return false;
	curl_easy_setopt(curl, CURLOPT_USERNAME, relay->user);
	curl_easy_setopt(
		curl, is_token ? CURLOPT_XOAUTH2_BEARER : CURLOPT_PASSWORD, password);
	if (auth != NULL)
		curl_easy_setopt(curl, CURLOPT_LOGIN_OPTIONS,
						 is_token					? "AUTH=XOAUTH2" :
						 strcmp(auth, "plain") == 0 ? "AUTH=PLAIN" :
													  "AUTH=LOGIN");
	explicit_bzero(password, sizeof(password));
	return true;
}

/* libcurl has done its part: the connection is ours. */
static bool
take_over(Session *session)
{
	CURL		 *curl = session->handle.curl;
	curl_socket_t socket = CURL_SOCKET_BAD;

	if (curl_easy_getinfo(curl, CURLINFO_ACTIVESOCKET, &socket) != CURLE_OK ||
		socket == CURL_SOCKET_BAD)
		return false;
	curl_easy_setopt(curl, CURLOPT_VERBOSE, 0L);
	session->socket = socket;
	session->is_open = true;
	return true;
}

/* Why there is no connection. */
static void
say_failure(Session *session, CURLcode rc, Result *result)
{
	const Reply *reply = &session->reply;
	bool refused = session->handle.aborted == NULL && reply->code >= 400;

	result->outcome = MA_OUTCOME_NOT_REACHED;
	result->code = reply->code >= 400 ? reply->code : 0;
	snprintf(result->text, sizeof(result->text), "%s: %.900s",
			 session->greets || session->handle.connected ? "greeting" :
															"connecting",
			 refused ? reply->text : handle_reason(&session->handle, rc));
}

/* libcurl has written something: a reply to that comes next. */
static int
on_debug(CURL *curl, curl_infotype type, char *data, size_t len, void *arg)
{
	Session *session = arg;

	(void) curl;
	if (type != CURLINFO_HEADER_OUT)
		return 0;
	session->in_ehlo = len >= 5 && memcmp(data, "EHLO ", 5) == 0;
	if (session->in_ehlo)
		memset(&session->offer, 0, sizeof(session->offer));
	session->greets = true;
	session->handle.connected = true;
	reply_reset(&session->reply);
	handle_wait(&session->handle, session->config->reply_ms);
	return 0;
}

/* Is that line of a reply to EHLO about this keyword? */
static bool
offers(const char *line, size_t len, const char *keyword)
{
	size_t keyword_len = strlen(keyword);

	return len > 4 + keyword_len &&
		   strncasecmp(line + 4, keyword, keyword_len) == 0 &&
		   strchr(" \r\n", line[4 + keyword_len]) != NULL;
}

/* libcurl has read a line of a reply. */
static size_t
on_header(char *line, size_t size, size_t count, void *arg)
{
	Session *session = arg;
	size_t	 len = size * count;

	session->greets = true;
	if (session->in_ehlo)
	{
		session->offer.pipelining |= offers(line, len, "PIPELINING");
		session->offer.size |= offers(line, len, "SIZE");
		session->offer.utf8 |= offers(line, len, "SMTPUTF8");
	}
	if (!reply_add(&session->reply, line, len))
	{
		session->handle.aborted = "the server's reply has no end";
		return 0;
	}
	return len;
}

/* Writes what can be written now. After WAIT the same has to be given. */
SessionIo
session_send(Session *session, const char *data, size_t len, size_t *sent)
{
	CURLcode rc = curl_easy_send(session->handle.curl, data, len, sent);

	if (rc == CURLE_AGAIN)
		return SESSION_WAIT;
	return rc == CURLE_OK ? SESSION_DONE : SESSION_LOST;
}

/*
 * Reads what is there now. There may be more, also where it is less than was
 * asked for: TLS gives one record, and libcurl since 8.15 lets it read ahead.
 */
SessionIo
session_receive(Session *session, char data[SESSION_BYTES], size_t *len)
{
	CURLcode rc =
		curl_easy_recv(session->handle.curl, data, SESSION_BYTES, len);

	if (rc == CURLE_AGAIN)
		return SESSION_WAIT;
	return rc == CURLE_OK && *len > 0 ? SESSION_DONE : SESSION_LOST;
}

/* Why it is lost, in words. */
const char *
session_reason(Session *session)
{
	return session->handle.error[0] != '\0' ?
			   session->handle.error :
			   "the server closed the connection";
}

/* Says goodbye, waits for no answer, and closes. */
void
session_quit(Session *session)
{
	size_t sent;

	if (session->is_open)
		(void) session_send(session, "QUIT\r\n", 6, &sent);
	session_close(session);
}

/* Closes without a word; if it is open. */
void
session_close(Session *session)
{
	if (session->is_open)
		handle_free(&session->handle);
	session->is_open = false;
}
