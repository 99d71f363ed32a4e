/*
 * cell.c
 *	  The folded state behind the signals: fold and prune.
 *
 * A cell holds what the definitions using it require and no more: a counter,
 * the first timestamp, the newest timestamps, totals of values, or the
 * (time, value) pairs of the longest window. Late events fold to the same
 * cell as early ones. Newest timestamps are dropped by number, never by age,
 * and only if as many are left that leave every window no earlier: where the
 * calendar turns the order round, an older one is kept beside them;
 * where a window has to be kept whole (keep_times, keep_pairs), what
 * left the longest window by `now` is dropped: a clock that is set back makes
 * all states be rebuilt. Of many events in it sums are kept: signal_span.c.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "compat.h"
#include "number.h"
#include "signal_seen.h"
#include "signal_span.h"

/* Has nothing of what a cell is about ever happened? */
bool
ma_cell_is_empty(const MaCell *cell)
{
	return cell->count == 0 && cell->ntimes == 0 && cell->npairs == 0 &&
		   cell->seen == NULL;
}

/* Does the definition ask for nothing but a count? */
bool
ma_cell_is_plain(const MaCellDef *def)
{
	return def->keeps == MA_KEEPS_TOTALS && def->property[0] == '\0' &&
		   !def->keep_first && !def->keep_times && def->newest == 0;
}

/* Empties a cell: known, and nothing happened. */
void
ma_cell_reset(MaCell *cell)
{
	memset(cell, 0, sizeof(MaCell));
	cell->known = true;
	cell->dropped = DT_NOBEGIN;
}

/*
 * Does a later time leave no window before an earlier one does? Where both
 * are moved by the same length, no end of a month and no change of the zone
 * comes between their expiries, nor between those of the times in between.
 */
static bool
outlasts(const MaCellDef *def, TimestampTz later, TimestampTz earlier,
		 bool alike)
{
	for (int i = 0; i < def->nwindows; i++)
	{
		TimestampTz a = ma_window_end(&def->windows[i], later);
		TimestampTz b = ma_window_end(&def->windows[i], earlier);

		if (alike ? a - b != later - earlier : a < b)
			return false;
	}
	return true;
}

/*
 * Do the entries from index `from` on, all not before t, make t superfluous:
 * are there as many as are required that leave no window before t does?
 */
static bool
superfluous(const MaCellDef *def, const MaCell *cell, TimestampTz t, int from)
{
	int wanted = def->newest;
	int near = cell->ntimes - 1;

	if (cell->ntimes - from < wanted)
		return false;
	if (def->nwindows == 0 || wanted == 0 ||
		cell->times[cell->ntimes - wanted] - t >= def->disorder)
		return true;
	while (cell->times[near] - t >= def->disorder)
		near--;
	if (outlasts(def, cell->times[near], t, true))
		return true;
	for (int i = cell->ntimes - 1; i >= from && wanted > 0; i--)
		if (outlasts(def, cell->times[i], t, false))
			wanted--;
	return wanted == 0;
}

/* Drops the oldest entries, so many. */
static void
drop_oldest(MaCell *cell, int n)
{
	if (n == 0)
		return;
	cell->dropped = Max(cell->dropped, cell->times[n - 1]);
	cell->ntimes -= n;
	cell->nsorted = cell->ntimes;
	memmove(cell->times, cell->times + n, cell->ntimes * sizeof(TimestampTz));
}

/* Makes room for one more timestamp. */
static void
reserve_time(MaCell *cell)
{
	if (cell->times == NULL)
	{
		cell->maxtimes = 4;
		cell->times = palloc(cell->maxtimes * sizeof(TimestampTz));
	}
	else if (cell->ntimes == cell->maxtimes)
	{
		cell->maxtimes *= 2;
		cell->times =
			repalloc_huge(cell->times, cell->maxtimes * sizeof(TimestampTz));
	}
}

