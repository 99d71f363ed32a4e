/*
 * outbox.c
 *	  The messages to be sent: asked for.
 *
 * A message is two rows under one id. The row in message is the lasting
 * record, written when it is asked for and when it reaches a final state. The
 * row in outbox exists as long as there is something to do:
 *
 *		pending -> sending -> (gone: sent, failed, refused)
 *					|	 `-> retry, in_doubt -> sending ...
 *					`------> held
 *
 * Who claims (outbox_claim.c) makes a row sending under a lease (lease.h) and
 * commits; the result is recorded (outbox_finish.c) only where the lease
 * still stands. Rows of a lease whose holder is dead are rescued by whoever
 * comes along: each may or may not have arrived, and the channel says what
 * happens then.
 *
 * The planner is told to use the indexes: these plans are made once, when the
 * tables are still empty.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "batch.h"
#include "clock.h"
#include "json.h"
#include "outbox.h"
#include "sql.h"
#include "wake.h"

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
	INTENT_PASS,
	INTENT_PRIORITY
} IntentColumn;

/* Where a new message belongs. */
typedef struct Place
{
	int channel_id; /* 0: it is not new */
	int priority;
} Place;

#define INTENT_COLUMNS (INTENT_PRIORITY + 1)

static void	 draw_ids(int n, int64 *ids);
static void	 insert_messages(const MaIntent *intents, int n, const int64 *ids,
							 Place *places);
static void	 insert_outbox(const MaIntent *intents, int n, const int64 *ids,
						   const Place *places);
static int64 existing_message(const MaIntent *intent);
static Datum intent_data(const MaIntent *intent, bool *isnull);
static void	 push_object(JsonbParseState **state, const char *key,
						 Jsonb *object);

/*
 * Puts messages into the outbox in this transaction and stores their ids. A
 * message that exists already, by idempotency key or by enrolment, step and
 * pass, is not made again: its first id is returned.
 */
void
ma_outbox_enqueue(const MaIntent *intents, int n, int64 *message_ids)
{
	MaSqlScope scope;
	Place	  *places;
	bool	   any = false;

	if (n == 0)
		return;
	ma_sql_begin(&scope);
	ma_outbox_lock();
	places = palloc0(n * sizeof(Place));
	draw_ids(n, message_ids);
	insert_messages(intents, n, message_ids, places);
	insert_outbox(intents, n, message_ids, places);
	for (int i = 0; i < n; i++)
	{
		if (places[i].channel_id == 0)
			message_ids[i] = existing_message(&intents[i]);
		else
			any = true;
	}
	ma_sql_end(&scope);
	if (any)
		ma_wake_senders_at_commit();
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

/* Stores the lasting records; places stays 0 for those that exist. */
static void
insert_messages(const MaIntent *intents, int n, const int64 *ids,
				Place *places)
{
	static const Oid   types[INTENT_COLUMNS] = {INT8OID,  INT8OID, INT4OID,
												JSONBOID, TEXTOID, INT8OID,
												TEXTOID,  INT4OID, INT4OID};
	static MaStatement stmt = {
		"insert into mautomate_internal.message (message_id, contact_id,"
		" template_id, version, channel_id, enqueued_at, data,"
		" idempotency_key, enrollment_id, step, pass, priority)"
		" select r.message_id, r.contact_id, t.template_id, t.version,"
		"  v.channel_id, $10, r.data, r.key, r.enrollment_id, r.step, r.pass,"
		"  coalesce(r.priority, v.priority)"
		" from unnest($1, $2, $3, $4, $5, $6, $7, $8, $9) with ordinality"
		"  as r(message_id, contact_id, template_id, data, key,"
		"   enrollment_id, step, pass, priority, n)"
		" join mautomate_internal.template t using (template_id)"
		" join mautomate_internal.template_version v"
		"  using (template_id, version)"
		" order by r.n"
		" on conflict do nothing"
		" returning message_id, channel_id, priority::int",
		10,
		{INT8ARRAYOID, INT8ARRAYOID, INT4ARRAYOID, JSONBARRAYOID, TEXTARRAYOID,
		 INT8ARRAYOID, TEXTARRAYOID, INT4ARRAYOID, INT4ARRAYOID,
		 TIMESTAMPTZOID}};
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
		ma_column_add(&columns[INTENT_PRIORITY], Int32GetDatum(in->priority),
					  !in->has_priority);
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
		places[i].channel_id = DatumGetInt32(ma_sql_datum(row, 2, &isnull));
		places[i].priority = DatumGetInt32(ma_sql_datum(row, 3, &isnull));
	}
}

/* Puts those that were stored (their place is not 0) into the outbox. */
static void
insert_outbox(const MaIntent *intents, int n, const int64 *ids,
			  const Place *places)
{
	static MaStatement stmt = {
		"insert into mautomate_internal.outbox"
		" (message_id, channel_id, priority, due_at)"
		" select * from unnest($1, $2, $3, $4)",
		4,
		{INT8ARRAYOID, INT4ARRAYOID, INT4ARRAYOID, TIMESTAMPTZARRAYOID}};
	static const Oid types[] = {INT8OID, INT4OID, INT4OID, TIMESTAMPTZOID};
	MaColumn		 columns[lengthof(types)];
	TimestampTz		 now = ma_now();
	Datum			 values[lengthof(types)];

	for (int c = 0; c < lengthof(types); c++)
		ma_column_init(&columns[c], types[c], n);
	for (int i = 0; i < n; i++)
	{
		TimestampTz due_at = intents[i].not_before;

		if (places[i].channel_id == 0)
			continue;
		ma_column_add(&columns[0], Int64GetDatum(ids[i]), false);
		ma_column_add(&columns[1], Int32GetDatum(places[i].channel_id), false);
		ma_column_add(&columns[2], Int32GetDatum(places[i].priority), false);
		ma_column_add(&columns[3], TimestampTzGetDatum(due_at),
					  due_at == 0 || due_at <= now);
	}
	if (columns[0].n == 0)
		return;
	for (int c = 0; c < lengthof(types); c++)
		values[c] = ma_column_array(&columns[c]);
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
	if (object != NULL)
		ma_json_value(state, key, object);
}

/*
 * Says that this transaction may write into the outbox, before it draws an id
 * or reads the time of a message; see outbox_claim.c.
 */
void
ma_outbox_lock(void)
{
	LockRelationOid(
		get_relname_relid("outbox",
						  get_namespace_oid("mautomate_internal", false)),
		RowExclusiveLock);
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
