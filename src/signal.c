/*
 * signal.c
 *	  Answers questions about a contact's history from folded state.
 *
 * An event counts in a window iff occurred_at + within > now, on the calendar
 * of mautomate.timezone; there is no upper bound. Adding days or months to a
 * time is slow, and not monotone: the 29th and the 31st of January plus one
 * month are both the 28th of February, and the hour that a summer time skips
 * is pushed behind the next. So bounds of the window in microseconds settle
 * almost every comparison, and exact arithmetic only the rest.
 *
 * Each answer says until when it holds if nothing happens; comparing it with
 * a constant says until when the comparison holds, which is longer: a contact
 * with 3 of 10 purchases need not be looked at when one of them leaves.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "signal.h"

/* How far apart two times may be whose order their expiries reverse. */
#define INVERSION_MAX (5 * USECS_PER_DAY)

/* How long a day of 23 or 25 hours and its zone may lead a sum of days off. */
#define DAY_SLOP (26 * USECS_PER_HOUR)

/* When an entry of a cell leaves a window. */
typedef struct Expiry
{
	TimestampTz at;
	int			index; /* of the entry */
} Expiry;

static int window_start(const MaSignal *signal, const MaCell *cell,
						TimestampTz now, int *inside);
static int sorted_expiries(const MaSignal *signal, const MaCell *cell,
						   TimestampTz now, int wanted, Expiry **expiries);

/* Sets the window of a signal and its bounds. */
void
ma_signal_set_window(MaSignal *signal, const Interval *within)
{
	int64 slop = (within->month != 0 || within->day != 0) ? DAY_SLOP : 0;

	signal->windowed = true;
	signal->within = *within;
	signal->within_min =
		((int64) within->month * 28 + within->day) * USECS_PER_DAY +
		within->time - slop;
	signal->within_max =
		((int64) within->month * 31 + within->day) * USECS_PER_DAY +
		within->time + slop;
}

/* Widens the definition of a cell to what a signal needs. */
void
ma_signal_require(MaCellDef *def, const MaSignal *signal)
{
	bool whole = false;

	def->counted = true;
	switch (signal->function)
	{
		case MA_COUNT:
			if (signal->windowed)
			{
				whole = signal->capacity == MA_UNBOUNDED;
				def->newest = Max(def->newest, signal->capacity);
			}
			break;
		case MA_FIRST_AT:
			if (signal->windowed)
				whole = true;
			else
				def->keep_first = true;
			break;
		case MA_LAST_AT:
			def->newest = Max(def->newest, 1);
			break;
		case MA_EVER:
			if (signal->windowed)
				def->newest = Max(def->newest, 1);
			break;
		case MA_SUM:
		case MA_AVG:
		case MA_MIN:
		case MA_MAX:
			if (signal->windowed)
				def->keep_pairs = true;
			break;
	}
	if (whole)
		def->keep_times = true;
	if (whole || def->keep_pairs)
		def->longest =
			Max(def->longest, signal->windowed ? signal->within_max : 0);
}

/* Does a comparison (-1, 0, 1) satisfy the operator? */
bool
ma_signal_test(MaOperator op, int comparison)
{
	switch (op)
	{
		case MA_LT:
			return comparison < 0;
		case MA_LE:
			return comparison <= 0;
		case MA_EQ:
			return comparison == 0;
		case MA_NE:
			return comparison != 0;
		case MA_GE:
			return comparison >= 0;
		case MA_GT:
			return comparison > 0;
	}
	return false; /* not reached */
}

/* The time of entry i of a cell, whatever it keeps. */
static TimestampTz
entry_time(const MaCell *cell, int i)
{
	return cell->pairs ? cell->pairs[i].at : cell->times[i];
}

static int
entry_count(const MaCell *cell)
{
	return cell->pairs ? cell->npairs : cell->ntimes;
}

/* When something that happened at t leaves the window. */
static TimestampTz
expiry(const MaSignal *signal, TimestampTz t)
{
	return ma_time_add(t, &signal->within, 1, ma_timezone());
}

/* Is t in the window? */
static bool
in_window(const MaSignal *signal, TimestampTz t, TimestampTz now)
{
	if (t + signal->within_min > now)
		return true;
	if (t + signal->within_max <= now)
		return false;
	return expiry(signal, t) > now;
}

/*
 * The first entry that may be in the window; *inside is how many from there
 * on are.
 */
static int
window_start(const MaSignal *signal, const MaCell *cell, TimestampTz now,
			 int *inside)
{
	int n = entry_count(cell);
	int low = 0;
	int high = n;
	int i;

	while (low < high) /* the first not surely out */
	{
		int middle = (low + high) / 2;

		if (entry_time(cell, middle) + signal->within_max <= now)
			low = middle + 1;
		else
			high = middle;
	}
	*inside = 0;
	for (i = low; i < n; i++)
	{
		TimestampTz t = entry_time(cell, i);

		if (t + signal->within_min > now)
			break;
		if (expiry(signal, t) > now)
			(*inside)++;
	}
	*inside += n - i;
	return low;
}

