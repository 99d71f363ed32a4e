/*
 * letter_request.h
 *	  A message of an http channel, as the request that carries it.
 */
#ifndef MA_LETTER_REQUEST_H
#define MA_LETTER_REQUEST_H

#include "channel.h"
#include "letter.h"
#include "template_store.h"

/* What the templates of the channel may use beside the data. */
typedef struct MaOutgoing
{
	const MaChannel *channel;
	int64			 message_id;
	const char		*key; /* the same at each attempt, of no other message */
	int				 attempt;
	const char		*to; /* NULL: nowhere in particular */
	const char *template;
	Jsonb			 *data; /* contact, context, entry, event */
	const MaRendered *said;
	bool			  strict; /* an unknown variable is an error */
} MaOutgoing;

extern void ma_letter_request(const MaOutgoing *outgoing,
							  MaLetterRequest  *request);

#endif /* MA_LETTER_REQUEST_H */
