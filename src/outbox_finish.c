/*
 * outbox_finish.c
 *	  The messages to be sent: leases, and how attempts ended.
 *
 * What a process was sending when it died is rescued. A message that kills
 * who sends it must not do so for ever: after the first time it is claimed
 * alone (outbox_claim.c), and set aside after the second. One that was
 * written and given to the transport before the process died is hardly the
 * cause, and has more lives.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/timestamp.h"

#include "batch.h"
#include "clock.h"
#include "lease.h"
#include "outbox_private.h"
#include "sql.h"

/* So often may the process die that is writing a message. */
#define DEATHS_WRITING 2

/* So often may it die that has written it. */
#define DEATHS_WRITTEN 5

/* So many are made due at once. */
#define UNPARK_BATCH 500

static void finish_again(int64 lease, const MaFinish *results, int n);
static int	rescue_lease(int64 lease);

/* Makes a lease of this process, under which messages can be claimed. */
int64
ma_outbox_open_lease(void)
{
	static MaStatement stmt = {
		"insert into mautomate_internal.lease default values returning lease",
		0};
	Datum value;
	int64 lease;

	(void) ma_sql_one(&stmt, NULL, &value);
	lease = DatumGetInt64(value);
	if (!ma_lease_take(MA_LEASE_SENDING, lease))
		elog(ERROR, "lease " INT64_FORMAT " is held already", lease);
	return lease;
}

/* Ends a lease under which nothing is being sent any more. */
void
ma_outbox_close_lease(int64 lease)
{
	static MaStatement stmt = {
		"delete from mautomate_internal.lease where lease = $1", 1, {INT8OID}};
	Datum	   values[1] = {Int64GetDatum(lease)};
	MaSqlScope scope;

	ma_sql_begin(&scope);
	ma_sql_exec(&stmt, values, NULL, 0);
	ma_sql_end(&scope);
	ma_lease_give_back(MA_LEASE_SENDING, lease);
}

/* Records how attempts ended, where the lease still stands. */
void
ma_outbox_finish(int64 lease, const MaFinish *results, int n)
{
	int stay = 0;

	for (int i = 0; i < n; i++)
		stay += results[i].state > MA_FINISH_REFUSED;
	ma_outbox_lock();
	if (stay < n)
		ma_outbox_end(lease, results, n);
	if (stay > 0)
		finish_again(lease, results, n);
}

/* Adds a result to the table that the statement below is given. */
static void
add_result(MaColumn *columns, const MaFinish *r, const char *state)
{
	ma_column_add(&columns[0], Int64GetDatum(r->message_id), false);
	ma_column_add(&columns[1], Int32GetDatum(r->channel_id), false);
	ma_column_add(&columns[2], Int32GetDatum(r->priority), false);
	ma_column_add_text(&columns[3], state);
	ma_column_add_text(&columns[4], r->address);
	ma_column_add_text(&columns[5], r->reason);
	ma_column_add_text(&columns[6], r->reply);
	ma_column_add(&columns[7], TimestampTzGetDatum(r->due_at),
				  r->state == MA_FINISH_HELD);
	ma_column_add(&columns[8], BoolGetDatum(r->state == MA_FINISH_DEFERRED),
				  false);
	ma_column_add(&columns[9], TimestampTzGetDatum(r->real_at),
				  r->real_at == 0);
}

/*
 * Those that stay in the outbox, to be tried again or set aside. No time is
 * before the lock of this transaction: see outbox_claim.c.
 */
