/*
 * contact_object.c
 *	  What templates see of a person: the attributes, and the columns over them.
 *
 * It is made for every message, in one go: the same said in SQL, by
 * jsonb_build_object() and ||, cost more than rendering a short template.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/datetime.h"
#include "utils/json.h"
#include "utils/typcache.h"

#include "compat.h"
#include "json.h"

PG_FUNCTION_INFO_V1(mautomate_contact_object);
PG_FUNCTION_INFO_V1(mautomate_message_data);

/* Columns of contact from 0, in the order of its definition. */
typedef enum ContactColumn
{
	CONTACT_EXTERNAL_ID = 1,
	CONTACT_EMAIL,
	CONTACT_PHONE,
	CONTACT_FIRST_NAME,
	CONTACT_LAST_NAME,
	CONTACT_TIMEZONE,
	CONTACT_LOCALE,
	CONTACT_REGION,
	CONTACT_STAGE,
	CONTACT_OWNER,
	CONTACT_ATTRIBUTES = 12,
	CONTACT_CREATED_AT = 14
} ContactColumn;

/* A row of contact. */
typedef struct ContactRow
{
	Datum values[MaxTupleAttributeNumber];
	bool  nulls[MaxTupleAttributeNumber];
} ContactRow;

/* Pushes the pairs of an object into the one being written. */
static void
push_pairs(JsonbParseState **state, Jsonb *object)
{
	JsonbIterator	  *it = JsonbIteratorInit(&object->root);
	JsonbIteratorToken token;
	JsonbValue		   value;

	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
		if (token == WJB_KEY || token == WJB_VALUE)
			pushJsonbValue(state, token, &value);
}

/* Pushes a text column; null is a null. */
static void
push_text(JsonbParseState **state, const char *key, const ContactRow *row,
		  ContactColumn column)
{
	JsonbValue value = {.type = jbvNull};

	ma_json_key(state, key);
	if (!row->nulls[column])
	{
		text *string = DatumGetTextPP(row->values[column]);

		value.type = jbvString;
		value.val.string.val = VARDATA_ANY(string);
		value.val.string.len = VARSIZE_ANY_EXHDR(string);
	}
	pushJsonbValue(state, WJB_VALUE, &value);
}

/* Pushes when the contact was made known. */
static void
push_created_at(JsonbParseState **state, const ContactRow *row)
{
	char time[MAXDATELEN + 1];

	JsonEncodeDateTime(time, row->values[CONTACT_CREATED_AT], TIMESTAMPTZOID,
					   NULL);
	ma_json_text(state, "created_at", time);
}

/* Pushes the object of a contact; the columns win over the attributes. */
static JsonbValue *
push_contact(JsonbParseState **state, HeapTupleHeader header)
{
	ContactRow	  row;
	HeapTupleData tuple = {.t_len = HeapTupleHeaderGetDatumLength(header),
						   .t_data = header};
	TupleDesc desc = lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(header),
											HeapTupleHeaderGetTypMod(header));

	heap_deform_tuple(&tuple, desc, row.values, row.nulls);
	ReleaseTupleDesc(desc);
	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	push_pairs(state, DatumGetJsonbP(row.values[CONTACT_ATTRIBUTES]));
	push_text(state, "external_id", &row, CONTACT_EXTERNAL_ID);
	push_text(state, "email", &row, CONTACT_EMAIL);
	push_text(state, "phone", &row, CONTACT_PHONE);
	push_text(state, "first_name", &row, CONTACT_FIRST_NAME);
	push_text(state, "last_name", &row, CONTACT_LAST_NAME);
	push_text(state, "timezone", &row, CONTACT_TIMEZONE);
	push_text(state, "locale", &row, CONTACT_LOCALE);
	push_text(state, "region", &row, CONTACT_REGION);
	push_text(state, "stage", &row, CONTACT_STAGE);
	push_text(state, "owner", &row, CONTACT_OWNER);
	push_created_at(state, &row);
	return pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

/* contact_object(c contact) -> jsonb */
Datum
mautomate_contact_object(PG_FUNCTION_ARGS)
{
	JsonbParseState *state = NULL;

	PG_RETURN_JSONB_P(
		JsonbValueToJsonb(push_contact(&state, PG_GETARG_HEAPTUPLEHEADER(0))));
}

/*
 * message_data(data jsonb, c contact) -> jsonb: what the template of a message
 * may use; data as in table message, or null.
 */
Datum
mautomate_message_data(PG_FUNCTION_ARGS)
{
	JsonbParseState *state = NULL;
	JsonbValue		 nobody = {.type = jbvNull};

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	if (!PG_ARGISNULL(0))
		push_pairs(&state, PG_GETARG_JSONB_P(0));
	ma_json_key(&state, "contact");
	if (PG_ARGISNULL(1))
		pushJsonbValue(&state, WJB_VALUE, &nobody);
	else
		(void) push_contact(&state, PG_GETARG_HEAPTUPLEHEADER(1));
	PG_RETURN_JSONB_P(
		JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}
