/*
 * predicate_names.c
 *	  From the raw tree of an expression to one with parameters for our names.
 *
 * Walks what the grammar made of the user's text, before any name is looked
 * up: contact.x, event.x and so on and the calls about the history become
 * parameters, each remembered as a slot. Only node types listed here pass;
 * everything else (subqueries, aggregates, windows, ...) is refused with its
 * position.
 *
 * A property declared nowhere takes the type of what it is compared with, so
 * the walk carries a hint downwards.
 */
#include "postgres.h"

#include "access/transam.h"
#include "catalog/namespace.h"
#include "catalog/pg_collation_d.h"
#include "catalog/pg_namespace_d.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_type.h"
#include "utils/builtins.h"
#include "utils/formatting.h"
#include "utils/catcache.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "nearest.h"
#include "predicate_private.h"
#include "value.h"
#include "vocabulary.h"

static Node *rewrite_name(MaCompile *compile, ColumnRef *ref, Oid hint);
static Node *rewrite_operator(MaCompile *compile, A_Expr *expr, Oid hint);
static void	 rewrite_list(MaCompile *compile, List *list, Oid hint);

/* More names and calls nobody writes in one expression. */
#define SLOTS_MAX 1000

/* Adds a slot and makes the parameter that stands for it. */
MaSlot *
ma_names_add_slot(MaCompile *compile, Node **param, int location)
{
	ParamRef *ref = makeNode(ParamRef);
	MaSlot	 *slot;

	if (compile->nslots == SLOTS_MAX)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("expression has more than %d names and calls",
							   SLOTS_MAX),
						errhint("Make lists of its parts and join them with "
								"in_list('<list>')."),
						ma_expr_at(location)));
	if (compile->nslots == compile->maxslots)
	{
		compile->maxslots = Max(8, 2 * compile->maxslots);
		compile->slots =
			compile->slots == NULL ?
				MemoryContextAlloc(compile->cxt,
								   compile->maxslots * sizeof(MaSlot)) :
				repalloc(compile->slots, compile->maxslots * sizeof(MaSlot));
	}
	slot = &compile->slots[compile->nslots++];
	memset(slot, 0, sizeof(MaSlot));
	slot->column = -1;
	slot->time = -1;
	slot->zone = -1;
	slot->index = -1;
	slot->location = location;
	ref->number = compile->nslots;
	ref->location = location;
	*param = (Node *) ref;
	return slot;
}

/* Refuses a construct, naming it and what to write instead. */
static void
refuse(const char *what, const char *hint, int location)
{
	ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					errmsg("%s cannot be used in this expression", what),
					hint ? errhint("%s", hint) : 0, ma_expr_at(location)));
}

/* Is the node a name of ours (contact.x, event.x, ...)? */
static bool
is_name(MaCompile *compile, Node *node)
{
	return node != NULL && IsA(node, ColumnRef) &&
		   !IsA(llast(((ColumnRef *) node)->fields), A_Star);
}

/* The value type a constant or a cast suggests for its neighbour. */
static Oid
constant_type(Node *node)
{
	if (node == NULL)
		return InvalidOid;
	if (IsA(node, A_Const))
	{
		A_Const *constant = (A_Const *) node;

		if (constant->isnull)
			return InvalidOid;
		switch (nodeTag(&constant->val))
		{
			case T_Integer:
			case T_Float:
				return NUMERICOID;
			case T_Boolean:
				return BOOLOID;
			default:
				return TEXTOID;
		}
	}
	if (IsA(node, TypeCast))
	{
		Oid type = typenameTypeId(NULL, ((TypeCast *) node)->typeName);

		return ma_value_type(type);
	}
	if (IsA(node, A_Expr))
	{
		A_Expr	   *expr = (A_Expr *) node;
		const char *op = strVal(llast(expr->name));

		if (expr->kind == AEXPR_OP && strlen(op) == 1 &&
			strchr("+-*/%^", op[0]) != NULL)
		{
			Oid type = constant_type(expr->lexpr);

			if (!OidIsValid(type))
				type = constant_type(expr->rexpr);
			return OidIsValid(type) ? type : NUMERICOID;
		}
		if (strcmp(op, "||") == 0)
			return TEXTOID;
	}
	if (IsA(node, List) && list_length((List *) node) > 0)
		return constant_type(linitial((List *) node));
	if (IsA(node, A_ArrayExpr) && ((A_ArrayExpr *) node)->elements != NIL)
		return constant_type(linitial(((A_ArrayExpr *) node)->elements));
	return InvalidOid;
}

