/*
 * kind.c
 *	  Declared kinds of events and the types of their properties.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "attribute.h"
#include "event.h"
#include "json.h"
#include "sql.h"

PG_FUNCTION_INFO_V1(mautomate_define_event);

static Jsonb *check_properties(Jsonb *properties);
static char	 *type_name(const char *property, JsonbValue *value);

/* define_event(kind text, properties jsonb, description text) -> text */
Datum
mautomate_define_event(PG_FUNCTION_ARGS)
{
	static MaStatement same = {
		"select from mautomate_internal.event_kind where kind = $1"
		" and properties = $2 and description is not distinct from $3",
		3,
		{TEXTOID, JSONBOID, TEXTOID}};
	static MaStatement upsert = {
		"insert into mautomate_internal.event_kind as k"
		" (kind, properties, description) values ($1, $2, $3)"
		" on conflict (kind) do update set properties = excluded.properties,"
		" description = excluded.description"
		" returning k.xmax = 0",
		3,
		{TEXTOID, JSONBOID, TEXTOID}};
	Datum		values[3];
	char		nulls[4] = "   ";
	const char *result = "unchanged";
	MaSqlScope	scope;
	bool		isnull;

	ma_event_check_kind(
		PG_ARGISNULL(0) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(0)));
	values[0] = PG_GETARG_DATUM(0);
	values[1] = JsonbPGetDatum(
		check_properties(PG_ARGISNULL(1) ? NULL : PG_GETARG_JSONB_P(1)));
	values[2] = PG_ARGISNULL(2) ? (Datum) 0 : PG_GETARG_DATUM(2);
	nulls[2] = PG_ARGISNULL(2) ? 'n' : ' ';
	ma_sql_begin(&scope);
	if (ma_sql_exec(&same, values, nulls, 1) == 0)
	{
		ma_sql_exec(&upsert, values, nulls, 0);
		result =
			DatumGetBool(ma_sql_datum(0, 1, &isnull)) ? "created" : "changed";
	}
	ma_sql_end(&scope);
	PG_RETURN_TEXT_P(cstring_to_text(result));
}

/* Checks a map of property names to types; types get their usual names. */
static Jsonb *
check_properties(Jsonb *properties)
{
	JsonbParseState *state = NULL;
	JsonbIterator	*it;
	JsonbValue		 key;
	JsonbValue		 value;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	if (properties != NULL && !JB_ROOT_IS_OBJECT(properties))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("properties must be a JSON object"),
						errhint("Write {\"amount\": \"numeric\", ...}.")));
	if (properties != NULL)
	{
		it = JsonbIteratorInit(&properties->root);
		(void) JsonbIteratorNext(&it, &key, true);
		while (JsonbIteratorNext(&it, &key, true) == WJB_KEY)
		{
			char *name = pnstrdup(key.val.string.val, key.val.string.len);

			(void) JsonbIteratorNext(&it, &value, true);
			ma_json_text(&state, name, type_name(name, &value));
		}
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/* The usual name of the type given for a property. */
static char *
type_name(const char *property, JsonbValue *value)
{
	Oid type;

	if (value->type != jbvString)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("the type of property \"%s\" must be a string",
							   property),
						errhint("Write {\"%s\": \"numeric\"}.", property)));
	type = DatumGetObjectId(DirectFunctionCall1(
		regtypein, CStringGetDatum(pnstrdup(value->val.string.val,
											value->val.string.len))));
	ma_attribute_check_type(property, type);
	return format_type_be(type);
}
