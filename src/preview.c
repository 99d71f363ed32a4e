/*
 * preview.c
 *	  What a template would say to somebody.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "argument.h"
#include "contact.h"
#include "json.h"
#include "sql.h"
#include "template_store.h"

PG_FUNCTION_INFO_V1(mautomate_preview_template);

static Jsonb *data_of(FunctionCallInfo fcinfo);
static void	  push_files(JsonbParseState **state, const MaRendered *said);

/* preview_template(template, who, context, entry, event, locale) -> jsonb */
Datum
mautomate_preview_template(PG_FUNCTION_ARGS)
{
	int	   id = ma_template_named(ma_argument_text(fcinfo, 0, "template"));
	Jsonb *data = data_of(fcinfo);
	JsonbParseState *state = NULL;
	MaRendered		 said;

	ma_template_say(id, 0, data, true, &said);
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	ma_json_text(&state, "subject", said.subject);
	ma_json_text(&state, "html", said.html);
	ma_json_text(&state, "body", said.body);
	push_files(&state, &said);
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
