/*
 * verify_compare.c
 *	  Lists and scores as they are stored and as the log says they are.
 *
 * Contacts are compared in chunks. A chunk has one snapshot, the latest: what
 * is stored, the log and the definitions are of the same instant, and `now` is
 * not before it. Definitions may be others in the next chunk. All lists
 * are compared by one query over what verify_read.c read. Where it fails on
 * somebody's data the engine left that membership as it was: each list is
 * compared by itself, and halves of the chunk tell whose data it is.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type_d.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "clock.h"
#include "guard.h"
#include "verify_private.h"

/*
 * Contacts compared at a time: so many, or a tenth of all if that is more.
 * The events of some contacts are all over the log, which is read for each
 * chunk; what does not fit into work_mem goes to disk.
 */
#define CHUNK 100000

/* Rows fetched at a time. */
#define ROWS 1000

/*
 * Where events raise an error while the log is read, so many numbers of
 * contacts are read carefully together; all that are left if it has happened
 * so often.
 */
#define SMALL	   100
#define RAISED_MAX 100

/* So many contacts on whose data a query fails are told by name. */
#define FAILURES_MAX 10

/* All lists of a reading, instead of a certain object. */
#define LISTS (-1)

/* Columns of the result. */
enum
{
	OBJECT,
	EXTERNAL_ID,
	STORED,
	EXPECTED,
	CONTACT_ID,
	RANK,
	PLACE,
	NCOLUMNS
};

/* A comparison under way. */
typedef struct Compare
{
	ReturnSetInfo	*result;
	MemoryContext	 cxt;	  /* for what outlives a chunk */
	MaChecked		*checked; /* everything that is defined */
	int				 n;
	MaDefinitions	*definitions;
	TimestampTz		 now;	  /* of a chunk */
	int				 raised;  /* so often reading the log did */
	MaReading		 reading; /* what is compared with */
	char			*query;	  /* (list id, external_id, stored, expected,
								* contact_id) of contacts from $1 to $2 */
	int				 which;	  /* whom it is about, in the reading; LISTS */
	int64			 low;	  /* the range to run it for */
	int64			 high;
	Tuplestorestate *found; /* rows of the result, on disk if many */
} Compare;

/* Is a contact in a list, by what is stored? */
static char *
stored_sql(const MaListDef *list)
{
	return psprintf("case when %d = any (c." MA_READING_STORED
					") then array[%d] else '{}'::int[] end",
					list->list_id, list->list_id);
}

/* Appends the id of a list if a contact should be in it, else null. */
static void
append_expected(StringInfo s, const Compare *compare, const MaListDef *list)
{
	appendStringInfo(s,
					 "case when %d = any (c." MA_READING_ENTERED
					 ") or (%d = any (c." MA_READING_DECIDED
					 ")) is not true and (%s) then %d end",
					 list->list_id, list->list_id,
					 ma_expr_deparse_with(
						 list->expr, 0, ma_log_sql_slot,
						 unconstify(MaWriting *, &compare->reading.writing)),
					 list->list_id);
}

/* The query for one list, or for LISTS. */
static char *
lists_query(const Compare *compare, int which)
{
	const MaReading *reading = &compare->reading;
	const char		*comma = "";
	StringInfoData	 s;

	initStringInfo(&s);
	appendStringInfo(&s,
					 "select d.id, c.external_id, d.stored::text,"
					 " (not d.stored)::text, c.contact_id"
					 " from (select c.contact_id, c.external_id, %s as stored,"
					 " array_remove(array[",
					 which == LISTS ?
						 "c." MA_READING_STORED :
						 stored_sql(reading->checked[which].list));
	for (int i = 0; i < reading->n; i++)
		if (reading->checked[i].list != NULL && (which == LISTS || which == i))
		{
			appendStringInfoString(&s, comma);
			append_expected(&s, compare, reading->checked[i].list);
			comma = ", ";
		}
	appendStringInfoString(
		&s, "]::int[], null) as expected"
			" from c where c.contact_id between $1 and $2 offset 0) c"
			" cross join lateral (select coalesce(s.id, e.id) as id,"
			" s.id is not null as stored from unnest(c.stored) s (id)"
			" full join unnest(c.expected) e (id) on s.id = e.id"
			" where s.id is null or e.id is null) d"
			" where c.stored <> c.expected");
	return s.data;
}

