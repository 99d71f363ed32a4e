/*
 * sql.h
 *	  Fixed SQL texts, run as the owner of our tables.
 */
#ifndef MA_SQL_H
#define MA_SQL_H

#include "executor/spi.h"

#define MA_SQL_MAX_ARGS 24

/* One fixed SQL text. A static variable next to its caller. */
typedef struct MaStatement
{
	const char *text;  /* schema-qualified, parameters $1..$n */
	int			nargs; /* number of parameters */
	Oid			argtypes[MA_SQL_MAX_ARGS]; /* and their types */
	SPIPlanPtr	plan; /* kept plan; NULL until first used */
} MaStatement;

/* What ma_sql_end() restores. */
typedef struct MaSqlScope
{
	Oid			  userid;	 /* the caller */
	int			  secctx;	 /* and its security context */
	int			  guc_level; /* nest level that holds the search_path */
	MemoryContext cxt;		 /* current before SPI: for results to keep */
} MaSqlScope;

extern void	  ma_sql_require_primary(const char *function);
extern Oid	  ma_owner(void);
extern void	  ma_sql_begin(MaSqlScope *scope);
extern void	  ma_sql_end(MaSqlScope *scope);
extern uint64 ma_sql_exec(MaStatement *stmt, Datum *values, const char *nulls,
						  long count);
extern uint64 ma_sql_read(MaStatement *stmt, Datum *values, const char *nulls,
						  long count);
extern bool	  ma_sql_one(MaStatement *stmt, Datum *values, Datum *value);
extern Portal ma_sql_open(MaStatement *stmt, Datum *values);
extern Datum  ma_sql_datum(uint64 row, int column, bool *isnull);
extern char	 *ma_sql_text(uint64 row, int column);

#endif /* MA_SQL_H */
