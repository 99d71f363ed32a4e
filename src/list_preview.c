/*
 * list_preview.c
 *	  How many contacts would be in a list, without creating it.
 *
 * One plain SQL query over contacts and log (log_sql.c), since nothing is
 * folded for a predicate that nobody uses yet.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "funcapi.h"
#include "utils/builtins.h"

#include "argument.h"
#include "clock.h"
#include "compat.h"
#include "known.h"
#include "log_sql.h"
#include "setting.h"
#include "sql.h"

PG_FUNCTION_INFO_V1(mautomate_preview_list);

/*
 * The query: contacts for whom the predicate is true, false and unknown, and
 * for each name how many of the unknown have no value for it.
 */
static char *
preview_sql(MaExpr *expr, MaExpr *conditions, TimestampTz now)
{
	StringInfoData inner;
	StringInfoData outer;
	int			   n = ma_expr_count(conditions);

	initStringInfo(&inner);
	initStringInfo(&outer);
	appendStringInfo(&inner, "select (%s) as p",
					 ma_log_sql_expr(expr, 0, now));
	appendStringInfoString(&outer, "select count(*) filter (where p),"
								   " count(*) filter (where not p),"
								   " count(*) filter (where p is null)");
	for (int i = 0; i < n; i++)
	{
		appendStringInfo(&inner, ", (%s) is null as u%d",
						 ma_log_sql_expr(conditions, i, now), i);
		appendStringInfo(&outer, ", count(*) filter (where p is null and u%d)",
						 i);
	}
	appendStringInfo(&outer,
					 " from (%s from mautomate.contact c"
					 " where c.merged_into is null offset 0) as answers",
					 inner.data);
	return outer.data;
}

/* Which conditions leave contacts unknown, and how many each. */
static char *
because_text(MaExpr *conditions, int64 *unknown)
{
	StringInfoData s;

	initStringInfo(&s);
	for (int i = 0; i < ma_expr_count(conditions); i++)
		if (unknown[i] > 0)
			appendStringInfo(&s, "%s%s is unknown for " INT64_FORMAT,
							 s.len > 0 ? "; " : "",
							 ma_expr_deparse(conditions, i), unknown[i]);
	return s.len > 0 ? s.data : NULL;
}

/* Runs the query and makes the one row of the answer. */
static Datum
count_contacts(FunctionCallInfo fcinfo, MaExpr *expr)
{
	MaExpr	  *conditions = ma_expr_conditions(expr, CurrentMemoryContext);
	int		   n = ma_expr_count(conditions);
	char	  *query = preview_sql(expr, conditions, ma_now());
	int64	  *unknown = palloc((n + 1) * sizeof(int64));
	TupleDesc  desc;
	MaSqlScope scope;
	Datum	   values[4];
	bool	   nulls[4] = {false};
	bool	   isnull;
	char	  *because;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	ma_sql_begin(&scope);
	if (SPI_execute(query, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not execute \"%s\"", query);
	for (int i = 0; i < 3; i++)
		values[i] = ma_sql_datum(0, i + 1, &isnull);
	for (int i = 0; i < n; i++)
		unknown[i] = DatumGetInt64(ma_sql_datum(0, i + 4, &isnull));
	ma_sql_end(&scope);
	because = because_text(conditions, unknown);
	nulls[3] = because == NULL;
	values[3] = because ? CStringGetTextDatum(because) : (Datum) 0;
	return HeapTupleGetDatum(heap_form_tuple(desc, values, nulls));
}

/* preview_list(predicate) */
Datum
mautomate_preview_list(PG_FUNCTION_ARGS)
{
	MaExprSource   source = {.text = ma_argument_text(fcinfo, 0, "predicate"),
							 .names = MA_NAMES_PERSON,
							 .type = BOOLOID};
	MaExpr		  *expr = ma_expr_compile(&source, CurrentMemoryContext);
	MaSetting	   own;
	volatile Datum result = (Datum) 0;

	ma_known_check(expr);
	ma_setting_enter(&own);
	PG_TRY();
	{
		result = count_contacts(fcinfo, expr);
	}
	PG_FINALLY();
	{
		ma_setting_leave(&own);
	}
	PG_END_TRY();
	return result;
}
