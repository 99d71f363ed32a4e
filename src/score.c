/*
 * score.c
 *	  Scores: definition, and what a state holds of them.
 *
 * A rule is an expression that says how often it counts: for an event rule
 * the number of events of its kind that pass the condition, otherwise 0 or 1.
 * So a score is a function of the log like a list, and shares its cells.
 */
#include "postgres.h"

#include <math.h>

#include "access/xact.h"
#include "catalog/pg_type_d.h"
#include "funcapi.h"
#include "utils/builtins.h"

#include "argument.h"
#include "compat.h"
#include "known.h"
#include "refresh.h"
#include "sql.h"
#include "state.h"
#include "use.h"

/* With more points than this sums would leave what float8 can hold. */
#define POINTS_MAX 1e100

PG_FUNCTION_INFO_V1(mautomate_create_score);
PG_FUNCTION_INFO_V1(mautomate_create_score_rule);
PG_FUNCTION_INFO_V1(mautomate_create_score_tier);
PG_FUNCTION_INFO_V1(mautomate_drop_score);
PG_FUNCTION_INFO_V1(mautomate_drop_score_rule);
PG_FUNCTION_INFO_V1(mautomate_rename_score);
PG_FUNCTION_INFO_V1(mautomate_drop_score_tier);
PG_FUNCTION_INFO_V1(mautomate_state_scores);
PG_FUNCTION_INFO_V1(mautomate_score_id);

/* What an upsert did: nothing, a new row, or a changed one. */
static const char *
outcome(uint64 processed, bool inserted)
{
	return processed == 0 ? "unchanged" : inserted ? "created" : "changed";
}

/*
 * Runs an upsert that returns whether it inserted; where something changed,
 * scores everybody again. Returns the outcome.
 */
static const char *
upsert(MaStatement *stmt, Datum *values, const char *nulls)
{
	MaSqlScope scope;
	uint64	   n;
	bool	   isnull;
	bool	   inserted = false;

	ma_sql_begin(&scope);
	n = ma_sql_exec(stmt, values, nulls, 0);
	if (n > 0)
		inserted = DatumGetBool(ma_sql_datum(0, 1, &isnull));
	ma_sql_end(&scope);
	return outcome(n, inserted);
}

/* The number of a score; an error if there is none of that name. */
static int
score_id(const char *name)
{
	static MaStatement stmt = {
		"select score_id from mautomate_internal.score where name = $1",
		1,
		{TEXTOID}};
	Datum value = CStringGetTextDatum(name);
	Datum id;

	if (!ma_sql_one(&stmt, &value, &id))
		ma_known_refuse(MA_KNOWN_SCORE, name);
	return DatumGetInt32(id);
}

/* score_id(name) */
Datum
mautomate_score_id(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(score_id(text_to_cstring(PG_GETARG_TEXT_PP(0))));
}

/* A rule or tier of a score changed: the score is another one now. */
static void
touch_score(int id)
{
	static MaStatement stmt = {
		"update mautomate_internal.score set generation = $2"
		" where score_id = $1",
		2,
		{INT4OID, INT8OID}};
	MaSqlScope scope;
	Datum	   values[2];

	values[0] = Int32GetDatum(id);
	values[1] = Int64GetDatum(ma_definition_generation());
	ma_sql_begin(&scope);
	ma_sql_exec(&stmt, values, NULL, 0);
	ma_sql_end(&scope);
	ma_refresh_everybody(false);
}

/* A finite number, or an error that names the argument. */
static Datum
finite_argument(FunctionCallInfo fcinfo, int i, const char *name)
{
	ma_argument_not_null(fcinfo, i, name);
	if (!isfinite(PG_GETARG_FLOAT8(i)))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s must be a finite number", name)));
	if (fabs(PG_GETARG_FLOAT8(i)) > POINTS_MAX)
		ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
						errmsg("%s must be at most %g", name, POINTS_MAX)));
	return PG_GETARG_DATUM(i);
}

