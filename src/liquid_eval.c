/*
 * liquid_eval.c
 *	  Liquid: evaluate expressions, filter chains and conditions.
 */
#include "postgres.h"

#include "utils/numeric.h"

#include "liquid.h"
#include "template.h"

static LqValue eval_path(LqRender *r, const LqExpr *expr, bool optional);
static LqValue eval_maybe(LqRender *r, const LqExpr *expr, bool optional);
static bool	   find_variable(LqRender *r, const char *name, int len,
							 LqValue *result);
static bool	   find_in(const LqVariable *list, const char *name, int len,
					   LqValue *result);
static bool step_index(LqRender *r, const LqValue *value, const LqValue *index,
					   LqValue *result);
static bool compare(LqRender *r, const LqCondition *condition);

/*
 * The value of an expression. Unknown variables are nil, or an error where
 * the options say so.
 */
LqValue
ma_liquid_eval(LqRender *r, const LqExpr *expr)
{
	return eval_maybe(r, expr, false);
}

/*
 * The same; optional: an unknown variable is no error.
 */
static LqValue
eval_maybe(LqRender *r, const LqExpr *expr, bool optional)
{
	LqValue from;
	LqValue to;
	LqValue range = {.kind = LQ_RANGE};

	if (expr->kind == LQ_EXPR_LITERAL)
		return expr->literal;
	if (expr->kind == LQ_EXPR_PATH)
		return eval_path(r, expr, optional);

	from = ma_liquid_eval(r, expr->from);
	to = ma_liquid_eval(r, expr->to);
	range.range.from = ma_liquid_truncated(&from);
	range.range.to = ma_liquid_truncated(&to);
	return range;
}

/*
 * How many bytes does it take to look at all of a string?
 */
static int64
length_of(const LqValue *value)
{
	return value->kind == LQ_STRING ? value->string.len : 0;
}

/*
 * Follow a path from its variable.
 */
static LqValue
eval_path(LqRender *r, const LqExpr *expr, bool optional)
{
	LqValue value = ma_liquid_nil();

	for (int i = 0; i < expr->nsteps; i++)
	{
		const LqStep *step = &expr->steps[i];
		LqValue		  index;
		bool		  found;

		if (step->name)
			index = ma_liquid_string(step->name, step->len);
		else
			index = ma_liquid_eval(r, step->index);
		if (i == 0)
		{
			LqValue name = ma_liquid_text(r, &index);

			found =
				find_variable(r, name.string.data, name.string.len, &value);
		}
		else if (step->name)
		{
			ma_liquid_charge(r, length_of(&value));
			found = ma_liquid_property(&value, step->name, step->len, &value);
		}
		else
			found = step_index(r, &value, &index, &value);
		if (found)
			continue;
		if (r->options->strict && !optional)
			ereport(
				ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("unknown variable \"%.*s\"", expr->len, expr->text),
				 errhint("Write \"%.*s | default: ''\" if it may be missing.",
						 expr->len, expr->text)));
		return ma_liquid_nil();
	}
	return value;
}

/*
 * Find a variable: loop variables and arguments, then what was assigned,
 * counters, and the data. False if there is none.
 */
static bool
find_variable(LqRender *r, const char *name, int len, LqValue *result)
{
	JsonbValue json;

	if (find_in(r->scope, name, len, result) ||
		find_in(r->locals, name, len, result) ||
		find_in(r->counters, name, len, result))
		return true;
	if (r->data == NULL || !JB_ROOT_IS_OBJECT(r->data) ||
		getKeyJsonValueFromContainer(&r->data->root, name, len, &json) == NULL)
		return false;
	*result = ma_liquid_json(&json);
	return true;
}

/*
 * Find a variable in a list.
 */
static bool
find_in(const LqVariable *list, const char *name, int len, LqValue *result)
{
	for (; list; list = list->next)
	{
		if (list->len == len && memcmp(list->name, name, len) == 0)
		{
			*result = list->value;
			return true;
		}
	}
	return false;
}

/*
 * Look up value[index]. False if there is nothing.
 */
static bool
step_index(LqRender *r, const LqValue *value, const LqValue *index,
		   LqValue *result)
{
	int64 count;
	int64 i;

	if (index->kind == LQ_STRING)
		return ma_liquid_property(value, index->string.data, index->string.len,
								  result);
	if (index->kind != LQ_INTEGER || !ma_liquid_listable(value))
		return false;
	count = ma_liquid_count(value);
	i = index->integer < 0 ? index->integer + count : index->integer;
	if (i < 0 || i >= count)
		return false;
	*result = ma_liquid_item(value, i);
	return true;
}

/*
 * The value of an expression after its filters.
 */
LqValue
ma_liquid_eval_pipe(LqRender *r, const LqPipe *pipe)
{
	LqValue value = ma_liquid_nil();

	if (pipe->expr)
		value = eval_maybe(r, pipe->expr, pipe->optional);
	for (int i = 0; i < pipe->nfilters; i++)
	{
		const LqFilter *filter = &pipe->filters[i];
		LqValue			args[LQ_MAX_ARGS];
		LqValue			in = value;

		for (int a = 0; a < filter->nargs; a++)
			args[a] = ma_liquid_eval(r, filter->args[a]);
		ma_liquid_charge(r, length_of(&in));
		value = filter->def->fn(r, &in, args, filter->nargs);
		ma_liquid_charge(r, length_of(&value));
	}
	return value;
}

/*
 * Does a condition hold? Evaluated from the right, as and and or group, but
 * no further than needed.
 */
bool
ma_liquid_holds(LqRender *r, const LqCondition *condition)
{
	for (;;)
	{
		bool holds = compare(r, condition);

		if (condition->next == NULL || holds != condition->conjunction)
			return holds;
		condition = condition->next;
	}
}

/*
 * Does one comparison hold?
 */
static bool
compare(LqRender *r, const LqCondition *condition)
{
	LqValue a = eval_maybe(r, condition->left, condition->op == LQ_OP_TRUE);
	LqValue b = ma_liquid_nil();
	int		order;

	if (condition->right)
		b = ma_liquid_eval(r, condition->right);
	ma_liquid_charge(r, length_of(&a) + length_of(&b));

	switch (condition->op)
	{
		case LQ_OP_TRUE:
			return ma_liquid_true(&a);
		case LQ_OP_EQ:
			return ma_liquid_equal(r, &a, &b);
		case LQ_OP_NE:
			return !ma_liquid_equal(r, &a, &b);
		case LQ_OP_CONTAINS:
			return ma_liquid_contains(r, &a, &b);
		default:
			break;
	}
	if (!ma_liquid_compare(r, &a, &b, &order))
		return false;
	switch (condition->op)
	{
		case LQ_OP_LT:
			return order < 0;
		case LQ_OP_GT:
			return order > 0;
		case LQ_OP_LE:
			return order <= 0;
		default:
			return order >= 0;
	}
}
