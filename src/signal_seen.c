/*
 * signal_seen.c
 *	  Cells that keep values themselves: the different ones, or the last.
 *
 * count_distinct: each value with the instant at which its newest occurrence
 * leaves the window; the window is part of the cell, so the calendar cannot
 * reverse an order here. Compared with constants up to N, only the N + 1
 * values that leave last are kept: whatever was dropped leaves before them.
 *
 * last_value: the value in the newest event that has one, by occurred_at and
 * event_id, as the JSON it came as.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "signal_seen.h"
#include "value.h"

/* What such a cell holds, made when the first value comes. */
static MaSeen *
seen_of(MaCell *cell)
{
	if (cell->seen == NULL)
		cell->seen = palloc0(sizeof(MaSeen));
	return cell->seen;
}

/*
 * A JSON scalar as bytes that are equal for equal values; false for objects
 * and arrays, which are not counted.
 */
static bool
value_key(const JsonbValue *value, StringInfo key)
{
	initStringInfo(key);
	switch (value->type)
	{
		case jbvString:
			appendStringInfoChar(key, 's');
			appendBinaryStringInfo(key, value->val.string.val,
								   value->val.string.len);
			return true;
		case jbvNumeric:
			appendStringInfo(key, "n%s",
							 numeric_normalize(value->val.numeric));
			return true;
		case jbvBool:
			appendStringInfoChar(key, value->val.boolean ? 't' : 'f');
			return true;
		default:
			return false;
	}
}

/* Takes value i out. */
static void
remove_value(MaSeen *seen, int i)
{
	seen->n--;
	memmove(seen->values + i, seen->values + i + 1,
			(seen->n - i) * sizeof(MaSeenValue));
}

/* Puts a value where it belongs by the instant at which it leaves. */
static void
insert_value(MaSeen *seen, MaSeenValue value)
{
	int at = seen->n;

	if (seen->n == seen->max)
	{
		seen->max = Max(4, 2 * seen->max);
		seen->values =
			seen->values == NULL ?
				palloc(seen->max * sizeof(MaSeenValue)) :
				repalloc_huge(seen->values, seen->max * sizeof(MaSeenValue));
	}
	while (at > 0 && seen->values[at - 1].until > value.until)
		at--;
	memmove(seen->values + at + 1, seen->values + at,
			(seen->n - at) * sizeof(MaSeenValue));
	seen->values[at] = value;
	seen->n++;
}

/* Folds an occurrence of a value. */
static void
fold_distinct(const MaCellDef *def, MaCell *cell, TimestampTz occurred_at,
			  StringInfo key)
{
	MaSeen	   *seen = seen_of(cell);
	MaSeenValue value = {.key = key->data, .length = key->len};

	value.until =
		def->windowed ? ma_window_end(&def->window, occurred_at) : DT_NOEND;
	for (int i = 0; i < seen->n; i++)
	{
		if (seen->values[i].length != key->len ||
			memcmp(seen->values[i].key, key->data, key->len) != 0)
			continue;
		if (seen->values[i].until >= value.until)
			return;
		remove_value(seen, i);
		break;
	}
	insert_value(seen, value);
	if (!def->keep_times && seen->n > def->newest)
		remove_value(seen, 0);
}

/* Folds a value that may be the last. */
static void
fold_last(MaCell *cell, const MaEvent *event, JsonbValue *value)
{
	MaSeen *seen = seen_of(cell);

	if (seen->last != NULL && (event->occurred_at < seen->last_at ||
							   (event->occurred_at == seen->last_at &&
								event->event_id < seen->last_id)))
		return;
	seen->last = JsonbValueToJsonb(value);
	seen->last_at = event->occurred_at;
	seen->last_id = event->event_id;
}

/*
 * Folds one event that passed the filter. Memory comes from the current
 * context.
 */
void
ma_seen_fold(const MaCellDef *def, MaCell *cell, const MaEvent *event)
{
	char		  *path = unconstify(char *, def->property);
	JsonbValue	   value;
	StringInfoData key;

	if (!ma_value_lookup(event->properties, &path, 1, &value))
		return;
	if (def->keeps == MA_KEEPS_LAST)
		fold_last(cell, event, &value);
	else if (value_key(&value, &key))
		fold_distinct(def, cell, event->occurred_at, &key);
	else
		return;
	cell->count++;
}

