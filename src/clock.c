/*
 * clock.c
 *	  The one clock of a database, and calendar arithmetic in a zone.
 *
 * mautomate_internal.clock holds one row: the instant at which the clock was
 * set to stand still, or null for the real time. Each backend caches it and
 * reads it again when the table changed (inval.h).
 *
 * Calendar arithmetic never depends on the session's TimeZone: days and
 * months are added to the local time in a given zone. A local time that does
 * not exist or exists twice is taken as PostgreSQL's AT TIME ZONE takes it.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type_d.h"
#include "common/int.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "guc.h"
#include "inval.h"
#include "sql.h"
#include "wake.h"
#include "zone.h"

PG_FUNCTION_INFO_V1(mautomate_clock);
PG_FUNCTION_INFO_V1(mautomate_set_clock);

static MaWatch	   watch = {"clock"};
static bool		   set = false; /* does the clock stand still? */
static TimestampTz set_to;		/* and where */

/* Times and spans that stay far from the ends of all times, when added. */
#define PLAIN_DAYS 500000
#define PLAIN_TIME (PLAIN_DAYS * USECS_PER_DAY)

/* The zone of mautomate.timezone as it was last. */
static char	  zone_name[TZ_STRLEN_MAX + 1];
static pg_tz *own_zone = NULL;
static bool	  zone_is_fixed;

/*
 * Reads the clock's row under the latest snapshot. A parallel query allows no
 * other snapshot than its own; what it shows is not kept.
 */
static void
reload(void)
{
	static MaStatement stmt = {"select set_to from mautomate_internal.clock",
							   0};
	MaSqlScope		   scope;
	bool			   isnull = true;
	Datum			   value = (Datum) 0;

	ma_inval_load(&watch);
	ma_sql_begin(&scope);
	PushActiveSnapshot(IsInParallelMode() ? GetActiveSnapshot() :
											GetLatestSnapshot());
	if (ma_sql_read(&stmt, NULL, NULL, 1) == 1)
		value = ma_sql_datum(0, 1, &isnull);
	set = !isnull;
	set_to = isnull ? 0 : DatumGetTimestampTz(value);
	PopActiveSnapshot();
	ma_sql_end(&scope);
	ma_inval_loaded(&watch);
	if (IsInParallelMode())
		watch.stale = true;
}

/* Does the clock stand still at an instant somebody set? */
bool
ma_clock_is_set(void)
{
	if (!ma_inval_watch(&watch))
		return false;
	if (watch.stale)
		reload();
	return set;
}

/* What time is it in this database? Needs a transaction. */
TimestampTz
ma_now(void)
{
	return ma_clock_is_set() ? set_to : GetCurrentTimestamp();
}

/* clock() -> timestamptz */
Datum
mautomate_clock(PG_FUNCTION_ARGS)
{
	PG_RETURN_TIMESTAMPTZ(ma_now());
}

/* Writes the clock's row. */
static void
write_clock(FunctionCallInfo fcinfo)
{
	static MaStatement stmt = {
		"update mautomate_internal.clock set set_to = $1",
		1,
		{TIMESTAMPTZOID}};
	Datum	   value = PG_ARGISNULL(0) ? (Datum) 0 : PG_GETARG_DATUM(0);
	MaSqlScope scope;

	ma_sql_begin(&scope);
	ma_sql_exec(&stmt, &value, PG_ARGISNULL(0) ? "n" : NULL, 0);
	ma_sql_end(&scope);
}

/* What is folded up to a later instant is no use at an earlier one. */
static void
mark_all_states(void)
{
	static MaStatement stmts[] = {
		{"update mautomate_internal.contact_state set as_of = '-infinity'", 0},
		{"insert into mautomate_internal.dirty (contact_id, rebuild)"
		 " select contact_id, true from mautomate_internal.contact_state",
		 0},
	};
	MaSqlScope scope;

	ma_sql_begin(&scope);
	for (int i = 0; i < lengthof(stmts); i++)
		ma_sql_exec(&stmts[i], NULL, NULL, 0);
	ma_sql_end(&scope);
}

/* set_clock(timestamptz) */
Datum
mautomate_set_clock(PG_FUNCTION_ARGS)
{
	TimestampTz before;

	if (!superuser())
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("must be superuser to set the clock")));
	if (!PG_ARGISNULL(0) && TIMESTAMP_NOT_FINITE(PG_GETARG_TIMESTAMPTZ(0)))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("clock cannot be set to infinity")));
	before = ma_now();
	write_clock(fcinfo);
	if (ma_now() < before)
		mark_all_states();
	ma_wake_all_at_commit();
	PG_RETURN_VOID();
}