/* create_score(name, minimum, maximum) */
Datum
mautomate_create_score(PG_FUNCTION_ARGS)
{
	static MaStatement stmt = {
		"insert into mautomate_internal.score as s"
		" (name, minimum, maximum) values ($1, $2, $3)"
		" on conflict (name) do update"
		" set minimum = excluded.minimum, maximum = excluded.maximum"
		" where (s.minimum, s.maximum)"
		" is distinct from (excluded.minimum, excluded.maximum)"
		" returning xmax = 0",
		3,
		{TEXTOID, FLOAT8OID, FLOAT8OID}};
	char	   *name = ma_argument_name(fcinfo, 0, "name");
	Datum		values[3];
	char		nulls[4] = "   ";
	const char *result;

	values[0] = CStringGetTextDatum(name);
	for (int i = 1; i < 3; i++)
	{
		values[i] =
			PG_ARGISNULL(i) ?
				(Datum) 0 :
				finite_argument(fcinfo, i, i == 1 ? "minimum" : "maximum");
		nulls[i] = PG_ARGISNULL(i) ? 'n' : ' ';
	}
	if (!PG_ARGISNULL(1) && !PG_ARGISNULL(2) &&
		PG_GETARG_FLOAT8(1) > PG_GETARG_FLOAT8(2))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("minimum is greater than maximum")));
	ma_definition_lock();
	result = upsert(&stmt, values, nulls);
	if (strcmp(result, "unchanged") != 0)
		touch_score(score_id(name));
	PG_RETURN_TEXT_P(cstring_to_text(result));
}

/* The expression of a rule that counts events. */
static int
register_event_rule(const char *event, const char *condition)
{
	MaExprSource   filter = {.text = condition,
							 .names = MA_NAMES_EVENT,
							 .event_kind = event,
							 .type = BOOLOID};
	MaExprSource   source = {.names = MA_NAMES_PERSON, .type = INT8OID};
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfo(&text, "count(%s)", quote_literal_cstr(event));
	if (condition != NULL)
	{
		/* alone first, so that an error shows what the user wrote */
		(void) ma_expr_compile(&filter, CurrentMemoryContext);
		appendStringInfo(&text, " filter (where %s\n)", condition);
	}
	source.text = text.data;
	ma_known_check(ma_expr_compile(&source, CurrentMemoryContext));
	return ma_predicate_register(&source);
}

/* The expression of a rule about what holds. */
static int
register_condition_rule(const char *condition)
{
	MaExprSource source = {
		.text = condition, .names = MA_NAMES_PERSON, .type = BOOLOID};

	ma_known_check(ma_expr_compile(&source, CurrentMemoryContext));
	return ma_predicate_register(&source);
}

/* create_score_rule(score, rule, points, event, condition) */
Datum
mautomate_create_score_rule(PG_FUNCTION_ARGS)
{
	static MaStatement stmt = {
		"insert into mautomate_internal.score_rule as r"
		" (score_id, rule, points, event, condition, predicate_id)"
		" values ($1, $2, $3, $4, $5, $6)"
		" on conflict (score_id, rule) do update"
		" set points = excluded.points, event = excluded.event,"
		" condition = excluded.condition,"
		" predicate_id = excluded.predicate_id"
		" where (r.points, r.event, r.condition)"
		" is distinct from"
		" (excluded.points, excluded.event, excluded.condition)"
		" returning xmax = 0",
		6,
		{INT4OID, TEXTOID, FLOAT8OID, TEXTOID, TEXTOID, INT4OID}};
	char	   *score = ma_argument_name(fcinfo, 0, "score");
	char	   *event = ma_argument_text_or_null(fcinfo, 3);
	char	   *condition = ma_argument_text_or_null(fcinfo, 4);
	int			id;
	Datum		values[6];
	char		nulls[7] = "      ";
	const char *result;

	ma_definition_lock();
	values[0] = Int32GetDatum(id = score_id(score));
	values[1] = CStringGetTextDatum(ma_argument_name(fcinfo, 1, "rule"));
	values[2] = finite_argument(fcinfo, 2, "points");
	if (event == NULL && condition == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a rule needs an event, a condition or both"),
				 errhint("Points for each event: event => '<kind>'; points "
						 "while something holds: condition => "
						 "'contact.country = ''FR'''.")));
	values[3] = CStringGetTextDatum(event ? event : "");
	values[4] = CStringGetTextDatum(condition ? condition : "");
	nulls[3] = event ? ' ' : 'n';
	nulls[4] = condition ? ' ' : 'n';
	values[5] = Int32GetDatum(event ? register_event_rule(event, condition) :
									  register_condition_rule(condition));
	result = upsert(&stmt, values, nulls);
	if (strcmp(result, "unchanged") != 0)
		touch_score(id);
	PG_RETURN_TEXT_P(cstring_to_text(result));
}

