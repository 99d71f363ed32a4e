/*
 * refresh_record.c
 *	  Remember what attributes were.
 *
 * Nothing of a contact's past is kept but the log. Where a definition asks
 * what an attribute was (predicate_was.c), each change of it becomes an event
 * attribute_changed {attribute, value, previous} of the contact: folded,
 * dumped, merged and verified like any other. What it was before the first
 * definition asked is not known, but for the value it had then.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "executor/spi.h"
#include "utils/builtins.h"

#include "json.h"
#include "refresh_private.h"
#include "value.h"
#include "vocabulary.h"

/* What a row of mautomate.contact has for an attribute; null: nothing. */
static void
attribute_value(TupleTableSlot *row, const char *name, JsonbValue *value)
{
	TupleDesc desc = row->tts_tupleDescriptor;
	bool	  is_column = ma_vocabulary_column(name) >= 0;
	char	 *path[] = {unconstify(char *, name)};
	bool	  isnull;
	Datum	  datum = slot_getattr(
			row, SPI_fnumber(desc, is_column ? name : "attributes"), &isnull);

	value->type = jbvNull;
	if (isnull)
		return;
	if (!is_column)
	{
		if (!ma_value_lookup(DatumGetJsonbPCopy(datum), path, 1, value))
			value->type = jbvNull;
		return;
	}
	value->type = jbvString;
	value->val.string.val = TextDatumGetCString(datum);
	value->val.string.len = strlen(value->val.string.val);
}

/* The properties of the event; NULL if both values are the same. */
static Jsonb *
make_record(const char *name, JsonbValue *before, JsonbValue *after)
{
	JsonbParseState *state = NULL;

	if (compareJsonbContainers(&JsonbValueToJsonb(before)->root,
							   &JsonbValueToJsonb(after)->root) == 0)
		return NULL;
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	ma_json_text(&state, "attribute", name);
	ma_json_key(&state, "value");
	pushJsonbValue(&state, WJB_VALUE, after);
	ma_json_key(&state, "previous");
	pushJsonbValue(&state, WJB_VALUE, before);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/* Which attributes that somebody asks for an UPDATE of a contact changed. */
void
ma_record_changes(MaDefinitions *definitions, TupleTableSlot *before,
				  TupleTableSlot *after, MaWork *work)
{
	for (int i = 0; i < definitions->nrecorded; i++)
	{
		const char *name = definitions->recorded[i];
		JsonbValue	old;
		JsonbValue new;
		Jsonb *record;

		if (strcmp(name, "created_at") == 0)
			continue; /* never changes */
		attribute_value(before, name, &old);
		attribute_value(after, name, &new);
		record = make_record(name, &old, &new);
		if (record == NULL)
			continue;
		if (work->records == NULL)
			work->records = palloc(definitions->nrecorded * sizeof(Jsonb *));
		work->records[work->nrecords++] = record;
	}
}
