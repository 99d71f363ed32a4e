/*
 * refresh_pass.c
 *	  What the engine does in the background: timers, sweeps, everybody.
 *
 * The passes are plain functions with a limit, called by the scheduler and by
 * run(). They never wait for a contact that somebody else holds: it is left
 * for the next pass.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "batch.h"
#include "clock.h"
#include "refresh_private.h"
#include "sql.h"
#include "table.h"

/* Contacts a pass takes at a time. */
#define CHUNK 1000

/* The generation for which stale states were marked, and whether just now. */
static int64 looked_at = -1;
static bool	 looked_now = false;

/* Ids of the last result's first column, ascending and distinct. */
static int
result_ids(int64 **ids, MemoryContext cxt)
{
	bool isnull;
	int	 n = 0;

	*ids = MemoryContextAlloc(cxt, (SPI_processed + 1) * sizeof(int64));
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		int64 id = DatumGetInt64(ma_sql_datum(i, 1, &isnull));

		if (n == 0 || (*ids)[n - 1] != id)
			(*ids)[n++] = id;
	}
	return n;
}

/* Contacts of `ids` that were not loaded but exist: somebody holds them. */
static ArrayType *
held_by_others(MaContactSet *set, const int64 *ids, int n)
{
	Datum *held = palloc((n + 1) * sizeof(Datum));
	int	   nheld = 0;
	int	   missing = 0;

	for (int i = 0; i < n; i++)
	{
		if (missing < set->nmissing && set->missing[missing] == ids[i])
			missing++;
		else if (ma_contact_find(set, ids[i]) == NULL)
			held[nheld++] = Int64GetDatum(ids[i]);
	}
	return nheld == 0 ? NULL :
						construct_array(held, nheld, INT8OID, sizeof(int64),
										true, TYPALIGN_DOUBLE);
}

/*
 * Works over ids; those held by others go through `again`. Returns how many
 * were not.
 */
static int
run_chunk(const int64 *ids, int n, bool wake_all, bool rebuild, bool silent,
		  MaStatement *again)
{
	MaWork		 *works = palloc0((n + 1) * sizeof(MaWork));
	MaContactSet *set;
	ArrayType	 *held;
	int			  nheld = 0;

	for (int i = 0; i < n; i++)
	{
		works[i].contact_id = ids[i];
		works[i].list_id = -1;
		works[i].wake_all = wake_all;
		works[i].rebuild = rebuild;
	}
	set = ma_refresh_run(works, n, silent, true);
	held = held_by_others(set, ids, n);
	if (held != NULL)
	{
		MaSqlScope scope;
		Datum	   values[2];

		values[0] = PointerGetDatum(held);
		values[1] = again->nargs == 2 && again->argtypes[1] == BOOLOID ?
						BoolGetDatum(rebuild) :
						TimestampTzGetDatum(ma_now());
		ma_sql_begin(&scope);
		nheld = ARR_DIMS(held)[0];
		ma_sql_exec(again, values, NULL, 0);
		ma_sql_end(&scope);
	}
	return n - nheld;
}

/*
 * Takes out timers that are due, earliest first, from `*from` on, where the
 * next ones then begin: what we took ourselves is not walked over again. Those
 * that others are about to take are left to them.
 */
static int
take_due(TimestampTz *from, int max, int64 *ids)
{
	static MaWatch watch = {"timer"};
	static MaWatch index = {"timer_due_at"};
	ScanKeyData	   keys[2];
	MaTable		   table;
	int			   n = 0;

	ma_table_open(&table, &watch);
	ma_table_use_index(&table, &index);
	ScanKeyInit(&keys[0], 1, BTGreaterEqualStrategyNumber, F_TIMESTAMPTZ_GE,
				TimestampTzGetDatum(*from));
	ScanKeyInit(&keys[1], 1, BTLessEqualStrategyNumber, F_TIMESTAMPTZ_LE,
				TimestampTzGetDatum(ma_now()));
	ma_table_push_snapshot();
	for (bool any = ma_table_find(&table, keys, 2); any && n < max;
		 any = ma_table_next(&table))
	{
		bool  isnull;
		int64 id = DatumGetInt64(slot_getattr(table.slot, 1, &isnull));

		*from = DatumGetTimestampTz(slot_getattr(table.slot, 2, &isnull));
		if (ma_table_try_delete(&table, &table.slot->tts_tid))
			ids[n++] = id;
	}
	PopActiveSnapshot();
	ma_table_close(&table);
	CommandCounterIncrement();
	return n;
}

