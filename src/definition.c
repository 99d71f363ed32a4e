/*
 * definition.c
 *	  The cache of everything compiled.
 *
 * A backend loads all definitions on first use and again when the table
 * `generation` changed: each definition table has a trigger that raises it.
 * They are read with the latest snapshot, never the transaction's: a
 * REPEATABLE READ session that loaded from its own would stay wrong for good.
 * A cache that is replaced lives on until the end of the transaction, since
 * the engine may be using it further up the stack.
 *
 * What is loaded is linked here: which cell answers which signal, who has to
 * be woken when a cell, an attribute, a list or a score changes, and in which
 * order lists and scores that use each other are evaluated
 * (definition_link.c). A definition that does not compile any more is left
 * out and noted; the others are not affected.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type_d.h"
#include "commands/trigger.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "definition_private.h"
#include "error.h"
#include "guard.h"
#include "guc.h"
#include "inval.h"
#include "setting.h"
#include "sql.h"

PG_FUNCTION_INFO_V1(mautomate_definition_changed);

static MaWatch		  watch = {"generation"};
static MaDefinitions *current = NULL;

static MaDefinitions *load(void);
static int64		  get_int(uint64 row, int column);

/* Statement trigger on each definition table: raises the generation. */
Datum
mautomate_definition_changed(PG_FUNCTION_ARGS)
{
	static MaStatement stmt = {
		"update mautomate_internal.generation set value = value + 1", 0};
	MaSqlScope scope;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("function \"%s\" must be called as a trigger",
							   "definition_changed")));
	ma_sql_begin(&scope);
	ma_sql_exec(&stmt, NULL, NULL, 0);
	ma_sql_end(&scope);
	return PointerGetDatum(NULL);
}

/*
 * Locks all definitions against other changes until the end of the
 * transaction. What a change stands on (the names that it uses, who uses
 * what it drops) is looked up after this.
 */
void
ma_definition_lock(void)
{
	static MaStatement stmt = {
		"select from mautomate_internal.generation for update", 0};
	MaSqlScope scope;

	ma_sql_begin(&scope);
	ma_sql_exec(&stmt, NULL, NULL, 0);
	ma_sql_end(&scope);
}

/*
 * The same for the passes, which hold contacts that a change may be waiting
 * for: false, and nothing is locked, if somebody changes definitions now.
 */
bool
ma_definition_try_lock(void)
{
	static MaStatement stmt = {
		"select from mautomate_internal.generation for update skip locked", 0};
	MaSqlScope scope;
	bool	   locked;

	ma_sql_begin(&scope);
	locked = ma_sql_exec(&stmt, NULL, NULL, 0) > 0;
	ma_sql_end(&scope);
	return locked;
}

/* The same for a change that is numbered: returns the new generation. */
int64
ma_definition_generation(void)
{
	static MaStatement stmt = {
		/* the counter is not dumped, what was numbered by it is */
		"update mautomate_internal.generation set timezone ="
		" coalesce(timezone, $1), value = 1 + greatest(value,"
		" (select max(generation) from mautomate_internal.list),"
		" (select max(generation) from mautomate_internal.score))"
		" returning value",
		1,
		{TEXTOID}};
	Datum zone = CStringGetTextDatum(ma_guc_timezone);
	Datum generation;

	if (!ma_sql_one(&stmt, &zone, &generation))
		elog(ERROR, "there is no generation");
	return DatumGetInt64(generation);
}

/*
 * Notes that mautomate.timezone is another one than states were folded under:
 * then all of them are folded anew.
 */
void
ma_definition_check_zone(void)
{
	static MaStatement look = {
		"select from mautomate_internal.generation where timezone <> $1",
		1,
		{TEXTOID}};
	static MaStatement stmt = {
		"update mautomate_internal.generation set timezone = $1,"
		" value = value + 1, zone_at = value + 1, zone_done = false",
		1,
		{TEXTOID}};
	MaSqlScope scope;
	Datum	   zone = CStringGetTextDatum(ma_guc_timezone);

	ma_sql_begin(&scope);
	if (ma_sql_exec(&look, &zone, NULL, 1) > 0 && ma_definition_try_lock())
		ma_sql_exec(&stmt, &zone, NULL, 0);
	ma_sql_end(&scope);
}

/* Are these the definitions that the active snapshot shows? */
bool
ma_definition_is_shown(const MaDefinitions *definitions)
{
	static MaStatement stmt = {
		"select value from mautomate_internal.generation", 0};
	MaSqlScope scope;
	bool	   shown;

	ma_sql_begin(&scope);
	shown = ma_sql_read(&stmt, NULL, NULL, 1) > 0 &&
			get_int(0, 1) == definitions->counter;
	ma_sql_end(&scope);
	return shown;
}

