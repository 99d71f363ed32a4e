/*
 * predicate_eval.c
 *	  Evaluate compiled expressions, and find out until when that holds.
 *
 * The executor asks for the value of a slot when it needs it. What was asked
 * for says until when the result holds: the nearest instant at which one of
 * these values changes by time alone. An expression that is nothing but one
 * slot does not need the executor.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type_d.h"
#include "executor/executor.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "anniversary.h"
#include "clock.h"
#include "predicate_private.h"
#include "setting.h"
#include "value.h"
#include "zone.h"

static ParamExternData *fetch(ParamListInfo params, int id, bool speculative,
							  ParamExternData *workspace);

/* Is a slot an answer that is the same whatever the settings are? */
static bool
is_plain_answer(const MaExpr *expr, const MaSlot *slot)
{
	switch (slot->kind)
	{
		case MA_SLOT_SIGNAL:
		case MA_SLOT_COMPARE:
			return slot->signal->function != MA_DISTINCT &&
				   slot->signal->function != MA_LAST_VALUE;
		case MA_SLOT_ELAPSED:
		case MA_SLOT_REMAINING:
			return is_plain_answer(expr, &expr->slots[slot->time]);
		case MA_SLOT_TIME:
		case MA_SLOT_IN_LIST:
			return true;
		default:
			return false;
	}
}

/* Makes the analysed targets ready to be evaluated. */
void
ma_eval_init(MaExpr *expr)
{
	MemoryContext old = MemoryContextSwitchTo(expr->cxt);
	const MaSlot *only = ma_expr_only_slot(expr);

	expr->params = palloc0(offsetof(ParamListInfoData, params));
	expr->params->paramFetch = fetch;
	expr->params->paramFetchArg = expr;
	expr->params->numParams = expr->nslots;
	expr->econtext = CreateStandaloneExprContext();
	expr->econtext->ecxt_param_list_info = expr->params;
	expr->direct =
		only != NULL && is_plain_answer(expr, only) ? only - expr->slots : -1;
	for (int i = 0; i < expr->ntargets; i++)
		expr->targets[i].state =
			ExecInitExprWithParams(expr->targets[i].expr, expr->params);
	MemoryContextSwitchTo(old);
}

/* A property of the event, by path and type. */
static Datum
json_value(Jsonb *object, const MaSlot *slot, bool *isnull)
{
	JsonbValue value;

	if (object == NULL ||
		!ma_value_lookup(object, slot->path, slot->npath, &value))
	{
		*isnull = true;
		return (Datum) 0;
	}
	if (slot->type == INT8OID)
	{
		Datum number = ma_value_from_json(&value, NUMERICOID, isnull);

		return *isnull ? number : DirectFunctionCall1(numeric_int8, number);
	}
	return ma_value_from_json(&value, slot->type, isnull);
}

/* A column of the row; enums as text. */
static Datum
column_value(const MaInput *input, const MaSlot *slot, bool *isnull)
{
	Form_pg_attribute att =
		TupleDescAttr(input->row->tts_tupleDescriptor, slot->column);
	Datum value = slot_getattr(input->row, slot->column + 1, isnull);

	if (!*isnull && slot->type == TEXTOID && type_is_enum(att->atttypid))
	{
		Oid	 output;
		bool varlena;

		getTypeOutputInfo(att->atttypid, &output, &varlena);
		return CStringGetTextDatum(OidOutputFunctionCall(output, value));
	}
	return value;
}

/* How far now is from a time: `now <op> time + span` and its mirror. */
static void
compare_elapsed(MaExpr *expr, const MaSlot *slot, ParamExternData *result)
{
	MaInput		   *input = expr->input;
	ParamExternData time;
	MaOperator		op = slot->op;
	TimestampTz		edge;
	TimestampTz		flips;

	fetch(expr->params, slot->time + 1, false, &time);
	result->isnull = time.isnull;
	if (time.isnull)
		return;
	if (slot->kind == MA_SLOT_ELAPSED)
		edge = ma_time_add(DatumGetTimestampTz(time.value), &slot->span, 1,
						   ma_timezone());
	else
	{
		static const MaOperator mirror[] = {MA_GT, MA_GE, MA_EQ,
											MA_NE, MA_LE, MA_LT};

		edge = ma_time_add(DatumGetTimestampTz(time.value), &slot->span, -1,
						   ma_timezone());
		op = mirror[op];
	}
	result->value = BoolGetDatum(
		ma_signal_test(op, (input->now > edge) - (input->now < edge)));
	if (TIMESTAMP_NOT_FINITE(edge))
		return;
	flips = (op == MA_GT || op == MA_LE) ? edge + 1 : edge;
	if (flips > input->now)
		input->horizon = Min(input->horizon, flips);
}

/* Is it that day of the year, where the contact is? */
static void
fetch_anniversary(MaExpr *expr, const MaSlot *slot, ParamExternData *result)
{
	MaInput		   *input = expr->input;
	ParamExternData time;
	ParamExternData name;
	TimestampTz		until;
	DateADT			date;
	pg_tz		   *zone = NULL;

	fetch(expr->params, slot->time + 1, false, &time);
	result->isnull = time.isnull;
	if (time.isnull)
		return;
	fetch(expr->params, slot->zone + 1, false, &name);
	if (!name.isnull)
		zone = ma_zone(TextDatumGetCString(name.value));
	if (zone == NULL)
		zone = ma_timezone();
	if (time.ptype == DATEOID)
		date = DatumGetDateADT(time.value);
	else if (time.ptype == TIMESTAMPOID)
		date =
			DatumGetDateADT(DirectFunctionCall1(timestamp_date, time.value));
	else
		date = ma_anniversary_day(DatumGetTimestampTz(time.value), zone);
	result->value =
		BoolGetDatum(ma_anniversary_holds(date, input->now, zone, &until));
	input->horizon = Min(input->horizon, until);
}

