/*
 * http.c
 *	  One connection to web servers, one after the other.
 *
 * A request may have been acted upon from the moment it is written: then, and
 * not before, ENDING is said. Redirects are not followed, neither proxy nor
 * .netrc is asked, and private addresses are refused unless allowed: where a
 * request goes is what its URL says, judged after its name was resolved.
 *
 * libcurl sends a request again, over a new connection, if a kept one turns
 * out to be closed before a byte came back. Requests should carry an
 * Idempotency-Key.
 */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc.h"
#include "handle.h"
#include "http.h"

/* More than this of a response is not read. */
#define RESPONSE_MAX (256 * 1024)

struct Http
{
	const Config *config;
	Handle		  handle;
	Request		 *request;		/* now being sent */
	bool		  written;		/* its first byte may be */
	size_t		  response_len; /* bytes read of the response's body */
	size_t		  text_len;		/* of them kept */
	char		  text[MA_TEXT_MAX + 1];
};

static bool	  set_up(Http *http);
static void	  set_request(Http *http, const Request *request);
static void	  judge(Http *http, CURLcode rc, Result *result);
static int	  on_write_request(void *arg, char *remote, char *local,
							   int remote_port, int local_port);
static size_t on_response(char *data, size_t size, size_t count, void *arg);
static size_t on_header(char *line, size_t size, size_t count, void *arg);

/* No connection is made yet. The configuration must outlive it. */
Http *
http_new(const Config *config)
{
	Http *http = alloc_zero(sizeof(*http));

	http->config = config;
	if (!set_up(http))
	{
		free(http);
		return NULL;
	}
	return http;
}

/* A new handle with the options that never change. */
static bool
set_up(Http *http)
{
	CURL *curl;

	memset(&http->handle, 0, sizeof(http->handle));
	if (!handle_init(&http->handle, http->config, "http,https"))
		return false;
	curl = http->handle.curl;
	curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(curl, CURLOPT_USERAGENT, "mautomate");
	curl_easy_setopt(curl, CURLOPT_PREREQFUNCTION, on_write_request);
	curl_easy_setopt(curl, CURLOPT_PREREQDATA, http);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_response);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, http);
	curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(curl, CURLOPT_HEADERDATA, http);
	return true;
}

/* Sends one request and says how it went. */
void
http_send(Http *http, Request *request, Result *result)
{
	CURLcode rc;

	http->request = request;
	http->written = false;
	http->response_len = 0;
	http->text_len = 0;
	set_request(http, request);
	handle_begin(&http->handle);
	rc = curl_easy_perform(http->handle.curl);
	curl_easy_setopt(http->handle.curl, CURLOPT_HTTPHEADER, NULL);
	judge(http, rc, result);
}

/* What is different in each request. */
static void
set_request(Http *http, const Request *request)
{
	CURL *curl = http->handle.curl;
	bool  is_head = strcmp(request->method, "HEAD") == 0;

	curl_easy_setopt(curl, CURLOPT_URL, request->url);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, request->lines);
	curl_easy_setopt(curl, CURLOPT_NOBODY, 0L);
	curl_easy_setopt(curl, CURLOPT_HTTPGET, 1L);
	if (request->body_len > 0 || strcmp(request->method, "POST") == 0 ||
		strcmp(request->method, "PUT") == 0)
	{
		curl_easy_setopt(curl, CURLOPT_POST, 1L);
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->body);
		curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE,
						 (curl_off_t) request->body_len);
	}
	else if (is_head)
		curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
	curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request->method);
}

/* What became of the request, by the status alone if there is one. */
static void
judge(Http *http, CURLcode rc, Result *result)
{
	long		status = 0;
	const char *text = http->text;

	http->text[http->text_len] = '\0';
	curl_easy_getinfo(http->handle.curl, CURLINFO_RESPONSE_CODE, &status);
	if (status < 200)
		status = 0;
	if (status == 0)
		text = handle_reason(&http->handle, rc);

	if (status / 100 == 2)
		result->outcome = MA_OUTCOME_SENT;
	else if (status == 408 || status == 425 || status == 429 || status >= 500)
		result->outcome = MA_OUTCOME_TEMPORARY;
	else if (status != 0)
		result->outcome = MA_OUTCOME_PERMANENT;
	else if (http->written)
		result->outcome = MA_OUTCOME_IN_DOUBT;
	else if (http->handle.refused)
	{
		result->outcome = MA_OUTCOME_PERMANENT;
		text = "the address is private or reserved";
	}
	else
		result->outcome = MA_OUTCOME_NOT_REACHED;
	if (status / 100 == 3)
		text = "a redirect, and they are not followed";
	result->code = (int) status;
	snprintf(result->text, sizeof(result->text), "%s", text);
}

/* libcurl is connected and about to write the request. */
static int
on_write_request(void *arg, char *remote, char *local, int remote_port,
				 int local_port)
{
	Http *http = arg;

	(void) remote;
	(void) local;
	(void) remote_port;
	(void) local_port;
	frame_write_ending(STDOUT_FILENO, http->request->job.id);
	http->written = true;
	http->handle.connected = true;
	handle_wait(&http->handle, http->config->reply_ms);
	return CURL_PREREQFUNC_OK;
}

/* libcurl has read a header; their number is limited by libcurl. */
static size_t
on_header(char *line, size_t size, size_t count, void *arg)
{
	Http *http = arg;

	(void) line;
	handle_wait(&http->handle, http->config->reply_ms);
	return size * count;
}

/* libcurl has read some of the response's body. */
static size_t
on_response(char *data, size_t size, size_t count, void *arg)
{
	Http  *http = arg;
	size_t len = size * count;

	http->response_len += len;
	for (size_t i = 0; i < len && http->text_len < MA_TEXT_MAX; i++)
		http->text[http->text_len++] =
			data[i] >= ' ' && data[i] <= '~' ? data[i] : '?';
	handle_wait(&http->handle, http->config->reply_ms);
	return http->response_len <= RESPONSE_MAX ? len : 0;
}

/* Is there a connection, as far as we know? */
bool
http_is_open(const Http *http)
{
	return handle_is_open(&http->handle);
}

/* Closes the connection, if there is one. */
void
http_close(Http *http)
{
	handle_free(&http->handle);
	if (!set_up(http))
		alloc_give_up();
}

void
http_free(Http *http)
{
	handle_free(&http->handle);
	free(http);
}
