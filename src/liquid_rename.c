/*
 * liquid_rename.c
 *	  Liquid: a source with another name in it.
 *
 * The tree points into the source, so it says exactly where something is
 * named: an attribute as contact.x or contact["x"], a template that is
 * rendered, a kind of events in a comparison with event.kind or entry.kind,
 * and what derived events tell of likewise: event.list == "loyal". Text, raw
 * and comments are no part of the tree and stay as they are. Where the name
 * is found out only when the template is rendered (contact[which], or contact
 * handed on as a whole), where contact or event is a variable of the
 * template's own, and where event.list may belong to other events, the place
 * is a doubt, for the caller to tell of.
 */
#include "postgres.h"

#include "edit.h"
#include "guard.h"
#include "liquid.h"
#include "template.h"

/* A source that is looked through. */
typedef struct Walk
{
	const MaRename *rename;
	const char	   *property; /* of events, that says the name; or NULL */
	bool			told;	  /* as far as is known, it says it of this */
	const LqBlock  *body;
	MaEdits			edits;	/* of the source */
	List		   *doubts; /* of places, char * */
} Walk;

static void walk_block(Walk *w, const LqBlock *block);
static void walk_expr(Walk *w, const LqExpr *expr);
static bool sets(const LqBlock *block, const char *name);

/* Is a piece of the source this word? */
static bool
is_word(const char *piece, int len, const char *word)
{
	return piece != NULL && len == strlen(word) &&
		   strncmp(piece, word, len) == 0;
}

/* The string that an expression is; false if it is none. */
static bool
is_string(const LqExpr *expr, const char *word)
{
	return expr != NULL && expr->kind == LQ_EXPR_LITERAL &&
		   expr->literal.kind == LQ_STRING &&
		   is_word(expr->literal.string.data, expr->literal.string.len, word);
}

/* Is a step of a path this name, written in either way? */
static bool
is_step(const LqStep *step, const char *name)
{
	return step->name != NULL ? is_word(step->name, step->len, name) :
								is_string(step->index, name);
}

/* How the new name is written as a string. */
static char *
quoted(const char *name)
{
	if (strchr(name, '\'') == NULL)
		return psprintf("'%s'", name);
	if (strchr(name, '"') == NULL)
		return psprintf("\"%s\"", name);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_NAME),
			 errmsg("\"%s\" cannot be written in a template", name),
			 errdetail("Liquid has no way to write both quotes in a name.")));
}

/* Can the new name be written behind a point, whatever follows? */
static bool
is_plain(const char *name)
{
	if (name[0] >= '0' && name[0] <= '9')
		return false;
	for (const char *c = name; *c != '\0'; c++)
		if (!IS_HIGHBIT_SET(*c) && *c != '_' && !(*c >= '0' && *c <= '9') &&
			!(*c >= 'a' && *c <= 'z') && !(*c >= 'A' && *c <= 'Z'))
			return false;
	return true;
}

/* Puts a text in place of a piece of the source. */
static void
edit(Walk *w, const char *from, const char *to, const char *text)
{
	const char *source = w->edits.text;

	ma_edit_replace(&w->edits, from - source, to - source, text);
}

/* A string that is the old name, with its quotes. */
static void
edit_string(Walk *w, const LqExpr *expr)
{
	const char *text = expr->literal.string.data;

	edit(w, text - 1, text + expr->literal.string.len + 1,
		 quoted(w->rename->new_name));
}

/* A step of a path that is the old name. */
static void
edit_step(Walk *w, const LqStep *step)
{
	const char *from = step->name;
	const char *name = w->rename->new_name;

	if (from == NULL)
		edit_string(w, step->index);
	else if (is_plain(name))
		edit(w, from, from + step->len, name);
	else
	{
		/* its point goes with it */
		while (*from != '.')
			from--;
		edit(w, from, step->name + step->len, psprintf("[%s]", quoted(name)));
	}
}

