/*
 * predicate.c
 *	  SQL expressions of definitions: compiled once, evaluated many times.
 *
 * A list, a scoring condition, the entry of a workflow, a column mapping of a
 * source: all are SQL expressions over names of ours. The text goes through
 * PostgreSQL's own grammar; our names become parameters (predicate_names.c,
 * predicate_history.c); PostgreSQL's own analysis gives types and operators;
 * what is not built in or not immutable is refused (predicate_check.c); the
 * executor evaluates, and asks for each parameter only when it needs it, so
 * its own short-circuiting tells which of them mattered and until when the
 * result holds.
 *
 * Everything is compiled and evaluated under one set of settings, whatever
 * the session's are: a text means the same in every session.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "nodes/bitmapset.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "parser/parse_collate.h"
#include "parser/parse_expr.h"
#include "parser/parse_node.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "predicate_private.h"
#include "setting.h"
#include "value.h"

static MaExpr *compile_text(const MaExprSource *source, MemoryContext cxt);
static void	   compile_target(MaCompile *compile, MaExpr *expr, int i,
							  ResTarget *target);

/* A text to compile. */
typedef struct Compilation
{
	const MaExprSource *source;
	MemoryContext		cxt;
	MaExpr			   *expr;
} Compilation;

static void
compile_pinned(void *arg)
{
	Compilation *compilation = arg;

	compilation->expr = compile_text(compilation->source, compilation->cxt);
}

/*
 * Compiles a text into a memory context of its own below cxt. Errors carry
 * the position in the text.
 */
MaExpr *
ma_expr_compile(const MaExprSource *source, MemoryContext cxt)
{
	Compilation compilation = {source, cxt};

	ma_expr_pinned(source->text, compile_pinned, &compilation);
	return compilation.expr;
}

/* Compiles under pinned settings; re-parents the result when it is whole. */
static MaExpr *
compile_text(const MaExprSource *source, MemoryContext cxt)
{
	MemoryContext own = AllocSetContextCreate(
		CurrentMemoryContext, "mautomate expression", ALLOCSET_SMALL_SIZES);
	MaExpr *expr = ma_expr_from_raw(source, ma_expr_parse(source), own);

	MemoryContextSetParent(own, cxt);
	return expr;
}

/* Compiles raw targets into an expression that lives in cxt. */
MaExpr *
ma_expr_from_raw(const MaExprSource *source, List *targets, MemoryContext cxt)
{
	MaCompile compile = {.source = source, .cxt = cxt};
	MaExpr	 *expr = MemoryContextAllocZero(cxt, sizeof(MaExpr));
	int		  i = 0;
	ListCell *lc;

	expr->cxt = cxt;
	expr->text = MemoryContextStrdup(cxt, source->text);
	expr->ntargets = list_length(targets);
	expr->targets =
		MemoryContextAllocZero(cxt, expr->ntargets * sizeof(MaTarget));
	foreach (lc, targets)
		compile_target(&compile, expr, i++, lfirst_node(ResTarget, lc));
	expr->nslots = compile.nslots;
	expr->slots = compile.slots;
	for (i = 0; i < expr->nslots; i++)
	{
		MaSlot *slot = &expr->slots[i];

		if (slot->kind == MA_SLOT_ELAPSED || slot->kind == MA_SLOT_REMAINING ||
			slot->kind == MA_SLOT_ANNIVERSARY ||
			(slot->signal != NULL && slot->signal->windowed))
			expr->is_timed = true;
		if (ma_value_depends_on_zone(slot->type))
			expr->zoned = true;
	}

	ma_eval_init(expr);
	return expr;
}

/* Walks a tree for ma_expr_target_slots(). */
static bool
collect_params(Node *node, Bitmapset **slots)
{
	if (node == NULL)
		return false;
	if (IsA(node, Param))
		*slots = bms_add_member(*slots, ((Param *) node)->paramid - 1);
	return expression_tree_walker(node, collect_params, slots);
}

/* The slots that a target reads. */
Bitmapset *
ma_expr_target_slots(const MaExpr *expr, int i)
{
	Bitmapset *slots = NULL;

	collect_params((Node *) expr->targets[i].expr, &slots);
	return slots;
}

