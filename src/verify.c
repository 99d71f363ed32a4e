/*
 * verify.c
 *	  Recompute lists and scores from the log in plain SQL, and compare.
 *
 * Contacts whose timer is due but has not run, who wait for the sweep, or of
 * whom something is only noted, are not compared: they are known to be behind.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_operator_d.h"
#include "catalog/pg_type_d.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/tuplesort.h"

#include "batch.h"
#include "clock.h"
#include "compat.h"
#include "definition.h"
#include "guard.h"
#include "log_sql.h"
#include "refresh.h"
#include "setting.h"
#include "sql.h"

PG_FUNCTION_INFO_V1(mautomate_verify);

/* Rows fetched, and contacts repaired, at a time. */
#define CHUNK 1000

/* Which column of the result says who it is. */
#define CONTACT_ID 5

/* So many contacts on whose data a query fails are told by name. */
#define FAILURES_MAX 10

/* A comparison under way. */
typedef struct Compare
{
	ReturnSetInfo	*result;
	const char		*object; /* a list or a score */
	char			*query;	 /* (external_id, stored, expected, contact_id) of
							  * contacts from $1 to $2 */
	int64			 low;	 /* the range to run it for */
	int64			 high;
	Tuplestorestate *found;	   /* rows of the result, on disk if many */
	int				 failures; /* contacts found on whose data it fails */
} Compare;

/* Runs the query, for the guard, and keeps what it finds. */
static void
run_query(void *arg)
{
	Compare *compare = arg;
	Oid		 types[] = {INT8OID, INT8OID};
	Datum	 range[] = {Int64GetDatum(compare->low),
						Int64GetDatum(compare->high)};
	Portal	 portal =
		SPI_cursor_open_with_args(NULL, compare->query, 2, types, range, NULL,
								  false, CURSOR_OPT_NO_SCROLL);
	Datum  values[5] = {CStringGetTextDatum(compare->object)};
	bool   nulls[5] = {false};
	uint64 n;

	do
	{
		SPI_cursor_fetch(portal, true, CHUNK);
		n = SPI_processed;
		for (uint64 i = 0; i < n; i++)
		{
			for (int column = 1; column <= 4; column++)
				values[column] = ma_sql_datum(i, column, &nulls[column]);
			tuplestore_putvalues(compare->found, compare->result->setDesc,
								 values, nulls);
		}
		SPI_freetuptable(SPI_tuptable);
	} while (n > 0);
	SPI_cursor_close(portal);
}

/* What was found in a range becomes rows of the result. */
static void
take_rows(Compare *compare)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(compare->result->setDesc,
													&TTSOpsMinimalTuple);

	while (tuplestore_gettupleslot(compare->found, true, false, slot))
		tuplestore_puttupleslot(compare->result->setResult, slot);
	ExecDropSingleTupleTableSlot(slot);
}

/* One row for a contact, or more of them, that cannot be compared. */
static void
take_failure(Compare *compare, const char *message)
{
	static MaStatement stmt = {
		"select external_id from mautomate.contact where contact_id = $1",
		1,
		{INT8OID}};
	Datum id = Int64GetDatum(compare->low);
	Datum values[5] = {CStringGetTextDatum(compare->object)};
	bool  nulls[5] = {false, true, false, false, true};

	if (compare->low < compare->high)
		compare->failures++;
	else if (ma_sql_exec(&stmt, &id, NULL, 1) > 0)
	{
		values[1] = ma_sql_datum(0, 1, &nulls[1]);
		compare->failures++;
	}
	else /* without anybody's data */
		compare->failures = FAILURES_MAX + 1;
	values[2] = CStringGetTextDatum("not verified");
	values[3] = CStringGetTextDatum(message);
	tuplestore_putvalues(compare->result->setResult, compare->result->setDesc,
						 values, nulls);
}

/*
 * Compares a range of contacts. Where the query fails on somebody's data the
 * engine left that membership as it was: halves of the range tell whose it
 * is, and the others are compared.
 */
static void
compare_range(Compare *compare, int64 low, int64 high)
{
	ErrorData *edata;

	compare->low = low;
	compare->high = high;
	tuplestore_clear(compare->found);
	edata = ma_guard(run_query, compare);
	if (edata == NULL)
		take_rows(compare);
	else if (low == high || compare->failures >= FAILURES_MAX)
		take_failure(compare, edata->message);
	else
	{
		int64 middle = low + (high - low) / 2;

		FreeErrorData(edata);
		compare_range(compare, low, middle);
		if (compare->failures <= FAILURES_MAX)
			compare_range(compare, middle + 1, high);
	}
}

