/*
 * http.h
 *	  One connection to web servers, one after the other.
 */
#ifndef HTTP_H
#define HTTP_H

#include "config.h"
#include "request.h"
#include "result.h"

typedef struct Http Http;

extern Http *http_new(const Config *config);
extern void	 http_send(Http *http, Request *request, Result *result);
extern void	 http_close(Http *http);
extern void	 http_free(Http *http);

#endif /* HTTP_H */