/* The query for a score. */
static char *
score_query(const Compare *compare, const MaScoreDef *score)
{
	StringInfoData sum;

	initStringInfo(&sum);
	appendStringInfoString(&sum, "0::float8");
	for (int i = 0; i < score->nrules; i++)
	{
		const MaRuleDef *rule = &score->rules[i];

		appendStringInfo(
			&sum, " + '%.17g'::float8 * coalesce((%s)::int, 0)", rule->points,
			ma_expr_deparse_with(
				rule->expr, 0, ma_log_sql_slot,
				unconstify(MaWriting *, &compare->reading.writing)));
	}
	return psprintf("select null::int, external_id, stored::text,"
					" expected::text, contact_id"
					" from (select c.contact_id, c.external_id,"
					" coalesce((select x.value from"
					" mautomate_internal.state_scores(c." MA_READING_STATE
					") x where x.score_id = %d), 0) as stored,"
					" least(greatest(%s, '%.17g'::float8), '%.17g'::float8)"
					" as expected from c"
					" where c.contact_id between $1 and $2) as both_sides"
					" where abs(stored - expected) >"
					" 1e-9 * greatest(1, abs(expected))",
					score->score_id, sum.data, score->minimum, score->maximum);
}

/* Which object a row of the query is about. */
static int
object_of(const Compare *compare, uint64 row)
{
	const MaReading *reading = &compare->reading;
	bool			 isnull;
	int				 id;
	int				 i = 0;

	if (compare->which != LISTS)
		return compare->which;
	id = DatumGetInt32(ma_sql_datum(row, 1, &isnull));
	while (reading->checked[i].list == NULL ||
		   reading->checked[i].list->list_id != id)
		i++;
	return i;
}

