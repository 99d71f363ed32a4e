/*
 * refresh_follow.c
 *	  Lists filled by one query, whose contacts' states follow.
 *
 * create_list() need not fold everybody: where the predicate can be said by
 * one query over the log (log_set.c), its rows are the members, exact at the
 * instant of the fill, while writers of states wait. The states know nothing
 * of the list yet. A state older than the list finds in list_member whether
 * its contact was in it then, folds from the log what it lacks, and lets time
 * pass from the fill on: exits and entries get their very instants, whoever
 * touches the contact first. That is an event, a timer or the sweep
 * (refresh_build.c), which comes to everybody; those whom time alone may
 * change within a day have a timer, so that the sweep has a day.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "guard.h"
#include "log_set.h"
#include "refresh_private.h"
#include "setting.h"
#include "sql.h"
#include "table.h"
#include "wake.h"

/* Of a list that existed: who is in it already or was taken out by hand. */
#define DECIDED                                                       \
	" and not exists (select from mautomate_internal.list_override o" \
	" where o.list_id = $1 and o.contact_id = found.contact_id"       \
	" and o.until > $2) on conflict do nothing"

/*
 * The timers there are: one serves all lists of a contact, since whoever is
 * looked at knows all lists then. What is joined in full is never joined by
 * a loop in a loop, however few the planner takes them for.
 */
#define TIMERS                                                  \
	" (select contact_id, due_at from mautomate_internal.timer" \
	" where due_at <= $3)"

/* Rows of list_member read at a time. */
#define MEMBER_ROWS 5000

/* Contacts are close to each other if so many ids there are for each. */
#define CLOSE 20

/* A list to fill, for the guard. */
typedef struct Filling
{
	int			  list_id;
	const MaExpr *expr;
	bool		  existed;
	TimestampTz	  now;
	bool		  said; /* out: there is such a query */
} Filling;

/* Makes those who write contacts, events or states wait. */
void
ma_follow_lock(void)
{
	static MaStatement lock[] = {
		{"lock table mautomate.contact in share row exclusive mode", 0},
		{"lock table mautomate.event in share row exclusive mode", 0},
		{"lock table mautomate_internal.contact_state"
		 " in share row exclusive mode",
		 0},
	};
	MaSqlScope scope;

	ma_sql_begin(&scope);
	for (int i = 0; i < lengthof(lock); i++)
		ma_sql_exec(&lock[i], NULL, NULL, 0);
	ma_sql_end(&scope);
}