/* Refuses a tier that would begin where another one does. */
static void
check_tier_start(int id, const char *tier, Datum at_least)
{
	static MaStatement stmt = {
		"select tier from mautomate_internal.score_tier"
		" where score_id = $1 and tier <> $2 and at_least = $3",
		3,
		{INT4OID, TEXTOID, FLOAT8OID}};
	MaSqlScope scope;
	Datum	   values[3];

	values[0] = Int32GetDatum(id);
	values[1] = CStringGetTextDatum(tier);
	values[2] = at_least;
	ma_sql_begin(&scope);
	if (ma_sql_exec(&stmt, values, NULL, 1) > 0)
		ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT),
						errmsg("tier \"%s\" begins at the same points",
							   ma_sql_text(0, 1))));
	ma_sql_end(&scope);
}

/* create_score_tier(score, tier, at_least, leave_below) */
Datum
mautomate_create_score_tier(PG_FUNCTION_ARGS)
{
	static MaStatement stmt = {
		"insert into mautomate_internal.score_tier as t"
		" (score_id, tier, at_least, leave_below) values ($1, $2, $3, $4)"
		" on conflict (score_id, tier) do update"
		" set at_least = excluded.at_least,"
		" leave_below = excluded.leave_below"
		" where (t.at_least, t.leave_below)"
		" is distinct from (excluded.at_least, excluded.leave_below)"
		" returning xmax = 0",
		4,
		{INT4OID, TEXTOID, FLOAT8OID, FLOAT8OID}};
	char	   *score = ma_argument_name(fcinfo, 0, "score");
	char	   *tier = ma_argument_name(fcinfo, 1, "tier");
	int			id;
	Datum		values[4];
	const char *result;

	ma_definition_lock();
	values[0] = Int32GetDatum(id = score_id(score));
	values[1] = CStringGetTextDatum(tier);
	values[2] = finite_argument(fcinfo, 2, "at_least");
	values[3] = PG_ARGISNULL(3) ? values[2] :
								  finite_argument(fcinfo, 3, "leave_below");
	if (DatumGetFloat8(values[3]) > DatumGetFloat8(values[2]))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("leave_below is greater than at_least")));
	check_tier_start(id, tier, values[2]);
	result = upsert(&stmt, values, NULL);
	if (strcmp(result, "unchanged") != 0)
		touch_score(id);
	PG_RETURN_TEXT_P(cstring_to_text(result));
}

/* drop_score(name) */
Datum
mautomate_drop_score(PG_FUNCTION_ARGS)
{
	static MaStatement stmts[] = {
		{"delete from mautomate_internal.contact_score where score_id = $1",
		 1,
		 {INT4OID}},
		{"delete from mautomate_internal.score_rule where score_id = $1",
		 1,
		 {INT4OID}},
		{"delete from mautomate_internal.score_tier where score_id = $1",
		 1,
		 {INT4OID}},
		{"delete from mautomate_internal.score where score_id = $1",
		 1,
		 {INT4OID}},
	};
	char *name = ma_argument_name(fcinfo, 0, "name");
	int	  id;

	ma_definition_lock();
	id = score_id(name);
	ma_use_check_drop("score", name);
	ma_use_drop(Int32GetDatum(id), stmts, lengthof(stmts));
	PG_RETURN_VOID();
}

