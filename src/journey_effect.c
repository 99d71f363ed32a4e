/*
 * journey_effect.c
 *	  Does what steps want done to contacts: lists, attributes, events, other
 *	  workflows.
 *
 * Effects were noted in order while the steps ran; runs of alike ones are
 * written together. The states of the contacts are locked.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "attribute.h"
#include "batch.h"
#include "columns.h"
#include "definition.h"
#include "enrollment.h"
#include "entry.h"
#include "journey_private.h"
#include "sql.h"

/* A contact that is put into a list, or taken out. */
typedef struct Hand
{
	int64		contact_id;
	int			nth; /* of its effects */
	TimestampTz until;
} Hand;

/* By contact; travellers come by enrolment, so it may have several. */
static int
compare_hands(const void *a, const void *b)
{
	const Hand *x = a;
	const Hand *y = b;
	int			order = ma_batch_compare_ids(&x->contact_id, &y->contact_id);

	return order != 0 ? order : x->nth - y->nth;
}

/* Puts contacts into, or takes them out of, the lists of adjoining effects. */
static ListCell *
write_list_effects(MaJourney *journey, ListCell *first)
{
	const MaOp	*op = ((MaEffect *) lfirst(first))->op;
	int			 max = list_length(journey->effects);
	Hand		*hands = palloc(sizeof(Hand) * max);
	int64		*ids = palloc(sizeof(int64) * max);
	TimestampTz *untils = palloc(sizeof(TimestampTz) * max);
	int			 n = 0;
	int			 left = 0;
	ListCell	*lc;

	for (lc = first; lc != NULL; lc = lnext(journey->effects, lc))
	{
		MaEffect *effect = lfirst(lc);

		if (effect->op->verb != op->verb || effect->op->object != op->object)
			break;
		hands[n].contact_id = effect->traveller->visited->contact_id;
		hands[n].nth = n;
		hands[n++].until = effect->until;
	}
	qsort(hands, n, sizeof(Hand), compare_hands);
	for (int i = 0; i < n; i++)
	{
		/* the last one decides */
		if (i + 1 < n && hands[i + 1].contact_id == hands[i].contact_id)
			continue;
		ids[left] = hands[i].contact_id;
		untils[left++] = hands[i].until;
	}
	ma_refresh_hand_each(op->object, ids, untils, left,
						 op->verb == MA_OP_ADD ? MA_HAND_IN : MA_HAND_OUT);
	return lc;
}

/* Inserts the events of adjoining effects. */
static ListCell *
write_event_effects(MaJourney *journey, ListCell *first)
{
	static MaStatement stmt = {
		"insert into mautomate.event (contact_id, kind, occurred_at,"
		" properties) select * from unnest($1, $2, $3, $4)",
		4,
		{INT8ARRAYOID, TEXTARRAYOID, TIMESTAMPTZARRAYOID, JSONBARRAYOID}};
	MaColumns *columns = ma_columns_new(
		list_length(journey->effects), 4,
		(const Oid[]){INT8OID, TEXTOID, TIMESTAMPTZOID, JSONBOID});
	Datum	  empty = DirectFunctionCall1(jsonb_in, CStringGetDatum("{}"));
	ListCell *lc;

	for (lc = first; lc != NULL; lc = lnext(journey->effects, lc))
	{
		MaEffect *effect = lfirst(lc);

		if (effect->op->verb != MA_OP_EMIT)
			break;
		ma_columns_add(columns, 0,
					   Int64GetDatum(effect->traveller->visited->contact_id));
		ma_columns_add_text(columns, 1, effect->op->text);
		ma_columns_add(columns, 2, TimestampTzGetDatum(journey->now));
		ma_columns_add(
			columns, 3,
			effect->values == NULL ? empty : JsonbPGetDatum(effect->values));
	}
	ma_columns_exec(&stmt, columns);
	return lc;
}

/*
 * Locks the contacts whose attributes the run of effects from first sets. A
 * writer locks a contact before its state, so here, the state being locked,
 * nobody may be waited for.
 */
static void
lock_contacts(MaJourney *journey, ListCell *first)
{
	static MaStatement stmt = {
		"select from mautomate.contact"
		" where contact_id = any ($1) order by contact_id"
		" for no key update nowait",
		1,
		{INT8ARRAYOID}};
	MaColumns *columns = ma_columns_new(list_length(journey->effects), 1,
										(const Oid[]){INT8OID});

	for (ListCell *lc = first; lc != NULL; lc = lnext(journey->effects, lc))
	{
		MaEffect *effect = lfirst(lc);

		if (effect->op->verb != MA_OP_SET)
			break;
		ma_columns_add(columns, 0,
					   Int64GetDatum(effect->traveller->visited->contact_id));
	}
	ma_columns_exec(&stmt, columns);
}

