/*
 * predicate_filter.c
 *	  What an analysed expression compares with constants.
 */
#include "postgres.h"

#include "catalog/pg_collation_d.h"
#include "catalog/pg_type_d.h"
#include "nodes/nodeFuncs.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"

#include "predicate_private.h"

/* The operator behind a function that compares numbers or texts. */
static bool
filter_operator(Oid function, MaOperator *op)
{
	static const struct
	{
		Oid		   function;
		MaOperator op;
	} known[] = {
		{F_NUMERIC_LT, MA_LT}, {F_NUMERIC_LE, MA_LE}, {F_NUMERIC_EQ, MA_EQ},
		{F_NUMERIC_NE, MA_NE}, {F_NUMERIC_GE, MA_GE}, {F_NUMERIC_GT, MA_GT},
		{F_TEXTEQ, MA_EQ},	   {F_TEXTNE, MA_NE},
	};

	for (int i = 0; i < lengthof(known); i++)
		if (known[i].function == function)
		{
			*op = known[i].op;
			return true;
		}
	return false;
}

/* Is the expression event.x <op> constant, over numbers or texts? */
bool
ma_expr_filter(const MaExpr *expr, MaFilter *filter)
{
	OpExpr		 *op = (OpExpr *) expr->targets[0].expr;
	Param		 *param;
	Const		 *constant;
	const MaSlot *slot;

	if (expr->ntargets != 1 || !IsA(op, OpExpr) ||
		list_length(op->args) != 2 ||
		!filter_operator(op->opfuncid, &filter->op) ||
		(OidIsValid(op->inputcollid) &&
		 op->inputcollid != DEFAULT_COLLATION_OID))
		return false;
	param = linitial(op->args);
	constant = lsecond(op->args);
	if (!IsA(param, Param) || !IsA(constant, Const) || constant->constisnull)
		return false;
	slot = &expr->slots[param->paramid - 1];
	if (slot->kind != MA_SLOT_EVENT || slot->type != constant->consttype)
		return false;
	filter->path = slot->path;
	filter->npath = slot->npath;
	filter->type = slot->type;
	filter->constant = constant->constvalue;
	return true;
}

/* A text of a constant, and where it stands (-1: not known). */
static MaTextAt *
text_at(Datum value, int location)
{
	MaTextAt *result = palloc(sizeof(MaTextAt));

	result->text = TextDatumGetCString(value);
	result->location = location;
	return result;
}

/* Adds the texts of a constant to a list; false if it holds none. */
static bool
add_texts(Const *constant, int location, List **texts)
{
	Datum *elements;
	bool  *nulls;
	int	   n;

	if (constant->constisnull)
		return false;
	if (constant->consttype == TEXTOID)
		*texts = lappend(*texts, text_at(constant->constvalue, location));
	else if (constant->consttype == TEXTARRAYOID)
	{
		deconstruct_array(DatumGetArrayTypeP(constant->constvalue), TEXTOID,
						  -1, false, TYPALIGN_INT, &elements, &nulls, &n);
		for (int i = 0; i < n; i++)
			if (!nulls[i])
				*texts = lappend(*texts, text_at(elements[i], location));
	}
	else
		return false;
	return true;
}

/*
 * Is the node slot = text or slot = any (texts)? Adds the texts. With
 * negated, slot <> text and slot <> all (texts) are as good.
 */
static bool
compares(const MaExpr *expr, Node *node, bool negated, int *slot, List **texts)
{
	List  *args;
	Oid	   function;
	Param *param;
	Const *constant;

	if (IsA(node, OpExpr))
	{
		args = ((OpExpr *) node)->args;
		function = ((OpExpr *) node)->opfuncid;
	}
	else if (IsA(node, ScalarArrayOpExpr))
	{
		args = ((ScalarArrayOpExpr *) node)->args;
		function = ((ScalarArrayOpExpr *) node)->opfuncid;
		if (!negated && !((ScalarArrayOpExpr *) node)->useOr)
			return false;
	}
	else
		return false;
	if (list_length(args) != 2 ||
		(function != F_TEXTEQ && (!negated || function != F_TEXTNE)))
		return false;
	param = linitial(args);
	constant = lsecond(args);
	if (IsA(param, Const))
	{
		param = lsecond(args);
		constant = linitial(args);
	}
	if (!IsA(param, Param) || !IsA(constant, Const))
		return false;
	*slot = param->paramid - 1;
	return add_texts(constant, exprLocation((Node *) constant), texts);
}

/* Does the node hold only where a property of the event is one of texts? */
static bool
restricts(const MaExpr *expr, Node *node, const char *property, List **texts)
{
	ListCell *lc;
	List	 *found = NIL;
	int		  slot;

	if (IsA(node, BoolExpr) && ((BoolExpr *) node)->boolop == AND_EXPR)
	{
		foreach (lc, ((BoolExpr *) node)->args)
			if (restricts(expr, lfirst(lc), property, texts))
				return true;
		return false;
	}
	if (IsA(node, BoolExpr) && ((BoolExpr *) node)->boolop == OR_EXPR)
	{
		foreach (lc, ((BoolExpr *) node)->args)
			if (!restricts(expr, lfirst(lc), property, &found))
				return false;
		*texts = list_concat(*texts, found);
		return true;
	}
	if (!compares(expr, node, false, &slot, &found) ||
		expr->slots[slot].kind != MA_SLOT_EVENT ||
		expr->slots[slot].npath != 1 ||
		strcmp(expr->slots[slot].path[0], property) != 0)
		return false;
	*texts = list_concat(*texts, found);
	return true;
}

/*
 * Does a filter hold only for events in which a property is one of some
 * texts? Adds them (MaTextAt).
 */
bool
ma_expr_restricts(const MaExpr *filter, const char *property, List **texts)
{
	return filter != NULL &&
		   restricts(filter, (Node *) filter->targets[0].expr, property,
					 texts);
}

/* A search for ma_expr_compared(). */
typedef struct Search
{
	const MaExpr *expr;
	int			  slot;
	List		 *texts;
} Search;

static bool
search_walker(Node *node, Search *search)
{
	List *texts = NIL;
	int	  slot;

	if (node == NULL)
		return false;
	if (compares(search->expr, node, true, &slot, &texts) &&
		slot == search->slot)
		search->texts = list_concat(search->texts, texts);
	return expression_tree_walker(node, search_walker, search);
}

/* The texts with which a slot is compared by = and <> (MaTextAt). */
List *
ma_expr_compared(const MaExpr *expr, int slot)
{
	Search search = {.expr = expr, .slot = slot};

	for (int i = 0; i < expr->ntargets; i++)
		(void) search_walker((Node *) expr->targets[i].expr, &search);
	return search.texts;
}