/* The kind a scope's name begins with; -1 if it is none of this expression. */
static int
scope_of(MaCompile *compile, const char *name)
{
	int names = compile->source->names;

	if (strcmp(name, "contact") == 0 && (names & MA_NAMES_CONTACT))
		return MA_SLOT_ATTRIBUTE;
	if (strcmp(name, "event") == 0 && (names & MA_NAMES_EVENT))
		return MA_SLOT_EVENT;
	if (strcmp(name, "entry") == 0 && (names & MA_NAMES_ENTRY))
		return MA_SLOT_ENTRY;
	if (strcmp(name, "context") == 0 && (names & MA_NAMES_CONTEXT))
		return MA_SLOT_CONTEXT;
	if (strcmp(name, "steps") == 0 && (names & MA_NAMES_CONTEXT))
		return MA_SLOT_STEPS;
	return -1;
}

/* What may be written, for the hint of an error. */
char *
ma_names_allowed(MaCompile *compile)
{
	int			   names = compile->source->names;
	StringInfoData s;

	initStringInfo(&s);
	if (names & MA_NAMES_CONTACT)
		appendStringInfoString(&s, "contact.<attribute>, ");
	if (names & MA_NAMES_EVENT)
		appendStringInfoString(&s, "event.<property>, ");
	if (names & MA_NAMES_ENTRY)
		appendStringInfoString(&s, "entry.<property>, ");
	if (names & MA_NAMES_CONTEXT)
		appendStringInfoString(&s, "context.<name>, steps.<id>.<name>, ");
	if (names & MA_NAMES_HISTORY)
		appendStringInfoString(&s, "count('<kind>') and the like, ");
	if (names & MA_NAMES_ROW)
		appendStringInfoString(&s, "columns of the relation, ");
	s.data[Max(s.len - 2, 0)] = '\0';
	return s.data;
}

/* The declared type of a name, InvalidOid if it has none. */
static Oid
declared_type(MaCompile *compile, int kind, char **path, int npath)
{
	const MaExprSource *source = compile->source;

	switch (kind)
	{
		case MA_SLOT_ATTRIBUTE:
			return npath == 1 ? ma_vocabulary_attribute(path[0]) : InvalidOid;
		case MA_SLOT_EVENT:
			if (npath == 1 && strcmp(path[0], "kind") == 0)
				return TEXTOID;
			if (npath == 1 && strcmp(path[0], "occurred_at") == 0)
				return TIMESTAMPTZOID;
			if (npath == 1 && strcmp(path[0], "nth") == 0)
				return INT8OID;
			return npath == 1 ?
					   ma_vocabulary_property(source->event_kind, path[0]) :
					   InvalidOid;
		case MA_SLOT_ENTRY:
			if (npath == 1 && strcmp(path[0], "kind") == 0)
				return TEXTOID;
			if (npath == 1 && strcmp(path[0], "occurred_at") == 0)
				return TIMESTAMPTZOID;
			if (npath == 1 && strcmp(path[0], "nth") == 0)
				return NUMERICOID;
			return npath == 1 ?
					   ma_vocabulary_property(source->entry_kind, path[0]) :
					   InvalidOid;
		default:
			return InvalidOid;
	}
}

