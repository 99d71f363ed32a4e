/*
 * refresh_apply.c
 *	  Write what a refresh changed: one statement per table and chunk.
 *
 * Rows are looked up by their keys, and the statements leave the planner no
 * other way: a table that was filled a moment ago has no statistics, and a
 * scan of it for each event would be the end.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type_d.h"
#include "utils/array.h"
#include "utils/lsyscache.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/reltrigger.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "refresh_private.h"
#include "sql.h"
#include "table.h"
#include "wake.h"

/* The columns of the log, and how many checks are on it. */
#define LOG_COLUMNS 5
#define LOG_CHECKS	3

/* The most columns a set of rows has here. */
#define COLUMNS_MAX 6

/* Rows to be written, as one array per column. */
typedef struct Rows
{
	int		   n;
	int		   max;
	int		   ncolumns;
	const Oid *types;
	Datum	  *columns[COLUMNS_MAX];
} Rows;

/* While we insert derived events ourselves, our trigger passes them over. */
static bool inserting = false;

/* Makes room for one more element; the array lives in the current context. */
void *
ma_run_grow(void *array, int n, int *max, Size size)
{
	if (n < *max)
		return array;
	*max = Max(16, *max * 2);
	return array == NULL ? palloc(*max * size) :
						   repalloc_huge(array, *max * size);
}

/* Are the events now inserted those that the engine derived and has folded? */
bool
ma_apply_is_inserting(void)
{
	return inserting;
}

static void
rows_begin(Rows *rows, int ncolumns, const Oid *types, int max)
{
	memset(rows, 0, sizeof(Rows));
	rows->ncolumns = ncolumns;
	rows->types = types;
	rows->max = max;
	for (int i = 0; i < ncolumns; i++)
		rows->columns[i] = palloc(Max(max, 1) * sizeof(Datum));
}

/* Runs a statement over the rows, unless there are none. */
static void
rows_write(Rows *rows, MaStatement *stmt)
{
	Datum values[COLUMNS_MAX];

	if (rows->n == 0)
		return;
	for (int i = 0; i < rows->ncolumns; i++)
	{
		int16 length;
		bool  byval;
		char  align;

		get_typlenbyvalalign(rows->types[i], &length, &byval, &align);
		values[i] = PointerGetDatum(construct_array(
			rows->columns[i], rows->n, rows->types[i], length, byval, align));
	}
	ma_sql_exec(stmt, values, NULL, 0);
}

/* Empties a slot for values; none of them is null. */
static Datum *
begin_row(TupleTableSlot *slot)
{
	ExecClearTuple(slot);
	memset(slot->tts_isnull, false,
		   slot->tts_tupleDescriptor->natts * sizeof(bool));
	return slot->tts_values;
}

/* Who came into a list, went out of it, or stays but by another hand. */
static void
write_member(MaTable *table, const MaListChange *change, int list_id)
{
	TupleTableSlot *slot = table->slot;
	ScanKeyData		keys[2];
	ItemPointerData tid;
	bool			found;
	bool			isnull;
	TimestampTz		since = change->at;
	Datum		   *values;

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT4EQ,
				Int32GetDatum(list_id));
	ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_INT8EQ,
				Int64GetDatum(change->contact_id));
	found = ma_table_find(table, keys, 2);
	tid = slot->tts_tid;
	if (!change->entered && !change->stayed)
	{
		if (found)
			(void) ma_table_delete(table, &tid);
		return;
	}
	if (change->stayed)
	{
		if (!found)
			return;
		since = DatumGetTimestampTz(slot_getattr(slot, 3, &isnull));
	}
	values = begin_row(slot);
	values[0] = Int32GetDatum(list_id);
	values[1] = Int64GetDatum(change->contact_id);
	values[2] = TimestampTzGetDatum(since);
	values[3] = CStringGetTextDatum(change->by_hand ? "hand" : "rule");
	ExecStoreVirtualTuple(slot);
	if (!found)
		ma_table_insert(table);
	else
		(void) ma_table_update(table, &tid); /* or the list is dropped */
}

/* The history of memberships. */
static void
write_history(MaTable *table, const MaListChange *change, int list_id)
{
	Datum *values = begin_row(table->slot);

	values[0] = Int64GetDatum(change->contact_id);
	values[1] = Int32GetDatum(list_id);
	values[2] = TimestampTzGetDatum(change->at);
	values[3] = BoolGetDatum(change->entered);
	values[4] = CStringGetTextDatum(change->by_hand ? "hand" : "rule");
	ExecStoreVirtualTuple(table->slot);
	ma_table_insert(table);
}