/* The columns of a profile as an array of texts and nulls. */
static Jsonb *
profile_columns(const MaProfile *profile)
{
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < MA_CONTACT_COLUMNS; i++)
	{
		JsonbValue v;

		v.type = profile->columns[i] == NULL ? jbvNull : jbvString;
		if (profile->columns[i] != NULL)
		{
			v.val.string.val = unconstify(char *, profile->columns[i]);
			v.val.string.len = strlen(profile->columns[i]);
		}
		pushJsonbValue(&state, WJB_ELEM, &v);
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_ARRAY, NULL));
}

/*
 * Sets attributes by adjoining effects. A contact comes once at most: what it
 * has values computed for is not run again before the next batch.
 */
static ListCell *
write_set_effects(MaJourney *journey, ListCell *first)
{
	static MaStatement stmt = {
		"update mautomate.contact t set"
		" first_name = case when given & 4 <> 0 then v[3]"
		" else t.first_name end,"
		" last_name = case when given & 8 <> 0 then v[4]"
		" else t.last_name end,"
		" timezone = case when given & 16 <> 0 then v[5]"
		" else t.timezone end,"
		" locale = case when given & 32 <> 0 then v[6] else t.locale end,"
		" region = case when given & 64 <> 0 then v[7] else t.region end,"
		" stage = case when given & 128 <> 0 then v[8] else t.stage end,"
		" owner = case when given & 256 <> 0 then v[9] else t.owner end,"
		" attributes ="
		" mautomate_internal.merge_attributes(t.attributes, c.attributes)"
		" from (select contact_id, given, attributes, array(select value"
		" from jsonb_array_elements_text(columns)) as v"
		" from unnest($1, $2, $3, $4) u (contact_id, given, attributes,"
		" columns)) c"
		" where t.contact_id = c.contact_id",
		4,
		{INT8ARRAYOID, INT4ARRAYOID, JSONBARRAYOID, JSONBARRAYOID}};
	MaColumns *columns =
		ma_columns_new(list_length(journey->effects), 4,
					   (const Oid[]){INT8OID, INT4OID, JSONBOID, JSONBOID});
	Datum	  empty = DirectFunctionCall1(jsonb_in, CStringGetDatum("{}"));
	ListCell *lc;

	lock_contacts(journey, first);
	for (lc = first; lc != NULL; lc = lnext(journey->effects, lc))
	{
		MaEffect *effect = lfirst(lc);
		MaProfile profile = {0};

		if (effect->op->verb != MA_OP_SET)
			break;
		(void) ma_profile_describe(&profile, effect->values, false);
		ma_columns_add(columns, 0,
					   Int64GetDatum(effect->traveller->visited->contact_id));
		ma_columns_add(columns, 1, Int32GetDatum(profile.given));
		ma_columns_add(columns, 2,
					   profile.attributes == NULL ?
						   empty :
						   JsonbPGetDatum(profile.attributes));
		ma_columns_add(columns, 3, JsonbPGetDatum(profile_columns(&profile)));
	}
	ma_columns_exec(&stmt, columns);
	return lc;
}

/* Enters contacts into the workflow of adjoining effects. */
static ListCell *
write_enroll_effects(MaJourney *journey, ListCell *first)
{
	int			  workflow_id = ((MaEffect *) lfirst(first))->op->object;
	int			  n = list_length(journey->effects);
	int64		 *ids = palloc(sizeof(int64) * n);
	MaContactSet *set;
	MaEntryBatch *batch;
	ListCell	 *lc;

	n = 0;
	foreach (lc, journey->effects)
		ids[n++] = ((MaEffect *) lfirst(lc))->traveller->visited->contact_id;
	n = ma_batch_sort_ids(ids, n);
	set = ma_refresh_load(ids, n, false);
	batch = ma_entry_begin(ma_definitions());
	for (lc = first; lc != NULL; lc = lnext(journey->effects, lc))
	{
		MaEffect	*effect = lfirst(lc);
		MaTraveller *t = effect->traveller;

		if (effect->op->verb != MA_OP_ENROLL ||
			effect->op->object != workflow_id)
			break;
		(void) ma_entry_enroll(batch, workflow_id,
							   ma_contact_find(set, t->visited->contact_id),
							   t->visited->contact_id, t->context);
	}
	ma_entry_apply(batch);
	return lc;
}

/* Does what steps want done to contacts, runs of alike ones together. */
void
ma_journey_write_effects(MaJourney *journey)
{
	ListCell *lc = list_head(journey->effects);

	while (lc != NULL)
	{
		MaEffect *effect = lfirst(lc);

		switch (effect->op->verb)
		{
			case MA_OP_ADD:
			case MA_OP_REMOVE:
				lc = write_list_effects(journey, lc);
				break;
			case MA_OP_SET:
				lc = write_set_effects(journey, lc);
				break;
			case MA_OP_EMIT:
				lc = write_event_effects(journey, lc);
				break;
			case MA_OP_ENROLL:
				lc = write_enroll_effects(journey, lc);
				break;
			default:
				Assert(effect->op->verb == MA_OP_UNENROLL);
				(void) ma_enrollment_end(
					effect->traveller->visited->contact_id, effect->op->object,
					"unenrolled");
				lc = lnext(journey->effects, lc);
				break;
		}
	}
}