/* Compares all contacts by a query. */
static void
compare(ReturnSetInfo *result, const char *object, char *query)
{
	static MaStatement stmt = {
		"select coalesce(max(contact_id), 0) from mautomate.contact", 0};
	Compare compare = {.result = result, .object = object, .query = query};
	bool	isnull;

	ma_sql_exec(&stmt, NULL, NULL, 1);
	compare.found = tuplestore_begin_heap(false, false, work_mem);
	compare_range(&compare, 0, DatumGetInt64(ma_sql_datum(0, 1, &isnull)));
	tuplestore_end(compare.found);
}

/* Whom to compare: who is up to date, as far as anybody knows. */
static char *
up_to_date(TimestampTz now)
{
	return psprintf("c.contact_id between $1 and $2"
					" and c.merged_into is null and not exists (select"
					" from mautomate_internal.timer t"
					" where t.contact_id = c.contact_id and t.due_at <= '%s')"
					" and not exists (select from mautomate_internal.dirty d"
					" where d.contact_id = c.contact_id)"
					" and c.contact_id not in (select d.contact_id"
					" from mautomate_internal.deferred_contacts() d)",
					timestamptz_to_str(now));
}

static void
verify_list(ReturnSetInfo *result, MaListDef *list, TimestampTz now)
{
	char *query;

	if (list->expr == NULL)
		return;
	query = psprintf("select external_id, stored::text, expected::text,"
					 " contact_id from (select c.contact_id, c.external_id,"
					 " exists (select from mautomate_internal.list_member m"
					 " where m.list_id = %d"
					 " and m.contact_id = c.contact_id) as stored,"
					 " coalesce((select o.entered"
					 " from mautomate_internal.list_override o"
					 " where o.list_id = %d and o.contact_id = c.contact_id"
					 " and o.until > '%s'), %s, false) as expected"
					 " from mautomate.contact c where %s) as both_sides"
					 " where stored <> expected order by contact_id",
					 list->list_id, list->list_id, timestamptz_to_str(now),
					 ma_log_sql_expr(list->expr, 0, now), up_to_date(now));
	compare(result, psprintf("list \"%s\"", list->name), query);
}

static void
verify_score(ReturnSetInfo *result, MaScoreDef *score, TimestampTz now)
{
	StringInfoData sum;

	initStringInfo(&sum);
	appendStringInfoString(&sum, "0::float8");
	for (int i = 0; i < score->nrules; i++)
	{
		MaRuleDef *rule = &score->rules[i];
		char	  *sql;

		if (rule->expr == NULL)
			return;
		sql = ma_log_sql_expr(rule->expr, 0, now);
		appendStringInfo(&sum, " + '%.17g'::float8 * coalesce((%s)::int, 0)",
						 rule->points, sql);
	}
	compare(result, psprintf("score \"%s\"", score->name),
			psprintf("select external_id, stored::text, expected::text,"
					 " contact_id from (select c.contact_id, c.external_id,"
					 " coalesce((select x.value from mautomate.scores x"
					 " where x.contact_id = c.contact_id and x.score = %s), 0)"
					 " as stored,"
					 " least(greatest(%s, '%.17g'::float8), '%.17g'::float8)"
					 " as expected from mautomate.contact c where %s)"
					 " as both_sides where abs(stored - expected) >"
					 " 1e-9 * greatest(1, abs(expected)) order by contact_id",
					 quote_literal_cstr(score->name), sum.data, score->minimum,
					 score->maximum, up_to_date(now)));
}

/* Every list and score, under the settings of the engine. */
static void
verify_all(ReturnSetInfo *result)
{
	MaDefinitions *definitions = ma_definitions();
	TimestampTz	   now = ma_now();
	MaSqlScope	   scope;

	ma_sql_begin(&scope);
	for (int i = 0; i < definitions->nlists; i++)
		verify_list(result, &definitions->lists[i], now);
	for (int i = 0; i < definitions->nscores; i++)
		verify_score(result, &definitions->scores[i], now);
	ma_sql_end(&scope);
}

/*
 * Forgets what is stored of contacts (ids ascending, distinct) by rule, and
 * folds it from the log.
 */
