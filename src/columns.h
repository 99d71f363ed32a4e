/*
 * columns.h
 *	  Rows for a set statement, collected as one array per column.
 */
#ifndef MA_COLUMNS_H
#define MA_COLUMNS_H

#include "sql.h"

/* Rows by column. */
typedef struct MaColumns
{
	int	   ncolumns;
	int	   nrows; /* filled so far */
	Oid	   types[MA_SQL_MAX_ARGS];
	Datum *values[MA_SQL_MAX_ARGS]; /* [column][row] */
	bool  *nulls[MA_SQL_MAX_ARGS];	/* likewise; NULL: none is null */
	int	   maxrows;					/* room for as many */
} MaColumns;

extern MaColumns *ma_columns_new(int maxrows, int ncolumns, const Oid *types);
extern void		  ma_columns_set(MaColumns *columns, int column, int row,
								 Datum value, bool isnull);
extern uint64	  ma_columns_exec(MaStatement *stmt, const MaColumns *columns);

#endif /* MA_COLUMNS_H */
