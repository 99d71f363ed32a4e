/*
 * preview.c
 *	  What a template would say to somebody.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "argument.h"
#include "channel.h"
#include "contact.h"
#include "json.h"
#include "link.h"
#include "letter_request.h"
#include "sql.h"
#include "template_store.h"

PG_FUNCTION_INFO_V1(mautomate_preview_template);

static Jsonb *data_of(FunctionCallInfo fcinfo);
static void	  push_files(JsonbParseState **state, const MaRendered *said);
static void	 push_request(JsonbParseState **state, const MaOutgoing *outgoing);
static char *text_of(const char *utf8);

/* preview_template(template, who, context, entry, event, locale) -> jsonb */
Datum
mautomate_preview_template(PG_FUNCTION_ARGS)
{
	char			*name = ma_argument_text(fcinfo, 0, "template");
	int				 id = ma_template_named(name);
	Jsonb			*data = data_of(fcinfo);
	JsonbParseState *state = NULL;
	MaOutgoing		 outgoing = {0};
	MaRendered		 said;
	MaLinks			 links;
	int				 channel_id;

	channel_id = ma_template_find(id, 0)->channel_id;
	if (channel_id != 0)
		data = ma_link_add(ma_channel_find(channel_id), 0, 0, data, &links);
	ma_template_say(id, 0, data, true, &said);
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	ma_json_text(&state, "subject", said.subject);
	ma_json_text(&state, "html", said.html);
	ma_json_text(&state, "body", said.body);
	if (said.payload != NULL)
		ma_json_value(&state, "payload", said.payload);
	push_files(&state, &said);
	outgoing.template = name;
	outgoing.data = said.data;
	outgoing.said = &said;
	if (channel_id != 0)
		outgoing.channel = ma_channel_find(channel_id);
	if (channel_id != 0 && outgoing.channel->transport == MA_CHANNEL_HTTP)
		push_request(&state, &outgoing);
	PG_RETURN_JSONB_P(
		JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}

/* What the template may use, in the current context. */
static Jsonb *
data_of(FunctionCallInfo fcinfo)
{
	static MaStatement stmt = {
		"select jsonb_build_object('contact',"
		" mautomate_internal.contact_object(c)"
		"  || case when $5 is null then '{}'"
		"     else jsonb_build_object('locale', $5) end,"
		" 'context', $2::jsonb, 'entry', $3::jsonb, 'event', $4::jsonb)"
		" from mautomate.contact c where contact_id = $1",
		5,
		{INT8OID, JSONBOID, JSONBOID, JSONBOID, TEXTOID}};
	static const char *const names[] = {"context", "entry", "event"};
	int64					 contact_id =
		ma_contact_resolve(ma_argument_text(fcinfo, 1, "who"), false);
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext spi;
	Datum		  values[5] = {Int64GetDatum(contact_id)};
	char		  nulls[] = "     ";
	MaSqlScope	  scope;
	bool		  isnull;
	Jsonb		 *data;

	for (int i = 0; i < lengthof(names); i++)
		values[1 + i] =
			JsonbPGetDatum(ma_argument_object(fcinfo, 2 + i, names[i]));
	if (PG_ARGISNULL(5))
		nulls[4] = 'n';
	else
		values[4] = PG_GETARG_DATUM(5);
	ma_sql_begin(&scope);
	if (ma_sql_read(&stmt, values, nulls, 0) == 0)
		elog(ERROR, "contact " INT64_FORMAT " not found", contact_id);
	spi = MemoryContextSwitchTo(caller);
	data = DatumGetJsonbPCopy(ma_sql_datum(0, 1, &isnull));
	MemoryContextSwitchTo(spi);
	ma_sql_end(&scope);
	return data;
}

/* Adds the files, by name, type and size in bytes, if there are any. */
static void
push_files(JsonbParseState **state, const MaRendered *said)
{
	if (said->nfiles == 0)
		return;
	ma_json_key(state, "attachments");
	pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < said->nfiles; i++)
	{
		const MaMailFile *file = &said->files[i];

		pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
		ma_json_text(state, "name", file->name);
		ma_json_text(state, "type", file->type);
		ma_json_text(state, "content_id", file->content_id);
		ma_json_number(state, "bytes", file->length);
		pushJsonbValue(state, WJB_END_OBJECT, NULL);
	}
	pushJsonbValue(state, WJB_END_ARRAY, NULL);
}

/*
 * Adds what would go over the wire, without what only files hold. The message
 * has no number yet.
 */
static void
push_request(JsonbParseState **state, const MaOutgoing *outgoing)
{
	MaOutgoing		copy = *outgoing;
	MaLetterRequest request;

	copy.key = "0";
	copy.attempt = 1;
	copy.to = ma_json_text_of(outgoing->data, "contact",
							  outgoing->channel->recipient);
	ma_letter_request(&copy, &request);
	ma_json_key(state, "request");
	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	ma_json_text(state, "method", request.method);
	ma_json_text(state, "url", text_of(request.url));
	ma_json_text(state, "headers", text_of(request.headers.data));
	ma_json_text(state, "body", text_of(request.body.data));
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

/* A text of a request in the encoding of the database. */
static char *
text_of(const char *utf8)
{
	return pg_any_to_server(utf8, strlen(utf8), PG_UTF8);
}
