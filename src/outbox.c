/*
 * outbox.c
 *	  The messages to be sent: enqueue, claim, finish, retry.
 *
 * A message is two rows under one id. The row in message is the lasting
 * record, written when it is asked for and when it reaches a final state. The
 * row in outbox exists as long as there is something to do:
 *
 *		pending -> sending -> (gone: sent, failed, refused)
 *					|	 `-> retry, in_doubt -> sending ...
 *					`------> held
 *
 * Who claims makes a row sending under a lease (lease.h) and commits; the
 * result is recorded only where the lease still stands. Rows of a lease whose
 * holder is dead are rescued by whoever comes along: each may or may not have
 * arrived, and the channel says what happens then.
 *
 * New rows (due_at null) are claimed in order of id, from a mark on that
 * moves up as they are used, so that the index entries of a million messages
 * sent before are not looked at, even if an old snapshot keeps them. The mark
 * never passes an id whose inserting transaction may still run: an inserter
 * holds a lock on outbox before it draws an id (ma_outbox_enqueue), so all
 * ids up to the sequence's value belong to transactions that have ended, once
 * those have that held such a lock at the time the value was read. Rows that
 * have a time (scheduled, to be retried, put back) are found by it instead.
 *
 * The planner is told to use the indexes: these plans are made once, when the
 * tables are still empty.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "batch.h"
#include "clock.h"
#include "lease.h"
#include "outbox.h"
#include "sql.h"
#include "wake.h"

/* How many ids a mark may lag behind before it is worth moving. */
#define MARK_STEP 500

/* So often may the process die that is sending a message. */
#define MAX_DEATHS 2

/* Messages on their way into the tables, one column each. */
typedef enum IntentColumn
{
	INTENT_ID,
	INTENT_CONTACT,
	INTENT_TEMPLATE,
	INTENT_DATA,
	INTENT_KEY,
	INTENT_ENROLLMENT,
	INTENT_STEP,
	INTENT_PASS
} IntentColumn;

#define INTENT_COLUMNS (INTENT_PASS + 1)

static Oid	 outbox_relid(void);
static void	 draw_ids(int n, int64 *ids);
static void	 insert_messages(const MaIntent *intents, int n, const int64 *ids,
							 int *channels);
static void	 insert_outbox(const MaIntent *intents, int n, const int64 *ids,
						   const int *channels);
static int64 existing_message(const MaIntent *intent);
static Datum intent_data(const MaIntent *intent, bool *isnull);
static void	 push_object(JsonbParseState **state, const char *key,
						 Jsonb *object);
static int	 claim(MaStatement *stmt, MaLane *lane, int64 lease, int max,
				   int64 *ids);
static void	 prepare_mark(MaLane *lane);
static void	 move_mark(MaLane *lane);
static bool	 writers_ended(MaLane *lane);
static void	 finish_final(int64 lease, const MaFinish *results, int n);
static void	 finish_again(int64 lease, const MaFinish *results, int n);
static int	 rescue_lease(int64 lease);

/*
 * Puts messages into the outbox in this transaction and stores their ids. A
 * message that exists already, by idempotency key or by enrolment, step and
 * pass, is not made again: its first id is returned.
 */
void
ma_outbox_enqueue(const MaIntent *intents, int n, int64 *message_ids)
{
	MaSqlScope scope;
	int		  *channels;
	bool	   any = false;

	if (n == 0)
		return;
	ma_sql_begin(&scope);
	/* before the ids: see the top of this file */
	LockRelationOid(outbox_relid(), RowExclusiveLock);
	channels = palloc0(n * sizeof(int));
	draw_ids(n, message_ids);
	insert_messages(intents, n, message_ids, channels);
	insert_outbox(intents, n, message_ids, channels);
	for (int i = 0; i < n; i++)
	{
		if (channels[i] == 0)
			message_ids[i] = existing_message(&intents[i]);
		else
			any = true;
	}
	ma_sql_end(&scope);
	if (any)
		ma_wake_senders_at_commit();
}