/* The path of a name behind its scope, in the expression's memory. */
static int
name_path(MaCompile *compile, ColumnRef *ref, char ***path)
{
	int n = list_length(ref->fields) - 1;

	*path = MemoryContextAlloc(compile->cxt, Max(n, 1) * sizeof(char *));
	for (int i = 0; i < n; i++)
		(*path)[i] = MemoryContextStrdup(compile->cxt,
										 strVal(list_nth(ref->fields, i + 1)));
	return n;
}

/* The declared type of a node that is a name; InvalidOid otherwise. */
Oid
ma_names_type(MaCompile *compile, Node *node)
{
	ColumnRef *ref = (ColumnRef *) node;
	char	 **path;
	int		   npath;
	int		   kind;

	if (!is_name(compile, node) || list_length(ref->fields) < 2)
		return InvalidOid;
	kind = scope_of(compile, strVal(linitial(ref->fields)));
	if (kind < 0)
		return InvalidOid;
	npath = name_path(compile, ref, &path);
	return declared_type(compile, kind, path, npath);
}

/*
 * The type a relation's column is read as: domains as what they are over,
 * enums as text; others that are not built in are refused.
 */
static Oid
column_type(Form_pg_attribute att, int location)
{
	Oid type = getBaseType(att->atttypid);

	if (type_is_enum(type))
		return TEXTOID;
	if (type >= FirstUnpinnedObjectId)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("column \"%s\" has type %s, which is not built in",
						NameStr(att->attname), format_type_be(type)),
				 errhint("Give it as a built-in type, by a view or a "
						 "generated column."),
				 ma_expr_at(location)));
	return type;
}

/* A plain column of the relation. */
static Node *
rewrite_column(MaCompile *compile, ColumnRef *ref)
{
	const char *name = strVal(linitial(ref->fields));
	TupleDesc	row = compile->source->row;
	MaNearest	nearest;
	Node	   *param;

	ma_nearest_begin(&nearest, name);
	for (int i = 0; i < row->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(row, i);
		MaSlot			 *slot;

		if (att->attisdropped)
			continue;
		ma_nearest_offer(&nearest, NameStr(att->attname));
		if (strcmp(NameStr(att->attname), name) != 0)
			continue;
		slot = ma_names_add_slot(compile, &param, ref->location);
		slot->kind = MA_SLOT_COLUMN;
		slot->column = i;
		slot->type = column_type(att, ref->location);
		slot->text = MemoryContextStrdup(compile->cxt, quote_identifier(name));
		return param;
	}
	ereport(
		ERROR,
		(errcode(ERRCODE_UNDEFINED_COLUMN),
		 errmsg("column \"%s\" does not exist", name),
		 nearest.best ? errhint("Perhaps you meant \"%s\".", nearest.best) : 0,
		 ma_expr_at(ref->location)));
}

/* Fills the slot of a name behind a scope. */
static void
set_name(MaCompile *compile, MaSlot *slot, int kind, ColumnRef *ref, Oid hint)
{
	const char	  *scope = strVal(linitial(ref->fields));
	StringInfoData text;
	Oid			   type;

	slot->kind = kind;
	slot->npath = name_path(compile, ref, &slot->path);
	type = declared_type(compile, kind, slot->path, slot->npath);
	slot->type = OidIsValid(type) ? type : OidIsValid(hint) ? hint : TEXTOID;
	if (slot->npath == 1 && kind == MA_SLOT_ATTRIBUTE)
		slot->column = ma_vocabulary_column(slot->path[0]);
	if (slot->npath == 1 && kind == MA_SLOT_EVENT)
	{
		if (strcmp(slot->path[0], "kind") == 0)
			slot->kind = MA_SLOT_EVENT_KIND;
		else if (strcmp(slot->path[0], "occurred_at") == 0)
			slot->kind = MA_SLOT_EVENT_TIME;
		else if (strcmp(slot->path[0], "nth") == 0)
			slot->kind = MA_SLOT_EVENT_NTH;
	}
	initStringInfo(&text);
	appendStringInfoString(&text, scope);
	for (int i = 0; i < slot->npath; i++)
		appendStringInfo(&text, ".%s", quote_identifier(slot->path[i]));
	slot->text = MemoryContextStrdup(compile->cxt, text.data);
	if (slot->kind == MA_SLOT_EVENT_NTH &&
		!(compile->source->names & MA_NAMES_NTH))
		refuse("event.nth",
			   "event.nth stands in workflow entries, waits and exits only.",
			   ref->location);
}

