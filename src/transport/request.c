/*
 * request.c
 *	  Reads a request from its frame and makes sure that it is one request.
 *
 * A line end in a method, an URL or a header would begin a header or a request
 * of a stranger's choice, and so would a length that is not the body's.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "alloc.h"
#include "request.h"

#define METHOD_MAX 16
#define URL_MAX	   8000

static const char token_chars[] = "abcdefghijklmnopqrstuvwxyz"
								  "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
								  "0123456789!#$%&'*+-.^_`|~";

/*
 * Makes a request of a frame and takes its payload over. NULL if it is not
 * one, then nothing is taken.
 */
Request *
request_read(Frame *frame)
{
	Request *request = alloc_zero(sizeof(*request));

	if (!frame_take_id(frame, &request->job.id) ||
		(request->method = frame_take_string(frame)) == NULL ||
		(request->url = frame_take_string(frame)) == NULL ||
		(request->headers = frame_take_string(frame)) == NULL ||
		!frame_take_bytes(frame, &request->body, &request->body_len) ||
		frame->taken != frame->len)
	{
		request_free(request);
		return NULL;
	}
	request->payload = frame->payload;
	frame->payload = NULL;
	return request;
}

void
request_free(Request *request)
{
	curl_slist_free_all(request->lines);
	free(request->method);
	free(request->url);
	free(request->headers);
	free(request->payload);
	free(request);
}

/* An http or https URL without user, and nothing in it but visible ASCII? */
bool
request_is_url(const char *url)
{
	CURLU *parsed = curl_url();
	char  *scheme = NULL;
	bool   good = strlen(url) <= URL_MAX;

	for (const char *c = url; *c != '\0'; c++)
		good = good && *c > ' ' && *c <= '~';
	good = good && parsed != NULL &&
		   curl_url_set(parsed, CURLUPART_URL, url, CURLU_DISALLOW_USER) ==
			   CURLUE_OK &&
		   curl_url_get(parsed, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
		   (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0);
	curl_free(scheme);
	curl_url_cleanup(parsed);
	return good;
}

/* Is that line "Name: value", and no header that says where a request ends? */
static bool
is_header(const char *line)
{
	static const char *const ours[] = {"Content-Length", "Transfer-Encoding",
									   "Connection", "Expect", "Host"};
	size_t					 name_len = strspn(line, token_chars);
	const char				*value = line + name_len + 2;

	if (name_len == 0 || line[name_len] != ':' || line[name_len + 1] != ' ' ||
		*value == '\0')
		return false;
	for (; *value != '\0'; value++)
		if ((unsigned char) *value < ' ' || *value == 0x7f)
			return false;
	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		if (name_len == strlen(ours[i]) &&
			strncasecmp(line, ours[i], name_len) == 0)
			return false;
	return true;
}

/* Appends a line for libcurl. */
static bool
add_line(Request *request, const char *line)
{
	struct curl_slist *longer = curl_slist_append(request->lines, line);

	if (longer == NULL)
		return false;
	request->lines = longer;
	return true;
}

/*
 * Makes the request safe for the wire. Returns why it can never be sent, or
 * NULL. The URL is not looked at if it is in a file. What libcurl would add by
 * itself and the caller did not is left out.
 */
const char *
request_check(Request *request, bool has_url_file)
{
	bool  has_type = false;
	char *rest = NULL;

	if (request->method[0] == '\0' || strlen(request->method) > METHOD_MAX ||
		request->method[strspn(request->method, token_chars)] != '\0')
		return "the method is not valid";
	if (!has_url_file && !request_is_url(request->url))
		return "the URL is not a valid http or https URL";
	for (char *line = strtok_r(request->headers, "\n", &rest); line != NULL;
		 line = strtok_r(NULL, "\n", &rest))
	{
		if (!is_header(line) || !add_line(request, line))
			return "a header is not valid";
		has_type = has_type || strncasecmp(line, "Content-Type:", 13) == 0;
	}
	if ((!has_type && !add_line(request, "Content-Type:")) ||
		!add_line(request, "Expect:"))
		return "there is no memory";
	return NULL;
}
