/*
 * liquid_value.c
 *	  Liquid: values, what they are equal to, contain and look like.
 *
 * Objects and arrays of the data are never copied: a look-up reads them where
 * they are.
 */
#include "postgres.h"

#include <ctype.h>

#include "common/int.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "liquid.h"
#include "number.h"

static bool	   is_kind_list(LqKind kind);
static bool	   empty_like(const LqValue *word, const LqValue *value);
static bool	   equal_lists(LqRender *r, const LqValue *a, const LqValue *b);
static bool	   equal_objects(LqRender *r, const LqValue *a, const LqValue *b);
static bool	   loop_property(const LqLoop *loop, const char *name, int len,
							 LqValue *result);
static bool	   list_property(const LqValue *value, const char *name, int len,
							 LqValue *result);
static LqValue pair(JsonbValue *key, JsonbValue *value);

/*
 * Constructors.
 */
LqValue
ma_liquid_nil(void)
{
	return (LqValue){.kind = LQ_NIL};
}

LqValue
ma_liquid_boolean(bool value)
{
	return (LqValue){.kind = LQ_BOOLEAN, .boolean = value};
}

LqValue
ma_liquid_integer(int64 value)
{
	return (LqValue){.kind = LQ_INTEGER, .integer = value};
}

LqValue
ma_liquid_decimal(Numeric value)
{
	return (LqValue){.kind = LQ_DECIMAL, .decimal = value};
}

LqValue
ma_liquid_string(const char *data, int len)
{
	return (LqValue){.kind = LQ_STRING, .string = {data, len}};
}

/*
 * The string in a buffer, which must not be touched any more. Too long a
 * string is an error.
 */
LqValue
ma_liquid_buffer(LqRender *r, StringInfo buffer)
{
	ma_liquid_charge(r, buffer->len);
	return ma_liquid_string(buffer->data, buffer->len);
}

/*
 * Append to a string that a filter makes. Too long a string is an error
 * before it is one too many for memory.
 */
void
ma_liquid_add(LqRender *r, StringInfo buffer, const char *s, int len)
{
	if (buffer->len + (int64) len > r->max_output)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("string of a template is longer than " INT64_FORMAT
						" bytes",
						r->max_output)));
	appendBinaryStringInfo(buffer, s, len);
}

/*
 * An empty array with room for so many items; too many are an error.
 */
LqValue
ma_liquid_array(LqRender *r, int64 room)
{
	LqValue array = {.kind = LQ_ARRAY};

	if (room > LQ_MAX_ITEMS)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("array of a template has more than %d items",
							   LQ_MAX_ITEMS)));
	ma_liquid_charge(r, room * sizeof(LqValue));
	array.array.items = palloc(Max(room, 1) * sizeof(LqValue));
	return array;
}

/*
 * Append to an array that has room.
 */
void
ma_liquid_push(LqValue *array, LqValue item)
{
	array->array.items[array->array.count++] = item;
}

/*
 * What a piece of the data is. An integer that needs more than 64 bits is a
 * decimal that prints without a point.
 */
LqValue
ma_liquid_json(JsonbValue *json)
{
	LqValue value = {.kind = LQ_NIL};
	int64	integer;

	switch (json->type)
	{
		case jbvBool:
			return ma_liquid_boolean(json->val.boolean);
		case jbvString:
			return ma_liquid_string(json->val.string.val,
									json->val.string.len);
		case jbvNumeric:
			if (ma_liquid_is_integer(json->val.numeric, &integer))
				return ma_liquid_integer(integer);
			return ma_liquid_decimal(json->val.numeric);
		case jbvBinary:
			value.kind = JsonContainerIsObject(json->val.binary.data) ?
							 LQ_OBJECT :
							 LQ_JSON_ARRAY;
			value.json = json->val.binary.data;
			return value;
		default:
			return value;
	}
}

/*
 * Everything is true but nil and false.
 */
bool
ma_liquid_true(const LqValue *value)
{
	return value->kind != LQ_NIL &&
		   !(value->kind == LQ_BOOLEAN && !value->boolean);
}

/*
 * Does it have a length, and is that 0?
 */
bool
ma_liquid_empty(const LqValue *value)
{
	switch (value->kind)
	{
		case LQ_STRING:
			return value->string.len == 0;
		case LQ_OBJECT:
			return JsonContainerSize(value->json) == 0;
		case LQ_ARRAY:
		case LQ_JSON_ARRAY:
			return ma_liquid_count(value) == 0;
		case LQ_EMPTY:
		case LQ_BLANK:
			return true;
		default:
			return false;
	}
}

