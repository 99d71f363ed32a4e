/*
 * window.c
 *	  When what happened leaves a window.
 *
 * Adding days or months to a time is not monotone: the 29th and the 31st of
 * January plus one month are both the 28th of February, and the hour that a
 * summer time skips is pushed behind the next. So the ends of all times
 * between two are not those between the two ends. But two times that are far
 * enough apart keep their order, and in between the ends follow the times but
 * for some jumps: at the days that end a month, where the zone changes. So
 * the earliest and the latest end are found in steps that become small only
 * near a jump.
 */
#include "postgres.h"

#include <math.h>

#include "common/int.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "window.h"

/* The longest interval, about as long as all time that there is. */
#define LENGTH_MAX (PG_INT64_MAX / 2)

/* How far apart two times may be whose order months and zones reverse. */
#define MONTH_DISORDER (5 * USECS_PER_DAY)

/* How far changes of a zone's offset may lead a sum of days off. */
#define DAY_DISORDER (26 * USECS_PER_HOUR)

/* A jump back and one forth that undoes it are farther apart than that. */
#define STEP (6 * USECS_PER_HOUR)

/* So are any two jumps. */
#define STEP_MIN USECS_PER_SEC

/*
 * The length of an interval in microseconds, if its months have so many days;
 * saturates long before a sum with it overflows.
 */
static int64
length_of(const Interval *span, int month_days, int64 slop)
{
	double length =
		((double) span->month * month_days + span->day) * USECS_PER_DAY +
		(double) span->time;

	if (fabs(length) > LENGTH_MAX)
		return length < 0 ? -LENGTH_MAX : LENGTH_MAX;
	return ((int64) span->month * month_days + span->day) * USECS_PER_DAY +
		   span->time + slop;
}

/* Sets a window. */
void
ma_window_set(MaWindow *window, const Interval *within)
{
	int64 slop;

	window->within = *within;
	window->disorder = 0;
	if (within->month != 0)
		window->disorder = MONTH_DISORDER;
	else if (within->day != 0 && !ma_timezone_is_fixed())
		window->disorder = DAY_DISORDER;
	/* without any disorder all are as long as each other */
	slop = window->disorder > 0 ? DAY_DISORDER : 0;
	/* a month that is taken away is long where the rest is short */
	window->min = length_of(within, within->month < 0 ? 31 : 28, -slop);
	window->max = length_of(within, within->month < 0 ? 28 : 31, slop);
}

/* Are two windows as long as each other, as they are written? */
bool
ma_window_is_same(const MaWindow *a, const MaWindow *b)
{
	return memcmp(&a->within, &b->within, sizeof(Interval)) == 0;
}

/* When something that happened at t leaves the window. */
TimestampTz
ma_window_end(const MaWindow *window, TimestampTz t)
{
	return ma_time_add(t, &window->within, 1, ma_timezone());
}

static int
compare_leavings(const void *a, const void *b)
{
	const MaLeaving *x = a;
	const MaLeaving *y = b;

	return (x->at > y->at) - (x->at < y->at);
}

/* Brings them in the order in which they leave. */
void
ma_window_sort(MaLeaving *leavings, int n)
{
	qsort(leavings, n, sizeof(MaLeaving), compare_leavings);
}

/* t + span; an event in the year 294276 leaves no window. */
TimestampTz
ma_window_later(TimestampTz t, int64 span)
{
	TimestampTz sum;

	return pg_add_s64_overflow(t, span, &sum) ? DT_NOEND : sum;
}

/*
 * Is what happened at t in the window? Calendar arithmetic is slow: the
 * bounds of the window settle almost all.
 */
bool
ma_window_has(const MaWindow *window, TimestampTz t, TimestampTz now)
{
	if (ma_window_later(t, window->min) > now)
		return true;
	if (ma_window_later(t, window->max) <= now)
		return false;
	return ma_window_end(window, t) > now;
}

/* t - span, or the beginning. */
static TimestampTz
earlier(TimestampTz t, int64 span)
{
	TimestampTz difference;

	return pg_sub_s64_overflow(t, span, &difference) ? DT_NOBEGIN : difference;
}

/* The ends of all times from one to another, a step apart. */
static void
step_ends(const MaWindow *window, TimestampTz first, TimestampTz last,
		  TimestampTz *earliest, TimestampTz *latest)
{
	TimestampTz a = ma_window_end(window, first);
	TimestampTz b = ma_window_end(window, last);
	int64		length = last - first;

	if (a == DT_NOEND || b == DT_NOEND || b - a == length || length == 0)
	{
		*earliest = Min(*earliest, Min(a, b));
		*latest = Max(*latest, Max(a, b));
	}
	else if (length <= STEP_MIN)
	{
		/* one jump, anywhere in between */
		*earliest = Min(*earliest, Min(a, b - length));
		*latest = Max(*latest, Max(b, ma_window_later(a, length)));
	}
	else
	{
		step_ends(window, first, first + length / 2, earliest, latest);
		step_ends(window, first + length / 2, last, earliest, latest);
	}
}

/* The same, any number of steps apart. */
static void
range_ends(const MaWindow *window, TimestampTz first, TimestampTz last,
		   TimestampTz *earliest, TimestampTz *latest)
{
	while (last - first > STEP)
	{
		step_ends(window, first, first + STEP, earliest, latest);
		first += STEP;
	}
	step_ends(window, first, last, earliest, latest);
}

/*
 * The earliest end of all times from first to last, or a little less. Times
 * behind the disorder end later than first.
 */
TimestampTz
ma_window_earliest(const MaWindow *window, TimestampTz first, TimestampTz last)
{
	TimestampTz earliest = DT_NOEND;
	TimestampTz latest = DT_NOBEGIN;

	if (window->disorder == 0)
		return ma_window_end(window, first);
	range_ends(window, first,
			   Min(last, ma_window_later(first, window->disorder)), &earliest,
			   &latest);
	return earliest;
}

/* The latest, or a little more. */
static TimestampTz
latest_end(const MaWindow *window, TimestampTz first, TimestampTz last)
{
	TimestampTz earliest = DT_NOEND;
	TimestampTz latest = DT_NOBEGIN;

	if (window->disorder == 0)
		return ma_window_end(window, last);
	range_ends(window, Max(first, earlier(last, window->disorder)), last,
			   &earliest, &latest);
	return latest;
}

/*
 * Are all times from first to last on one side of the window's edge at all
 * instants after `from` and up to `to`: in it at `to`, or out of it at `from`?
 */
bool
ma_window_is_clear(const MaWindow *window, TimestampTz first, TimestampTz last,
				   TimestampTz from, TimestampTz to)
{
	TimestampTz end = ma_window_end(window, first);

	if (earlier(end, window->disorder) > to)
		return true;
	end = ma_window_end(window, last);
	if (ma_window_later(end, window->disorder) <= from)
		return true;
	if (window->disorder == 0)
		return false;
	return ma_window_earliest(window, first, last) > to ||
		   latest_end(window, first, last) <= from;
}