static void
finish_again(int64 lease, const MaFinish *results, int n)
{
	static MaStatement stmt = {
		"with back as (update mautomate_internal.outbox o"
		"  set lease = null, attempt = o.attempt - r.deferred::int,"
		"   state = case when not r.deferred then r.state"
		"    when o.attempt = 1 then 'pending' else 'retry' end,"
		"   due_at = case when r.real_at is not null then 'infinity'"
		"    when r.state <> 'held' then greatest(r.due_at, $12) end,"
		"   real_at = r.real_at,"
		"   first_tried_at = case when o.attempt > r.deferred::int"
		"    then o.first_tried_at end,"
		"   deaths = case when r.deferred then abs(o.deaths) else 0 end,"
		"   waits = case when r.deferred then r.reason end"
		"  from unnest($2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
		"   as r(message_id, channel_id, priority, state, address, reason,"
		"    reply, due_at, deferred, real_at)"
		"  where o.channel_id = r.channel_id and o.priority = r.priority"
		"  and o.message_id = r.message_id"
		"  and o.state = 'sending' and o.lease = $1"
		"  returning o.message_id, o.attempt, r.state, r.address, r.reason,"
		"   r.reply, r.deferred)"
		" update mautomate_internal.message m set attempts = b.attempt,"
		"  address = b.address, reason = b.reason, reply = b.reply,"
		"  in_doubt = m.in_doubt + (b.state in ('in_doubt', 'held'))::int"
		" from back b where m.message_id = b.message_id and not b.deferred",
		12,
		{INT8OID, INT8ARRAYOID, INT4ARRAYOID, INT4ARRAYOID, TEXTARRAYOID,
		 TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TIMESTAMPTZARRAYOID,
		 BOOLARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZOID}};
	static const Oid types[] = {
		INT8OID, INT4OID, INT4OID,		  TEXTOID, TEXTOID,
		TEXTOID, TEXTOID, TIMESTAMPTZOID, BOOLOID, TIMESTAMPTZOID};
	static const char *const names[] = {[MA_FINISH_RETRY] = "retry",
										[MA_FINISH_IN_DOUBT] = "in_doubt",
										[MA_FINISH_HELD] = "held",
										[MA_FINISH_DEFERRED] = "retry"};
	MaColumn				 columns[lengthof(types)];
	Datum					 values[lengthof(types) + 2];
	MaSqlScope				 scope;

	ma_sql_begin(&scope);
	ma_outbox_use_indexes();
	for (int c = 0; c < lengthof(types); c++)
		ma_column_init(&columns[c], types[c], n);
	for (int i = 0; i < n; i++)
		if (results[i].state > MA_FINISH_REFUSED)
			add_result(columns, &results[i], names[results[i].state]);
	values[0] = Int64GetDatum(lease);
	for (int c = 0; c < lengthof(types); c++)
		values[c + 1] = ma_column_array(&columns[c]);
	values[lengthof(types) + 1] = TimestampTzGetDatum(ma_now());
	ma_sql_exec(&stmt, values, NULL, 0);
	ma_sql_end(&scope);
}

/*
 * Makes due what waits on a lane for the real clock while the other stands
 * still, if its time has come, or if the other clock goes again; returns how
 * many. Stores when the next one's time comes, DT_NOEND if there is none.
 */
int
ma_outbox_unpark(const MaLane *lane, TimestampTz *next)
{
	static MaStatement stmt = {
		"update mautomate_internal.outbox o set real_at = null, due_at = $3"
		" where o.ctid = any(array(select i.ctid"
		"  from mautomate_internal.outbox i"
		"  where i.channel_id = $1 and i.real_at <= $2"
		"  order by i.real_at limit $4 for update skip locked))",
		4,
		{INT4OID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID}};
	static MaStatement peek = {"select real_at from mautomate_internal.outbox"
							   " where channel_id = $1 and real_at is not null"
							   " order by real_at limit 1",
							   1,
							   {INT4OID}};
	Datum			   values[4] = {Int32GetDatum(lane->channel_id)};
	MaSqlScope		   scope;
	bool			   isnull;
	int				   n;

	ma_sql_begin(&scope);
	ma_outbox_use_indexes();
	ma_outbox_lock();
	values[1] = TimestampTzGetDatum(ma_clock_is_set() ? GetCurrentTimestamp() :
														DT_NOEND);
	values[2] = TimestampTzGetDatum(ma_now());
	values[3] = Int32GetDatum(UNPARK_BATCH);
	n = (int) ma_sql_exec(&stmt, values, NULL, 0);
	*next = DT_NOEND;
	if (ma_sql_exec(&peek, values, NULL, 1) > 0)
		*next = DatumGetTimestampTz(ma_sql_datum(0, 1, &isnull));
	ma_sql_end(&scope);
	return n;
}

