/*
 * traffic.h
 *	  What the channels are doing: attempts counted.
 */
#ifndef MA_TRAFFIC_H
#define MA_TRAFFIC_H

#include "datatype/timestamp.h"
#include "lib/stringinfo.h"

/* What a sender has counted of a channel since it last stored it. */
typedef struct MaTraffic
{
	int			   sent;
	int			   failed;		/* for good */
	int			   tried_again; /* or will be, or in doubt */
	StringInfoData attempts;	/* '0' or '1', a failure, for each; maxlen 0:
								 * not wanted */
	TimestampTz	   stored_at;	/* real time */
	TimestampTz	   tidied_at;	/* likewise */
} MaTraffic;

extern void ma_traffic_store(MaTraffic *traffic, int channel_id, int64 lease);
extern double ma_traffic_failing(MaTraffic *traffic, int channel_id, int of);

#endif /* MA_TRAFFIC_H */