/* Memberships, and the history of them. */
static void
write_lists(MaRun *run)
{
	static MaWatch member_watch = {"list_member"};
	static MaWatch history_watch = {"list_change"};
	MaTable		   members;
	MaTable		   history;

	if (run->nchanges == 0)
		return;
	ma_table_open(&members, &member_watch);
	ma_table_open(&history, &history_watch);
	ma_table_push_snapshot();
	for (int i = 0; i < run->nchanges; i++)
	{
		MaListChange *change = &run->changes[i];
		int			  list_id = run->definitions->lists[change->list].list_id;

		if (!change->superseded)
			write_member(&members, change, list_id);
		if (!change->stayed)
			write_history(&history, change, list_id);
	}
	PopActiveSnapshot();
	ma_table_close(&history);
	ma_table_close(&members);
	CommandCounterIncrement();
}

/* What was decided by hand, and what of it has ended. */
static void
write_overrides(MaRun *run)
{
	static MaStatement put = {
		"insert into mautomate_internal.list_override"
		" (contact_id, list_id, entered, since, until, after)"
		" select * from unnest($1, $2, $3, $4, $5, $6)"
		" on conflict (list_id, contact_id) do update"
		" set entered = excluded.entered, since = excluded.since,"
		" until = excluded.until, after = excluded.after",
		6,
		{INT8ARRAYOID, INT4ARRAYOID, BOOLARRAYOID, TIMESTAMPTZARRAYOID,
		 TIMESTAMPTZARRAYOID, BOOLARRAYOID}};
	static MaStatement end = {
		"delete from mautomate_internal.list_override"
		" where ctid = any (array(select x.ctid"
		" from unnest($1, $2) as u (c, l) cross join lateral ("
		" select o.ctid from mautomate_internal.list_override o"
		" where o.list_id = u.l and o.contact_id = u.c offset 0) x))",
		2,
		{INT8ARRAYOID, INT4ARRAYOID}};
	static const Oid types[] = {INT8OID,		INT4OID,		BOOLOID,
								TIMESTAMPTZOID, TIMESTAMPTZOID, BOOLOID};
	Rows			 made;
	Rows			 gone;

	rows_begin(&made, 6, types, run->noverrides);
	rows_begin(&gone, 2, types, run->noverrides);
	for (int i = 0; i < run->noverrides; i++)
	{
		MaOverrideChange *change = &run->overrides[i];
		MaOverride		 *override = &change->override;
		Rows			 *rows = change->gone ? &gone : &made;

		rows->columns[0][rows->n] = Int64GetDatum(change->contact_id);
		rows->columns[1][rows->n] =
			Int32GetDatum(run->definitions->lists[override->list].list_id);
		if (!change->gone)
		{
			rows->columns[2][rows->n] = BoolGetDatum(override->entered);
			rows->columns[3][rows->n] = TimestampTzGetDatum(change->since);
			rows->columns[4][rows->n] = TimestampTzGetDatum(override->until);
			rows->columns[5][rows->n] = BoolGetDatum(override->after);
		}
		rows->n++;
	}
	rows_write(&gone, &end);
	rows_write(&made, &put);
}

/* Buckets of scores: rows of contacts whose states we hold locked. */
static void
write_buckets(MaRun *run)
{
	static MaWatch watch = {"contact_score"};
	MaTable		   table;

	if (run->nbuckets == 0)
		return;
	ma_table_open(&table, &watch);
	ma_table_push_snapshot();
	for (int i = 0; i < run->nbuckets; i++)
	{
		MaBucketChange *change = &run->buckets[i];
		int score_id = run->definitions->scores[change->score].score_id;
		ScanKeyData		keys[2];
		bool			old;
		ItemPointerData tid;
		Datum		   *values;

		ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT8EQ,
					Int64GetDatum(change->contact_id));
		ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_INT4EQ,
					Int32GetDatum(score_id));
		old = ma_table_find(&table, keys, 2);
		tid = table.slot->tts_tid;
		values = begin_row(table.slot);
		values[0] = Int64GetDatum(change->contact_id);
		values[1] = Int32GetDatum(score_id);
		values[2] = Int32GetDatum(change->bucket);
		ExecStoreVirtualTuple(table.slot);
		if (!old)
			ma_table_insert(&table);
		else
			(void) ma_table_update(&table, &tid); /* or the score is dropped */
	}
	PopActiveSnapshot();
	ma_table_close(&table);
	CommandCounterIncrement();
}

/* Timers of the contacts whose next instant came nearer. */
static void
write_timers(MaContactSet *set)
{
	static MaWatch watch = {"timer"};
	MaTable		   table = {0};

	for (int i = 0; i < set->n; i++)
	{
		MaContact *contact = set->contacts[i];
		Datum	  *values;

		if (!contact->timer_needed || TIMESTAMP_NOT_FINITE(contact->due_at))
			continue;
		contact->timer_needed = false;
		if (table.heap == NULL)
			ma_table_open(&table, &watch);
		values = begin_row(table.slot);
		values[0] = Int64GetDatum(contact->id);
		values[1] = TimestampTzGetDatum(contact->due_at);
		ExecStoreVirtualTuple(table.slot);
		ma_table_insert(&table);
	}
	if (table.heap == NULL)
		return;
	ma_table_close(&table);
	CommandCounterIncrement();
	ma_wake_scheduler_at_commit();
}

