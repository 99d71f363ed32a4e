/*
 * liquid_convert.c
 *	  Liquid: values as text and as numbers.
 */
#include "postgres.h"

#include <ctype.h>

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "liquid.h"

static void	   inspect_list(StringInfo out, const LqValue *value);
static void	   inspect_object(StringInfo out, const LqValue *value);
static LqValue parse_number(const char *s, const char *end);
static void	   inspect(StringInfo out, const LqValue *value);

/*
 * A value as a string; arrays and objects as they are inspected.
 */
LqValue
ma_liquid_text(LqRender *r, const LqValue *value)
{
	StringInfoData buffer;

	if (value->kind == LQ_STRING)
		return *value;
	if (value->kind == LQ_NIL)
		return ma_liquid_string("", 0);
	initStringInfo(&buffer);
	if ((value->kind == LQ_ARRAY || value->kind == LQ_JSON_ARRAY))
		inspect(&buffer, value);
	else
		ma_liquid_append(&buffer, value);
	return ma_liquid_buffer(r, &buffer);
}

/*
 * Append a value as an output shows it: the items of an array one after the
 * other.
 */
void
ma_liquid_append(StringInfo out, const LqValue *value)
{
	check_stack_depth();
	switch (value->kind)
	{
		case LQ_BOOLEAN:
			appendStringInfoString(out, value->boolean ? "true" : "false");
			break;
		case LQ_INTEGER:
			appendStringInfo(out, INT64_FORMAT, value->integer);
			break;
		case LQ_DECIMAL:
			appendStringInfoString(
				out, DatumGetCString(DirectFunctionCall1(
						 numeric_out, NumericGetDatum(value->decimal))));
			break;
		case LQ_STRING:
			appendBinaryStringInfo(out, value->string.data, value->string.len);
			break;
		case LQ_RANGE:
			appendStringInfo(out, INT64_FORMAT ".." INT64_FORMAT,
							 value->range.from, value->range.to);
			break;
		case LQ_ARRAY:
		case LQ_JSON_ARRAY:
			for (int64 i = 0; i < ma_liquid_count(value); i++)
			{
				LqValue item = ma_liquid_item(value, i);

				ma_liquid_append(out, &item);
			}
			break;
		case LQ_OBJECT:
			inspect(out, value);
			break;
		case LQ_NIL:
		case LQ_LOOP:
		case LQ_EMPTY:
		case LQ_BLANK:
			break;
	}
}

/*
 * Append a value as one looks at it in a program.
 */
static void
inspect(StringInfo out, const LqValue *value)
{
	check_stack_depth();
	if (value->kind == LQ_STRING)
	{
		appendStringInfoChar(out, '"');
		for (int i = 0; i < value->string.len; i++)
		{
			if (strchr("\"\\", value->string.data[i]))
				appendStringInfoChar(out, '\\');
			appendStringInfoChar(out, value->string.data[i]);
		}
		appendStringInfoChar(out, '"');
	}
	else if (value->kind == LQ_NIL)
		appendStringInfoString(out, "nil");
	else if ((value->kind == LQ_ARRAY || value->kind == LQ_JSON_ARRAY))
		inspect_list(out, value);
	else if (value->kind == LQ_OBJECT)
		inspect_object(out, value);
	else
		ma_liquid_append(out, value);
}

/*
 * Append the items of an array, with a comma in between.
 */
static void
inspect_list(StringInfo out, const LqValue *value)
{
	appendStringInfoChar(out, '[');
	for (int64 i = 0; i < ma_liquid_count(value); i++)
	{
		LqValue item = ma_liquid_item(value, i);

		if (i > 0)
			appendStringInfoString(out, ", ");
		inspect(out, &item);
	}
	appendStringInfoChar(out, ']');
}

/*
 * Append the keys and values of an object.
 */
static void
inspect_object(StringInfo out, const LqValue *value)
{
	JsonbIterator	  *iterator = JsonbIteratorInit(value->json);
	JsonbIteratorToken token;
	JsonbValue		   json;
	LqValue			   part;

	appendStringInfoChar(out, '{');
	while ((token = JsonbIteratorNext(&iterator, &json, true)) != WJB_DONE)
	{
		if (token != WJB_KEY && token != WJB_VALUE)
			continue;
		if (token == WJB_VALUE)
			appendStringInfoString(out, "=>");
		else if (out->data[out->len - 1] != '{')
			appendStringInfoString(out, ", ");
		part = ma_liquid_json(&json);
		inspect(out, &part);
	}
	appendStringInfoChar(out, '}');
}

