/*
 * predicate_time.c
 *	  Comparisons of times with the present, within expressions.
 *
 *	elapsed('purchase') > '60 days', elapsed(first_at('purchase')) < '1 year'
 *	remaining(contact.renewal) < '30 days'
 *	contact.renewal > now() + '1 month', now() - contact.seen_at > '3 days'
 *	now() >= '2026-06-01'
 *	anniversary(contact.birthdate)
 *
 * Each becomes one boolean slot that knows when it flips. Whatever the form,
 * calendar arithmetic is done on the time that is compared, never on the
 * present: now <op> time + span, or time - span <op> now.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_type.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "predicate_private.h"
#include "value.h"

/* One side of a comparison less the other: now, a time and a span. */
typedef struct Sum
{
	int		 now; /* how often the present is added */
	int		 ntimes;
	Node	*time;
	int		 time_sign;
	int		 nspans;
	Interval span;
	int		 span_sign;
} Sum;

/* now(), current_timestamp: the present. */
static bool
is_now(Node *node)
{
	if (node != NULL && IsA(node, SQLValueFunction))
		return ((SQLValueFunction *) node)->op == SVFOP_CURRENT_TIMESTAMP;
	return ma_raw_is_call(node, "now") && ((FuncCall *) node)->args == NIL;
}

/* The operands of a sum or difference; false if the node is neither. */
static bool
is_sum(Node *node, Node **left, Node **right, int *sign)
{
	A_Expr	   *expr = (A_Expr *) node;
	const char *op;

	if (node == NULL || !IsA(node, A_Expr) || expr->kind != AEXPR_OP ||
		expr->lexpr == NULL)
		return false;
	op = strVal(llast(expr->name));
	*sign = strcmp(op, "+") == 0 ? 1 : strcmp(op, "-") == 0 ? -1 : 0;
	*left = expr->lexpr;
	*right = expr->rexpr;
	return *sign != 0;
}

/* Is the present part of a sum? */
static bool
has_now(Node *node)
{
	Node *left;
	Node *right;
	int	  sign;

	if (is_sum(node, &left, &right, &sign))
		return has_now(left) || has_now(right);
	return is_now(node);
}

/* Adds what a side is made of. */
static void
add_terms(Sum *sum, Node *node, int sign)
{
	Node	*left;
	Node	*right;
	int		 inner;
	Interval span;

	if (is_now(node))
		sum->now += sign;
	else if (is_sum(node, &left, &right, &inner))
	{
		add_terms(sum, left, sign);
		add_terms(sum, right, sign * inner);
	}
	else if (ma_raw_interval(node, &span))
	{
		sum->nspans++;
		sum->span = span;
		sum->span_sign = sign;
	}
	else
	{
		sum->ntimes++;
		sum->time = node;
		sum->time_sign = sign;
	}
}

/* Refuses a comparison with the present that is too much for us. */
static void
refuse_now(int location)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("comparison with now() is not understood"),
			 errhint("Compare one time with now(), or with now() plus or "
					 "minus one interval: contact.renewal < now() + "
					 "interval '30 days'."),
			 ma_expr_at(location)));
}

/* A constant time as a slot; false if the node is none. */
static bool
constant_time(MaCompile *compile, Node *node, Node **param)
{
	const char *text;
	MaSlot	   *slot;
	bool		isnull;
	Datum		value;
	int			location = exprLocation(node);

	if (IsA(node, TypeCast))
	{
		Oid type = typenameTypeId(NULL, ((TypeCast *) node)->typeName);

		if (type != TIMESTAMPTZOID && type != TIMESTAMPOID && type != DATEOID)
			return false;
		node = ((TypeCast *) node)->arg;
	}
	text = ma_raw_string(node);
	if (text == NULL)
		return false;
	value = ma_value_from_text(text, strlen(text), TIMESTAMPTZOID, &isnull);
	if (isnull)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_DATETIME_FORMAT),
				 errmsg("\"%s\" is not a time", text),
				 errhint("Write a date such as '2026-06-01', or compare "
						 "now() with contact.<name>."),
				 ma_expr_at(location)));
	slot = ma_names_add_slot(compile, param, location);
	slot->kind = MA_SLOT_TIME;
	slot->type = TIMESTAMPTZOID;
	slot->constant = value;
	slot->text = MemoryContextStrdup(compile->cxt, quote_literal_cstr(text));
	return true;
}

