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
#include "sql.h"
#include "template_store.h"

PG_FUNCTION_INFO_V1(mautomate_preview_template);

static Jsonb *data_of(int64 contact_id, Jsonb *context, Jsonb *entry,
					  Jsonb *event);
static void	  push_text(JsonbParseState **state, const char *key,
						const char *value);

/* preview_template(template, who, context, entry, event) -> jsonb */
Datum
mautomate_preview_template(PG_FUNCTION_ARGS)
{
	int	  id = ma_template_named(ma_argument_text(fcinfo, 0, "template"));
	int64 contact_id =
		ma_contact_resolve(ma_argument_text(fcinfo, 1, "who"), false);
	JsonbParseState *state = NULL;
	MaRendered		 said;
	Jsonb			*data;

	data = data_of(contact_id, ma_argument_object(fcinfo, 2, "context"),
				   ma_argument_object(fcinfo, 3, "entry"),
				   ma_argument_object(fcinfo, 4, "event"));
	ma_template_say(ma_template_find(id, 0), data, true, &said);
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_text(&state, "subject", said.subject);
	push_text(&state, "html", said.html);
	push_text(&state, "body", said.body);
	PG_RETURN_JSONB_P(
		JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}

/* What the template may use, in the current context. */
static Jsonb *
data_of(int64 contact_id, Jsonb *context, Jsonb *entry, Jsonb *event)
{
	static MaStatement stmt = {
		"select jsonb_build_object('contact',"
		" mautomate_internal.contact_object(c), 'context', $2::jsonb,"
		" 'entry', $3::jsonb, 'event', $4::jsonb)"
		" from mautomate.contact c where contact_id = $1",
		4,
		{INT8OID, JSONBOID, JSONBOID, JSONBOID}};
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext spi;
	Datum		  values[4];
	MaSqlScope	  scope;
	bool		  isnull;
	Jsonb		 *data;

	values[0] = Int64GetDatum(contact_id);
	values[1] = JsonbPGetDatum(context);
	values[2] = JsonbPGetDatum(entry);
	values[3] = JsonbPGetDatum(event);
	ma_sql_begin(&scope);
	if (ma_sql_read(&stmt, values, NULL, 0) == 0)
		elog(ERROR, "contact " INT64_FORMAT " not found", contact_id);
	spi = MemoryContextSwitchTo(caller);
	data = DatumGetJsonbPCopy(ma_sql_datum(0, 1, &isnull));
	MemoryContextSwitchTo(spi);
	ma_sql_end(&scope);
	return data;
}

/* Adds a text under its key, if there is one. */
static void
push_text(JsonbParseState **state, const char *key, const char *value)
{
	JsonbValue pair;

	if (value == NULL)
		return;
	pair.type = jbvString;
	pair.val.string.val = unconstify(char *, key);
	pair.val.string.len = strlen(key);
	pushJsonbValue(state, WJB_KEY, &pair);
	pair.val.string.val = unconstify(char *, value);
	pair.val.string.len = strlen(value);
	pushJsonbValue(state, WJB_VALUE, &pair);
}
