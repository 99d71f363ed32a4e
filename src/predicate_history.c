/*
 * predicate_history.c
 *	  Calls about the history of a contact, within expressions.
 *
 *	count('purchase', within => '365 days') filter (where event.total > 10)
 *	sum('purchase', 'total'), avg, min, max
 *	count_distinct('purchase', 'product_id', within => '90 days')
 *	last_value('purchase', 'status')
 *	first_at('purchase'), last_at('purchase')
 *	ever('purchase', within => '6 months'), never('purchase')
 *	in_list('loyal'), score('engagement'), tier('engagement')
 *	was(contact.stage, 'lead') (predicate_was.c)
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

#include "guc.h"
#include "nearest.h"
#include "predicate_private.h"
#include "value.h"
#include "vocabulary.h"

/* The most timestamps a comparison of a count may ask for. */
#define COUNT_MAX 500

/* A call we know: what it answers and what it takes. */
typedef struct Call
{
	const char		*name;
	MaSignalFunction function;
	bool			 takes_property; /* second argument: whose values */
	Oid				 type;			 /* of the answer */
	const char		*usage;			 /* for hints */
} Call;

/* Which events: all calls take this. */
#define WINDOW \
	" [, within => '<interval>'] [, since => '<time>'] [, until => '<time>'])"

/* The fixed period of a call; NULL texts where it has no such bound. */
typedef struct Period
{
	const char *since;
	const char *until;
	TimestampTz from; /* the first instant in it */
	TimestampTz to;	  /* the first after it */
} Period;

static const Call calls[] = {
	{"count", MA_COUNT, false, INT8OID, "count('<kind>'" WINDOW},
	{"sum", MA_SUM, true, NUMERICOID, "sum('<kind>', '<property>'" WINDOW},
	{"avg", MA_AVG, true, NUMERICOID, "avg('<kind>', '<property>'" WINDOW},
	{"min", MA_MIN, true, NUMERICOID, "min('<kind>', '<property>'" WINDOW},
	{"max", MA_MAX, true, NUMERICOID, "max('<kind>', '<property>'" WINDOW},
	{"first_at", MA_FIRST_AT, false, TIMESTAMPTZOID,
	 "first_at('<kind>'" WINDOW},
	{"last_at", MA_LAST_AT, false, TIMESTAMPTZOID, "last_at('<kind>'" WINDOW},
	{"ever", MA_EVER, false, BOOLOID, "ever('<kind>'" WINDOW},
	{"count_distinct", MA_DISTINCT, true, INT8OID,
	 "count_distinct('<kind>', '<property>'" WINDOW},
	{"last_value", MA_LAST_VALUE, true, TEXTOID,
	 "last_value('<kind>', '<property>'"
	 " [, since => '<time>'] [, until => '<time>'])"},
	{"never", MA_EVER, false, BOOLOID, "never('<kind>'" WINDOW},
};

static MaSlot *add_signal(MaCompile *compile, FuncCall *call,
						  const Call *known, Node **param);

static const Call *
find_call(const char *name)
{
	for (int i = 0; name != NULL && i < lengthof(calls); i++)
		if (strcmp(calls[i].name, name) == 0)
			return &calls[i];
	return NULL;
}

/* How a call that has a name of ours is written; NULL if it has none. */
const char *
ma_history_usage(const FuncCall *call)
{
	const char *name = ma_raw_call((Node *) call);
	const Call *known = find_call(name);

	if (known != NULL && call->agg_distinct && known->function == MA_COUNT)
		known = find_call("count_distinct");
	return known != NULL ? known->usage : NULL;
}

/* What a function of signals is called in expressions. */
const char *
ma_history_name(MaSignalFunction function)
{
	for (int i = 0; i < lengthof(calls); i++)
		if (calls[i].function == function)
			return calls[i].name;
	elog(ERROR, "signal function %d has no name", (int) function);
}

/* The other names of ours. */
static const char *const others[] = {"anniversary", "elapsed",	 "has_tag",
									 "in_list",		"remaining", "score",
									 "tier",		"was"};