/* The definitions as they are now. */
MaDefinitions *
ma_definitions(void)
{
	if (!ma_inval_watch(&watch))
		elog(ERROR, "extension mautomate is not installed");
	if (current != NULL && !watch.stale &&
		strcmp(current->timezone, ma_guc_timezone) == 0)
		return current;
	return ma_definitions_reload();
}

/*
 * Loads them anew; what was current stays valid until the transaction ends.
 * Who compiles expressions leaves the session its own settings, whatever was
 * entered before (setting.h).
 */
MaDefinitions *
ma_definitions_reload(void)
{
	MaDefinitions *fresh;
	MaSetting	   own;

	/* a change that arrives while we load leaves the result stale */
	watch.stale = false;
	ma_setting_enter(&own);
	PG_TRY();
	{
		fresh = load();
	}
	PG_CATCH();
	{
		watch.stale = true;
		ma_setting_leave(&own);
		PG_RE_THROW();
	}
	PG_END_TRY();
	ma_setting_leave(&own);
	if (current != NULL)
		MemoryContextSetParent(current->cxt, TopTransactionContext);
	MemoryContextSetParent(fresh->cxt, TopMemoryContext);
	current = fresh;
	return current;
}

static int
compare_kind(const void *a, const void *b)
{
	return strcmp(((const MaKindDef *) a)->kind,
				  ((const MaKindDef *) b)->kind);
}

/* The cells of a kind; NULL if no definition asks about it. */
MaKindDef *
ma_definition_kind(MaDefinitions *definitions, const char *kind)
{
	MaKindDef key = {.kind = kind};

	if (definitions->nkinds == 0)
		return NULL;
	return bsearch(&key, definitions->kinds, definitions->nkinds,
				   sizeof(MaKindDef), compare_kind);
}

/* An expression in use, by its id. */
MaExpr *
ma_definition_expr(int predicate_id)
{
	MaDefinitions *definitions = ma_definitions();

	for (int i = 0; i < definitions->nexprs; i++)
		if (definitions->exprs[i].predicate_id == predicate_id)
			return definitions->exprs[i].expr;
	return NULL;
}

/* Room for what so many rows say. */
static void *
allocate(MaDefinitions *definitions, uint64 n, size_t size)
{
	return MemoryContextAllocZero(definitions->cxt, (n + 1) * size);
}

/* The last result's text column in the context of the definitions. */
static char *
keep_text(MaDefinitions *definitions, uint64 row, int column)
{
	char *text = ma_sql_text(row, column);

	return text == NULL ? NULL : MemoryContextStrdup(definitions->cxt, text);
}

static int64
get_int(uint64 row, int column)
{
	bool  isnull;
	Datum value = ma_sql_datum(row, column, &isnull);

	return isnull ? 0 : DatumGetInt64(value);
}

static double
get_float(uint64 row, int column)
{
	bool isnull;

	return DatumGetFloat8(ma_sql_datum(row, column, &isnull));
}

/* Reads names, event_kind, entry_kind, type and text of an expression. */
void
ma_definition_read_source(uint64 row, int column, MaExprSource *source)
{
	bool isnull;

	source->names = DatumGetInt32(ma_sql_datum(row, column, &isnull));
	source->event_kind = ma_sql_text(row, column + 1);
	source->entry_kind = ma_sql_text(row, column + 2);
	source->type = DatumGetObjectId(ma_sql_datum(row, column + 3, &isnull));
	source->text = ma_sql_text(row, column + 4);
}

/* Reads the expressions in use, their texts for the moment. */
static void
read_exprs(MaDefinitions *definitions)
{
	static MaStatement stmt = {
		"select p.predicate_id::bigint, p.names, nullif(p.event_kind, ''),"
		" nullif(p.entry_kind, ''), p.type, p.text"
		" from mautomate_internal.predicate p"
		" join mautomate_internal.predicate_in_use using (predicate_id)"
		" order by 1",
		0};
	uint64		  n = ma_sql_read(&stmt, NULL, NULL, 0);
	MemoryContext caller = MemoryContextSwitchTo(definitions->cxt);

	definitions->nexprs = n;
	definitions->exprs = allocate(definitions, n, sizeof(MaExprUse));
	for (uint64 i = 0; i < n; i++)
	{
		MaExprUse *use = &definitions->exprs[i];

		use->predicate_id = get_int(i, 1);
		ma_definition_read_source(i, 2, &use->source);
	}
	MemoryContextSwitchTo(caller);
}