/*
 * Lets time pass for contacts whose timer is due, at most max of them;
 * returns how many it did, which leaves out those that others hold.
 */
int
ma_refresh_timers(int max)
{
	static MaStatement again = {
		"insert into mautomate_internal.timer (contact_id, due_at)"
		" select id, $2 from unnest($1) as id",
		2,
		{INT8ARRAYOID, TIMESTAMPTZOID}};
	MemoryContext cxt = AllocSetContextCreate(
		CurrentMemoryContext, "mautomate timers", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	TimestampTz	  from = DT_NOBEGIN;
	int			  taken = 0;
	int			  done = 0;

	ma_evaluate_forget_errors();
	while (taken < max)
	{
		int	   most = Min(max - taken, CHUNK);
		int64 *ids = palloc(most * sizeof(int64));
		int	   n = take_due(&from, most, ids);

		CHECK_FOR_INTERRUPTS();
		if (n == 0)
			break;
		taken += n;
		done += run_chunk(ids, ma_batch_sort_ids(ids, n), false, false,
						  ma_refresh_is_silent(), &again);
		MemoryContextReset(cxt);
		if (n < most)
			break;
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
	return done;
}

/*
 * Contacts that were marked, one chunk of a sort. Returns how many it did: 0
 * if there are none, or others hold them.
 */
static int
sweep_chunk(bool rebuild, int max)
{
	static MaStatement take = {
		"with few as materialized (select ctid"
		" from mautomate_internal.dirty"
		" where rebuild = $1 limit $2 for update skip locked),"
		" gone as (delete from mautomate_internal.dirty"
		" where ctid = any (array(select ctid from few))"
		" returning contact_id)"
		" select contact_id from gone order by 1",
		2,
		{BOOLOID, INT8OID}};
	static MaStatement again = {
		"insert into mautomate_internal.dirty (contact_id, rebuild)"
		" select id, $2 from unnest($1) as id",
		2,
		{INT8ARRAYOID, BOOLOID}};
	MaSqlScope scope;
	Datum	   values[2];
	int64	  *ids;
	int		   n;

	values[0] = BoolGetDatum(rebuild);
	values[1] = Int64GetDatum(Min(max, CHUNK));
	ma_sql_begin(&scope);
	ma_sql_exec(&take, values, NULL, 0);
	n = result_ids(&ids, scope.cxt);
	ma_sql_end(&scope);
	if (n == 0)
		return 0;
	return run_chunk(ids, n, true, rebuild, true, &again);
}

/* Forgets that this transaction looked, if it fails. */
static void
looked_xact(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_ABORT && looked_now)
		looked_at = -1;
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_COMMIT ||
		event == XACT_EVENT_PREPARE)
		looked_now = false;
}

/* Or if the part of it does in which it may have looked. */
static void
looked_subxact(SubXactEvent event, SubTransactionId id,
			   SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB && looked_now)
		looked_at = -1;
}

/*
 * Marks the contacts whose state is of older definitions, or who have none:
 * so it is after a restore, since states are not dumped. What create_list()
 * and the like change is evaluated at once or swept, and needs no marks.
 * Looked at once per backend and generation.
 */