/* The slot of a time that is compared; an error if it is no time. */
static int
time_slot(MaCompile *compile, Node *time, const char *name, int location)
{
	Node   *param = NULL;
	MaSlot *slot;
	int		inner;

	if (!constant_time(compile, time, &param))
	{
		/* what is read as a time anyway needs no cast */
		if (IsA(time, TypeCast) &&
			typenameTypeId(NULL, ((TypeCast *) time)->typeName) ==
				TIMESTAMPTZOID)
			time = ((TypeCast *) time)->arg;
		param = ma_names_rewrite(compile, time, TIMESTAMPTZOID);
	}
	if (!IsA(param, ParamRef))
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("%s takes a kind of event, or a time such as "
							   "contact.registered_at",
							   name),
						ma_expr_at(location)));
	inner = ((ParamRef *) param)->number - 1;
	slot = &compile->slots[inner];
	if (slot->type == DATEOID || slot->type == TIMESTAMPOID)
	{
		slot->type = TIMESTAMPTZOID;
		if (slot->signal != NULL)
			slot->signal->type = TIMESTAMPTZOID;
	}
	if (slot->type != TIMESTAMPTZOID)
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
						errmsg("%s is no time", slot->text),
						errhint("Declare it with define_attribute(..., "
								"'timestamptz') or 'date'."),
						ma_expr_at(location)));
	return inner;
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

	if (compile->source->names == MA_NAMES_EVENT)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("what an event must be like cannot depend on the "
						"present"),
				 errdetail("It is looked at once, when it comes."),
				 errhint("Write count('<kind>', within => '30 days') and the "
						 "like, or compare with a date."),
				 ma_expr_at(location)));
	if (op == MA_EQ || op == MA_NE)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("time that passes cannot be compared by = or <>"),
				 errhint("Use <, <=, > or >=."), ma_expr_at(location)));
	inner = time_slot(compile, time, name, location);
	slot = ma_names_add_slot(compile, &param, location);
	slot->kind = kind;
	slot->type = BOOLOID;
	slot->op = op;
	slot->span = *span;
	slot->time = inner;
	slot->text = MemoryContextStrdup(
		compile->cxt,
		psprintf("%s(%s) %s '%s'", name, compile->slots[inner].text,
				 ma_operator_text(op), ma_raw_interval_text(span)));
	return param;
}

/*
 * A comparison in which now() is a term, brought to `now <op> time +- span`;
 * NULL if there is no now().
 */
static Node *
now_comparison(MaCompile *compile, A_Expr *expr, MaOperator op)
{
	Sum	  sum = {0};
	Node *sides[2] = {expr->lexpr, expr->rexpr};
	int	  last = 1;

	if (!has_now(sides[0]) && !has_now(sides[1]))
		return NULL;
	/* a bare string means a span beside a difference, a time otherwise */
	if (ma_raw_string(sides[0]) != NULL)
		last = 0;
	add_terms(&sum, sides[1 - last], last == 1 ? 1 : -1);
	if (ma_raw_string(sides[last]) != NULL && sum.ntimes == 0)
	{
		sum.ntimes = 1;
		sum.time = sides[last];
		sum.time_sign = last == 1 ? -1 : 1;
	}
	else
		add_terms(&sum, sides[last], last == 1 ? -1 : 1);
	if (sum.ntimes != 1 || sum.nspans > 1 || abs(sum.now) != 1 ||
		sum.time_sign != -sum.now)
		refuse_now(expr->location);
	if (sum.now < 0)
	{
		op = ma_operator_commuted(op);
		sum.span_sign = -sum.span_sign;
	}
	if (sum.span_sign > 0)
		return elapsed_comparison(compile, MA_SLOT_REMAINING, sum.time,
								  ma_operator_commuted(op), &sum.span,
								  expr->location);
	return elapsed_comparison(compile, MA_SLOT_ELAPSED, sum.time, op,
							  &sum.span, expr->location);
}

/* elapsed(time) <op> span or remaining(time) <op> span, as one slot. */
static Node *
span_comparison(MaCompile *compile, Node *side, MaOperator op, Node *other,
				int location)
{
	bool		elapsed = ma_raw_is_call(side, "elapsed");
	FuncCall   *call = (FuncCall *) side;
	const char *usage = elapsed ?
							"elapsed('<kind>') or elapsed(contact.<time>)" :
							"remaining(contact.<time>)";
	Node	   *time;
	Interval	span;

	if ((!elapsed && !ma_raw_is_call(side, "remaining")) ||
		!ma_raw_interval(other, &span))
		return NULL;
	if (list_length(call->args) < 1)
		ma_history_wrong_call(usage, call->location);
	time = linitial(call->args);
	if (ma_raw_string(time) != NULL)
	{
		/* elapsed('kind', ...) is since last_at('kind', ...) */
		FuncCall *last = copyObject(call);

		last->funcname = list_make1(makeString("last_at"));
		time = (Node *) last;
	}
	else if (list_length(call->args) != 1 || !ma_raw_is_plain(call))
		ma_history_wrong_call(usage, call->location);
	return elapsed_comparison(compile,
							  elapsed ? MA_SLOT_ELAPSED : MA_SLOT_REMAINING,
							  time, op, &span, location);
}

