/*
 * predicate_parse.c
 *	  From the text of an expression to its raw tree.
 *
 * Whatever is done with a text is done under one set of settings, and errors
 * tell where in the text they are.
 */
#include "postgres.h"

#include <ctype.h>

#include "mb/pg_wchar.h"
#include "parser/parser.h"
#include "utils/guc.h"

#include "guc.h"
#include "predicate_private.h"
#include "setting.h"

/* The longest text taken: nobody writes more by hand. */
#define TEXT_MAX 65536

/* The text being compiled, for positions of errors. */
static const char *compiling = NULL;

/* The error that comes is one of ours, and has the hint that it needs. */
static bool ours = false;

/* The place of an error in a text; NULL: it has none. */
static const char *
error_place(const char *text)
{
	int position = geterrposition();

	if (position <= 0)
		return NULL;
	while (*text != '\0' && --position > 0)
		text += pg_mblen(text);
	return text;
}

/* Hints of PostgreSQL that do not help here, in other words. */
static void
explain_error(const char *text)
{
	const char *at = error_place(text);
	const char *hint = NULL;

	switch (geterrcode())
	{
		case ERRCODE_SYNTAX_ERROR:
			if (at != NULL && (hint = ma_hint_syntax(text, at)) != NULL)
				errhint("%s", hint);
			break;
		case ERRCODE_UNDEFINED_FUNCTION:
			if (at != NULL && (hint = ma_hint_operator(at)) != NULL)
				errhint("Write \"%s\".", hint);
			else
				errhint("A name that is declared nowhere is text here: "
						"declare it, or cast it, as in contact.x::numeric.");
			break;
		case ERRCODE_INVALID_TEXT_REPRESENTATION:
			errhint("Compare with a value of that type: a number stands "
					"without quotes; sum, avg, min and max are of numbers.");
			break;
		case ERRCODE_INVALID_DATETIME_FORMAT:
		case ERRCODE_DATETIME_FIELD_OVERFLOW:
			errhint("Write '2026-12-31' or '2026-12-31 18:00'.");
			break;
		default:
			break;
	}
}

/*
 * Positions that the grammar and we report are positions in the expression,
 * not in the statement it came with.
 */
static void
transpose_position(void *arg)
{
	const char *text = arg;
	int			position = geterrposition();

	if (!ours)
		explain_error(text);
	if (position > 0)
	{
		errposition(0);
		internalerrposition(position);
		internalerrquery(text);
	}
}

/* Where an error is: a byte of the text, -1 if that is not known. */
int
ma_expr_at(int location)
{
	ours = true;
	if (location < 0 || compiling == NULL)
		return 0;
	return errposition(pg_mbstrlen_with_len(compiling, location) + 1);
}

/* The same of an expression that is compiled. */
int
ma_expr_report_at(const MaExpr *expr, int location)
{
	internalerrquery(expr->text);
	return internalerrposition(pg_mbstrlen_with_len(expr->text, location) + 1);
}

/* Pins every setting that could change what a text means. */
static int
pin_settings(void)
{
	static const char *const settings[][2] = {
		{"search_path", "pg_catalog"},
		{"DateStyle", "ISO, YMD"},
		{"IntervalStyle", "postgres"},
		{"extra_float_digits", "1"},
		{"bytea_output", "hex"},
		{"standard_conforming_strings", "on"},
		{"transform_null_equals", "off"},
		{"backslash_quote", "safe_encoding"},
		{"array_nulls", "on"},
		{"quote_all_identifiers", "off"},
		{"timezone_abbreviations", "Default"},
	};
	int level = NewGUCNestLevel();

	for (int i = 0; i < lengthof(settings); i++)
		if (strcmp(GetConfigOption(settings[i][0], false, false),
				   settings[i][1]) != 0)
			(void) set_config_option(settings[i][0], settings[i][1],
									 PGC_USERSET, PGC_S_SESSION,
									 GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option("TimeZone", ma_guc_timezone, PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	return level;
}

/*
 * Does something with a text under the pinned settings. Errors carry the
 * position in the text.
 */
void
ma_expr_pinned(const char *text, void (*act)(void *arg), void *arg)
{
	ErrorContextCallback callback;
	const char			*outer = compiling;
	MaSetting			 own;
	int					 level;

	if (strlen(text) > TEXT_MAX)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("expression is longer than %d bytes", TEXT_MAX),
						errhint("Make lists of its parts and join them with "
								"in_list('<list>').")));
	callback.callback = transpose_position;
	callback.arg = unconstify(char *, text);
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	ma_setting_save(&own);
	level = pin_settings();
	compiling = text;
	ours = false;
	act(arg);
	compiling = outer;
	AtEOXact_GUC(false, level);
	ma_setting_leave(&own); /* which that may have overwritten */
	error_context_stack = callback.previous;
}

/* Refuses more than one target, and one with a name. */
static void
check_single(const char *text, List *targets)
{
	ResTarget  *target = linitial_node(ResTarget, targets);
	const char *hint = "Join conditions with and, or or.";

	if (list_length(targets) > 1)
	{
		const char *c;

		target = lsecond_node(ResTarget, targets);
		c = text + target->location;
		if (c >= text + 2 && isdigit((unsigned char) c[-2]) && c[-1] == ',' &&
			isdigit((unsigned char) c[0]))
			hint = "Write numbers without commas: 1000.50.";
	}
	else if (target->name == NULL)
		return;
	else
		hint = ma_hint_alias(target->name);
	ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR),
					errmsg("one expression expected, without a name"),
					errhint("%s", hint), ma_expr_at(target->location)));
}

/* The targets of the text: nothing but them is allowed in it. */
List *
ma_expr_parse(const MaExprSource *source)
{
	List	   *trees = raw_parser(source->text, RAW_PARSE_PLPGSQL_EXPR);
	SelectStmt *select = (SelectStmt *) linitial_node(RawStmt, trees)->stmt;

	if (list_length(trees) != 1 || !IsA(select, SelectStmt) ||
		select->distinctClause != NIL || select->intoClause != NULL ||
		select->fromClause != NIL || select->whereClause != NULL ||
		select->groupClause != NIL || select->havingClause != NULL ||
		select->windowClause != NIL || select->valuesLists != NIL ||
		select->sortClause != NIL || select->limitOffset != NULL ||
		select->limitCount != NULL || select->lockingClause != NIL ||
		select->withClause != NULL || select->op != SETOP_NONE)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("expression expected, not a query"),
				 errhint("Write a condition only, without select, from and "
						 "where."),
				 ma_expr_at(0)));
	if (select->targetList == NIL)
		ereport(
			ERROR,
			(errcode(ERRCODE_SYNTAX_ERROR), errmsg("expression is empty"),
			 source->select_list ? 0 : errhint("Write true for everybody.")));
	if (!source->select_list)
		check_single(source->text, select->targetList);
	return select->targetList;
}
