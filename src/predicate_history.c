/*
 * predicate_history.c
 *	  Calls about the history of a contact, within expressions.
 *
 *	count('purchase', within => '365 days') filter (where event.total > 10)
 *	sum('purchase', 'total'), avg, min, max
 *	first_at('purchase'), last_at('purchase')
 *	ever('purchase', within => '6 months'), never('purchase')
 *	elapsed('purchase') > '60 days', remaining(contact.renewal) < '30 days'
 *	in_list('loyal'), score('engagement'), tier('engagement')
 *
 * Where an answer is compared with a constant, the whole comparison becomes
 * one boolean slot: then it is known when the comparison flips, and how many
 * timestamps are needed to answer it.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_type.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "predicate_private.h"

/* The most timestamps a comparison of a count may ask for. */
#define COUNT_MAX	10000

/* A call we know: what it answers and what it takes. */
typedef struct Call
{
	const char *name;
	MaSignalFunction function;
	bool		takes_property;	/* second argument: whose values */
	Oid			type;			/* of the answer */
	const char *usage;			/* for hints */
} Call;

static const Call calls[] = {
	{"count", MA_COUNT, false, INT8OID,
	"count('<kind>' [, within => '<interval>'])"},
	{"sum", MA_SUM, true, NUMERICOID,
	"sum('<kind>', '<property>' [, within => '<interval>'])"},
	{"avg", MA_AVG, true, NUMERICOID,
	"avg('<kind>', '<property>' [, within => '<interval>'])"},
	{"min", MA_MIN, true, NUMERICOID,
	"min('<kind>', '<property>' [, within => '<interval>'])"},
	{"max", MA_MAX, true, NUMERICOID,
	"max('<kind>', '<property>' [, within => '<interval>'])"},
	{"first_at", MA_FIRST_AT, false, TIMESTAMPTZOID,
	"first_at('<kind>' [, within => '<interval>'])"},
	{"last_at", MA_LAST_AT, false, TIMESTAMPTZOID,
	"last_at('<kind>' [, within => '<interval>'])"},
	{"ever", MA_EVER, false, BOOLOID,
	"ever('<kind>' [, within => '<interval>'])"},
	{"never", MA_EVER, false, BOOLOID,
	"never('<kind>' [, within => '<interval>'])"},
};

static MaSlot *add_signal(MaCompile *compile, FuncCall *call,
						  const Call *known, Node **param);
static Node *elapsed_comparison(MaCompile *compile, MaSlotKind kind,
								Node *time, MaOperator op,
								const Interval *span, int location);

/* The name of an unqualified call, NULL otherwise. */
static const char *
call_name(Node *node)
{
	if (node == NULL || !IsA(node, FuncCall) ||
		list_length(((FuncCall *) node)->funcname) != 1)
		return NULL;
	return strVal(linitial(((FuncCall *) node)->funcname));
}

static const Call *
find_call(const char *name)
{
	for (int i = 0; name != NULL && i < lengthof(calls); i++)
		if (strcmp(calls[i].name, name) == 0)
			return &calls[i];
	return NULL;
}

static bool
is_named(Node *node, const char *name)
{
	const char *called = call_name(node);

	return called != NULL && strcmp(called, name) == 0;
}

/* A string constant, NULL if the node is none. */
static const char *
string_constant(Node *node)
{
	A_Const    *constant = (A_Const *) node;

	if (node == NULL || !IsA(node, A_Const) || constant->isnull ||
		nodeTag(&constant->val) != T_String)
		return NULL;
	return strVal(&constant->val);
}

/* Does the call have a name of ours, whatever its arguments? */
bool
ma_history_is_name(Node *node)
{
	return find_call(call_name(node)) != NULL;
}

/*
 * Is this one of our calls? Those that SQL has too (count, sum, ...) only
 * with a string as first argument.
 */
bool
ma_history_is_call(Node *node)
{
	const char *name = call_name(node);

	if (name == NULL)
		return false;
	if (find_call(name) != NULL || is_named(node, "in_list") ||
		is_named(node, "score") || is_named(node, "tier"))
		return ((FuncCall *) node)->args != NIL &&
			string_constant(linitial(((FuncCall *) node)->args)) != NULL;
	return is_named(node, "elapsed") || is_named(node, "remaining");
}