/* Reads the lists; expr holds the predicate_id for the moment. */
static void
read_lists(MaDefinitions *definitions, int **predicate_ids)
{
	static MaStatement stmt = {
		"select list_id::bigint, name, predicate_id::bigint, generation,"
		" (state in ('building', 'sweeping'))::int::bigint,"
		" (state = 'sweeping')::int::bigint,"
		" (state = 'following')::int::bigint, built_at"
		" from mautomate_internal.list order by list_id",
		0};
	uint64 n = ma_sql_read(&stmt, NULL, NULL, 0);

	definitions->nlists = n;
	definitions->lists = allocate(definitions, n, sizeof(MaListDef));
	*predicate_ids = allocate(definitions, n, sizeof(int));
	for (uint64 i = 0; i < n; i++)
	{
		MaListDef *list = &definitions->lists[i];

		list->list_id = get_int(i, 1);
		list->name = keep_text(definitions, i, 2);
		(*predicate_ids)[i] = get_int(i, 3);
		list->is_static = (*predicate_ids)[i] == 0;
		list->generation = get_int(i, 4);
		list->building = get_int(i, 5) != 0;
		list->following = get_int(i, 7) != 0;
		list->filled_at = get_int(i, 8);
		definitions->consumers_at =
			Max(definitions->consumers_at, list->generation);
		if (get_int(i, 6) != 0 || list->following)
			definitions->follow_at =
				Max(definitions->follow_at, list->generation);
		if (get_int(i, 6) != 0)
			definitions->rebuild_at =
				Max(definitions->rebuild_at, list->generation);
		else if (!list->building && !list->following)
			definitions->settled_at =
				Max(definitions->settled_at, list->generation);
	}
}

/* Reads the scores without their rules and tiers. */
static void
read_scores(MaDefinitions *definitions)
{
	static MaStatement stmt = {
		"select score_id::bigint, name,"
		" coalesce(minimum, '-infinity'), coalesce(maximum, 'infinity'),"
		" generation from mautomate_internal.score order by score_id",
		0};
	uint64 n = ma_sql_read(&stmt, NULL, NULL, 0);

	definitions->nscores = n;
	definitions->scores = allocate(definitions, n, sizeof(MaScoreDef));
	for (uint64 i = 0; i < n; i++)
	{
		MaScoreDef *score = &definitions->scores[i];

		score->score_id = get_int(i, 1);
		score->name = keep_text(definitions, i, 2);
		score->minimum = get_float(i, 3);
		score->maximum = get_float(i, 4);
		score->generation = get_int(i, 5);
		definitions->consumers_at =
			Max(definitions->consumers_at, score->generation);
		definitions->settled_at =
			Max(definitions->settled_at, score->generation);
	}
}

static MaScoreDef *
find_score(MaDefinitions *definitions, int score_id)
{
	for (int i = 0; i < definitions->nscores; i++)
		if (definitions->scores[i].score_id == score_id)
			return &definitions->scores[i];
	return NULL;
}

/* Reads the rules of all scores. */
static void
read_rules(MaDefinitions *definitions, int **predicate_ids)
{
	static MaStatement stmt = {
		"select score_id::bigint, rule, points, predicate_id::bigint,"
		" (event is not null)::int::bigint"
		" from mautomate_internal.score_rule order by score_id, rule",
		0};
	uint64	   n = ma_sql_read(&stmt, NULL, NULL, 0);
	MaRuleDef *rules = allocate(definitions, n, sizeof(MaRuleDef));

	*predicate_ids = allocate(definitions, n, sizeof(int));
	for (uint64 i = 0; i < n; i++)
	{
		MaScoreDef *score = find_score(definitions, get_int(i, 1));

		if (score == NULL)
			continue;
		if (score->nrules++ == 0)
			score->rules = &rules[i];
		rules[i].name = keep_text(definitions, i, 2);
		rules[i].points = get_float(i, 3);
		(*predicate_ids)[i] = get_int(i, 4);
		rules[i].counts = get_int(i, 5) != 0;
	}
}

/* Reads the tiers of all scores, ascending. */
static void
read_tiers(MaDefinitions *definitions)
{
	static MaStatement stmt = {
		"select score_id::bigint, tier, at_least, leave_below,"
		" tier_id::bigint"
		" from mautomate_internal.score_tier order by score_id, at_least",
		0};
	uint64	   n = ma_sql_read(&stmt, NULL, NULL, 0);
	MaTierDef *tiers = allocate(definitions, n, sizeof(MaTierDef));

	for (uint64 i = 0; i < n; i++)
	{
		MaScoreDef *score = find_score(definitions, get_int(i, 1));

		if (score == NULL)
			continue;
		if (score->ntiers++ == 0)
			score->tiers = &tiers[i];
		tiers[i].name = keep_text(definitions, i, 2);
		tiers[i].at_least = get_float(i, 3);
		tiers[i].leave_below = get_float(i, 4);
		tiers[i].tier_id = get_int(i, 5);
	}
}