/*
 * Notes of messages claimed under a lease that they have been written, those
 * that were there when a process died before; see the top of this file.
 */
void
ma_outbox_written(const MaLane *lane, const MaClaim *claims, int n)
{
	static MaStatement stmt = {
		"update mautomate_internal.outbox set deaths = -abs(deaths)"
		" where channel_id = $1 and priority = $2 and message_id = $3",
		3,
		{INT4OID, INT4OID, INT8OID}};
	MaSqlScope scope;

	ma_sql_begin(&scope);
	ma_outbox_use_indexes();
	for (int i = 0; i < n; i++)
	{
		Datum values[3] = {Int32GetDatum(lane->channel_id),
						   Int32GetDatum(claims[i].priority),
						   Int64GetDatum(claims[i].message_id)};

		ma_sql_exec(&stmt, values, NULL, 0);
	}
	ma_sql_end(&scope);
}

/*
 * Settles what processes were sending that have died; returns the number of
 * messages. The lease is the caller's own, which is not looked at.
 */
int
ma_outbox_rescue(int64 lease)
{
	static MaStatement stmt = {
		"select lease from mautomate_internal.lease where lease <> $1",
		1,
		{INT8OID}};
	Datum	   values[1] = {Int64GetDatum(lease)};
	MaSqlScope scope;
	int64	  *others;
	bool	   isnull;
	int		   n;
	int		   rescued = 0;

	ma_sql_begin(&scope);
	n = (int) ma_sql_exec(&stmt, values, NULL, 0);
	if (n > 0)
		ma_outbox_lock();
	others = palloc((n + 1) * sizeof(int64));
	for (int i = 0; i < n; i++)
		others[i] = DatumGetInt64(ma_sql_datum(i, 1, &isnull));
	for (int i = 0; i < n; i++)
		if (ma_lease_inherit(MA_LEASE_SENDING, others[i]))
			rescued += rescue_lease(others[i]);
	ma_sql_end(&scope);
	return rescued;
}

/*
 * Settles one dead lease, whose number the caller has inherited. A message
 * that was being sent over a network may have arrived.
 */
static int
rescue_lease(int64 lease)
{
	static MaStatement stmt = {
		"with back as (update mautomate_internal.outbox o"
		"  set lease = null, deaths = abs(o.deaths) + 1,"
		"   due_at = $2::timestamptz,"
		"   state = case"
		"    when o.deaths + 1 >= $3 or 1 - o.deaths >= $4 then 'held'"
		"    when c.transport = 'log' then 'retry'"
		"    when c.settings->>'in_doubt' = 'hold' then 'held'"
		"    else 'in_doubt' end"
		"  from mautomate_internal.channel c"
		"  where o.lease = $1 and o.state = 'sending'"
		"  and c.channel_id = o.channel_id"
		"  returning o.message_id, o.attempt,"
		"   c.transport <> 'log' as in_doubt,"
		"   o.deaths >= case when o.state = 'held' then $3 end as again)"
		" update mautomate_internal.message m set attempts = b.attempt,"
		"  in_doubt = m.in_doubt + b.in_doubt::int,"
		"  reason = 'the process that was sending it died'"
		"   || case when b.again then ', and again' else '' end"
		" from back b where m.message_id = b.message_id",
		4,
		{INT8OID, TIMESTAMPTZOID, INT4OID, INT4OID}};
	static MaStatement forget = {
		"delete from mautomate_internal.lease where lease = $1", 1, {INT8OID}};
	Datum values[4] = {Int64GetDatum(lease), TimestampTzGetDatum(ma_now()),
					   Int32GetDatum(DEATHS_WRITING),
					   Int32GetDatum(DEATHS_WRITTEN)};
	int	  n = (int) ma_sql_exec(&stmt, values, NULL, 0);

	ma_sql_exec(&forget, values, NULL, 0);
	return n;
}
