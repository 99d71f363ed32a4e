/*
 * rate.h
 *	  How fast messages leave: buckets of tokens, shared by all senders.
 */
#ifndef MA_RATE_H
#define MA_RATE_H

#include "pace.h"

/*
 * A limit of messages per time, its row locked until the end of the
 * transaction. All times are of the real clock.
 */
typedef struct MaBucket
{
	int			channel_id;
	const char *domain; /* empty: the whole channel */
	MaRate		rate;
	TimestampTz now;	  /* when it was locked */
	TimestampTz next_at;  /* when all tokens taken so far have come */
	TimestampTz queue_at; /* until when some have been told to wait */
} MaBucket;

/* The quota of a day of a channel's warm-up, locked likewise. */
typedef struct MaQuota
{
	int			channel_id;
	int			day;	  /* today */
	int			left;	  /* -1: no limit */
	TimestampTz tomorrow; /* when the next day begins */
} MaQuota;

extern void ma_rate_open(MaBucket *bucket, int channel_id, const char *domain,
						 const MaRate *rate);
extern int	ma_rate_tokens(const MaBucket *bucket, int wanted);
extern TimestampTz ma_rate_next(const MaBucket *bucket);
extern void		   ma_rate_take(MaBucket *bucket, int tokens);
extern TimestampTz ma_rate_queue(MaBucket *bucket, double step);
extern void		   ma_rate_close(const MaBucket *bucket);
extern void		   ma_rate_tidy(void);

extern void ma_rate_open_quota(MaQuota *quota, int channel_id,
							   const MaPace *pace);
extern void ma_rate_close_quota(const MaQuota *quota, int used);

#endif /* MA_RATE_H */