/* Notes a place that may mean it. */
static void
doubt(Walk *w, const char *place)
{
	w->doubts = lappend(w->doubts, unconstify(char *, place));
}

/* A path: contact.x */
static void
walk_path(Walk *w, const LqExpr *expr)
{
	for (int i = 0; i < expr->nsteps; i++)
		walk_expr(w, expr->steps[i].index);
	if (w->rename->what != MA_NAMED_ATTRIBUTE ||
		!is_step(&expr->steps[0], "contact"))
		return;
	if (expr->nsteps == 1 || (expr->steps[1].index != NULL &&
							  expr->steps[1].index->kind != LQ_EXPR_LITERAL))
		doubt(w, expr->text);
	else if (is_step(&expr->steps[1], w->rename->old_name))
	{
		if (sets(w->body, "contact"))
			doubt(w, expr->text);
		else
			edit_step(w, &expr->steps[1]);
	}
}

/* Any expression; NULL is none. */
static void
walk_expr(Walk *w, const LqExpr *expr)
{
	if (expr == NULL || expr->kind == LQ_EXPR_LITERAL)
		return;
	if (expr->kind == LQ_EXPR_PATH)
		walk_path(w, expr);
	else
	{
		walk_expr(w, expr->from);
		walk_expr(w, expr->to);
	}
}

static void
walk_exprs(Walk *w, LqExpr **exprs, int n)
{
	for (int i = 0; i < n; i++)
		walk_expr(w, exprs[i]);
}

/* Is it event.list, or entry.list, or of what else the name is said? */
static bool
tells(const Walk *w, const LqExpr *expr)
{
	return w->property != NULL && expr != NULL && expr->kind == LQ_EXPR_PATH &&
		   expr->nsteps == 2 &&
		   (is_step(&expr->steps[0], "event") ||
			is_step(&expr->steps[0], "entry")) &&
		   is_step(&expr->steps[1], w->property);
}

/* Something that says the name goes where it cannot be followed. */
static void
walk_away(Walk *w, const LqExpr *expr)
{
	if (tells(w, expr))
		doubt(w, expr->text);
}

/* What that is compared with. */
static void
walk_compared(Walk *w, const LqExpr *expr, const LqExpr *other)
{
	bool own;

	if (!tells(w, expr) || tells(w, other))
		return;
	own = sets(w->body, is_step(&expr->steps[0], "event") ? "event" : "entry");
	if (other->kind != LQ_EXPR_LITERAL)
		doubt(w, expr->text);
	else if (!is_string(other, w->rename->old_name))
		return;
	else if (own || !w->told)
		doubt(w, expr->text);
	else
		edit_string(w, other);
}

/* Conditions joined by and, or. */
static void
walk_conditions(Walk *w, const LqCondition *condition)
{
	for (; condition != NULL; condition = condition->next)
	{
		walk_expr(w, condition->left);
		walk_expr(w, condition->right);
		if (condition->op == LQ_OP_EQ || condition->op == LQ_OP_NE)
		{
			walk_compared(w, condition->left, condition->right);
			walk_compared(w, condition->right, condition->left);
		}
		else if (condition->op != LQ_OP_TRUE)
		{
			walk_away(w, condition->left);
			walk_away(w, condition->right);
		}
	}
}

/* The branches of an if or case. */
static void
walk_branches(Walk *w, const LqNode *node)
{
	for (const LqBranch *b = node->branches; b != NULL; b = b->next)
	{
		walk_conditions(w, b->condition);
		walk_exprs(w, b->values, b->nvalues);
		for (int i = 0; i < b->nvalues; i++)
			walk_compared(w, node->expr, b->values[i]);
		walk_block(w, &b->body);
	}
}