/* Is there a score of that name? */
static bool
score_exists(const char *name)
{
	static MaStatement stmt = {
		"select from mautomate_internal.score where name = $1", 1, {TEXTOID}};
	Datum value = CStringGetTextDatum(name);

	return ma_sql_one(&stmt, &value, NULL);
}

/* rename_score(name, new_name): whoever uses it follows. */
Datum
mautomate_rename_score(PG_FUNCTION_ARGS)
{
	static MaStatement stmt = {
		"update mautomate_internal.score set name = $2 where score_id = $1",
		2,
		{INT4OID, TEXTOID}};
	MaRename rename = {MA_NAMED_SCORE, ma_argument_name(fcinfo, 0, "name"),
					   ma_argument_name(fcinfo, 1, "new_name")};
	Datum	 values[2];

	ma_definition_lock();
	values[0] = Int32GetDatum(score_id(rename.old_name));
	values[1] = CStringGetTextDatum(rename.new_name);
	if (score_exists(rename.new_name))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("score \"%s\" already exists", rename.new_name)));
	ma_use_rename(&rename, &stmt, values);
	PG_RETURN_VOID();
}

/* Deletes a part of a score by name. */
static void
drop_part(FunctionCallInfo fcinfo, const char *what, MaStatement *stmt)
{
	char	  *score = ma_argument_name(fcinfo, 0, "score");
	char	  *part = ma_argument_name(fcinfo, 1, what);
	int		   id;
	MaSqlScope scope;
	Datum	   values[2];

	ma_definition_lock();
	values[0] = Int32GetDatum(id = score_id(score));
	values[1] = CStringGetTextDatum(part);
	ma_sql_begin(&scope);
	if (ma_sql_exec(stmt, values, NULL, 0) == 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("%s \"%s\" of score \"%s\" does not exist",
							   what, part, score)));
	ma_sql_end(&scope);
	touch_score(id);
}

/* drop_score_rule(score, rule) */
Datum
mautomate_drop_score_rule(PG_FUNCTION_ARGS)
{
	static MaStatement stmt = {"delete from mautomate_internal.score_rule"
							   " where score_id = $1 and rule = $2",
							   2,
							   {INT4OID, TEXTOID}};

	drop_part(fcinfo, "rule", &stmt);
	PG_RETURN_VOID();
}

/* drop_score_tier(score, tier) */
Datum
mautomate_drop_score_tier(PG_FUNCTION_ARGS)
{
	static MaStatement stmt = {"delete from mautomate_internal.score_tier"
							   " where score_id = $1 and tier = $2",
							   2,
							   {INT4OID, TEXTOID}};

	drop_part(fcinfo, "tier", &stmt);
	PG_RETURN_VOID();
}

/* state_scores(state): the scores that are encoded in a state */
Datum
mautomate_state_scores(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	bytea		  *state = PG_GETARG_BYTEA_PP(0);
	MaStoredScore *scores;
	int			   n;

	InitMaterializedSRF(fcinfo, 0);
	n = ma_state_scores(VARDATA_ANY(state),
						VARDATA_ANY(state) + VARSIZE_ANY_EXHDR(state),
						&scores);
	for (int i = 0; i < n; i++)
	{
		Datum values[3];
		bool  nulls[3] = {false, false, scores[i].tier_id == 0};

		values[0] = Int32GetDatum(scores[i].score_id);
		values[1] = Float8GetDatum(scores[i].value);
		values[2] = Int32GetDatum(scores[i].tier_id);
		tuplestore_putvalues(result->setResult, result->setDesc, values,
							 nulls);
	}
	return (Datum) 0;
}
