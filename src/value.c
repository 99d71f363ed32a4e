/*
 * value.c
 *	  JSON values as typed values, without ever raising an error.
 *
 * Properties and attributes are JSON; predicates compare them as text,
 * numeric, boolean, date, timestamp, timestamptz or, as it is, jsonb. A value
 * that does not convert is null: data that came in yesterday must not fail the INSERT of
 * today. Times without a zone mean mautomate.timezone (the caller has made it
 * the session's); words such as "now" are no times here.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "number.h"
#include "value.h"

/*
 * The type that values declared as `type` are handled as: one of text,
 * numeric, boolean, date, timestamp, timestamptz, jsonb; InvalidOid if none
 * fits.
 */
Oid
ma_value_type(Oid type)
{
	switch (type)
	{
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
		case NAMEOID:
		case UUIDOID:
			return TEXTOID;
		case NUMERICOID:
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case FLOAT4OID:
		case FLOAT8OID:
			return NUMERICOID;
		case BOOLOID:
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
		case JSONBOID:
			return type;
		case JSONOID:
			return JSONBOID;
		default:
			return InvalidOid;
	}
}

/* Does reading a value of this type depend on the time zone? */
bool
ma_value_depends_on_zone(Oid type)
{
	return type == TIMESTAMPTZOID || type == TIMESTAMPOID || type == DATEOID;
}

/* Is this what numeric_in() takes: sign, digits, point, exponent? */
static bool
looks_numeric(const char *s)
{
	int digits = 0;

	if (*s == '+' || *s == '-')
		s++;
	for (; *s >= '0' && *s <= '9'; s++)
		digits++;
	if (*s == '.')
		for (s++; *s >= '0' && *s <= '9'; s++)
			digits++;
	if (digits == 0)
		return false;
	if (*s == 'e' || *s == 'E')
	{
		int exponent = 0;

		s++;
		if (*s == '+' || *s == '-')
			s++;
		for (; *s >= '0' && *s <= '9'; s++)
			exponent++;
		if (exponent == 0 || exponent > 3)
			return false;
	}
	return *s == '\0' && digits <= 1000;
}

/*
 * Is a number beyond all that is counted or paid? Sums of such numbers would
 * leave what numeric can hold, and raise an error.
 */
static bool
is_huge(Datum number)
{
	static Datum low = (Datum) 0;
	static Datum high = (Datum) 0;

	/* the short form of a numeric does not reach that far */
	if (ma_number_is_short((Numeric) DatumGetPointer(number)))
		return false;
	if (low == (Datum) 0)
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		high = DirectFunctionCall3(numeric_in, CStringGetDatum("1e1000"),
								   ObjectIdGetDatum(InvalidOid),
								   Int32GetDatum(-1));
		low = DirectFunctionCall1(numeric_uminus, high);
		MemoryContextSwitchTo(old);
	}
	return DatumGetInt32(DirectFunctionCall2(numeric_cmp, number, high)) >=
			   0 ||
		   DatumGetInt32(DirectFunctionCall2(numeric_cmp, number, low)) <= 0;
}

/* Reads a date and time; false if it is none. */
static bool
read_time(char *s, struct pg_tm *tm, fsec_t *fsec, int *tz, int *dtype)
{
	char *field[MAXDATEFIELDS];
	int	  ftype[MAXDATEFIELDS];
	char  work[MAXDATELEN + MAXDATEFIELDS];
	int	  nf;

	if (ParseDateTime(s, work, sizeof(work), field, ftype, MAXDATEFIELDS,
					  &nf) != 0)
		return false;
	/* "now", "today" and the like are no data */
	for (int i = 0; i < nf; i++)
		if (ftype[i] == DTK_STRING && strpbrk(field[i], "wdy") != NULL &&
			(strcmp(field[i], "now") == 0 || strcmp(field[i], "today") == 0 ||
			 strcmp(field[i], "tomorrow") == 0 ||
			 strcmp(field[i], "yesterday") == 0))
			return false;
	return ma_decode_datetime(field, ftype, nf, dtype, tm, fsec, tz) == 0;
}

