/*
 * predicate_text.c
 *	  Analysed expressions as text again.
 *
 * A text that says what PostgreSQL understood is how expressions are compared
 * and how the log is asked in plain SQL (log_sql.c).
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "utils/ruleutils.h"

#include "predicate_private.h"

/* A slot as it is written. */
static const char *
slot_text(const MaExpr *expr, const MaSlot *slot, void *arg)
{
	return slot->text;
}

/*
 * The text of a target as PostgreSQL understood it, our names in it again.
 * Equal texts mean equal things. In the current context.
 */
char *
ma_expr_deparse(const MaExpr *expr, int i)
{
	return ma_expr_deparse_with(expr, i, slot_text, NULL);
}

/*
 * Planning makes of COLLATE a relabelling, which is not written: makes it one
 * again, or the text would mean another thing.
 */
static Node *
write_collations(Node *node, void *context)
{
	RelabelType *relabel = (RelabelType *) node;
	Node		*result;
	CollateExpr *collate;

	if (node == NULL)
		return NULL;
	result = expression_tree_mutator(node, write_collations, context);
	if (!IsA(node, RelabelType) || !OidIsValid(relabel->resultcollid) ||
		relabel->resultcollid == exprCollation((Node *) relabel->arg))
		return result;
	collate = makeNode(CollateExpr);
	collate->arg = (Expr *) result;
	collate->collOid = relabel->resultcollid;
	collate->location = -1;
	return (Node *) collate;
}

/* The same with whatever a function writes for each slot. */
char *
ma_expr_deparse_with(const MaExpr *expr, int i, MaSlotText write, void *arg)
{
	Node *node = write_collations((Node *) expr->targets[i].expr, NULL);
	char *text = deparse_expression(node, NIL, false, false);
	StringInfoData s;
	char		   quote = '\0';

	initStringInfo(&s);
	for (const char *c = text; *c != '\0'; c++)
	{
		if (quote != '\0')
			quote = *c == quote ? '\0' : quote;
		else if (*c == '\'' || *c == '"')
			quote = *c;
		else if (*c == '$' && c[1] >= '1' && c[1] <= '9')
		{
			char *end;
			long  id = strtol(c + 1, &end, 10);

			appendStringInfoString(&s, write(expr, &expr->slots[id - 1], arg));
			c = end - 1;
			continue;
		}
		appendStringInfoChar(&s, *c);
	}
	return s.data;
}
