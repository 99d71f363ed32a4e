/*
 * inbound_store.c
 *	  What came back, matched to our messages and recorded.
 *
 * A message is known again by its Message-ID, which holds its number and the
 * microsecond it was made: only who got it can name it. Where none comes
 * back, by the address: the newest message that went there in the last 30
 * days. Whoever we sent nothing to is a stranger, and nothing is done.
 *
 * Recording is an event of the contact, stored once by its dedupe key; all
 * else is done only when the event was new. Locks are taken in the order of
 * the house: dedupe key, contact's state, outbox.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "event.h"
#include "guc.h"
#include "inbound_store.h"
#include "sql.h"

/* So long after a message an answer without its Message-ID is matched. */
#define RECENT (30 * USECS_PER_DAY)

/* What is known of a message; its FROM clause follows. */
#define TARGET_COLUMNS                                                  \
	"select m.message_id, coalesce(p.contact_id, 0), m.channel_id,"     \
	" p.external_id, t.name, h.name, coalesce(m.address,"               \
	" mautomate_internal.recipient_address(p, h.recipient))"            \
	" from mautomate_internal.message m"                                \
	" join mautomate_internal.template t using (template_id)"           \
	" join mautomate_internal.channel h on h.channel_id = m.channel_id" \
	" left join mautomate.contact c on c.contact_id = m.contact_id"     \
	" left join mautomate.contact p"                                    \
	"  on p.contact_id = coalesce(c.merged_into, c.contact_id)"

static bool find(MaStatement *stmt, Datum *values, MaInboundTarget *target);
static const char *event_kind(MaInboundKind kind);
static bool		   store_event(MaInboundEvent *event);
static const char *suppression_reason(const MaInboundEvent *event);
static int	count_events(const MaInboundEvent *event, TimestampTz since);
static bool release(const char *address);
static void keep_reply(const MaInboundEvent *event);
static void settle(const MaInboundEvent *event);

/* Finds the message that a Message-ID names. */
bool
ma_inbound_find_reference(const MaInboundReference *reference,
						  MaInboundTarget		   *target)
{
	static MaStatement stmt = {
		TARGET_COLUMNS " where m.message_id = $1 and m.enqueued_at = $2",
		2,
		{INT8OID, TIMESTAMPTZOID}};
	Datum values[2] = {Int64GetDatum(reference->message_id),
					   TimestampTzGetDatum(reference->enqueued_at)};

	return find(&stmt, values, target);
}

/*
 * Finds the newest message that went to an address lately, through a channel
 * (0: any).
 */
bool
ma_inbound_find_address(const char *address, int channel_id,
						MaInboundTarget *target)
{
	static MaStatement stmt = {
		TARGET_COLUMNS
		" where m.contact_id in (select contact_id from mautomate.contact"
		"  where lower(email) = lower($1) union all"
		"  select contact_id from mautomate.contact where phone = $1)"
		" and lower(m.address) = lower($1) and m.enqueued_at > $2"
		" and ($3 = 0 or m.channel_id = $3)"
		" order by m.message_id desc limit 1",
		3,
		{TEXTOID, TIMESTAMPTZOID, INT4OID}};
	Datum values[3] = {CStringGetTextDatum(address),
					   TimestampTzGetDatum(ma_now() - RECENT),
					   Int32GetDatum(channel_id)};

	return find(&stmt, values, target);
}

/*
 * Finds the message of a channel that a gateway means: by the id that it gave
 * it, else by the number that we gave it.
 */
bool
ma_inbound_find_provided(int channel_id, const char *provider_id,
						 MaInboundTarget *target)
{
	static MaStatement by_provider = {
		TARGET_COLUMNS " where m.channel_id = $1 and m.provider_id = $2",
		2,
		{INT4OID, TEXTOID}};
	static MaStatement by_number = {
		TARGET_COLUMNS
		" where m.channel_id = $1 and m.message_id = $2::bigint",
		2,
		{INT4OID, TEXTOID}};
	Datum values[2] = {Int32GetDatum(channel_id),
					   CStringGetTextDatum(provider_id)};
	Size  len = strlen(provider_id);

	if (find(&by_provider, values, target))
		return true;
	return len > 0 && len <= 18 && strspn(provider_id, "0123456789") == len &&
		   find(&by_number, values, target);
}