/*
 * Append text with the five characters that mean something in HTML escaped.
 */
void
ma_liquid_append_escaped(StringInfo out, const char *s, int len)
{
	const char *end = s + len;
	const char *from = s;

	for (; s < end; s++)
	{
		const char *entity;

		switch (*s)
		{
			case '&':
				entity = "&amp;";
				break;
			case '<':
				entity = "&lt;";
				break;
			case '>':
				entity = "&gt;";
				break;
			case '"':
				entity = "&quot;";
				break;
			case '\'':
				entity = "&#39;";
				break;
			default:
				continue;
		}
		appendBinaryStringInfo(out, from, s - from);
		appendStringInfoString(out, entity);
		from = s + 1;
	}
	appendBinaryStringInfo(out, from, end - from);
}

/*
 * A value as a number: strings that start with an integer or are a decimal
 * count, all else is 0.
 */
LqValue
ma_liquid_number(const LqValue *value)
{
	const char *s;
	const char *end;

	if (value->kind == LQ_INTEGER || value->kind == LQ_DECIMAL)
		return *value;
	if (value->kind != LQ_STRING)
		return ma_liquid_integer(0);

	s = value->string.data;
	end = s + value->string.len;
	while (s < end && isspace((unsigned char) *s))
		s++;
	while (s < end && isspace((unsigned char) end[-1]))
		end--;
	return parse_number(s, end);
}

/*
 * Read a number that is all of the text, or the integer it starts with.
 */
static LqValue
parse_number(const char *s, const char *end)
{
	const char *p = s;
	const char *fraction;
	int64		integer;
	char	   *text;

	if (p < end && (*p == '-' || *p == '+'))
		p++;
	while (p < end && isdigit((unsigned char) *p))
		p++;
	if (p == s || !isdigit((unsigned char) p[-1]))
		return ma_liquid_integer(0);

	fraction = p;
	if (p < end && *p == '.')
	{
		for (p++; p < end && isdigit((unsigned char) *p);)
			p++;
	}
	if (p != end || p == fraction + 1)
		p = fraction;
	text = pnstrdup(s, p - s);
	errno = 0;
	integer = strtoll(text, NULL, 10);
	if (p == fraction && errno == 0)
		return ma_liquid_integer(integer);
	return ma_liquid_decimal(DatumGetNumeric(
		DirectFunctionCall3(numeric_in, CStringGetDatum(text),
							ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1))));
}

/*
 * A number as numeric.
 */
Numeric
ma_liquid_numeric(const LqValue *value)
{
	return value->kind == LQ_DECIMAL ? value->decimal :
									   int64_to_numeric(value->integer);
}

/*
 * Is this written without a fraction, and does it fit 64 bits?
 */
bool
ma_liquid_is_integer(Numeric number, int64 *integer)
{
	char *text;

	text = DatumGetCString(
		DirectFunctionCall1(numeric_out, NumericGetDatum(number)));
	errno = 0;
	*integer = strtoll(text, NULL, 10);
	return errno == 0 && strchr(text, '.') == NULL;
}

/*
 * An argument that must be an integer; strings that look like one will do.
 */
int64
ma_liquid_to_integer(LqRender *r, const LqValue *value)
{
	LqValue number = ma_liquid_number(value);

	if (value->kind == LQ_DECIMAL)
		return ma_liquid_truncated(value);
	if (number.kind == LQ_INTEGER && value->kind == LQ_STRING)
	{
		char *text = pnstrdup(value->string.data, value->string.len);
		char *end;

		strtoll(text, &end, 10);
		if (end == text || *end != '\0')
			number.kind = LQ_NIL;
	}
	else
		number.kind = value->kind;
	if (number.kind != LQ_INTEGER)
		ma_liquid_error(r, "an integer is needed");
	return number.integer;
}

/*
 * A value as an integer, by leaving out what is no part of one; the nearest
 * there is for what needs more than 64 bits.
 */
int64
ma_liquid_truncated(const LqValue *value)
{
	LqValue number = ma_liquid_number(value);
	Datum	truncated;
	int64	integer;

	if (number.kind == LQ_INTEGER)
		return number.integer;
	truncated = DirectFunctionCall2(
		numeric_trunc, NumericGetDatum(number.decimal), Int32GetDatum(0));
	if (ma_liquid_is_integer(DatumGetNumeric(truncated), &integer))
		return integer;
	return DatumGetBool(DirectFunctionCall2(
			   numeric_lt, truncated, NumericGetDatum(int64_to_numeric(0)))) ?
			   PG_INT64_MIN :
			   PG_INT64_MAX;
}