/* The name of ours nearest to one that nothing has, NULL if none is near. */
const char *
ma_history_nearest(const char *name)
{
	MaNearest nearest;

	ma_nearest_begin(&nearest, name);
	for (int i = 0; i < lengthof(calls); i++)
		ma_nearest_offer(&nearest, calls[i].name);
	for (int i = 0; i < lengthof(others); i++)
		ma_nearest_offer(&nearest, others[i]);
	return nearest.best;
}

/* Does the call have a name of ours, whatever its arguments? */
bool
ma_history_is_name(Node *node)
{
	return find_call(ma_raw_call(node)) != NULL;
}

/*
 * Is this one of our calls? Those that SQL has too (count, sum, ...) only
 * with a string as first argument.
 */
bool
ma_history_is_call(Node *node)
{
	const char *name = ma_raw_call(node);

	if (name == NULL)
		return false;
	if (find_call(name) != NULL)
		return ((FuncCall *) node)->args != NIL &&
			   ma_raw_string(linitial(((FuncCall *) node)->args)) != NULL;
	for (int i = 0; i < lengthof(others); i++)
		if (strcmp(name, others[i]) == 0)
			return true;
	return false;
}

/* Refuses arguments that a call does not take. */
void
ma_history_wrong_call(const char *usage, int location)
{
	ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR), errmsg("wrong arguments"),
					errhint("Write %s.", usage), ma_expr_at(location)));
}

/* An interval constant that a window may have: longer than nothing. */
static void
window_constant(Node *node, Interval *span, const char *usage, int location)
{
	if (!ma_raw_interval(node, span))
		ma_history_wrong_call(usage, location);
	if (span->month < 0 || span->day < 0 || span->time < 0 ||
		(span->month == 0 && span->day == 0 && span->time == 0))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("within must be longer than nothing"),
						errhint("Write how far back it reaches: within => "
								"'30 days'."),
						ma_expr_at(exprLocation(node))));
}

/* Compiles the filter of a call: event.x of the kind, and constants. */
static void
set_filter(MaCompile *compile, MaSignal *signal, Node *filter)
{
	MaExprSource source = {.text = compile->source->text,
						   .names = MA_NAMES_EVENT,
						   .event_kind = signal->kind,
						   .type = BOOLOID};
	ResTarget	*target = makeNode(ResTarget);

	target->val = filter;
	target->location = exprLocation(filter);
	signal->filter =
		ma_expr_from_raw(&source, list_make1(target), compile->cxt);
	signal->filter_text =
		MemoryContextStrdup(compile->cxt, ma_expr_deparse(signal->filter, 0));
}

/* event.occurred_at <op> t, as a raw tree. */
static Node *
time_condition(const char *op, TimestampTz t, int location)
{
	ColumnRef *ref = makeNode(ColumnRef);
	A_Const	  *constant = makeNode(A_Const);

	ref->fields = list_make2(makeString("event"), makeString("occurred_at"));
	ref->location = location;
	ma_raw_set_string(constant, DatumGetCString(DirectFunctionCall1(
									timestamptz_out, TimestampTzGetDatum(t))));
	constant->location = location;
	return (Node *) makeSimpleA_Expr(AEXPR_OP, unconstify(char *, op),
									 (Node *) ref, (Node *) constant,
									 location);
}

/* What the events of a call must satisfy: its period and its filter. */
static void
set_conditions(MaCompile *compile, MaSignal *signal, FuncCall *call,
			   const Period *period)
{
	List		  *conditions = NIL;
	StringInfoData s;

	initStringInfo(&s);
	if (call->agg_filter != NULL)
		set_filter(compile, signal, copyObject(call->agg_filter));
	if (period->since != NULL)
	{
		conditions = lappend(
			conditions, time_condition(">=", period->from, call->location));
		appendStringInfo(&s, ", since => %s",
						 quote_literal_cstr(period->since));
	}
	if (period->until != NULL)
	{
		conditions = lappend(conditions,
							 time_condition("<", period->to, call->location));
		appendStringInfo(&s, ", until => %s",
						 quote_literal_cstr(period->until));
	}
	appendStringInfoChar(&s, ')');
	if (signal->filter != NULL)
		appendStringInfo(&s, " filter (where %s)", signal->filter_text);
	signal->arguments = MemoryContextStrdup(compile->cxt, s.data);
	if (conditions == NIL)
		return;
	if (call->agg_filter != NULL)
		conditions = lappend(conditions, call->agg_filter);
	set_filter(compile, signal,
			   (Node *) makeBoolExpr(AND_EXPR, conditions, call->location));
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
						 ma_raw_interval_text(&signal->window.within));
	appendStringInfoString(&s, signal->arguments);
	return MemoryContextStrdup(compile->cxt, s.data);
}

