/*
 * explain.c
 *	  Why is somebody in a list, or not?
 *
 * The contact is brought to the present in memory, so the answer is exact at
 * clock() even where a timer has not run yet. Each condition that and, or and
 * not join is evaluated alone: what it reads, whether it holds, until when it
 * stays so if nothing happens, and the events that made it so.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "argument.h"
#include "compat.h"
#include "contact.h"
#include "guard.h"
#include "list.h"
#include "refresh.h"
#include "setting.h"
#include "state.h"

PG_FUNCTION_INFO_V1(mautomate_explain_list);

/* A condition to evaluate, for the guard. */
typedef struct Condition
{
	MaExpr *conditions;
	int		i;
	MaInput input;
	Datum	value;
	bool	isnull;
} Condition;

static void
evaluate_condition(void *arg)
{
	Condition *condition = arg;

	condition->value = ma_expr_eval(condition->conditions, condition->i,
									&condition->input, &condition->isnull);
}

/* A value as text; "null" where there is none. */
static char *
value_text(Datum value, bool isnull, Oid type)
{
	Oid	 output;
	bool varlena;

	if (isnull)
		return "null";
	getTypeOutputInfo(type, &output, &varlena);
	return OidOutputFunctionCall(output, value);
}

/* What a slot was found to be: a signal's answer, an attribute, a time. */
static char *
slot_value(MaContact *contact, MaSlot *slots, int i)
{
	MaSlot	 *slot = &slots[i];
	MaPerson *person = &contact->person;
	MaAnswer  answer;
	Datum	  value;
	bool	  isnull;

	switch (slot->kind)
	{
		case MA_SLOT_SIGNAL:
		case MA_SLOT_COMPARE:
			ma_signal_answer(slot->signal, person->cell(person, slot->signal),
							 contact->as_of, &answer);
			return value_text(answer.value, answer.isnull, slot->signal->type);
		case MA_SLOT_ATTRIBUTE:
			value = person->attribute(person, slot, &isnull);
			return value_text(value, isnull, slot->type);
		case MA_SLOT_ELAPSED:
		case MA_SLOT_REMAINING:
		case MA_SLOT_ANNIVERSARY:
			return slot_value(contact, slots, slot->time);
		case MA_SLOT_TIME:
			return value_text(slot->constant, false, slot->type);
		case MA_SLOT_TAG:
			return person->tag(person, slot) ? "true" : "false";
		case MA_SLOT_IN_LIST:
			return person->in_list(person, slot) ? "true" : "false";
		case MA_SLOT_SCORE:
		case MA_SLOT_TIER:
			value = person->score(person, slot, &isnull);
			return value_text(value, isnull, slot->type);
		default:
			return "";
	}
}

/* The events behind a slot: how many are known, and the newest. */
static void
append_because(StringInfo because, MaContact *contact, MaSlot *slots, int i)
{
	MaSlot		 *slot = &slots[i];
	const MaCell *cell;

	if (slot->time >= 0)
	{
		append_because(because, contact, slots, slot->time);
		return;
	}
	if (because->len > 0)
		appendStringInfoString(because, "; ");
	if (slot->signal == NULL)
	{
		appendStringInfo(because, "%s is %s", slot->text,
						 slot_value(contact, slots, i));
		return;
	}
	cell = contact->person.cell(&contact->person, slot->signal);
	appendStringInfo(because, INT64_FORMAT " \"%s\" event%s", cell->count,
					 slot->signal->kind, cell->count == 1 ? "" : "s");
	if (cell->ntimes > 0)
		appendStringInfo(because, ", the newest at %s",
						 timestamptz_to_str(cell->times[cell->ntimes - 1]));
}

/* One row of the explanation. */
static void
explain_condition(ReturnSetInfo *result, MaContact *contact,
				  MaExpr *conditions, int i)
{
	Condition	   condition = {.conditions = conditions, .i = i};
	MaSlot		  *slots;
	StringInfoData text;
	StringInfoData because;
	Bitmapset	  *read = ma_expr_target_slots(conditions, i);
	ErrorData	  *edata;
	Datum		   values[5] = {0};
	bool		   nulls[5] = {false};
	int			   slot = -1;

	ma_expr_slots(conditions, &slots);
	initStringInfo(&text);
	initStringInfo(&because);
	while ((slot = bms_next_member(read, slot)) >= 0)
	{
		appendStringInfo(&text, "%s%s", text.len > 0 ? ", " : "",
						 slot_value(contact, slots, slot));
		append_because(&because, contact, slots, slot);
	}
	condition.input.contact = contact;
	condition.input.now = contact->as_of;
	edata = ma_guard(evaluate_condition, &condition);
	values[0] = CStringGetTextDatum(ma_expr_deparse(conditions, i));
	values[1] = CStringGetTextDatum(text.data);
	values[2] = condition.value;
	nulls[2] = condition.isnull || edata != NULL;
	values[3] = TimestampTzGetDatum(condition.input.horizon);
	nulls[3] = edata != NULL || TIMESTAMP_NOT_FINITE(condition.input.horizon);
	values[4] = CStringGetTextDatum(edata ? edata->message : because.data);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* explain_list(list, who) */
Datum
mautomate_explain_list(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	char		  *name = ma_argument_name(fcinfo, 0, "list");
	char		  *who = ma_argument_text(fcinfo, 1, "who");
	bool		   is_static;
	int			   list_id = ma_list_id(name, &is_static);
	MaContact	  *contact = ma_refresh_peek(ma_contact_resolve(who, false));
	MaDefinitions *definitions = ma_definitions();
	MaExpr		  *conditions;
	int			   list = 0;

	InitMaterializedSRF(fcinfo, 0);
	while (definitions->lists[list].list_id != list_id)
		list++;
	if (contact == NULL)
		elog(ERROR, "contact has no state");
	if (definitions->lists[list].expr == NULL)
	{
		Datum values[5] = {0};
		bool  nulls[5] = {false, true, false, true, true};

		values[0] =
			CStringGetTextDatum(is_static ? "put there by hand" :
											"predicate that does not compile");
		values[2] = BoolGetDatum(contact->member[list]);
		tuplestore_putvalues(result->setResult, result->setDesc, values,
							 nulls);
		return (Datum) 0;
	}
	conditions = ma_expr_conditions(definitions->lists[list].expr,
									CurrentMemoryContext);
	for (int i = 0; i < ma_expr_count(conditions); i++)
		explain_condition(result, contact, conditions, i);
	return (Datum) 0;
}
