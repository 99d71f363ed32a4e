/*
 * signal_span.c
 *	  A whole window in bounded space: sums instead of entries.
 *
 * What a window keeps of each event, a time or a pair, is needed when the
 * event leaves, and when it leaves next: in between a sum does. So a cell of
 * more than mautomate.window_entries entries keeps some of them as spans:
 * count, sum, minimum and maximum of all that happened from one time to
 * another. Whatever arrives late is an entry, or is added to the span around
 * its time.
 *
 * The invariant: at any instant at which the cell is asked, each span is as a
 * whole in a window or out of it, for all windows asked about (edges). A
 * span that this does not hold for is opened before: its events are read
 * again from the log, by the index, and are entries (refresh_open.c). All
 * other times are those of entries, so spans do not overlap each other, nor
 * do entries lie within a span. And so an answer is exact: a span counts, or
 * it does not. Until when it holds, may be told too early, by the instant at
 * which a span begins to leave: then it is opened, and asked again.
 *
 * When the entries have become too many, those that leave next are kept, for
 * each window; the others are made spans. A span has at most a quarter as
 * many events as are to leave before it, so there are as few as the logarithm
 * of their number; and an event is read again only when three quarters of the
 * distance that it had to the edge are gone.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "signal_span.h"
#include "guc.h"
#include "number.h"

/* So much of what leaves before it may be in a span. */
#define AHEAD_SHARE 4

/* So much of the longest window may be in a span that has left all. */
#define LEFT_SHARE 32

/* A walk over the spans and entries of a cell, from old to new. */
typedef struct Walk
{
	const MaCellDef *def;
	const MaCell	*cell;
	TimestampTz		 from;	/* it is asked from here */
	TimestampTz		 to;	/* up to here */
	int				 entry; /* the next */
	int64			*ahead; /* by edge: how many passed are in the window */
} Walk;

/* Adds what is in another span to a span; the times stay. */
static void
add_span(MaSpan *span, const MaSpan *other)
{
	if (other->sum != NULL && span->count > 0)
	{
		span->sum = ma_number_add(span->sum, other->sum);
		if (ma_number_order(other->min, span->min) < 0)
			span->min = other->min;
		if (ma_number_order(other->max, span->max) > 0)
			span->max = other->max;
	}
	else
	{
		span->sum = other->sum;
		span->min = other->min;
		span->max = other->max;
	}
	span->count += other->count;
}

/* A span of a single event. */
static MaSpan
span_of(TimestampTz t, Numeric value)
{
	MaSpan span = {t, t, 1, value, value, value};

	return span;
}

