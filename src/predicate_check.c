/*
 * predicate_check.c
 *	  What an analysed expression may contain.
 *
 * Everything must be built in and immutable: a predicate runs inside other
 * people's transactions as part of the engine. The only STABLE functions
 * allowed are those that depend on TimeZone and DateStyle alone, which are
 * pinned wherever an expression is compiled or evaluated.
 */
#include "postgres.h"

#include "access/transam.h"
#include "catalog/pg_collation_d.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type_d.h"
#include "nodes/nodeFuncs.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/syscache.h"

#include "compat.h"
#include "predicate_private.h"

/* What the walk finds out. */
typedef struct Check
{
	Node			*node; /* the one looked at, for positions */
	const MaCompile *compile;
	bool			 can_raise; /* some function may raise an error */
	bool			 zoned;		/* some function depends on the zone */
	int				 growing;	/* growing functions around the node */
} Check;

/*
 * STABLE by name, because of TimeZone or DateStyle only. By name, since one
 * name stands for a family of argument types.
 */
static const char *const zoned_functions[] = {"date_in",
											  "date_out",
											  "timestamp_in",
											  "timestamp_out",
											  "timestamptz_in",
											  "timestamptz_out",
											  "timetz_in",
											  "date_lt_timestamptz",
											  "date_le_timestamptz",
											  "date_eq_timestamptz",
											  "date_gt_timestamptz",
											  "date_ge_timestamptz",
											  "date_ne_timestamptz",
											  "timestamptz_lt_date",
											  "timestamptz_le_date",
											  "timestamptz_eq_date",
											  "timestamptz_gt_date",
											  "timestamptz_ge_date",
											  "timestamptz_ne_date",
											  "timestamp_lt_timestamptz",
											  "timestamp_le_timestamptz",
											  "timestamp_eq_timestamptz",
											  "timestamp_gt_timestamptz",
											  "timestamp_ge_timestamptz",
											  "timestamp_ne_timestamptz",
											  "timestamptz_lt_timestamp",
											  "timestamptz_le_timestamp",
											  "timestamptz_eq_timestamp",
											  "timestamptz_gt_timestamp",
											  "timestamptz_ge_timestamp",
											  "timestamptz_ne_timestamp",
											  "timestamptz_pl_interval",
											  "timestamptz_mi_interval",
											  "interval_pl_timestamptz",
											  "timestamptz_date",
											  "timestamptz_time",
											  "timestamptz_timetz",
											  "timestamptz_timestamp",
											  "timestamp_timestamptz",
											  "date_timestamptz",
											  "datetime_timestamptz",
											  "timestamptz_part",
											  "extract_timestamptz",
											  "timestamptz_trunc",
											  "timestamptz_to_char",
											  "timestamp_to_char",
											  "interval_to_char",
											  "numeric_to_char",
											  "int4_to_char",
											  "int8_to_char",
											  "float8_to_char",
											  "timestamptz_age",
											  "to_timestamp",
											  "to_date",
											  "make_timestamptz",
											  "concat",
											  "text_concat",
											  "text_concat_ws",
											  "textanycat",
											  "anytextcat"};

/*
 * From little they make as much as they are told, or take as long: nothing
 * for the transactions of others.
 */
static const char *const greedy_functions[] = {
	"repeat", "lpad", "rpad", "array_fill", "factorial",
	"format", "gcd",  "lcm",  "polygon"};

/* Nor casts that make a value as long as they say: char(n), bit(n). */
#define LENGTH_MAX 1000

/* What they return may be several times as long as what they are given. */
static const char *const growing_functions[] = {
	"encode",  "quote_ident", "quote_literal",	"quote_nullable", "convert_to",
	"convert", "replace",	  "regexp_replace", "xmlcomment",	  "normalize",
	"to_json", "to_jsonb",	  "array_cat",		"array_to_string"};

/* So many of them within each other. */
#define GROWING_MAX 2

/* Cannot raise although the catalog does not call them leakproof. */
static const Oid safe_functions[] = {
	F_NUMERIC_EQ,	F_NUMERIC_NE, F_NUMERIC_GT,	 F_NUMERIC_GE,
	F_NUMERIC_LT,	F_NUMERIC_LE, F_NUMERIC_ABS, F_NUMERIC_INT8,
	F_NUMERIC_INT4, F_TEXTLIKE,	  F_TEXTNLIKE};