/*
 * Does a value count as empty or blank, whichever the word is?
 */
static bool
empty_like(const LqValue *word, const LqValue *value)
{
	if (value->kind == LQ_EMPTY || value->kind == LQ_BLANK)
		return value->kind == word->kind;
	if (word->kind == LQ_BLANK)
	{
		if (!ma_liquid_true(value))
			return true;
		if (value->kind == LQ_STRING)
		{
			for (int i = 0; i < value->string.len; i++)
			{
				if (!isspace((unsigned char) value->string.data[i]))
					return false;
			}
			return true;
		}
	}
	return ma_liquid_empty(value);
}

/*
 * Is a value one of the kinds that have items?
 */
static bool
is_kind_list(LqKind kind)
{
	return kind == LQ_ARRAY || kind == LQ_JSON_ARRAY;
}

/*
 * a == b. Nothing is converted, but 1 is 1.0.
 */
bool
ma_liquid_equal(LqRender *r, const LqValue *a, const LqValue *b)
{
	if (a->kind == LQ_EMPTY || a->kind == LQ_BLANK)
		return empty_like(a, b);
	if (b->kind == LQ_EMPTY || b->kind == LQ_BLANK)
		return empty_like(b, a);
	if (is_kind_list(a->kind) && is_kind_list(b->kind))
		return equal_lists(r, a, b);
	if ((a->kind == LQ_INTEGER && b->kind == LQ_DECIMAL) ||
		(a->kind == LQ_DECIMAL && b->kind == LQ_INTEGER) ||
		(a->kind == LQ_DECIMAL && b->kind == LQ_DECIMAL))
		return ma_number_order(ma_liquid_numeric(a), ma_liquid_numeric(b)) ==
			   0;
	if (a->kind != b->kind)
		return false;

	switch (a->kind)
	{
		case LQ_BOOLEAN:
			return a->boolean == b->boolean;
		case LQ_INTEGER:
			return a->integer == b->integer;
		case LQ_STRING:
			return a->string.len == b->string.len &&
				   memcmp(a->string.data, b->string.data, a->string.len) == 0;
		case LQ_RANGE:
			return a->range.from == b->range.from &&
				   a->range.to == b->range.to;
		case LQ_OBJECT:
			return equal_objects(r, a, b);
		case LQ_LOOP:
			return a->loop == b->loop;
		default:
			return true;
	}
}

/*
 * Are two arrays equal, item by item?
 */
static bool
equal_lists(LqRender *r, const LqValue *a, const LqValue *b)
{
	int64 n = ma_liquid_count(a);

	check_stack_depth();
	ma_liquid_charge(r, n * sizeof(LqValue));
	if (n != ma_liquid_count(b))
		return false;
	for (int64 i = 0; i < n; i++)
	{
		LqValue x = ma_liquid_item(a, i);
		LqValue y = ma_liquid_item(b, i);

		if (!ma_liquid_equal(r, &x, &y))
			return false;
	}
	return true;
}

/*
 * Are two objects equal?
 */
static bool
equal_objects(LqRender *r, const LqValue *a, const LqValue *b)
{
	ma_liquid_charge(r, JsonContainerSize(a->json) * sizeof(LqValue));
	return a->json == b->json || compareJsonbContainers(a->json, b->json) == 0;
}

/*
 * The order of two numbers or two strings (by bytes). False if a and b have
 * none; a number and a string is a mistake.
 */
bool
ma_liquid_compare(LqRender *r, const LqValue *a, const LqValue *b, int *result)
{
	bool a_number = a->kind == LQ_INTEGER || a->kind == LQ_DECIMAL;
	bool b_number = b->kind == LQ_INTEGER || b->kind == LQ_DECIMAL;

	if (a->kind == LQ_INTEGER && b->kind == LQ_INTEGER)
		*result = (a->integer > b->integer) - (a->integer < b->integer);
	else if (a_number && b_number)
		*result = ma_number_order(ma_liquid_numeric(a), ma_liquid_numeric(b));
	else if (a->kind == LQ_STRING && b->kind == LQ_STRING)
	{
		*result = memcmp(a->string.data, b->string.data,
						 Min(a->string.len, b->string.len));
		if (*result == 0)
			*result = a->string.len - b->string.len;
	}
	else if ((a_number && b->kind == LQ_STRING) ||
			 (a->kind == LQ_STRING && b_number))
		ma_liquid_error(r, "a number cannot be compared with a string");
	else
		return false;
	return true;
}

