/*
 * plain.c
 *	  The least that libcurl can be asked for: one handle, one message after
 *	  the other. What the transport is measured against.
 */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char body[4096];
static size_t offset;

/* libcurl wants more of the message. */
static size_t
on_read(char *buffer, size_t size, size_t count, void *arg)
{
	size_t		len = sizeof(body) - offset;

	(void) arg;
	if (len > size * count)
		len = size * count;
	memcpy(buffer, body + offset, len);
	offset += len;
	return len;
}

int
main(int argc, char **argv)
{
	CURL	   *curl = curl_easy_init();
	struct curl_slist *to = curl_slist_append(NULL, "to@example.com");
	char		url[64];

	if (argc != 3)
		return 2;
	for (size_t i = 0; i < sizeof(body); i++)
		body[i] = i % 76 == 74 ? '\r' : i % 76 == 75 ? '\n' : 'x';
	body[sizeof(body) - 2] = '\r';
	body[sizeof(body) - 1] = '\n';
	snprintf(url, sizeof(url), "smtp://127.0.0.1:%s", argv[1]);
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_MAIL_FROM, "from@example.com");
	curl_easy_setopt(curl, CURLOPT_MAIL_RCPT, to);
	curl_easy_setopt(curl, CURLOPT_READFUNCTION, on_read);
	curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
	for (int i = atoi(argv[2]); i > 0; i--)
	{
		offset = 0;
		if (curl_easy_perform(curl) != CURLE_OK)
			return 1;
	}
	curl_easy_cleanup(curl);
	curl_slist_free_all(to);
	return 0;
}
