/*
 * predicate_raw.c
 *	  What the raw nodes of an expression are: calls, constants, operators.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_type.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "predicate_private.h"

/* Longer than anything one waits for. */
#define SPAN_MAX_YEARS 1000

/* The name of an unqualified call, NULL otherwise: of one over a window too. */
const char *
ma_raw_call(Node *node)
{
	if (node == NULL || !IsA(node, FuncCall) ||
		((FuncCall *) node)->over != NULL ||
		list_length(((FuncCall *) node)->funcname) != 1)
		return NULL;
	return strVal(linitial(((FuncCall *) node)->funcname));
}

bool
ma_raw_is_call(Node *node, const char *name)
{
	const char *called = ma_raw_call(node);

	return called != NULL && strcmp(called, name) == 0;
}

/* Has the call nothing but arguments: no distinct, filter or order? */
bool
ma_raw_is_plain(const FuncCall *call)
{
	return !call->agg_star && !call->agg_distinct &&
		   call->agg_filter == NULL && call->agg_order == NIL &&
		   !call->agg_within_group && !call->func_variadic;
}

/* A string constant, NULL if the node is none. */
const char *
ma_raw_string(Node *node)
{
	A_Const *constant = (A_Const *) node;

	if (node == NULL || !IsA(node, A_Const) || constant->isnull ||
		nodeTag(&constant->val) != T_String)
		return NULL;
	return strVal(&constant->val);
}

/* Adds to an error of interval_in() where it is, and what to write. */
static void
explain_interval(void *arg)
{
	if (geterrcode() == ERRCODE_QUERY_CANCELED)
		return;
	ma_expr_at(*(int *) arg);
	errhint("Write an interval such as '30 days', '1 year' or '36 hours'.");
}

/* Is a text a number, which is not 0, and nothing else? */
static bool
is_number(const char *text)
{
	const char *digits = text + strspn(text, " ");

	digits += strspn(digits, "+-");
	return strspn(digits, ".0123456789 ") == strlen(digits) &&
		   strpbrk(digits, "123456789") != NULL;
}

/*
 * A string as an interval; an error, with its position, if it is none. A bare
 * number would be seconds, which nobody who forgets the unit means.
 */
static void
read_interval(const char *text, int32 typmod, int location, Interval *span)
{
	ErrorContextCallback callback = {
		.callback = explain_interval,
		.arg = &location,
		.previous = error_context_stack,
	};

	if (typmod < 0 && is_number(text))
		ereport(ERROR, (errcode(ERRCODE_INVALID_DATETIME_FORMAT),
						errmsg("interval \"%s\" has no unit", text),
						errhint("Write '%s days', for example.", text),
						ma_expr_at(location)));
	error_context_stack = &callback;
	*span = *DatumGetIntervalP(DirectFunctionCall3(
		interval_in, CStringGetDatum(text), ObjectIdGetDatum(InvalidOid),
		Int32GetDatum(typmod)));
	error_context_stack = callback.previous;
}

/* Refuses what would lead out of the calendar. */
static void
check_length(const Interval *span, int location)
{
	int64 days =
		span->month * INT64CONST(31) + span->day + span->time / USECS_PER_DAY;

	if (llabs(span->month) > SPAN_MAX_YEARS * 12 ||
		llabs(span->day) > SPAN_MAX_YEARS * 366 ||
		llabs(days) > SPAN_MAX_YEARS * 12 * INT64CONST(31))
		ereport(ERROR,
				(errcode(ERRCODE_INTERVAL_FIELD_OVERFLOW),
				 errmsg("interval is longer than %d years", SPAN_MAX_YEARS),
				 errhint("Write a shorter one; without within all events "
						 "count, for ever."),
				 ma_expr_at(location)));
}

/* A string or interval constant as an interval; false if it is neither. */
bool
ma_raw_interval(Node *node, Interval *span)
{
	const char *text;
	int32		typmod = -1; /* interval '30' day: days */
	Oid			type;

	if (node != NULL && IsA(node, TypeCast))
	{
		TypeCast *cast = (TypeCast *) node;

		typenameTypeIdAndMod(NULL, cast->typeName, &type, &typmod);
		if (type != INTERVALOID)
			return false;
		node = cast->arg;
	}
	text = ma_raw_string(node);
	if (text == NULL)
		return false;
	read_interval(text, typmod, exprLocation(node), span);
	check_length(span, exprLocation(node));
	return true;
}

char *
ma_raw_interval_text(const Interval *span)
{
	return DatumGetCString(
		DirectFunctionCall1(interval_out, IntervalPGetDatum(span)));
}

/* A comparison operator by its name; false if it is none. */
bool
ma_raw_comparison(A_Expr *expr, MaOperator *op)
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

const char *
ma_operator_text(MaOperator op)
{
	static const char *const names[] = {"<", "<=", "=", "<>", ">=", ">"};

	return names[op];
}

/* The operator with its sides exchanged. */
MaOperator
ma_operator_commuted(MaOperator op)
{
	static const MaOperator other[] = {MA_GT, MA_GE, MA_EQ,
									   MA_NE, MA_LE, MA_LT};

	return other[op];
}

/* A number as text, NULL if the node is no number; a sign is allowed. */
const char *
ma_raw_number(Node *node)
{
	A_Const *constant = (A_Const *) node;
	A_Expr	*expr = (A_Expr *) node;

	if (node == NULL)
		return NULL;
	if (IsA(node, A_Expr) && expr->kind == AEXPR_OP && expr->lexpr == NULL &&
		strcmp(strVal(llast(expr->name)), "-") == 0)
	{
		const char *number = ma_raw_number(expr->rexpr);

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

/* Makes a raw constant a string; the nodes differ by version. */
void
ma_raw_set_string(A_Const *constant, char *text)
{
	constant->val.sval.type = T_String;
	constant->val.sval.sval = text;
}