/* Makes a contact the target, without a message. */
void
ma_inbound_find_contact(int64 contact_id, MaInboundTarget *target)
{
	static MaStatement stmt = {
		"select external_id from mautomate.contact where contact_id = $1",
		1,
		{INT8OID}};
	MemoryContext caller = CurrentMemoryContext;
	Datum		  values[1] = {Int64GetDatum(contact_id)};
	MaSqlScope	  scope;

	ma_sql_begin(&scope);
	if (ma_sql_exec(&stmt, values, NULL, 1) > 0)
	{
		target->contact_id = contact_id;
		MemoryContextSwitchTo(caller);
		target->external_id = ma_sql_text(0, 1);
	}
	ma_sql_end(&scope);
	MemoryContextSwitchTo(caller);
}

/* Runs one of the searches; the target's texts are made in this context. */
static bool
find(MaStatement *stmt, Datum *values, MaInboundTarget *target)
{
	MemoryContext caller = CurrentMemoryContext;
	MaSqlScope	  scope;
	bool		  isnull;
	bool		  found;

	ma_sql_begin(&scope);
	found = ma_sql_exec(stmt, values, NULL, 1) > 0;
	if (found)
	{
		target->message_id = DatumGetInt64(ma_sql_datum(0, 1, &isnull));
		target->contact_id = DatumGetInt64(ma_sql_datum(0, 2, &isnull));
		target->channel_id = DatumGetInt32(ma_sql_datum(0, 3, &isnull));
		MemoryContextSwitchTo(caller);
		target->external_id = ma_sql_text(0, 4);
		target->template = ma_sql_text(0, 5);
		target->channel = ma_sql_text(0, 6);
		target->address = ma_sql_text(0, 7);
	}
	ma_sql_end(&scope);
	MemoryContextSwitchTo(caller);
	return found;
}

/*
 * Records what came back: the event, and where that is new, what follows from
 * it for the message and the address. What is about nobody is left alone.
 */
void
ma_inbound_record(MaInboundEvent *event)
{
	const char *reason;

	event->event = event_kind(event->kind);
	if (event->target.message_id == 0 && event->target.contact_id == 0)
		event->event = NULL;
	else if (!store_event(event))
		return;
	reason = event->target.address == NULL ? NULL : suppression_reason(event);
	if (reason != NULL)
		event->suppressed = ma_inbound_suppress(event->target.address, reason);
	if (event->kind == MA_INBOUND_SUBSCRIBE && event->target.address != NULL)
		event->released = release(event->target.address);
	if (event->target.message_id == 0)
		return;
	if (event->kind == MA_INBOUND_BOUNCE ||
		event->kind == MA_INBOUND_COMPLAINT)
		keep_reply(event);
	settle(event);
}

/* The kind of the event that a contact gets; NULL: none. */
static const char *
event_kind(MaInboundKind kind)
{
	switch (kind)
	{
		case MA_INBOUND_BOUNCE:
			return "bounced";
		case MA_INBOUND_DELIVERED:
			return "delivered";
		case MA_INBOUND_COMPLAINT:
			return "complained";
		case MA_INBOUND_AUTO_REPLY:
			return "auto_replied";
		case MA_INBOUND_UNSUBSCRIBE:
			return "unsubscribed";
		case MA_INBOUND_SUBSCRIBE:
			return "resubscribed";
		case MA_INBOUND_REPLY:
			return "replied";
		case MA_INBOUND_DELAYED:
		case MA_INBOUND_OTHER:
			break;
	}
	return NULL;
}

/* Stores the event; false if the same came before. */
static bool
store_event(MaInboundEvent *event)
{
	MaEventRow row = {0};

	if (event->target.contact_id == 0)
		event->event = NULL;
	if (event->event == NULL)
		return true;
	row.contact_id = event->target.contact_id;
	row.kind = event->event;
	row.occurred_at = ma_now();
	row.properties = ma_inbound_properties(event);
	row.dedupe_key = event->dedupe_key;
	event->repeated = ma_event_store(&row, 1) == 0;
	event->event_id = event->repeated ? ma_event_first(&row) : row.event_id;
	return !event->repeated;
}

/* Why the address is to be suppressed now, NULL if it is not. */
static const char *
suppression_reason(const MaInboundEvent *event)
{
	int			limit;
	TimestampTz since = DT_NOBEGIN;

	if (event->kind == MA_INBOUND_UNSUBSCRIBE)
		return "unsubscribed";
	if (event->kind == MA_INBOUND_COMPLAINT)
		limit = ma_guc_complaints;
	else if (event->kind != MA_INBOUND_BOUNCE)
		return NULL;
	else if (event->hard)
		limit = ma_guc_hard_bounces;
	else
	{
		limit = ma_guc_soft_bounces;
		since = ma_now() - ma_guc_soft_bounce_days * USECS_PER_DAY;
	}
	if (limit == 0 || (limit > 1 && count_events(event, since) < limit))
		return NULL;
	if (event->kind == MA_INBOUND_COMPLAINT)
		return "complaint";
	return event->hard ? "hard bounce" : "soft bounces";
}

