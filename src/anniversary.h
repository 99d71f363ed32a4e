/*
 * anniversary.h
 *	  Days that come again every year.
 */
#ifndef MA_ANNIVERSARY_H
#define MA_ANNIVERSARY_H

#include "pgtime.h"
#include "utils/date.h"

extern DateADT ma_anniversary_day(TimestampTz t, pg_tz *zone);
extern bool	   ma_anniversary_holds(DateADT date, TimestampTz now, pg_tz *zone,
									TimestampTz *until);

#endif /* MA_ANNIVERSARY_H */
