/*
 * signal.c
 *	  Answers questions about a contact's history from folded state.
 *
 * An event counts in a window iff occurred_at + within > now, on the calendar
 * of mautomate.timezone; there is no upper bound. Adding days or months to a
 * time is slow, and not monotone (window.c): where many entries are looked at,
 * bounds of the window tell of most whether they are in it.
 *
 * Each answer says until when it holds if nothing happens; comparing it with
 * a constant says until when the comparison holds, which is longer: a contact
 * with 3 of 10 purchases need not be looked at when one of them leaves.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "number.h"
#include "signal_seen.h"
#include "signal_span.h"

/* Notes a window that is kept whole. */
static void
require_edge(MaCellDef *def, const MaSignal *signal)
{
	for (int i = 0; i < def->nedges; i++)
		if (ma_window_is_same(&def->edges[i], &signal->window))
			return;
	def->edges =
		def->nedges == 0 ?
			palloc(sizeof(MaWindow)) :
			repalloc(def->edges, (def->nedges + 1) * sizeof(MaWindow));
	def->edges[def->nedges++] = signal->window;
	def->longest = Max(def->longest, signal->window.max);
}

/* Notes a window for which the newest times are not the last to leave. */
static void
require_window(MaCellDef *def, const MaWindow *window)
{
	if (window->disorder == 0)
		return;
	for (int i = 0; i < def->nwindows; i++)
		if (ma_window_is_same(&def->windows[i], window))
			return;
	def->windows =
		def->nwindows == 0 ?
			palloc(sizeof(MaWindow)) :
			repalloc(def->windows, (def->nwindows + 1) * sizeof(MaWindow));
	def->windows[def->nwindows++] = *window;
	def->disorder = Max(def->disorder, window->disorder);
	/* the same whatever their order */
	def->windows_hash +=
		hash_bytes((const unsigned char *) &window->within, sizeof(Interval));
}

/*
 * Widens the definition of a cell to what a signal needs. Memory comes from
 * the current context.
 */
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
		case MA_DISTINCT:
			def->keeps = MA_KEEPS_DISTINCT;
			def->windowed = signal->windowed;
			def->window = signal->window;
			if (signal->capacity == MA_UNBOUNDED)
				def->keep_times = true;
			else
				def->newest = Max(def->newest, signal->capacity);
			break;
		case MA_LAST_VALUE:
			def->keeps = MA_KEEPS_LAST;
			break;
		case MA_SUM:
		case MA_AVG:
		case MA_MIN:
		case MA_MAX:
			if (signal->windowed)
				def->keep_pairs = true;
			break;
	}
	if (signal->windowed && !whole && !def->keep_pairs &&
		def->keeps == MA_KEEPS_TOTALS)
		require_window(def, &signal->window);
	if (whole)
		def->keep_times = true;
	if (signal->windowed && (whole || def->keep_pairs))
		require_edge(def, signal);
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

/*
 * The first entry that is not older than any in the window; where entries
 * leave in their order, the first in the window.
 */
