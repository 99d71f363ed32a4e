/*
 * request.h
 *	  One HTTP request, safe to put on the wire.
 */
#ifndef REQUEST_H
#define REQUEST_H

#include <curl/curl.h>
#include <stddef.h>

#include "frame.h"
#include "job.h"

typedef struct Request
{
	Job				   job;
	char			  *method;
	char			  *url;
	char			  *headers; /* lines, "Name: value", LF between them */
	struct curl_slist *lines;	/* the same for libcurl */
	const char		  *body;	/* inside payload */
	size_t			   body_len;
	char			  *payload; /* of its frame */
} Request;

extern Request	  *request_read(Frame *frame);
extern const char *request_check(Request *request, bool has_url_file);
extern bool		   request_is_url(const char *url);
extern void		   request_free(Request *request);

#endif /* REQUEST_H */