/* A template that is rendered, and what it is handed. */
static void
walk_partial(Walk *w, const LqNode *node)
{
	if (w->rename->what == MA_NAMED_TEMPLATE)
	{
		if (node->expr->kind != LQ_EXPR_LITERAL)
			doubt(w, node->expr->text);
		else if (is_string(node->expr, w->rename->old_name))
			edit_string(w, node->expr);
	}
	walk_expr(w, node->with);
	walk_away(w, node->with);
	for (int i = 0; i < node->narguments; i++)
	{
		walk_expr(w, node->arguments[i].value);
		walk_away(w, node->arguments[i].value);
	}
}

/* One tag or output. */
static void
walk_node(Walk *w, const LqNode *node)
{
	walk_expr(w, node->pipe.expr);
	if (node->kind == LQ_ASSIGN)
		walk_away(w, node->pipe.expr);
	for (int i = 0; i < node->pipe.nfilters; i++)
		walk_exprs(w, node->pipe.filters[i].args, node->pipe.filters[i].nargs);
	walk_expr(w, node->expr);
	walk_exprs(w, node->values, node->nvalues);
	walk_expr(w, node->limit);
	walk_expr(w, node->offset);
	walk_expr(w, node->cols);
	if (node->kind == LQ_PARTIAL)
		walk_partial(w, node);
	walk_branches(w, node);
	walk_block(w, &node->body);
	walk_block(w, &node->otherwise);
}

static void
walk_block(Walk *w, const LqBlock *block)
{
	for (int i = 0; i < block->count; i++)
		walk_node(w, block->nodes[i]);
}

/* Does a block set a variable of this name? */
static bool
sets(const LqBlock *block, const char *name)
{
	for (int i = 0; i < block->count; i++)
	{
		const LqNode *node = block->nodes[i];

		if (node->kind != LQ_TEXT && is_word(node->name, node->namelen, name))
			return true;
		if (sets(&node->body, name) || sets(&node->otherwise, name))
			return true;
		for (const LqBranch *b = node->branches; b != NULL; b = b->next)
			if (sets(&b->body, name))
				return true;
	}
	return false;
}

/* Looks through a source; edits and doubts are in the walk afterwards. */
static void
look_through(Walk *w)
{
	LqBlock body = ma_liquid_parse(w->edits.text, strlen(w->edits.text));

	w->body = &body;
	w->property = w->rename->what == MA_NAMED_KIND ?
					  "kind" :
					  ma_rename_property(w->rename->what);
	if (w->rename->what == MA_NAMED_KIND)
		w->told = true; /* no other events have one */
	walk_block(w, &body);
	w->body = NULL;
}

/* The same, for the guard. */
static void
look_through_guarded(void *arg)
{
	look_through(arg);
}

/* How often a source names something where it is certain. */
static int
count_named(const char *source, const MaRename *rename)
{
	Walk w = {.rename = rename, .told = true, .edits = {source}};

	if (ma_guard(look_through_guarded, &w) != NULL)
		return -1;
	return ma_edit_count(&w.edits);
}

/*
 * Raises where the new name cannot be read as it is written in the result:
 * Liquid has no escapes, and looks for the end of a tag first.
 */
static void
check_readable(const Walk *w, const char *result)
{
	MaRename found = *w->rename;

	found.old_name = found.new_name;
	if (count_named(result, &found) <
		count_named(w->edits.text, &found) + ma_edit_count(&w->edits))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("\"%s\" cannot be written in a template",
						w->rename->new_name),
				 errdetail("Liquid would read another name there, or none.")));
}

/*
 * A source after something it names got another name; NULL if it does not
 * name it. An event of a template that is told tells of such things. Adds
 * what may mean it, as it is written from there on, to doubts. All live in
 * the current context, and point into the source.
 */
char *
ma_template_rename(const char *source, const MaRename *rename, bool told,
				   List **doubts)
{
	Walk  w = {.rename = rename, .told = told, .edits = {source}};
	char *result;

	look_through(&w);
	*doubts = list_concat(*doubts, w.doubts);
	result = ma_edit_result(&w.edits);
	if (result != NULL)
		check_readable(&w, result);
	return result;
}