/* Puts t into the sorted newest timestamps of a cell, before later ones. */
static void
insert_time(const MaCellDef *def, MaCell *cell, TimestampTz t)
{
	int at = cell->ntimes;
	int gone = 0;

	while (at > 0 && cell->times[at - 1] > t)
		at--;
	if (at == 0 && superfluous(def, cell, t, 0))
	{
		cell->dropped = Max(cell->dropped, t);
		return;
	}
	reserve_time(cell);
	memmove(cell->times + at + 1, cell->times + at,
			(cell->ntimes - at) * sizeof(TimestampTz));
	cell->times[at] = t;
	cell->ntimes++;
	while (superfluous(def, cell, cell->times[gone], gone + 1))
		gone++;
	drop_oldest(cell, gone);
}

/* Appends t to the timestamps of a whole window. */
static void
append_time(MaCell *cell, TimestampTz t)
{
	int n = cell->ntimes;

	reserve_time(cell);
	if (cell->nsorted == n && (n == 0 || cell->times[n - 1] <= t))
		cell->nsorted++;
	cell->times[cell->ntimes++] = t;
}

/* Appends a pair to those of a whole window. */
static void
append_pair(MaCell *cell, TimestampTz t, Numeric value)
{
	int n = cell->npairs;

	if (cell->pairs == NULL)
	{
		cell->maxpairs = 4;
		cell->pairs = palloc(cell->maxpairs * sizeof(MaPair));
	}
	else if (n == cell->maxpairs)
	{
		cell->maxpairs *= 2;
		cell->pairs =
			repalloc_huge(cell->pairs, cell->maxpairs * sizeof(MaPair));
	}
	if (cell->nsorted == n && (n == 0 || cell->pairs[n - 1].at <= t))
		cell->nsorted++;
	cell->pairs[n].at = t;
	cell->pairs[n].value = value;
	cell->npairs++;
}

/* Appends an entry to those of a whole window. */
void
ma_cell_append(MaCell *cell, TimestampTz t, Numeric value)
{
	if (value != NULL)
		append_pair(cell, t, value);
	else
		append_time(cell, t);
}

/* How many entries there are: times, or pairs where values are kept. */
int
ma_cell_entries(const MaCell *cell)
{
	return cell->pairs ? cell->npairs : cell->ntimes;
}

/* The time of entry i. */
TimestampTz
ma_cell_time(const MaCell *cell, int i)
{
	return cell->pairs ? cell->pairs[i].at : cell->times[i];
}

/* How many events a cell has anything of. */
int64
ma_cell_kept(const MaCell *cell)
{
	int64 entries = ma_cell_entries(cell);

	return cell->spans == NULL ? entries : entries + ma_span_count(cell);
}

/* Entries of both kinds begin with their time. */
static int
compare_entries(const void *a, const void *b)
{
	TimestampTz x = *(const TimestampTz *) a;
	TimestampTz y = *(const TimestampTz *) b;

	return (x > y) - (x < y);
}

/* Sorts what was appended to sorted entries, and merges it with them. */
static void
merge_entries(char *entries, int nsorted, int n, Size size)
{
	int	  tail = n - nsorted;
	char *appended = MemoryContextAllocHuge(CurrentMemoryContext, tail * size);

	memcpy(appended, entries + nsorted * size, tail * size);
	qsort(appended, tail, size, compare_entries);
	while (tail > 0)
	{
		char *last = appended + (tail - 1) * size;

		n--;
		if (nsorted > 0 &&
			compare_entries(entries + (nsorted - 1) * size, last) > 0)
			memcpy(entries + n * size, entries + --nsorted * size, size);
		else
		{
			memcpy(entries + n * size, last, size);
			tail--;
		}
	}
	pfree(appended);
}

/*
 * Brings a cell in order after any number of events was folded into it, late
 * ones too; it must not be asked before.
 */