/* Refuses a name that nothing has, telling what may have been meant. */
static void
refuse_name(MaCompile *compile, ColumnRef *ref)
{
	static const char *const scopes[] = {"contact", "event", "entry",
										 "context", "steps"};
	const char				*first = strVal(linitial(ref->fields));
	char					*whole = NameListToString(ref->fields);
	const char				*meant = NULL;
	const char				*hint;
	MaNearest				 nearest;

	ma_nearest_begin(&nearest, first);
	for (int i = 0; i < lengthof(scopes); i++)
		if (scope_of(compile, scopes[i]) >= 0)
			ma_nearest_offer(&nearest, scopes[i]);
	if (list_length(ref->fields) > 1 && nearest.best != NULL)
		meant = psprintf("%s%s", nearest.best, strchr(whole, '.'));
	else if (list_length(ref->fields) == 1 && scope_of(compile, first) >= 0)
		meant = psprintf("%s.<name>", first);
	else if (list_length(ref->fields) == 1 &&
			 (compile->source->names & MA_NAMES_CONTACT) &&
			 OidIsValid(ma_vocabulary_attribute(first)))
		meant = psprintf("contact.%s", quote_identifier(first));
	if ((hint = ma_hint_name(whole)) != NULL)
		ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR),
						errmsg("name \"%s\" is not known here", whole),
						errhint("%s", hint), ma_expr_at(ref->location)));
	if (strcmp(first, "event") == 0 &&
		(compile->source->names & MA_NAMES_HISTORY))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("name \"%s\" is not known here", whole),
				 errhint("Ask about events: ever('<kind>') filter (where %s "
						 "...).",
						 whole),
				 ma_expr_at(ref->location)));
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
					errmsg("name \"%s\" is not known here", whole),
					meant ? errhint("Perhaps you meant \"%s\".", meant) :
							errhint("Names here are: %s.%s",
									ma_names_allowed(compile),
									list_length(ref->fields) == 1 ?
										" Text stands in single quotes." :
										""),
					ma_expr_at(ref->location)));
}

/* contact.x, event.x, entry.x, context.x, steps.a.x or a column. */
static Node *
rewrite_name(MaCompile *compile, ColumnRef *ref, Oid hint)
{
	Node *first = linitial(ref->fields);
	Node *param;
	int	  kind;

	if (IsA(llast(ref->fields), A_Star))
		refuse("\"*\"", "Name each value.", ref->location);
	if (list_length(ref->fields) == 1 && compile->source->row != NULL)
		return rewrite_column(compile, ref);
	kind =
		list_length(ref->fields) > 1 ? scope_of(compile, strVal(first)) : -1;
	if (kind < 0)
		refuse_name(compile, ref);
	set_name(compile, ma_names_add_slot(compile, &param, ref->location), kind,
			 ref, hint);
	return param;
}

/* The hint one side of an operator gives to the other. */
static Oid
side_type(MaCompile *compile, Node *node)
{
	Oid type = ma_names_type(compile, node);

	if (!OidIsValid(type))
		type = ma_history_type(node);
	return OidIsValid(type) ? ma_value_type(type) : constant_type(node);
}

