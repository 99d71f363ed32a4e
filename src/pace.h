/*
 * pace.h
 *	  How fast messages may leave a channel, and how often they are tried.
 */
#ifndef MA_PACE_H
#define MA_PACE_H

#include "datatype/timestamp.h"
#include "utils/jsonb.h"

/* So many messages in so much time. */
typedef struct MaRate
{
	double interval; /* us from one to the next; 0: no limit */
	int	   burst;	 /* so many at once after a rest */
} MaRate;

/* What holds for the addresses of a domain. */
typedef struct MaDomainPace
{
	char  *domain; /* lower case; "*": of each that is not named */
	MaRate rate;
	int	   connections; /* messages on their way at once; 0: no limit */
} MaDomainPace;

/* A step of a warm-up: from this day on so many messages a day. */
typedef struct MaWarmStep
{
	int day; /* 1 is the first */
	int messages;
} MaWarmStep;

/* The settings of a channel. */
typedef struct MaPace
{
	MaRate		  rate;
	MaDomainPace *domains;
	int			  domain_count;
	MaWarmStep	 *warm_up; /* by day */
	int			  warm_count;
	double		  warm_start;	  /* or: messages of the first day, 0: none */
	double		  warm_growth;	  /* each day so many times more */
	int			  warm_days;	  /* and so long */
	double		  pause_failures; /* paused above this share of failures */
	int			  pause_of;		  /* among the last so many; 0: never */
	double		  retry_first;	  /* us until the first retry */
	double		  retry_factor;	  /* the next one after so many times that */
	double		  retry_most;	  /* us, at most */
	double		  retry_spread;	  /* share by which it varies */
	double		  give_up;		  /* us after the first try */
} MaPace;

extern void ma_pace_read(MaPace *pace, const char *channel, Jsonb *settings);
extern const MaDomainPace *ma_pace_domain(const MaPace *pace,
										  const char   *domain);
extern bool				   ma_pace_warms_up(const MaPace *pace);
extern int				   ma_pace_quota(const MaPace *pace, int day);

#endif /* MA_PACE_H */