/* The table's Oid. */
static Oid
outbox_relid(void)
{
	return get_relname_relid("outbox",
							 get_namespace_oid("mautomate_internal", false));
}

/* Takes n new ids, ascending, from the sequence. */
static void
draw_ids(int n, int64 *ids)
{
	static MaStatement stmt = {
		"select nextval('mautomate_internal.message_message_id_seq')"
		" from generate_series(1, $1)",
		1,
		{INT4OID}};
	Datum values[1] = {Int32GetDatum(n)};
	bool  isnull;

	ma_sql_exec(&stmt, values, NULL, 0);
	for (int i = 0; i < n; i++)
		ids[i] = DatumGetInt64(ma_sql_datum(i, 1, &isnull));
}

/*
 * The idempotency key of a message. One of a workflow has a key by nature:
 * the step that sends it, and how often that step was reached.
 */
static const char *
intent_key(const MaIntent *intent)
{
	if (intent->idempotency_key != NULL || intent->enrollment_id == 0)
		return intent->idempotency_key;
	return psprintf("enrollment/" INT64_FORMAT "/%s/%d", intent->enrollment_id,
					intent->step, intent->pass);
}

/* Stores the lasting records; channels stays 0 for those that exist. */
static void
insert_messages(const MaIntent *intents, int n, const int64 *ids,
				int *channels)
{
	static const Oid   types[INTENT_COLUMNS] = {INT8OID,  INT8OID, INT4OID,
												JSONBOID, TEXTOID, INT8OID,
												TEXTOID,  INT4OID};
	static MaStatement stmt = {
		"insert into mautomate_internal.message (message_id, contact_id,"
		" template_id, version, channel_id, enqueued_at, data,"
		" idempotency_key, enrollment_id, step, pass)"
		" select r.message_id, r.contact_id, t.template_id, t.version,"
		"  v.channel_id, $9, r.data, r.key, r.enrollment_id, r.step, r.pass"
		" from unnest($1, $2, $3, $4, $5, $6, $7, $8) with ordinality"
		"  as r(message_id, contact_id, template_id, data, key,"
		"   enrollment_id, step, pass, n)"
		" join mautomate_internal.template t using (template_id)"
		" join mautomate_internal.template_version v"
		"  using (template_id, version)"
		" order by r.n"
		" on conflict do nothing"
		" returning message_id, channel_id",
		9,
		{INT8ARRAYOID, INT8ARRAYOID, INT4ARRAYOID, JSONBARRAYOID, TEXTARRAYOID,
		 INT8ARRAYOID, TEXTARRAYOID, INT4ARRAYOID, TIMESTAMPTZOID}};
	MaColumn columns[INTENT_COLUMNS];
	Datum	 values[INTENT_COLUMNS + 1];
	bool	 isnull;

	for (int c = 0; c < INTENT_COLUMNS; c++)
		ma_column_init(&columns[c], types[c], n);
	for (int i = 0; i < n; i++)
	{
		const MaIntent *in = &intents[i];
		bool			no_step = in->enrollment_id == 0;
		Datum			data = intent_data(in, &isnull);

		ma_column_add(&columns[INTENT_ID], Int64GetDatum(ids[i]), false);
		ma_column_add(&columns[INTENT_CONTACT], Int64GetDatum(in->contact_id),
					  false);
		ma_column_add(&columns[INTENT_TEMPLATE],
					  Int32GetDatum(in->template_id), false);
		ma_column_add(&columns[INTENT_DATA], data, isnull);
		ma_column_add_text(&columns[INTENT_KEY], intent_key(in));
		ma_column_add(&columns[INTENT_ENROLLMENT],
					  Int64GetDatum(in->enrollment_id), no_step);
		ma_column_add_text(&columns[INTENT_STEP], no_step ? NULL : in->step);
		ma_column_add(&columns[INTENT_PASS], Int32GetDatum(in->pass), no_step);
	}
	for (int c = 0; c < INTENT_COLUMNS; c++)
		values[c] = ma_column_array(&columns[c]);
	values[INTENT_COLUMNS] = TimestampTzGetDatum(ma_now());
	ma_sql_exec(&stmt, values, NULL, 0);

	/* what was inserted comes in the order of the ids */
	for (uint64 row = 0, i = 0; row < SPI_processed; row++)
	{
		int64 id = DatumGetInt64(ma_sql_datum(row, 1, &isnull));

		while (ids[i] != id)
			i++;
		channels[i] = DatumGetInt32(ma_sql_datum(row, 2, &isnull));
	}
}

