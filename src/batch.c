/*
 * batch.c
 *	  Columns of a set, as the arrays that a statement unnests, and its ids.
 *
 * A set statement takes one array per column and unnests them side by side.
 * The values added are not copied; everything lives in the memory context in
 * which the column was made.
 */
#include "postgres.h"

#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "batch.h"

/* Makes an empty column with room for max rows; it grows when needed. */
void
ma_column_init(MaColumn *column, Oid type, int max)
{
	column->type = type;
	get_typlenbyvalalign(type, &column->typlen, &column->typbyval,
						 &column->typalign);
	column->n = 0;
	column->max = Max(max, 1);
	column->values = palloc(sizeof(Datum) * column->max);
	column->nulls = palloc(sizeof(bool) * column->max);
}

/* Adds the value of the next row. */
void
ma_column_add(MaColumn *column, Datum value, bool isnull)
{
	if (column->n == column->max)
	{
		column->max *= 2;
		column->values = repalloc(column->values, sizeof(Datum) * column->max);
		column->nulls = repalloc(column->nulls, sizeof(bool) * column->max);
	}
	column->values[column->n] = value;
	column->nulls[column->n] = isnull;
	column->n++;
}

/* The same for a text given as a C string; NULL is null. */
void
ma_column_add_text(MaColumn *column, const char *value)
{
	ma_column_add(column, value ? CStringGetTextDatum(value) : (Datum) 0,
				  value == NULL);
}

/* The column as an array, a parameter for unnest(). */
Datum
ma_column_array(const MaColumn *column)
{
	int lower = 1;
	int size = column->n;

	if (size == 0)
		return PointerGetDatum(construct_empty_array(column->type));
	return PointerGetDatum(construct_md_array(
		column->values, column->nulls, 1, &size, &lower, column->type,
		column->typlen, column->typbyval, column->typalign));
}

/* Orders ids, for qsort() and bsearch(). */
int
ma_batch_compare_ids(const void *a, const void *b)
{
	int64 x = *(const int64 *) a;
	int64 y = *(const int64 *) b;

	return (x > y) - (x < y);
}

/* Sorts ids and drops repeated ones; returns how many are left. */
int
ma_batch_sort_ids(int64 *ids, int n)
{
	int distinct = 0;

	qsort(ids, n, sizeof(int64), ma_batch_compare_ids);
	for (int i = 0; i < n; i++)
		if (i == 0 || ids[i] != ids[i - 1])
			ids[distinct++] = ids[i];
	return distinct;
}