/* The types of the sides, if it is an operator on jsonb. */
static void
jsonb_operator(const char *op, Oid *left, Oid *right)
{
	static const char *const names[] = {"->", "->>", "#>", "#>>", "@>",
										"<@", "?",	 "?|", "?&"};

	for (int i = 0; i < lengthof(names); i++)
		if (strcmp(op, names[i]) == 0)
		{
			*left = JSONBOID;
			*right = strchr("@<", op[0]) != NULL ? JSONBOID : TEXTOID;
		}
}

/* Operators in all their forms. */
static Node *
rewrite_operator(MaCompile *compile, A_Expr *expr, Oid hint)
{
	Oid			left = InvalidOid;
	Oid			right = InvalidOid;
	const char *op;
	Node	   *whole;

	if (list_length(expr->name) > 1 &&
		strcmp(strVal(linitial(expr->name)), "pg_catalog") != 0)
		refuse("an operator of another schema", "Use built-in operators.",
			   expr->location);
	whole = ma_history_comparison(compile, expr);
	if (whole != NULL)
		return whole;
	op = strVal(llast(expr->name));
	switch (expr->kind)
	{
		case AEXPR_OP:
			if (strlen(op) == 1 && strchr("+-*/%^", op[0]) != NULL)
				left = right =
					OidIsValid(hint) && hint != TEXTOID && hint != BOOLOID ?
						hint :
						NUMERICOID;
			else if (strcmp(op, "||") == 0 || strchr(op, '~') != NULL)
				left = right = TEXTOID;
			else
				jsonb_operator(op, &left, &right);
			break;
		case AEXPR_LIKE:
		case AEXPR_ILIKE:
		case AEXPR_SIMILAR:
			left = right = TEXTOID;
			break;
		case AEXPR_OP_ANY:
		case AEXPR_OP_ALL:
		case AEXPR_DISTINCT:
		case AEXPR_NOT_DISTINCT:
		case AEXPR_NULLIF:
		case AEXPR_IN:
		case AEXPR_BETWEEN:
		case AEXPR_NOT_BETWEEN:
		case AEXPR_BETWEEN_SYM:
		case AEXPR_NOT_BETWEEN_SYM:
			break;
	}
	if (!OidIsValid(left))
	{
		left = side_type(compile, expr->rexpr);
		right = side_type(compile, expr->lexpr);
	}
	expr->lexpr = ma_names_rewrite(compile, expr->lexpr, left);
	expr->rexpr = ma_names_rewrite(compile, expr->rexpr, right);
	return (Node *) expr;
}

/* Each member of a list in place. */
static void
rewrite_list(MaCompile *compile, List *list, Oid hint)
{
	ListCell *lc;

	foreach (lc, list)
		lfirst(lc) = ma_names_rewrite(compile, lfirst(lc), hint);
}

/* Refuses a function that nothing has, telling what may have been meant. */
static void
check_function_name(FuncCall *call)
{
	const char *name = strVal(llast(call->funcname));
	const char *nearest;
	const char *hint;
	CatCList   *list;
	bool		known = false;

	if (list_length(call->funcname) > 1)
		return;
	list = SearchSysCacheList1(PROCNAMEARGSNSP, CStringGetDatum(name));
	for (int i = 0; i < list->n_members; i++)
	{
		HeapTuple function = &list->members[i]->tuple;

		if (((Form_pg_proc) GETSTRUCT(function))->pronamespace ==
			PG_CATALOG_NAMESPACE)
			known = true;
	}
	ReleaseCatCacheList(list);
	if (known)
		return;
	nearest = ma_history_nearest(name);
	hint = ma_hint_name(name);
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_FUNCTION),
			 errmsg("function \"%s\" is not known here", name),
			 hint	 ? errhint("%s", hint) :
			 nearest ? errhint("Perhaps you meant \"%s\".", nearest) :
					   errhint("Built-in functions that are immutable may be "
							   "used."),
			 ma_expr_at(call->location)));
}

