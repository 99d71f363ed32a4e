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
#include "log_sql.h"
#include "refresh.h"
#include "setting.h"
#include "sql.h"
#include "state.h"

/* So many events are named. */
#define EVENTS_MAX 3

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
	if (type == BOOLOID)
		return DatumGetBool(value) ? "true" : "false";
	getTypeOutputInfo(type, &output, &varlena);
	return OidOutputFunctionCall(output, value);
}

/* A query to run, for the guard. */
static void
run_query(void *arg)
{
	if (SPI_execute(arg, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not explain: %s", (char *) arg);
}

/*
 * What a signal answers, by the log: the engine may keep less of a count than
 * there is, as much as its comparisons need. NULL if a filter fails on some
 * event, which does not count then.
 */
static char *
answer_text(MaContact *contact, const MaSignal *signal)
{
	char	  *query = ma_log_sql_answer(signal, contact->id, contact->as_of);
	char	  *text = NULL;
	ErrorData *edata;
	MaSqlScope scope;

	ma_sql_begin(&scope);
	edata = ma_guard(run_query, query);
	if (edata == NULL && SPI_processed == 1)
		text = ma_sql_text(0, 1);
	if (text != NULL)
		text = MemoryContextStrdup(scope.cxt, text);
	ma_sql_end(&scope);
	return text;
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
	char	 *text;

	switch (slot->kind)
	{
		case MA_SLOT_SIGNAL:
		case MA_SLOT_COMPARE:
			if (slot->signal->capacity != MA_UNBOUNDED &&
				(text = answer_text(contact, slot->signal)) != NULL)
				return text;
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

/* How many events a signal is decided by. */
static int
deciding(const MaSignal *signal)
{
	switch (signal->function)
	{
		case MA_FIRST_AT:
		case MA_LAST_AT:
		case MA_MIN:
		case MA_MAX:
		case MA_LAST_VALUE:
			return 1;
		default:
			return EVENTS_MAX;
	}
}

/* Writes the rows that ma_log_sql_events() asked for. */
static void
append_rows(StringInfo because, const MaSignal *signal)
{
	bool  isnull;
	int64 total =
		SPI_processed > 0 ? DatumGetInt64(ma_sql_datum(0, 3, &isnull)) : 0;

	if (total == 0)
		appendStringInfo(because, "no \"%s\" event", signal->kind);
	else
		appendStringInfo(because, INT64_FORMAT " \"%s\" event%s", total,
						 signal->kind, total == 1 ? "" : "s");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		Datum at = ma_sql_datum(i, 1, &isnull);
		char *value = ma_sql_text(i, 2);

		appendStringInfo(because, "%s %s", i == 0 ? ":" : ",",
						 timestamptz_to_str(DatumGetTimestampTz(at)));
		if (value != NULL)
			appendStringInfo(because, " (%s %s)", signal->property, value);
	}
	if (total > (int64) SPI_processed)
		appendStringInfo(because, " and " INT64_FORMAT " more",
						 total - (int64) SPI_processed);
}

/* The events that decided what a signal answers. */
static void
append_events(StringInfo because, MaContact *contact, const MaSignal *signal)
{
	char	  *query = ma_log_sql_events(signal, contact->id, contact->as_of,
										 deciding(signal));
	ErrorData *edata;
	MaSqlScope scope;

	ma_sql_begin(&scope);
	edata = ma_guard(run_query, query);
	if (edata == NULL)
		append_rows(because, signal);
	else
		appendStringInfoString(because, edata->message);
	ma_sql_end(&scope);
}

/* What is behind a slot: events, or what something is. */
static void
append_because(StringInfo because, MaContact *contact, MaSlot *slots, int i)
{
	MaSlot *slot = &slots[i];

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
	append_events(because, contact, slot->signal);
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
	values[0] = CStringGetTextDatum(ma_expr_name(conditions, i));
	values[1] = CStringGetTextDatum(text.data);
	values[2] = condition.value;
	nulls[2] = condition.isnull || edata != NULL;
	values[3] = TimestampTzGetDatum(condition.input.horizon);
	nulls[3] = edata != NULL || TIMESTAMP_NOT_FINITE(condition.input.horizon);
	values[4] = CStringGetTextDatum(edata ? edata->message : because.data);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* A row that is no condition of the predicate. */
static void
put_membership(ReturnSetInfo *result, const char *what, bool member,
			   TimestampTz until, const char *because)
{
	Datum values[5] = {0};
	bool  nulls[5] = {false, true, false, true, true};

	values[0] = CStringGetTextDatum(what);
	values[2] = BoolGetDatum(member);
	values[3] = TimestampTzGetDatum(until);
	nulls[3] = TIMESTAMP_NOT_FINITE(until);
	nulls[4] = because == NULL;
	if (because != NULL)
		values[4] = CStringGetTextDatum(because);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* What was decided by hand; false if nothing was. */
static bool
explain_hand(ReturnSetInfo *result, MaContact *contact, int list)
{
	for (int i = 0; i < contact->noverrides; i++)
	{
		MaOverride *override = &contact->overrides[i];

		if (override->list != list)
			continue;
		put_membership(
			result,
			override->entered ? "put there by hand" : "taken out by hand",
			override->entered, override->until,
			contact->set->definitions->lists[list].is_static ?
				NULL :
				"add_to_list() and remove_from_list() beat the predicate");
		return true;
	}
	return false;
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
	MaSetting	   own;
	int			   list = 0;
	bool		   decided;

	InitMaterializedSRF(fcinfo, 0);
	while (list < definitions->nlists &&
		   definitions->lists[list].list_id != list_id)
		list++;
	if (list == definitions->nlists)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("list \"%s\" was dropped meanwhile", name)));
	if (contact == NULL)
		elog(ERROR, "contact has no state");
	decided = explain_hand(result, contact, list);
	if (definitions->lists[list].expr == NULL)
	{
		if (!decided)
			put_membership(result,
						   is_static ? "put there by hand" :
									   "predicate that does not compile",
						   contact->member[list], DT_NOEND, NULL);
		return (Datum) 0;
	}
	conditions = ma_expr_conditions(definitions->lists[list].expr,
									CurrentMemoryContext);
	ma_setting_enter(&own);
	PG_TRY();
	{
		for (int i = 0; i < ma_expr_count(conditions); i++)
			explain_condition(result, contact, conditions, i);
	}
	PG_FINALLY();
	{
		ma_setting_leave(&own);
	}
	PG_END_TRY();
	return (Datum) 0;
}
