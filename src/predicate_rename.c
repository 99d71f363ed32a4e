/*
 * predicate_rename.c
 *	  The text of an expression with another name in it.
 *
 * The raw tree says where a list, a score, a kind of events or an attribute
 * is named; PostgreSQL's scanner where that token ends. Nothing else of the
 * text changes. Named is what the grammar of predicates says by name, and
 * what is compared by =, <> or in with the property of a derived event that
 * tells of it: filter (where event.list = 'loyal'). Where such a property is
 * looked at in another way, or where nobody knows whose property it is, the
 * place is a doubt, for the caller to tell of.
 */
#include "postgres.h"

#include <ctype.h>

#include "nodes/nodeFuncs.h"
#include "utils/builtins.h"

#include "edit.h"
#include "predicate_private.h"

/* A text that is looked through. */
typedef struct Walk
{
	const MaExprSource *source;
	const MaExprRename *rename;
	const char		   *kind;	/* what event.x belongs to; NULL: any */
	bool				filter; /* within that of a call */
	int					ntokens;
	MaToken			   *tokens;
	MaEdits				edits;
	List			   *doubts; /* of positions */
	char			   *result;
} Walk;

/* How certain it is that something is told of by its name. */
typedef enum Certainty
{
	NO,
	MAYBE,
	YES
} Certainty;

static bool walk(Node *node, Walk *w);

/* The number of the token at a position. */
static int
token_at(const Walk *w, int position)
{
	for (int i = 0; i < w->ntokens; i++)
		if (w->tokens[i].from == position)
			return i;
	elog(ERROR, "no token at %d of \"%s\"", position, w->source->text);
}

/* Puts a text in place of some tokens. */
static void
edit(Walk *w, int first, int last, const char *text)
{
	ma_edit_replace(&w->edits, w->tokens[first].from, w->tokens[last].to,
					text);
}

/* Is the token a keyword or a name? */
static bool
is_word(const Walk *w, const MaToken *token)
{
	char last = w->source->text[token->to - 1];

	return last == '_' || IS_HIGHBIT_SET(last) ||
		   isalnum((unsigned char) last);
}

/* The string at a position is the name. */
static void
edit_string(Walk *w, int position)
{
	int	  at = token_at(w, position);
	char *text = quote_literal_cstr(w->rename->rename.new_name);

	/* or'x' would become orE'x\\y' */
	if (text[0] == 'E' && at > 0 && is_word(w, &w->tokens[at - 1]) &&
		w->tokens[at - 1].to == w->tokens[at].from)
		text = psprintf(" %s", text);
	edit(w, at, at, text);
}

/* contact.<name> at a position: contact, a point, the name. */
static void
edit_name(Walk *w, int position)
{
	int at = token_at(w, position) + 2;

	edit(w, at, at, quote_identifier(w->rename->rename.new_name));
}

/* Is the node a string that is the old name? */
static bool
is_old(const Walk *w, Node *node)
{
	const char *text = ma_raw_string(node);

	return text != NULL && strcmp(text, w->rename->rename.old_name) == 0;
}

/* Is a field of a name this word? */
static bool
is_field(ColumnRef *ref, int i, const char *word)
{
	Node *field =
		list_length(ref->fields) > i ? list_nth(ref->fields, i) : NULL;

	return field != NULL && IsA(field, String) &&
		   strcmp(strVal(field), word) == 0;
}

/* Do events of a kind (NULL: of one nobody knows) tell of it by a property? */
static Certainty
told_by(const Walk *w, const char *kind, ColumnRef *ref)
{
	MaNamed		what = w->rename->rename.what;
	const char *property = ma_rename_property(what);

	if (what == MA_NAMED_KIND)
		return is_field(ref, 1, "kind") ? YES : NO;
	if (property == NULL || !is_field(ref, 1, property))
		return NO;
	return kind == NULL ? MAYBE : ma_rename_is_told(what, kind) ? YES : NO;
}