/* Keeps a row of the query as one of the result. */
static void
keep_row(Compare *compare, uint64 row)
{
	const MaChecked *checked =
		&compare->reading.checked[object_of(compare, row)];
	Datum values[NCOLUMNS];
	bool  nulls[NCOLUMNS] = {false};

	values[OBJECT] = CStringGetTextDatum(checked->object);
	for (int column = EXTERNAL_ID; column <= CONTACT_ID; column++)
		values[column] = ma_sql_datum(row, column + 1, &nulls[column]);
	values[RANK] = Int32GetDatum(checked - compare->checked);
	values[PLACE] = values[CONTACT_ID];
	tuplestore_putvalues(compare->found, compare->result->setDesc, values,
						 nulls);
}

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
								  true, CURSOR_OPT_NO_SCROLL);
	uint64 n;

	do
	{
		SPI_cursor_fetch(portal, true, ROWS);
		n = SPI_processed;
		for (uint64 i = 0; i < n; i++)
			keep_row(compare, i);
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

/* Runs the query for a range; returns the error that it raised. */
static ErrorData *
try_range(Compare *compare, int64 low, int64 high)
{
	ErrorData *edata;

	compare->low = low;
	compare->high = high;
	tuplestore_clear(compare->found);
	edata = ma_guard(run_query, compare);
	if (edata == NULL)
		take_rows(compare);
	return edata;
}

/* One row for a contact, or for more of them, that cannot be compared. */
static void
take_failure(Compare *compare, int64 low, int64 high, const char *message)
{
	static MaStatement stmt = {
		"select external_id from mautomate.contact where contact_id = $1",
		1,
		{INT8OID}};
	MaChecked *checked = &compare->reading.checked[compare->which];
	Datum	   id = Int64GetDatum(low);
	Datum	   values[NCOLUMNS] = {CStringGetTextDatum(checked->object)};
	bool	   nulls[NCOLUMNS] = {false};

	nulls[EXTERNAL_ID] = nulls[CONTACT_ID] = true;
	checked->failures++;
	if (low == high && ma_sql_read(&stmt, &id, NULL, 1) > 0)
		values[EXTERNAL_ID] = ma_sql_datum(0, 1, &nulls[EXTERNAL_ID]);
	else if (low == high) /* without anybody's data */
		checked->failures = FAILURES_MAX + 1;
	values[STORED] = CStringGetTextDatum("not verified");
	values[EXPECTED] = CStringGetTextDatum(message);
	values[RANK] = Int32GetDatum(checked - compare->checked);
	values[PLACE] = id;
	tuplestore_putvalues(compare->result->setResult, compare->result->setDesc,
						 values, nulls);
}

/* Compares a range by a query that is about one object. */
static void
compare_range(Compare *compare, int64 low, int64 high)
{
	MaChecked *checked = &compare->reading.checked[compare->which];
	ErrorData *edata;

	CHECK_FOR_INTERRUPTS();
	if (checked->failures > FAILURES_MAX)
		return;
	edata = try_range(compare, low, high);
	if (edata == NULL)
		return;
	if (low == high || checked->failures >= FAILURES_MAX)
		take_failure(compare, low, high, edata->message);
	else
	{
		int64 middle = low + (high - low) / 2;

		FreeErrorData(edata);
		compare_range(compare, low, middle);
		compare_range(compare, middle + 1, high);
	}
}

/* Compares one object of a reading by itself. */
static void
compare_one(Compare *compare, int which)
{
	const MaChecked *checked = &compare->reading.checked[which];

	compare->which = which;
	compare->query = checked->list ? lists_query(compare, which) :
									 score_query(compare, checked->score);
	compare_range(compare, compare->reading.low, compare->reading.high);
}

/* Compares all objects of a reading that is open. */
static void
compare_reading(Compare *compare)
{
	MaReading *reading = &compare->reading;
	bool	   together;

	compare->which = LISTS;
	compare->query = lists_query(compare, LISTS);
	together = try_range(compare, reading->low, reading->high) == NULL;
	for (int i = 0; i < reading->n; i++)
		if (reading->checked[i].list == NULL || !together)
			compare_one(compare, i);
}

/* Adds a list that is ready, or a score, to those that are compared. */
static void
add_checked(Compare *compare, MaListDef *list, MaScoreDef *score)
{
	MaChecked *checked = &compare->checked[compare->n];

	if (score != NULL)
		for (int i = 0; i < score->nrules; i++)
			if (score->rules[i].expr == NULL)
				return;
	if (list != NULL && (list->expr == NULL || list->building))
		return;
	checked->object = list ? psprintf("list \"%s\"", list->name) :
							 psprintf("score \"%s\"", score->name);
	checked->list = list;
	checked->score = score;
	compare->n++;
}

/* What there is to compare, by these definitions. */
static void
take_definitions(Compare *compare, MaDefinitions *definitions)
{
	MemoryContext caller = MemoryContextSwitchTo(compare->cxt);

	compare->definitions = definitions;
	compare->n = 0;
	compare->checked = palloc0(
		(definitions->nlists + definitions->nscores + 1) * sizeof(MaChecked));
	for (int i = 0; i < definitions->nlists; i++)
		add_checked(compare, &definitions->lists[i], NULL);
	for (int i = 0; i < definitions->nscores; i++)
		add_checked(compare, NULL, &definitions->scores[i]);
	MemoryContextSwitchTo(caller);
}

/*
 * Pushes a snapshot, and takes the definitions that it shows: those that were
 * loaded may be older. None that is newer than a snapshot would do, and so it
 * is the latest, whatever the transaction sees.
 */
static void
push_snapshot(Compare *compare)
{
	MaDefinitions *definitions = ma_definitions();

	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		CommandCounterIncrement();
		PushActiveSnapshot(GetLatestSnapshot());
		if (ma_definition_is_shown(definitions))
			break;
		PopActiveSnapshot();
		definitions = ma_definitions_reload();
	}
	if (definitions != compare->definitions)
		take_definitions(compare, definitions);
}