/* What the history answers. */
static void
fetch_signal(MaInput *input, const MaSlot *slot, ParamExternData *result)
{
	MaPerson	 *person = (MaPerson *) input->contact;
	const MaCell *cell = person->cell(person, slot->signal);
	MaAnswer	  answer;

	if (slot->kind == MA_SLOT_COMPARE)
		ma_signal_compare(slot->signal, cell, slot->op, slot->constant,
						  input->now, &answer);
	else
		ma_signal_answer(slot->signal, cell, input->now, &answer);
	result->value = answer.value;
	result->isnull = answer.isnull;
	input->horizon = Min(input->horizon, answer.until);
}

/* What the event says. */
static void
fetch_event(MaInput *input, const MaSlot *slot, ParamExternData *result)
{
	MaEvent *event = input->event;

	switch (slot->kind)
	{
		case MA_SLOT_EVENT_KIND:
			result->value = CStringGetTextDatum(event->kind);
			break;
		case MA_SLOT_EVENT_TIME:
			result->value = TimestampTzGetDatum(event->occurred_at);
			break;
		case MA_SLOT_EVENT_NTH:
			result->value = Int64GetDatum(event->nth);
			result->isnull = event->nth == 0;
			break;
		default:
			result->value =
				json_value(event->properties, slot, &result->isnull);
			break;
	}
}

/* paramFetch: the executor asks for the value of a slot. */
static ParamExternData *
fetch(ParamListInfo params, int id, bool speculative,
	  ParamExternData *workspace)
{
	MaExpr	 *expr = params->paramFetchArg;
	MaSlot	 *slot = &expr->slots[id - 1];
	MaInput	 *input = expr->input;
	MaPerson *person = (MaPerson *) input->contact;

	workspace->ptype = slot->type;
	workspace->pflags = 0;
	workspace->isnull = false;
	workspace->value = (Datum) 0;
	switch (slot->kind)
	{
		case MA_SLOT_ATTRIBUTE:
			workspace->value =
				person->attribute(person, slot, &workspace->isnull);
			break;
		case MA_SLOT_EVENT:
		case MA_SLOT_EVENT_KIND:
		case MA_SLOT_EVENT_TIME:
		case MA_SLOT_EVENT_NTH:
			fetch_event(input, slot, workspace);
			break;
		case MA_SLOT_ENTRY:
			workspace->value =
				json_value(input->entry, slot, &workspace->isnull);
			break;
		case MA_SLOT_CONTEXT:
			workspace->value =
				json_value(input->context, slot, &workspace->isnull);
			break;
		case MA_SLOT_STEPS:
			workspace->value =
				json_value(input->steps, slot, &workspace->isnull);
			break;
		case MA_SLOT_COLUMN:
			workspace->value = column_value(input, slot, &workspace->isnull);
			break;
		case MA_SLOT_SIGNAL:
		case MA_SLOT_COMPARE:
			fetch_signal(input, slot, workspace);
			break;
		case MA_SLOT_ELAPSED:
		case MA_SLOT_REMAINING:
			compare_elapsed(expr, slot, workspace);
			break;
		case MA_SLOT_TIME:
			workspace->value = slot->constant;
			break;
		case MA_SLOT_ANNIVERSARY:
			fetch_anniversary(expr, slot, workspace);
			break;
		case MA_SLOT_TAG:
			workspace->value = BoolGetDatum(person->tag(person, slot));
			break;
		case MA_SLOT_IN_LIST:
			workspace->value = BoolGetDatum(person->in_list(person, slot));
			break;
		case MA_SLOT_SCORE:
		case MA_SLOT_TIER:
			workspace->value = person->score(person, slot, &workspace->isnull);
			break;
	}
	return workspace;
}

/* What the executor would do about a slot that is all of an expression. */
static Datum
eval_direct(MaExpr *expr, bool *isnull)
{
	MemoryContext old =
		MemoryContextSwitchTo(expr->econtext->ecxt_per_tuple_memory);
	ParamExternData value;

	fetch(expr->params, expr->direct + 1, false, &value);
	MemoryContextSwitchTo(old);
	*isnull = value.isnull;
	return value.value;
}

/*
 * Evaluates a target. The value lives until the expression is evaluated
 * again; input->horizon tells until when it holds if nothing happens. What
 * the session's TimeZone and DateStyle are does not matter.
 */
Datum
ma_expr_eval(MaExpr *expr, int i, MaInput *input, bool *isnull)
{
	volatile Datum value = (Datum) 0;

	input->horizon = DT_NOEND;
	expr->input = input;
	ResetExprContext(expr->econtext);
	if (expr->direct >= 0)
		return eval_direct(expr, isnull);
	if (!expr->zoned)
		value = ExecEvalExprSwitchContext(expr->targets[i].state,
										  expr->econtext, isnull);
	else
	{
		MaSetting own;

		ma_setting_enter(&own);
		PG_TRY();
		{
			value = ExecEvalExprSwitchContext(expr->targets[i].state,
											  expr->econtext, isnull);
		}
		PG_FINALLY();
		{
			ma_setting_leave(&own);
		}
		PG_END_TRY();
	}
	return value;
}

/* Does a boolean expression hold (true, not null)? */
bool
ma_expr_holds(MaExpr *expr, MaInput *input)
{
	bool  isnull;
	Datum value = ma_expr_eval(expr, 0, input, &isnull);

	return !isnull && DatumGetBool(value);
}