/* within, since, until; false if it is none of them, or there already. */
static bool
named_argument(MaSignal *signal, NamedArgExpr *arg, Period *period,
			   const char *usage)
{
	Node	*value = (Node *) arg->arg;
	Interval within;

	if (strcmp(arg->name, "within") == 0 && !signal->windowed)
	{
		window_constant(value, &within, usage, arg->location);
		ma_window_set(&signal->window, &within);
		signal->windowed = true;
	}
	else if (strcmp(arg->name, "since") == 0 && period->since == NULL)
	{
		period->from = ma_time_bound(value, false, usage);
		period->since = ma_raw_string(value);
	}
	else if (strcmp(arg->name, "until") == 0 && period->until == NULL)
	{
		period->to = ma_time_bound(value, true, usage);
		period->until = ma_raw_string(value);
	}
	else
		return false;
	if (period->since && period->until && period->from >= period->to)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("until must be later than since"),
						errhint("A date means the whole day: since => "
								"'2026-01-01', until => '2026-12-31'."),
						ma_expr_at(exprLocation(value))));
	return true;
}

/* Does a signal need all that is in its window? */
static bool
is_whole(const MaSignal *signal)
{
	return signal->windowed && (signal->function == MA_FIRST_AT ||
								(signal->function == MA_COUNT &&
								 signal->capacity == MA_UNBOUNDED));
}

/* What the cell of a signal keeps; the ends of a window are of a zone. */
static void
set_form(MaCompile *compile, MaSignal *signal)
{
	const char *form = "";

	if (signal->function == MA_LAST_VALUE)
		form = "last";
	else if (signal->function == MA_DISTINCT)
		form = signal->windowed ?
				   psprintf("distinct %s %s",
							ma_raw_interval_text(&signal->window.within),
							ma_guc_timezone) :
				   "distinct";
	else if (is_whole(signal))
		form = "window";
	signal->form = MemoryContextStrdup(compile->cxt, form);
}

/* Reads the arguments of a call into a new signal. */
static MaSignal *
make_signal(MaCompile *compile, FuncCall *call, const Call *known)
{
	MaSignal *signal = MemoryContextAllocZero(compile->cxt, sizeof(MaSignal));
	Period	  period = {0};
	int		  n = 0;
	ListCell *lc;

	if (!(compile->source->names & MA_NAMES_HISTORY))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("%s asks about the history of a contact, which this "
						"expression cannot do",
						known->name),
				 errhint("It reads one event or row: %s.",
						 ma_names_allowed(compile)),
				 ma_expr_at(call->location)));
	if (call->agg_distinct)
		ma_history_wrong_call("count_distinct('<kind>', '<property>'" WINDOW,
							  call->location);
	if (call->agg_star || call->agg_order != NIL || call->agg_within_group ||
		call->func_variadic)
		ma_history_wrong_call(known->usage, call->location);
	signal->function = known->function;
	signal->type = known->type;
	signal->property = signal->filter_text = "";
	signal->capacity = MA_UNBOUNDED;
	signal->cell = -1;
	foreach (lc, call->args)
	{
		Node	   *arg = lfirst(lc);
		const char *text = ma_raw_string(arg);

		if (IsA(arg, NamedArgExpr) &&
			named_argument(signal, (NamedArgExpr *) arg, &period,
						   known->usage))
			continue;
		if (text != NULL && text[0] != '\0' && n == 0)
			signal->kind = MemoryContextStrdup(compile->cxt, text);
		else if (text != NULL && text[0] != '\0' && n == 1 &&
				 known->takes_property)
			signal->property = MemoryContextStrdup(compile->cxt, text);
		else
			ma_history_wrong_call(known->usage, call->location);
		n++;
	}
	if (known->takes_property && signal->property[0] == '\0')
		ma_history_wrong_call(known->usage, call->location);
	if (signal->windowed && signal->function == MA_LAST_VALUE)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("last_value has no window"),
				 errhint("Join %s and ever('<kind>', within => ...) by and.",
						 known->usage),
				 ma_expr_at(call->location)));
	set_form(compile, signal);
	set_conditions(compile, signal, call, &period);
	return signal;
}