/* Is the source name of a function among the zoned ones? */
static bool
is_zoned(const char *source)
{
	for (int i = 0; i < lengthof(zoned_functions); i++)
		if (strcmp(source, zoned_functions[i]) == 0)
			return true;
	return false;
}

static void
refuse_function(Node *node, Oid function, const char *why)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("function %s cannot be used in this expression",
					format_procedure(function)),
			 errdetail("It is %s.", why),
			 strcmp(get_func_name(function), "age") == 0 ?
				 errhint("Write elapsed(contact.<time>) > '18 years'.") :
				 errhint("Built-in functions that are immutable may be "
						 "used."),
			 ma_expr_at(exprLocation(node))));
}

/* Refuses something with its position. */
static void
refuse_here(Node *node, const char *what, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("%s cannot be used in this expression", what),
			 hint ? errhint("%s", hint) : 0, ma_expr_at(exprLocation(node))));
}

/* Is a function among the greedy ones? */
static bool
is_greedy(const char *name)
{
	for (int i = 0; i < lengthof(greedy_functions); i++)
		if (strcmp(name, greedy_functions[i]) == 0)
			return true;
	return false;
}

/* check_functions_in_node() callback; never stops the search. */
static bool
check_function(Oid function, void *context)
{
	Check		*check = context;
	HeapTuple	 tuple;
	Form_pg_proc proc;
	bool		 isnull;
	char		*source;

	if (function >= FirstUnpinnedObjectId)
		refuse_function(check->node, function, "not built in");
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", function);
	proc = (Form_pg_proc) GETSTRUCT(tuple);
	source = TextDatumGetCString(
		SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_prosrc, &isnull));
	if (is_greedy(NameStr(proc->proname)))
		refuse_function(check->node, function,
						"able to use up memory or time");
	if (proc->provolatile != PROVOLATILE_IMMUTABLE)
	{
		if (!is_zoned(source) && !is_zoned(NameStr(proc->proname)))
			refuse_function(check->node, function,
							proc->provolatile == PROVOLATILE_VOLATILE ?
								"volatile" :
								"not immutable");
		check->zoned = true;
	}
	if (!proc->proleakproof)
	{
		bool safe = false;

		for (int i = 0; i < lengthof(safe_functions); i++)
			safe = safe || safe_functions[i] == function;
		check->can_raise = check->can_raise || !safe;
	}
	ReleaseSysCache(tuple);
	return false;
}

/* Refuses node types that have no place in a predicate. */
static void
check_node_type(Node *node)
{
	const char *what = NULL;

	switch (nodeTag(node))
	{
		case T_Aggref:
		case T_GroupingFunc:
			what = "an aggregate";
			break;
		case T_WindowFunc:
			what = "a window function";
			break;
		case T_SubLink:
			what = "a subquery";
			break;
		case T_FuncExpr:
			if (((FuncExpr *) node)->funcretset)
				what = "a function that returns a set";
			break;
		case T_OpExpr:
			if (((OpExpr *) node)->opretset)
				what = "an operator that returns a set";
			break;
		case T_Var:
		case T_Param:
		case T_Const:
		case T_NamedArgExpr:
		case T_DistinctExpr:
		case T_NullIfExpr:
		case T_ScalarArrayOpExpr:
		case T_BoolExpr:
		case T_RelabelType:
		case T_CoerceViaIO:
		case T_ArrayCoerceExpr:
		case T_CollateExpr:
		case T_CaseExpr:
		case T_CaseWhen:
		case T_CaseTestExpr:
		case T_ArrayExpr:
		case T_CoalesceExpr:
		case T_MinMaxExpr:
		case T_NullTest:
		case T_BooleanTest:
		case T_List:
			break;
		default:
			what = "this construct";
			break;
	}
	if (what != NULL)
		refuse_here(node, what,
					"Use comparisons, and, or, not, case, coalesce and "
					"built-in functions of one value.");
}

/* A constant time that was 'today' when it was compiled is refused. */
static void
check_constant(Const *constant, Check *check)
{
	switch (constant->consttype)
	{
		case DATEOID:
		case TIMEOID:
		case TIMETZOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			break;
		default:
			return;
	}
	if (constant->location >= 0 &&
		list_member_int(check->compile->words, constant->location))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a constant cannot mean the present"),
				 errhint("Compare with now() - interval '1 day', for "
						 "example, or use elapsed(...) or remaining(...)."),
				 ma_expr_at(constant->location)));
}

