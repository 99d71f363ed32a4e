/*
 * calendar.h
 *	  Days of the week and times of the day, in a zone.
 */
#ifndef MA_CALENDAR_H
#define MA_CALENDAR_H

#include "datatype/timestamp.h"
#include "pgtime.h"
#include "utils/date.h"

#define MA_EVERY_DAY 0x7f

/* When something is open. */
typedef struct MaHours
{
	int		 days;	   /* bit 0 is Monday, bit 6 Sunday */
	int		 from;	   /* seconds after midnight */
	int		 to;	   /* likewise; from < to */
	int		 nblocked; /* closed days */
	DateADT *blocked;
} MaHours;

extern bool		   ma_calendar_days(const char *text, int *days);
extern bool		   ma_calendar_time(const char *text, int *seconds);
extern TimestampTz ma_calendar_next(int days, int seconds, TimestampTz t,
									pg_tz *zone);
extern TimestampTz ma_calendar_open(const MaHours *hours, TimestampTz t,
									pg_tz *zone);
extern TimestampTz ma_calendar_at(TimestampTz t, pg_tz *date_zone, int seconds,
								  pg_tz *zone);

#endif /* MA_CALENDAR_H */
