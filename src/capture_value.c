/*
 * capture_value.c
 *	  Values of the application's columns as JSON and as times.
 *
 * PostgreSQL's own to_jsonb() calls casts that users make; these conversions
 * call nothing but output functions, which only a superuser can make.
 */
#include "postgres.h"

#include "access/transam.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "capture_value.h"

static void set_string(JsonbValue *result, char *string);
static void set_number(JsonbValue *result, Datum value, Oid type);
static void set_jsonb(JsonbValue *result, Jsonb *jsonb);

/*
 * A value as JSON: numbers, booleans and JSON as such, times as ISO 8601,
 * arrays of built-in types as arrays, all else (and with as_text everything)
 * as the string that its type prints.
 */
void
ma_capture_json(Datum value, Oid type, bool as_text, JsonbValue *result)
{
	Oid	 base = getBaseType(type);
	Oid	 element = get_element_type(base);
	Oid	 output;
	bool varlena;

	if (as_text)
		base = InvalidOid;
	switch (base)
	{
		case BOOLOID:
			result->type = jbvBool;
			result->val.boolean = DatumGetBool(value);
			return;
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case FLOAT4OID:
		case FLOAT8OID:
		case NUMERICOID:
			set_number(result, value, base);
			return;
		case JSONBOID:
			set_jsonb(result, DatumGetJsonbPCopy(value));
			return;
		case JSONOID:
			value = DirectFunctionCall1(
				jsonb_in, CStringGetDatum(TextDatumGetCString(value)));
			set_jsonb(result, DatumGetJsonbP(value));
			return;
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			set_string(result, JsonEncodeDateTime(palloc(MAXDATELEN + 1),
												  value, base, NULL));
			return;
		case TEXTOID:
		case VARCHAROID:
			set_string(result, TextDatumGetCString(value));
			return;
	}
	if (!as_text && OidIsValid(element) && element < FirstGenbkiObjectId)
	{
		value = DirectFunctionCall1(array_to_json, value);
		value = DirectFunctionCall1(
			jsonb_in, CStringGetDatum(TextDatumGetCString(value)));
		set_jsonb(result, DatumGetJsonbP(value));
		return;
	}
	getTypeOutputInfo(type, &output, &varlena);
	set_string(result, OidOutputFunctionCall(output, value));
}

/* Makes it a string, which is not copied. */
static void
set_string(JsonbValue *result, char *string)
{
	result->type = jbvString;
	result->val.string.val = string;
	result->val.string.len = strlen(string);
}

/* Makes it a number; a string where it is none that JSON knows. */
static void
set_number(JsonbValue *result, Datum value, Oid type)
{
	Numeric number;

	switch (type)
	{
		case INT2OID:
			number = int64_to_numeric(DatumGetInt16(value));
			break;
		case INT4OID:
			number = int64_to_numeric(DatumGetInt32(value));
			break;
		case INT8OID:
			number = int64_to_numeric(DatumGetInt64(value));
			break;
		case FLOAT4OID:
			number =
				DatumGetNumeric(DirectFunctionCall1(float4_numeric, value));
			break;
		case FLOAT8OID:
			number =
				DatumGetNumeric(DirectFunctionCall1(float8_numeric, value));
			break;
		default:
			number = DatumGetNumericCopy(value);
			break;
	}
	if (numeric_is_nan(number) || numeric_is_inf(number))
		set_string(result, DatumGetCString(DirectFunctionCall1(
							   numeric_out, NumericGetDatum(number))));
	else
	{
		result->type = jbvNumeric;
		result->val.numeric = number;
	}
}

/* Makes it what a document is. */
static void
set_jsonb(JsonbValue *result, Jsonb *jsonb)
{
	if (JB_ROOT_IS_SCALAR(jsonb))
		(void) JsonbExtractScalar(&jsonb->root, result);
	else
	{
		result->type = jbvBinary;
		result->val.binary.data = &jsonb->root;
		result->val.binary.len = VARSIZE(jsonb) - VARHDRSZ;
	}
}

/* Are two values the same? */
bool
ma_capture_same(const JsonbValue *a, const JsonbValue *b)
{
	if (a->type != b->type)
		return false;
	switch (a->type)
	{
		case jbvNull:
			return true;
		case jbvBool:
			return a->val.boolean == b->val.boolean;
		case jbvNumeric:
			return DatumGetBool(DirectFunctionCall2(
				numeric_eq, NumericGetDatum(a->val.numeric),
				NumericGetDatum(b->val.numeric)));
		case jbvString:
			return a->val.string.len == b->val.string.len &&
				   memcmp(a->val.string.val, b->val.string.val,
						  a->val.string.len) == 0;
		case jbvBinary:
			return a->val.binary.len == b->val.binary.len &&
				   memcmp(a->val.binary.data, b->val.binary.data,
						  a->val.binary.len) == 0;
		default:
			return false;
	}
}

/*
 * The instant that a timestamptz, timestamp or date means; one without a zone
 * is local time of the given one. False if it is out of range or infinite.
 */
bool
ma_capture_time(Datum value, Oid type, pg_tz *zone, TimestampTz *result)
{
	Timestamp	 local;
	struct pg_tm tm;
	fsec_t		 fsec;
	int			 tz;
	int			 overflow = 0;

	if (type == TIMESTAMPTZOID)
	{
		*result = DatumGetTimestampTz(value);
		return !TIMESTAMP_NOT_FINITE(*result);
	}
	local =
		type == DATEOID ?
			date2timestamp_opt_overflow(DatumGetDateADT(value), &overflow) :
			DatumGetTimestamp(value);
	if (overflow != 0 || TIMESTAMP_NOT_FINITE(local) ||
		timestamp2tm(local, NULL, &tm, &fsec, NULL, NULL) != 0)
		return false;
	tz = DetermineTimeZoneOffset(&tm, zone);
	return tm2timestamp(&tm, fsec, &tz, result) == 0;
}

/*
 * Is an error the fault of a row or a definition, to be noted? What concerns
 * the whole statement (cancel, shutdown, out of memory, a conflict between
 * transactions) goes through.
 */
bool
ma_capture_may_note(int sqlstate)
{
	switch (ERRCODE_TO_CATEGORY(sqlstate))
	{
		case ERRCODE_OPERATOR_INTERVENTION:
		case ERRCODE_TRANSACTION_ROLLBACK:
		case ERRCODE_INSUFFICIENT_RESOURCES:
		case ERRCODE_SYSTEM_ERROR:
			return false;
	}
	return true;
}
