/*
 * entry_store.c
 *	  Decides re-entry and writes what entries decided.
 *
 * Earlier enrolments are looked up once per batch, then one statement per
 * table writes enrolments, refused entries and wake-ups. An existing
 * enrolment is never updated here: whatever an event means to it (it is
 * waited for, it ends it, it restarts it) becomes a wake-up row, which the
 * runner consumes. The lock on the contact's state makes the decision safe;
 * the unique index on active enrolments would catch it if not.
 */
#include "postgres.h"

#include "access/hash.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "columns.h"
#include "entry_private.h"
#include "sql.h"
#include "wake.h"

/* What is known of a contact, workflow and key while re-entry is decided. */
typedef struct Instance
{
	struct
	{
		int64  contact_id;
		int64  workflow_id;
		uint64 key_hash;
	} id;
	bool		 entered; /* has there been one? */
	TimestampTz	 last_entered;
	bool		 active;
	int64		 enrollment_id; /* of the active one in the table, or 0 */
	MaCandidate *candidate;		/* of the active one in this batch, or NULL */
} Instance;

static void decide_reentry(MaEntryBatch *batch);
static void insert_enrollments(MaEntryBatch *batch);
static void insert_refused(MaEntryBatch *batch);
static void insert_restarts(MaEntryBatch *batch);
static void insert_wakes(MaEntryBatch *batch);

/* Writes everything collected, one statement per table. */
void
ma_entry_apply(MaEntryBatch *batch)
{
	MemoryContext caller = MemoryContextSwitchTo(batch->cxt);
	MaSqlScope	  scope;

	if (batch->ncandidates > 0 || batch->nwakes > 0)
	{
		ma_sql_begin(&scope);
		decide_reentry(batch);
		insert_enrollments(batch);
		insert_refused(batch);
		insert_restarts(batch);
		insert_wakes(batch);
		ma_sql_end(&scope);
		ma_wake_scheduler_at_commit();
	}
	MemoryContextSwitchTo(caller);
}

/* The instance a candidate is or would be. */
static Instance *
find_instance(HTAB *instances, const MaCandidate *candidate)
{
	Instance  probe;
	Instance *instance;
	bool	  found;

	memset(&probe, 0, sizeof(probe));
	probe.id.contact_id = candidate->contact_id;
	probe.id.workflow_id = candidate->workflow->workflow_id;
	probe.id.key_hash = DatumGetUInt64(hash_any_extended(
		(const unsigned char *) candidate->key, strlen(candidate->key), 0));
	instance = hash_search(instances, &probe.id, HASH_ENTER, &found);
	if (!found)
		memset((char *) instance + sizeof(probe.id), 0,
			   sizeof(Instance) - sizeof(probe.id));
	return instance;
}

/* Is the candidate bound by earlier enrolments? */
static bool
is_bound(const MaCandidate *candidate)
{
	return candidate->refused == NULL &&
		   candidate->workflow->program->reentry != MA_REENTRY_ALWAYS;
}

/* Reads what the candidates' workflows already know of them. */
static void
read_instances(MaEntryBatch *batch, HTAB *instances)
{
	static MaStatement stmt = {
		"select c.i::int4, e.last_entered, e.active"
		" from unnest($1, $2, $3) with ordinality c (contact_id,"
		" workflow_id, key, i) cross join lateral ("
		" select max(e.entered_at) as last_entered,"
		" max(e.enrollment_id) filter (where e.ended_at is null) as active"
		" from mautomate_internal.enrollment e"
		" where e.contact_id = c.contact_id"
		" and e.workflow_id = c.workflow_id and e.key = c.key) e"
		" where e.last_entered is not null",
		3,
		{INT8ARRAYOID, INT4ARRAYOID, TEXTARRAYOID}};
	MaColumns *columns = ma_columns_new(
		batch->ncandidates, 3, (const Oid[]){INT8OID, INT4OID, TEXTOID});
	int			  nasked = 0;
	MaCandidate **asked = palloc(sizeof(MaCandidate *) * batch->ncandidates);

	for (int i = 0; i < batch->ncandidates; i++)
	{
		MaCandidate *candidate = batch->candidates[i];

		if (!is_bound(candidate))
			continue;
		ma_columns_add(columns, 0, Int64GetDatum(candidate->contact_id));
		ma_columns_add(columns, 1,
					   Int32GetDatum(candidate->workflow->workflow_id));
		ma_columns_add_text(columns, 2, candidate->key);
		asked[nasked++] = candidate;
	}
	if (nasked == 0)
		return;
	ma_columns_exec(&stmt, columns);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool	  isnull;
		int		  row = DatumGetInt32(ma_sql_datum(i, 1, &isnull)) - 1;
		Instance *instance = find_instance(instances, asked[row]);
		Datum	  active;

		instance->entered = true;
		instance->last_entered =
			DatumGetTimestampTz(ma_sql_datum(i, 2, &isnull));
		active = ma_sql_datum(i, 3, &isnull);
		instance->active = !isnull;
		instance->enrollment_id = isnull ? 0 : DatumGetInt64(active);
	}
}