/* An expression to compile, for the guard. */
typedef struct Compilation
{
	MaDefinitions *definitions;
	MaExprUse	  *use;
} Compilation;

static void
compile_one(void *arg)
{
	Compilation *compilation = arg;

	compilation->use->expr = ma_expr_compile(&compilation->use->source,
											 compilation->definitions->cxt);
}

/*
 * Compiles an expression so that one which does not compile any more leaves
 * the others alone: it stays NULL, and the error is noted.
 */
static void
compile_safely(MaDefinitions *definitions, MaExprUse *use)
{
	Compilation compilation = {definitions, use};
	ErrorData  *edata = ma_guard(compile_one, &compilation);

	if (edata == NULL && !ma_definition_has_cells(definitions, use->expr))
	{
		/* the next sweep puts it right */
		definitions->lacking = true;
		use->expr = NULL;
	}
	if (edata == NULL)
		return;
	use->expr = NULL;
	if (!XactReadOnly)
		ma_error_note(psprintf("expression \"%s\"", use->source.text), 0,
					  edata);
}

static MaExpr *
expr_of(MaDefinitions *definitions, int predicate_id)
{
	for (int i = 0; i < definitions->nexprs; i++)
		if (definitions->exprs[i].predicate_id == predicate_id)
			return definitions->exprs[i].expr;
	return NULL;
}

/* Compiles the expressions and hands them to lists and rules. */
static void
compile_all(MaDefinitions *definitions, int *list_predicates,
			int *rule_predicates)
{
	int rule = 0;

	for (int i = 0; i < definitions->nexprs; i++)
		compile_safely(definitions, &definitions->exprs[i]);
	for (int i = 0; i < definitions->nlists; i++)
		definitions->lists[i].expr = expr_of(definitions, list_predicates[i]);
	for (int i = 0; i < definitions->nscores; i++)
		for (int j = 0; j < definitions->scores[i].nrules; j++)
			definitions->scores[i].rules[j].expr =
				expr_of(definitions, rule_predicates[rule++]);
}

/* Reads the counter, and which states another time zone has outdated. */
static void
read_generation(MaDefinitions *definitions)
{
	static MaStatement stmt = {"select value, zone_at, zone_done::int::bigint,"
							   " coalesce(timezone <> $1, false)::int::bigint"
							   " from mautomate_internal.generation",
							   1,
							   {TEXTOID}};
	Datum			   zone = CStringGetTextDatum(definitions->timezone);

	if (ma_sql_read(&stmt, &zone, NULL, 1) == 0)
		return;
	definitions->other_zone = get_int(0, 4) != 0;
	definitions->generation = definitions->counter = get_int(0, 1);
	definitions->consumers_at = definitions->zone_at = get_int(0, 2);
	if (get_int(0, 3) == 0)
		definitions->rebuild_at = definitions->follow_at =
			definitions->zone_at;
	else
		definitions->settled_at = definitions->zone_at;
}

/* Loads, compiles and links everything; the context is the caller's child. */
static MaDefinitions *
load(void)
{
	MemoryContext cxt = AllocSetContextCreate(
		CurrentMemoryContext, "mautomate definitions", ALLOCSET_DEFAULT_SIZES);
	MaDefinitions *definitions =
		MemoryContextAllocZero(cxt, sizeof(MaDefinitions));
	int		  *list_predicates;
	int		  *rule_predicates;
	MaSqlScope scope;

	definitions->cxt = cxt;
	definitions->timezone = MemoryContextStrdup(cxt, ma_guc_timezone);
	ma_sql_begin(&scope);
	PushActiveSnapshot(GetLatestSnapshot());
	read_generation(definitions);
	read_exprs(definitions);
	read_lists(definitions, &list_predicates);
	read_scores(definitions);
	read_rules(definitions, &rule_predicates);
	read_tiers(definitions);
	definitions->generation =
		Max(definitions->generation, definitions->consumers_at);
	ma_definition_read_cells(definitions);
	PopActiveSnapshot();
	ma_sql_end(&scope);

	compile_all(definitions, list_predicates, rule_predicates);
	ma_definition_link(definitions);
	return definitions;
}
