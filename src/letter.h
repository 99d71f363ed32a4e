/*
 * letter.h
 *	  A claimed message, ready to be sent or refused.
 */
#ifndef MA_LETTER_H
#define MA_LETTER_H

#include "channel.h"
#include "datatype/timestamp.h"
#include "lib/stringinfo.h"
#include "outbox.h"

/* One message. Either refusal or failure is set, or it can be sent. */
typedef struct MaLetter
{
	int64		   message_id;
	int			   priority;
	int			   attempt; /* this one, from 1 */
	TimestampTz	   first_tried_at;
	char		  *address; /* where it goes; NULL if nowhere */
	char		  *refusal; /* why the gate refuses it */
	char		  *failure; /* why it could not be rendered */
	char		  *sender;	/* envelope; smtp only */
	StringInfoData content; /* headers and body; smtp only */
} MaLetter;

extern MaLetter *ma_letter_write(const MaChannel *channel,
								 const MaClaim *claims, int *n);

#endif /* MA_LETTER_H */
