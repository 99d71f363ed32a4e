/*
 * mail.h
 *	  One message to one recipient, safe to put on the wire.
 */
#ifndef MAIL_H
#define MAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "frame.h"
#include "job.h"

typedef struct Mail
{
	Job			job;
	char	   *sender; /* "" is the null path */
	char	   *recipient;
	const char *body; /* inside payload or rewritten */
	size_t		body_len;
	char	   *payload;   /* of its frame */
	bool		utf8;	   /* an address is not ASCII */
	char	   *rewritten; /* the body, if it had to be mended; or NULL */
} Mail;

extern Mail		  *mail_read(Frame *frame);
extern const char *mail_check(Mail *mail);
extern void		   mail_free(Mail *mail);

#endif /* MAIL_H */