/* Compares what has been planned for the range of the reading. */
static void
compare_planned(Compare *compare)
{
	compare_reading(compare);
	ma_verify_signals(&compare->reading, compare->definitions,
					  compare->result);
	ma_reading_close(&compare->reading);
}

/*
 * Compares as much as one reading takes, from the first of them, for a range
 * of contacts; returns how many. Where somebody's events raise an error halves
 * of the range are read, and what has become small, or anything if that has
 * happened too often, carefully.
 */
static int
compare_some(Compare *compare, int first, int64 low, int64 high)
{
	MaReading *reading = &compare->reading;
	MaChecked *checked = &compare->checked[first];
	int		   ntold = list_length(reading->told);
	int64	   middle = low + (high - low) / 2;
	int		   n;

	CHECK_FOR_INTERRUPTS();
	reading->low = low;
	reading->high = high;
	n = ma_reading_plan(reading, checked, compare->n - first, compare->now);
	if (ma_reading_open(reading))
	{
		compare_planned(compare);
		return n;
	}
	reading->told = list_truncate(reading->told, ntold);
	if (high - low >= SMALL && ++compare->raised < RAISED_MAX)
	{
		(void) compare_some(compare, first, low, middle);
		reading->told = list_truncate(reading->told, ntold);
		return compare_some(compare, first, middle + 1, high);
	}
	reading->careful = true;
	(void) ma_reading_plan(reading, checked, n, compare->now);
	(void) ma_reading_open(reading);
	reading->careful = false;
	compare_planned(compare);
	return n;
}

/* Compares everything for a range of contacts, as of one instant. */
static void
compare_chunk(Compare *compare, int64 low, int64 high)
{
	int first = 0;

	push_snapshot(compare);
	compare->now = ma_now();
	compare->reading.told = NIL;
	compare->reading.rank = compare->n;
	while (first < compare->n)
		first += compare_some(compare, first, low, high);
	PopActiveSnapshot();
}

/* How many contacts are compared at a time. */
static int64
chunk_size(void)
{
	static MaStatement stmt = {"select count(*) from mautomate.contact", 0};
	bool			   isnull;
	int64			   n;

	ma_sql_exec(&stmt, NULL, NULL, 1);
	n = DatumGetInt64(ma_sql_datum(0, 1, &isnull));
	SPI_freetuptable(SPI_tuptable);
	return Max(CHUNK, n / 10);
}

/* The next contacts, from the first to the last of them; false: no more. */
static bool
next_chunk(int64 size, int64 *low, int64 *high)
{
	static MaStatement stmt = {
		"select min(contact_id), max(contact_id)"
		" from (select contact_id from mautomate.contact"
		" where contact_id > $1 order by contact_id limit $2) as chunk",
		2,
		{INT8OID, INT8OID}};
	Datum values[] = {Int64GetDatum(*high), Int64GetDatum(size)};
	bool  isnull;

	ma_sql_exec(&stmt, values, NULL, 1);
	*low = DatumGetInt64(ma_sql_datum(0, 1, &isnull));
	*high = DatumGetInt64(ma_sql_datum(0, 2, &isnull));
	SPI_freetuptable(SPI_tuptable);
	return !isnull;
}

/* Compares everything, and adds what differs to the result. */
void
ma_verify_compare(ReturnSetInfo *result)
{
	Compare		  compare = {.result = result, .cxt = CurrentMemoryContext};
	int64		  size = chunk_size();
	int64		  low;
	int64		  high = PG_INT64_MIN;
	MemoryContext caller;
	MemoryContext cxt = AllocSetContextCreate(
		CurrentMemoryContext, "mautomate verify", ALLOCSET_DEFAULT_SIZES);

	compare.found = tuplestore_begin_heap(false, false, work_mem);
	caller = MemoryContextSwitchTo(cxt);
	while (next_chunk(size, &low, &high))
	{
		compare_chunk(&compare, low, high);
		MemoryContextReset(cxt);
	}
	MemoryContextSwitchTo(caller);
	tuplestore_end(compare.found);
	MemoryContextDelete(cxt);
}