/* Why a candidate may not enter, or NULL. */
static const char *
reentry_refusal(const MaCandidate *candidate, const Instance *instance,
				TimestampTz now)
{
	const MaProgram *program = candidate->workflow->program;

	if (program->reentry == MA_REENTRY_NEVER && instance->entered)
		return "re-entry: entered before";
	if (instance->active)
		return "re-entry: still active";
	if (program->reentry == MA_REENTRY_AFTER && instance->entered &&
		ma_time_add(instance->last_entered, program->reentry_after, 1,
					ma_timezone()) > now)
		return "re-entry: too soon";
	return NULL;
}

/* The candidate takes the place of the active instance. */
static void
restart(MaCandidate *candidate, Instance *instance)
{
	if (instance->candidate != NULL)
	{
		instance->candidate->replaced = true;
		instance->candidate = candidate;
	}
	else
		candidate->restarts = instance->enrollment_id;
}

/* Decides in order of arrival who may enter, enter again or start over. */
static void
decide_reentry(MaEntryBatch *batch)
{
	HASHCTL ctl = {.keysize = sizeof(((Instance *) NULL)->id),
				   .entrysize = sizeof(Instance),
				   .hcxt = CurrentMemoryContext};
	HTAB   *instances;

	if (batch->ncandidates == 0)
		return;
	instances = hash_create("mautomate instances", batch->ncandidates, &ctl,
							HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	read_instances(batch, instances);
	for (int i = 0; i < batch->ncandidates; i++)
	{
		MaCandidate *candidate = batch->candidates[i];
		Instance	*instance;

		if (!is_bound(candidate))
			continue;
		instance = find_instance(instances, candidate);
		if (instance->active &&
			candidate->workflow->program->reentry == MA_REENTRY_RESTART)
		{
			restart(candidate, instance);
			continue;
		}
		candidate->refused =
			reentry_refusal(candidate, instance, candidate->at);
		if (candidate->refused == NULL)
		{
			instance->entered = instance->active = true;
			instance->last_entered = candidate->at;
			instance->candidate = candidate;
		}
	}
	hash_destroy(instances);
}

/* Inserts the enrolments of those who enter. */
static void
insert_enrollments(MaEntryBatch *batch)
{
	static MaStatement stmt = {
		"insert into mautomate_internal.enrollment (contact_id, workflow_id,"
		" version_id, key, exclusive, event_id, entry, context, wake_at,"
		" entered_at)"
		" select contact_id, workflow_id, version_id, key, exclusive,"
		" event_id, entry, context, wake_at, entered_at"
		" from unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) c (contact_id,"
		" workflow_id, version_id, key, exclusive, event_id, entry, context,"
		" entered_at, wake_at)"
		" on conflict do nothing",
		10,
		{INT8ARRAYOID, INT4ARRAYOID, INT4ARRAYOID, TEXTARRAYOID, BOOLARRAYOID,
		 INT8ARRAYOID, JSONBARRAYOID, JSONBARRAYOID, TIMESTAMPTZARRAYOID,
		 TIMESTAMPTZARRAYOID}};
	MaColumns *columns = ma_columns_new(
		batch->ncandidates, 10,
		(const Oid[]){INT8OID, INT4OID, INT4OID, TEXTOID, BOOLOID, INT8OID,
					  JSONBOID, JSONBOID, TIMESTAMPTZOID, TIMESTAMPTZOID});
	Datum empty = DirectFunctionCall1(jsonb_in, CStringGetDatum("{}"));

	for (int i = 0; i < batch->ncandidates; i++)
	{
		MaCandidate		*candidate = batch->candidates[i];
		MaEntryWorkflow *workflow = candidate->workflow;

		if (candidate->refused != NULL || candidate->restarts != 0 ||
			candidate->replaced)
			continue;
		ma_columns_add(columns, 0, Int64GetDatum(candidate->contact_id));
		ma_columns_add(columns, 1, Int32GetDatum(workflow->workflow_id));
		ma_columns_add(columns, 2, Int32GetDatum(workflow->version_id));
		ma_columns_add_text(columns, 3, candidate->key);
		ma_columns_add(
			columns, 4,
			BoolGetDatum(workflow->program->reentry != MA_REENTRY_ALWAYS));
		ma_columns_add(columns, 5, Int64GetDatum(candidate->event_id));
		ma_columns_add(columns, 6, JsonbPGetDatum(candidate->entry));
		ma_columns_add(columns, 7,
					   candidate->context == NULL ?
						   empty :
						   JsonbPGetDatum(candidate->context));
		ma_columns_add(columns, 8, TimestampTzGetDatum(candidate->at));
		ma_columns_add(columns, 9, TimestampTzGetDatum(candidate->wake_at));
	}
	if (ma_columns_rows(columns) > 0)
		batch->accepted = ma_columns_exec(&stmt, columns);
}

/* Inserts a trace of each one refused. */
static void
insert_refused(MaEntryBatch *batch)
{
	static MaStatement stmt = {
		"insert into mautomate_internal.entry_refused (contact_id,"
		" workflow_id, key, event_id, refused_at, reason)"
		" select * from unnest($1, $2, $3, $4, $5, $6)",
		6,
		{INT8ARRAYOID, INT4ARRAYOID, TEXTARRAYOID, INT8ARRAYOID,
		 TIMESTAMPTZARRAYOID, TEXTARRAYOID}};
	MaColumns *columns =
		ma_columns_new(batch->ncandidates, 6,
					   (const Oid[]){INT8OID, INT4OID, TEXTOID, INT8OID,
									 TIMESTAMPTZOID, TEXTOID});

	for (int i = 0; i < batch->ncandidates; i++)
	{
		MaCandidate *candidate = batch->candidates[i];

		if (candidate->refused == NULL)
			continue;
		ma_columns_add(columns, 0, Int64GetDatum(candidate->contact_id));
		ma_columns_add(columns, 1,
					   Int32GetDatum(candidate->workflow->workflow_id));
		ma_columns_add_text(columns, 2, candidate->key);
		ma_columns_add(columns, 3, Int64GetDatum(candidate->event_id));
		ma_columns_add(columns, 4, TimestampTzGetDatum(batch->now));
		ma_columns_add_text(columns, 5, candidate->refused);
	}
	if (ma_columns_rows(columns) > 0)
		ma_columns_exec(&stmt, columns);
}

/* Inserts a wake-up for each active enrolment to start again. */
static void
insert_restarts(MaEntryBatch *batch)
{
	static MaStatement stmt = {
		"insert into mautomate_internal.wakeup (contact_id, enrollment_id,"
		" restart, kind, nth, event_id, occurred_at, properties)"
		" select contact_id, enrollment_id, true, '', 0, event_id,"
		" occurred_at, properties"
		" from unnest($1, $2, $3, $4, $5) c (contact_id, enrollment_id,"
		" event_id, occurred_at, properties)",
		5,
		{INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID, TIMESTAMPTZARRAYOID,
		 JSONBARRAYOID}};
	MaColumns *columns = ma_columns_new(
		batch->ncandidates, 5,
		(const Oid[]){INT8OID, INT8OID, INT8OID, TIMESTAMPTZOID, JSONBOID});

	for (int i = 0; i < batch->ncandidates; i++)
	{
		MaCandidate *candidate = batch->candidates[i];

		if (candidate->restarts == 0)
			continue;
		ma_columns_add(columns, 0, Int64GetDatum(candidate->contact_id));
		ma_columns_add(columns, 1, Int64GetDatum(candidate->restarts));
		ma_columns_add(columns, 2, Int64GetDatum(candidate->event_id));
		ma_columns_add(columns, 3, TimestampTzGetDatum(candidate->wake_at));
		ma_columns_add(columns, 4, JsonbPGetDatum(candidate->entry));
	}
	if (ma_columns_rows(columns) > 0)
		ma_columns_exec(&stmt, columns);
}

/* Inserts a wake-up for each active enrolment an event concerns. */
static void
insert_wakes(MaEntryBatch *batch)
{
	static MaStatement stmt = {
		"insert into mautomate_internal.wakeup (contact_id, enrollment_id,"
		" restart, kind, nth, event_id, occurred_at, properties)"
		" select c.contact_id, e.enrollment_id, false, c.kind, c.nth,"
		" c.event_id, c.occurred_at, c.properties"
		" from unnest($1, $2, $3, $4, $5, $6, $7) with ordinality c"
		" (contact_id, version_id, kind, nth, event_id, occurred_at,"
		" properties, i) cross join lateral ("
		" select e.enrollment_id from mautomate_internal.enrollment e"
		" where e.contact_id = c.contact_id and e.version_id = c.version_id"
		" and e.ended_at is null"
		" and (c.event_id = 0 or e.event_id < c.event_id) offset 0) e"
		" order by c.i",
		7,
		{INT8ARRAYOID, INT4ARRAYOID, TEXTARRAYOID, INT8ARRAYOID, INT8ARRAYOID,
		 TIMESTAMPTZARRAYOID, JSONBARRAYOID}};
	MaColumns *columns =
		ma_columns_new(batch->nwakes, 7,
					   (const Oid[]){INT8OID, INT4OID, TEXTOID, INT8OID,
									 INT8OID, TIMESTAMPTZOID, JSONBOID});

	for (int i = 0; i < batch->nwakes; i++)
	{
		MaWake *wake = &batch->wakes[i];

		ma_columns_add(columns, 0, Int64GetDatum(wake->event.contact_id));
		ma_columns_add(columns, 1, Int32GetDatum(wake->version_id));
		ma_columns_add_text(columns, 2, wake->event.kind);
		ma_columns_add(columns, 3, Int64GetDatum(wake->event.nth));
		ma_columns_add(columns, 4, Int64GetDatum(wake->event.event_id));
		ma_columns_add(columns, 5,
					   TimestampTzGetDatum(wake->event.occurred_at));
		ma_columns_add(columns, 6, JsonbPGetDatum(wake->event.properties));
	}
	if (ma_columns_rows(columns) > 0)
		ma_columns_exec(&stmt, columns);
}
