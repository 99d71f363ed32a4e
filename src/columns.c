/*
 * columns.c
 *	  Rows for a set statement, collected as one array per column.
 *
 * The statement takes one array parameter per column and unnests them. Rows
 * are filled column by column, from the first to the last.
 */
#include "postgres.h"

#include "columns.h"

/* Makes room for rows of columns of the given types. */
MaColumns *
ma_columns_new(int nrows, int ncolumns, const Oid *types)
{
	MaColumns *columns = palloc0(sizeof(MaColumns));

	Assert(ncolumns <= MA_SQL_MAX_ARGS);
	columns->ncolumns = ncolumns;
	for (int i = 0; i < ncolumns; i++)
		ma_column_init(&columns->columns[i], types[i], nrows);
	return columns;
}

/* The value of the next row in a column. */
void
ma_columns_add(MaColumns *columns, int column, Datum value)
{
	ma_column_add(&columns->columns[column], value, false);
}

/* Likewise a text; NULL is null. */
void
ma_columns_add_text(MaColumns *columns, int column, const char *value)
{
	ma_column_add_text(&columns->columns[column], value);
}

/* Likewise jsonb; NULL is null. */
void
ma_columns_add_json(MaColumns *columns, int column, const Jsonb *value)
{
	ma_column_add(&columns->columns[column], PointerGetDatum(value),
				  value == NULL);
}

/* How many rows there are. */
int
ma_columns_rows(const MaColumns *columns)
{
	return columns->columns[0].n;
}

/* Runs a statement over the rows. */
uint64
ma_columns_exec(MaStatement *stmt, const MaColumns *columns)
{
	Datum values[MA_SQL_MAX_ARGS];

	for (int i = 0; i < columns->ncolumns; i++)
		values[i] = ma_column_array(&columns->columns[i]);
	return ma_sql_exec(stmt, values, NULL, 0);
}
