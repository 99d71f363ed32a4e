/*
 * verify.c
 *	  Recompute lists, scores and signals from the log in SQL, and compare.
 *
 * Contacts whose timer is due but has not run, who wait for the sweep, or of
 * whom something is only noted, are not compared: they are known to be behind.
 */
#include "postgres.h"

#include "catalog/pg_operator_d.h"
#include "catalog/pg_type_d.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/tuplesort.h"

#include "batch.h"
#include "compat.h"
#include "refresh.h"
#include "setting.h"
#include "verify_private.h"

PG_FUNCTION_INFO_V1(mautomate_verify);

/* Contacts repaired at a time. */
#define CHUNK 1000

/* Which column of the result says whom to repair. */
#define CONTACT_ID 5

/* Every list and score, under the settings of the engine. */
static void
verify_all(ReturnSetInfo *result)
{
	MaSqlScope scope;

	ma_sql_begin(&scope);
	(void) set_config_option("jit", "off", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	ma_verify_compare(result);
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
