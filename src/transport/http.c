/*
 * http.c
 *	  One connection to web servers, one after the other.
 *
 * A request may have been acted upon from the moment it is written: then, and
 * not before, ENDING is said. Redirects are not followed, neither proxy nor
 * .netrc is asked, and private addresses are refused unless allowed: where a
 * request goes is what its URL says, judged after its name was resolved.
 *
 * What the response must be for the request to have been done is configured,
 * since gateways say 200 to what they refuse; so it is read here, and only
 * the few words that are of use leave this program.
 *
 * libcurl sends a request again, over a new connection, if a kept one turns
 * out to be closed before a byte came back. Requests should carry an
 * Idempotency-Key.
 */
#include <curl/curl.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "alloc.h"
#include "handle.h"
#include "http.h"
#include "json.h"
#include "sha256.h"

/* More than this of a response is not read. */
#define RESPONSE_MAX (256 * 1024)

/* A hexadecimal digest behind its name. */
#define SIGNATURE_MAX (sizeof("sha256=") + 2 * SHA256_BYTES)

/* Statuses that mean the request was done, or may be tried again. */
#define DEFAULT_SUCCESS "2xx"
#define DEFAULT_RETRY	"408,425,429,5xx"

struct Http
{
	const Config	  *config;
	Handle			   handle;
	Request			  *request;	 /* now being sent */
	bool			   written;	 /* its first byte may be */
	const char		  *unready;	 /* why it cannot be sent now */
	struct curl_slist *headers;	 /* of this request */
	char			  *response; /* its body, RESPONSE_MAX bytes at most */
	size_t			   response_len;
	size_t			   response_max; /* allocated */
};

static bool		 set_up(Http *http);
static void		 set_request(Http *http, const Request *request);
static bool		 set_secrets(Http *http, const Request *request);
static bool		 set_header(Http *http, const char *name, const char *prefix,
							const char *value);
static void		 sign(Http *http, const Request *request, const char *key);
static void		 judge(Http *http, CURLcode rc, Result *result);
static MaOutcome judge_response(Http *http, const char *status);
static void		 show_response(const Http *http, Result *result);
static int		 on_write_request(void *arg, char *remote, char *local,
								  int remote_port, int local_port);
static size_t	 on_response(char *data, size_t size, size_t count, void *arg);
static size_t	 on_header(char *line, size_t size, size_t count, void *arg);

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
	http->headers = NULL;
	set_request(http, request);
	if (set_secrets(http, request))
	{
		curl_easy_setopt(http->handle.curl, CURLOPT_HTTPHEADER, http->headers);
		handle_begin(&http->handle);
		rc = curl_easy_perform(http->handle.curl);
		curl_easy_setopt(http->handle.curl, CURLOPT_HTTPHEADER, NULL);
		judge(http, rc, result);
	}
	else
	{
		result->outcome = MA_OUTCOME_NOT_REACHED;
		snprintf(result->text, sizeof(result->text),
				 "cannot read the file of the %s: %s", http->unready,
				 strerror(errno));
	}
	curl_slist_free_all(http->headers);
}

