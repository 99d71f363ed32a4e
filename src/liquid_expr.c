/*
 * liquid_expr.c
 *	  Liquid: parse expressions, filter chains and conditions.
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "liquid.h"

/* Brackets and ranges in one another. */
#define MAX_DEPTH 50

static LqExpr  *new_expr(LqExprKind kind);
static LqExpr  *parse_range(LqLexer *lexer);
static LqExpr  *parse_literal(LqLexer *lexer);
static bool		parse_word(LqLexer *lexer, LqValue *value);
static LqExpr  *parse_path(LqLexer *lexer);
static LqStep  *add_step(LqExpr *expr);
static LqFilter parse_filter(LqLexer *lexer);
static void		parse_arguments(LqLexer *lexer, LqFilter *filter, bool *allow);
static LqCondition *parse_comparison(LqLexer *lexer);

/*
 * Parse one expression: a literal, a range or a path.
 */
LqExpr *
ma_liquid_expr(LqLexer *lexer)
{
	const char *start = lexer->text;
	LqExpr	   *expr;

	if (lexer->kind == LQ_LEX_STRING)
		start--;
	if (++lexer->depth > MAX_DEPTH)
		ma_liquid_syntax_error(lexer->line, "expression is nested too deeply");

	if (lexer->kind == LQ_LEX_END)
		ma_liquid_syntax_error(lexer->line, "expected an expression");
	else if (ma_liquid_is(lexer, '('))
		expr = parse_range(lexer);
	else if (ma_liquid_is(lexer, '[') || lexer->kind == LQ_LEX_NAME)
		expr = parse_path(lexer);
	else
		expr = parse_literal(lexer);

	lexer->depth--;
	expr->text = start;
	expr->len = lexer->last - start;
	return expr;
}

/*
 * Make an empty expression.
 */
static LqExpr *
new_expr(LqExprKind kind)
{
	LqExpr *expr = palloc0(sizeof(LqExpr));

	expr->kind = kind;
	return expr;
}

/*
 * Parse (from..to).
 */
static LqExpr *
parse_range(LqLexer *lexer)
{
	LqExpr *expr = new_expr(LQ_EXPR_RANGE);

	ma_liquid_expect(lexer, '(');
	expr->from = ma_liquid_expr(lexer);
	if (lexer->kind != LQ_LEX_DOTS)
		ma_liquid_syntax_error(lexer->line, "expected \"..\" in a range");
	ma_liquid_advance(lexer);
	expr->to = ma_liquid_expr(lexer);
	ma_liquid_expect(lexer, ')');
	return expr;
}

/*
 * Parse a number or a string.
 */
static LqExpr *
parse_literal(LqLexer *lexer)
{
	LqExpr *expr = new_expr(LQ_EXPR_LITERAL);

	expr->literal = ma_liquid_string(lexer->text, lexer->len);
	if (lexer->kind == LQ_LEX_NUMBER)
		expr->literal = ma_liquid_number(&expr->literal);
	else if (lexer->kind != LQ_LEX_STRING)
		ma_liquid_syntax_error(lexer->line, "unexpected \"%.*s\"", lexer->len,
							   lexer->text);
	ma_liquid_advance(lexer);
	return expr;
}

/*
 * Is the token a word that is a value? Then set it and go on.
 */
static bool
parse_word(LqLexer *lexer, LqValue *value)
{
	*value = ma_liquid_nil();
	if (ma_liquid_word(lexer, "true") || ma_liquid_word(lexer, "false"))
		*value = ma_liquid_boolean(*lexer->text == 't');
	else if (ma_liquid_word(lexer, "empty"))
		value->kind = LQ_EMPTY;
	else if (ma_liquid_word(lexer, "blank"))
		value->kind = LQ_BLANK;
	else if (!ma_liquid_word(lexer, "nil") && !ma_liquid_word(lexer, "null"))
		return false;
	ma_liquid_advance(lexer);
	return true;
}

/*
 * Parse name.name[expression], or a word that is a value.
 */
static LqExpr *
parse_path(LqLexer *lexer)
{
	LqExpr *expr = new_expr(LQ_EXPR_PATH);
	LqValue word;

	if (parse_word(lexer, &word))
	{
		expr->kind = LQ_EXPR_LITERAL;
		expr->literal = word;
		return expr;
	}
	for (;;)
	{
		LqStep *step;

		if (ma_liquid_accept(lexer, '['))
		{
			step = add_step(expr);
			step->index = ma_liquid_expr(lexer);
			ma_liquid_expect(lexer, ']');
			continue;
		}
		if (expr->nsteps > 0 && !ma_liquid_accept(lexer, '.'))
			return expr;
		if (lexer->kind != LQ_LEX_NAME)
			ma_liquid_syntax_error(lexer->line, "expected a name after \".\"");
		step = add_step(expr);
		step->name = lexer->text;
		step->len = lexer->len;
		ma_liquid_advance(lexer);
	}
}

/*
 * Make room for one more step of a path.
 */