/* Puts those that were stored (channels not 0) into the outbox. */
static void
insert_outbox(const MaIntent *intents, int n, const int64 *ids,
			  const int *channels)
{
	static MaStatement stmt = {
		"insert into mautomate_internal.outbox"
		" (message_id, channel_id, due_at)"
		" select * from unnest($1, $2, $3)",
		3,
		{INT8ARRAYOID, INT4ARRAYOID, TIMESTAMPTZARRAYOID}};
	MaColumn	id;
	MaColumn	channel;
	MaColumn	due;
	TimestampTz now = ma_now();
	Datum		values[3];

	ma_column_init(&id, INT8OID, n);
	ma_column_init(&channel, INT4OID, n);
	ma_column_init(&due, TIMESTAMPTZOID, n);
	for (int i = 0; i < n; i++)
	{
		TimestampTz due_at = intents[i].not_before;
		bool		at_once = due_at == 0 || due_at <= now;

		if (channels[i] == 0)
			continue;
		if (at_once && intents[i].priority > 0)
		{
			due_at = DT_NOBEGIN;
			at_once = false;
		}
		ma_column_add(&id, Int64GetDatum(ids[i]), false);
		ma_column_add(&channel, Int32GetDatum(channels[i]), false);
		ma_column_add(&due, TimestampTzGetDatum(due_at), at_once);
	}
	if (id.n == 0)
		return;
	values[0] = ma_column_array(&id);
	values[1] = ma_column_array(&channel);
	values[2] = ma_column_array(&due);
	ma_sql_exec(&stmt, values, NULL, 0);
}

/* The id of the message that stood in the way of this one. */
static int64
existing_message(const MaIntent *intent)
{
	static MaStatement by_key = {
		"select message_id from mautomate_internal.message"
		" where idempotency_key = $1",
		1,
		{TEXTOID}};
	static MaStatement by_step = {
		"select message_id from mautomate_internal.message"
		" where enrollment_id = $1 and step = $2 and pass = $3",
		3,
		{INT8OID, TEXTOID, INT4OID}};
	Datum  values[3];
	uint64 found = 0;
	bool   isnull;

	if (intent->idempotency_key != NULL)
	{
		values[0] = CStringGetTextDatum(intent->idempotency_key);
		found = ma_sql_exec(&by_key, values, NULL, 0);
	}
	if (found == 0 && intent->enrollment_id != 0)
	{
		values[0] = Int64GetDatum(intent->enrollment_id);
		values[1] = CStringGetTextDatum(intent->step);
		values[2] = Int32GetDatum(intent->pass);
		found = ma_sql_exec(&by_step, values, NULL, 0);
	}
	if (found == 0)
		elog(ERROR, "template %d of a message not found", intent->template_id);
	return DatumGetInt64(ma_sql_datum(0, 1, &isnull));
}

/* {"context", "entry", "event"} of a message, null where there is nothing. */
static Datum
intent_data(const MaIntent *intent, bool *isnull)
{
	JsonbParseState *state = NULL;
	JsonbValue		*object;

	*isnull = intent->context == NULL && intent->entry == NULL &&
			  intent->event == NULL;
	if (*isnull)
		return (Datum) 0;
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_object(&state, "context", intent->context);
	push_object(&state, "entry", intent->entry);
	push_object(&state, "event", intent->event);
	object = pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	return JsonbPGetDatum(JsonbValueToJsonb(object));
}

