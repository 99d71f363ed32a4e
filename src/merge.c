/*
 * merge.c
 *	  One contact takes over everything of another.
 *
 * contact_id is part of every key and never updated, so rows move by DELETE
 * and INSERT; an event keeps its event_id. All of it happens under the rule
 * of silence: what the loser did long ago starts nothing for the survivor.
 *
 * Locks: both contacts in the order of their ids, then dedupe keys, then both
 * states in order, as everywhere. (A writer that found the loser by name holds
 * it against erasure only, see contact_hold.c: that does not stop a merge.) A
 * writer that holds a state commits first and its events move too; one that
 * comes later finds no state of the loser.
 *
 * What the engine keeps of the loser (state, lists, scores, timers) it drops
 * itself when it sees merged_into.
 *
 * The loser stays as a row that names its survivor, so that its external id
 * still leads to the person. merged_into always names a living contact: who
 * had been merged into the loser is passed on.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

#include "batch.h"
#include "guard.h"
#include "merge.h"
#include "refresh.h"
#include "sql.h"

static bool move(int64 loser, int64 survivor);
static void move_lists(int64 loser, int64 survivor);

/*
 * Merges loser into survivor. Returns false, having done nothing, if one of
 * them has been merged by somebody else; then the caller looks again. The
 * silence lasts as long as the subtransaction in here.
 */