/* The first span that does not end before t. */
static int
find_span(const MaSpans *spans, TimestampTz t)
{
	int low = 0;
	int high = spans->n;

	while (low < high)
	{
		int middle = (low + high) / 2;

		if (spans->spans[middle].last < t)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Adds an event to the span around its time; false if there is none. */
bool
ma_span_fold(MaCell *cell, TimestampTz t, Numeric value)
{
	MaSpan one = span_of(t, value);
	int	   i = find_span(cell->spans, t);

	if (i == cell->spans->n || cell->spans->spans[i].first > t)
		return false;
	add_span(&cell->spans->spans[i], &one);
	return true;
}

/* How many events are in spans. */
int64
ma_span_count(const MaCell *cell)
{
	int64 count = 0;

	for (int i = 0; cell->spans != NULL && i < cell->spans->n; i++)
		count += cell->spans->spans[i].count;
	return count;
}

/* Takes a span out: its events have to be made entries. */
MaSpan
ma_span_take(MaCell *cell, int i)
{
	MaSpans *spans = cell->spans;
	MaSpan	 span = spans->spans[i];

	spans->n--;
	memmove(spans->spans + i, spans->spans + i + 1,
			(spans->n - i) * sizeof(MaSpan));
	return span;
}

/* Puts a span where it belongs. Memory comes from the current context. */
void
ma_span_add(MaCell *cell, const MaSpan *span)
{
	MaSpans *spans = cell->spans;
	int		 at;

	if (spans == NULL)
		spans = cell->spans = palloc0(sizeof(MaSpans));
	if (spans->n == spans->max)
	{
		spans->max = Max(16, 2 * spans->max);
		spans->spans =
			spans->spans == NULL ?
				palloc(spans->max * sizeof(MaSpan)) :
				repalloc_huge(spans->spans, spans->max * sizeof(MaSpan));
	}
	at = find_span(spans, span->first);
	memmove(spans->spans + at + 1, spans->spans + at,
			(spans->n - at) * sizeof(MaSpan));
	spans->spans[at] = *span;
	spans->n++;
}

/* Drops what no window can see any more. */
void
ma_span_prune(MaCell *cell, TimestampTz floor)
{
	int gone = 0;

	if (cell->spans == NULL)
		return;
	while (gone < cell->spans->n && cell->spans->spans[gone].last <= floor)
		gone++;
	cell->spans->n -= gone;
	memmove(cell->spans->spans, cell->spans->spans + gone,
			cell->spans->n * sizeof(MaSpan));
}

/*
 * Are all times from first to last in a window, or all out of it, at all
 * instants after `from` up to `to`, for each window? What happened at one
 * time leaves at once.
 */
static bool
is_clear(const MaCellDef *def, TimestampTz first, TimestampTz last,
		 TimestampTz from, TimestampTz to)
{
	for (int i = 0; i < def->nedges && first != last; i++)
		if (!ma_window_is_clear(&def->edges[i], first, last, from, to))
			return false;
	return true;
}

/* The first span from the ith on that has to be opened; -1: none. */
int
ma_span_unclear(const MaCellDef *def, const MaCell *cell, int i,
				TimestampTz from, TimestampTz to)
{
	for (; i < cell->spans->n; i++)
		if (!is_clear(def, cell->spans->spans[i].first,
					  cell->spans->spans[i].last, from, to))
			return i;
	return -1;
}

/* When the first of the events in spans leaves a window; infinity: none. */
TimestampTz
ma_span_leaves(const MaCell *cell, const MaWindow *window, TimestampTz now)
{
	TimestampTz earliest = DT_NOEND;

	for (int i = 0; cell->spans != NULL && i < cell->spans->n; i++)
	{
		const MaSpan *span = &cell->spans->spans[i];
		TimestampTz	  at = ma_window_end(window, span->first);

		if (earliest != DT_NOEND && at >= earliest &&
			(at == DT_NOEND || at - earliest >= window->disorder))
			break; /* nor does any that follows */
		if (at <= now)
			continue;
		if (span->first != span->last)
			at = ma_window_earliest(window, span->first, span->last);
		earliest = Min(earliest, at);
	}
	return earliest;
}

/*
 * Marks about `room` entries that leave a window next, before any span does.
 * Those of the same time are marked all, or none if they are too many.
 */
static void
mark_next(const MaCell *cell, const MaWindow *window, TimestampTz now,
		  int room, bool *keep)
{
	int		   n = ma_cell_entries(cell);
	MaLeaving *leaving =
		MemoryContextAllocHuge(CurrentMemoryContext, n * sizeof(MaLeaving));
	int			found = 0;
	int			end = 0;
	TimestampTz latest = now;
	TimestampTz limit = ma_span_leaves(cell, window, now);

	for (int i = 0; i < n; i++)
	{
		TimestampTz at = ma_window_end(window, ma_cell_time(cell, i));

		if (at <= now)
			continue;
		if (at > limit && (at == DT_NOEND || at - limit > window->disorder))
			break; /* so do all that follow */
		leaving[found].at = at;
		leaving[found++].index = i;
		latest = Max(latest, at);
		if (found == room)
			limit = Min(limit, latest);
	}
	ma_window_sort(leaving, found);
	while (end < found &&
		   (end < room || leaving[end].at == leaving[end - 1].at))
		end++;
	if (end > 2 * room)
		while (end > 0 && leaving[end - 1].at == leaving[room - 1].at)
			end--;
	for (int i = 0; i < end && leaving[i].at <= limit; i++)
		keep[leaving[i].index] = true;
	pfree(leaving);
}

/* Does a span begin after t and before a later time? */
static bool
is_apart(const MaCell *cell, TimestampTz t, TimestampTz later)
{
	int i;

	if (cell->spans == NULL)
		return false;
	i = find_span(cell->spans, t);
	return i < cell->spans->n && cell->spans->spans[i].first < later;
}

/* The last of the entries from the ith on, up to n, that have its time. */
static int
last_alike(const MaCell *cell, int i, int n)
{
	while (i + 1 < n && ma_cell_time(cell, i + 1) == ma_cell_time(cell, i))
		i++;
	return i;
}

/*
 * Makes spans of entries i to n - 1 of the cell of a walk, as few as are
 * clear, and adds them to those in `made`.
 */
static void
make_spans(const Walk *walk, MaCell *made, int i, int n)
{
	const MaCell *cell = walk->cell;
	TimestampTz	  first = ma_cell_time(cell, i);
	TimestampTz	  last = ma_cell_time(cell, n - 1);
	MaSpan		  span = {first, last};
	int			  middle = i + (n - i) / 2;

	CHECK_FOR_INTERRUPTS();
	if (!is_clear(walk->def, first, last, walk->from, walk->to))
	{
		while (middle > i &&
			   ma_cell_time(cell, middle) == ma_cell_time(cell, middle - 1))
			middle--;
		if (middle == i)
			middle = last_alike(cell, i, n) + 1;
		make_spans(walk, made, i, middle);
		make_spans(walk, made, middle, n);
		return;
	}
	for (; i < n; i++)
	{
		MaSpan one = span_of(ma_cell_time(cell, i),
							 cell->pairs ? cell->pairs[i].value : NULL);

		add_span(&span, &one);
	}
	ma_span_add(made, &span);
}

/* Makes spans of the entries that are not kept. */
static void
make_all_spans(const Walk *walk, MaCell *cell, const bool *keep, int room)
{
	MaCell made = {.spans = NULL};
	int	   n = ma_cell_entries(cell);
	int	   left = 0;
	int	   end;

	for (int i = 0; i < n; i = end)
	{
		end = i + 1;
		if (keep[i])
			continue;
		while (end < n && !keep[end] &&
			   (end - i < room ||
				ma_cell_time(cell, end) == ma_cell_time(cell, end - 1)) &&
			   !is_apart(cell, ma_cell_time(cell, end - 1),
						 ma_cell_time(cell, end)))
			end++;
		make_spans(walk, &made, i, end);
	}
	for (int i = 0; i < n; i++)
	{
		if (!keep[i])
			continue;
		if (cell->pairs != NULL)
			cell->pairs[left++] = cell->pairs[i];
		else
			cell->times[left++] = cell->times[i];
	}
	*(cell->pairs ? &cell->npairs : &cell->ntimes) = cell->nsorted = left;
	for (int i = 0; made.spans != NULL && i < made.spans->n; i++)
		ma_span_add(cell, &made.spans->spans[i]);
}

/* Passes over the entries before a span; returns whether there are any. */
static bool
pass_entries(Walk *walk, const MaSpan *span)
{
	int before = walk->entry;

	while (walk->entry < ma_cell_entries(walk->cell) &&
		   ma_cell_time(walk->cell, walk->entry) < span->first)
	{
		TimestampTz t = ma_cell_time(walk->cell, walk->entry++);

		for (int i = 0; i < walk->def->nedges; i++)
			walk->ahead[i] +=
				ma_window_has(&walk->def->edges[i], t, walk->from);
	}
	return walk->entry > before;
}

/*
 * May a span be joined with the next one? `ahead` is how many are to leave
 * before the first of them, by window.
 */
static bool
may_join(const Walk *walk, const MaSpan *span, const MaSpan *next,
		 const int64 *ahead, int room)
{
	const MaCellDef *def = walk->def;
	bool			 left = true;

	for (int i = 0; i < def->nedges; i++)
	{
		if (!ma_window_has(&def->edges[i], span->first, walk->from))
			continue;
		left = false;
		if (span->count + next->count > Max(room, ahead[i] / AHEAD_SHARE))
			return false;
	}
	if (left && next->last - span->first > def->longest / LEFT_SHARE)
		return false;
	return is_clear(def, span->first, next->last, walk->from, walk->to);
}

/* Joins spans that have nothing in between, where they may be. */
static void
join_spans(Walk *walk, MaCell *cell, int room)
{
	const MaCellDef *def = walk->def;
	MaSpans			*spans = cell->spans;
	Size			 size = def->nedges * sizeof(int64);
	int64			*ahead = palloc0(size); /* of the last span */
	int				 n = 0;

	for (int i = 0; i < spans->n; i++)
	{
		MaSpan *span = &spans->spans[i];
		bool	apart = pass_entries(walk, span);

		CHECK_FOR_INTERRUPTS();
		if (n > 0 && !apart &&
			may_join(walk, &spans->spans[n - 1], span, ahead, room))
		{
			add_span(&spans->spans[n - 1], span);
			spans->spans[n - 1].last = span->last;
		}
		else
		{
			memcpy(ahead, walk->ahead, size);
			spans->spans[n++] = *span;
		}
		for (int j = 0; j < def->nedges; j++)
			if (ma_window_has(&def->edges[j], span->first, walk->from))
				walk->ahead[j] += span->count;
	}
	spans->n = n;
}

/*
 * Makes spans of entries, if they are too many, for a cell that is asked next
 * at instants from one to another. They are in order. Memory comes from the
 * current context.
 */
void
ma_span_compact(const MaCellDef *def, MaCell *cell, TimestampTz from,
				TimestampTz to)
{
	Walk  walk = {def, cell, from, to, 0, NULL};
	int	  n = ma_cell_entries(cell);
	int	  room;
	bool *keep;

	if (n <= ma_guc_window_entries || def->nedges == 0)
		return;
	room = Max(1, ma_guc_window_entries / (2 * def->nedges));
	keep = palloc0(n * sizeof(bool));
	for (int i = 0; i < def->nedges; i++)
		mark_next(cell, &def->edges[i], from, room, keep);
	make_all_spans(&walk, cell, keep, room);
	walk.ahead = palloc0(def->nedges * sizeof(int64));
	if (cell->spans != NULL)
		join_spans(&walk, cell, room);
	pfree(walk.ahead);
	pfree(keep);
}

/* Copies spans and their values into the current context. */
void
ma_span_move(MaCell *cell)
{
	MaSpans *spans;

	if (cell->spans == NULL)
		return;
	spans = palloc(sizeof(MaSpans));
	spans->n = cell->spans->n;
	spans->max = Max(spans->n, 1);
	spans->spans = MemoryContextAllocHuge(CurrentMemoryContext,
										  spans->max * sizeof(MaSpan));
	for (int i = 0; i < spans->n; i++)
	{
		MaSpan *span = &spans->spans[i];

		*span = cell->spans->spans[i];
		span->sum = ma_number_copy(span->sum);
		span->min = ma_number_copy(span->min);
		span->max = ma_number_copy(span->max);
	}
	cell->spans = spans;
}
