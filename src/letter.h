/*
 * letter.h
 *	  A claimed message, ready to be sent or refused.
 */
#ifndef MA_LETTER_H
#define MA_LETTER_H

#include "datatype/timestamp.h"
#include "lib/stringinfo.h"
#include "outbox.h"

#include "channel.h"
/* A request; UTF-8, but for what only its channel's files hold. */
typedef struct MaLetterRequest
{
	const char	  *method;
	char		  *url;		/* "": in a file */
	StringInfoData headers; /* lines, LF between them */
	StringInfoData body;
} MaLetterRequest;

/* One message. Either refusal or failure is set, or it can be sent. */
typedef struct MaLetter
{
	int64			message_id;
	int				priority;
	int				attempt; /* this one, from 1 */
	TimestampTz		first_tried_at;
	char		   *address; /* where it goes; NULL: nowhere, or it is not
							 * the contact's address that says where */
	char		   *refusal; /* why the gate refuses it */
	char		   *failure; /* why it could not be rendered */
	bool			passing; /* which may pass by itself */
	ErrorData	   *cancel;	 /* we were told to stop while it was rendered:
							 * it has failed, those behind it are not
							 * written, and this is to be raised again */
	char		   *sender;	 /* envelope; smtp only */
	StringInfoData	content; /* headers and body; smtp only */
	MaLetterRequest request; /* http only */
} MaLetter;

extern MaLetter *ma_letter_write(int channel_id, const MaClaim *claims,
								 int *n);

#endif /* MA_LETTER_H */