/* The zone of all calendar arithmetic: setting mautomate.timezone. */
pg_tz *
ma_timezone(void)
{
	long offset;

	if (own_zone == NULL || strcmp(zone_name, ma_guc_timezone) != 0)
	{
		own_zone = ma_zone(ma_guc_timezone);
		if (own_zone == NULL)
			elog(ERROR, "time zone \"%s\" not found", ma_guc_timezone);
		strlcpy(zone_name, ma_guc_timezone, sizeof(zone_name));
		zone_is_fixed = pg_get_timezone_offset(own_zone, &offset);
	}
	return own_zone;
}

/* Is its offset always the same? */
bool
ma_timezone_is_fixed(void)
{
	(void) ma_timezone();
	return zone_is_fixed;
}

/* Adds months to a local date; the day is at most the last of the month. */
static void
add_months(struct pg_tm *tm, int months)
{
	int month = tm->tm_year * MONTHS_PER_YEAR + (tm->tm_mon - 1) + months;

	tm->tm_year = month / MONTHS_PER_YEAR;
	tm->tm_mon = month % MONTHS_PER_YEAR + 1;
	if (tm->tm_mon <= 0)
	{
		tm->tm_mon += MONTHS_PER_YEAR;
		tm->tm_year--;
	}
	tm->tm_mday =
		Min(tm->tm_mday, day_tab[isleap(tm->tm_year)][tm->tm_mon - 1]);
}

/* Adds months, then days, to the local time; false if there is no such time. */
static bool
add_local(TimestampTz *t, int months, int days, pg_tz *zone)
{
	struct pg_tm tm;
	fsec_t		 fsec;
	int			 tz;

	if (timestamp2tm(*t, &tz, &tm, &fsec, NULL, zone) != 0)
		return false;
	if (months != 0)
		add_months(&tm, months);
	if (!IS_VALID_JULIAN(tm.tm_year, tm.tm_mon, tm.tm_mday))
		return false;
	if (days != 0)
		j2date(date2j(tm.tm_year, tm.tm_mon, tm.tm_mday) + days, &tm.tm_year,
			   &tm.tm_mon, &tm.tm_mday);
	tz = DetermineTimeZoneOffset(&tm, zone);
	return tm2timestamp(&tm, fsec, &tz, t) == 0;
}

/* Are t and t + span far from the ends of all times? */
static bool
is_plain(TimestampTz t, const Interval *span)
{
	return t > -PLAIN_TIME && t < PLAIN_TIME && span->day > -PLAIN_DAYS &&
		   span->day < PLAIN_DAYS && span->time > -PLAIN_TIME &&
		   span->time < PLAIN_TIME;
}

/*
 * t + sign * span, months and days on the calendar of the zone: first the
 * months, which gives a time that exists, then the days, as PostgreSQL does.
 * The result saturates at the infinities instead of raising an error.
 */
TimestampTz
ma_time_add(TimestampTz t, const Interval *span, int sign, pg_tz *zone)
{
	TimestampTz limit = sign * (span->month + span->day + (span->time > 0) -
								(span->time < 0)) <
								0 ?
							DT_NOBEGIN :
							DT_NOEND;

	if (TIMESTAMP_NOT_FINITE(t))
		return t;
	if (span->month == 0 && is_plain(t, span) && zone == ma_timezone() &&
		zone_is_fixed)
		return t + sign * (span->day * USECS_PER_DAY + span->time);
	if (span->month != 0 && !add_local(&t, sign * span->month, 0, zone))
		return limit;
	if (span->day != 0 && !add_local(&t, 0, sign * span->day, zone))
		return limit;
	if (pg_add_s64_overflow(t, sign * span->time, &t) ||
		!IS_VALID_TIMESTAMP(t))
		return limit;
	return t;
}

/*
 * How long, in ms of real time, until the database's clock reaches t; a clock
 * that stands still never does. Less than a second if t has passed: whoever
 * asks has just found nothing to do, so something is in the way.
 */
long
ma_clock_ms_until(TimestampTz t)
{
	TimestampTz now = ma_now();

	if (t <= now)
		return 500;
	if (ma_clock_is_set() || t == DT_NOEND)
		return INT_MAX;
	return (long) Min((t - now + 999) / 1000, INT_MAX);
}