/* A slot for a signal; the parameter goes to *param. */
static MaSlot *
add_signal(MaCompile *compile, FuncCall *call, const Call *known, Node **param)
{
	MaSignal *signal = make_signal(compile, call, known);
	MaSlot	 *slot = ma_names_add_slot(compile, param, call->location);

	slot->kind = MA_SLOT_SIGNAL;
	slot->location = exprLocation(linitial(call->args));
	slot->type = signal->type;
	slot->signal = signal;
	slot->text = signal_text(
		compile, known->function == MA_EVER ? "ever" : known->name, signal);
	return slot;
}

/* in_list('x'), score('x'), tier('x') */
static Node *
object_call(MaCompile *compile, FuncCall *call, MaSlotKind kind, Oid type)
{
	const char *name = ma_raw_call((Node *) call);
	const char *object =
		call->args == NIL ? NULL : ma_raw_string(linitial(call->args));
	Node   *param;
	MaSlot *slot;

	if (!(compile->source->names &
		  (kind == MA_SLOT_TAG ? MA_NAMES_CONTACT : MA_NAMES_HISTORY)))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("%s cannot be used in this expression", name),
				 errhint("Names here are: %s.", ma_names_allowed(compile)),
				 ma_expr_at(call->location)));
	if (object == NULL || list_length(call->args) != 1 ||
		!ma_raw_is_plain(call))
		ma_history_wrong_call(psprintf("%s('<name>')", name), call->location);
	slot =
		ma_names_add_slot(compile, &param, exprLocation(linitial(call->args)));
	slot->kind = kind;
	slot->type = type;
	slot->object = MemoryContextStrdup(compile->cxt, object);
	slot->text = MemoryContextStrdup(
		compile->cxt, psprintf("%s(%s)", name, quote_literal_cstr(object)));
	return param;
}

/*
 * The type of last_value: declared, or (hint) that of what it is compared
 * with; of an object the text is kept.
 */
static Oid
last_value_type(const char *kind, const char *property, Oid hint)
{
	Oid type = ma_vocabulary_property(kind, property);

	if (!OidIsValid(type))
		type = ma_value_type(hint);
	return type == JSONBOID ? TEXTOID : type;
}

/* The type of a call's answer, as far as it is certain; else InvalidOid. */
Oid
ma_history_type(Node *node)
{
	const Call *known = find_call(ma_raw_call(node));
	List	   *args = known ? ((FuncCall *) node)->args : NIL;

	if (ma_raw_is_call(node, "score"))
		return NUMERICOID;
	if (ma_raw_is_call(node, "tier"))
		return TEXTOID;
	if (known == NULL)
		return InvalidOid;
	if (known->function != MA_LAST_VALUE)
		return known->type;
	if (list_length(args) < 2 || ma_raw_string(linitial(args)) == NULL ||
		ma_raw_string(lsecond(args)) == NULL)
		return InvalidOid;
	return last_value_type(ma_raw_string(linitial(args)),
						   ma_raw_string(lsecond(args)), InvalidOid);
}

