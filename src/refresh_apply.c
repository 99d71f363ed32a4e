/*
 * refresh_apply.c
 *	  Write what a refresh changed: one statement per table and chunk.
 *
 * Rows are looked up by their keys, and the statements leave the planner no
 * other way: a table that was filled a moment ago has no statistics, and a
 * scan of it for each event would be the end.
 */
#include "postgres.h"

#include "access/relscan.h"
#include "access/xact.h"
#include "catalog/pg_type_d.h"
#include "utils/array.h"
#include "utils/lsyscache.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "refresh_private.h"
#include "sql.h"
#include "table.h"
#include "wake.h"

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

/* Memberships: who came in, who went out, and the history of both. */
static void
write_lists(MaRun *run)
{
	static MaStatement enter = {
		"insert into mautomate_internal.list_member"
		" (contact_id, list_id, since, by)"
		" select c, l, t, case when h then 'hand' else 'rule' end"
		" from unnest($1, $2, $3, $4) as u (c, l, t, h)"
		" on conflict (list_id, contact_id)"
		" do update set since = excluded.since, by = excluded.by",
		4,
		{INT8ARRAYOID, INT4ARRAYOID, TIMESTAMPTZARRAYOID, BOOLARRAYOID}};
	static MaStatement leave = {
		"delete from mautomate_internal.list_member"
		" where ctid = any (array(select x.ctid"
		" from unnest($1, $2) as u (c, l) cross join lateral ("
		" select m.ctid from mautomate_internal.list_member m"
		" where m.list_id = u.l and m.contact_id = u.c offset 0) x))",
		2,
		{INT8ARRAYOID, INT4ARRAYOID}};
	static MaStatement history = {
		"insert into mautomate_internal.list_change"
		" (contact_id, list_id, changed_at, entered, by)"
		" select c, l, t, e, case when h then 'hand' else 'rule' end"
		" from unnest($1, $2, $3, $4, $5) as u (c, l, t, e, h)",
		5,
		{INT8ARRAYOID, INT4ARRAYOID, TIMESTAMPTZARRAYOID, BOOLARRAYOID,
		 BOOLARRAYOID}};
	static MaStatement stay = {
		"update mautomate_internal.list_member m"
		" set by = case when u.h then 'hand' else 'rule' end"
		" from unnest($1, $2, $3) as u (c, l, h)"
		" where m.list_id = u.l and m.contact_id = u.c",
		3,
		{INT8ARRAYOID, INT4ARRAYOID, BOOLARRAYOID}};
	static const Oid types[] = {INT8OID, INT4OID, TIMESTAMPTZOID, BOOLOID,
								BOOLOID};
	static const Oid stay_types[] = {INT8OID, INT4OID, BOOLOID};
	Rows			 entered;
	Rows			 left;
	Rows			 all;
	Rows			 stayed;

	rows_begin(&entered, 4, types, run->nchanges);
	rows_begin(&left, 2, types, run->nchanges);
	rows_begin(&all, 5, types, run->nchanges);
	rows_begin(&stayed, 3, stay_types, run->nchanges);
	for (int i = 0; i < run->nchanges; i++)
	{
		MaListChange *change = &run->changes[i];
		Rows		 *rows = change->entered ? &entered : &left;
		Datum		  list =
			Int32GetDatum(run->definitions->lists[change->list].list_id);

		if (change->stayed)
		{
			if (change->superseded)
				continue;
			stayed.columns[0][stayed.n] = Int64GetDatum(change->contact_id);
			stayed.columns[1][stayed.n] = list;
			stayed.columns[2][stayed.n++] = BoolGetDatum(change->by_hand);
			continue;
		}
		all.columns[0][all.n] = Int64GetDatum(change->contact_id);
		all.columns[1][all.n] = list;
		all.columns[2][all.n] = TimestampTzGetDatum(change->at);
		all.columns[3][all.n] = BoolGetDatum(change->entered);
		all.columns[4][all.n++] = BoolGetDatum(change->by_hand);
		if (change->superseded)
			continue;
		rows->columns[0][rows->n] = Int64GetDatum(change->contact_id);
		rows->columns[1][rows->n] = list;
		if (change->entered)
		{
			rows->columns[2][rows->n] = TimestampTzGetDatum(change->at);
			rows->columns[3][rows->n] = BoolGetDatum(change->by_hand);
		}
		rows->n++;
	}
	rows_write(&left, &leave);
	rows_write(&entered, &enter);
	rows_write(&stayed, &stay);
	rows_write(&all, &history);
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

/* The row of a contact and score into the slot; false if there is none. */
static bool
find_bucket(IndexScanDesc scan, TupleTableSlot *slot, int score_id,
			int64 contact_id)
{
	ScanKeyData keys[2];

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT8EQ,
				Int64GetDatum(contact_id));
	ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_INT4EQ,
				Int32GetDatum(score_id));
	index_rescan(scan, keys, 2, NULL, 0);
	return index_getnext_slot(scan, ForwardScanDirection, slot);
}