static void
wrong_call(const char *usage, int location)
{
	ereport(ERROR,
			(errcode(ERRCODE_SYNTAX_ERROR),
			 errmsg("wrong arguments of a call about the history"),
			 errhint("Write %s.", usage),
			 errposition(location + 1)));
}

/* A string or interval constant as an interval; false if it is neither. */
static bool
interval_constant(Node *node, Interval *span)
{
	const char *text;

	if (node != NULL && IsA(node, TypeCast))
	{
		TypeCast   *cast = (TypeCast *) node;

		if (typenameTypeId(NULL, cast->typeName) != INTERVALOID)
			return false;
		node = cast->arg;
	}
	text = string_constant(node);
	if (text == NULL)
		return false;
	*span = *DatumGetIntervalP(DirectFunctionCall3(interval_in,
												   CStringGetDatum(text),
												   ObjectIdGetDatum(InvalidOid),
												   Int32GetDatum(-1)));
	return true;
}

/* An interval constant that a window may have: longer than nothing. */
static void
window_constant(Node *node, Interval *span, const char *usage, int location)
{
	if (!interval_constant(node, span))
		wrong_call(usage, location);
	if (span->month < 0 || span->day < 0 || span->time < 0 ||
		(span->month == 0 && span->day == 0 && span->time == 0))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("within must be longer than nothing"),
				 errposition(exprLocation(node) + 1)));
}

static char *
interval_text(const Interval *span)
{
	return DatumGetCString(DirectFunctionCall1(interval_out,
											   IntervalPGetDatum(span)));
}

/* Compiles the filter of a call: event.x of the kind, and constants. */
static void
set_filter(MaCompile *compile, MaSignal *signal, Node *filter)
{
	MaExprSource source = {
		.text = compile->source->text, .names = MA_NAMES_EVENT,
		.event_kind = signal->kind, .type = BOOLOID
	};
	ResTarget  *target = makeNode(ResTarget);

	target->val = filter;
	target->location = exprLocation(filter);
	signal->filter = ma_expr_from_raw(&source, list_make1(target),
									  compile->cxt);
	signal->filter_text = MemoryContextStrdup(compile->cxt,
											  ma_expr_deparse(signal->filter,
															  0));
}

/* How a call is written, canonically. */
static char *
signal_text(MaCompile *compile, const char *name, const MaSignal *signal)
{
	StringInfoData s;

	initStringInfo(&s);
	appendStringInfo(&s, "%s(%s", name, quote_literal_cstr(signal->kind));
	if (signal->property[0] != '\0')
		appendStringInfo(&s, ", %s", quote_literal_cstr(signal->property));
	if (signal->windowed)
		appendStringInfo(&s, ", within => '%s'",
						 interval_text(&signal->within));
	appendStringInfoChar(&s, ')');
	if (signal->filter_text[0] != '\0')
		appendStringInfo(&s, " filter (where %s)", signal->filter_text);
	return MemoryContextStrdup(compile->cxt, s.data);
}

/* Reads the arguments of a call into a new signal. */
static MaSignal *
make_signal(MaCompile *compile, FuncCall *call, const Call *known)
{
	MaSignal   *signal = MemoryContextAllocZero(compile->cxt,
												sizeof(MaSignal));
	int			n = 0;
	ListCell   *lc;

	if (!(compile->source->names & MA_NAMES_HISTORY))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("%s asks about the history of a contact, which this "
						"expression cannot do", known->name),
				 errposition(call->location + 1)));
	if (call->agg_star || call->agg_distinct || call->agg_order != NIL ||
		call->agg_within_group || call->func_variadic)
		wrong_call(known->usage, call->location);
	signal->function = known->function;
	signal->type = known->type;
	signal->property = signal->filter_text = "";
	signal->capacity = MA_UNBOUNDED;
	signal->cell = -1;
	foreach(lc, call->args)
	{
		Node	   *arg = lfirst(lc);
		const char *text = string_constant(arg);

		if (IsA(arg, NamedArgExpr) &&
			strcmp(((NamedArgExpr *) arg)->name, "within") == 0)
		{
			Interval	within;

			window_constant((Node *) ((NamedArgExpr *) arg)->arg, &within,
							known->usage, call->location);
			ma_signal_set_window(signal, &within);
		}
		else if (text != NULL && text[0] != '\0' && n == 0)
			signal->kind = MemoryContextStrdup(compile->cxt, text);
		else if (text != NULL && text[0] != '\0' && n == 1 &&
				 known->takes_property)
			signal->property = MemoryContextStrdup(compile->cxt, text);
		else
			wrong_call(known->usage, call->location);
		n++;
	}
	if (known->takes_property && signal->property[0] == '\0')
		wrong_call(known->usage, call->location);
	if (call->agg_filter != NULL)
		set_filter(compile, signal, call->agg_filter);
	return signal;
}

