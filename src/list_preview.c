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
 * for each condition for how many of the unknown it is so too. Conditions are
 * asked only then: alone one may fail where "or" before it spares it.
 */
static char *
preview_sql(MaExpr *expr, MaExpr *conditions, TimestampTz now)
{
	StringInfoData inner;
	StringInfoData outer;
	int			   n = ma_expr_count(conditions);

	initStringInfo(&inner);
	initStringInfo(&outer);
	appendStringInfo(&inner, "select c.*, (%s) as p",
					 ma_log_sql_expr(expr, 0, now));
	appendStringInfoString(&outer, "select count(*) filter (where p),"
								   " count(*) filter (where not p),"
								   " count(*) filter (where p is null)");
	for (int i = 0; i < n; i++)
		appendStringInfo(&outer,
						 ", count(*) filter (where case when p is null then"
						 " (%s) is null end)",
						 ma_log_sql_expr(conditions, i, now));
	appendStringInfo(&outer,
					 " from (%s from mautomate.contact c"
					 " where c.merged_into is null offset 0) as c",
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
							 ma_expr_name(conditions, i), unknown[i]);
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

/*
 * Passes an error on. Where it is about somebody's data, the query, which
 * nobody wrote, is left out of it.
 */
static void
pass_on(MemoryContext cxt)
{
	ErrorData *error;

	MemoryContextSwitchTo(cxt);
	error = CopyErrorData();
	FlushErrorState();
	if (ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_DATA_EXCEPTION)
	{
		error->context = NULL;
		error->detail = pstrdup("The condition fails on the data of at least "
								"one contact.");
		error->hint = pstrdup("In a list such contacts stay as they are. "
							  "Divide by nullif(..., 0), for example.");
	}
	ReThrowError(error);
}

/* preview_list(predicate) */
Datum
mautomate_preview_list(PG_FUNCTION_ARGS)
{
	MaExprSource   source = {.text = ma_argument_text(fcinfo, 0, "predicate"),
							 .names = MA_NAMES_PERSON,
							 .type = BOOLOID};
	MaExpr		  *expr = ma_expr_compile(&source, CurrentMemoryContext);
	MemoryContext  cxt = CurrentMemoryContext;
	MaSetting	   own;
	volatile Datum result = (Datum) 0;

	ma_known_check(expr);
	ma_setting_enter(&own);
	PG_TRY();
	{
		result = count_contacts(fcinfo, expr);
	}
	PG_CATCH();
	{
		ma_setting_leave(&own);
		pass_on(cxt);
	}
	PG_END_TRY();
	ma_setting_leave(&own);
	return result;
}