/*
 * a contains b: a part of a string, an item of an array, a key of an object.
 */
bool
ma_liquid_contains(LqRender *r, const LqValue *a, const LqValue *b)
{
	LqValue found;

	if (!ma_liquid_true(a) || !ma_liquid_true(b))
		return false;
	if (a->kind == LQ_STRING)
	{
		LqValue part = ma_liquid_text(r, b);

		return part.string.len == 0 ||
			   memmem(a->string.data, a->string.len, part.string.data,
					  part.string.len) != NULL;
	}
	if (a->kind == LQ_OBJECT)
	{
		JsonbValue json;

		return b->kind == LQ_STRING &&
			   getKeyJsonValueFromContainer(a->json, b->string.data,
											b->string.len, &json) != NULL;
	}
	if (a->kind == LQ_RANGE)
		return b->kind == LQ_INTEGER && b->integer >= a->range.from &&
			   b->integer <= a->range.to;
	if (!is_kind_list(a->kind))
		return false;

	ma_liquid_charge(r, ma_liquid_count(a) * sizeof(LqValue));
	for (int64 i = 0; i < ma_liquid_count(a); i++)
	{
		found = ma_liquid_item(a, i);
		if (ma_liquid_equal(r, &found, b))
			return true;
	}
	return false;
}

/*
 * Is it an array or a range?
 */
bool
ma_liquid_listable(const LqValue *value)
{
	return is_kind_list(value->kind) || value->kind == LQ_RANGE;
}

/*
 * How many items an array or range has.
 */
int64
ma_liquid_count(const LqValue *value)
{
	int64 n;

	switch (value->kind)
	{
		case LQ_ARRAY:
			return value->array.count;
		case LQ_JSON_ARRAY:
			return JsonContainerSize(value->json);
		case LQ_RANGE:
			if (value->range.to < value->range.from)
				return 0;
			if (pg_sub_s64_overflow(value->range.to, value->range.from, &n) ||
				pg_add_s64_overflow(n, 1, &n))
				return PG_INT64_MAX;
			return n;
		default:
			return 0;
	}
}

/*
 * The item at a place that is there; negative ones are not.
 */
LqValue
ma_liquid_item(const LqValue *value, int64 i)
{
	JsonbValue *json;

	switch (value->kind)
	{
		case LQ_ARRAY:
			return value->array.items[i];
		case LQ_JSON_ARRAY:
			json = getIthJsonbValueFromContainer(value->json, i);
			return json ? ma_liquid_json(json) : ma_liquid_nil();
		case LQ_RANGE:
			return ma_liquid_integer(value->range.from + i);
		default:
			return ma_liquid_nil();
	}
}

/*
 * What for goes over: the items of an array or range, the pairs of an object,
 * a string as a whole.
 */
LqValue
ma_liquid_items(LqRender *r, const LqValue *value)
{
	LqValue			   array;
	JsonbIterator	  *iterator;
	JsonbIteratorToken token;
	JsonbValue		   key;
	JsonbValue		   json;

	if (ma_liquid_listable(value))
		return *value;
	if (value->kind == LQ_STRING)
	{
		array = ma_liquid_array(r, 1);
		if (value->string.len > 0)
			ma_liquid_push(&array, *value);
		return array;
	}
	if (value->kind != LQ_OBJECT)
		return ma_liquid_array(r, 0);

	array = ma_liquid_array(r, JsonContainerSize(value->json));
	iterator = JsonbIteratorInit(value->json);
	while ((token = JsonbIteratorNext(&iterator, &key, true)) != WJB_DONE)
	{
		if (token != WJB_KEY)
			continue;
		JsonbIteratorNext(&iterator, &json, true);
		ma_liquid_push(&array, pair(&key, &json));
	}
	return array;
}

/*
 * The array [key, value].
 */
static LqValue
pair(JsonbValue *key, JsonbValue *value)
{
	LqValue array = {.kind = LQ_ARRAY};

	array.array.items = palloc(2 * sizeof(LqValue));
	ma_liquid_push(&array, ma_liquid_json(key));
	ma_liquid_push(&array, ma_liquid_json(value));
	return array;
}

