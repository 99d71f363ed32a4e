/*
 * cell.c
 *	  The folded state behind the signals: fold, prune, encode, decode.
 *
 * A cell holds what the definitions using it require and no more: a counter,
 * the first timestamp, the newest timestamps, totals of values, or the
 * (time, value) pairs of the longest window. Late events fold to the same
 * cell as early ones. Newest timestamps are dropped by number, never by age,
 * and only if as many are left that leave every window no earlier: where the
 * calendar turns the order round, an older one is kept beside them;
 * where a window has to be kept whole (keep_times, keep_pairs), what
 * left the longest window by `now` is dropped: a clock that is set back makes
 * all states be rebuilt.
 *
 * Encoded, a cell describes itself: length, layout, contents. A reader
 * whose definitions require more than was kept takes the cell as not known,
 * and the log is read again; one that requires less reads what is there.
 */
#include "postgres.h"

#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "compat.h"
#include "signal_seen.h"

/* What an encoded cell holds besides its counter. */
#define LAYOUT_FIRST	0x01 /* the first timestamp */
#define LAYOUT_TIMES	0x02 /* newest timestamps and their capacity */
#define LAYOUT_WINDOW	0x04 /* times of a whole window, its length */
#define LAYOUT_VALUES	0x08 /* sum, min, max */
#define LAYOUT_PAIRS	0x10 /* pairs of a whole window, its length */
#define LAYOUT_CALENDAR 0x20 /* kept for the windows of this hash */
#define LAYOUT_SEEN		0x40 /* values themselves: signal_seen.c */

static void	   put_numeric(StringInfo out, Numeric value);
static Numeric get_numeric(const char **in, const char *end);
static Numeric add(Numeric a, Numeric b);
static int	   compare(Numeric a, Numeric b);

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
	pg_tz *zone = ma_timezone();

	for (int i = 0; i < def->nwindows; i++)
	{
		TimestampTz a = ma_time_add(later, &def->windows[i], 1, zone);
		TimestampTz b = ma_time_add(earlier, &def->windows[i], 1, zone);

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

/* Appends a pair. */
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
		cell->sum = cell->sum ? add(cell->sum, value) : value;
		if (cell->min == NULL || compare(value, cell->min) < 0)
			cell->min = value;
		if (cell->max == NULL || compare(value, cell->max) > 0)
			cell->max = value;
		if (def->keep_pairs)
			append_pair(cell, occurred_at, value);
	}
	else if (def->keep_times)
		append_time(cell, occurred_at);
	else if (def->newest > 0)
		insert_time(def, cell, occurred_at);
	if (cell->count == 0 || occurred_at < cell->first)
		cell->first = occurred_at;
	cell->count++;
}

/* Drops what no window can see any more at `now` or later. */
void
ma_cell_prune(const MaCellDef *def, MaCell *cell, TimestampTz now)
{
	TimestampTz floor = now - def->longest;
	int			gone = 0;

	if (def->keeps != MA_KEEPS_TOTALS)
	{
		ma_seen_prune(cell, now);
		return;
	}
	if (def->keep_pairs)
	{
		while (gone < cell->npairs && cell->pairs[gone].at <= floor)
			gone++;
		cell->npairs -= gone;
		cell->nsorted = cell->npairs;
		memmove(cell->pairs, cell->pairs + gone,
				cell->npairs * sizeof(MaPair));
	}
	else if (def->keep_times)
	{
		while (gone < cell->ntimes && cell->times[gone] <= floor &&
			   superfluous(def, cell, cell->times[gone], gone + 1))
			gone++;
		drop_oldest(cell, gone);
	}
}

/* Appends an unsigned number, seven bits a byte, low ones first. */
void
ma_varint_put(StringInfo out, uint64 value)
{
	while (value >= 0x80)
	{
		appendStringInfoCharMacro(out, (char) (value | 0x80));
		value >>= 7;
	}
	appendStringInfoCharMacro(out, (char) value);
}

/* Reads what ma_varint_put() wrote. */
uint64
ma_varint_get(const char **in, const char *end)
{
	uint64 value = 0;

	for (int shift = 0; shift < 64; shift += 7)
	{
		uint8 byte;

		if (*in >= end)
			break;
		byte = (uint8) * (*in)++;
		value |= (uint64) (byte & 0x7f) << shift;
		if ((byte & 0x80) == 0)
			return value;
	}
	ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
					errmsg("contact state is corrupt"),
					errhint("mautomate.verify(repair => true) rebuilds it.")));
}

/* Signed numbers, small ones short. */
static void
put_signed(StringInfo out, int64 value)
{
	ma_varint_put(out, ((uint64) value << 1) ^ (uint64) (value >> 63));
}

static int64
get_signed(const char **in, const char *end)
{
	uint64 value = ma_varint_get(in, end);

	return (int64) (value >> 1) ^ -(int64) (value & 1);
}

