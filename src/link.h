/*
 * link.h
 *	  Where the links of a message lead: links.x of its template.
 */
#ifndef MA_LINK_H
#define MA_LINK_H

#include "channel.h"

/* The links of one message; NULL where the channel has no pages. */
typedef struct MaLinks
{
	char *unsubscribe;
} MaLinks;

extern Jsonb *ma_link_add(const MaChannel *channel, int64 message_id,
						  TimestampTz enqueued_at, Jsonb *data,
						  MaLinks *links);

#endif /* MA_LINK_H */