/* A text as date, timestamp or timestamptz. */
static Datum
time_from_text(char *s, Oid type, bool *isnull)
{
	struct pg_tm tm;
	fsec_t		 fsec;
	int			 tz;
	int			 dtype;
	TimestampTz	 t;

	*isnull = true;
	if (!read_time(s, &tm, &fsec, &tz, &dtype))
		return (Datum) 0;
	if (dtype == DTK_LATE || dtype == DTK_EARLY)
	{
		*isnull = false;
		if (type == DATEOID)
			return DateADTGetDatum(dtype == DTK_LATE ? DATEVAL_NOEND :
													   DATEVAL_NOBEGIN);
		return TimestampTzGetDatum(dtype == DTK_LATE ? DT_NOEND : DT_NOBEGIN);
	}
	if (dtype != DTK_DATE ||
		!IS_VALID_JULIAN(tm.tm_year, tm.tm_mon, tm.tm_mday))
		return (Datum) 0;
	if (type == DATEOID)
	{
		DateADT date =
			date2j(tm.tm_year, tm.tm_mon, tm.tm_mday) - POSTGRES_EPOCH_JDATE;

		*isnull = !IS_VALID_DATE(date);
		return DateADTGetDatum(date);
	}
	if (tm2timestamp(&tm, fsec, type == TIMESTAMPTZOID ? &tz : NULL, &t) != 0)
		return (Datum) 0;
	*isnull = false;
	return TimestampTzGetDatum(t);
}

/* A text as a value of one of the types of ma_value_type(). */
Datum
ma_value_from_text(const char *text, int length, Oid type, bool *isnull)
{
	char *s;
	bool  truth;
	Datum number;

	*isnull = false;
	if (type == TEXTOID)
		return PointerGetDatum(cstring_to_text_with_len(text, length));
	s = pnstrdup(text, length);
	switch (type)
	{
		case NUMERICOID:
			if (looks_numeric(s))
			{
				number = DirectFunctionCall3(numeric_in, CStringGetDatum(s),
											 ObjectIdGetDatum(InvalidOid),
											 Int32GetDatum(-1));
				*isnull = is_huge(number);
				return number;
			}
			break;
		case BOOLOID:
			if (parse_bool_with_len(s, length, &truth))
				return BoolGetDatum(truth);
			break;
		default:
			return time_from_text(s, type, isnull);
	}
	*isnull = true;
	return (Datum) 0;
}

/* A JSON value as one of the types of ma_value_type(). */
Datum
ma_value_from_json(const JsonbValue *value, Oid type, bool *isnull)
{
	*isnull = false;
	if (type == JSONBOID)
		return JsonbPGetDatum(JsonbValueToJsonb((JsonbValue *) value));
	switch (value->type)
	{
		case jbvString:
			return ma_value_from_text(value->val.string.val,
									  value->val.string.len, type, isnull);
		case jbvNumeric:
			if (type == NUMERICOID)
			{
				*isnull = is_huge(NumericGetDatum(value->val.numeric));
				return NumericGetDatum(value->val.numeric);
			}
			if (type == TEXTOID)
				return CStringGetTextDatum(DatumGetCString(DirectFunctionCall1(
					numeric_out, NumericGetDatum(value->val.numeric))));
			break;
		case jbvBool:
			if (type == BOOLOID)
				return BoolGetDatum(value->val.boolean);
			if (type == TEXTOID)
				return CStringGetTextDatum(value->val.boolean ? "true" :
																"false");
			break;
		case jbvBinary:
			if (type == TEXTOID)
				return CStringGetTextDatum(JsonbToCString(
					NULL, value->val.binary.data, value->val.binary.len));
			break;
		default:
			break;
	}
	*isnull = true;
	return (Datum) 0;
}

/*
 * Puts numbers and texts in an order, in which equal ones are found fast: it
 * is not that of any collation.
 */
int
ma_value_order(Datum a, Datum b, Oid type)
{
	text *x;
	text *y;
	Size  length;

	if (type == NUMERICOID)
		return ma_number_order(DatumGetNumeric(a), DatumGetNumeric(b));
	x = DatumGetTextPP(a);
	y = DatumGetTextPP(b);
	length = VARSIZE_ANY_EXHDR(x);
	if (length != VARSIZE_ANY_EXHDR(y))
		return length < VARSIZE_ANY_EXHDR(y) ? -1 : 1;
	return memcmp(VARDATA_ANY(x), VARDATA_ANY(y), length);
}

/* Finds what is at a path of keys in a JSON object; false if nothing is. */
bool
ma_value_lookup(Jsonb *object, char *const *path, int npath, JsonbValue *value)
{
	JsonbContainer *container = &object->root;

	for (int i = 0; i < npath; i++)
	{
		if (!JsonContainerIsObject(container) ||
			getKeyJsonValueFromContainer(container, path[i], strlen(path[i]),
										 value) == NULL)
			return false;
		if (i + 1 == npath)
			break;
		if (value->type != jbvBinary)
			return false;
		container = value->val.binary.data;
	}
	return value->type != jbvNull;
}