/* A slot for a signal; the parameter goes to *param. */
static MaSlot *
add_signal(MaCompile *compile, FuncCall *call, const Call *known,
		   Node **param)
{
	MaSignal   *signal = make_signal(compile, call, known);
	MaSlot	   *slot = ma_names_add_slot(compile, param, call->location);

	slot->kind = MA_SLOT_SIGNAL;
	slot->type = signal->type;
	slot->signal = signal;
	slot->text = signal_text(compile, known->function == MA_EVER ?
							 "ever" : known->name, signal);
	return slot;
}

/* in_list('x'), score('x'), tier('x') */
static Node *
object_call(MaCompile *compile, FuncCall *call, MaSlotKind kind, Oid type)
{
	const char *name = call_name((Node *) call);
	const char *object = string_constant(linitial(call->args));
	Node	   *param;
	MaSlot	   *slot;

	if (!(compile->source->names & MA_NAMES_HISTORY))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("%s cannot be used in this expression", name),
				 errposition(call->location + 1)));
	if (list_length(call->args) != 1 || call->agg_filter != NULL)
		wrong_call(psprintf("%s('<name>')", name), call->location);
	slot = ma_names_add_slot(compile, &param,
							 exprLocation(linitial(call->args)));
	slot->kind = kind;
	slot->type = type;
	slot->object = MemoryContextStrdup(compile->cxt, object);
	slot->text = MemoryContextStrdup(compile->cxt,
									 psprintf("%s(%s)", name,
											  quote_literal_cstr(object)));
	return param;
}

/* One of our calls, not compared with a constant. */
Node *
ma_history_call(MaCompile *compile, FuncCall *call, Oid hint)
{
	const char *name = call_name((Node *) call);
	Node	   *param;

	if (strcmp(name, "in_list") == 0)
		return object_call(compile, call, MA_SLOT_IN_LIST, BOOLOID);
	if (strcmp(name, "score") == 0)
		return object_call(compile, call, MA_SLOT_SCORE, FLOAT8OID);
	if (strcmp(name, "tier") == 0)
		return object_call(compile, call, MA_SLOT_TIER, TEXTOID);
	if (strcmp(name, "elapsed") == 0 || strcmp(name, "remaining") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("%s must be compared with a constant interval by "
						"<, <=, > or >=", name),
				 errhint("Write %s(...) > '30 days', for example; between "
						 "two intervals, join two comparisons by and.", name),
				 errposition(call->location + 1)));
	add_signal(compile, call, find_call(name), &param);
	if (strcmp(name, "never") == 0)
		return (Node *) makeBoolExpr(NOT_EXPR, list_make1(param),
									 call->location);
	return param;
}

/* A comparison operator by its name; false if it is none. */
static bool
comparison_operator(A_Expr *expr, MaOperator *op)
{
	static const char *const names[] = {"<", "<=", "=", "<>", ">=", ">"};

	if (expr->kind != AEXPR_OP || expr->lexpr == NULL)
		return false;
	for (int i = 0; i < lengthof(names); i++)
		if (strcmp(strVal(llast(expr->name)), names[i]) == 0)
		{
			*op = (MaOperator) i;
			return true;
		}
	return false;
}

static const char *
operator_text(MaOperator op)
{
	static const char *const names[] = {"<", "<=", "=", "<>", ">=", ">"};

	return names[op];
}

/* The operator with its sides exchanged. */
static MaOperator
commuted(MaOperator op)
{
	static const MaOperator other[] = {
		MA_GT, MA_GE, MA_EQ, MA_NE, MA_LE, MA_LT
	};

	return other[op];
}

