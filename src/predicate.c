/*
 * predicate.c
 *	  SQL expressions of definitions: compiled once, evaluated many times.
 *
 * A list, a scoring condition, the entry of a workflow, a column mapping of a
 * source: all are SQL expressions over names of ours. The text goes through
 * PostgreSQL's own grammar; our names become parameters (predicate_names.c,
 * predicate_history.c); PostgreSQL's own analysis gives types and operators;
 * what is not built in or not immutable is refused (predicate_check.c); the
 * executor evaluates, and asks for each parameter only when it needs it, so
 * its own short-circuiting tells which of them mattered and until when the
 * result holds.
 *
 * Everything is compiled and evaluated under one set of settings, whatever
 * the session's are: a text means the same in every session.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type_d.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/bitmapset.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "parser/parse_collate.h"
#include "parser/parse_expr.h"
#include "parser/parse_node.h"
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

static MaExpr *compile_text(const MaExprSource *source, MemoryContext cxt);
static void	   compile_target(MaCompile *compile, MaExpr *expr, int i,
							  ResTarget *target);
static void	   init_targets(MaExpr *expr);
static ParamExternData *fetch(ParamListInfo params, int id, bool speculative,
							  ParamExternData *workspace);

/* A text to compile. */
typedef struct Compilation
{
	const MaExprSource *source;
	MemoryContext		cxt;
	MaExpr			   *expr;
} Compilation;

static void
compile_pinned(void *arg)
{
	Compilation *compilation = arg;

	compilation->expr = compile_text(compilation->source, compilation->cxt);
}

/*
 * Compiles a text into a memory context of its own below cxt. Errors carry
 * the position in the text.
 */
MaExpr *
ma_expr_compile(const MaExprSource *source, MemoryContext cxt)
{
	Compilation compilation = {source, cxt};

	ma_expr_pinned(source->text, compile_pinned, &compilation);
	return compilation.expr;
}

/* Compiles under pinned settings; re-parents the result when it is whole. */
static MaExpr *
compile_text(const MaExprSource *source, MemoryContext cxt)
{
	MemoryContext own = AllocSetContextCreate(
		CurrentMemoryContext, "mautomate expression", ALLOCSET_SMALL_SIZES);
	MaExpr *expr = ma_expr_from_raw(source, ma_expr_parse(source), own);

	MemoryContextSetParent(own, cxt);
	return expr;
}

/* Compiles raw targets into an expression that lives in cxt. */
MaExpr *
ma_expr_from_raw(const MaExprSource *source, List *targets, MemoryContext cxt)
{
	MaCompile compile = {.source = source, .cxt = cxt};
	MaExpr	 *expr = MemoryContextAllocZero(cxt, sizeof(MaExpr));
	int		  i = 0;
	ListCell *lc;

	expr->cxt = cxt;
	expr->text = MemoryContextStrdup(cxt, source->text);
	expr->ntargets = list_length(targets);
	expr->targets =
		MemoryContextAllocZero(cxt, expr->ntargets * sizeof(MaTarget));
	foreach (lc, targets)
		compile_target(&compile, expr, i++, lfirst_node(ResTarget, lc));
	expr->nslots = compile.nslots;
	expr->slots = compile.slots;
	for (i = 0; i < expr->nslots; i++)
	{
		MaSlot *slot = &expr->slots[i];

		if (slot->kind == MA_SLOT_ELAPSED || slot->kind == MA_SLOT_REMAINING ||
			slot->kind == MA_SLOT_ANNIVERSARY ||
			(slot->signal != NULL && slot->signal->windowed))
			expr->is_timed = true;
		if (ma_value_depends_on_zone(slot->type))
			expr->zoned = true;
	}

	init_targets(expr);
	return expr;
}

/* Makes the analysed targets ready to be evaluated. */
static void
init_targets(MaExpr *expr)
{
	MemoryContext old = MemoryContextSwitchTo(expr->cxt);

	expr->params = palloc0(offsetof(ParamListInfoData, params));
	expr->params->paramFetch = fetch;
	expr->params->paramFetchArg = expr;
	expr->params->numParams = expr->nslots;
	expr->econtext = CreateStandaloneExprContext();
	expr->econtext->ecxt_param_list_info = expr->params;
	for (int i = 0; i < expr->ntargets; i++)
		expr->targets[i].state =
			ExecInitExprWithParams(expr->targets[i].expr, expr->params);
	MemoryContextSwitchTo(old);
}

/* Appends the conditions that and, or and not (of such) join. */
static List *
add_conditions(List *conditions, Expr *expr)
{
	ListCell *lc;

	if (!IsA(expr, BoolExpr) ||
		(((BoolExpr *) expr)->boolop == NOT_EXPR &&
		 !IsA(linitial(((BoolExpr *) expr)->args), BoolExpr)))
		return lappend(conditions, expr);
	foreach (lc, ((BoolExpr *) expr)->args)
		conditions = add_conditions(conditions, lfirst(lc));
	return conditions;
}

/*
 * The single conditions of a predicate as targets of an expression of their
 * own, in the order in which they are written. It shares the slots of the
 * other one and must not outlive it.
 */
