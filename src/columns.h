/*
 * columns.h
 *	  Rows for a set statement, collected as one array per column.
 */
#ifndef MA_COLUMNS_H
#define MA_COLUMNS_H

#include "utils/jsonb.h"

#include "batch.h"
#include "sql.h"

/* Rows by column. */
typedef struct MaColumns
{
	int		 ncolumns;
	MaColumn columns[MA_SQL_MAX_ARGS];
} MaColumns;

extern MaColumns *ma_columns_new(int nrows, int ncolumns, const Oid *types);
extern void		  ma_columns_add(MaColumns *columns, int column, Datum value);
extern void		  ma_columns_add_text(MaColumns *columns, int column,
									  const char *value);
extern void		  ma_columns_add_json(MaColumns *columns, int column,
									  const Jsonb *value);
extern int		  ma_columns_rows(const MaColumns *columns);
extern uint64	  ma_columns_exec(MaStatement *stmt, const MaColumns *columns);

#endif /* MA_COLUMNS_H */