/* A number as text, NULL if the node is no number; a sign is allowed. */
static const char *
number_constant(Node *node)
{
	A_Const    *constant = (A_Const *) node;
	A_Expr	   *expr = (A_Expr *) node;

	if (node == NULL)
		return NULL;
	if (IsA(node, A_Expr) && expr->kind == AEXPR_OP && expr->lexpr == NULL &&
		strcmp(strVal(llast(expr->name)), "-") == 0)
	{
		const char *number = number_constant(expr->rexpr);

		return number && number[0] != '-' ? psprintf("-%s", number) : NULL;
	}
	if (!IsA(node, A_Const) || constant->isnull)
		return NULL;
	if (nodeTag(&constant->val) == T_Integer)
		return psprintf("%d", intVal(&constant->val));
	if (nodeTag(&constant->val) == T_Float)
		return castNode(Float, &constant->val)->fval;
	return NULL;
}

/* How many newest timestamps tell whether a count compares so? */
static int
count_capacity(int64 constant)
{
	if (constant > COUNT_MAX)
		return MA_UNBOUNDED;
	return constant < 0 ? 1 : (int) constant + 1;
}

/* signal <op> number, as one slot; NULL if it is not that. */
static Node *
number_comparison(MaCompile *compile, Node *side, MaOperator op, Node *other)
{
	const Call *known = find_call(call_name(side));
	const char *number = number_constant(other);
	MemoryContext old;
	MaSlot	   *slot;
	Node	   *param;

	if (known == NULL || number == NULL || !ma_history_is_call(side) ||
		(known->type != INT8OID && known->type != NUMERICOID))
		return NULL;
	if (known->type == INT8OID && strspn(number, "-0123456789") <
		strlen(number))
		return NULL;
	if (known->type == INT8OID && strlen(number) > 18)
		return NULL;
	slot = add_signal(compile, (FuncCall *) side, known, &param);
	slot->kind = MA_SLOT_COMPARE;
	slot->type = BOOLOID;
	slot->op = op;
	old = MemoryContextSwitchTo(compile->cxt);
	if (known->type == INT8OID)
	{
		slot->constant = DirectFunctionCall1(int8in, CStringGetDatum(number));
		slot->signal->capacity = count_capacity(DatumGetInt64(slot->constant));
	}
	else
		slot->constant = DirectFunctionCall3(numeric_in,
											 CStringGetDatum(number),
											 ObjectIdGetDatum(InvalidOid),
											 Int32GetDatum(-1));
	slot->text = psprintf("%s %s %s", slot->text, operator_text(op), number);
	MemoryContextSwitchTo(old);
	return param;
}

/* now(), current_timestamp: the present. */
static bool
is_now(Node *node)
{
	if (node != NULL && IsA(node, SQLValueFunction))
		return ((SQLValueFunction *) node)->op == SVFOP_CURRENT_TIMESTAMP;
	return is_named(node, "now") && ((FuncCall *) node)->args == NIL;
}

/* now(), now() + span, now() - span; sign is 0, 1 or -1. */
static bool
now_constant(Node *node, Interval *span, int *sign)
{
	A_Expr	   *expr = (A_Expr *) node;
	const char *op;

	memset(span, 0, sizeof(Interval));
	*sign = 0;
	if (is_now(node))
		return true;
	if (node == NULL || !IsA(node, A_Expr) || expr->kind != AEXPR_OP ||
		!is_now(expr->lexpr) || !interval_constant(expr->rexpr, span))
		return false;
	op = strVal(llast(expr->name));
	*sign = strcmp(op, "+") == 0 ? 1 : strcmp(op, "-") == 0 ? -1 : 0;
	return *sign != 0;
}

/* time <op> now() [+- span], rewritten to elapsed or remaining. */
static Node *
now_comparison(MaCompile *compile, Node *time, MaOperator op, Node *other,
			   int location)
{
	Interval	span;
	int			sign;

	if (!now_constant(other, &span, &sign))
		return NULL;
	if (sign > 0)
		return elapsed_comparison(compile, MA_SLOT_REMAINING, time, op, &span,
								  location);
	return elapsed_comparison(compile, MA_SLOT_ELAPSED, time, commuted(op),
							  &span, location);
}