/* Buckets of scores: rows of contacts whose states we hold locked. */
static void
write_buckets(MaRun *run)
{
	static MaWatch watch = {"contact_score"};
	MaTable		   table;
	IndexScanDesc  scan;

	if (run->nbuckets == 0)
		return;
	ma_table_open(&table, &watch);
	PushActiveSnapshot(IsolationUsesXactSnapshot() ? GetTransactionSnapshot() :
													 GetLatestSnapshot());
	scan = ma_index_beginscan(table.heap, ma_table_key(&table),
							  GetActiveSnapshot(), 2);
	for (int i = 0; i < run->nbuckets; i++)
	{
		MaBucketChange *change = &run->buckets[i];
		int	 score_id = run->definitions->scores[change->score].score_id;
		bool old = find_bucket(scan, table.slot, score_id, change->contact_id);
		ItemPointerData tid = table.slot->tts_tid;

		ExecClearTuple(table.slot);
		memset(table.slot->tts_isnull, false, 3 * sizeof(bool));
		table.slot->tts_values[0] = Int64GetDatum(change->contact_id);
		table.slot->tts_values[1] = Int32GetDatum(score_id);
		table.slot->tts_values[2] = Int32GetDatum(change->bucket);
		ExecStoreVirtualTuple(table.slot);
		if (!old)
			ma_table_insert(&table);
		else
			(void) ma_table_update(&table, &tid); /* or the score is dropped */
	}
	index_endscan(scan);
	PopActiveSnapshot();
	ma_table_close(&table);
	CommandCounterIncrement();
}

/* Timers of the contacts whose next instant came nearer. */
static void
write_timers(MaContactSet *set)
{
	static MaStatement stmt = {
		"insert into mautomate_internal.timer (contact_id, due_at)"
		" select * from unnest($1, $2) on conflict do nothing",
		2,
		{INT8ARRAYOID, TIMESTAMPTZARRAYOID}};
	static const Oid types[] = {INT8OID, TIMESTAMPTZOID};
	Rows			 rows;

	rows_begin(&rows, 2, types, set->n);
	for (int i = 0; i < set->n; i++)
	{
		MaContact *contact = set->contacts[i];

		if (!contact->timer_needed || TIMESTAMP_NOT_FINITE(contact->due_at))
			continue;
		contact->timer_needed = false;
		rows.columns[0][rows.n] = Int64GetDatum(contact->id);
		rows.columns[1][rows.n++] = TimestampTzGetDatum(contact->due_at);
	}
	if (rows.n > 0)
		ma_wake_scheduler_at_commit();
	rows_write(&rows, &stmt);
}

/* Has the next instant of any contact come nearer? */
static bool
needs_timers(MaContactSet *set)
{
	for (int i = 0; i < set->n; i++)
		if (set->contacts[i]->timer_needed)
			return true;
	return false;
}

/* Events that the engine derived; they are folded already. */
static void
write_derived(MaRun *run)
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
	Rows			 rows;

	rows_begin(&rows, 5, types, run->nderived);
	for (int i = 0; i < run->nderived; i++, rows.n++)
	{
		MaEvent *event = &run->derived[i];

		rows.columns[0][i] = Int64GetDatum(event->contact_id);
		rows.columns[1][i] = CStringGetTextDatum(event->kind);
		rows.columns[2][i] = TimestampTzGetDatum(event->occurred_at);
		rows.columns[3][i] = Int64GetDatum(event->event_id);
		rows.columns[4][i] = JsonbPGetDatum(event->properties);
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
	if (run->nchanges == 0 && run->nderived == 0 && run->ndirty == 0 &&
		run->noverrides == 0 && !needs_timers(set))
		return;
	ma_sql_begin(&scope);
	write_lists(run);
	write_overrides(run);
	write_timers(set);
	write_derived(run);
	write_dirty(run);
	ma_sql_end(&scope);
}
