/*
 * calendar.c
 *	  Days of the week and times of the day, in a zone.
 *
 * A local time that does not exist or exists twice is taken as PostgreSQL's
 * AT TIME ZONE takes it.
 */
#include "postgres.h"

#include "utils/datetime.h"
#include "utils/timestamp.h"

#include "calendar.h"

/* Nothing is looked for further ahead than this: every day may be blocked. */
#define DAYS_AHEAD 3700

static const char *const day_names[] = {"mon", "tue", "wed", "thu",
										"fri", "sat", "sun"};

/* The number of the day that text begins with, from 0; -1 for none. */
static int
read_day(const char **text)
{
	for (int i = 0; i < lengthof(day_names); i++)
		if (pg_strncasecmp(*text, day_names[i], 3) == 0)
		{
			*text += 3;
			return i;
		}
	return -1;
}

/* Reads "mon-fri", "sat" or "mon,wed,fri-sun". False where it is none. */
bool
ma_calendar_days(const char *text, int *days)
{
	*days = 0;
	for (;;)
	{
		int first = read_day(&text);
		int last = first;

		if (first < 0)
			return false;
		if (*text == '-')
		{
			text++;
			last = read_day(&text);
			if (last < 0)
				return false;
		}
		for (int day = first;; day = (day + 1) % 7)
		{
			*days |= 1 << day;
			if (day == last)
				break;
		}
		if (*text == '\0')
			return true;
		if (*text++ != ',')
			return false;
	}
}

/* Reads "09:00", up to "24:00", as seconds. False where it is none. */
bool
ma_calendar_time(const char *text, int *seconds)
{
	int hour;
	int minute;

	if (strlen(text) != 5 || text[2] != ':' ||
		!isdigit((unsigned char) text[0]) ||
		!isdigit((unsigned char) text[1]) ||
		!isdigit((unsigned char) text[3]) || !isdigit((unsigned char) text[4]))
		return false;
	hour = (text[0] - '0') * 10 + text[1] - '0';
	minute = (text[3] - '0') * 10 + text[4] - '0';
	*seconds = hour * SECS_PER_HOUR + minute * SECS_PER_MINUTE;
	return minute < 60 && *seconds <= SECS_PER_DAY;
}

/* The day (as a Julian date) and the second of it at an instant in a zone. */
static bool
local_day(TimestampTz t, pg_tz *zone, int *day, int *second)
{
	struct pg_tm tm;
	fsec_t		 fsec;
	int			 tz;

	if (TIMESTAMP_NOT_FINITE(t) ||
		timestamp2tm(t, &tz, &tm, &fsec, NULL, zone) != 0)
		return false;
	*day = date2j(tm.tm_year, tm.tm_mon, tm.tm_mday);
	*second =
		tm.tm_hour * SECS_PER_HOUR + tm.tm_min * SECS_PER_MINUTE + tm.tm_sec;
	return true;
}

/* The instant of a second of a day in a zone. */
static TimestampTz
instant_of(int day, int second, pg_tz *zone)
{
	struct pg_tm tm = {0};
	TimestampTz	 t;
	int			 tz;

	if (second == SECS_PER_DAY)
	{
		day++;
		second = 0;
	}
	j2date(day, &tm.tm_year, &tm.tm_mon, &tm.tm_mday);
	tm.tm_hour = second / SECS_PER_HOUR;
	tm.tm_min = second % SECS_PER_HOUR / SECS_PER_MINUTE;
	tm.tm_sec = second % SECS_PER_MINUTE;
	tz = DetermineTimeZoneOffset(&tm, zone);
	return tm2timestamp(&tm, 0, &tz, &t) == 0 ? t : DT_NOEND;
}

/* Is a Julian day one of the days of the week? */
static bool
is_day(int day, int days)
{
	return (days & (1 << (j2day(day) + 6) % 7)) != 0;
}

/*
 * The first instant strictly after t at which clocks in the zone show the
 * time on one of the days of the week.
 */
TimestampTz
ma_calendar_next(int days, int seconds, TimestampTz t, pg_tz *zone)
{
	int day;
	int second;

	if (!local_day(t, zone, &day, &second))
		return t;
	for (int end = day + 8; day <= end; day++)
	{
		TimestampTz at = instant_of(day, seconds, zone);

		if (at > t && is_day(day, days))
			return at;
	}
	return DT_NOEND;
}

/* Is a day closed for good? */
static bool
is_blocked(const MaHours *hours, int day)
{
	for (int i = 0; i < hours->nblocked; i++)
		if (hours->blocked[i] + POSTGRES_EPOCH_JDATE == day)
			return true;
	return false;
}

/* t itself if it is within the hours, otherwise when they begin next. */
TimestampTz
ma_calendar_open(const MaHours *hours, TimestampTz t, pg_tz *zone)
{
	int day;
	int second;

	if (!local_day(t, zone, &day, &second))
		return t;
	for (int end = day + DAYS_AHEAD; day <= end; day++)
	{
		if (!is_day(day, hours->days) || is_blocked(hours, day))
			continue;
		if (t < instant_of(day, hours->from, zone))
			return instant_of(day, hours->from, zone);
		if (t < instant_of(day, hours->to, zone))
			return t;
	}
	return DT_NOEND;
}

/* The day that t is in one zone, at a time of the day in another. */
TimestampTz
ma_calendar_at(TimestampTz t, pg_tz *date_zone, int seconds, pg_tz *zone)
{
	int day;
	int second;

	return local_day(t, date_zone, &day, &second) ?
			   instant_of(day, seconds, zone) :
			   t;
}