static LqStep *
add_step(LqExpr *expr)
{
	if (expr->nsteps == 0)
		expr->steps = palloc0(sizeof(LqStep));
	else
		expr->steps =
			repalloc(expr->steps, (expr->nsteps + 1) * sizeof(LqStep));
	memset(&expr->steps[expr->nsteps], 0, sizeof(LqStep));
	return &expr->steps[expr->nsteps++];
}

/*
 * Parse an expression and the filters after it, up to the end. Nothing at all
 * is the empty pipe.
 */
LqPipe
ma_liquid_pipe(LqLexer *lexer)
{
	LqPipe pipe = {0};

	if (lexer->kind == LQ_LEX_END)
		return pipe;

	pipe.expr = ma_liquid_expr(lexer);
	while (ma_liquid_accept(lexer, '|'))
	{
		LqFilter filter = parse_filter(lexer);

		if (pipe.nfilters == 0)
			pipe.filters = palloc(sizeof(LqFilter));
		else
			pipe.filters =
				repalloc(pipe.filters, (pipe.nfilters + 1) * sizeof(LqFilter));
		pipe.filters[pipe.nfilters++] = filter;
		if (pipe.nfilters == 1)
			pipe.optional = filter.def->fn == ma_liquid_filter_default;
		pipe.escaped = filter.def->fn == ma_liquid_filter_raw ||
					   filter.def->fn == ma_liquid_filter_escape ||
					   filter.def->fn == ma_liquid_filter_escape_once ||
					   filter.def->fn == ma_liquid_filter_url_encode;
	}
	ma_liquid_expect_end(lexer);
	return pipe;
}

/*
 * Parse a filter and its arguments. The one named argument there is, default's
 * allow_false, becomes its second.
 */
static LqFilter
parse_filter(LqLexer *lexer)
{
	LqFilter filter = {0};
	bool	 allow = false;
	int		 given;

	if (lexer->kind != LQ_LEX_NAME)
		ma_liquid_syntax_error(lexer->line, "expected a filter after \"|\"");
	filter.def = ma_liquid_filter(lexer->text, lexer->len);
	if (filter.def == NULL)
		ma_liquid_syntax_error(lexer->line, "unknown filter \"%.*s\"",
							   lexer->len, lexer->text);
	ma_liquid_advance(lexer);
	filter.args = palloc0(LQ_MAX_ARGS * sizeof(LqExpr *));
	if (ma_liquid_accept(lexer, ':'))
		parse_arguments(lexer, &filter, &allow);

	given = filter.nargs;
	if (filter.def->fn == ma_liquid_filter_default)
	{
		if (given == 0)
		{
			filter.args[0] = new_expr(LQ_EXPR_LITERAL);
			filter.args[0]->literal = ma_liquid_string("", 0);
		}
		filter.nargs = allow ? 2 : 1;
	}
	if (given < filter.def->min_args)
		ma_liquid_syntax_error(lexer->line,
							   "too few arguments for filter \"%s\"",
							   filter.def->name);
	return filter;
}

/*
 * Parse the arguments of a filter.
 */
static void
parse_arguments(LqLexer *lexer, LqFilter *filter, bool *allow)
{
	do
	{
		LqLexer ahead = *lexer;

		ma_liquid_advance(&ahead);
		if (ma_liquid_word(lexer, "allow_false") &&
			ma_liquid_is(&ahead, ':') &&
			filter->def->fn == ma_liquid_filter_default)
		{
			ma_liquid_advance(lexer);
			ma_liquid_advance(lexer);
			filter->args[1] = ma_liquid_expr(lexer);
			*allow = true;
			continue;
		}
		if (filter->nargs == filter->def->max_args)
			ma_liquid_syntax_error(lexer->line,
								   "too many arguments for filter \"%s\"",
								   filter->def->name);
		filter->args[filter->nargs++] = ma_liquid_expr(lexer);
	} while (ma_liquid_accept(lexer, ','));
}

/*
 * Parse a condition: comparisons joined by and/or, which group to the right.
 */
LqCondition *
ma_liquid_condition(LqLexer *lexer)
{
	LqCondition *first = parse_comparison(lexer);
	LqCondition *last = first;

	for (;;)
	{
		if (ma_liquid_accept_word(lexer, "and"))
			last->conjunction = true;
		else if (!ma_liquid_accept_word(lexer, "or"))
			break;
		last->next = parse_comparison(lexer);
		last = last->next;
	}
	if (lexer->kind == LQ_LEX_NAME)
		ma_liquid_syntax_error(lexer->line, "unknown operator \"%.*s\"",
							   lexer->len, lexer->text);
	ma_liquid_expect_end(lexer);
	return first;
}

/*
 * Parse an expression, perhaps compared with another.
 */
static LqCondition *
parse_comparison(LqLexer *lexer)
{
	LqCondition *condition = palloc0(sizeof(LqCondition));

	condition->left = ma_liquid_expr(lexer);
	condition->op = LQ_OP_TRUE;
	if (ma_liquid_accept_word(lexer, "contains"))
		condition->op = LQ_OP_CONTAINS;
	else if (lexer->kind == LQ_LEX_COMPARE)
	{
		condition->op = lexer->op;
		ma_liquid_advance(lexer);
	}
	if (condition->op != LQ_OP_TRUE)
		condition->right = ma_liquid_expr(lexer);
	return condition;
}