/* contact.timezone, as a slot of its own: who reads it is woken by it. */
static int
zone_slot(MaCompile *compile, int location)
{
	ColumnRef *ref = makeNode(ColumnRef);
	Node	  *param;

	ref->fields = list_make2(makeString("contact"), makeString("timezone"));
	ref->location = location;
	param = ma_names_rewrite(compile, (Node *) ref, TEXTOID);
	return castNode(ParamRef, param)->number - 1;
}

/* anniversary(date): is it that day of the year where the contact is? */
Node *
ma_time_anniversary(MaCompile *compile, FuncCall *call)
{
	MaSlot *slot;
	Node   *date;
	Node   *param;
	int		inner;
	int		zone;

	if (!(compile->source->names & MA_NAMES_CONTACT))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("anniversary cannot be used in this "
						"expression"),
				 errhint("Names here are: %s.", ma_names_allowed(compile)),
				 ma_expr_at(call->location)));
	if (list_length(call->args) != 1 || !ma_raw_is_plain(call) ||
		IsA(linitial(call->args), NamedArgExpr))
		ma_history_wrong_call("anniversary(contact.<date>)", call->location);
	date = ma_names_rewrite(compile, linitial(call->args), DATEOID);
	if (!IsA(date, ParamRef))
		ma_history_wrong_call("anniversary(contact.<date>)", call->location);
	inner = ((ParamRef *) date)->number - 1;
	if (compile->slots[inner].type != DATEOID &&
		compile->slots[inner].type != TIMESTAMPOID &&
		compile->slots[inner].type != TIMESTAMPTZOID)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("%s is no date", compile->slots[inner].text),
				 errhint("Declare it with define_attribute(..., 'date')."),
				 ma_expr_at(call->location)));
	zone = zone_slot(compile, call->location);
	slot = ma_names_add_slot(compile, &param, call->location);
	slot->kind = MA_SLOT_ANNIVERSARY;
	slot->type = BOOLOID;
	slot->time = inner;
	slot->zone = zone;
	slot->text = MemoryContextStrdup(
		compile->cxt, psprintf("anniversary(%s)", compile->slots[inner].text));
	return param;
}

/*
 * A bound of a fixed period: the first instant in it, or the first after it.
 * A date alone means the whole day, in mautomate.timezone.
 */
TimestampTz
ma_time_bound(Node *node, bool is_end, const char *usage)
{
	const char *text = ma_raw_string(node);
	Interval	day = {.day = 1};
	bool		isnull;
	TimestampTz t;

	if (text == NULL)
		ma_history_wrong_call(usage, exprLocation(node));
	t = DatumGetTimestampTz(
		ma_value_from_text(text, strlen(text), TIMESTAMPTZOID, &isnull));
	if (isnull || TIMESTAMP_NOT_FINITE(t))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_DATETIME_FORMAT),
				 errmsg("\"%s\" is no bound of a period", text),
				 errhint("Write a date such as '2026-12-31' or a time such "
						 "as '2026-12-31 18:00'; for a window that slides, "
						 "within => '30 days'."),
				 ma_expr_at(exprLocation(node))));
	if (is_end && strspn(text, "0123456789-") == strlen(text))
		t = ma_time_add(t, &day, 1, ma_timezone());
	return t;
}

/* Does the node need to be compared as a whole to be understood? */
bool
ma_time_is_compared(Node *node)
{
	return has_now(node) || ma_raw_is_call(node, "elapsed") ||
		   ma_raw_is_call(node, "remaining");
}

/*
 * A comparison of a time with the present, as one boolean parameter; NULL if
 * the expression is something else.
 */
Node *
ma_time_comparison(MaCompile *compile, A_Expr *expr, MaOperator op)
{
	Node *node =
		span_comparison(compile, expr->lexpr, op, expr->rexpr, expr->location);

	if (node == NULL)
		node = span_comparison(compile, expr->rexpr, ma_operator_commuted(op),
							   expr->lexpr, expr->location);
	if (node == NULL)
		node = now_comparison(compile, expr, op);
	return node;
}