static void
mark_stale(void)
{
	static bool		   registered = false;
	static MaStatement stmt = {
		"insert into mautomate_internal.dirty (contact_id, rebuild)"
		" select contact_id, true from mautomate.contact c"
		" left join mautomate_internal.contact_state s using (contact_id)"
		" where c.merged_into is null"
		" and (s.generation < $1 or s.generation is null)",
		1,
		{INT8OID}};
	MaDefinitions *definitions = ma_definitions();
	MaSqlScope	   scope;
	Datum		   settled_at = Int64GetDatum(definitions->settled_at);

	if (looked_at == definitions->generation)
		return;
	if (!registered)
	{
		RegisterXactCallback(looked_xact, NULL);
		RegisterSubXactCallback(looked_subxact, NULL);
		registered = true;
	}
	ma_sql_begin(&scope);
	ma_sql_exec(&stmt, &settled_at, NULL, 0);
	ma_sql_end(&scope);
	looked_at = definitions->generation;
	looked_now = true;
}

/*
 * Evaluates, silently, contacts that were marked to be looked at again, at
 * most max of them; returns how many it did, which leaves out those that
 * others hold.
 */
int
ma_refresh_sweep(int max)
{
	MemoryContext cxt = AllocSetContextCreate(
		CurrentMemoryContext, "mautomate sweep", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	int			  done = 0;

	ma_evaluate_forget_errors();
	ma_definition_check_zone();
	ma_definition_renew();
	mark_stale();
	done += ma_build_begin();
	while (done < max)
	{
		int n;

		CHECK_FOR_INTERRUPTS();
		n = sweep_chunk(true, max - done);
		if (n == 0)
			n = sweep_chunk(false, max - done);
		if (n == 0)
			break;
		done += n;
		MemoryContextReset(cxt);
	}
	done += ma_build_step(max - done);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
	return done;
}

/*
 * When there is something to do next: the earliest timer, or at once where
 * contacts are marked, or soon where notes are left, whose contacts others
 * hold, or where a list waits for old transactions; infinity for nothing.
 */
TimestampTz
ma_refresh_next_due(void)
{
	static MaStatement stmt = {
		"select case when exists (select from mautomate_internal.dirty)"
		" or exists (select from mautomate_internal.list"
		" where state in ('sweeping', 'following'))"
		" or exists (select from mautomate_internal.generation"
		" where not zone_done)"
		" then '-infinity' else least((select due_at"
		" from mautomate_internal.timer order by due_at limit 1),"
		" (select mautomate.clock() + interval '1 second'"
		" from mautomate_internal.list where state = 'building' limit 1),"
		" (select mautomate.clock() + interval '100 ms'"
		" from mautomate_internal.deferred limit 1),"
		" 'infinity') end",
		0};
	Datum due;

	(void) ma_sql_one(&stmt, NULL, &due);
	return DatumGetTimestampTz(due);
}

/*
 * Evaluates all lists and scores of everybody, silently, in this transaction,
 * like CREATE INDEX: writers of contacts and events wait, so the result is
 * exact, and who comes after us knows the new definitions. Definitions that
 * cannot be, such as a cycle, are refused even where there is nobody.
 */
void
ma_refresh_everybody(bool rebuild)
{
	static MaStatement page = {
		"select contact_id from mautomate_internal.contact_state"
		" where contact_id > $1 order by 1 limit $2",
		2,
		{INT8OID, INT8OID}};
	MemoryContext cxt = AllocSetContextCreate(
		CurrentMemoryContext, "mautomate build", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	int64		  last = PG_INT64_MIN;
	MaSqlScope	  scope;

	(void) ma_definitions();
	ma_follow_lock();
	for (;;)
	{
		Datum  values[2];
		int64 *ids;
		int	   n;

		CHECK_FOR_INTERRUPTS();
		values[0] = Int64GetDatum(last);
		values[1] = Int64GetDatum(CHUNK);
		ma_sql_begin(&scope);
		ma_sql_exec(&page, values, NULL, 0);
		n = result_ids(&ids, cxt);
		ma_sql_end(&scope);
		if (n == 0)
			break;
		last = ids[n - 1];
		ma_refresh_contacts(ids, n, rebuild);
		MemoryContextReset(cxt);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
}