static int
window_start(const MaSignal *signal, const MaCell *cell, TimestampTz now)
{
	bool ordered = signal->window.disorder == 0;
	int	 low = 0;
	int	 high = ma_cell_entries(cell);

	while (low < high)
	{
		int			middle = (low + high) / 2;
		TimestampTz t = ma_cell_time(cell, middle);

		if (ordered ? !ma_window_has(&signal->window, t, now) :
					  ma_window_later(t, signal->window.max) <= now)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The next span from the ith on that is in the window; NULL: none. */
static const MaSpan *
next_span(const MaSignal *signal, const MaCell *cell, TimestampTz now, int *i)
{
	while (cell->spans != NULL && *i < cell->spans->n)
	{
		const MaSpan *span = &cell->spans->spans[(*i)++];

		if (ma_window_has(&signal->window, span->first, now))
			return span;
	}
	return NULL;
}

/* When something of a span leaves the window first; infinity: nothing. */
static TimestampTz
spans_leave(const MaSignal *signal, const MaCell *cell, TimestampTz now)
{
	return ma_span_leaves(cell, &signal->window, now);
}

/* How many entries are in the window. */
static int64
window_count(const MaSignal *signal, const MaCell *cell, TimestampTz now)
{
	bool  ordered = signal->window.disorder == 0;
	int	  n = ma_cell_entries(cell);
	int64 inside = 0;
	int	  passed = 0;
	int	  i;

	for (const MaSpan *span;
		 (span = next_span(signal, cell, now, &passed)) != NULL;)
		inside += span->count;
	for (i = window_start(signal, cell, now); i < n && !ordered; i++)
	{
		TimestampTz t = ma_cell_time(cell, i);

		if (ma_window_later(t, signal->window.min) > now)
			break;
		if (ma_window_end(&signal->window, t) > now)
			inside++;
	}
	return inside + n - i;
}

/* The expiries of all entries in the window, in order; returns how many. */
static int
sorted_expiries(const MaSignal *signal, const MaCell *cell, TimestampTz now,
				MaLeaving **expiries)
{
	int		   start = window_start(signal, cell, now);
	int		   n = ma_cell_entries(cell);
	int		   found = 0;
	MaLeaving *all = MemoryContextAllocHuge(
		CurrentMemoryContext, Max(n - start, 1) * sizeof(MaLeaving));

	for (int i = start; i < n; i++)
	{
		TimestampTz at = ma_window_end(&signal->window, ma_cell_time(cell, i));

		CHECK_FOR_INTERRUPTS();
		if (at <= now)
			continue;
		all[found].at = at;
		all[found++].index = i;
	}
	if (signal->window.disorder > 0)
		ma_window_sort(all, found);
	*expiries = all;
	return found;
}

/* The nth expiry of those of entries i to end - 1 that are after now. */
static TimestampTz
nth_of(const MaSignal *signal, const MaCell *cell, TimestampTz now, int i,
	   int end, int nth)
{
	MaLeaving  *some = palloc(Max(end - i, 1) * sizeof(MaLeaving));
	int			found = 0;
	TimestampTz at;

	for (; i < end; i++)
	{
		some[found].at = ma_window_end(&signal->window, ma_cell_time(cell, i));
		found += some[found].at > now;
	}
	if (nth > found)
		return DT_NOEND;
	ma_window_sort(some, found);
	at = some[nth - 1].at;
	pfree(some);
	return at;
}

/*
 * When the nth entry leaves the window, counted as they leave; infinity if
 * there are fewer. The order in which they leave is that of the entries but
 * for those close to each other.
 */
static TimestampTz
nth_entry_expiry(const MaSignal *signal, const MaCell *cell, TimestampTz now,
				 int nth)
{
	int64		apart = signal->window.disorder;
	int			n = ma_cell_entries(cell);
	int			start = window_start(signal, cell, now);
	int			inside = 0;
	int			i;
	int			end;
	TimestampTz t;

	if (apart == 0)
		return start + nth <= n ?
				   ma_window_end(&signal->window,
								 ma_cell_time(cell, start + nth - 1)) :
				   DT_NOEND;
	/* the nth by time, passing over those that left */
	for (i = start; i < n; i++)
	{
		t = ma_cell_time(cell, i);
		if (ma_window_later(t, signal->window.min) > now)
		{
			i += nth - inside - 1; /* all from here on are inside */
			break;
		}
		if (ma_window_end(&signal->window, t) > now && ++inside == nth)
			break;
	}
	if (i >= n)
		return DT_NOEND;
	t = ma_cell_time(cell, i);
	for (end = i + 1; end < n && ma_cell_time(cell, end) < t + apart;)
		end++;
	for (; i > start && ma_cell_time(cell, i - 1) > t - apart; i--)
		;
	/* those before i that are inside leave before it */
	for (int j = start; j < i; j++)
	{
		if (ma_window_later(ma_cell_time(cell, j), signal->window.min) > now)
		{
			nth -= i - j;
			break;
		}
		if (ma_window_end(&signal->window, ma_cell_time(cell, j)) > now)
			nth--;
	}
	return nth_of(signal, cell, now, i, end, nth);
}

/* The same of all events; too early if it is in a span. */
static TimestampTz
nth_expiry(const MaSignal *signal, const MaCell *cell, TimestampTz now,
		   int nth)
{
	TimestampTz limit = spans_leave(signal, cell, now);
	TimestampTz at = nth_entry_expiry(signal, cell, now, nth);

	return Min(at, limit);
}

/* The earliest time in the window; false if there is none. */
static bool
window_first(const MaSignal *signal, const MaCell *cell, TimestampTz now,
			 TimestampTz *first, TimestampTz *until)
{
	int			  n = ma_cell_entries(cell);
	int			  passed = 0;
	const MaSpan *span = next_span(signal, cell, now, &passed);

	for (int i = window_start(signal, cell, now); i < n; i++)
	{
		*first = ma_cell_time(cell, i);
		if (span != NULL && span->first < *first)
			break;
		*until = ma_window_end(&signal->window, *first);
		if (*until > now)
			return true;
	}
	if (span == NULL)
		return false;
	*first = span->first;
	*until = ma_window_end(&signal->window, *first);
	return true;
}

/* The latest time in the window; false if there is none. */
static bool
window_last(const MaSignal *signal, const MaCell *cell, TimestampTz now,
			TimestampTz *last, TimestampTz *until)
{
	for (int i = ma_cell_entries(cell) - 1; i >= 0; i--)
	{
		*last = ma_cell_time(cell, i);
		if (ma_window_later(*last, signal->window.max) <= now)
			return false;
		*until = ma_window_end(&signal->window, *last);
		if (*until > now)
			return true;
	}
	return false;
}

/* When the window will be empty; false if it is. */
static bool
window_empty_at(const MaSignal *signal, const MaCell *cell, TimestampTz now,
				TimestampTz *until)
{
	int64		apart = signal->window.disorder;
	int			i = ma_cell_entries(cell) - 1;
	TimestampTz last;

	if (i < 0)
		return false;
	last = ma_cell_time(cell, i);
	*until = ma_window_end(&signal->window, last);
	while (--i >= 0 && ma_cell_time(cell, i) > last - apart)
	{
		TimestampTz at = ma_window_end(&signal->window, ma_cell_time(cell, i));

		*until = Max(*until, at);
	}
	return *until > now;
}

/* Answers first_at, last_at and ever. */
static void
answer_time(const MaSignal *signal, const MaCell *cell, TimestampTz now,
			MaAnswer *answer)
{
	TimestampTz at = cell->first;
	bool		some = cell->count > 0;

	if (signal->function == MA_LAST_AT && !signal->windowed &&
		cell->ntimes > 0)
		at = cell->times[cell->ntimes - 1];
	if (signal->windowed)
	{
		if (signal->function == MA_FIRST_AT)
			some = window_first(signal, cell, now, &at, &answer->until);
		else if (signal->function == MA_LAST_AT)
			some = window_last(signal, cell, now, &at, &answer->until);
		else
			some = window_empty_at(signal, cell, now, &answer->until);
		if (!some)
			answer->until = DT_NOEND;
	}
	answer->isnull = !some && signal->function != MA_EVER;
	answer->value = signal->function == MA_EVER ? BoolGetDatum(some) :
												  TimestampTzGetDatum(at);
}

/* One more value of an aggregate; total is NULL before the first. */
static Numeric
accumulate(MaSignalFunction function, Numeric total, Numeric value)
{
	if (total == NULL)
		return value;
	if (function == MA_MIN)
		return ma_number_order(value, total) < 0 ? value : total;
	if (function == MA_MAX)
		return ma_number_order(value, total) > 0 ? value : total;
	return ma_number_add(total, value);
}

/* The aggregate of total over n values as an answer. */
static void
set_total(MaSignalFunction function, Numeric total, int64 n, MaAnswer *answer)
{
	answer->isnull = total == NULL;
	if (total == NULL)
		return;
	if (function == MA_AVG)
		total = ma_number_divide(total, int64_to_numeric(n));
	answer->value = NumericGetDatum(total);
}

/* The aggregate over the spans in the window; returns of how many values. */
static int64
span_total(const MaSignal *signal, const MaCell *cell, TimestampTz now,
		   Numeric *total)
{
	int64 n = 0;
	int	  passed = 0;

	for (const MaSpan *span;
		 (span = next_span(signal, cell, now, &passed)) != NULL;)
	{
		*total = accumulate(signal->function, *total,
							signal->function == MA_MIN ? span->min :
							signal->function == MA_MAX ? span->max :
														 span->sum);
		n += span->count;
	}
	return n;
}

/* Answers sum, avg, min and max. */
static void
answer_value(const MaSignal *signal, const MaCell *cell, TimestampTz now,
			 MaAnswer *answer)
{
	Numeric total = NULL;
	int64	n;

	if (!signal->windowed)
	{
		total = signal->function == MA_MIN ? cell->min :
				signal->function == MA_MAX ? cell->max :
											 cell->sum;
		set_total(signal->function, total, cell->count, answer);
		return;
	}
	n = span_total(signal, cell, now, &total);
	for (int i = window_start(signal, cell, now); i < cell->npairs; i++)
	{
		if (!ma_window_has(&signal->window, cell->pairs[i].at, now))
			continue;
		total = accumulate(signal->function, total, cell->pairs[i].value);
		n++;
	}
	set_total(signal->function, total, n, answer);
	answer->until = nth_expiry(signal, cell, now, 1);
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
				answer->value = Int64GetDatum(window_count(signal, cell, now));
				if (signal->capacity == MA_UNBOUNDED)
					answer->until = nth_expiry(signal, cell, now, 1);
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
		case MA_DISTINCT:
		case MA_LAST_VALUE:
			ma_seen_answer(signal, cell, now, answer);
			break;
	}
}

/* Compares an answer, a number, with a constant of its type. */
int
ma_signal_order(const MaSignal *signal, Datum value, Datum constant)
{
	if (signal->type == NUMERICOID)
		return ma_number_order(DatumGetNumeric(value),
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

	/* on the way down it flips next to the constant, if ever */
	for (int64 left = Min(count - 1, constant); left >= Max(constant - 1, 0);
		 left--)
		if (ma_signal_test(op, (left > constant) - (left < constant)) != holds)
			return nth_expiry(signal, cell, now, (int) (count - left));
	return DT_NOEND;
}

/*
 * Until when does an aggregate over a window compare as it does? Too early if
 * it changes by what is in a span.
 */
static TimestampTz
value_flips_at(const MaSignal *signal, const MaCell *cell, MaOperator op,
			   Datum constant, TimestampTz now, const MaAnswer *current)
{
	TimestampTz limit = spans_leave(signal, cell, now);
	MaLeaving  *expiries;
	int			n = sorted_expiries(signal, cell, now, &expiries);
	Numeric	   *rest = MemoryContextAllocHuge(CurrentMemoryContext,
											  (n + 1) * sizeof(Numeric));
	int64		summed;

	/* rest[i]: the total of those that leave as the ith or later */
	rest[n] = NULL;
	summed = span_total(signal, cell, now, &rest[n]);
	for (int i = n - 1; i > 0; i--)
	{
		CHECK_FOR_INTERRUPTS();
		rest[i] = accumulate(signal->function, rest[i + 1],
							 cell->pairs[expiries[i].index].value);
	}
	for (int gone = 1; gone <= n; gone++)
	{
		MaAnswer later;

		if (expiries[gone - 1].at >= limit)
			break;
		if (gone < n && expiries[gone].at == expiries[gone - 1].at)
			continue;
		set_total(signal->function, rest[gone], summed + n - gone, &later);
		if (later.isnull ||
			ma_signal_test(op,
						   ma_signal_order(signal, later.value, constant)) !=
				DatumGetBool(current->value))
			return expiries[gone - 1].at;
	}
	return limit;
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

	if (signal->function == MA_COUNT && signal->windowed &&
		ma_cell_kept(cell) < DatumGetInt64(constant))
	{
		/* too few for that, and time only takes some away */
		answer->isnull = false;
		answer->value = BoolGetDatum(ma_signal_test(op, -1));
		answer->until = DT_NOEND;
		return;
	}
	ma_signal_answer(signal, cell, now, &value);
	answer->isnull = value.isnull;
	answer->value = BoolGetDatum(
		!value.isnull &&
		ma_signal_test(op, ma_signal_order(signal, value.value, constant)));
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
		case MA_DISTINCT:
			answer->until =
				ma_seen_flips_at(cell, op, DatumGetInt64(constant), now);
			break;
		default:
			answer->until = value.until;
			break;
	}
}