/* p_paramref_hook: our slots are external parameters. */
static Node *
resolve_param(ParseState *pstate, ParamRef *ref)
{
	MaCompile *compile = pstate->p_ref_hook_state;
	Param	  *param = makeNode(Param);

	param->paramkind = PARAM_EXTERN;
	param->paramid = ref->number;
	param->paramtype = compile->slots[ref->number - 1].type;
	param->paramtypmod = -1;
	param->paramcollid = get_typcollation(param->paramtype);
	param->location = ref->location;
	return (Node *) param;
}

/* The name of a target: given, or that of the plain column it is. */
const char *
ma_expr_target_name(const ResTarget *target)
{
	ColumnRef *ref = (ColumnRef *) target->val;

	if (target->name != NULL)
		return target->name;
	if (IsA(ref, ColumnRef) && IsA(llast(ref->fields), String))
		return strVal(llast(ref->fields));
	return NULL;
}

/* A target that is to be true, false or null. */
static Node *
coerce_to_condition(ParseState *pstate, Node *node, int location)
{
	Oid from = exprType(node);
	Oid to = BOOLOID;

	if (!can_coerce_type(1, &from, &to, COERCION_ASSIGNMENT))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("argument of condition must be type boolean, not type "
						"%s",
						format_type_be(from)),
				 errhint("A condition is true or false, such as a "
						 "comparison."),
				 ma_expr_at(location)));
	return coerce_to_boolean(pstate, node, "condition");
}

/* Analyses, checks and simplifies one target. */
static void
compile_target(MaCompile *compile, MaExpr *expr, int i, ResTarget *target)
{
	const MaExprSource *source = compile->source;
	MaTarget		   *result = &expr->targets[i];
	ParseState		   *pstate = make_parsestate(NULL);
	const char		   *name = ma_expr_target_name(target);
	MemoryContext		old;
	bool				can_raise;
	bool				zoned;
	Node			   *node;

	if (source->select_list && name == NULL)
		ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR),
						errmsg("expression has no name"),
						errhint("Write \"<expression> as <name>\"."),
						ma_expr_at(target->location)));
	pstate->p_sourcetext = source->text;
	pstate->p_paramref_hook = resolve_param;
	pstate->p_ref_hook_state = compile;
	node = ma_names_rewrite(compile, target->val, source->type);
	node = transformExpr(pstate, node, EXPR_KIND_SELECT_TARGET);
	if (source->type == BOOLOID)
		node = coerce_to_condition(pstate, node, target->location);
	else if (OidIsValid(source->type))
	{
		Oid from = exprType(node);

		node = coerce_to_target_type(pstate, node, from, source->type, -1,
									 COERCION_ASSIGNMENT, COERCE_IMPLICIT_CAST,
									 -1);
		if (node == NULL)
			ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
							errmsg("expression must be of type %s, not %s",
								   format_type_be(source->type),
								   format_type_be(from)),
							ma_expr_at(target->location)));
	}
	else if (exprType(node) == UNKNOWNOID)
		node = coerce_to_common_type(pstate, node, TEXTOID, "expression");
	assign_expr_collations(pstate, node);
	free_parsestate(pstate);
	ma_check_tree(node, compile, &can_raise, &zoned);
	expr->can_raise = expr->can_raise || can_raise;
	expr->zoned = expr->zoned || zoned;

	old = MemoryContextSwitchTo(compile->cxt);
	result->name = name ? pstrdup(name) : NULL;
	result->type = exprType(node);
	result->expr = copyObject(expression_planner((Expr *) node));
	MemoryContextSwitchTo(old);
}

int
ma_expr_count(const MaExpr *expr)
{
	return expr->ntargets;
}

const char *
ma_expr_name(const MaExpr *expr, int i)
{
	return expr->targets[i].name;
}

Oid
ma_expr_type(const MaExpr *expr, int i)
{
	return expr->targets[i].type;
}

/* What the names and calls in the expression stand for. */
int
ma_expr_slots(const MaExpr *expr, MaSlot **slots)
{
	*slots = expr->slots;
	return expr->nslots;
}

/* The slot that is all of the expression; NULL if it is more than one. */
const MaSlot *
ma_expr_only_slot(const MaExpr *expr)
{
	Param *param = (Param *) expr->targets[0].expr;

	if (expr->ntargets != 1 || !IsA(param, Param))
		return NULL;
	return &expr->slots[param->paramid - 1];
}

/* May evaluating it raise an error? */
bool
ma_expr_can_raise(const MaExpr *expr)
{
	return expr->can_raise;
}

/* May its result change by the passing of time alone? */
bool
ma_expr_is_timed(const MaExpr *expr)
{
	return expr->is_timed;
}
