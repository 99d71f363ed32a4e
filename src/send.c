/*
 * send.c
 *	  What users do with messages by hand: send, cancel, send again.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "argument.h"
#include "clock.h"
#include "contact.h"
#include "outbox.h"
#include "sql.h"
#include "template_store.h"
#include "wake.h"

PG_FUNCTION_INFO_V1(mautomate_send);
PG_FUNCTION_INFO_V1(mautomate_cancel_message);
PG_FUNCTION_INFO_V1(mautomate_resend_message);

/* A message, its row in the outbox locked. */
typedef struct Found
{
	int	  channel_id;
	int	  priority;
	char *state; /* in the outbox; NULL: no row there */
} Found;

static Found find(int64 message_id);
static void	 refuse_sending(int64 message_id, const Found *found);

/* send(who, template, context, not_before, idempotency_key, priority) */
Datum
mautomate_send(PG_FUNCTION_ARGS)
{
	MaIntent intent = {0};
	char	*who = ma_argument_text(fcinfo, 0, "who");
	int64	 message_id;

	intent.template_id =
		ma_template_to_send(ma_argument_text(fcinfo, 1, "template"));
	intent.context = ma_argument_object(fcinfo, 2, "context");
	if (!PG_ARGISNULL(3))
		intent.not_before = PG_GETARG_TIMESTAMPTZ(3);
	else
		intent.not_before = DT_NOBEGIN;
	if (intent.not_before == DT_NOEND)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("argument \"%s\" must not be infinity",
							   "not_before")));
	intent.idempotency_key = ma_argument_text_or_null(fcinfo, 4);
	ma_argument_check_key(intent.idempotency_key, "idempotency_key");
	intent.has_priority = !PG_ARGISNULL(5);
	intent.priority = ma_argument_priority(fcinfo, 5);
	if (JB_ROOT_COUNT(intent.context) == 0)
		intent.context = NULL;
	intent.contact_id = ma_contact_resolve(who, false);
	ma_outbox_enqueue(&intent, 1, &message_id);
	PG_RETURN_INT64(message_id);
}

/* cancel_message(message_id) -> boolean */
Datum
mautomate_cancel_message(PG_FUNCTION_ARGS)
{
	static MaStatement stmt = {
		"with gone as (delete from mautomate_internal.outbox"
		"  where channel_id = $2 and priority = $3 and message_id = $1"
		"  returning attempt)"
		" update mautomate_internal.message m set state = 'cancelled',"
		"  attempts = gone.attempt from gone where m.message_id = $1",
		3,
		{INT8OID, INT4OID, INT4OID}};
	Datum	   values[3];
	MaSqlScope scope;
	Found	   found;

	ma_argument_not_null(fcinfo, 0, "message_id");
	values[0] = Int64GetDatum(PG_GETARG_INT64(0));
	ma_sql_begin(&scope);
	found = find(PG_GETARG_INT64(0));
	refuse_sending(PG_GETARG_INT64(0), &found);
	values[1] = Int32GetDatum(found.channel_id);
	values[2] = Int32GetDatum(found.priority);
	if (found.state != NULL)
		ma_sql_exec(&stmt, values, NULL, 0);
	ma_sql_end(&scope);
	PG_RETURN_BOOL(found.state != NULL);
}

/* resend_message(message_id) -> boolean */
Datum
mautomate_resend_message(PG_FUNCTION_ARGS)
{
	static MaStatement again = {
		"update mautomate_internal.outbox"
		" set state = 'retry', due_at = $4, deaths = 0,"
		" waits = null where channel_id = $2"
		" and priority = $3 and message_id = $1",
		4,
		{INT8OID, INT4OID, INT4OID, TIMESTAMPTZOID}};
	static MaStatement anew = {
		"with m as (update mautomate_internal.message"
		"  set state = 'pending', sent_at = null, reason = null, reply = null"
		"  where message_id = $1 returning message_id, attempts)"
		" insert into mautomate_internal.outbox"
		" (message_id, channel_id, priority, due_at, attempt, state)"
		" select message_id, $2, $3, $4, attempts, 'retry' from m"
		" on conflict do nothing",
		4,
		{INT8OID, INT4OID, INT4OID, TIMESTAMPTZOID}};
	Datum	   values[4];
	MaSqlScope scope;
	Found	   found;
	bool	   waits;

	ma_argument_not_null(fcinfo, 0, "message_id");
	values[0] = Int64GetDatum(PG_GETARG_INT64(0));
	ma_sql_begin(&scope);
	ma_outbox_lock();
	found = find(PG_GETARG_INT64(0));
	refuse_sending(PG_GETARG_INT64(0), &found);
	values[1] = Int32GetDatum(found.channel_id);
	values[2] = Int32GetDatum(found.priority);
	values[3] = TimestampTzGetDatum(ma_now());
	waits = found.state != NULL && strcmp(found.state, "pending") == 0;
	if (!waits)
		ma_sql_exec(found.state != NULL ? &again : &anew, values, NULL, 0);
	ma_sql_end(&scope);
	if (!waits)
		ma_wake_senders_at_commit();
	PG_RETURN_BOOL(!waits);
}

/*
 * Finds a message; an unknown id is the user's error. Locks in the order of
 * the senders: the row in the outbox first.
 */
static Found
find(int64 message_id)
{
	static MaStatement record = {
		"select channel_id, priority::int from mautomate_internal.message"
		" where message_id = $1",
		1,
		{INT8OID}};
	static MaStatement waiting = {
		"select state from mautomate_internal.outbox"
		" where channel_id = $2 and priority = $3 and message_id = $1"
		" for update",
		3,
		{INT8OID, INT4OID, INT4OID}};
	Datum values[3] = {Int64GetDatum(message_id)};
	Found found = {0};
	bool  isnull;

	if (ma_sql_exec(&record, values, NULL, 0) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("message " INT64_FORMAT " does not exist", message_id),
				 errhint("The view mautomate.messages lists the "
						 "messages.")));
	found.channel_id = DatumGetInt32(ma_sql_datum(0, 1, &isnull));
	found.priority = DatumGetInt32(ma_sql_datum(0, 2, &isnull));
	values[1] = Int32GetDatum(found.channel_id);
	values[2] = Int32GetDatum(found.priority);
	if (ma_sql_exec(&waiting, values, NULL, 0) > 0)
		found.state = ma_sql_text(0, 1);
	return found;
}

/* Nobody can interfere with a message that is being sent. */
static void
refuse_sending(int64 message_id, const Found *found)
{
	if (found->state != NULL && strcmp(found->state, "sending") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("message " INT64_FORMAT " is being sent", message_id),
				 errhint("Try again in a moment.")));
}