MaExpr *
ma_expr_conditions(const MaExpr *expr, MemoryContext cxt)
{
	MemoryContext old = MemoryContextSwitchTo(cxt);
	List		 *conditions = add_conditions(NIL, expr->targets[0].expr);
	MaExpr		 *result = palloc(sizeof(MaExpr));

	*result = *expr;
	result->cxt = cxt;
	result->ntargets = list_length(conditions);
	result->targets = palloc0(result->ntargets * sizeof(MaTarget));
	for (int i = 0; i < result->ntargets; i++)
	{
		result->targets[i].expr = list_nth(conditions, i);
		result->targets[i].type = BOOLOID;
	}
	init_targets(result);
	MemoryContextSwitchTo(old);
	return result;
}

/* Walks a tree for ma_expr_target_slots(). */
static bool
collect_params(Node *node, Bitmapset **slots)
{
	if (node == NULL)
		return false;
	if (IsA(node, Param))
		*slots = bms_add_member(*slots, ((Param *) node)->paramid - 1);
	return expression_tree_walker(node, collect_params, slots);
}

/* The slots that a target reads. */
Bitmapset *
ma_expr_target_slots(const MaExpr *expr, int i)
{
	Bitmapset *slots = NULL;

	collect_params((Node *) expr->targets[i].expr, &slots);
	return slots;
}

/* p_paramref_hook: our slots are external parameters. */
static Node *
resolve_param(ParseState *pstate, ParamRef *ref)
{
	MaCompile *compile = pstate->p_ref_hook_state;
	Param	  *param = makeNode(Param);

	param->paramkind = PARAM_EXTERN;
	param->paramid = ref->number;
	param->paramtype = compile->slots[ref->number - 1].type;
	param->paramtypmod = -1;
	param->paramcollid = get_typcollation(param->paramtype);
	param->location = ref->location;
	return (Node *) param;
}

/* The name of a target: given, or that of the plain column it is. */
const char *
ma_expr_target_name(const ResTarget *target)
{
	ColumnRef *ref = (ColumnRef *) target->val;

	if (target->name != NULL)
		return target->name;
	if (IsA(ref, ColumnRef) && IsA(llast(ref->fields), String))
		return strVal(llast(ref->fields));
	return NULL;
}

/* Analyses, checks and simplifies one target. */
static void
compile_target(MaCompile *compile, MaExpr *expr, int i, ResTarget *target)
{
	const MaExprSource *source = compile->source;
	MaTarget		   *result = &expr->targets[i];
	ParseState		   *pstate = make_parsestate(NULL);
	const char		   *name = ma_expr_target_name(target);
	MemoryContext		old;
	bool				can_raise;
	bool				zoned;
	Node			   *node;

	if (source->select_list && name == NULL)
		ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR),
						errmsg("expression has no name"),
						errhint("Write \"<expression> as <name>\"."),
						ma_expr_at(target->location)));
	pstate->p_sourcetext = source->text;
	pstate->p_paramref_hook = resolve_param;
	pstate->p_ref_hook_state = compile;
	node = ma_names_rewrite(compile, target->val, source->type);
	node = transformExpr(pstate, node, EXPR_KIND_SELECT_TARGET);
	if (source->type == BOOLOID)
		node = coerce_to_boolean(pstate, node, "condition");
	else if (OidIsValid(source->type))
	{
		Oid from = exprType(node);

		node = coerce_to_target_type(pstate, node, from, source->type, -1,
									 COERCION_ASSIGNMENT, COERCE_IMPLICIT_CAST,
									 -1);
		if (node == NULL)
			ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
							errmsg("expression must be of type %s, not %s",
								   format_type_be(source->type),
								   format_type_be(from)),
							ma_expr_at(target->location)));
	}
	else if (exprType(node) == UNKNOWNOID)
		node = coerce_to_common_type(pstate, node, TEXTOID, "expression");
	assign_expr_collations(pstate, node);
	free_parsestate(pstate);
	ma_check_tree(node, compile, &can_raise, &zoned);
	expr->can_raise = expr->can_raise || can_raise;
	expr->zoned = expr->zoned || zoned;

	old = MemoryContextSwitchTo(compile->cxt);
	result->name = name ? pstrdup(name) : NULL;
	result->type = exprType(node);
	result->expr = copyObject(expression_planner((Expr *) node));
	MemoryContextSwitchTo(old);
}

int
ma_expr_count(const MaExpr *expr)
{
	return expr->ntargets;
}

const char *
ma_expr_name(const MaExpr *expr, int i)
{
	return expr->targets[i].name;
}

Oid
ma_expr_type(const MaExpr *expr, int i)
{
	return expr->targets[i].type;
}

/* What the names and calls in the expression stand for. */
int
ma_expr_slots(const MaExpr *expr, MaSlot **slots)
{
	*slots = expr->slots;
	return expr->nslots;
}

/* The slot that is all of the expression; NULL if it is more than one. */
const MaSlot *
ma_expr_only_slot(const MaExpr *expr)
{
	Param *param = (Param *) expr->targets[0].expr;

	if (expr->ntargets != 1 || !IsA(param, Param))
		return NULL;
	return &expr->slots[param->paramid - 1];
}

/* May evaluating it raise an error? */
bool
ma_expr_can_raise(const MaExpr *expr)
{
	return expr->can_raise;
}

/* May its result change by the passing of time alone? */
bool
ma_expr_is_timed(const MaExpr *expr)
{
	return expr->is_timed;
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