/* Adds one object under its key, if there is one. */
static void
push_object(JsonbParseState **state, const char *key, Jsonb *object)
{
	JsonbValue value;

	if (object == NULL)
		return;
	value.type = jbvString;
	value.val.string.val = unconstify(char *, key);
	value.val.string.len = strlen(key);
	pushJsonbValue(state, WJB_KEY, &value);
	value.type = jbvBinary;
	value.val.binary.data = &object->root;
	value.val.binary.len = VARSIZE_ANY_EXHDR(object);
	pushJsonbValue(state, WJB_VALUE, &value);
}

/*
 * Until the end of this stretch of SQL plans go by index, whatever the
 * tables' sizes were when they were made. For set statements over messages.
 */
void
ma_outbox_use_indexes(void)
{
	static const char *const off[] = {"enable_seqscan",	  "enable_bitmapscan",
									  "enable_sort",	  "enable_hashjoin",
									  "enable_mergejoin", "jit"};

	for (int i = 0; i < lengthof(off); i++)
		(void) set_config_option(off[i], "off", PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
}

/* Makes a lease of this process, under which messages can be claimed. */
int64
ma_outbox_open_lease(void)
{
	static MaStatement stmt = {
		"insert into mautomate_internal.lease default values returning lease",
		0};
	MaSqlScope scope;
	bool	   isnull;
	int64	   lease;

	ma_sql_begin(&scope);
	ma_sql_exec(&stmt, NULL, NULL, 0);
	lease = DatumGetInt64(ma_sql_datum(0, 1, &isnull));
	ma_sql_end(&scope);
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

/*
 * Claims up to max messages of a channel that are due, stores their ids and
 * returns their number. The caller commits before it sends.
 */
int
ma_outbox_claim(MaLane *lane, int64 lease, int max, int64 *ids)
{
	static MaStatement timed = {
		"update mautomate_internal.outbox o set state = 'sending',"
		" lease = $1, attempt = o.attempt + 1,"
		" first_tried_at = coalesce(o.first_tried_at, $2)"
		" where o.ctid = any(array("
		"  select i.ctid from mautomate_internal.outbox i"
		"  where i.channel_id = $3 and i.due_at <= $2"
		"  and i.state in ('pending', 'retry', 'in_doubt')"
		"  order by i.due_at limit $4 for update skip locked))"
		" returning o.message_id",
		4,
		{INT8OID, TIMESTAMPTZOID, INT4OID, INT4OID}};
	static MaStatement fresh = {
		"update mautomate_internal.outbox o set state = 'sending',"
		" lease = $1, attempt = 1, first_tried_at = $2"
		" where o.ctid = any(array("
		"  select i.ctid from mautomate_internal.outbox i"
		"  where i.channel_id = $3 and i.message_id > $5"
		"  and i.state = 'pending' and i.due_at is null"
		"  order by i.message_id limit $4 for update skip locked))"
		" returning o.message_id",
		5,
		{INT8OID, TIMESTAMPTZOID, INT4OID, INT4OID, INT8OID}};
	MaSqlScope scope;
	int		   n;

	ma_sql_begin(&scope);
	ma_outbox_use_indexes();
	n = claim(&timed, lane, lease, max, ids);
	if (n < max)
	{
		prepare_mark(lane);
		n += claim(&fresh, lane, lease, max - n, ids + n);
		move_mark(lane);
	}
	ma_sql_end(&scope);
	return n;
}

/* Runs one of the two claims. */
static int
claim(MaStatement *stmt, MaLane *lane, int64 lease, int max, int64 *ids)
{
	Datum values[5];
	bool  isnull;
	int	  n;

	values[0] = Int64GetDatum(lease);
	values[1] = TimestampTzGetDatum(ma_now());
	values[2] = Int32GetDatum(lane->channel_id);
	values[3] = Int32GetDatum(max);
	values[4] = Int64GetDatum(lane->mark);
	n = (int) ma_sql_exec(stmt, values, NULL, 0);
	for (int i = 0; i < n; i++)
		ids[i] = DatumGetInt64(ma_sql_datum(i, 1, &isnull));
	return n;
}

/* Is there anything to claim on this lane? */
bool
ma_outbox_has_due(const MaLane *lane)
{
	static MaStatement stmt = {
		"select exists (select from mautomate_internal.outbox"
		"  where channel_id = $1 and due_at <= $2"
		"  and state in ('pending', 'retry', 'in_doubt'))"
		" or exists (select from mautomate_internal.outbox"
		"  where channel_id = $1 and message_id > $3"
		"  and state = 'pending' and due_at is null)",
		3,
		{INT4OID, TIMESTAMPTZOID, INT8OID}};
	Datum	   values[3] = {Int32GetDatum(lane->channel_id),
							TimestampTzGetDatum(ma_now()),
							Int64GetDatum(lane->mark)};
	MaSqlScope scope;
	bool	   isnull;
	bool	   due;

	ma_sql_begin(&scope);
	ma_outbox_use_indexes();
	ma_sql_exec(&stmt, values, NULL, 0);
	due = DatumGetBool(ma_sql_datum(0, 1, &isnull));
	ma_sql_end(&scope);
	return due;
}

/*
 * Chooses the next place for the mark: the highest id drawn so far, as soon
 * as those have ended who write into the outbox now.
 */
static void
prepare_mark(MaLane *lane)
{
	static MaStatement stmt = {
		"select last_value from mautomate_internal.message_message_id_seq", 0};
	VirtualTransactionId *writers;
	LOCKTAG				  tag;
	bool				  isnull;
	int64				  last;
	int					  n;

	if (lane->next_mark != 0)
		return;
	ma_sql_exec(&stmt, NULL, NULL, 0);
	last = DatumGetInt64(ma_sql_datum(0, 1, &isnull));
	if (last - lane->mark < MARK_STEP)
		return;
	SET_LOCKTAG_RELATION(tag, MyDatabaseId, outbox_relid());
	writers = GetLockConflicts(&tag, ShareLock, &n);
	lane->writers =
		MemoryContextAlloc(TopMemoryContext, (n + 1) * sizeof(*writers));
	memcpy(lane->writers, writers, (n + 1) * sizeof(*writers));
	lane->next_mark = last;
}

/* Moves the mark up to its next place, or to before what is left below. */
static void
move_mark(MaLane *lane)
{
	static MaStatement stmt = {
		"select message_id from mautomate_internal.outbox"
		" where channel_id = $1 and message_id > $2 and state = 'pending'"
		" and due_at is null order by message_id limit 1",
		2,
		{INT4OID, INT8OID}};
	Datum values[2];
	bool  isnull;

	if (lane->next_mark == 0 || !writers_ended(lane))
		return;
	values[0] = Int32GetDatum(lane->channel_id);
	values[1] = Int64GetDatum(lane->mark);
	if (ma_sql_exec(&stmt, values, NULL, 1) > 0)
		lane->next_mark = Min(lane->next_mark,
							  DatumGetInt64(ma_sql_datum(0, 1, &isnull)) - 1);
	lane->mark = lane->next_mark;
	lane->next_mark = 0;
	pfree(lane->writers);
	lane->writers = NULL;
}

/* Have all writers ended that the next mark waits for? */
static bool
writers_ended(MaLane *lane)
{
	for (VirtualTransactionId *writer = lane->writers;
		 VirtualTransactionIdIsValid(*writer); writer++)
		if (!VirtualXactLock(*writer, false))
			return false;
	return true;
}

/* Records how attempts ended, where the lease still stands. */
void
ma_outbox_finish(int64 lease, const MaFinish *results, int n)
{
	MaSqlScope scope;

	ma_sql_begin(&scope);
	ma_outbox_use_indexes();
	finish_final(lease, results, n);
	finish_again(lease, results, n);
	ma_sql_end(&scope);
}

/* Those that end here: out of the outbox, and into the lasting record. */
static void
finish_final(int64 lease, const MaFinish *results, int n)
{
	static MaStatement stmt = {
		"with gone as (delete from mautomate_internal.outbox o"
		"  using unnest($2, $3, $4, $5, $6, $7)"
		"   as r(message_id, channel_id, state, address, reason, reply)"
		"  where o.channel_id = r.channel_id"
		"  and o.message_id = r.message_id"
		"  and o.state = 'sending' and o.lease = $1"
		"  returning o.message_id, o.attempt, r.state, r.address, r.reason,"
		"   r.reply)"
		" update mautomate_internal.message m set state = g.state,"
		"  attempts = g.attempt, address = g.address, reason = g.reason,"
		"  reply = g.reply, sent_at = case when g.state = 'sent' then $8 end"
		" from gone g where m.message_id = g.message_id",
		8,
		{INT8OID, INT8ARRAYOID, INT4ARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
		 TEXTARRAYOID, TEXTARRAYOID, TIMESTAMPTZOID}};
	static const Oid		 types[] = {INT8OID, INT4OID, TEXTOID,
										TEXTOID, TEXTOID, TEXTOID};
	static const char *const names[] = {"sent", "failed", "refused"};
	MaColumn				 columns[lengthof(types)];
	Datum					 values[lengthof(types) + 2];

	for (int c = 0; c < lengthof(types); c++)
		ma_column_init(&columns[c], types[c], n);
	for (int i = 0; i < n; i++)
	{
		const MaFinish *r = &results[i];

		if (r->state > MA_FINISH_REFUSED)
			continue;
		ma_column_add(&columns[0], Int64GetDatum(r->message_id), false);
		ma_column_add(&columns[1], Int32GetDatum(r->channel_id), false);
		ma_column_add_text(&columns[2], names[r->state]);
		ma_column_add_text(&columns[3], r->address);
		ma_column_add_text(&columns[4], r->reason);
		ma_column_add_text(&columns[5], r->reply);
	}
	if (columns[0].n == 0)
		return;
	values[0] = Int64GetDatum(lease);
	for (int c = 0; c < lengthof(types); c++)
		values[c + 1] = ma_column_array(&columns[c]);
	values[lengthof(types) + 1] = TimestampTzGetDatum(ma_now());
	ma_sql_exec(&stmt, values, NULL, 0);
}

/* Those that stay in the outbox, to be tried again or set aside. */
static void
finish_again(int64 lease, const MaFinish *results, int n)
{
	static MaStatement stmt = {
		"with back as (update mautomate_internal.outbox o"
		"  set state = r.state, lease = null, due_at = r.due_at,"
		"   attempt = o.attempt - r.uncounted::int"
		"  from unnest($2, $3, $4, $5, $6, $7, $8, $9) as r(message_id,"
		"   channel_id, state, address, reason, reply, due_at, uncounted)"
		"  where o.channel_id = r.channel_id"
		"  and o.message_id = r.message_id"
		"  and o.state = 'sending' and o.lease = $1"
		"  returning o.message_id, o.attempt, r.state, r.address, r.reason,"
		"   r.reply, r.uncounted)"
		" update mautomate_internal.message m set attempts = b.attempt,"
		"  address = b.address, reason = b.reason, reply = b.reply,"
		"  in_doubt = m.in_doubt + (b.state in ('in_doubt', 'held'))::int"
		" from back b where m.message_id = b.message_id and not b.uncounted",
		9,
		{INT8OID, INT8ARRAYOID, INT4ARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
		 TEXTARRAYOID, TEXTARRAYOID, TIMESTAMPTZARRAYOID, BOOLARRAYOID}};
	static const Oid types[] = {INT8OID, INT4OID, TEXTOID,		  TEXTOID,
								TEXTOID, TEXTOID, TIMESTAMPTZOID, BOOLOID};
	static const char *const names[] = {[MA_FINISH_RETRY] = "retry",
										[MA_FINISH_IN_DOUBT] = "in_doubt",
										[MA_FINISH_HELD] = "held",
										[MA_FINISH_UNTRIED] = "retry"};
	MaColumn				 columns[lengthof(types)];
	Datum					 values[lengthof(types) + 1];

	for (int c = 0; c < lengthof(types); c++)
		ma_column_init(&columns[c], types[c], n);
	for (int i = 0; i < n; i++)
	{
		const MaFinish *r = &results[i];

		if (r->state <= MA_FINISH_REFUSED)
			continue;
		ma_column_add(&columns[0], Int64GetDatum(r->message_id), false);
		ma_column_add(&columns[1], Int32GetDatum(r->channel_id), false);
		ma_column_add_text(&columns[2], names[r->state]);
		ma_column_add_text(&columns[3], r->address);
		ma_column_add_text(&columns[4], r->reason);
		ma_column_add_text(&columns[5], r->reply);
		ma_column_add(&columns[6], TimestampTzGetDatum(r->due_at),
					  r->state == MA_FINISH_HELD);
		ma_column_add(&columns[7], BoolGetDatum(r->state == MA_FINISH_UNTRIED),
					  false);
	}
	if (columns[0].n == 0)
		return;
	values[0] = Int64GetDatum(lease);
	for (int c = 0; c < lengthof(types); c++)
		values[c + 1] = ma_column_array(&columns[c]);
	ma_sql_exec(&stmt, values, NULL, 0);
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
 * that was being sent over a network may have arrived. One that was there
 * each time its process died is set aside: it may be the cause.
 */
static int
rescue_lease(int64 lease)
{
	static MaStatement stmt = {
		"with back as (update mautomate_internal.outbox o"
		"  set lease = null, deaths = o.deaths + 1, due_at = $2::timestamptz,"
		"   state = case"
		"    when o.deaths + 1 >= $3 then 'held'"
		"    when c.transport = 'log' then 'retry'"
		"    when c.settings->>'in_doubt' = 'hold' then 'held'"
		"    else 'in_doubt' end"
		"  from mautomate_internal.channel c"
		"  where o.lease = $1 and o.state = 'sending'"
		"  and c.channel_id = o.channel_id"
		"  returning o.message_id, o.attempt,"
		"   c.transport <> 'log' as in_doubt)"
		" update mautomate_internal.message m set attempts = b.attempt,"
		"  in_doubt = m.in_doubt + b.in_doubt::int,"
		"  reason = 'the process that was sending it died'"
		" from back b where m.message_id = b.message_id",
		3,
		{INT8OID, TIMESTAMPTZOID, INT4OID}};
	static MaStatement forget = {
		"delete from mautomate_internal.lease where lease = $1", 1, {INT8OID}};
	Datum values[3] = {Int64GetDatum(lease), TimestampTzGetDatum(ma_now()),
					   Int32GetDatum(MAX_DEATHS)};
	int	  n = (int) ma_sql_exec(&stmt, values, NULL, 0);

	ma_sql_exec(&forget, values, NULL, 0);
	return n;
}

/*
 * When the next message is due that is not yet; DT_NOEND if there is none.
 * New ones (due at once) are not looked at: they wake the senders.
 */
TimestampTz
ma_outbox_next_due(void)
{
	static MaStatement stmt = {
		"select min(d.due_at) from mautomate_internal.channel c,"
		" lateral (select o.due_at from mautomate_internal.outbox o"
		"  where o.channel_id = c.channel_id and o.due_at is not null"
		"  and o.state in ('pending', 'retry', 'in_doubt')"
		"  order by o.due_at limit 1) d",
		0};
	MaSqlScope scope;
	Datum	   value;
	bool	   isnull;

	ma_sql_begin(&scope);
	ma_outbox_use_indexes();
	ma_sql_exec(&stmt, NULL, NULL, 0);
	value = ma_sql_datum(0, 1, &isnull);
	ma_sql_end(&scope);
	return isnull ? DT_NOEND : DatumGetTimestampTz(value);
}
