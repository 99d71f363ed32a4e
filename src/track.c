/*
 * track.c
 *	  SQL functions that put events into the log: track, track_batch.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "argument.h"
#include "clock.h"
#include "contact.h"
#include "event.h"
#include "setting.h"

PG_FUNCTION_INFO_V1(mautomate_track);
PG_FUNCTION_INFO_V1(mautomate_track_batch);

/* What of a batch is being read, for the error's context. */
typedef struct Place
{
	int			element; /* counted from 0 */
	const char *key;	 /* of that object, NULL: none yet */
} Place;

static void	 check_properties(Jsonb *properties);
static void	 check_time(TimestampTz occurred_at);
static int	 read_batch(Jsonb *events, MaProfile **persons, MaEventRow **rows);
static void	 read_element(JsonbValue *element, MaProfile *person,
						  MaEventRow *row, Place *place);
static char *scalar_text(JsonbValue *value);
static void	 name_place(void *arg);

/* track(who, kind, properties, occurred_at, dedupe_key) -> bigint */
Datum
mautomate_track(PG_FUNCTION_ARGS)
{
	MaProfile  person = {0};
	MaEventRow row = {0};

	row.kind = PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1));
	ma_event_check_kind(row.kind);
	row.properties = PG_ARGISNULL(2) ? NULL : PG_GETARG_JSONB_P(2);
	check_properties(row.properties);
	row.occurred_at = PG_ARGISNULL(3) ? ma_now() : PG_GETARG_TIMESTAMPTZ(3);
	check_time(row.occurred_at);
	row.dedupe_key =
		PG_ARGISNULL(4) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(4));
	ma_argument_check_key(row.dedupe_key, "dedupe_key");
	if (PG_ARGISNULL(0) || VARSIZE_ANY_EXHDR(PG_GETARG_TEXT_PP(0)) == 0)
		PG_RETURN_NULL();
	PreventCommandIfReadOnly("track()");
	person.external_id = text_to_cstring(PG_GETARG_TEXT_PP(0));
	ma_contact_obtain_held(&person, 1);
	if (person.problem != NULL)
		ThrowErrorData(person.problem);
	row.contact_id = person.contact_id;
	if (ma_event_store(&row, 1) == 0)
		row.event_id = ma_event_first(&row);
	PG_RETURN_INT64(row.event_id);
}

/* track_batch(jsonb) -> bigint */
Datum
mautomate_track_batch(PG_FUNCTION_ARGS)
{
	Jsonb	   *events = PG_GETARG_JSONB_P(0);
	MaProfile  *persons;
	MaEventRow *rows;
	int			n;

	if (!JB_ROOT_IS_ARRAY(events) || JB_ROOT_IS_SCALAR(events))
		ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("events must be a JSON array of objects"),
			 errhint("Write [{\"who\": \"...\", \"kind\": \"...\"}, ...].")));
	n = read_batch(events, &persons, &rows);
	if (n == 0)
		PG_RETURN_INT64(0);
	PreventCommandIfReadOnly("track_batch()");
	ma_contact_obtain_held(persons, n);
	for (int i = 0; i < n; i++)
	{
		if (persons[i].problem != NULL)
			ThrowErrorData(persons[i].problem);
		rows[i].contact_id = persons[i].contact_id;
	}
	PG_RETURN_INT64(ma_event_store(rows, n));
}

/* Reads the elements of a batch; those of nobody have no name in persons. */
static int
read_batch(Jsonb *events, MaProfile **persons, MaEventRow **rows)
{
	int					 n = JB_ROOT_COUNT(events);
	JsonbIterator		*it = JsonbIteratorInit(&events->root);
	JsonbValue			 element;
	Place				 place = {0};
	ErrorContextCallback callback = {.previous = error_context_stack,
									 .callback = name_place,
									 .arg = &place};
	MaSetting			 own;

	error_context_stack = &callback;
	ma_setting_enter(&own);
	*persons = palloc0(sizeof(MaProfile) * Max(n, 1));
	*rows = palloc0(sizeof(MaEventRow) * Max(n, 1));
	PG_TRY();
	{
		(void) JsonbIteratorNext(&it, &element, true);
		for (place.element = 0; place.element < n; place.element++)
		{
			place.key = NULL;
			(void) JsonbIteratorNext(&it, &element, true);
			read_element(&element, &(*persons)[place.element],
						 &(*rows)[place.element], &place);
		}
	}
	PG_FINALLY();
	{
		ma_setting_leave(&own);
	}
	PG_END_TRY();
	error_context_stack = callback.previous;
	return n;
}