/* elapsed(time) <op> span or remaining(time) <op> span, as one slot. */
static Node *
span_comparison(MaCompile *compile, Node *side, MaOperator op, Node *other,
				int location)
{
	bool		elapsed = is_named(side, "elapsed");
	FuncCall   *call = (FuncCall *) side;
	Node	   *time;
	Interval	span;

	if ((!elapsed && !is_named(side, "remaining")) ||
		!interval_constant(other, &span))
		return NULL;
	if (list_length(call->args) < 1)
		wrong_call("elapsed('<kind>') or elapsed(contact.<time>)",
				   call->location);
	time = linitial(call->args);
	if (string_constant(time) != NULL)
	{
		/* elapsed('kind', ...) is since last_at('kind', ...) */
		FuncCall   *last = copyObject(call);

		last->funcname = list_make1(makeString("last_at"));
		time = (Node *) last;
	}
	else if (list_length(call->args) != 1 || call->agg_filter != NULL)
		wrong_call("elapsed('<kind>') or elapsed(contact.<time>)",
				   call->location);
	return elapsed_comparison(compile,
							  elapsed ? MA_SLOT_ELAPSED : MA_SLOT_REMAINING,
							  time, op, &span, location);
}

/* Builds the slot for the distance of a time from now. */
static Node *
elapsed_comparison(MaCompile *compile, MaSlotKind kind, Node *time,
				   MaOperator op, const Interval *span, int location)
{
	const char *name = kind == MA_SLOT_ELAPSED ? "elapsed" : "remaining";
	MaSlot	   *slot;
	Node	   *param;
	int			inner;

	if (op == MA_EQ || op == MA_NE)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("time that passes cannot be compared by = or <>"),
				 errhint("Use <, <=, > or >=."),
				 errposition(location + 1)));
	time = ma_names_rewrite(compile, time, TIMESTAMPTZOID);
	if (!IsA(time, ParamRef))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("%s takes a kind of event, or a time such as "
						"contact.registered_at", name),
				 errposition(location + 1)));
	inner = ((ParamRef *) time)->number - 1;
	if (compile->slots[inner].type == DATEOID ||
		compile->slots[inner].type == TIMESTAMPOID)
		compile->slots[inner].type = TIMESTAMPTZOID;
	if (compile->slots[inner].type != TIMESTAMPTZOID)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("%s is no time", compile->slots[inner].text),
				 errhint("Declare it with define_attribute(..., "
						 "'timestamptz') or 'date'."),
				 errposition(location + 1)));
	slot = ma_names_add_slot(compile, &param, location);
	slot->kind = kind;
	slot->type = BOOLOID;
	slot->op = op;
	slot->span = *span;
	slot->time = inner;
	slot->text = MemoryContextStrdup(compile->cxt,
									 psprintf("%s(%s) %s '%s'", name,
											  compile->slots[inner].text,
											  operator_text(op),
											  interval_text(span)));
	return param;
}

/* count(...) between a and b, as two comparisons. */
static Node *
between_comparison(MaCompile *compile, A_Expr *expr)
{
	bool		negated = expr->kind == AEXPR_NOT_BETWEEN;
	List	   *bounds = (List *) expr->rexpr;
	Node	   *low;
	Node	   *high;

	if ((expr->kind != AEXPR_BETWEEN && !negated) ||
		find_call(call_name(expr->lexpr)) == NULL)
		return NULL;
	low = (Node *) makeSimpleA_Expr(AEXPR_OP, negated ? "<" : ">=",
									copyObject(expr->lexpr),
									linitial(bounds), expr->location);
	high = (Node *) makeSimpleA_Expr(AEXPR_OP, negated ? ">" : "<=",
									 expr->lexpr, lsecond(bounds),
									 expr->location);
	return (Node *)
		makeBoolExpr(negated ? OR_EXPR : AND_EXPR,
					 list_make2(ma_names_rewrite(compile, low, BOOLOID),
								ma_names_rewrite(compile, high, BOOLOID)),
					 expr->location);
}

/*
 * A comparison of an answer or of a time with a constant, as one boolean
 * parameter; NULL if the expression is something else.
 */
Node *
ma_history_comparison(MaCompile *compile, A_Expr *expr)
{
	MaOperator	op;
	Node	   *node;

	if (!comparison_operator(expr, &op))
		return between_comparison(compile, expr);
	for (int side = 0; side < 2; side++)
	{
		Node	   *one = side == 0 ? expr->lexpr : expr->rexpr;
		Node	   *other = side == 0 ? expr->rexpr : expr->lexpr;
		MaOperator	as = side == 0 ? op : commuted(op);

		if ((node = number_comparison(compile, one, as, other)) != NULL ||
			(node = span_comparison(compile, one, as, other,
									expr->location)) != NULL ||
			(node = now_comparison(compile, one, as, other,
								   expr->location)) != NULL)
			return node;
	}
	return NULL;
}