void
ma_cell_settle(const MaCellDef *def, MaCell *cell)
{
	if (def->keep_pairs && cell->nsorted < cell->npairs)
	{
		merge_entries((char *) cell->pairs, cell->nsorted, cell->npairs,
					  sizeof(MaPair));
		cell->nsorted = cell->npairs;
	}
	else if (def->keep_times && cell->nsorted < cell->ntimes)
	{
		merge_entries((char *) cell->times, cell->nsorted, cell->ntimes,
					  sizeof(TimestampTz));
		cell->nsorted = cell->ntimes;
	}
}

/*
 * Folds one event that passed the filter into the cell. With a property,
 * value is what the event has for it, NULL if nothing: then the event does
 * not count here. Memory comes from the current context. ma_cell_settle() has
 * to follow.
 */
void
ma_cell_fold(const MaCellDef *def, MaCell *cell, TimestampTz occurred_at,
			 Numeric value)
{
	if (def->plain)
	{
		cell->count++;
		return;
	}
	if (def->property[0] != '\0')
	{
		if (value == NULL)
			return;
		cell->sum = cell->sum ? ma_number_add(cell->sum, value) : value;
		if (cell->min == NULL || ma_number_order(value, cell->min) < 0)
			cell->min = value;
		if (cell->max == NULL || ma_number_order(value, cell->max) > 0)
			cell->max = value;
	}
	if (def->keep_pairs || def->keep_times)
	{
		if (cell->spans == NULL || !ma_span_fold(cell, occurred_at, value))
			ma_cell_append(cell, occurred_at, value);
	}
	else if (def->newest > 0)
		insert_time(def, cell, occurred_at);
	if (cell->count == 0 || occurred_at < cell->first)
		cell->first = occurred_at;
	cell->count++;
}

/*
 * Drops what no window can see any more at `from` or later, and makes spans of
 * what is many in a cell that is asked next at instants from one to another.
 * Memory comes from the current context.
 */
void
ma_cell_sum_up(const MaCellDef *def, MaCell *cell, TimestampTz from,
			   TimestampTz to)
{
	TimestampTz floor = from - def->longest;
	int			gone = 0;

	if (def->keep_pairs)
	{
		while (gone < cell->npairs && cell->pairs[gone].at <= floor)
			gone++;
		cell->npairs -= gone;
		cell->nsorted = cell->npairs;
		if (gone > 0)
			memmove(cell->pairs, cell->pairs + gone,
					cell->npairs * sizeof(MaPair));
	}
	else if (def->keep_times)
	{
		while (gone < cell->ntimes && cell->times[gone] <= floor)
			gone++;
		drop_oldest(cell, gone);
	}
	ma_span_prune(cell, floor);
	ma_span_compact(def, cell, from, to);
}

/* The same for one that is asked next at `now`, and kept from then on. */
void
ma_cell_prune(const MaCellDef *def, MaCell *cell, TimestampTz now)
{
	if (def->keeps != MA_KEEPS_TOTALS)
		ma_seen_prune(cell, now);
	else
		ma_cell_sum_up(def, cell, now, now);
}

/* Copies all that a cell of totals points to into the current context. */
void
ma_cell_move(MaCell *cell)
{
	cell->sum = ma_number_copy(cell->sum);
	cell->min = ma_number_copy(cell->min);
	cell->max = ma_number_copy(cell->max);
	if (cell->times != NULL)
	{
		TimestampTz *times;

		cell->maxtimes = Max(cell->ntimes, 4);
		times = MemoryContextAllocHuge(CurrentMemoryContext,
									   cell->maxtimes * sizeof(TimestampTz));
		memcpy(times, cell->times, cell->ntimes * sizeof(TimestampTz));
		cell->times = times;
	}
	if (cell->pairs != NULL)
	{
		MaPair *pairs;

		cell->maxpairs = Max(cell->npairs, 4);
		pairs = MemoryContextAllocHuge(CurrentMemoryContext,
									   cell->maxpairs * sizeof(MaPair));
		for (int i = 0; i < cell->npairs; i++)
		{
			pairs[i].at = cell->pairs[i].at;
			pairs[i].value = ma_number_copy(cell->pairs[i].value);
		}
		cell->pairs = pairs;
	}
	ma_span_move(cell);
}