static int
compare_expiries(const void *a, const void *b)
{
	const Expiry *x = a;
	const Expiry *y = b;

	return (x->at > y->at) - (x->at < y->at);
}

/*
 * The first `wanted` expiries of the entries in the window, in order; returns
 * how many there are (fewer, if fewer are inside).
 */
static int
sorted_expiries(const MaSignal *signal, const MaCell *cell, TimestampTz now,
				int wanted, Expiry **expiries)
{
	int			inside;
	int			start = window_start(signal, cell, now, &inside);
	int			n = entry_count(cell);
	int			found = 0;
	TimestampTz last = DT_NOEND;
	Expiry	   *all = palloc(Max(n - start, 1) * sizeof(Expiry));

	for (int i = start; i < n; i++)
	{
		TimestampTz t = entry_time(cell, i);

		if (found >= wanted && t > last)
			break;
		if (!in_window(signal, t, now))
			continue;
		all[found].at = expiry(signal, t);
		all[found].index = i;
		if (++found == wanted)
			last = t + INVERSION_MAX;
	}
	qsort(all, found, sizeof(Expiry), compare_expiries);
	*expiries = all;
	return Min(found, wanted);
}

/* The earliest and the latest time in the window; false if there is none. */
static bool
window_ends(const MaSignal *signal, const MaCell *cell, TimestampTz now,
			TimestampTz *first, TimestampTz *last)
{
	bool found = false;

	for (int i = entry_count(cell) - 1; i >= 0; i--)
	{
		TimestampTz t = entry_time(cell, i);

		if (t + signal->within_max <= now)
			break;
		if (!in_window(signal, t, now))
			continue;
		if (!found)
			*last = t;
		*first = t;
		found = true;
	}
	return found;
}

/* When the first entry in the window leaves it. */
static TimestampTz
next_expiry(const MaSignal *signal, const MaCell *cell, TimestampTz now)
{
	Expiry *expiries;

	return sorted_expiries(signal, cell, now, 1, &expiries) > 0 ?
			   expiries[0].at :
			   DT_NOEND;
}

/* Answers first_at, last_at and ever. */
static void
answer_time(const MaSignal *signal, const MaCell *cell, TimestampTz now,
			MaAnswer *answer)
{
	TimestampTz first = cell->first;
	TimestampTz last = 0;
	bool		some = cell->count > 0;

	if (signal->windowed)
	{
		some = window_ends(signal, cell, now, &first, &last);
		if (some)
			answer->until = signal->function == MA_FIRST_AT ?
								next_expiry(signal, cell, now) :
								expiry(signal, last);
	}
	else if (cell->ntimes > 0)
		last = cell->times[cell->ntimes - 1];
	if (signal->function == MA_EVER)
	{
		answer->value = BoolGetDatum(some);
		return;
	}
	answer->isnull = !some;
	answer->value =
		TimestampTzGetDatum(signal->function == MA_FIRST_AT ? first : last);
}

static Numeric
numeric_binary(PGFunction function, Numeric a, Numeric b)
{
	return DatumGetNumeric(
		DirectFunctionCall2(function, NumericGetDatum(a), NumericGetDatum(b)));
}

static int
numeric_order(Numeric a, Numeric b)
{
	return DatumGetInt32(DirectFunctionCall2(numeric_cmp, NumericGetDatum(a),
											 NumericGetDatum(b)));
}

/* One more value of an aggregate; total is NULL before the first. */
static Numeric
accumulate(MaSignalFunction function, Numeric total, Numeric value)
{
	if (total == NULL)
		return value;
	if (function == MA_MIN)
		return numeric_order(value, total) < 0 ? value : total;
	if (function == MA_MAX)
		return numeric_order(value, total) > 0 ? value : total;
	return numeric_binary(numeric_add, total, value);
}

/* The aggregate of total over n values as an answer. */
static void
set_total(MaSignalFunction function, Numeric total, int64 n, MaAnswer *answer)
{
	answer->isnull = total == NULL;
	if (total == NULL)
		return;
	if (function == MA_AVG)
		total = numeric_binary(numeric_div, total, int64_to_numeric(n));
	answer->value = NumericGetDatum(total);
}

