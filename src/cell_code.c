/*
 * cell_code.c
 *	  Encode and decode the folded state behind the signals.
 *
 * Encoded, a cell describes itself: length, layout, contents. A reader whose
 * definitions require more than was kept takes the cell as not known, and the
 * log is read again; one that requires less reads what is there.
 */
#include "postgres.h"

#include "port/pg_bswap.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "signal_seen.h"
#include "signal_span.h"

/* What an encoded cell holds besides its counter. */
#define LAYOUT_FIRST	0x01 /* the first timestamp */
#define LAYOUT_TIMES	0x02 /* newest timestamps and their capacity */
#define LAYOUT_WINDOW	0x04 /* times of a whole window, its length */
#define LAYOUT_VALUES	0x08 /* sum, min, max */
#define LAYOUT_PAIRS	0x10 /* pairs of a whole window, its length */
#define LAYOUT_CALENDAR 0x20 /* kept for the windows of this hash */
#define LAYOUT_SEEN		0x40 /* values themselves: signal_seen.c */
#define LAYOUT_SPANS	0x80 /* events in sum: signal_span.c */

/* Bytes that a number takes, at most. */
#define VARINT_MAX 10

/* Appends an unsigned number, seven bits a byte, low ones first. */
void
ma_varint_put(StringInfo out, uint64 value)
{
	char *at;

	if (out->len + VARINT_MAX >= out->maxlen)
		enlargeStringInfo(out, VARINT_MAX);
	at = out->data + out->len;
	while (value >= 0x80)
	{
		*at++ = (char) (value | 0x80);
		value >>= 7;
	}
	*at++ = (char) value;
	out->len = at - out->data;
}

/* What was stored cannot be read. */
pg_noreturn static void
report_corrupt(void)
{
	ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
					errmsg("contact state is corrupt"),
					errhint("mautomate.verify(repair => true) rebuilds it.")));
}

/* Reads a number of any length. */
static uint64
get_long(const char **in, const char *end)
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
	report_corrupt();
}

/* Reads what ma_varint_put() wrote; most are a single byte. */
uint64
ma_varint_get(const char **in, const char *end)
{
	if (*in < end && (**in & 0x80) == 0)
		return (uint8) * (*in)++;
	return get_long(in, end);
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

/*
 * The low bytes of a number, lowest first, where there is room for all eight;
 * what the others are written over is of no account.
 */
static inline void
put_low_bytes(char *at, uint64 value)
{
#ifdef WORDS_BIGENDIAN
	value = pg_bswap64(value);
#endif
	memcpy(at, &value, sizeof(uint64));
}

/* Reads so many low bytes of those that are left. */
static inline uint64
get_low_bytes(const char *in, const char *end, int width)
{
	uint64 value = 0;

	if (width == 0)
		return 0;
	if (end - in < sizeof(uint64))
	{
		for (int i = 0; i < width; i++)
			value |= (uint64) (uint8) in[i] << (8 * i);
		return value;
	}
	memcpy(&value, in, sizeof(uint64));
#ifdef WORDS_BIGENDIAN
	value = pg_bswap64(value);
#endif
	return value & (PG_UINT64_MAX >> (64 - 8 * width));
}

/*
 * Ascending timestamps: the last one, then the distances backwards, each in as
 * many bytes as the longest of them needs.
 */
static void
put_times(StringInfo out, const MaCell *cell)
{
	int	   n = cell->ntimes;
	int	   width = 1;
	uint64 all = 0;
	char  *at;

	ma_varint_put(out, n);
	if (n == 0)
		return;
	put_signed(out, cell->times[n - 1]);
	for (int i = n - 1; i > 0; i--)
		all |= (uint64) cell->times[i] - (uint64) cell->times[i - 1];
	while (width < 8 && all >> (8 * width) != 0)
		width++;
	ma_varint_put(out, width);
	enlargeStringInfo(out, n * width + sizeof(uint64));
	at = out->data + out->len;
	for (int i = n - 1; i > 0; i--)
	{
		put_low_bytes(at,
					  (uint64) cell->times[i] - (uint64) cell->times[i - 1]);
		at += width;
	}
	out->len = at - out->data;
}

static void
get_times(MaCell *cell, const char **in, const char *end)
{
	uint64 n = ma_varint_get(in, end);
	uint64 width;

	if (n == 0)
		return;
	if (n > (uint64) (end - *in)) /* each takes a byte at least */
		n = end - *in;
	cell->ntimes = cell->nsorted = (int) n;
	cell->maxtimes = cell->ntimes + 1; /* one is likely to come */
	cell->times = palloc(cell->maxtimes * sizeof(TimestampTz));
	cell->times[n - 1] = get_signed(in, end);
	width = ma_varint_get(in, end);
	if (width > 8 || width * (n - 1) > (uint64) (end - *in))
		report_corrupt();
	for (int i = cell->ntimes - 1; i > 0; i--)
	{
		cell->times[i - 1] =
			(TimestampTz) ((uint64) cell->times[i] -
						   get_low_bytes(*in, end, (int) width));
		*in += width;
	}
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

/* Spans: of each the times, the distance from the one before, the sums. */
static void
put_spans(StringInfo out, const MaCell *cell)
{
	TimestampTz last = 0;

	ma_varint_put(out, cell->spans->n);
	for (int i = 0; i < cell->spans->n; i++)
	{
		const MaSpan *span = &cell->spans->spans[i];

		put_signed(out, span->first - last);
		ma_varint_put(out, span->last - span->first);
		ma_varint_put(out, span->count);
		put_numeric(out, span->sum);
		put_numeric(out, span->min);
		put_numeric(out, span->max);
		last = span->last;
	}
}

static void
get_spans(MaCell *cell, const char **in, const char *end)
{
	TimestampTz last = 0;
	uint64		n = ma_varint_get(in, end);

	for (uint64 i = 0; i < n; i++)
	{
		MaSpan span;

		span.first = last + get_signed(in, end);
		span.last = last = span.first + (TimestampTz) ma_varint_get(in, end);
		span.count = (int64) ma_varint_get(in, end);
		span.sum = get_numeric(in, end);
		span.min = get_numeric(in, end);
		span.max = get_numeric(in, end);
		ma_span_add(cell, &span);
	}
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
	if (cell->spans != NULL && cell->spans->n > 0 && def->nedges > 0)
		layout |= LAYOUT_SPANS;

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
	if (layout & LAYOUT_SPANS)
		put_spans(out, cell);
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
		ma_cell_append(cell, at, get_numeric(in, end));
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
	if (ma_cell_kept(cell) == cell->count)
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
	if (layout & LAYOUT_SPANS)
		get_spans(cell, &body, end);
	cell->known = suffices(def, cell, &kept);
}

/*
 * A cell that was kept as a count and nothing else; of no events there is
 * nothing else, whatever is required.
 */
void
ma_cell_set_count(const MaCellDef *def, MaCell *cell, int64 count)
{
	Kept kept = {.longest = -1};

	cell->count = count;
	cell->known = true;
	if (def->plain)
		return;
	cell->dropped = DT_NOBEGIN;
	if (count == 0)
		return;
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
