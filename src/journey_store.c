/*
 * journey_store.c
 *	  Reads and writes a batch of enrolments.
 *
 * Reading locks in the order of the whole house: the states of the contacts
 * first, then the enrolments. What another session holds is left out. Writing
 * is one statement per table, whatever the size of the batch. Rows are looked
 * up by their keys, and the statements leave the planner no other way: a table
 * that was filled a moment ago has no statistics yet. (Hence also "ended_at is
 * null" and not "state = 'active'", the condition of an index by time.)
 *
 * Programs are kept per backend by version: a version never changes. They are
 * forgotten, between batches, when versions come or go.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/json.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "batch.h"
#include "clock.h"
#include "columns.h"
#include "definition.h"
#include "inval.h"
#include "journey_private.h"
#include "sql.h"

/* A program kept. */
typedef struct KeptProgram
{
	int		   version_id; /* hash key */
	MaProgram *program;
} KeptProgram;

static MaWatch		 watch = {"workflow_version"};
static MemoryContext programs_cxt = NULL;
static HTAB			*programs = NULL;

/* Forgets the programs if versions changed; none may be in use. */
static void
refresh_programs(void)
{
	HASHCTL ctl = {.keysize = sizeof(int), .entrysize = sizeof(KeptProgram)};

	(void) ma_inval_watch(&watch);
	if (programs != NULL && !watch.stale)
		return;
	watch.stale = false;
	programs = NULL;
	if (programs_cxt == NULL)
		programs_cxt = AllocSetContextCreate(
			TopMemoryContext, "mautomate programs", ALLOCSET_DEFAULT_SIZES);
	MemoryContextReset(programs_cxt);
	ctl.hcxt = programs_cxt;
	programs = hash_create("mautomate programs", 64, &ctl,
						   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/* The program of a version. Between ma_sql_begin() and ma_sql_end(). */
static const MaProgram *
get_program(int version_id)
{
	static MaStatement stmt = {
		"select program from mautomate_internal.workflow_version"
		" where version_id = $1",
		1,
		{INT4OID}};
	KeptProgram	 *kept = hash_search(programs, &version_id, HASH_FIND, NULL);
	MaProgram	 *program;
	MemoryContext caller;
	Datum		  values[1];
	bool		  isnull;

	if (kept != NULL)
		return kept->program;
	values[0] = Int32GetDatum(version_id);
	if (ma_sql_exec(&stmt, values, NULL, 1) == 0)
		elog(ERROR, "workflow version %d does not exist", version_id);
	caller = MemoryContextSwitchTo(programs_cxt);
	program = ma_program_read(DatumGetJsonbP(ma_sql_datum(0, 1, &isnull)));
	kept = hash_search(programs, &version_id, HASH_ENTER, NULL);
	kept->program = program;
	MemoryContextSwitchTo(caller);
	return program;
}

/* Locks and loads the contacts of what is due. */
static void
load_contacts(MaJourney *journey, const MaDue *due, int n)
{
	int64		 *ids = palloc(sizeof(int64) * n);
	int			  nids;
	MaContactSet *set;

	for (int i = 0; i < n; i++)
		ids[i] = due[i].contact_id;
	nids = ma_batch_sort_ids(ids, n);
	set = ma_refresh_load(ids, nids, true);
	journey->visited = palloc0(sizeof(MaVisited) * nids);
	for (int i = 0; i < nids; i++)
	{
		MaContact *contact = ma_contact_find(set, ids[i]);

		if (contact == NULL)
			continue;
		journey->visited[journey->nvisited].contact_id = ids[i];
		journey->visited[journey->nvisited++].contact = contact;
	}
}

/* A contact of the batch; NULL where another session holds it. */
static MaVisited *
find_visited(MaJourney *journey, int64 contact_id)
{
	return bsearch(&contact_id, journey->visited, journey->nvisited,
				   sizeof(MaVisited), ma_batch_compare_ids);
}

/* Locks the enrolments of what is due whose contacts are loaded. */
static uint64
lock_enrollments(MaJourney *journey, const MaDue *due, int n)
{
	static MaStatement stmt = {
		"select e.* from (select * from unnest($1, $2) d"
		" (contact_id, enrollment_id) order by d.enrollment_id) d"
		" cross join lateral (select e.enrollment_id, e.contact_id,"
		" e.workflow_id, e.version_id, e.op, e.arrived, e.pass, e.wake_at,"
		" e.event_id, e.entry, e.context, e.event"
		" from mautomate_internal.enrollment e"
		" where e.contact_id = d.contact_id"
		" and e.enrollment_id = d.enrollment_id and e.ended_at is null"
		" for update skip locked) e"
		" cross join lateral (select"
		" from mautomate_internal.workflow w"
		" where w.workflow_id = e.workflow_id and w.state = 'active'"
		" offset 0) w",
		2,
		{INT8ARRAYOID, INT8ARRAYOID}};
	MaColumns *columns = ma_columns_new(n, 2, (const Oid[]){INT8OID, INT8OID});

	for (int i = 0; i < n; i++)
	{
		if (find_visited(journey, due[i].contact_id) == NULL)
			continue;
		ma_columns_add(columns, 0, Int64GetDatum(due[i].contact_id));
		ma_columns_add(columns, 1, Int64GetDatum(due[i].enrollment_id));
	}
	return ma_columns_rows(columns) == 0 ? 0 : ma_columns_exec(&stmt, columns);
}

/* Orders travellers by their enrolments. */
static int
compare_enrollments(const void *a, const void *b)
{
	return ma_batch_compare_ids(&((const MaTraveller *) a)->enrollment_id,
								&((const MaTraveller *) b)->enrollment_id);
}

/* Reads the locked enrolments into the batch's memory. */
static void
read_travellers(MaJourney *journey, uint64 n, MemoryContext cxt)
{
	SPITupleTable *rows = SPI_tuptable;

	journey->travellers =
		MemoryContextAllocZero(cxt, sizeof(MaTraveller) * Max(n, 1));
	for (uint64 i = 0; i < n; i++)
	{
		MaTraveller	 *t = &journey->travellers[journey->ntravellers++];
		MemoryContext caller = MemoryContextSwitchTo(cxt);
		Datum		  values[12];
		bool		  isnull;

		/* only the last column may be null */
		for (int column = 0; column < lengthof(values); column++)
			values[column] = SPI_getbinval(rows->vals[i], rows->tupdesc,
										   column + 1, &isnull);
		t->enrollment_id = DatumGetInt64(values[0]);
		t->visited = find_visited(journey, DatumGetInt64(values[1]));
		t->op = DatumGetInt32(values[4]);
		t->arrived = DatumGetBool(values[5]);
		t->pass = DatumGetInt32(values[6]);
		t->wake_at = DatumGetTimestampTz(values[7]);
		t->event_id = DatumGetInt64(values[8]);
		t->entry = DatumGetJsonbPCopy(values[9]);
		t->context = DatumGetJsonbPCopy(values[10]);
		t->event = isnull ? NULL : DatumGetJsonbPCopy(values[11]);
		t->state = "active";
		MemoryContextSwitchTo(caller);
		t->program = get_program(DatumGetInt32(values[3]));
	}
	qsort(journey->travellers, journey->ntravellers, sizeof(MaTraveller),
		  compare_enrollments);
}

/* The traveller of an enrolment; they are in order of their numbers. */
static MaTraveller *
find_traveller(MaJourney *journey, int64 enrollment_id)
{
	int low = 0;
	int high = journey->ntravellers;

	while (low < high)
	{
		int middle = (low + high) / 2;

		if (journey->travellers[middle].enrollment_id < enrollment_id)
			low = middle + 1;
		else
			high = middle;
	}
	Assert(low < journey->ntravellers);
	return &journey->travellers[low];
}

/* Reads the events that concern the travellers. */
static void
read_signals(MaJourney *journey, MemoryContext cxt)
{
	static MaStatement stmt = {
		"select u.enrollment_id, u.wakeup_id, u.restart, u.contact_id,"
		" u.kind, u.nth, u.event_id, u.occurred_at, u.properties"
		" from unnest($1, $2) d (contact_id, enrollment_id)"
		" cross join lateral (select * from mautomate_internal.wakeup u"
		" where u.contact_id = d.contact_id"
		" and u.enrollment_id = d.enrollment_id offset 0) u"
		" order by u.wakeup_id",
		2,
		{INT8ARRAYOID, INT8ARRAYOID}};
	MaColumns *columns = ma_columns_new(journey->ntravellers, 2,
										(const Oid[]){INT8OID, INT8OID});
	uint64	   n;

	for (int i = 0; i < journey->ntravellers; i++)
	{
		MaTraveller *t = &journey->travellers[i];

		ma_columns_add(columns, 0, Int64GetDatum(t->visited->contact_id));
		ma_columns_add(columns, 1, Int64GetDatum(t->enrollment_id));
	}
	n = ma_columns_exec(&stmt, columns);
	for (uint64 i = 0; i < n; i++)
	{
		MemoryContext caller = MemoryContextSwitchTo(cxt);
		MaSignalled	 *signalled = palloc0(sizeof(MaSignalled));
		bool		  isnull;
		MaTraveller	 *t = find_traveller(
			 journey, DatumGetInt64(ma_sql_datum(i, 1, &isnull)));

		signalled->wakeup_id = DatumGetInt64(ma_sql_datum(i, 2, &isnull));
		signalled->restart = DatumGetBool(ma_sql_datum(i, 3, &isnull));
		signalled->event.contact_id =
			DatumGetInt64(ma_sql_datum(i, 4, &isnull));
		signalled->event.kind = ma_sql_text(i, 5);
		signalled->event.nth = DatumGetInt64(ma_sql_datum(i, 6, &isnull));
		signalled->event.event_id = DatumGetInt64(ma_sql_datum(i, 7, &isnull));
		signalled->event.occurred_at =
			DatumGetTimestampTz(ma_sql_datum(i, 8, &isnull));
		signalled->event.properties =
			DatumGetJsonbPCopy(ma_sql_datum(i, 9, &isnull));
		t->signalled = lappend(t->signalled, signalled);
		MemoryContextSwitchTo(caller);
	}
}

/* Locks and reads a batch, in the current memory context. */
MaJourney *
ma_journey_read(const MaDue *due, int n)
{
	MaJourney	 *journey = palloc0(sizeof(MaJourney));
	MemoryContext cxt = CurrentMemoryContext;
	MaSqlScope	  scope;

	refresh_programs();
	journey->now = ma_now();
	load_contacts(journey, due, n);
	ma_sql_begin(&scope);
	read_travellers(journey, lock_enrollments(journey, due, n), cxt);
	if (journey->ntravellers > 0)
		read_signals(journey, cxt);
	ma_sql_end(&scope);
	return journey;
}

/* Pushes what is known of a step, keyed by its name. */
static void
push_step(JsonbParseState **state, const char *step, const char *verb,
		  const char *result)
{
	const char *pairs[] = {"verb", verb, "result", result};
	JsonbValue	v;

	v.type = jbvString;
	v.val.string.val = unconstify(char *, step);
	v.val.string.len = strlen(step);
	pushJsonbValue(state, WJB_KEY, &v);
	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < lengthof(pairs); i += 2)
	{
		if (pairs[i + 1] == NULL)
			continue;
		for (int j = 0; j < 2; j++)
		{
			v.val.string.val = unconstify(char *, pairs[i + j]);
			v.val.string.len = strlen(pairs[i + j]);
			pushJsonbValue(state, j == 0 ? WJB_KEY : WJB_VALUE, &v);
		}
	}
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

/*
 * The steps a traveller has made, as {"id": {"verb", "result"}}; of a step
 * made more than once the last time.
 */
Jsonb *
ma_journey_steps(MaJourney *journey, const MaTraveller *t)
{
	static MaStatement stmt = {
		"select step, verb, result from mautomate_internal.enrollment_log"
		" where contact_id = $1 and enrollment_id = $2 order by log_id",
		2,
		{INT8OID, INT8OID}};
	MemoryContext	 cxt = CurrentMemoryContext;
	JsonbParseState *state = NULL;
	Datum			 values[2];
	MaSqlScope		 scope;
	ListCell		*lc;

	values[0] = Int64GetDatum(t->visited->contact_id);
	values[1] = Int64GetDatum(t->enrollment_id);
	ma_sql_begin(&scope);
	ma_sql_exec(&stmt, values, NULL, 0);
	MemoryContextSwitchTo(cxt);
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (uint64 i = 0; i < SPI_processed; i++)
		push_step(&state, ma_sql_text(i, 1), ma_sql_text(i, 2),
				  ma_sql_text(i, 3));
	foreach (lc, journey->log)
	{
		MaLogRow *row = lfirst(lc);

		if (row->traveller == t)
			push_step(&state, row->step, ma_verb_name(row->verb), row->result);
	}
	ma_sql_end(&scope);
	MemoryContextSwitchTo(cxt);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/* Writes where the travellers stand now. */
static void
write_enrollments(MaJourney *journey)
{
	static MaStatement stmt = {
		"update mautomate_internal.enrollment e set op = c.op,"
		" arrived = c.arrived, pass = c.pass, wake_at = c.wake_at,"
		" event_id = c.event_id, entry = coalesce(c.entry, e.entry),"
		" state = c.state, reason = c.reason, attempts = 0,"
		" ended_at = case when c.state <> 'active' then c.at end,"
		" event = c.event"
		" from unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) c"
		" (contact_id, enrollment_id, op, arrived, pass, wake_at, event_id,"
		" entry, state, reason, at, event)"
		" where e.contact_id = c.contact_id"
		" and e.enrollment_id = c.enrollment_id",
		12,
		{INT8ARRAYOID, INT8ARRAYOID, INT4ARRAYOID, BOOLARRAYOID, INT4ARRAYOID,
		 TIMESTAMPTZARRAYOID, INT8ARRAYOID, JSONBARRAYOID, TEXTARRAYOID,
		 TEXTARRAYOID, TIMESTAMPTZARRAYOID, JSONBARRAYOID}};
	MaColumns *columns = ma_columns_new(
		journey->ntravellers, 12,
		(const Oid[]){INT8OID, INT8OID, INT4OID, BOOLOID, INT4OID,
					  TIMESTAMPTZOID, INT8OID, JSONBOID, TEXTOID, TEXTOID,
					  TIMESTAMPTZOID, JSONBOID});

	for (int i = 0; i < journey->ntravellers; i++)
	{
		MaTraveller *t = &journey->travellers[i];

		ma_columns_add(columns, 0, Int64GetDatum(t->visited->contact_id));
		ma_columns_add(columns, 1, Int64GetDatum(t->enrollment_id));
		ma_columns_add(columns, 2, Int32GetDatum(t->op));
		ma_columns_add(columns, 3, BoolGetDatum(t->arrived));
		ma_columns_add(columns, 4, Int32GetDatum(t->pass));
		ma_columns_add(columns, 5, TimestampTzGetDatum(t->wake_at));
		ma_columns_add(columns, 6, Int64GetDatum(t->event_id));
		ma_columns_add_json(columns, 7, t->restarted ? t->entry : NULL);
		ma_columns_add_text(columns, 8, t->state);
		ma_columns_add_text(columns, 9, t->reason);
		ma_columns_add(columns, 10, TimestampTzGetDatum(journey->now));
		ma_columns_add_json(columns, 11, t->event);
	}
	ma_columns_exec(&stmt, columns);
}

/* Writes the log; the messages have their numbers. */
static void
write_log(MaJourney *journey, const int64 *message_ids)
{
	static MaStatement stmt = {
		"insert into mautomate_internal.enrollment_log (contact_id,"
		" enrollment_id, step, pass, verb, executed_at, result)"
		" select * from unnest($1, $2, $3, $4, $5, $6, $7)",
		7,
		{INT8ARRAYOID, INT8ARRAYOID, TEXTARRAYOID, INT4ARRAYOID, TEXTARRAYOID,
		 TIMESTAMPTZARRAYOID, TEXTARRAYOID}};
	MaColumns *columns =
		ma_columns_new(list_length(journey->log), 7,
					   (const Oid[]){INT8OID, INT8OID, TEXTOID, INT4OID,
									 TEXTOID, TIMESTAMPTZOID, TEXTOID});
	ListCell *lc;

	foreach (lc, journey->log)
	{
		MaLogRow   *row = lfirst(lc);
		const char *result =
			row->intent < 0 ?
				row->result :
				psprintf("message " INT64_FORMAT, message_ids[row->intent]);

		ma_columns_add(columns, 0,
					   Int64GetDatum(row->traveller->visited->contact_id));
		ma_columns_add(columns, 1,
					   Int64GetDatum(row->traveller->enrollment_id));
		ma_columns_add_text(columns, 2, row->step);
		ma_columns_add(columns, 3, Int32GetDatum(row->pass));
		ma_columns_add_text(columns, 4, ma_verb_name(row->verb));
		ma_columns_add(columns, 5, TimestampTzGetDatum(journey->now));
		ma_columns_add_text(columns, 6, result);
	}
	if (ma_columns_rows(columns) > 0)
		ma_columns_exec(&stmt, columns);
}

/* Deletes the wake-ups that were taken, and all of those who ended. */
static void
delete_signals(MaJourney *journey)
{
	static MaStatement stmt = {
		"delete from mautomate_internal.wakeup u"
		" using unnest($1, $2, $3) d (contact_id, enrollment_id, wakeup_id)"
		" where u.contact_id = d.contact_id"
		" and u.enrollment_id = d.enrollment_id"
		" and u.wakeup_id = d.wakeup_id",
		3,
		{INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID}};
	int		   max = 0;
	MaColumns *columns;
	ListCell  *lc;

	for (int i = 0; i < journey->ntravellers; i++)
		max += list_length(journey->travellers[i].signalled) +
			   list_length(journey->travellers[i].taken);
	if (max == 0)
		return;
	columns = ma_columns_new(max, 3, (const Oid[]){INT8OID, INT8OID, INT8OID});
	for (int i = 0; i < journey->ntravellers; i++)
	{
		MaTraveller *t = &journey->travellers[i];
		bool		 ended = strcmp(t->state, "active") != 0;

		foreach (lc, list_concat_copy(t->taken, ended ? t->signalled : NIL))
		{
			MaSignalled *signalled = lfirst(lc);

			ma_columns_add(columns, 0, Int64GetDatum(t->visited->contact_id));
			ma_columns_add(columns, 1, Int64GetDatum(t->enrollment_id));
			ma_columns_add(columns, 2, Int64GetDatum(signalled->wakeup_id));
		}
	}
	if (ma_columns_rows(columns) > 0)
		ma_columns_exec(&stmt, columns);
}

/* Writes what the travellers of a batch did. */
void
ma_journey_write(MaJourney *journey)
{
	int64	  *message_ids = palloc(sizeof(int64) * Max(journey->nintents, 1));
	MaSqlScope scope;

	if (journey->ntravellers == 0)
		return;
	ma_sql_begin(&scope);
	write_enrollments(journey);
	delete_signals(journey);
	ma_journey_write_effects(journey);
	if (journey->nintents > 0)
		ma_outbox_enqueue(journey->intents, journey->nintents, message_ids);
	write_log(journey, message_ids);
	ma_sql_end(&scope);
}