/* Is somebody without any history in the list? */
static bool
is_member_empty(const Filling *filling)
{
	char *empty = ma_log_set_empty(filling->expr, filling->now);
	bool  isnull;

	if (empty == NULL)
		return true; /* that depends: look at everybody */
	if (SPI_execute(psprintf("select %s", empty), true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not execute \"%s\"", empty);
	return DatumGetBool(ma_sql_datum(0, 1, &isnull));
}

/* Members, history and timers by one statement; arg is a Filling. */
static void
fill(void *arg)
{
	Filling *filling = arg;
	char	*query = ma_log_set_members(filling->expr, filling->now,
										!is_member_empty(filling));
	Oid		 types[] = {INT4OID, TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum	 values[] = {Int32GetDatum(filling->list_id),
						 TimestampTzGetDatum(filling->now),
						 TimestampTzGetDatum(filling->now + MA_LOG_SET_SOON)};
	int		 rc;

	filling->said = query != NULL;
	if (query == NULL)
		return;
	query = psprintf(
		"with found as materialized (%s order by contact_id),"
		" gone as (delete from mautomate_internal.list_member m"
		" where %s and m.list_id = $1 and m.by = 'rule'"
		" and not exists (select from found f"
		" where f.contact_id = m.contact_id and f.member)"
		" returning contact_id),"
		" came as (insert into mautomate_internal.list_member"
		" (list_id, contact_id, since, by)"
		" select $1, contact_id, $2, 'rule' from found where member%s"
		" returning contact_id),"
		" history as (insert into mautomate_internal.list_change"
		" (contact_id, list_id, changed_at, entered, by)"
		" select contact_id, $1, $2, true, 'rule' from came"
		" union all select contact_id, $1, $2, false, 'rule' from gone)"
		" insert into mautomate_internal.timer (contact_id, due_at)"
		" select contact_id, at from"
		" (select contact_id, greatest(due, $2) as at from found"
		" where soon) f full join" TIMERS " t using (contact_id)"
		" where coalesce(at, '-infinity') > '-infinity'"
		" group by contact_id, at having coalesce(min(due_at) > at, true)",
		query, filling->existed ? "true" : "false",
		filling->existed ? DECIDED : "");
	rc = SPI_execute_with_args(query, lengthof(types), types, values, NULL,
							   false, 0);
	if (rc != SPI_OK_INSERT)
		elog(ERROR, "could not execute \"%s\"", query);
}

/* Runs the query; returns the error that it raised on somebody's data. */
static ErrorData *
fill_guarded(Filling *filling)
{
	ErrorData *volatile edata = NULL;
	MaSqlScope scope;
	MaSetting  own;

	ma_sql_begin(&scope);
	ma_setting_enter(&own);
	PG_TRY();
	{
		edata = ma_guard(fill, filling);
	}
	PG_FINALLY();
	{
		ma_setting_leave(&own);
	}
	PG_END_TRY();
	ma_sql_end(&scope);
	return edata;
}

/* Is anything in the log that is noted only, so that no state has it? */
static bool
is_noted(void)
{
	static MaStatement stmt = {"select from mautomate_internal.deferred", 0};

	return ma_sql_one(&stmt, NULL, NULL);
}

/*
 * Fills a list, just defined, with those for whom its predicate holds at
 * `now`, which the clock said after ma_follow_lock(). False if the predicate
 * cannot be said by a query, or fails on somebody's data, or if the log is
 * ahead of the states: then everybody has to be looked at.
 */
bool
ma_follow_fill(int list_id, const MaExpr *expr, bool existed, TimestampTz now)
{
	Filling filling = {list_id, expr, existed, now, false};

	/* under an old snapshot the log is not what the lock makes it */
	if (IsolationUsesXactSnapshot() || is_noted())
		return false;
	if (fill_guarded(&filling) != NULL || !filling.said)
		return false;
	ma_wake_scheduler_at_commit();
	return true;
}

/* Notes row i of the result: a contact, and a list that it is in. */
static void
note_member(MaContactSet *set, uint64 i)
{
	bool	   isnull;
	MaContact *contact =
		ma_contact_find(set, DatumGetInt64(ma_sql_datum(i, 1, &isnull)));
	int list = ma_state_list(set->definitions,
							 DatumGetInt32(ma_sql_datum(i, 2, &isnull)));

	if (contact != NULL && list >= 0 && bms_is_member(list, contact->followed))
		contact->member[list] = true;
}

/*
 * Who is in the lists that a state is older than, by their rows: of contacts
 * close to each other from the first to the last, which is far less than one
 * by one; of others by their keys.
 */
static void
read_members(MaContactSet *set, ArrayType *lists, ArrayType *ids, bool close)
{
	static MaStatement by_key = {
		"select m.contact_id, m.list_id from unnest($1) as l (id),"
		" unnest($2) as c (id) cross join lateral (select contact_id, list_id"
		" from mautomate_internal.list_member"
		" where list_id = l.id and contact_id = c.id offset 0) m",
		2,
		{INT4ARRAYOID, INT8ARRAYOID}};
	static MaStatement by_range = {
		"select m.contact_id, m.list_id from unnest($1) as l (id)"
		" cross join lateral (select contact_id, list_id"
		" from mautomate_internal.list_member where list_id = l.id"
		" and contact_id >= $2[1]"
		" and contact_id <= $2[array_upper($2, 1)] offset 0) m",
		2,
		{INT4ARRAYOID, INT8ARRAYOID}};
	Datum	   values[] = {PointerGetDatum(lists), PointerGetDatum(ids)};
	MaSqlScope scope;
	Portal	   portal;

	ma_table_push_snapshot();
	ma_sql_begin(&scope);
	portal = ma_sql_open(close ? &by_range : &by_key, values);
	do
	{
		CHECK_FOR_INTERRUPTS();
		SPI_cursor_fetch(portal, true, MEMBER_ROWS);
		for (uint64 i = 0; i < SPI_processed; i++)
			note_member(set, i);
		SPI_freetuptable(SPI_tuptable);
	} while (SPI_processed > 0);
	SPI_cursor_close(portal);
	ma_sql_end(&scope);
	PopActiveSnapshot();
}

/* Notes the lists that a state is older than; of them its bits say nothing. */
static void
find_followed(MaContact *contact)
{
	MaDefinitions *definitions = contact->set->definitions;

	for (int i = 0; i < definitions->nlists; i++)
	{
		MaListDef *list = &definitions->lists[i];

		if (list->is_static || contact->generation >= list->generation)
			continue;
		contact->member[i] = false;
		contact->followed = bms_add_member(contact->followed, i);
	}
}

/*
 * Tells the states of a set that are older than lists whether their contacts
 * are in them. A blank state is not meant: it is folded anew, and there may
 * be no rows.
 */
void
ma_follow_load(MaContactSet *set)
{
	MaDefinitions *definitions = set->definitions;
	Datum		  *lists = palloc((definitions->nlists + 1) * sizeof(Datum));
	Datum		  *ids = palloc((set->n + 1) * sizeof(Datum));
	Bitmapset	  *followed = NULL;
	int			   list = -1;
	int			   nlists = 0;
	int			   n = 0;
	bool		   close;

	for (int i = 0; i < set->n; i++)
	{
		MaContact *contact = set->contacts[i];

		if (contact->generation >= definitions->consumers_at || contact->blank)
			continue;
		find_followed(contact);
		followed = bms_add_members(followed, contact->followed);
		if (contact->followed != NULL)
			ids[n++] = Int64GetDatum(contact->id);
	}
	while ((list = bms_next_member(followed, list)) >= 0)
		lists[nlists++] = Int32GetDatum(definitions->lists[list].list_id);
	if (n == 0)
		return;
	close = DatumGetInt64(ids[n - 1]) - DatumGetInt64(ids[0]) < CLOSE * n;
	read_members(
		set,
		construct_array(lists, nlists, INT4OID, sizeof(int32), true,
						TYPALIGN_INT),
		construct_array(ids, n, INT8OID, sizeof(int64), true, TYPALIGN_DOUBLE),
		close);
}

/*
 * Refuses to bring a state up to date from a log and rows as they were before
 * a list was filled, or its sweep began: others may have written events since
 * that nobody folded.
 */
void
ma_follow_check(MaContactSet *set)
{
	static MaStatement stmt = {
		"select from mautomate_internal.generation where value >= $1",
		1,
		{INT8OID}};
	int64 follow_at = set->definitions->follow_at;
	Datum value = Int64GetDatum(follow_at);
	bool  older = false;

	if (!IsolationUsesXactSnapshot())
		return;
	for (int i = 0; i < set->n; i++)
		older = older || set->contacts[i]->generation < follow_at;
	if (older && !ma_sql_one(&stmt, &value, NULL))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access due to concurrent update"),
				 errdetail("A list was created meanwhile.")));
}

/*
 * Finds when time alone changes the lists that a state is older than, after
 * they were filled. What they answered then their rows say.
 */
void
ma_follow_time(MaRun *run, MaContact *contact, TimestampTz now)
{
	int list = -1;

	while ((list = bms_next_member(contact->followed, list)) >= 0)
	{
		MaListDef  *def = &run->definitions->lists[list];
		TimestampTz at = Max(def->filled_at, contact->as_of);

		if (!def->following || at > now)
			continue;
		ma_evaluate_horizon(run, contact, list, at);
		contact->followed = bms_del_member(contact->followed, list);
	}
}