/* Is the node what tells of it: event.list, entry.list and so on? */
static Certainty
tells(const Walk *w, Node *node)
{
	ColumnRef *ref = (ColumnRef *) node;
	List	  *args;

	if (node == NULL)
		return NO;
	if (IsA(node, TypeCast))
		return tells(w, ((TypeCast *) node)->arg);
	if (ma_raw_is_call(node, "last_value"))
	{
		args = ((FuncCall *) node)->args;
		return list_length(args) > 1 && ma_raw_string(linitial(args)) &&
					   ma_raw_string(lsecond(args)) &&
					   ma_rename_is_told(w->rename->rename.what,
										 ma_raw_string(linitial(args))) &&
					   strcmp(ma_raw_string(lsecond(args)),
							  ma_rename_property(w->rename->rename.what)) ==
						   0 ?
				   YES :
				   NO;
	}
	if (!IsA(node, ColumnRef) || list_length(ref->fields) != 2)
		return NO;
	if (is_field(ref, 0, "event") &&
		(w->filter || (w->source->names & MA_NAMES_EVENT)))
		return told_by(w, w->kind, ref);
	if (is_field(ref, 0, "entry") && !w->filter &&
		(w->source->names & MA_NAMES_ENTRY))
	{
		Certainty certainty = told_by(w, w->source->entry_kind, ref);

		return certainty == MAYBE && w->rename->entries ? YES : certainty;
	}
	return NO;
}

/* Notes a place that may mean it. */
static void
doubt(Walk *w, Node *node)
{
	w->doubts = lappend_int(w->doubts, Max(exprLocation(node), 0));
}

/* What is compared with the property that tells of it. */
static void
compared(Walk *w, Node *node, Certainty certainty)
{
	ListCell *lc;

	if (node == NULL)
		return;
	if (IsA(node, TypeCast))
		compared(w, ((TypeCast *) node)->arg, certainty);
	else if (IsA(node, List))
	{
		foreach (lc, (List *) node)
			compared(w, lfirst(lc), certainty);
	}
	else if (IsA(node, A_ArrayExpr))
	{
		foreach (lc, ((A_ArrayExpr *) node)->elements)
			compared(w, lfirst(lc), certainty);
	}
	else if (is_old(w, node))
	{
		if (certainty == YES)
			edit_string(w, exprLocation(node));
		else
			doubt(w, node);
	}
	else if (!IsA(node, A_Const) ||
			 /* '{loyal,churned}' */
			 (ma_raw_string(node) != NULL && ma_raw_string(node)[0] == '{' &&
			  strstr(ma_raw_string(node), w->rename->rename.old_name)))
		doubt(w, node);
}

/* a = b, a <> b, a in (b, ...), a = any (b), a is not distinct from b */
static bool
is_comparison(A_Expr *expr)
{
	const char *op = strVal(llast(expr->name));

	switch (expr->kind)
	{
		case AEXPR_OP:
		case AEXPR_OP_ANY:
		case AEXPR_OP_ALL:
			return strcmp(op, "=") == 0 || strcmp(op, "<>") == 0;
		case AEXPR_IN:
		case AEXPR_DISTINCT:
		case AEXPR_NOT_DISTINCT:
			return true;
		default:
			return false;
	}
}

/* An operator; what else its sides name is found deeper. */
static bool
walk_operator(A_Expr *expr, Walk *w)
{
	Certainty left = tells(w, expr->lexpr);
	Certainty right = tells(w, expr->rexpr);

	if (!is_comparison(expr) || (left == NO && right == NO))
		return raw_expression_tree_walker((Node *) expr, walk, w);
	if (left != NO)
		compared(w, expr->rexpr, left);
	else
		compared(w, expr->lexpr, right);
	/* last_value() and its filter name a kind */
	if (ma_raw_call(expr->lexpr) != NULL)
		walk(expr->lexpr, w);
	if (ma_raw_call(expr->rexpr) != NULL)
		walk(expr->rexpr, w);
	return false;
}

/* A call about the history: of a kind, with a filter on its events. */
static bool
walk_history(FuncCall *call, Walk *w)
{
	Node	   *kind = linitial(call->args);
	const char *outer = w->kind;
	ListCell   *lc;

	if (w->rename->rename.what == MA_NAMED_KIND && is_old(w, kind))
		edit_string(w, exprLocation(kind));
	for_each_from(lc, call->args, 1) walk(lfirst(lc), w);
	w->kind = ma_raw_string(kind);
	w->filter = true;
	walk(call->agg_filter, w);
	w->filter = false;
	w->kind = outer;
	return false;
}

