/*
 * predicate_was.c
 *	  What an attribute was before, within expressions.
 *
 *	was(contact.stage, 'lead'), was(contact.plan, 'gold', within => '1 year')
 *
 * An attribute was something if it is so now, or was so until it changed: the
 * engine writes an event attribute_changed {attribute, value, previous} for
 * the attributes that definitions ask about (refresh_record.c). So the call
 * is written anew as what it means:
 *
 *	contact.stage is not distinct from 'lead'
 *	or ever('attribute_changed') filter (where event.attribute = 'stage'
 *	and event.previous is not distinct from 'lead')
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"

#include "predicate_private.h"

#define USAGE "was(contact.<attribute>, <constant> [, within => '<interval>'])"

/* A string constant as a raw tree. */
static Node *
string_node(const char *text, int location)
{
	A_Const *constant = makeNode(A_Const);

	ma_raw_set_string(constant, pstrdup(text));
	constant->location = location;
	return (Node *) constant;
}

/* Is a node a constant: a literal, a signed or a typed one? */
static bool
is_constant(Node *node)
{
	if (IsA(node, TypeCast))
		node = ((TypeCast *) node)->arg;
	return IsA(node, A_Const) || ma_raw_number(node) != NULL;
}

/* The attribute that a call is about, as contact.x; NULL if it is none. */
static ColumnRef *
attribute_of(Node *node)
{
	ColumnRef  *ref = (ColumnRef *) node;
	const char *name = ma_raw_string(node);

	if (name != NULL)
	{
		ref = makeNode(ColumnRef);
		ref->fields =
			list_make2(makeString("contact"), makeString(pstrdup(name)));
		ref->location = exprLocation(node);
		return ref;
	}
	if (!IsA(node, ColumnRef) || list_length(ref->fields) < 2 ||
		IsA(llast(ref->fields), A_Star) ||
		strcmp(strVal(linitial(ref->fields)), "contact") != 0)
		return NULL;
	return ref;
}

/* a is not distinct from b */
static Node *
same(Node *a, Node *b, int location)
{
	return (Node *) makeSimpleA_Expr(AEXPR_NOT_DISTINCT, "=", a, b, location);
}

/* event.previous, or what is in it, as the type of the attribute. */
static Node *
previous(MaCompile *compile, ColumnRef *attribute)
{
	ColumnRef *ref = makeNode(ColumnRef);
	Oid		   type = ma_names_type(compile, (Node *) attribute);
	TypeCast  *cast;

	ref->fields =
		list_concat(list_make2(makeString("event"), makeString("previous")),
					list_copy_tail(attribute->fields, 2));
	ref->location = attribute->location;
	if (!OidIsValid(type))
		return (Node *) ref; /* the type of the constant, as contact.x */
	cast = makeNode(TypeCast);
	cast->arg = (Node *) ref;
	cast->typeName = makeTypeNameFromOid(type, -1);
	cast->location = -1;
	return (Node *) cast;
}

/* ever('attribute_changed' ...) filter (where ...) */
static Node *
ever_call(MaCompile *compile, ColumnRef *attribute, FuncCall *call)
{
	int		   location = call->location;
	Node	  *value = copyObject(lsecond(call->args));
	ColumnRef *name = makeNode(ColumnRef);
	FuncCall  *ever;

	name->fields = list_make2(makeString("event"), makeString("attribute"));
	name->location = location;
	ever = makeFuncCall(list_make1(makeString("ever")),
						lcons(string_node("attribute_changed", location),
							  list_copy_tail(call->args, 2)),
						COERCE_EXPLICIT_CALL, location);
	ever->agg_filter = (Node *) makeBoolExpr(
		AND_EXPR,
		list_make2(
			makeSimpleA_Expr(
				AEXPR_OP, "=", (Node *) name,
				string_node(strVal(lsecond(attribute->fields)), location),
				location),
			same(previous(compile, attribute), value, location)),
		location);
	return (Node *) ever;
}

/* was(contact.x, constant) */
Node *
ma_was_call(MaCompile *compile, FuncCall *call)
{
	int		   needed = MA_NAMES_CONTACT | MA_NAMES_HISTORY;
	ColumnRef *attribute = NULL;
	Node	  *now;
	Node	  *before;
	MaSignal  *signal;

	if ((compile->source->names & needed) != needed)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("was cannot be used in this expression"),
				 errhint("Names here are: %s.", ma_names_allowed(compile)),
				 ma_expr_at(call->location)));
	if (call->args != NIL)
		attribute = attribute_of(linitial(call->args));
	if (attribute == NULL || list_length(call->args) < 2 ||
		list_length(call->args) > 3 || !ma_raw_is_plain(call) ||
		!is_constant(lsecond(call->args)) ||
		(list_length(call->args) == 3 &&
		 (!IsA(lthird(call->args), NamedArgExpr) ||
		  strcmp(((NamedArgExpr *) lthird(call->args))->name, "within") != 0)))
		ma_history_wrong_call(USAGE, call->location);
	before = ma_names_rewrite(
		compile, ever_call(compile, copyObject(attribute), call), BOOLOID);
	signal = compile->slots[castNode(ParamRef, before)->number - 1].signal;
	signal->recorded =
		MemoryContextStrdup(compile->cxt, strVal(lsecond(attribute->fields)));
	now = ma_names_rewrite(
		compile, same((Node *) attribute, lsecond(call->args), call->location),
		BOOLOID);
	return (Node *) makeBoolExpr(OR_EXPR, list_make2(now, before),
								 call->location);
}
