/*
 * argument.c
 *	  Arguments of SQL functions, checked.
 *
 * The functions that users call are not strict: a null where something is
 * needed is a mistake to be told, not a null to be returned.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "argument.h"

/* Names are shown in reports and typed by hand. */
#define NAME_MAX_CHARACTERS 100

/* Bytes of a key of the user's. */
#define KEY_MAX 1000

/* Raises an error where argument i (from 0) is null. */
void
ma_argument_not_null(FunctionCallInfo fcinfo, int i, const char *name)
{
	if (PG_ARGISNULL(i))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("argument \"%s\" must not be null", name)));
}

/* A text argument that must be there. */
char *
ma_argument_text(FunctionCallInfo fcinfo, int i, const char *name)
{
	ma_argument_not_null(fcinfo, i, name);
	return text_to_cstring(PG_GETARG_TEXT_PP(i));
}

/* A text argument, NULL for null. */
char *
ma_argument_text_or_null(FunctionCallInfo fcinfo, int i)
{
	return PG_ARGISNULL(i) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(i));
}

/*
 * The name of something to define: not empty, of a length that can be shown,
 * without control characters and without space at its ends.
 */
char *
ma_argument_name(FunctionCallInfo fcinfo, int i, const char *name)
{
	char *value = ma_argument_text(fcinfo, i, name);
	int	  length = pg_mbstrlen(value);
	bool  control = false;

	for (const char *p = value; *p != '\0'; p++)
		control |= (unsigned char) *p < ' ' || *p == 0x7f;
	if (length == 0 || length > NAME_MAX_CHARACTERS || control ||
		value[0] == ' ' || value[strlen(value) - 1] == ' ')
		ereport(ERROR, (errcode(ERRCODE_INVALID_NAME),
						errmsg("\"%s\" cannot be a name", value),
						errdetail("A name has 1 to %d characters, no control "
								  "characters, and no space at its ends.",
								  NAME_MAX_CHARACTERS)));
	return value;
}

/* A jsonb argument that is an object; null is an empty one. */
Jsonb *
ma_argument_object(FunctionCallInfo fcinfo, int i, const char *name)
{
	Jsonb *value;

	if (PG_ARGISNULL(i))
		return DatumGetJsonbP(
			DirectFunctionCall1(jsonb_in, CStringGetDatum("{}")));
	value = PG_GETARG_JSONB_P(i);
	if (!JB_ROOT_IS_OBJECT(value) || JB_ROOT_IS_SCALAR(value))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("argument \"%s\" must be a JSON object", name),
						errhint("Write it like '{\"key\": \"value\"}'.")));
	return value;
}

/*
 * The argument "priority": which of the messages that are due is sent first;
 * null is 0.
 */
int
ma_argument_priority(FunctionCallInfo fcinfo, int i)
{
	int value = PG_ARGISNULL(i) ? 0 : PG_GETARG_INT32(i);

	if (value < -9 || value > 9)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("argument \"%s\" must be a whole number from "
							   "-9 to 9",
							   "priority"),
						errhint("What is higher is sent first; 0 is "
								"normal.")));
	return value;
}

/* A key that makes something happen once goes into an index. */
void
ma_argument_check_key(const char *key, const char *name)
{
	if (key != NULL && strlen(key) > KEY_MAX)
		ereport(ERROR, (errcode(ERRCODE_STRING_DATA_RIGHT_TRUNCATION),
						errmsg("%s is longer than %d bytes", name, KEY_MAX),
						errhint("Use its md5().")));
}