/* Answers sum, avg, min and max. */
static void
answer_value(const MaSignal *signal, const MaCell *cell, TimestampTz now,
			 MaAnswer *answer)
{
	Numeric total = NULL;
	int64	n = 0;

	if (!signal->windowed)
	{
		total = signal->function == MA_MIN ? cell->min :
				signal->function == MA_MAX ? cell->max :
											 cell->sum;
		set_total(signal->function, total, cell->count, answer);
		return;
	}
	for (int i = 0; i < cell->npairs; i++)
	{
		if (!in_window(signal, cell->pairs[i].at, now))
			continue;
		total = accumulate(signal->function, total, cell->pairs[i].value);
		n++;
	}
	set_total(signal->function, total, n, answer);
	answer->until = next_expiry(signal, cell, now);
}

/*
 * Answers a signal as of now. Memory comes from the current context. With
 * a count that needs only some newest timestamps, so many is the most that is
 * answered.
 */
void
ma_signal_answer(const MaSignal *signal, const MaCell *cell, TimestampTz now,
				 MaAnswer *answer)
{
	answer->value = (Datum) 0;
	answer->isnull = false;
	answer->until = DT_NOEND;
	switch (signal->function)
	{
		case MA_COUNT:
			if (signal->windowed)
			{
				int inside;

				window_start(signal, cell, now, &inside);
				answer->value = Int64GetDatum(inside);
				if (signal->capacity == MA_UNBOUNDED)
					answer->until = next_expiry(signal, cell, now);
			}
			else
				answer->value = Int64GetDatum(cell->count);
			break;
		case MA_FIRST_AT:
		case MA_LAST_AT:
		case MA_EVER:
			answer_time(signal, cell, now, answer);
			break;
		case MA_SUM:
		case MA_AVG:
		case MA_MIN:
		case MA_MAX:
			answer_value(signal, cell, now, answer);
			break;
	}
}

/* Compares an answer with a constant of its type. */
static int
compare_answer(const MaSignal *signal, Datum value, Datum constant)
{
	if (signal->type == NUMERICOID)
		return numeric_order(DatumGetNumeric(value),
							 DatumGetNumeric(constant));
	return (DatumGetInt64(value) > DatumGetInt64(constant)) -
		   (DatumGetInt64(value) < DatumGetInt64(constant));
}

/* Until when does `count <op> constant` stay as it is? */
static TimestampTz
count_flips_at(const MaSignal *signal, const MaCell *cell, MaOperator op,
			   int64 constant, TimestampTz now, int64 count)
{
	bool holds = ma_signal_test(op, (count > constant) - (count < constant));
	Expiry *expiries;

	for (int64 left = count - 1; left >= 0; left--)
	{
		int gone = (int) (count - left);

		if (ma_signal_test(op, (left > constant) - (left < constant)) == holds)
			continue;
		if (sorted_expiries(signal, cell, now, gone, &expiries) < gone)
			break;
		return expiries[gone - 1].at;
	}
	return DT_NOEND;
}

/* Until when does an aggregate over a window compare as it does? */
static TimestampTz
value_flips_at(const MaSignal *signal, const MaCell *cell, MaOperator op,
			   Datum constant, TimestampTz now, const MaAnswer *current)
{
	Expiry *expiries;
	int		n = sorted_expiries(signal, cell, now, cell->npairs, &expiries);

	for (int gone = 1; gone <= n; gone++)
	{
		Numeric	 total = NULL;
		MaAnswer later;

		if (gone < n && expiries[gone].at == expiries[gone - 1].at)
			continue;
		for (int i = gone; i < n; i++)
			total = accumulate(signal->function, total,
							   cell->pairs[expiries[i].index].value);
		set_total(signal->function, total, n - gone, &later);
		if (later.isnull ||
			ma_signal_test(op,
						   compare_answer(signal, later.value, constant)) !=
				DatumGetBool(current->value))
			return expiries[gone - 1].at;
	}
	return DT_NOEND;
}

/*
 * Answers `signal <op> constant` (of the signal's type) as of now, and until
 * when it stays so.
 */
void
ma_signal_compare(const MaSignal *signal, const MaCell *cell, MaOperator op,
				  Datum constant, TimestampTz now, MaAnswer *answer)
{
	MaAnswer value;

	ma_signal_answer(signal, cell, now, &value);
	answer->isnull = value.isnull;
	answer->value = BoolGetDatum(
		!value.isnull &&
		ma_signal_test(op, compare_answer(signal, value.value, constant)));
	answer->until = DT_NOEND;
	if (!signal->windowed || value.isnull)
		return;
	switch (signal->function)
	{
		case MA_COUNT:
			answer->until =
				count_flips_at(signal, cell, op, DatumGetInt64(constant), now,
							   DatumGetInt64(value.value));
			break;
		case MA_SUM:
		case MA_AVG:
		case MA_MIN:
		case MA_MAX:
			answer->until =
				value_flips_at(signal, cell, op, constant, now, answer);
			break;
		default:
			answer->until = value.until;
			break;
	}
}