static void
repair(const int64 *ids, int n)
{
	static MaStatement stmts[] = {
		{"select from mautomate_internal.contact_state"
		 " where contact_id = any ($1) order by contact_id for no key update",
		 1,
		 {INT8ARRAYOID}},
		{"update mautomate_internal.contact_state"
		 " set state = '', generation = 0 where contact_id = any ($1)",
		 1,
		 {INT8ARRAYOID}},
		{"delete from mautomate_internal.list_member"
		 " where ctid = any (array(select x.ctid"
		 " from mautomate_internal.list l, unnest($1) as id,"
		 " lateral (select m.ctid from mautomate_internal.list_member m"
		 " where m.list_id = l.list_id and m.contact_id = id"
		 " and m.by = 'rule' offset 0) x))",
		 1,
		 {INT8ARRAYOID}},
	};
	MaColumn   column;
	MaSqlScope scope;
	Datum	   array;

	ma_column_init(&column, INT8OID, n);
	for (int i = 0; i < n; i++)
		ma_column_add(&column, Int64GetDatum(ids[i]), false);
	array = ma_column_array(&column);
	ma_sql_begin(&scope);
	for (int i = 0; i < lengthof(stmts); i++)
		ma_sql_exec(&stmts[i], &array, NULL, 0);
	ma_sql_end(&scope);
	ma_refresh_contacts(ids, n, true);
}

/* The rows of the comparison that name a contact, by its number. */
static Tuplesortstate *
sort_wrong(ReturnSetInfo *result, TupleTableSlot *slot)
{
	AttrNumber		column = CONTACT_ID;
	Oid				less = Int8LessOperator;
	Oid				collation = InvalidOid;
	bool			nulls_first = false;
	Tuplesortstate *sort =
		tuplesort_begin_heap(result->setDesc, 1, &column, &less, &collation,
							 &nulls_first, work_mem, NULL, TUPLESORT_NONE);

	tuplestore_rescan(result->setResult);
	while (tuplestore_gettupleslot(result->setResult, true, false, slot))
		if (!slot_attisnull(slot, CONTACT_ID))
			tuplesort_puttupleslot(sort, slot);
	tuplesort_performsort(sort);
	return sort;
}

/* The next contacts behind one, each once; returns how many. */
static int
next_wrong(Tuplesortstate *sort, TupleTableSlot *slot, int64 *ids, int64 last)
{
	int n = 0;

	while (n < CHUNK && tuplesort_gettupleslot(sort, true, false, slot, NULL))
	{
		bool  isnull;
		int64 id = DatumGetInt64(slot_getattr(slot, CONTACT_ID, &isnull));

		if (id != last)
			ids[n++] = last = id;
	}
	return n;
}

/*
 * Repairs whom the comparison found wrong, in chunks: states are locked by
 * contact, as everywhere, and no more of them is in memory at a time.
 */
static void
repair_all(ReturnSetInfo *result)
{
	TupleTableSlot *slot =
		MakeSingleTupleTableSlot(result->setDesc, &TTSOpsMinimalTuple);
	Tuplesortstate *sort = sort_wrong(result, slot);
	int64		   *ids = palloc(CHUNK * sizeof(int64));
	int64			last = 0;
	MemoryContext	cxt = AllocSetContextCreate(
		  CurrentMemoryContext, "mautomate repair", ALLOCSET_DEFAULT_SIZES);
	int n;

	while ((n = next_wrong(sort, slot, ids, last)) > 0)
	{
		MemoryContext caller = MemoryContextSwitchTo(cxt);

		CHECK_FOR_INTERRUPTS();
		last = ids[n - 1];
		repair(ids, n);
		MemoryContextSwitchTo(caller);
		MemoryContextReset(cxt);
	}
	ExecDropSingleTupleTableSlot(slot);
	tuplesort_end(sort);
	MemoryContextDelete(cxt);
}

/* verify_rows(repair) */
Datum
mautomate_verify(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	MaSetting	   own;

	InitMaterializedSRF(fcinfo, 0);
	ma_setting_enter(&own);
	PG_TRY();
	{
		verify_all(result);
		if (PG_GETARG_BOOL(0))
			repair_all(result);
	}
	PG_FINALLY();
	{
		ma_setting_leave(&own);
	}
	PG_END_TRY();
	return (Datum) 0;
}