/* Texts that become times when they are evaluated may say 'today'. */
static void
check_conversion(Node *node, Check *check)
{
	switch (exprType(node))
	{
		case DATEOID:
		case TIMEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			if (!(check->compile->source->names & MA_NAMES_ROW))
				refuse_here(node, "a text that is computed and read as a time",
							"Convert a single name, such as "
							"contact.since::date, or use to_date().");
			break;
		default:
			break;
	}
}

/* A value is made longer than it is, by char(n) or bit(n). */
static void
check_length(FuncExpr *call)
{
	char  *name = get_func_name(call->funcid);
	Const *length;

	if ((strcmp(name, "bpchar") != 0 && strcmp(name, "bit") != 0) ||
		list_length(call->args) < 2 || !IsA(lsecond(call->args), Const))
		return;
	length = lsecond(call->args);
	if (length->consttype == INT4OID && !length->constisnull &&
		DatumGetInt32(length->constvalue) > LENGTH_MAX)
		refuse_here((Node *) call, "so long a type", "Use text.");
}

/* to_char() must not speak the language of the session. */
static void
check_format(FuncExpr *call)
{
	char *name = get_func_name(call->funcid);
	Node *format;
	char *pattern;

	if (strcmp(name, "to_char") != 0 && strcmp(name, "to_date") != 0 &&
		strcmp(name, "to_timestamp") != 0)
		return;
	if (list_length(call->args) < 2)
		return;
	format = lsecond(call->args);
	if (!IsA(format, Const) || ((Const *) format)->constisnull)
		refuse_here((Node *) call, "a format that is no constant",
					"Write the format itself, such as 'YYYY-MM'.");
	pattern = TextDatumGetCString(((Const *) format)->constvalue);
	switch (exprType(linitial(call->args)))
	{
		case INT4OID:
		case INT8OID:
		case NUMERICOID:
		case FLOAT4OID:
		case FLOAT8OID:
			if (strpbrk(pattern, "LlDdGg") == NULL)
				return;
			break;
		default:
			if (strstr(pattern, "TM") == NULL && strstr(pattern, "tm") == NULL)
				return;
			break;
	}
	refuse_here((Node *) call, "a format in the language of the session",
				"Write it without TM, L, D and G: use \".\" and \",\".");
}

/* Does a type name tables, functions, roles and the like? */
static bool
is_name_of_object(Oid type)
{
	switch (type)
	{
		case REGCLASSOID:
		case REGCOLLATIONOID:
		case REGCONFIGOID:
		case REGDICTIONARYOID:
		case REGNAMESPACEOID:
		case REGOPEROID:
		case REGOPERATOROID:
		case REGPROCOID:
		case REGPROCEDUREOID:
		case REGROLEOID:
		case REGTYPEOID:
			return true;
		default:
			return false;
	}
}

/* A constant pattern without what makes matching it endless. */
static void
check_pattern_text(Node *call, Datum value)
{
	char *pattern = TextDatumGetCString(value);

	for (char *c = pattern; *c != '\0'; c++)
	{
		if (*c != '\\' || c[1] == '\0')
			continue;
		c++;
		if (*c >= '1' && *c <= '9')
			refuse_here(call, "a back reference in a pattern",
						"It may take for ever: write what it repeats.");
	}
}

/* A pattern that cannot be compiled, or not in a sane time, is refused now. */
static void
try_pattern(Datum pattern)
{
	(void) DirectFunctionCall2Coll(textregexeq, DEFAULT_COLLATION_OID,
								   CStringGetTextDatum(""), pattern);
}

/* A pattern must be known: a constant, an array of them, or of SIMILAR TO. */
static void
check_pattern(Node *call, Node *pattern, bool is_similar)
{
	ListCell *lc;

	while (IsA(pattern, CollateExpr) || IsA(pattern, RelabelType))
		pattern = IsA(pattern, CollateExpr) ?
					  (Node *) ((CollateExpr *) pattern)->arg :
					  (Node *) ((RelabelType *) pattern)->arg;
	if (IsA(pattern, ArrayExpr))
		foreach (lc, ((ArrayExpr *) pattern)->elements)
			check_pattern(call, lfirst(lc), is_similar);
	else if (IsA(pattern, FuncExpr) && ((FuncExpr *) pattern)->args != NIL &&
			 strncmp(get_func_name(((FuncExpr *) pattern)->funcid), "similar_",
					 8) == 0)
		check_pattern(call, linitial(((FuncExpr *) pattern)->args), true);
	else if (!IsA(pattern, Const))
		refuse_here(call, "a pattern that is no constant",
					"Write the pattern itself, or use like or strpos().");
	else if (!((Const *) pattern)->constisnull &&
			 ((Const *) pattern)->consttype == TEXTOID)
	{
		check_pattern_text(call, ((Const *) pattern)->constvalue);
		if (!is_similar)
			try_pattern(((Const *) pattern)->constvalue);
	}
}