/* Ascending timestamps: the last one, then the distances backwards. */
static void
put_times(StringInfo out, const MaCell *cell)
{
	ma_varint_put(out, cell->ntimes);
	if (cell->ntimes == 0)
		return;
	put_signed(out, cell->times[cell->ntimes - 1]);
	for (int i = cell->ntimes - 1; i > 0; i--)
		ma_varint_put(out,
					  (uint64) cell->times[i] - (uint64) cell->times[i - 1]);
}

static void
get_times(MaCell *cell, const char **in, const char *end)
{
	uint64 n = ma_varint_get(in, end);

	if (n > (uint64) (end - *in)) /* each takes a byte at least */
		n = end - *in;
	cell->ntimes = cell->maxtimes = cell->nsorted = (int) n;
	if (n == 0)
		return;
	cell->maxtimes++; /* one is likely to come */
	cell->times = palloc(cell->maxtimes * sizeof(TimestampTz));
	cell->times[n - 1] = get_signed(in, end);
	for (int i = cell->ntimes - 1; i > 0; i--)
		cell->times[i - 1] =
			(TimestampTz) ((uint64) cell->times[i] - ma_varint_get(in, end));
}

/* Which windows the times were kept for, and the newest that was not. */
static void
put_calendar(StringInfo out, const MaCellDef *def, const MaCell *cell)
{
	ma_varint_put(out, def->windows_hash);
	if (cell->dropped == DT_NOBEGIN || cell->ntimes == 0)
		ma_varint_put(out, 0);
	else
		ma_varint_put(out, cell->times[0] - cell->dropped + 1);
}

static uint32
get_calendar(MaCell *cell, const char **in, const char *end)
{
	uint32 hash = (uint32) ma_varint_get(in, end);
	uint64 distance = ma_varint_get(in, end);

	if (distance > 0 && cell->ntimes > 0)
		cell->dropped = cell->times[0] - (TimestampTz) (distance - 1);
	return hash;
}

/* A numeric by its bytes; NULL as length 0. */
static void
put_numeric(StringInfo out, Numeric value)
{
	if (value == NULL)
	{
		ma_varint_put(out, 0);
		return;
	}
	ma_varint_put(out, VARSIZE(value) - VARHDRSZ);
	appendBinaryStringInfo(out, (char *) value + VARHDRSZ,
						   VARSIZE(value) - VARHDRSZ);
}

static Numeric
get_numeric(const char **in, const char *end)
{
	uint64 length = ma_varint_get(in, end);
	char  *value;

	if (length == 0 || length > (uint64) (end - *in))
		return NULL;
	value = palloc(VARHDRSZ + length);
	SET_VARSIZE(value, VARHDRSZ + length);
	memcpy(value + VARHDRSZ, *in, length);
	*in += length;
	return (Numeric) value;
}

/* Puts the length of what follows `start` before it. */
static void
insert_length(StringInfo out, int start)
{
	uint64 length = out->len - start;
	int	   end = out->len;
	char   bytes[10];
	int	   n;

	ma_varint_put(out, length);
	n = out->len - end;
	memcpy(bytes, out->data + end, n);
	memmove(out->data + start + n, out->data + start, length);
	memcpy(out->data + start, bytes, n);
}

/* Appends a known cell, without its id. */
void
ma_cell_encode(const MaCellDef *def, const MaCell *cell, StringInfo out)
{
	int start = out->len;
	int layout = 0;

	if (def->keep_first && cell->count > 0)
		layout |= LAYOUT_FIRST;
	if (def->keeps != MA_KEEPS_TOTALS)
		layout = LAYOUT_SEEN;
	else if (def->property[0] != '\0')
		layout |= LAYOUT_VALUES | (def->keep_pairs ? LAYOUT_PAIRS : 0);
	else if (def->newest > 0 || def->keep_times)
		layout |= LAYOUT_TIMES | (def->keep_times ? LAYOUT_WINDOW : 0) |
				  (def->nwindows > 0 ? LAYOUT_CALENDAR : 0);

	ma_varint_put(out, layout);
	ma_varint_put(out, cell->count);
	if (layout & LAYOUT_FIRST)
		put_signed(out, cell->first);
	if (layout & LAYOUT_TIMES)
	{
		ma_varint_put(out, def->newest);
		if (layout & LAYOUT_WINDOW)
			ma_varint_put(out, def->longest);
		put_times(out, cell);
		if (layout & LAYOUT_CALENDAR)
			put_calendar(out, def, cell);
	}
	if (layout & LAYOUT_VALUES)
	{
		put_numeric(out, cell->sum);
		put_numeric(out, cell->min);
		put_numeric(out, cell->max);
	}
	if (layout & LAYOUT_PAIRS)
	{
		ma_varint_put(out, def->longest);
		ma_varint_put(out, cell->npairs);
		for (int i = 0; i < cell->npairs; i++)
		{
			put_signed(out, cell->pairs[i].at -
								(i > 0 ? cell->pairs[i - 1].at : 0));
			put_numeric(out, cell->pairs[i].value);
		}
	}
	if (layout & LAYOUT_SEEN)
		ma_seen_put(def, cell, out);
	insert_length(out, start);
}

