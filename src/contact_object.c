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
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/typcache.h"

#include "compat.h"
#include "contact_object.h"
#include "json.h"

PG_FUNCTION_INFO_V1(mautomate_contact_object);

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
	CONTACT_MERGED_INTO,
	CONTACT_CREATED_AT
} ContactColumn;

/* A row of contact. */
typedef struct ContactRow
{
	Datum *values;
	bool  *nulls;
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
push_contact(JsonbParseState **state, const ContactRow *row)
{
	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	push_pairs(state, DatumGetJsonbP(row->values[CONTACT_ATTRIBUTES]));
	push_text(state, "external_id", row, CONTACT_EXTERNAL_ID);
	push_text(state, "email", row, CONTACT_EMAIL);
	push_text(state, "phone", row, CONTACT_PHONE);
	push_text(state, "first_name", row, CONTACT_FIRST_NAME);
	push_text(state, "last_name", row, CONTACT_LAST_NAME);
	push_text(state, "timezone", row, CONTACT_TIMEZONE);
	push_text(state, "locale", row, CONTACT_LOCALE);
	push_text(state, "region", row, CONTACT_REGION);
	push_text(state, "stage", row, CONTACT_STAGE);
	push_text(state, "owner", row, CONTACT_OWNER);
	push_created_at(state, row);
	return pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

/* contact_object(c contact) -> jsonb */
Datum
mautomate_contact_object(PG_FUNCTION_ARGS)
{
	HeapTupleHeader	 header = PG_GETARG_HEAPTUPLEHEADER(0);
	HeapTupleData	 tuple = {.t_len = HeapTupleHeaderGetDatumLength(header),
							  .t_data = header};
	JsonbParseState *state = NULL;
	ContactRow		 row;
	TupleDesc desc = lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(header),
											HeapTupleHeaderGetTypMod(header));

	row.values = palloc(desc->natts * sizeof(Datum));
	row.nulls = palloc(desc->natts * sizeof(bool));
	heap_deform_tuple(&tuple, desc, row.values, row.nulls);
	ReleaseTupleDesc(desc);
	PG_RETURN_JSONB_P(JsonbValueToJsonb(push_contact(&state, &row)));
}

/* The row in a slot. */
static ContactRow
row_of(TupleTableSlot *slot)
{
	slot_getallattrs(slot);
	return (ContactRow){slot->tts_values, slot->tts_isnull};
}

/* A text column; NULL for null. */
static char *
text_of(const ContactRow *row, ContactColumn column)
{
	return row->nulls[column] ? NULL :
								TextDatumGetCString(row->values[column]);
}

/* See contact_object.h. */
int64
ma_contact_merged_into(TupleTableSlot *slot)
{
	ContactRow row = row_of(slot);

	return row.nulls[CONTACT_MERGED_INTO] ?
			   0 :
			   DatumGetInt64(row.values[CONTACT_MERGED_INTO]);
}

/* First and last name; NULL if there is none. */
char *
ma_contact_name(TupleTableSlot *slot)
{
	ContactRow row = row_of(slot);
	char	  *first = text_of(&row, CONTACT_FIRST_NAME);
	char	  *last = text_of(&row, CONTACT_LAST_NAME);

	if (first != NULL && last != NULL)
		return psprintf("%s %s", first, last);
	if (first == NULL)
		first = last;
	return first == NULL || *first == '\0' ? NULL : first;
}

/* Where messages to the person go; as recipient_address() of SQL. */
char *
ma_contact_address(TupleTableSlot *slot, const char *recipient)
{
	ContactRow row = row_of(slot);
	LOCAL_FCINFO(call, 2);
	Datum address;

	if (strcmp(recipient, "email") == 0)
		return text_of(&row, CONTACT_EMAIL);
	if (strcmp(recipient, "phone") == 0)
		return text_of(&row, CONTACT_PHONE);
	if (strcmp(recipient, "none") == 0)
		return NULL;
	InitFunctionCallInfoData(*call, NULL, 2, InvalidOid, NULL, NULL);
	call->args[0].value = row.values[CONTACT_ATTRIBUTES];
	call->args[1].value = CStringGetTextDatum(recipient);
	call->args[0].isnull = call->args[1].isnull = false;
	address = jsonb_object_field_text(call);
	return call->isnull ? NULL : TextDatumGetCString(address);
}

/* See contact_object.h. */
Jsonb *
ma_contact_data(Jsonb *data, TupleTableSlot *slot)
{
	JsonbParseState *state = NULL;
	JsonbValue		 nobody = {.type = jbvNull};

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	if (data != NULL)
		push_pairs(&state, data);
	ma_json_key(&state, "contact");
	if (slot == NULL)
		pushJsonbValue(&state, WJB_VALUE, &nobody);
	else
	{
		ContactRow row = row_of(slot);

		(void) push_contact(&state, &row);
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}
