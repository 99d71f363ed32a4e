/*
 * letter_request.c
 *	  A message of an http channel, as the request that carries it.
 *
 * The channel says how: its templates see what the message's own template has
 * said as message.subject, message.body and so on. What a contact is called
 * can change no structure: texts become JSON strings, outputs in an URL are
 * encoded, a line end in a header is an error.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "clock.h"
#include "json.h"
#include "letter_request.h"
#include "liquid.h"
#include "payload.h"

static Jsonb	  *data_of(const MaOutgoing *outgoing);
static Jsonb	  *concat(Jsonb *a, Jsonb *b);
static void		   add_header(MaLetterRequest *request, const char *name,
							  const char *value);
static Jsonb	  *json_of(const MaOutgoing *outgoing, const MaPayload *body,
						   Jsonb *data, const MaTemplateOptions *options);
static const char *write_body(const MaOutgoing *outgoing, Jsonb *data,
							  const MaTemplateOptions *options,
							  MaLetterRequest		  *request);
static void		   write_form(StringInfo body, Jsonb *form);
static char		  *utf8(const char *text);

/*
 * Makes the request, in the current context. A mistake in a template's data
 * is an error.
 */
void
ma_letter_request(const MaOutgoing *outgoing, MaLetterRequest *request)
{
	const MaChannelHttp *http = &outgoing->channel->http;
	Jsonb				*data = data_of(outgoing);
	MaTemplateOptions	 options = {.strict = outgoing->strict};
	const char			*type;
	bool				 typed = false;

	options.zone = ma_timezone();
	options.now = ma_now();
	request->method = http->method;
	initStringInfo(&request->headers);
	initStringInfo(&request->body);
	type = write_body(outgoing, data, &options, request);
	for (int i = 0; i < http->header_count; i++)
	{
		add_header(request, http->header_names[i],
				   ma_template_render(http->header_values[i], data, &options));
		typed =
			typed || pg_strcasecmp(http->header_names[i], "Content-Type") == 0;
	}
	if (type != NULL && !typed)
		add_header(request, "Content-Type", type);
	if (outgoing->key != NULL)
		add_header(request, "Idempotency-Key", outgoing->key);
	options.url = true;
	request->url = http->url == NULL ?
					   pstrdup("") :
					   utf8(ma_template_render(http->url, data, &options));
}

/* What the templates of the channel see. */
static Jsonb *
data_of(const MaOutgoing *outgoing)
{
	const MaRendered *said = outgoing->said;
	JsonbParseState	 *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	ma_json_key(&state, "message");
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	ma_json_number(&state, "id", outgoing->message_id);
	ma_json_text(&state, "idempotency_key", outgoing->key);
	ma_json_number(&state, "attempt", outgoing->attempt);
	ma_json_text(&state, "to", outgoing->to);
	ma_json_text(&state, "template", outgoing->template);
	ma_json_text(&state, "subject", said->subject);
	ma_json_text(&state, "body", said->body);
	ma_json_text(&state, "html", said->html);
	ma_json_value(&state, "payload", said->payload);
	pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	ma_json_value(&state, "channel", outgoing->channel->settings);
	return concat(outgoing->data, JsonbValueToJsonb(pushJsonbValue(
									  &state, WJB_END_OBJECT, NULL)));
}

/* The keys of both; of the second where both have one. */
static Jsonb *
concat(Jsonb *a, Jsonb *b)
{
	return DatumGetJsonbP(DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(a),
											  JsonbPGetDatum(b)));
}

/* Adds a header; an empty one is none. */
static void
add_header(MaLetterRequest *request, const char *name, const char *value)
{
	if (*value == '\0')
		return;
	for (const char *c = value; *c != '\0'; c++)
		if ((unsigned char) *c < ' ' || *c == 0x7f)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("header \"%s\" holds a control character", name)));
	appendStringInfo(&request->headers, "%s%s: %s",
					 request->headers.len > 0 ? "\n" : "", name, utf8(value));
}

/* The channel's JSON with the template's payload over it; NULL: none. */
static Jsonb *
json_of(const MaOutgoing *outgoing, const MaPayload *body, Jsonb *data,
		const MaTemplateOptions *options)
{
	Jsonb *payload = outgoing->said->payload;
	Jsonb *json;

	if (body == NULL)
		return payload;
	json = ma_payload_render(body, data, options);
	if (payload == NULL)
		return json;
	return JB_ROOT_IS_OBJECT(json) && JB_ROOT_IS_OBJECT(payload) ?
			   concat(json, payload) :
			   payload;
}

/* Writes the body; returns of which type it is, NULL if there is none. */
static const char *
write_body(const MaOutgoing *outgoing, Jsonb *data,
		   const MaTemplateOptions *options, MaLetterRequest *request)
{
	const MaChannelHttp *http = &outgoing->channel->http;
	Jsonb				*json;

	if (http->text != NULL)
	{
		appendStringInfoString(
			&request->body,
			utf8(ma_template_render(http->text, data, options)));
		return "text/plain; charset=utf-8";
	}
	if (http->form != NULL)
	{
		json = json_of(outgoing, http->form, data, options);
		write_form(&request->body, json);
		return "application/x-www-form-urlencoded";
	}
	json = json_of(outgoing, http->body, data, options);
	if (json == NULL)
		return NULL;
	appendStringInfoString(
		&request->body,
		utf8(JsonbToCString(NULL, &json->root, VARSIZE(json))));
	return "application/json";
}

/* Writes the fields of a form; what is null is left out. */
static void
write_form(StringInfo body, Jsonb *form)
{
	JsonbIterator	  *it = JsonbIteratorInit(&form->root);
	JsonbIteratorToken token;
	JsonbValue		   value;

	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		char *name;
		char *text;

		if (token != WJB_KEY)
			continue;
		name = utf8(pnstrdup(value.val.string.val, value.val.string.len));
		(void) JsonbIteratorNext(&it, &value, true);
		if (value.type == jbvNull)
			continue;
		if (value.type == jbvString)
			text = pnstrdup(value.val.string.val, value.val.string.len);
		else
			text = JsonbToCString(NULL, &JsonbValueToJsonb(&value)->root, 0);
		if (body->len > 0)
			appendStringInfoChar(body, '&');
		ma_liquid_append_url(body, name, strlen(name), "+");
		appendStringInfoChar(body, '=');
		text = utf8(text);
		ma_liquid_append_url(body, text, strlen(text), "+");
	}
}

/* The text in UTF-8, or itself. */
static char *
utf8(const char *text)
{
	return pg_server_to_any(text, strlen(text), PG_UTF8);
}