/* Refuses count(purchase) with what was meant. */
static void
check_quotes(MaCompile *compile, FuncCall *call)
{
	ColumnRef *ref;

	if (!(compile->source->names & MA_NAMES_HISTORY) ||
		!ma_history_is_name((Node *) call) || call->args == NIL)
		return;
	ref = linitial(call->args);
	if (!IsA(ref, ColumnRef) || list_length(ref->fields) != 1 ||
		IsA(linitial(ref->fields), A_Star))
		return;
	ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR),
					errmsg("a kind of events stands in quotes"),
					errhint("Write %s.",
							quote_literal_cstr(strVal(linitial(ref->fields)))),
					ma_expr_at(ref->location)));
}

/* A call of a built-in function, or one about the history. */
static Node *
rewrite_call(MaCompile *compile, FuncCall *call, Oid hint)
{
	const char *usage;

	if (call->over != NULL)
		refuse("a window function",
			   "count('<kind>'), sum('<kind>', '<property>') and the like "
			   "ask about the history of a contact.",
			   call->location);
	if (ma_history_is_call((Node *) call))
		return ma_history_call(compile, call, hint);
	check_quotes(compile, call);
	if ((compile->source->names & MA_NAMES_HISTORY) &&
		(usage = ma_history_usage(call)) != NULL)
		ma_history_wrong_call(usage, call->location);
	if (call->agg_star || call->agg_distinct || call->agg_filter != NULL ||
		call->agg_order != NIL || call->agg_within_group ||
		ma_history_is_name((Node *) call))
		refuse("an aggregate",
			   compile->source->names & MA_NAMES_HISTORY ?
				   "count('<kind>'), sum('<kind>', '<property>') and the "
				   "like ask about the history of a contact." :
				   "Only one row or event is looked at here.",
			   call->location);
	if (strcmp(strVal(llast(call->funcname)), "now") == 0)
		refuse("now()",
			   compile->source->row == NULL ?
				   "Compare a time with now(), or use elapsed(...) or "
				   "remaining(...)." :
				   "Use a column; an event without occurred_at happens "
				   "when its row is written.",
			   call->location);
	check_function_name(call);
	rewrite_list(compile, call->args, InvalidOid);
	return (Node *) call;
}

/* CASE: conditions are boolean, results take the hint. */
static Node *
rewrite_case(MaCompile *compile, CaseExpr *expr, Oid hint)
{
	ListCell *lc;

	expr->arg =
		(Expr *) ma_names_rewrite(compile, (Node *) expr->arg, InvalidOid);
	foreach (lc, expr->args)
	{
		CaseWhen *when = lfirst(lc);

		when->expr = (Expr *) ma_names_rewrite(
			compile, (Node *) when->expr, expr->arg ? InvalidOid : BOOLOID);
		when->result =
			(Expr *) ma_names_rewrite(compile, (Node *) when->result, hint);
	}
	expr->defresult =
		(Expr *) ma_names_rewrite(compile, (Node *) expr->defresult, hint);
	return (Node *) expr;
}

/* Node types that are refused by name, and what to write instead. */
static void
refuse_node(Node *node)
{
	static const struct
	{
		NodeTag		tag;
		const char *what;
		const char *hint;
	} refused[] = {
		{T_SubLink, "a subquery",
		 "Ask about the history with count, sum, ever and the like, about "
		 "another list with in_list('<list>')."},
		{T_ParamRef, "a parameter", "Write the value itself."},
		{T_SQLValueFunction, "a function of the session",
		 "Compare a time with now(), or use elapsed(...) or "
		 "remaining(...)."},
		{T_RowExpr, "a row",
		 "Compare the values one by one and join them with and."},
		{T_A_Indirection, "a subscript or field",
		 "A value within an object is contact.<name>.<key>."},
		{T_SetToDefault, "default", "Write the value itself."},
		{T_GroupingFunc, "grouping", "Nothing is grouped here."},
		{T_XmlExpr, "an XML function", "Attributes and properties are JSON."},
		{T_XmlSerialize, "an XML function",
		 "Attributes and properties are JSON."},
	};
	int location = exprLocation(node);

	if (IsA(node, A_Indirection))
		location = exprLocation(((A_Indirection *) node)->arg);
	for (int i = 0; i < lengthof(refused); i++)
		if (refused[i].tag == nodeTag(node))
			refuse(refused[i].what, refused[i].hint, location);
	refuse("this construct",
		   "Use comparisons, and, or, not, case, coalesce and built-in "
		   "functions.",
		   location);
}