/* One of our calls, not compared with a constant. */
Node *
ma_history_call(MaCompile *compile, FuncCall *call, Oid hint)
{
	const char *name = ma_raw_call((Node *) call);
	Node	   *param;
	MaSlot	   *slot;

	if (strcmp(name, "in_list") == 0)
		return object_call(compile, call, MA_SLOT_IN_LIST, BOOLOID);
	if (strcmp(name, "score") == 0)
		return object_call(compile, call, MA_SLOT_SCORE, FLOAT8OID);
	if (strcmp(name, "tier") == 0)
		return object_call(compile, call, MA_SLOT_TIER, TEXTOID);
	if (strcmp(name, "has_tag") == 0)
		return object_call(compile, call, MA_SLOT_TAG, BOOLOID);
	if (strcmp(name, "was") == 0)
		return ma_was_call(compile, call);
	if (strcmp(name, "anniversary") == 0)
		return ma_time_anniversary(compile, call);
	if (strcmp(name, "elapsed") == 0 || strcmp(name, "remaining") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("%s must be compared with a constant interval by "
						"<, <=, > or >=",
						name),
				 errhint("Write %s(...) > '30 days', for example.", name),
				 ma_expr_at(call->location)));
	slot = add_signal(compile, call, find_call(name), &param);
	if (slot->signal->function == MA_LAST_VALUE)
	{
		slot->type =
			last_value_type(slot->signal->kind, slot->signal->property, hint);
		if (!OidIsValid(slot->type))
			slot->type = TEXTOID;
		slot->signal->type = slot->type;
	}
	if (strcmp(name, "never") == 0)
		return (Node *) makeBoolExpr(NOT_EXPR, list_make1(param),
									 call->location);
	return param;
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
	const Call	 *known = find_call(ma_raw_call(side));
	const char	 *number = ma_raw_number(other);
	MemoryContext old;
	MaSlot		 *slot;
	Node		 *param;

	if (known == NULL || number == NULL || !ma_history_is_call(side) ||
		(known->type != INT8OID && known->type != NUMERICOID))
		return NULL;
	if (known->type == INT8OID &&
		strspn(number, "-0123456789") < strlen(number))
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
		set_form(compile, slot->signal);
	}
	else
		slot->constant = DirectFunctionCall3(
			numeric_in, CStringGetDatum(number), ObjectIdGetDatum(InvalidOid),
			Int32GetDatum(-1));
	slot->text =
		psprintf("%s %s %s", slot->text, ma_operator_text(op), number);
	MemoryContextSwitchTo(old);
	return param;
}

/* x between a and b, as two comparisons that are understood. */
static Node *
between_comparison(MaCompile *compile, A_Expr *expr)
{
	bool  negated = expr->kind == AEXPR_NOT_BETWEEN;
	List *bounds = (List *) expr->rexpr;
	Node *low;
	Node *high;

	if ((expr->kind != AEXPR_BETWEEN && !negated) ||
		(find_call(ma_raw_call(expr->lexpr)) == NULL &&
		 !ma_time_is_compared(expr->lexpr) &&
		 !ma_time_is_compared(linitial(bounds)) &&
		 !ma_time_is_compared(lsecond(bounds))))
		return NULL;
	low = (Node *) makeSimpleA_Expr(
		AEXPR_OP, negated ? "<" : ">=", copyObject(expr->lexpr),
		linitial(bounds), expr->location);
	high =
		(Node *) makeSimpleA_Expr(AEXPR_OP, negated ? ">" : "<=", expr->lexpr,
								  lsecond(bounds), expr->location);
	return (Node *) makeBoolExpr(
		negated ? OR_EXPR : AND_EXPR,
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
	MaOperator op;
	Node	  *node;

	if (!ma_raw_comparison(expr, &op))
		return between_comparison(compile, expr);
	if ((node = ma_time_comparison(compile, expr, op)) != NULL)
		return node;
	for (int side = 0; side < 2; side++)
	{
		Node	  *one = side == 0 ? expr->lexpr : expr->rexpr;
		Node	  *other = side == 0 ? expr->rexpr : expr->lexpr;
		MaOperator as = side == 0 ? op : ma_operator_commuted(op);

		if ((node = number_comparison(compile, one, as, other)) != NULL)
			return node;
	}
	return NULL;
}