/*
 * Look up value.name. False if there is no such thing.
 */
bool
ma_liquid_property(const LqValue *value, const char *name, int len,
				   LqValue *result)
{
	JsonbValue json;

	switch (value->kind)
	{
		case LQ_OBJECT:
			if (getKeyJsonValueFromContainer(value->json, name, len, &json))
			{
				*result = ma_liquid_json(&json);
				return true;
			}
			return list_property(value, name, len, result);
		case LQ_LOOP:
			return loop_property(value->loop, name, len, result);
		case LQ_STRING:
		case LQ_ARRAY:
		case LQ_JSON_ARRAY:
		case LQ_RANGE:
			return list_property(value, name, len, result);
		default:
			return false;
	}
}

/*
 * Look up size, first and last.
 */
static bool
list_property(const LqValue *value, const char *name, int len, LqValue *result)
{
	int64 n;

	if (len == 4 && strncmp(name, "size", 4) == 0)
	{
		if (value->kind == LQ_STRING)
			n = pg_mbstrlen_with_len(value->string.data, value->string.len);
		else if (value->kind == LQ_OBJECT)
			n = JsonContainerSize(value->json);
		else
			n = ma_liquid_count(value);
		*result = ma_liquid_integer(n);
		return true;
	}
	if (len == 5 && strncmp(name, "first", 5) == 0)
		*result = ma_liquid_end(value, false);
	else if (len == 4 && strncmp(name, "last", 4) == 0 &&
			 value->kind != LQ_OBJECT)
		*result = ma_liquid_end(value, true);
	else
		return false;
	return true;
}

/*
 * The first or last item: of a string a character, of an object the first
 * pair. Nil where there is none.
 */
LqValue
ma_liquid_end(const LqValue *value, bool last)
{
	if (value->kind == LQ_STRING && value->string.len > 0)
	{
		const char *p = value->string.data;
		const char *end = p + value->string.len;

		while (last && p + pg_mblen(p) < end)
			p += pg_mblen(p);
		return ma_liquid_string(p, pg_mblen(p));
	}
	if (value->kind == LQ_OBJECT && JsonContainerSize(value->json) > 0 &&
		!last)
	{
		JsonbIterator *iterator = JsonbIteratorInit(value->json);
		JsonbValue	   key;
		JsonbValue	   json;

		JsonbIteratorNext(&iterator, &json, true);
		JsonbIteratorNext(&iterator, &key, true);
		JsonbIteratorNext(&iterator, &json, true);
		return pair(&key, &json);
	}
	if (ma_liquid_count(value) > 0)
		return ma_liquid_item(value, last ? ma_liquid_count(value) - 1 : 0);
	return ma_liquid_nil();
}

/*
 * Look up a property of forloop or tablerowloop.
 */
static bool
loop_property(const LqLoop *loop, const char *name, int len, LqValue *result)
{
	int64 i = loop->index0;
	int64 n = loop->length;
	int64 col = loop->cols > 0 ? i % loop->cols : 0;
	const struct
	{
		const char *name;
		LqValue		value;
	} properties[] = {
		{"length", ma_liquid_integer(n)},
		{"index", ma_liquid_integer(i + 1)},
		{"index0", ma_liquid_integer(i)},
		{"rindex", ma_liquid_integer(n - i)},
		{"rindex0", ma_liquid_integer(n - i - 1)},
		{"first", ma_liquid_boolean(i == 0)},
		{"last", ma_liquid_boolean(i == n - 1)},
		{"name", ma_liquid_string(loop->name, loop->namelen)},
		{"parentloop",
		 {.kind = loop->parent ? LQ_LOOP : LQ_NIL, .loop = loop->parent}},
		/* from here on only of tablerowloop */
		{"col", ma_liquid_integer(col + 1)},
		{"col0", ma_liquid_integer(col)},
		{"col_first", ma_liquid_boolean(col == 0)},
		{"col_last", ma_liquid_boolean(col == loop->cols - 1)},
		{"row", ma_liquid_integer(loop->cols > 0 ? i / loop->cols + 1 : 1)},
	};
	int count = loop->cols > 0 ? lengthof(properties) : 9;

	for (int p = 0; p < count; p++)
	{
		if (strlen(properties[p].name) == len &&
			strncmp(properties[p].name, name, len) == 0)
		{
			*result = properties[p].value;
			return true;
		}
	}
	return false;
}
