/*
 * columns.c
 *	  Rows for a set statement, collected as one array per column.
 *
 * The statement takes one array parameter per column and unnests them.
 */
#include "postgres.h"

#include "utils/array.h"
#include "utils/lsyscache.h"

#include "columns.h"

/* Makes room for columns of the given types. */
MaColumns *
ma_columns_new(int maxrows, int ncolumns, const Oid *types)
{
	MaColumns *columns = palloc0(sizeof(MaColumns));

	columns->ncolumns = ncolumns;
	columns->maxrows = maxrows;
	for (int i = 0; i < ncolumns; i++)
	{
		columns->types[i] = types[i];
		columns->values[i] = palloc(sizeof(Datum) * Max(maxrows, 1));
	}
	return columns;
}

/* Sets a value that may be null. */
void
ma_columns_set(MaColumns *columns, int column, int row, Datum value,
			   bool isnull)
{
	if (columns->nulls[column] == NULL)
		columns->nulls[column] =
			palloc0(sizeof(bool) * Max(columns->maxrows, 1));
	columns->values[column][row] = value;
	columns->nulls[column][row] = isnull;
}

/* Runs a statement over the columns. */
uint64
ma_columns_exec(MaStatement *stmt, const MaColumns *columns)
{
	Datum values[MA_SQL_MAX_ARGS];
	int	  nrows = columns->nrows;
	int	  lower = 1;

	for (int i = 0; i < columns->ncolumns; i++)
	{
		int16 len;
		bool  byval;
		char  align;

		get_typlenbyvalalign(columns->types[i], &len, &byval, &align);
		values[i] = PointerGetDatum(construct_md_array(
			columns->values[i], columns->nulls[i], 1, &nrows, &lower,
			columns->types[i], len, byval, align));
	}
	return ma_sql_exec(stmt, values, NULL, 0);
}
