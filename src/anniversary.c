/*
 * anniversary.c
 *	  Days that come again every year.
 *
 * An anniversary lasts for the local day whose month and day are those of a
 * date, whatever the year; that of 29 February is 28 February in common
 * years. A zone may skip a day (Samoa, 30 December 2011): then there is none.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

#include "anniversary.h"
#include "clock.h"
#include "zone.h"

PG_FUNCTION_INFO_V1(mautomate_local_day);

/* The day that it is in a zone. */
DateADT
ma_anniversary_day(TimestampTz t, pg_tz *zone)
{
	struct pg_tm tm;
	fsec_t		 fsec;
	int			 tz;

	if (TIMESTAMP_NOT_FINITE(t) ||
		timestamp2tm(t, &tz, &tm, &fsec, NULL, zone) != 0)
		return t < 0 ? DATEVAL_NOBEGIN : DATEVAL_NOEND;
	return date2j(tm.tm_year, tm.tm_mon, tm.tm_mday) - POSTGRES_EPOCH_JDATE;
}

/*
 * The first instant of a day in a zone. Where summer time ends at one o'clock
 * (Havana), midnight comes twice: the first one is meant.
 */
static TimestampTz
day_start(DateADT day, pg_tz *zone)
{
	struct pg_tm tm = {0};
	TimestampTz	 t;
	fsec_t		 fsec;
	int			 tz;

	j2date(day + POSTGRES_EPOCH_JDATE, &tm.tm_year, &tm.tm_mon, &tm.tm_mday);
	tz = DetermineTimeZoneOffset(&tm, zone);
	if (tm2timestamp(&tm, 0, &tz, &t) != 0)
		return DT_NOEND;
	if (ma_anniversary_day(t - 1, zone) == day &&
		timestamp2tm(t - 1, &tz, &tm, &fsec, NULL, zone) == 0)
		t = t - 1 - fsec -
			((tm.tm_hour * MINS_PER_HOUR + tm.tm_min) * SECS_PER_MINUTE +
			 tm.tm_sec) *
				USECS_PER_SEC;
	return t;
}

/* The day of the anniversary in a year. */
static DateADT
day_in_year(int year, int month, int day)
{
	if (month == 2 && day == 29 && !isleap(year))
		day = 28;
	return date2j(year, month, day) - POSTGRES_EPOCH_JDATE;
}

/* Is it the anniversary of a date in a zone, and until when is that so? */
bool
ma_anniversary_holds(DateADT date, TimestampTz now, pg_tz *zone,
					 TimestampTz *until)
{
	DateADT today = ma_anniversary_day(now, zone);
	DateADT next;
	int		year;
	int		month;
	int		day;
	int		ignored;
	bool	holds;

	*until = DT_NOEND;
	if (DATE_NOT_FINITE(date) || DATE_NOT_FINITE(today))
		return false;
	j2date(today + POSTGRES_EPOCH_JDATE, &year, &ignored, &ignored);
	j2date(date + POSTGRES_EPOCH_JDATE, &ignored, &month, &day);
	next = day_in_year(year, month, day);
	holds = next == today;
	if (holds)
		next++;
	else if (next < today)
		next = day_in_year(year + 1, month, day);
	*until = day_start(next, zone);
	if (*until <= now) /* the clock went back over midnight */
		*until = now + USECS_PER_MINUTE;
	return holds;
}

/* local_day(t, zone): in mautomate.timezone where there is no such zone */
Datum
mautomate_local_day(PG_FUNCTION_ARGS)
{
	pg_tz *zone = NULL;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	if (!PG_ARGISNULL(1))
		zone = ma_zone(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	PG_RETURN_DATEADT(ma_anniversary_day(PG_GETARG_TIMESTAMPTZ(0),
										 zone ? zone : ma_timezone()));
}