/*
 * Remembers where a string is that would mean the present if it were read as
 * a time; only the analysis can tell whether it is.
 */
static void
note_word(MaCompile *compile, A_Const *constant)
{
	static const char *const words[] = {"now", "today", "tomorrow",
										"yesterday"};
	const char				*text = ma_raw_string((Node *) constant);
	char					*lower;

	if (text == NULL)
		return;
	lower = str_tolower(text, strlen(text), C_COLLATION_OID);
	for (int i = 0; i < lengthof(words); i++)
		if (strstr(lower, words[i]) != NULL)
			compile->words = lappend_int(compile->words, constant->location);
}

/*
 * Rewrites a raw tree in place and returns its new root. The hint is the type
 * an undeclared name at this place takes.
 */
Node *
ma_names_rewrite(MaCompile *compile, Node *node, Oid hint)
{
	if (node == NULL)
		return NULL;
	check_stack_depth();
	switch (nodeTag(node))
	{
		case T_A_Const:
			note_word(compile, (A_Const *) node);
			return node;
		case T_ColumnRef:
			return rewrite_name(compile, (ColumnRef *) node, hint);
		case T_A_Expr:
			return rewrite_operator(compile, (A_Expr *) node, hint);
		case T_FuncCall:
			return rewrite_call(compile, (FuncCall *) node, hint);
		case T_NamedArgExpr:
			((NamedArgExpr *) node)->arg = (Expr *) ma_names_rewrite(
				compile, (Node *) ((NamedArgExpr *) node)->arg, hint);
			return node;
		case T_List:
			rewrite_list(compile, (List *) node, hint);
			return node;
		case T_BoolExpr:
			rewrite_list(compile, ((BoolExpr *) node)->args, BOOLOID);
			return node;
		case T_NullTest:
			((NullTest *) node)->arg = (Expr *) ma_names_rewrite(
				compile, (Node *) ((NullTest *) node)->arg, TEXTOID);
			return node;
		case T_BooleanTest:
			((BooleanTest *) node)->arg = (Expr *) ma_names_rewrite(
				compile, (Node *) ((BooleanTest *) node)->arg, BOOLOID);
			return node;
		case T_TypeCast:
		{
			TypeCast *cast = (TypeCast *) node;
			Oid		  type = typenameTypeId(NULL, cast->typeName);

			/* what converts softly is read as that type at once */
			cast->arg =
				ma_names_rewrite(compile, cast->arg, ma_value_type(type));
			return node;
		}
		case T_CaseExpr:
			return rewrite_case(compile, (CaseExpr *) node, hint);
		case T_CoalesceExpr:
		{
			List *args = ((CoalesceExpr *) node)->args;
			Oid	  last = constant_type(llast(args));

			rewrite_list(compile, args, OidIsValid(hint) ? hint : last);
			return node;
		}
		case T_MinMaxExpr:
			rewrite_list(compile, ((MinMaxExpr *) node)->args,
						 OidIsValid(hint) ? hint : NUMERICOID);
			return node;
		case T_A_ArrayExpr:
			rewrite_list(compile, ((A_ArrayExpr *) node)->elements, hint);
			return node;
		case T_CollateClause:
			((CollateClause *) node)->arg = ma_names_rewrite(
				compile, ((CollateClause *) node)->arg, TEXTOID);
			return node;
		default:
			refuse_node(node);
			return NULL; /* not reached */
	}
}