/* Reads one object, keyed like the arguments of track(). */
static void
read_element(JsonbValue *element, MaProfile *person, MaEventRow *row,
			 Place *place)
{
	JsonbIterator *it;
	JsonbValue	   key;
	JsonbValue	   value;

	if (element->type != jbvBinary ||
		!JsonContainerIsObject(element->val.binary.data))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("an event must be a JSON object")));
	row->occurred_at = DT_NOEND;
	it = JsonbIteratorInit(element->val.binary.data);
	(void) JsonbIteratorNext(&it, &key, true);
	while (JsonbIteratorNext(&it, &key, true) == WJB_KEY)
	{
		place->key = pnstrdup(key.val.string.val, key.val.string.len);
		(void) JsonbIteratorNext(&it, &value, true);
		if (strcmp(place->key, "who") == 0)
			person->external_id = scalar_text(&value);
		else if (strcmp(place->key, "kind") == 0)
			row->kind = scalar_text(&value);
		else if (strcmp(place->key, "dedupe_key") == 0)
			row->dedupe_key = scalar_text(&value);
		else if (strcmp(place->key, "properties") == 0)
		{
			row->properties =
				value.type == jbvNull ? NULL : JsonbValueToJsonb(&value);
			check_properties(row->properties);
		}
		else if (strcmp(place->key, "occurred_at") == 0)
		{
			char *text = scalar_text(&value);

			if (text == NULL)
				continue;
			row->occurred_at = DatumGetTimestampTz(DirectFunctionCall3(
				timestamptz_in, CStringGetDatum(text),
				ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
			check_time(row->occurred_at);
		}
		else
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("unknown key \"%s\" of an event", place->key),
					 errhint("Valid keys are who, kind, properties, "
							 "occurred_at and dedupe_key.")));
	}
	place->key = NULL;
	if (person->external_id != NULL && person->external_id[0] == '\0')
		person->external_id = NULL;
	ma_argument_check_key(row->dedupe_key, "dedupe_key");
	ma_event_check_kind(row->kind);
	if (row->occurred_at == DT_NOEND)
		row->occurred_at = ma_now();
}

/* A JSON scalar as text, NULL for null; anything else is an error. */
static char *
scalar_text(JsonbValue *value)
{
	switch (value->type)
	{
		case jbvNull:
			return NULL;
		case jbvString:
			return pnstrdup(value->val.string.val, value->val.string.len);
		case jbvNumeric:
			return DatumGetCString(DirectFunctionCall1(
				numeric_out, NumericGetDatum(value->val.numeric)));
		default:
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("the value must be a JSON string")));
			return NULL;
	}
}

/* Error context: where in the batch it happened. */
static void
name_place(void *arg)
{
	Place *place = arg;

	if (place->key != NULL)
		errcontext("key \"%s\" of element %d of events (counted from 0)",
				   place->key, place->element);
	else
		errcontext("element %d of events (counted from 0)", place->element);
}

/* Properties are an object, or nothing. */
static void
check_properties(Jsonb *properties)
{
	if (properties != NULL && !JB_ROOT_IS_OBJECT(properties))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("properties must be a JSON object"),
						errhint("Write them as {\"name\": value, ...}.")));
}

/* An event happens at some time. */
static void
check_time(TimestampTz occurred_at)
{
	if (TIMESTAMP_NOT_FINITE(occurred_at))
		ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
						errmsg("occurred_at must be finite")));
}
