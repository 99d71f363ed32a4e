/*
 * clock.h
 *	  The one clock of a database, and calendar arithmetic in a zone.
 */
#ifndef MA_CLOCK_H
#define MA_CLOCK_H

#include "datatype/timestamp.h"
#include "pgtime.h"

extern TimestampTz ma_now(void);
extern bool		   ma_clock_is_set(void);
extern long		   ma_clock_ms_until(TimestampTz t);
extern pg_tz	  *ma_timezone(void);
extern bool		   ma_timezone_is_fixed(void);
extern TimestampTz ma_time_add(TimestampTz t, const Interval *span, int sign,
							   pg_tz *zone);

#endif /* MA_CLOCK_H */
