/*
 * json.c
 *	  JSON objects, written pair by pair and read by key.
 */
#include "postgres.h"

#include "utils/numeric.h"

#include "json.h"

/* A string as it is pushed. */
static void
set_string(JsonbValue *value, const char *text)
{
	value->type = jbvString;
	value->val.string.val = pstrdup(text);
	value->val.string.len = strlen(text);
}

/* Writes a key; the value has to follow. */
void
ma_json_key(JsonbParseState **state, const char *key)
{
	JsonbValue value;

	set_string(&value, key);
	pushJsonbValue(state, WJB_KEY, &value);
}

/* Writes a key and a text; nothing if the text is NULL. */
void
ma_json_text(JsonbParseState **state, const char *key, const char *text)
{
	JsonbValue value;

	if (text == NULL)
		return;
	ma_json_key(state, key);
	set_string(&value, text);
	pushJsonbValue(state, WJB_VALUE, &value);
}

/* Writes a key and a number. */
void
ma_json_number(JsonbParseState **state, const char *key, int64 number)
{
	JsonbValue value = {.type = jbvNumeric};

	ma_json_key(state, key);
	value.val.numeric = int64_to_numeric(number);
	pushJsonbValue(state, WJB_VALUE, &value);
}

/* Writes a key and any value; NULL is a JSON null. */
void
ma_json_value(JsonbParseState **state, const char *key, Jsonb *json)
{
	JsonbValue value = {.type = jbvNull};

	ma_json_key(state, key);
	if (json != NULL)
		JsonbToJsonbValue(json, &value);
	pushJsonbValue(state, WJB_VALUE, &value);
}

/* See json.h. */
char *
ma_json_text_of(Jsonb *data, const char *object, const char *key)
{
	JsonbValue inner;
	JsonbValue text;

	if (getKeyJsonValueFromContainer(&data->root, object, strlen(object),
									 &inner) == NULL ||
		inner.type != jbvBinary ||
		!JsonContainerIsObject(inner.val.binary.data) ||
		getKeyJsonValueFromContainer(inner.val.binary.data, key, strlen(key),
									 &text) == NULL ||
		text.type != jbvString)
		return NULL;
	return pnstrdup(text.val.string.val, text.val.string.len);
}
