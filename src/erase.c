/*
 * erase.c
 *	  Forgetting persons for good.
 *
 * What is deleted: the contact and every id that was merged into it, its
 * events and their dedupe keys, memberships, histories, enrolments, errors
 * that are about it, messages not sent. What stays: messages sent, as numbers
 * without person, address and text; and suppressed addresses, which are known
 * by hash only.
 *
 * Locks: the contacts FOR UPDATE, then the states, each in the order of ids.
 * Whoever writes an event for a person found by name holds the contact
 * (contact_hold.c): who came first is waited for, and what was written goes
 * too; who comes later waits, and finds nobody of that name any more. An
 * INSERT into mautomate.event names a contact by number and holds nothing;
 * where the engine looks at its kind it fails as for any unknown number. Of
 * other kinds nothing is looked up, so that events nobody asks about cost
 * nothing: the number is kept, and the sweep deletes what transactions brought
 * that still saw the contact, once the last of them has ended.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "argument.h"
#include "batch.h"
#include "clock.h"
#include "contact.h"
#include "erase.h"
#include "horizon.h"
#include "refresh.h"
#include "sql.h"

PG_FUNCTION_INFO_V1(mautomate_erase_contact);

static Datum	  lock_contacts(Datum ids, int *n);
static void		  check_nothing_left(Datum ids);
static ErrorData *belongs_to(const char *external_id);
static int		  erase(const int64 *contact_ids, int n);

/*
 * Everything that is deleted, by contact; the contacts themselves first. What
 * others bring of them later is looked for.
 */
static MaStatement deletes[] = {
	{"delete from mautomate.contact where contact_id = any ($1)",
	 1,
	 {INT8ARRAYOID}},
	{"insert into mautomate_internal.erased (contact_id)"
	 " select * from unnest($1)",
	 1,
	 {INT8ARRAYOID}},
	{"delete from mautomate_internal.dedupe where contact_id = any ($1)",
	 1,
	 {INT8ARRAYOID}},
	{"delete from mautomate.event where contact_id = any ($1)",
	 1,
	 {INT8ARRAYOID}},
	{"delete from mautomate_internal.list_change where contact_id = any ($1)",
	 1,
	 {INT8ARRAYOID}},
	{"delete from mautomate_internal.wakeup where contact_id = any ($1)",
	 1,
	 {INT8ARRAYOID}},
	{"delete from mautomate_internal.entry_refused"
	 " where contact_id = any ($1)",
	 1,
	 {INT8ARRAYOID}},
	{"delete from mautomate_internal.enrollment_log"
	 " where contact_id = any ($1)",
	 1,
	 {INT8ARRAYOID}},
	{"delete from mautomate_internal.enrollment where contact_id = any ($1)",
	 1,
	 {INT8ARRAYOID}},
	{"delete from mautomate_internal.error where contact_id = any ($1)",
	 1,
	 {INT8ARRAYOID}},
	{"with unsent as ("
	 "delete from mautomate_internal.outbox o"
	 " using mautomate_internal.message m"
	 " where m.contact_id = any ($1) and o.channel_id = m.channel_id"
	 " and o.message_id = m.message_id)"
	 " update mautomate_internal.message set data = null, address = null,"
	 " reply = null, provider_id = null, idempotency_key = null,"
	 " reason = case when state = 'pending' then 'erased' else reason end,"
	 " state = case when state = 'pending' then 'cancelled' else state end"
	 " where contact_id = any ($1)",
	 1,
	 {INT8ARRAYOID}},
};

/* erase_contact(who) -> void */
Datum
mautomate_erase_contact(PG_FUNCTION_ARGS)
{
	char *who = ma_argument_text(fcinfo, 0, "who");
	int64 contact_id;

	/* who is merged or erased by others meanwhile is looked up again */
	do
		contact_id = ma_contact_resolve(who, false);
	while (erase(&contact_id, 1) == 0);
	PG_RETURN_VOID();
}

/*
 * Erases contacts, starting nothing. Returns how many of them there were:
 * who has been merged into another one, or is gone, is left alone.
 */
static int
erase(const int64 *contact_ids, int n)
{
	MaColumn   column;
	MaSqlScope scope;
	Datum	   ids;
	int		   found;

	ma_column_init(&column, INT8OID, n);
	for (int i = 0; i < n; i++)
		ma_column_add(&column, Int64GetDatum(contact_ids[i]), false);
	ids = ma_column_array(&column);
	ma_sql_begin(&scope);
	ids = lock_contacts(ids, &found);
	if (found > 0)
	{
		for (int i = 0; i < lengthof(deletes); i++)
			ma_sql_exec(&deletes[i], &ids, NULL, 0);
		if (IsolationUsesXactSnapshot())
			check_nothing_left(ids);
	}
	ma_sql_end(&scope);
	return found;
}

/*
 * Erases persons who are contacts of their own: under the external id that
 * they are named by, or, where they are named by an address, with no external
 * id. Whose id has become part of another contact, or whose address belongs
 * to one, stays, since that one may still be there: this is the person's
 * problem. Who is unknown is erased already.
 */
