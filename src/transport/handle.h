/*
 * handle.h
 *	  A libcurl handle with its sockets and deadlines.
 */
#ifndef HANDLE_H
#define HANDLE_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>

#include "config.h"

/* libcurl keeps one and, at most, tries two addresses at once. */
#define HANDLE_SOCKETS 4

typedef struct Handle
{
	const Config *config;
	CURL		 *curl;
	int			  sockets[HANDLE_SOCKETS]; /* open ones; -1: free */
	char		  error[CURL_ERROR_SIZE];
	int64_t		  deadline;		  /* of what is waited for now */
	int64_t		  total_deadline; /* of it all; 0: none */
	bool		  connected;	  /* a socket has a peer */
	bool		  tried;		  /* an address was one we may go to */
	bool		  refused;		  /* all of them were others */
	const char	 *aborted;		  /* why we gave up; or NULL */
} Handle;

extern bool		   handle_init(Handle *handle, const Config *config,
							   const char *protocols);
extern void		   handle_trust(Handle *handle, const Relay *relay);
extern void		   handle_begin(Handle *handle);
extern void		   handle_wait(Handle *handle, int ms);
extern const char *handle_reason(Handle *handle, CURLcode rc);
extern void		   handle_free(Handle *handle);

#endif /* HANDLE_H */