/* A call of a function. */
static bool
walk_call(FuncCall *call, Walk *w)
{
	MaNamed what = w->rename->rename.what;
	Node   *node = (Node *) call;
	Node   *first = call->args == NIL ? NULL : linitial(call->args);
	bool	names_it = false;

	if (first == NULL || ma_raw_string(first) == NULL)
		return raw_expression_tree_walker(node, walk, w);
	if (ma_history_is_name(node) || ma_raw_is_call(node, "elapsed"))
		return walk_history(call, w);
	if (ma_raw_is_call(node, "in_list"))
		names_it = what == MA_NAMED_LIST;
	else if (ma_raw_is_call(node, "score") || ma_raw_is_call(node, "tier"))
		names_it = what == MA_NAMED_SCORE;
	else if (ma_raw_is_call(node, "was"))
		names_it = what == MA_NAMED_ATTRIBUTE;
	if (names_it && is_old(w, first))
		edit_string(w, exprLocation(first));
	return raw_expression_tree_walker(node, walk, w);
}

/* Looks for the name in a raw tree. */
static bool
walk(Node *node, Walk *w)
{
	if (node == NULL)
		return false;
	if (IsA(node, FuncCall))
		return walk_call((FuncCall *) node, w);
	if (IsA(node, A_Expr))
		return walk_operator((A_Expr *) node, w);
	if (IsA(node, NullTest))
		return tells(w, (Node *) ((NullTest *) node)->arg) == NO &&
			   raw_expression_tree_walker(node, walk, w);
	if (!IsA(node, ColumnRef))
		return raw_expression_tree_walker(node, walk, w);
	if (tells(w, node) != NO)
		doubt(w, node);
	else if (w->rename->rename.what == MA_NAMED_ATTRIBUTE && !w->filter &&
			 (w->source->names & MA_NAMES_CONTACT) &&
			 is_field((ColumnRef *) node, 0, "contact") &&
			 is_field((ColumnRef *) node, 1, w->rename->rename.old_name))
		edit_name(w, ((ColumnRef *) node)->location);
	return false;
}

/* ma_expr_rename() under pinned settings. */
static void
rename_pinned(void *arg)
{
	Walk	 *w = arg;
	List	 *targets = ma_expr_parse(w->source);
	ListCell *lc;

	w->tokens = ma_scan(w->source->text, &w->ntokens);
	foreach (lc, targets)
		walk(lfirst_node(ResTarget, lc)->val, w);
	w->result = ma_edit_result(&w->edits);
}

/*
 * The text of an expression after something it names got another name; NULL
 * if it does not name it. Adds the positions of what may mean it to doubts.
 */
char *
ma_expr_rename(const MaExprSource *source, const MaExprRename *rename,
			   List **doubts)
{
	Walk w = {.source = source,
			  .rename = rename,
			  .kind = source->event_kind,
			  .edits = {source->text}};

	ma_expr_pinned(source->text, rename_pinned, &w);
	*doubts = list_concat(*doubts, w.doubts);
	return w.result;
}

/* The last token of a target: of those before the next one, or of all. */
static int
last_token(const Walk *w, const List *targets, int i)
{
	if (i + 1 == list_length(targets))
		return w->ntokens - 1;
	/* before it is a comma */
	return token_at(w, list_nth_node(ResTarget, targets, i + 1)->location) - 2;
}

/* ma_expr_rename_target() under pinned settings. */
static void
rename_target_pinned(void *arg)
{
	Walk	   *w = arg;
	const char *new_name = quote_identifier(w->rename->rename.new_name);
	List	   *targets = ma_expr_parse(w->source);

	w->tokens = ma_scan(w->source->text, &w->ntokens);
	for (int i = 0; i < list_length(targets); i++)
	{
		ResTarget  *target = list_nth_node(ResTarget, targets, i);
		const char *name = ma_expr_target_name(target);
		int			last = last_token(w, targets, i);

		if (name == NULL || strcmp(name, w->rename->rename.old_name) != 0)
			continue;
		if (target->name != NULL)
			edit(w, last, last, new_name);
		else
			edit(w, last, last,
				 psprintf("%.*s as %s",
						  w->tokens[last].to - w->tokens[last].from,
						  w->source->text + w->tokens[last].from, new_name));
	}
	w->result = ma_edit_result(&w->edits);
}

/*
 * The text of a select list in which the target of a name has another one;
 * NULL if there is none of that name.
 */
char *
ma_expr_rename_target(const char *text, const MaRename *rename)
{
	MaExprSource source = {.text = text, .select_list = true};
	MaExprRename names = {.rename = *rename};
	Walk		 w = {.source = &source, .rename = &names, .edits = {text}};

	ma_expr_pinned(text, rename_target_pinned, &w);
	return w.result;
}