/* How many values have left by now. */
static int
values_gone(const MaSeen *seen, TimestampTz now)
{
	int low = 0;
	int high = seen->n;

	while (low < high)
	{
		int middle = (low + high) / 2;

		if (seen->values[middle].until <= now)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Drops the values that have left. */
void
ma_seen_prune(MaCell *cell, TimestampTz now)
{
	MaSeen *seen = cell->seen;
	int		gone;

	if (seen == NULL || seen->n == 0)
		return;
	gone = values_gone(seen, now);
	seen->n -= gone;
	memmove(seen->values, seen->values + gone, seen->n * sizeof(MaSeenValue));
}

/* Bytes with their length before them. */
static void
put_bytes(StringInfo out, const char *bytes, int length)
{
	ma_varint_put(out, length);
	appendBinaryStringInfo(out, bytes, length);
}

static char *
get_bytes(const char **in, const char *end, int *length)
{
	uint64 n = ma_varint_get(in, end);
	char  *bytes;

	n = Min(n, (uint64) (end - *in));
	bytes = palloc(n + 1);
	memcpy(bytes, *in, n);
	*in += n;
	*length = (int) n;
	return bytes;
}

/* Appends what the cell holds; the capacity 0 means all values. */
void
ma_seen_put(const MaCellDef *def, const MaCell *cell, StringInfo out)
{
	const MaSeen *seen = cell->seen;

	if (def->keeps == MA_KEEPS_LAST)
	{
		ma_varint_put(out, seen != NULL);
		if (seen == NULL)
			return;
		ma_varint_put(out, (uint64) seen->last_at);
		ma_varint_put(out, (uint64) seen->last_id);
		put_bytes(out, VARDATA(seen->last), VARSIZE(seen->last) - VARHDRSZ);
		return;
	}
	ma_varint_put(out, def->keep_times ? 0 : def->newest);
	ma_varint_put(out, seen ? seen->n : 0);
	for (int i = 0; seen != NULL && i < seen->n; i++)
	{
		if (def->windowed)
			ma_varint_put(
				out, (uint64) seen->values[i].until -
						 (i > 0 ? (uint64) seen->values[i - 1].until : 0));
		put_bytes(out, seen->values[i].key, seen->values[i].length);
	}
}

/* Reads the last value. */
static void
get_last(MaCell *cell, const char **in, const char *end)
{
	MaSeen *seen;
	char   *bytes;
	int		length;

	if (ma_varint_get(in, end) == 0)
		return;
	seen = seen_of(cell);
	seen->last_at = (TimestampTz) ma_varint_get(in, end);
	seen->last_id = (int64) ma_varint_get(in, end);
	bytes = get_bytes(in, end, &length);
	seen->last = palloc(VARHDRSZ + length);
	SET_VARSIZE(seen->last, VARHDRSZ + length);
	memcpy(VARDATA(seen->last), bytes, length);
}

/* Reads what ma_seen_put() wrote; false if it is less than is needed now. */
bool
ma_seen_get(const MaCellDef *def, MaCell *cell, const char **in,
			const char *end)
{
	uint64 capacity;
	uint64 n;
	uint64 until = 0;

	if (def->keeps == MA_KEEPS_LAST)
	{
		get_last(cell, in, end);
		return true;
	}
	capacity = ma_varint_get(in, end);
	n = ma_varint_get(in, end);
	for (uint64 i = 0; i < n; i++)
	{
		MaSeenValue value;

		if (def->windowed)
			until += ma_varint_get(in, end);
		value.until = def->windowed ? (TimestampTz) until : DT_NOEND;
		value.key = get_bytes(in, end, &value.length);
		insert_value(seen_of(cell), value);
	}
	return capacity == 0 || (!def->keep_times && capacity >= def->newest);
}

/* Answers count_distinct and last_value. */
void
ma_seen_answer(const MaSignal *signal, const MaCell *cell, TimestampTz now,
			   MaAnswer *answer)
{
	const MaSeen *seen = cell->seen;
	JsonbValue	  value;
	int			  gone;

	if (signal->function == MA_DISTINCT)
	{
		answer->value = Int64GetDatum(0);
		if (seen == NULL)
			return;
		gone = values_gone(seen, now);
		answer->value = Int64GetDatum(seen->n - gone);
		if (gone < seen->n)
			answer->until = seen->values[gone].until;
		return;
	}
	answer->isnull = true;
	if (seen == NULL)
		return;
	if (!JsonbExtractScalar(&seen->last->root, &value))
	{
		value.type = jbvBinary;
		value.val.binary.data = &seen->last->root;
		value.val.binary.len = VARSIZE(seen->last) - VARHDRSZ;
	}
	answer->value = ma_value_from_json(&value, signal->type, &answer->isnull);
}

/* Until when does `count_distinct <op> constant` stay as it is? */
TimestampTz
ma_seen_flips_at(const MaCell *cell, MaOperator op, int64 constant,
				 TimestampTz now)
{
	const MaSeen *seen = cell->seen;
	int			  gone = seen ? values_gone(seen, now) : 0;
	int64		  count = seen ? seen->n - gone : 0;
	bool holds = ma_signal_test(op, (count > constant) - (count < constant));

	for (int64 left = count - 1; left >= 0; left--)
		if (ma_signal_test(op, (left > constant) - (left < constant)) != holds)
			return seen->values[seen->n - left - 1].until;
	return DT_NOEND;
}