void
ma_contact_erase_own(MaProfile *persons, int n)
{
	static MaStatement others = {
		"select u.i, c.external_id from unnest($1, $2, $3)"
		" u (i, contact_id, external_id)"
		" join mautomate.contact c on c.contact_id = u.contact_id"
		" where c.external_id is distinct from u.external_id",
		3,
		{INT4ARRAYOID, INT8ARRAYOID, TEXTARRAYOID}};
	MemoryContext cxt = CurrentMemoryContext;
	int64		 *ids = palloc(sizeof(int64) * Max(n, 1));
	MaColumn	  columns[3];
	Datum		  values[3];
	MaSqlScope	  scope;
	int			  own = 0;

	ma_contact_lookup(persons, n);
	ma_column_init(&columns[0], INT4OID, n);
	ma_column_init(&columns[1], INT8OID, n);
	ma_column_init(&columns[2], TEXTOID, n);
	for (int i = 0; i < n; i++)
	{
		if (persons[i].contact_id == 0)
			continue;
		ma_column_add(&columns[0], Int32GetDatum(i), false);
		ma_column_add(&columns[1], Int64GetDatum(persons[i].contact_id),
					  false);
		ma_column_add_text(&columns[2], persons[i].external_id);
	}
	for (int i = 0; i < lengthof(columns); i++)
		values[i] = ma_column_array(&columns[i]);
	ma_sql_begin(&scope);
	ma_sql_exec(&others, values, NULL, 0);
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		bool	   isnull;
		MaProfile *person =
			&persons[DatumGetInt32(ma_sql_datum(row, 1, &isnull))];
		MemoryContext spi = MemoryContextSwitchTo(cxt);

		person->problem = belongs_to(ma_sql_text(row, 2));
		person->contact_id = 0;
		MemoryContextSwitchTo(spi);
	}
	ma_sql_end(&scope);
	for (int i = 0; i < n; i++)
		if (persons[i].contact_id != 0)
			ids[own++] = persons[i].contact_id;
	if (own > 0)
		(void) erase(ids, own);
}

/* Why a person whose row is gone is not erased. */
static ErrorData *
belongs_to(const char *external_id)
{
	return ma_problem(
		ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST,
		"the person of a deleted row is not erased",
		external_id == NULL ?
			"It is part of a contact that is known by an address only." :
			psprintf("It is part of contact \"%s\".", external_id),
		"Erase that one with mautomate.erase_contact().");
}

/*
 * Locks living contacts, those merged into them, and their states. Returns
 * their ids; n is how many of them are alive.
 */
static Datum
lock_contacts(Datum ids, int *n)
{
	static MaStatement contacts = {
		"select contact_id, merged_into is null from mautomate.contact"
		" where contact_id = any ($1) and merged_into is null"
		" or merged_into = any ($1) order by contact_id for update",
		1,
		{INT8ARRAYOID}};
	static MaStatement states = {
		"select from mautomate_internal.contact_state"
		" where contact_id = any ($1) order by contact_id for update",
		1,
		{INT8ARRAYOID}};
	MaColumn column;
	Datum	 result;
	bool	 isnull;

	*n = 0;
	ma_sql_exec(&contacts, &ids, NULL, 0);
	ma_column_init(&column, INT8OID, SPI_processed);
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		ma_column_add(&column, ma_sql_datum(row, 1, &isnull), false);
		if (DatumGetBool(ma_sql_datum(row, 2, &isnull)))
			(*n)++;
	}
	result = ma_column_array(&column);
	ma_sql_exec(&states, &result, NULL, 0);
	return result;
}

/*
 * Our snapshot does not show what others committed since: then the caller has
 * to try again, as after any conflict.
 */
static void
check_nothing_left(Datum ids)
{
	static MaStatement stmt = {
		"select where exists (select from mautomate.event"
		" where contact_id = any ($1))"
		" or exists (select from mautomate_internal.dedupe"
		" where contact_id = any ($1))"
		" or exists (select from mautomate_internal.enrollment"
		" where contact_id = any ($1))",
		1,
		{INT8ARRAYOID}};
	bool left;

	PushActiveSnapshot(GetLatestSnapshot());
	left = ma_sql_read(&stmt, &ids, NULL, 1) > 0;
	PopActiveSnapshot();
	if (left)
		ereport(
			ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("could not serialize access due to concurrent update")));
}

/*
 * Deletes the events of erased contacts that others brought meanwhile; returns
 * how many numbers were done with, at most max.
 *
 * The first pass notes a transaction id that is later than the erasure's
 * commit; those who may have seen the contact have all ended when no snapshot
 * and no transaction is older than it.
 */
int
ma_contact_erase_late(int max)
{
	static MaStatement look = {"select from mautomate_internal.erased", 0};
	static MaStatement wait = {
		"update mautomate_internal.erased set wait_for = pg_current_xact_id()"
		" where ctid = any (array(select ctid from mautomate_internal.erased"
		" where wait_for is null for update skip locked))",
		0};
	static MaStatement sweep = {
		"with over as (delete from mautomate_internal.erased"
		" where ctid = any (array(select ctid from mautomate_internal.erased"
		" where wait_for < $1 limit $2 for update skip locked))"
		" returning contact_id),"
		" late as (delete from mautomate.event e using over"
		" where e.contact_id = over.contact_id and not exists (select"
		" from mautomate.contact c where c.contact_id = e.contact_id))"
		" select from over",
		2,
		{XID8OID, INT8OID}};
	MaSqlScope scope;
	Datum	   values[2];
	int		   done = 0;

	ma_sql_begin(&scope);
	if (ma_sql_exec(&look, NULL, NULL, 1) > 0)
	{
		values[0] = ma_horizon_oldest();
		values[1] = Int64GetDatum(max);
		done = (int) ma_sql_exec(&sweep, values, NULL, 0);
		ma_sql_exec(&wait, NULL, NULL, 0);
	}
	ma_sql_end(&scope);
	return done;
}

/* When to look for them again: soon, where there are any; else never. */
TimestampTz
ma_contact_erase_due(void)
{
	static MaStatement look = {"select from mautomate_internal.erased", 0};

	return ma_sql_one(&look, NULL, NULL) ? ma_now() + USECS_PER_SEC : DT_NOEND;
}
