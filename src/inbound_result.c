/*
 * inbound_result.c
 *	  What came back, as JSON: properties of events, results of functions.
 */
#include "postgres.h"

#include "inbound_store.h"
#include "json.h"

/* Adds a text under its key, unless there is none. */
static void
add_text(JsonbParseState **state, const char *key, const char *text)
{
	if (text != NULL && *text != '\0')
		ma_json_text(state, key, text);
}

/* Adds a truth value under its key. */
static void
add_bool(JsonbParseState **state, const char *key, bool truth)
{
	JsonbValue value = {.type = jbvBool};

	ma_json_key(state, key);
	value.val.boolean = truth;
	pushJsonbValue(state, WJB_VALUE, &value);
}

/* Adds a number under its key, unless it is 0. */
static void
add_number(JsonbParseState **state, const char *key, int64 number)
{
	if (number != 0)
		ma_json_number(state, key, number);
}

/* Adds what events and results have in common. */
static void
add_common(JsonbParseState **state, const MaInboundEvent *event)
{
	bool report =
		event->kind == MA_INBOUND_BOUNCE || event->kind == MA_INBOUND_DELAYED;

	add_number(state, "message_id", event->target.message_id);
	add_text(state, "template", event->target.template);
	add_text(state, "channel", event->target.channel);
	add_text(state, "address", event->target.address);
	add_text(state, "status", event->status);
	add_text(state, "reason", event->reason);
	add_text(state, "detail", event->detail);
	add_text(state, "subject", event->subject);
	add_text(state, "text", event->text);
	if (report)
		add_bool(state, "hard", event->hard);
}

/* The properties of the event. */
Jsonb *
ma_inbound_properties(const MaInboundEvent *event)
{
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	add_common(&state, event);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/* What the functions tell of it. */
Jsonb *
ma_inbound_result(const MaInboundEvent *event)
{
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	add_text(&state, "kind", ma_inbound_kind_name(event->kind));
	add_common(&state, event);
	add_text(&state, "external_id", event->target.external_id);
	add_text(&state, "event", event->event);
	add_number(&state, "event_id", event->event_id);
	add_bool(&state, "repeated", event->repeated);
	add_bool(&state, "suppressed", event->suppressed);
	if (event->kind == MA_INBOUND_SUBSCRIBE)
		add_bool(&state, "unsuppressed", event->released);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/* What a mail is taken for. */
Jsonb *
ma_inbound_describe(const MaInbound *mail)
{
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	add_text(&state, "kind", ma_inbound_kind_name(mail->kind));
	add_text(&state, "sender", mail->sender);
	add_text(&state, "subject", mail->subject);
	add_text(&state, "text", mail->text);
	add_text(&state, "feedback", mail->feedback);
	add_number(&state, "references", mail->nreferences);
	ma_json_key(&state, "recipients");
	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < mail->nrecipients; i++)
	{
		const MaInboundRecipient *recipient = &mail->recipients[i];

		pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
		add_text(&state, "kind", ma_inbound_kind_name(recipient->kind));
		add_text(&state, "address", recipient->address);
		add_text(&state, "original", recipient->original);
		add_text(&state, "status", recipient->status);
		add_text(&state, "reason", recipient->reason);
		add_text(&state, "detail", recipient->detail);
		add_bool(&state, "hard", recipient->hard);
		pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	}
	pushJsonbValue(&state, WJB_END_ARRAY, NULL);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}