/* Reads pairs of a whole window. */
static void
get_pairs(MaCell *cell, const char **in, const char *end)
{
	TimestampTz at = 0;
	uint64		n = ma_varint_get(in, end);

	for (uint64 i = 0; i < n; i++)
	{
		at += get_signed(in, end);
		append_pair(cell, at, get_numeric(in, end));
	}
}

/* What an encoded cell says of how it was kept. */
typedef struct Kept
{
	int	   layout;
	int64  newest;
	int64  longest;
	uint32 windows_hash;
} Kept;

/*
 * Does what was kept answer what is required now? Newest timestamps suffice
 * if none was ever dropped, too; and for windows whose ends come out of order
 * if they were kept for the same ones, or are far enough from all that was
 * dropped.
 */
static bool
suffices(const MaCellDef *def, const MaCell *cell, const Kept *kept)
{
	if (def->keep_first && cell->count > 0 && !(kept->layout & LAYOUT_FIRST))
		return false;
	if (def->property[0] != '\0')
		return (kept->layout & LAYOUT_VALUES) &&
			   (!def->keep_pairs || kept->longest >= def->longest);
	if (cell->ntimes == cell->count)
		return true;
	if (kept->newest < def->newest ||
		(def->keep_times && kept->longest < def->longest))
		return false;
	if (def->nwindows == 0 || def->newest == 0)
		return true;
	if (!(kept->layout & LAYOUT_CALENDAR))
		return false;
	return kept->windows_hash == def->windows_hash ||
		   cell->times[cell->ntimes - def->newest] - def->disorder >=
			   cell->dropped;
}

/*
 * Reads the body of a cell whose id has been read and found to be def's into
 * an empty one; the cell is known afterwards if what was kept is enough.
 */
void
ma_cell_decode(const MaCellDef *def, MaCell *cell, const char **in,
			   const char *end)
{
	uint64		length = ma_varint_get(in, end);
	const char *body = *in;
	Kept		kept = {.longest = -1};
	int			layout;

	if (length > (uint64) (end - *in))
		length = end - *in;
	end = *in += length;
	cell->dropped = DT_NOBEGIN;
	layout = kept.layout = (int) ma_varint_get(&body, end);
	cell->count = (int64) ma_varint_get(&body, end);
	if (def->keeps != MA_KEEPS_TOTALS)
	{
		cell->known =
			(layout & LAYOUT_SEEN) && ma_seen_get(def, cell, &body, end);
		return;
	}
	if (layout & LAYOUT_FIRST)
		cell->first = get_signed(&body, end);
	if (layout & LAYOUT_TIMES)
	{
		kept.newest = (int64) ma_varint_get(&body, end);
		if (layout & LAYOUT_WINDOW)
			kept.longest = (int64) ma_varint_get(&body, end);
		get_times(cell, &body, end);
		if (layout & LAYOUT_CALENDAR)
			kept.windows_hash = get_calendar(cell, &body, end);
	}
	if (layout & LAYOUT_VALUES)
	{
		cell->sum = get_numeric(&body, end);
		cell->min = get_numeric(&body, end);
		cell->max = get_numeric(&body, end);
	}
	if (layout & LAYOUT_PAIRS)
	{
		kept.longest = (int64) ma_varint_get(&body, end);
		get_pairs(cell, &body, end);
	}
	cell->known = suffices(def, cell, &kept);
}

/* A cell that was kept as a count and nothing else. */
void
ma_cell_set_count(const MaCellDef *def, MaCell *cell, int64 count)
{
	Kept kept = {.longest = -1};

	cell->count = count;
	cell->known = true;
	if (def->plain)
		return;
	cell->dropped = DT_NOBEGIN;
	cell->known =
		def->keeps == MA_KEEPS_TOTALS ? suffices(def, cell, &kept) : false;
}

/* Passes over the body of a cell nobody uses any more. */
void
ma_cell_skip(const char **in, const char *end)
{
	uint64 length = ma_varint_get(in, end);

	*in += Min(length, (uint64) (end - *in));
}

static Numeric
add(Numeric a, Numeric b)
{
	return DatumGetNumeric(DirectFunctionCall2(numeric_add, NumericGetDatum(a),
											   NumericGetDatum(b)));
}

static int
compare(Numeric a, Numeric b)
{
	return DatumGetInt32(DirectFunctionCall2(numeric_cmp, NumericGetDatum(a),
											 NumericGetDatum(b)));
}