/* How many messages came back from this address like this one, with it. */
static int
count_events(const MaInboundEvent *event, TimestampTz since)
{
	static MaStatement stmt = {
		"select count(distinct properties->>'message_id')::int"
		" from mautomate.event where contact_id = $1 and kind = $2"
		" and occurred_at > $3"
		" and lower(properties->>'address') = lower($4)"
		" and properties->>'hard' is not distinct from $5",
		5,
		{INT8OID, TEXTOID, TIMESTAMPTZOID, TEXTOID, TEXTOID}};
	char	   nulls[] = "     ";
	MaSqlScope scope;
	Datum	   values[5];
	bool	   isnull;
	int		   count;

	values[0] = Int64GetDatum(event->target.contact_id);
	values[1] = CStringGetTextDatum(event_kind(event->kind));
	values[2] = TimestampTzGetDatum(since);
	values[3] = CStringGetTextDatum(event->target.address);
	values[4] = CStringGetTextDatum(event->hard ? "true" : "false");
	if (event->kind != MA_INBOUND_BOUNCE)
		nulls[4] = 'n';
	ma_sql_begin(&scope);
	ma_sql_exec(&stmt, values, nulls, 0);
	count = DatumGetInt32(ma_sql_datum(0, 1, &isnull));
	ma_sql_end(&scope);
	return count;
}

/* Suppresses an address; true if that is new. */
bool
ma_inbound_suppress(const char *address, const char *reason)
{
	static MaStatement stmt = {
		"insert into mautomate_internal.suppression"
		" values (mautomate_internal.address_hash($1), $2, $3)"
		" on conflict (address_hash) do nothing",
		3,
		{TEXTOID, TEXTOID, TIMESTAMPTZOID}};
	Datum	   values[3] = {CStringGetTextDatum(address),
							CStringGetTextDatum(reason),
							TimestampTzGetDatum(ma_now())};
	MaSqlScope scope;
	bool	   added;

	ma_sql_begin(&scope);
	added = ma_sql_exec(&stmt, values, NULL, 0) > 0;
	ma_sql_end(&scope);
	return added;
}

/*
 * Lets messages go to an address again whose owner had unsubscribed; what is
 * suppressed for another reason stays so. True if it was.
 */
static bool
release(const char *address)
{
	static MaStatement stmt = {
		"delete from mautomate_internal.suppression"
		" where address_hash = mautomate_internal.address_hash($1)"
		" and reason = 'unsubscribed'",
		1,
		{TEXTOID}};
	Datum	   values[1] = {CStringGetTextDatum(address)};
	MaSqlScope scope;
	bool	   removed;

	ma_sql_begin(&scope);
	removed = ma_sql_exec(&stmt, values, NULL, 0) > 0;
	ma_sql_end(&scope);
	return removed;
}

/* Writes onto the message what came of it; it stays sent. */
static void
keep_reply(const MaInboundEvent *event)
{
	static MaStatement stmt = {
		"update mautomate_internal.message set reply = $2"
		" where message_id = $1",
		2,
		{INT8OID, TEXTOID}};
	const char *detail = event->detail != NULL ? event->detail : event->reason;
	Datum		values[2];
	MaSqlScope	scope;

	values[0] = Int64GetDatum(event->target.message_id);
	values[1] = CStringGetTextDatum(
		psprintf("%s: %s", event_kind(event->kind), detail ? detail : ""));
	ma_sql_begin(&scope);
	ma_sql_exec(&stmt, values, NULL, 0);
	ma_sql_end(&scope);
}

/* A message in doubt has arrived, now that something came back of it. */
static void
settle(const MaInboundEvent *event)
{
	static MaStatement stmt = {
		"with gone as (delete from mautomate_internal.outbox o"
		"  using mautomate_internal.message m"
		"  where m.message_id = $2 and o.channel_id = $1"
		"  and o.priority = m.priority and o.message_id = $2"
		"  and o.state in ('in_doubt', 'held')"
		"  returning o.message_id, o.attempt)"
		" update mautomate_internal.message m set state = 'sent',"
		"  attempts = g.attempt, sent_at = $3"
		" from gone g where m.message_id = g.message_id",
		3,
		{INT4OID, INT8OID, TIMESTAMPTZOID}};
	Datum	   values[3] = {Int32GetDatum(event->target.channel_id),
							Int64GetDatum(event->target.message_id),
							TimestampTzGetDatum(ma_now())};
	MaSqlScope scope;

	ma_sql_begin(&scope);
	ma_sql_exec(&stmt, values, NULL, 0);
	ma_sql_end(&scope);
}