bool
ma_contact_merge(int64 loser, int64 survivor)
{
	MemoryContext cxt = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool done = false;

	Assert(loser != survivor);
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(cxt);
	PG_TRY();
	{
		ma_refresh_silence();
		done = move(loser, survivor);
		if (done)
			ReleaseCurrentSubTransaction();
		else
			RollbackAndReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ma_guard_rethrow(cxt, owner);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(cxt);
	CurrentResourceOwner = owner;
	return done;
}

/*
 * Ways through workflows. Of two that may not be active at once the loser's
 * ends.
 */
static MaStatement enrollments[] = {
	{"with gone as ("
	 "delete from mautomate_internal.enrollment where contact_id = $1"
	 " returning *), judged as ("
	 "select g.*, g.state = 'active' and g.exclusive and exists ("
	 "select from mautomate_internal.enrollment s where s.contact_id = $2"
	 " and s.workflow_id = g.workflow_id and s.key = g.key"
	 " and s.state = 'active' and s.exclusive) as ends from gone g)"
	 " insert into mautomate_internal.enrollment (enrollment_id, contact_id,"
	 " workflow_id, version_id, key, exclusive, state, op, arrived, pass,"
	 " wake_at, entered_at, ended_at, reason, attempts, event_id, entry,"
	 " context, event)"
	 " select enrollment_id, $2, workflow_id, version_id, key, exclusive,"
	 " case when ends then 'exited' else state end, op, arrived, pass,"
	 " case when ends then 'infinity' else wake_at end, entered_at,"
	 " case when ends then mautomate.clock() else ended_at end,"
	 " case when ends then 'merged' else reason end, attempts, event_id,"
	 " entry, context, event from judged",
	 2,
	 {INT8OID, INT8OID}},
	{"with gone as ("
	 "delete from mautomate_internal.enrollment_log where contact_id = $1"
	 " returning *)"
	 " insert into mautomate_internal.enrollment_log (log_id, contact_id,"
	 " enrollment_id, step, pass, verb, executed_at, result)"
	 " select log_id, $2, enrollment_id, step, pass, verb, executed_at,"
	 " result from gone",
	 2,
	 {INT8OID, INT8OID}},
	{"with gone as ("
	 "delete from mautomate_internal.entry_refused where contact_id = $1"
	 " returning *)"
	 " insert into mautomate_internal.entry_refused (contact_id,"
	 " workflow_id, key, event_id, refused_at, reason)"
	 " select $2, workflow_id, key, event_id, refused_at, reason from gone",
	 2,
	 {INT8OID, INT8OID}},
	{"with gone as ("
	 "delete from mautomate_internal.wakeup where contact_id = $1"
	 " returning *)"
	 " insert into mautomate_internal.wakeup (wakeup_id, contact_id,"
	 " enrollment_id, restart, kind, nth, event_id, occurred_at, properties)"
	 " select wakeup_id, $2, enrollment_id, restart, kind, nth, event_id,"
	 " occurred_at, properties from gone",
	 2,
	 {INT8OID, INT8OID}},
};

/* The log moves. */
static MaStatement events = {
	"with gone as ("
	"delete from mautomate.event where contact_id = $1 returning *)"
	" insert into mautomate.event"
	" (contact_id, kind, occurred_at, event_id, properties)"
	" select $2, kind, occurred_at, event_id, properties from gone",
	2,
	{INT8OID, INT8OID}};

/* The survivor gets what only the loser had. */
static MaStatement survivor_row = {
	"update mautomate.contact s set"
	" email = coalesce(s.email, l.email),"
	" phone = coalesce(s.phone, l.phone),"
	" first_name = coalesce(s.first_name, l.first_name),"
	" last_name = coalesce(s.last_name, l.last_name),"
	" timezone = coalesce(s.timezone, l.timezone),"
	" locale = coalesce(s.locale, l.locale),"
	" region = coalesce(s.region, l.region),"
	" stage = coalesce(s.stage, l.stage),"
	" owner = coalesce(s.owner, l.owner),"
	" account_id = coalesce(s.account_id, l.account_id),"
	" attributes = l.attributes || s.attributes,"
	" created_at = least(s.created_at, l.created_at)"
	" from mautomate.contact l"
	" where l.contact_id = $1 and s.contact_id = $2",
	2,
	{INT8OID, INT8OID}};

/* The loser keeps its external id, and so do those merged into it before. */
static MaStatement loser_row = {
	"update mautomate.contact set merged_into = $2,"
	" email = null, phone = null, first_name = null, last_name = null,"
	" timezone = null, locale = null, region = null, stage = null,"
	" owner = null, account_id = null, attributes = '{}'"
	" where contact_id = $1 or merged_into = $1",
	2,
	{INT8OID, INT8OID}};

/*
 * Who found the loser and commits later leaves events with it: the sweep looks
 * again.
 */
static MaStatement dirty = {
	"insert into mautomate_internal.dirty (contact_id, rebuild)"
	" values ($1, true)",
	1,
	{INT8OID}};

/* What was sent, and what is to be sent. */
static MaStatement messages = {
	"update mautomate_internal.message set contact_id = $2"
	" where contact_id = $1",
	2,
	{INT8OID, INT8OID}};

/*
 * What the loser was in attributes of which the survivor keeps its own, where
 * definitions ask what somebody was.
 */
static void
record_past(int64 loser, int64 survivor)
{
	static MaStatement stmt = {
		"insert into mautomate.event (contact_id, kind, occurred_at,"
		" properties) select $2, 'attribute_changed', mautomate.clock(),"
		" jsonb_build_object('attribute', name, 'value', s.value,"
		" 'previous', l.value)"
		" from unnest($3) as name, lateral (select"
		" coalesce(nullif(to_jsonb(c) -> name, 'null'),"
		" c.attributes -> name) as value from mautomate.contact c"
		" where c.contact_id = $1) l, lateral (select"
		" coalesce(nullif(to_jsonb(c) -> name, 'null'),"
		" c.attributes -> name) as value from mautomate.contact c"
		" where c.contact_id = $2) s"
		" where s.value is not null and s.value is distinct from l.value"
		" and name not in ('external_id', 'created_at')",
		3,
		{INT8OID, INT8OID, TEXTARRAYOID}};
	MaDefinitions *definitions = ma_definitions();
	MaColumn	   names;
	Datum		   values[3] = {Int64GetDatum(loser), Int64GetDatum(survivor)};

	if (definitions->nrecorded == 0)
		return;
	ma_column_init(&names, TEXTOID, definitions->nrecorded);
	for (int i = 0; i < definitions->nrecorded; i++)
		ma_column_add(&names, CStringGetTextDatum(definitions->recorded[i]),
					  false);
	values[2] = ma_column_array(&names);
	ma_sql_exec(&stmt, values, NULL, 0);
}

/* The statements of a merge, in the order of the locks. */
static bool
move(int64 loser, int64 survivor)
{
	/* of a key that both have, the survivor's event stays */
	static MaStatement dedupe = {
		"with gone as ("
		"delete from mautomate_internal.dedupe where contact_id = $1"
		" returning dedupe_key, event_id, address_hash), kept as ("
		"insert into mautomate_internal.dedupe"
		" (contact_id, dedupe_key, event_id, address_hash)"
		" select $2, dedupe_key, event_id, address_hash from gone"
		" order by dedupe_key"
		" on conflict do nothing returning event_id)"
		" delete from mautomate.event e using gone g"
		" where e.contact_id = $1 and e.event_id = g.event_id"
		" and not exists (select from kept k where k.event_id = g.event_id)",
		2,
		{INT8OID, INT8OID}};
	static MaStatement lock_contacts = {
		"select from mautomate.contact"
		" where contact_id in ($1, $2) and merged_into is null"
		" order by contact_id for no key update",
		2,
		{INT8OID, INT8OID}};
	static MaStatement lock_states = {
		"select from mautomate_internal.contact_state"
		" where contact_id in ($1, $2) order by contact_id for update",
		2,
		{INT8OID, INT8OID}};
	static MaStatement *const steps[] = {&events, &survivor_row, &messages};
	Datum	   values[2] = {Int64GetDatum(loser), Int64GetDatum(survivor)};
	MaSqlScope scope;
	bool	   alive;

	ma_sql_begin(&scope);
	alive = ma_sql_exec(&lock_contacts, values, NULL, 0) == 2;
	if (alive)
	{
		ma_sql_exec(&dedupe, values, NULL, 0);
		ma_sql_exec(&lock_states, values, NULL, 0);
		/* what they did and is only noted, they did apart */
		ma_refresh_catch_up(loser);
		ma_refresh_catch_up(survivor);
		/* those of writers that we have just waited for */
		ma_sql_exec(&dedupe, values, NULL, 0);
	}
	if (alive)
		record_past(loser, survivor);
	for (int i = 0; alive && i < lengthof(steps); i++)
		ma_sql_exec(steps[i], values, NULL, 0);
	for (int i = 0; alive && i < lengthof(enrollments); i++)
		ma_sql_exec(&enrollments[i], values, NULL, 0);
	if (alive)
	{
		move_lists(loser, survivor);
		ma_sql_exec(&loser_row, values, NULL, 0);
		ma_sql_exec(&dirty, values, NULL, 0);
	}
	ma_sql_end(&scope);
	return alive;
}

/*
 * The survivor is in every static list that the loser was put into for good,
 * since when the loser was; where something else is decided about the survivor
 * that will end, from then on.
 */
static void
move_members(int64 loser, int64 survivor)
{
	static MaStatement find = {
		"select list_id from mautomate_internal.list_member m"
		" join mautomate_internal.list l using (list_id)"
		" left join mautomate_internal.list_override o"
		" using (list_id, contact_id)"
		" where m.contact_id = $1 and m.by = 'hand'"
		" and l.predicate_id is null and coalesce(o.after, true)"
		" union select list_id from mautomate_internal.list_override"
		" where contact_id = $1 and after order by 1",
		1,
		{INT8OID}};
	static MaStatement since = {
		"update mautomate_internal.list_member s"
		" set since = least(s.since, l.since)"
		" from mautomate_internal.list_member l"
		" where l.contact_id = $1 and l.by = 'hand'"
		" and s.contact_id = $2 and s.by = 'hand' and s.list_id = l.list_id",
		2,
		{INT8OID, INT8OID}};
	Datum  values[2] = {Int64GetDatum(loser), Int64GetDatum(survivor)};
	uint64 n = ma_sql_exec(&find, values, NULL, 0);
	int	  *lists = palloc(sizeof(int) * Max(n, 1));
	bool   isnull;

	for (uint64 i = 0; i < n; i++)
		lists[i] = DatumGetInt32(ma_sql_datum(i, 1, &isnull));
	for (uint64 i = 0; i < n; i++)
		(void) ma_refresh_hand(lists[i], &survivor, 1, MA_HAND_JOIN, DT_NOEND,
							   NULL);
	if (n > 0)
		ma_sql_exec(&since, values, NULL, 0);
}

/*
 * What else was decided by hand about the loser holds for the survivor, where
 * nothing was decided about the survivor. The engine takes the loser out of
 * all lists.
 */
static void
move_lists(int64 loser, int64 survivor)
{
	static MaStatement find = {
		"select list_id, entered, until"
		" from mautomate_internal.list_override l where contact_id = $1"
		" and until > mautomate.clock() and not exists (select"
		" from mautomate_internal.list_override s where s.contact_id = $2"
		" and s.list_id = l.list_id) order by list_id",
		2,
		{INT8OID, INT8OID}};
	Datum		 values[2] = {Int64GetDatum(loser), Int64GetDatum(survivor)};
	uint64		 n = ma_sql_exec(&find, values, NULL, 0);
	int			*lists = palloc(sizeof(int) * Max(n, 1));
	bool		*entered = palloc(sizeof(bool) * Max(n, 1));
	TimestampTz *until = palloc(sizeof(TimestampTz) * Max(n, 1));
	bool		 isnull;

	for (uint64 i = 0; i < n; i++)
	{
		lists[i] = DatumGetInt32(ma_sql_datum(i, 1, &isnull));
		entered[i] = DatumGetBool(ma_sql_datum(i, 2, &isnull));
		until[i] = DatumGetTimestampTz(ma_sql_datum(i, 3, &isnull));
	}
	move_members(loser, survivor);
	for (uint64 i = 0; i < n; i++)
		(void) ma_refresh_hand(lists[i], &survivor, 1,
							   entered[i] ? MA_HAND_IN : MA_HAND_OUT, until[i],
							   NULL);
}

/*
 * Locks contacts that are going to be merged, and then states, each in the
 * order of ids; 0 is nobody.
 */
void
ma_merge_lock(const int64 *contacts, int ncontacts, const int64 *states,
			  int nstates)
{
	static MaStatement stmts[] = {
		{"select from mautomate.contact where contact_id = any($1)"
		 " order by contact_id for no key update",
		 1,
		 {INT8ARRAYOID}},
		{"select from mautomate_internal.contact_state"
		 " where contact_id = any($1) order by contact_id for update",
		 1,
		 {INT8ARRAYOID}},
	};
	MaSqlScope scope;

	ma_sql_begin(&scope);
	for (int i = 0; i < lengthof(stmts); i++)
	{
		const int64 *ids = i == 0 ? contacts : states;
		int			 n = i == 0 ? ncontacts : nstates;
		MaColumn	 column;
		Datum		 value;

		ma_column_init(&column, INT8OID, n);
		for (int j = 0; j < n; j++)
			ma_column_add(&column, Int64GetDatum(ids[j]), false);
		value = ma_column_array(&column);
		ma_sql_exec(&stmts[i], &value, NULL, 0);
	}
	ma_sql_end(&scope);
}