/* What is different in each request. */
static void
set_request(Http *http, const Request *request)
{
	CURL *curl = http->handle.curl;
	bool  is_head = strcmp(request->method, "HEAD") == 0;

	curl_easy_setopt(curl, CURLOPT_URL, request->url);
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

/*
 * The headers of the request, and what only files hold: password, token, the
 * key of the signature, the URL. False, and unready says what, if one of them
 * cannot be read.
 */
static bool
set_secrets(Http *http, const Request *request)
{
	const Web	*web = &http->config->web;
	const Relay *relay = &http->config->relays[0];
	char		 secret[CONFIG_SECRET_MAX + 1];
	bool		 good = true;

	for (struct curl_slist *line = request->lines; line != NULL;
		 line = line->next)
		good = good && set_header(http, line->data, "", "");
	http->unready = "headers";
	if (good && relay->user != NULL)
	{
		http->unready = "password";
		good = config_secret(relay->password_file, secret);
		curl_easy_setopt(http->handle.curl, CURLOPT_USERNAME, relay->user);
		curl_easy_setopt(http->handle.curl, CURLOPT_PASSWORD,
						 good ? secret : NULL);
	}
	if (good && web->token_file != NULL)
	{
		http->unready = "token";
		good = config_secret(web->token_file, secret) && secret[0] != '\0' &&
			   set_header(http, web->token_header,
						  web->token_prefix != NULL ? web->token_prefix : "",
						  secret);
	}
	if (good && web->url_file != NULL)
	{
		http->unready = "URL";
		good = config_secret(web->url_file, secret) && request_is_url(secret);
		curl_easy_setopt(http->handle.curl, CURLOPT_URL, secret);
	}
	if (good && web->sign_file != NULL)
	{
		http->unready = "signature's key";
		good = config_secret(web->sign_file, secret);
		if (good)
			sign(http, request, secret);
	}
	explicit_bzero(secret, sizeof(secret));
	return good;
}

/*
 * Adds a header; with an empty value the name is the whole line. False, with
 * errno, if it would be more than one.
 */
static bool
set_header(Http *http, const char *name, const char *prefix, const char *value)
{
	char			  *line;
	struct curl_slist *longer;
	size_t			   len;

	errno = EINVAL;
	if (value[strcspn(value, "\r\n")] != '\0')
		return false;
	len = strlen(name) + strlen(prefix) + strlen(value) + 3;
	line = alloc_get(len);
	snprintf(line, len, "%s%s%s%s", name, *value != '\0' ? ": " : "", prefix,
			 value);
	longer = curl_slist_append(http->headers, line);
	explicit_bzero(line, len);
	free(line);
	if (longer == NULL)
		alloc_give_up();
	http->headers = longer;
	return true;
}

/*
 * Says when the request was made, and proves by HMAC-SHA256 of that time, a
 * point and the body that whoever has made it knows the key.
 */
static void
sign(Http *http, const Request *request, const char *key)
{
	uint8_t digest[SHA256_BYTES];
	char	signature[SIGNATURE_MAX];
	char	seconds[24];
	char   *to = signature;
	Sha256	hash;

	snprintf(seconds, sizeof(seconds), "%lld", (long long) time(NULL));
	hmac_begin(&hash, key, strlen(key));
	sha256_add(&hash, seconds, strlen(seconds));
	sha256_add(&hash, ".", 1);
	sha256_add(&hash, request->body, request->body_len);
	hmac_end(&hash, key, strlen(key), digest);
	to += sprintf(to, "sha256=");
	for (int i = 0; i < SHA256_BYTES; i++)
		to += sprintf(to, "%02x", digest[i]);
	(void) set_header(http, http->config->web.time_header, "", seconds);
	(void) set_header(http, http->config->web.sign_header, "", signature);
}

/* What became of the request: by the response, if there is one. */
static void
judge(Http *http, CURLcode rc, Result *result)
{
	char	   digits[24];
	curl_off_t wait = 0;
	long	   status = 0;

	curl_easy_getinfo(http->handle.curl, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(http->handle.curl, CURLINFO_RETRY_AFTER, &wait);
	if (status >= 200)
	{
		snprintf(digits, sizeof(digits), "%ld", status);
		result->code = (int) status;
		result->retry_after =
			wait > 0 && wait < INT32_MAX ? (unsigned) wait : 0;
		result->outcome = judge_response(http, digits);
		show_response(http, result);
		return;
	}
	result->code = 0;
	if (http->written)
		result->outcome = MA_OUTCOME_IN_DOUBT;
	else if (http->handle.refused)
		result->outcome = MA_OUTCOME_PERMANENT;
	else
		result->outcome = MA_OUTCOME_NOT_REACHED;
	snprintf(result->text, sizeof(result->text), "%s",
			 http->handle.refused && !http->written ?
				 "the address is private or reserved" :
				 handle_reason(&http->handle, rc));
}

/* Is a status, or its class, in a list with commas? */
static bool
is_status(const char *list, const char *status)
{
	for (; list[0] != '\0' && list[1] != '\0' && list[2] != '\0';
		 list += list[3] == ',' ? 4 : 3)
		if (list[0] == status[0] &&
			(strncmp(list, status, 3) == 0 || strncmp(list + 1, "xx", 2) == 0))
			return true;
	return false;
}

/* Is a value one of these lines? */
static bool
is_line(const char *lines, const char *value)
{
	size_t len = strlen(value);

	for (const char *line = lines; line != NULL;
		 line = strchr(line, '\n') != NULL ? strchr(line, '\n') + 1 : NULL)
		if (strncmp(line, value, len) == 0 &&
			(line[len] == '\0' || line[len] == '\n'))
			return true;
	return false;
}

/* What the configuration says of a response. */
static MaOutcome
judge_response(Http *http, const char *status)
{
	const Web *web = &http->config->web;
	char	   value[JSON_VALUE_MAX + 1];
	bool	   found =
		web->path != NULL &&
		json_find(http->response, http->response_len, web->path, value);

	if (found && is_line(web->retry_values, value))
		return MA_OUTCOME_TEMPORARY;
	if (is_status(web->success != NULL ? web->success : DEFAULT_SUCCESS,
				  status))
	{
		if (web->path == NULL ||
			(found && (web->values == NULL ? strcmp(value, "false") != 0 :
											 is_line(web->values, value))))
			return MA_OUTCOME_SENT;
		return MA_OUTCOME_PERMANENT;
	}
	if (is_status(web->retry != NULL ? web->retry : DEFAULT_RETRY, status))
		return MA_OUTCOME_TEMPORARY;
	return MA_OUTCOME_PERMANENT;
}

/* Copies a stranger's text, taken to be UTF-8, without what controls. */
static void
show(char *to, const char *from, size_t len)
{
	for (size_t i = 0; i < len; i++)
		to[i] =
			(unsigned char) from[i] >= ' ' && from[i] != 0x7f ? from[i] : '?';
	to[len] = '\0';
}

/* Takes the beginning of the response into the result, and the id in it. */
static void
show_response(const Http *http, Result *result)
{
	const char *path = http->config->web.id_path;
	char		id[JSON_VALUE_MAX + 1];

	show(result->text, http->response,
		 http->response_len < MA_TEXT_MAX ? http->response_len : MA_TEXT_MAX);
	if (result->code / 100 == 3)
		snprintf(result->text, sizeof(result->text),
				 "a redirect, and they are not followed");
	if (path != NULL &&
		json_find(http->response, http->response_len, path, id) &&
		strlen(id) <= MA_PROVIDED_MAX)
		show(result->provided, id, strlen(id));
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
	frame_add_ending(STDOUT_FILENO, http->request->job.id);
	frame_flush(STDOUT_FILENO);
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

	handle_wait(&http->handle, http->config->reply_ms);
	if (http->response_len + len > RESPONSE_MAX)
		return 0;
	if (http->response_len + len > http->response_max)
	{
		size_t max = 2 * (http->response_len + len);
		char  *longer = realloc(http->response, max);

		if (longer == NULL)
			alloc_give_up();
		http->response = longer;
		http->response_max = max;
	}
	memcpy(http->response + http->response_len, data, len);
	http->response_len += len;
	return len;
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
	free(http->response);
	free(http);
}
