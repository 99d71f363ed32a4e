/*
 * predicate_condition.c
 *	  The single conditions of a predicate, as they are written.
 *
 * Conditions are what and, or and not (of such) join. The raw tree has them in
 * the order of the text, and the tokens of the text tell what was written: and
 * is outermost but for or, not comes next, everything else binds tighter.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "miscadmin.h"

#include "predicate_private.h"

/* What a token joins. */
typedef enum Joint
{
	NOTHING,
	OR,
	AND,
	NOT
} Joint;

/* A text that is divided. */
typedef struct Text
{
	const char *text;
	MaToken	   *tokens;
	int		   *levels; /* how many brackets each token stands in */
	Joint	   *joints;
	List	   *conditions;
} Text;

/* Conditions that are compiled, for the pinned settings. */
typedef struct Conditions
{
	const MaExpr *whole;
	MemoryContext cxt;
	MaExpr		 *expr;
} Conditions;

static void divide(Text *t, int from, int to);

/* What a word joins; the and of between joins nothing. */
static Joint
joint_of(const char *text, const MaToken *token, int *betweens)
{
	if (ma_token_is(text, token, "between"))
		(*betweens)++;
	if (ma_token_is(text, token, "or"))
		return OR;
	if (ma_token_is(text, token, "not"))
		return NOT;
	if (!ma_token_is(text, token, "and"))
		return NOTHING;
	if (*betweens == 0)
		return AND;
	(*betweens)--;
	return NOTHING;
}

/* Finds the level of each token, and what it joins. */
static void
read_levels(Text *t, int n)
{
	int *betweens = palloc0((n + 1) * sizeof(int));
	int	 level = 0;

	for (int i = 0; i < n; i++)
	{
		MaToken *token = &t->tokens[i];
		char	 c = t->text[token->from];
		bool	 is_name = i > 0 && ma_token_is(t->text, token - 1, ".");

		t->joints[i] = NOTHING;
		if (level > 0 && (c == ')' || c == ']' ||
						  (!is_name && ma_token_is(t->text, token, "end"))))
			level--;
		t->levels[i] = level;
		if (c == '(' || c == '[' ||
			(!is_name && ma_token_is(t->text, token, "case")))
			betweens[++level] = 0;
		else if (!is_name)
			t->joints[i] = joint_of(t->text, token, &betweens[level]);
	}
}

/* The next token of a part that joins at the part's own level. */
static int
next_joint(const Text *t, int from, int to, int level, Joint joint)
{
	while (from < to && (t->joints[from] != joint || t->levels[from] != level))
		from++;
	return from;
}

/* Takes the parentheses away that enclose a part as a whole. */
static void
strip(const Text *t, int *from, int *to)
{
	while (t->text[t->tokens[*from].from] == '(')
	{
		int i = *from + 1;

		while (t->levels[i] > t->levels[*from])
			i++;
		if (i != *to - 1)
			return;
		(*from)++;
		(*to)--;
	}
}

/* Divides a part where it is joined; false if it is not. */
static bool
divide_at(Text *t, int from, int to, Joint joint)
{
	int level = t->levels[from];
	int end = next_joint(t, from, to, level, joint);

	if (end == to)
		return false;
	for (;;)
	{
		divide(t, from, end);
		if (end == to)
			return true;
		from = end + 1;
		end = next_joint(t, from, to, level, joint);
	}
}

/* Is a part more than one condition, or one with not? */
static bool
is_joined(const Text *t, int from, int to)
{
	int level;

	strip(t, &from, &to);
	level = t->levels[from];
	return t->joints[from] == NOT || next_joint(t, from, to, level, OR) < to ||
		   next_joint(t, from, to, level, AND) < to;
}

/* Appends the conditions in a part of the text. */
static void
divide(Text *t, int from, int to)
{
	check_stack_depth();
	strip(t, &from, &to);
	if (divide_at(t, from, to, OR) || divide_at(t, from, to, AND))
		return;
	if (t->joints[from] == NOT && is_joined(t, from + 1, to))
		divide(t, from + 1, to);
	else
		t->conditions =
			lappend(t->conditions,
					pnstrdup(t->text + t->tokens[from].from,
							 t->tokens[to - 1].to - t->tokens[from].from));
}

/* Appends the conditions of a raw tree, without names. */
static List *
add_conditions(List *conditions, Node *node)
{
	BoolExpr *expr = (BoolExpr *) node;
	ListCell *lc;

	check_stack_depth();
	if (!IsA(node, BoolExpr) ||
		(expr->boolop == NOT_EXPR && !IsA(linitial(expr->args), BoolExpr)))
	{
		ResTarget *target = makeNode(ResTarget);

		target->val = node;
		target->location = -1;
		return lappend(conditions, target);
	}
	foreach (lc, expr->args)
		conditions = add_conditions(conditions, lfirst(lc));
	return conditions;
}

/* Gives the conditions their texts as names. */
static void
name_conditions(List *targets, const char *text)
{
	Text	  t = {.text = text};
	int		  n;
	ListCell *name;
	ListCell *target;

	t.tokens = ma_scan(text, &n);
	t.levels = palloc(n * sizeof(int));
	t.joints = palloc(n * sizeof(Joint));
	read_levels(&t, n);
	divide(&t, 0, n);
	if (list_length(t.conditions) != list_length(targets))
		elog(ERROR, "conditions of \"%s\" are not told apart", text);
	forboth (name, t.conditions, target, targets)
		lfirst_node(ResTarget, target)->name = lfirst(name);
}

static void
compile_conditions(void *arg)
{
	Conditions		  *conditions = arg;
	const MaExpr	  *whole = conditions->whole;
	const MaExprSource source = {
		.text = whole->text, .names = MA_NAMES_PERSON, .type = BOOLOID};
	ResTarget *target = linitial_node(ResTarget, ma_expr_parse(&source));
	List	  *targets = add_conditions(NIL, target->val);
	MaExpr	  *expr;

	name_conditions(targets, whole->text);
	expr = ma_expr_from_raw(&source, targets, conditions->cxt);
	/* in the order of the text, as in the whole */
	if (expr->nslots != whole->nslots)
		elog(ERROR, "conditions of \"%s\" are others", whole->text);
	for (int i = 0; i < expr->nslots; i++)
		if (expr->slots[i].kind != whole->slots[i].kind ||
			expr->slots[i].type != whole->slots[i].type)
			ereport(ERROR,
					(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					 errmsg("what \"%s\" names was declared anew meanwhile",
							whole->text),
					 errhint("Try again.")));
	expr->slots = whole->slots;
	conditions->expr = expr;
}

/*
 * The conditions of a predicate about a person as targets of an expression of
 * their own, in the order in which they are written, each with its text as
 * name. It shares the slots of the other one and must not outlive it.
 */
MaExpr *
ma_expr_conditions(const MaExpr *expr, MemoryContext cxt)
{
	Conditions conditions = {.whole = expr, .cxt = cxt};

	ma_expr_pinned(expr->text, compile_conditions, &conditions);
	return conditions.expr;
}