/*
 * Is the log as we made it, so that a row concerns nothing but its indexes?
 * Others may have put triggers on it, and more.
 */
static bool
is_plain_log(Relation log)
{
	TupleDesc	 desc = RelationGetDescr(log);
	TriggerDesc *triggers = log->trigdesc;

	if (desc->natts != LOG_COLUMNS || log->rd_rules != NULL ||
		log->rd_rel->relkind != RELKIND_RELATION ||
		log->rd_rel->relrowsecurity ||
		(desc->constr != NULL && (desc->constr->num_check > LOG_CHECKS ||
								  desc->constr->has_generated_stored)))
		return false;
	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
		if (TRIGGER_FOR_INSERT(triggers->triggers[i].tgtype) &&
			strcmp(triggers->triggers[i].tgname, "mautomate_insert") != 0)
			return false;
	return true;
}

/* Puts an event into the log. */
static void
write_event(MaTable *log, const MaEvent *event)
{
	Datum *values = begin_row(log->slot);

	values[0] = Int64GetDatum(event->contact_id);
	values[1] = CStringGetTextDatum(event->kind);
	values[2] = TimestampTzGetDatum(event->occurred_at);
	values[3] = Int64GetDatum(event->event_id);
	values[4] = JsonbPGetDatum(event->properties);
	ExecStoreVirtualTuple(log->slot);
	ma_table_insert(log);
}

/* The same by a statement, for all that may hang on it. */
static void
insert_events(const MaEvent *events, int n)
{
	static MaStatement stmt = {
		"insert into mautomate.event"
		" (contact_id, kind, occurred_at, event_id, properties)"
		" select * from unnest($1, $2, $3, $4, $5)",
		5,
		{INT8ARRAYOID, TEXTARRAYOID, TIMESTAMPTZARRAYOID, INT8ARRAYOID,
		 JSONBARRAYOID}};
	static const Oid types[] = {INT8OID, TEXTOID, TIMESTAMPTZOID, INT8OID,
								JSONBOID};
	MaSqlScope		 scope;
	Rows			 rows;

	ma_sql_begin(&scope);
	rows_begin(&rows, 5, types, n);
	for (; rows.n < n; rows.n++)
	{
		const MaEvent *event = &events[rows.n];

		rows.columns[0][rows.n] = Int64GetDatum(event->contact_id);
		rows.columns[1][rows.n] = CStringGetTextDatum(event->kind);
		rows.columns[2][rows.n] = TimestampTzGetDatum(event->occurred_at);
		rows.columns[3][rows.n] = Int64GetDatum(event->event_id);
		rows.columns[4][rows.n] = JsonbPGetDatum(event->properties);
	}
	inserting = true;
	PG_TRY();
	{
		rows_write(&rows, &stmt);
	}
	PG_FINALLY();
	{
		inserting = false;
	}
	PG_END_TRY();
	ma_sql_end(&scope);
}

/* Events that the engine derived; they are folded already. */
static void
write_derived(MaRun *run)
{
	static MaWatch watch = {.relation = "event", .schema = "mautomate"};
	MaTable		   log;
	bool		   plain;

	if (run->nderived == 0)
		return;
	ma_table_open(&log, &watch);
	plain = is_plain_log(log.heap);
	for (int i = 0; i < run->nderived && plain; i++)
		write_event(&log, &run->derived[i]);
	ma_table_close(&log);
	if (plain)
		CommandCounterIncrement();
	else
		insert_events(run->derived, run->nderived);
}

/* Contacts to be looked at again by the sweep. */
static void
write_dirty(MaRun *run)
{
	static MaStatement stmt = {
		"insert into mautomate_internal.dirty (contact_id)"
		" select * from unnest($1)",
		1,
		{INT8ARRAYOID}};
	static const Oid types[] = {INT8OID};
	Rows			 rows;

	rows_begin(&rows, 1, types, run->ndirty);
	for (int i = 0; i < run->ndirty; i++, rows.n++)
		rows.columns[0][i] = Int64GetDatum(run->dirty[i]);
	if (rows.n > 0)
		ma_wake_scheduler_at_commit();
	rows_write(&rows, &stmt);
}

/* Writes everything a chunk changed, in the order of locks. */
void
ma_apply(MaRun *run, MaContactSet *set)
{
	MaSqlScope scope;

	ma_state_store(set);
	if (run->entries != NULL)
		ma_entry_apply(run->entries);
	write_buckets(run);
	write_lists(run);
	write_timers(set);
	write_derived(run);
	if (run->ndirty == 0 && run->noverrides == 0)
		return;
	ma_sql_begin(&scope);
	write_overrides(run);
	write_dirty(run);
	ma_sql_end(&scope);
}