/* A call that matches a regular expression? Then checks its pattern. */
static void
check_regex(Node *node)
{
	List *args;
	Oid	  function;
	char *name;

	if (IsA(node, FuncExpr))
	{
		function = ((FuncExpr *) node)->funcid;
		args = ((FuncExpr *) node)->args;
	}
	else if (IsA(node, OpExpr))
	{
		function = get_opcode(((OpExpr *) node)->opno);
		args = ((OpExpr *) node)->args;
	}
	else if (IsA(node, ScalarArrayOpExpr))
	{
		function = get_opcode(((ScalarArrayOpExpr *) node)->opno);
		args = ((ScalarArrayOpExpr *) node)->args;
	}
	else
		return;
	name = get_func_name(function);
	if (name == NULL || list_length(args) < 2 ||
		(strstr(name, "regex") == NULL &&
		 (strcmp(name, "substring") != 0 ||
		  exprType(lsecond(args)) != TEXTOID)))
		return;
	check_pattern(node, lsecond(args), false);
}

/* Is a call one of a growing function? Not too many within each other. */
static bool
is_growing(Node *node, const Check *check)
{
	char *name = IsA(node, FuncExpr) ?
					 get_func_name(((FuncExpr *) node)->funcid) :
					 NULL;

	for (int i = 0; name != NULL && i < lengthof(growing_functions); i++)
		if (strcmp(name, growing_functions[i]) == 0)
		{
			if (check->growing >= GROWING_MAX)
				refuse_here(
					node,
					psprintf("%s within %d calls like it", name, GROWING_MAX),
					"Each may return many times what it is given.");
			return true;
		}
	return false;
}

/* Walks the tree; returns true only to stop, which it never does. */
static bool
check_walker(Node *node, Check *check)
{
	Oid type;

	if (node == NULL)
		return false;
	check_node_type(node);
	check->node = node;
	if (IsA(node, Const))
		check_constant((Const *) node, check);
	if (!IsA(node, List) && !IsA(node, CaseWhen))
	{
		type = exprType(node);
		if (type == XMLOID)
			refuse_here(node, "type xml",
						"Attributes and properties are JSON.");
		if (type == JSONPATHOID)
			refuse_here(node, "type jsonpath",
						"It may take for ever: use @>, ? and ->>.");
		if (type == TIMETZOID)
			refuse_here(node, "type time with time zone",
						"Its zone depends on the day: write (...)::time.");
		if (is_name_of_object(type))
			refuse_here(node, "a type that names objects of the database",
						"Compare texts.");
		if (type >= FirstUnpinnedObjectId)
			ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
							errmsg("type %s cannot be used in this expression",
								   format_type_be(type)),
							errdetail("It is not built in."),
							errhint("Use text, numeric, boolean, date or "
									"timestamptz."),
							ma_expr_at(exprLocation(node))));
	}
	check_functions_in_node(node, check_function, check);
	if (IsA(node, CoerceViaIO) || IsA(node, ArrayCoerceExpr))
	{
		check_conversion(node, check);
		check->can_raise = true;
		check->zoned = true; /* or a style of writing */
	}
	if (IsA(node, CollateExpr) &&
		((CollateExpr *) node)->collOid >= FirstNormalObjectId)
		refuse_here(node, "a collation that is not built in",
					"Use \"C\", for example.");
	if (IsA(node, FuncExpr))
	{
		check_format((FuncExpr *) node);
		check_length((FuncExpr *) node);
	}
	check_regex(node);
	if (!is_growing(node, check))
		return expression_tree_walker(node, check_walker, check);
	check->growing++;
	(void) expression_tree_walker(node, check_walker, check);
	check->growing--;
	return false;
}

/*
 * Refuses what must not be in an analysed expression, and tells whether its
 * evaluation can raise an error and whether it depends on the time zone.
 */
void
ma_check_tree(Node *node, const MaCompile *compile, bool *can_raise,
			  bool *zoned)
{
	Check check = {.compile = compile};

	check_walker(node, &check);
	*can_raise = check.can_raise;
	*zoned = check.zoned;
}
