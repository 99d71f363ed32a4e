/*
 * definition_rename.c
 *	  Expressions of definitions follow what gets another name.
 *
 * What is stored of an expression is rewritten in place, whoever uses it, and
 * so is the name of what is folded for it: its cells keep their numbers, and
 * states what they hold. An expression is compiled before and after, so that
 * what it asks for is known under both names; in between, the caller gives
 * the thing its name. The caller has locked the definitions.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "utils/builtins.h"

#include "definition_private.h"
#include "guard.h"
#include "sql.h"

/* An expression before and after. */
typedef struct Renamed
{
	int			 predicate_id;
	MaExprSource old;
	MaExprSource new;
	MaExprRename rename;
	MaExpr		*old_expr; /* NULL: does not compile */
	MaExpr		*new_expr;
	List		*doubts; /* positions of what may mean it too */
} Renamed;

struct MaRenaming
{
	MaRename rename;
	List	*renamed; /* of Renamed */
};

/* Steps of it, for the guard. */
static void
find_name(void *arg)
{
	Renamed *r = arg;

	r->new.text = ma_expr_rename(&r->old, &r->rename, &r->doubts);
}

static void
compile_old(void *arg)
{
	Renamed *r = arg;

	r->old_expr = ma_expr_compile(&r->old, CurrentMemoryContext);
}

static void
compile_new(void *arg)
{
	Renamed *r = arg;

	r->new_expr = ma_expr_compile(&r->new, CurrentMemoryContext);
}

/* A kind's name afterwards. */
static const char *
kind_after(const MaRename *rename, const char *kind)
{
	return rename->what == MA_NAMED_KIND && kind != NULL &&
				   strcmp(kind, rename->old_name) == 0 ?
			   rename->new_name :
			   kind;
}

/* Reads a row of stored expressions. */
static Renamed *
read_row(uint64 row, const MaRename *rename)
{
	Renamed *r = palloc0(sizeof(Renamed));
	bool	 isnull;

	r->predicate_id = DatumGetInt32(ma_sql_datum(row, 1, &isnull));
	ma_definition_read_source(row, 2, &r->old);
	r->rename.rename = *rename;
	r->rename.entries = DatumGetBool(ma_sql_datum(row, 7, &isnull));
	r->new = r->old;
	r->new.event_kind = kind_after(rename, r->old.event_kind);
	r->new.entry_kind = kind_after(rename, r->old.entry_kind);
	return r;
}

/* Tells of the places of a live expression that are left as they are. */
static void
notice_doubts(Renamed *r)
{
	static MaStatement stmt = {"select string_agg(users, ', ' order by users)"
							   " from mautomate_internal.predicate_user"
							   " where predicate_id = $1",
							   1,
							   {INT4OID}};
	Datum			   value = Int32GetDatum(r->predicate_id);
	char			  *users;

	ma_sql_exec(&stmt, &value, NULL, 1);
	users = ma_sql_text(0, 1);
	if (users == NULL)
		return;
	ereport(NOTICE,
			(errmsg("%s: \"%s\" may be meant here too, and stays as it is",
					users, r->rename.rename.old_name),
			 errdetail("%s", r->old.text + linitial_int(r->doubts)),
			 errhint("Look at it, and change it where it has to follow.")));
}

/* Every expression, in use or not, that changes. */
static List *
read_renamed(const MaRename *rename)
{
	static MaStatement stmt = {
		"select predicate_id, names, nullif(event_kind, ''),"
		" nullif(entry_kind, ''), type, text,"
		" exists (select from mautomate_internal.workflow_version v"
		" where p.predicate_id = any (v.predicates)"
		" and v.program -> 'entries' @> jsonb_build_array(jsonb_build_object("
		" 'match', jsonb_build_object($1, $2))))"
		" from mautomate_internal.predicate p order by predicate_id",
		2,
		{TEXTOID, TEXTOID}};
	const char *property = ma_rename_property(rename->what);
	Datum		values[2] = {CStringGetTextDatum(property ? property : ""),
							 CStringGetTextDatum(rename->old_name)};
	uint64		n = ma_sql_exec(&stmt, values, NULL, 0);
	List	   *all = NIL;
	List	   *renamed = NIL;
	ListCell   *lc;

	for (uint64 i = 0; i < n; i++)
		all = lappend(all, read_row(i, rename));
	foreach (lc, all)
	{
		Renamed *r = lfirst(lc);

		if (ma_guard(find_name, r) != NULL)
			continue; /* broken before */
		if (r->doubts != NIL)
			notice_doubts(r);
		if (r->new.text == NULL && r->new.event_kind == r->old.event_kind &&
			r->new.entry_kind == r->old.entry_kind)
			continue;
		if (r->new.text == NULL)
			r->new.text = r->old.text;
		if (ma_guard(compile_old, r) != NULL)
			r->old_expr = NULL;
		renamed = lappend(renamed, r);
	}
	return renamed;
}

/* Finds the expressions that name something, while it has its old name. */
MaRenaming *
ma_definition_rename_begin(const MaRename *rename)
{
	MaRenaming *renaming = palloc0(sizeof(MaRenaming));

	renaming->rename = *rename;
	renaming->renamed = read_renamed(rename);
	return renaming;
}

/* Cells of a kind of events get its new name. */
static void
rename_kind_cells(const MaRename *rename)
{
	static MaStatement stmts[] = {
		/* what is left of definitions that are gone makes room */
		{"delete from mautomate_internal.cell where kind = $2 and $1 <> $2",
		 2,
		 {TEXTOID, TEXTOID}},
		{"update mautomate_internal.cell set kind = $2 where kind = $1",
		 2,
		 {TEXTOID, TEXTOID}},
	};
	Datum values[2] = {CStringGetTextDatum(rename->old_name),
					   CStringGetTextDatum(rename->new_name)};

	for (int i = 0; i < lengthof(stmts); i++)
		ma_sql_exec(&stmts[i], values, NULL, 0);
}

/* The cell of a signal keeps its number under another filter. */
static void
rename_cell(const MaSignal *old, const MaSignal *new)
{
	static MaStatement stmts[] = {
		{"delete from mautomate_internal.cell where kind = $1 and filter = $3"
		 " and property = $4 and form = $5 and exists (select"
		 " from mautomate_internal.cell where kind = $1 and filter = $2"
		 " and property = $4 and form = $5)",
		 5,
		 {TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID}},
		{"update mautomate_internal.cell set filter = $3 where kind = $1"
		 " and filter = $2 and property = $4 and form = $5",
		 5,
		 {TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID}},
	};
	Datum values[5] = {
		CStringGetTextDatum(new->kind), CStringGetTextDatum(old->filter_text),
		CStringGetTextDatum(new->filter_text),
		CStringGetTextDatum(new->property), CStringGetTextDatum(new->form)};

	if (strcmp(old->filter_text, new->filter_text) == 0)
		return;
	for (int i = 0; i < lengthof(stmts); i++)
		ma_sql_exec(&stmts[i], values, NULL, 0);
}

/* Raises that an expression cannot say the new name. */
static void
refuse(const Renamed *r, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
			 errmsg("cannot rename \"%s\" to \"%s\" in an expression",
					r->rename.rename.old_name, r->rename.rename.new_name),
			 errdetail("%s: %s", r->old.text, detail),
			 errhint("Change the expression first.")));
}

/* What an expression asks for is kept under its new name. */
static void
rename_cells(Renamed *r)
{
	ErrorData *edata;
	MaSlot	  *old;
	MaSlot *new;
	int n;

	if (r->old_expr == NULL)
		return;
	edata = ma_guard(compile_new, r);
	if (edata != NULL)
		refuse(r, edata->message);
	n = ma_expr_slots(r->old_expr, &old);
	if (ma_expr_slots(r->new_expr, &new) != n)
		refuse(r, "It would mean something else.");
	for (int i = 0; i < n; i++)
		if (old[i].signal != NULL && new[i].signal != NULL)
			rename_cell(old[i].signal, new[i].signal);
}

/* Gives an expression its new text, wherever it stands. */
static void
rewrite(const Renamed *r)
{
	static MaStatement stmts[] = {
		/*
		 * what is left of definitions that are gone makes room, and what was
		 * the same but for how it was written: 'x' and E'x'
		 */
		{"update mautomate_internal.predicate p"
		 " set text = concat(p.text, e'\\n--', p.predicate_id)"
		 " from mautomate_internal.predicate q where q.predicate_id = $1"
		 " and p.predicate_id <> $1 and (p.names, p.event_kind, p.entry_kind,"
		 " p.type, p.text) = (q.names, $4, $5, q.type, $3)",
		 5,
		 {INT4OID, TEXTOID, TEXTOID, TEXTOID, TEXTOID}},
		{"update mautomate_internal.predicate"
		 " set text = $3, event_kind = $4, entry_kind = $5"
		 " where predicate_id = $1",
		 5,
		 {INT4OID, TEXTOID, TEXTOID, TEXTOID, TEXTOID}},
		/* as users wrote it, without what made room before */
		{"update mautomate_internal.list set predicate ="
		 " left($3, length($3) - length($2) + length(predicate))"
		 " where predicate_id = $1"
		 " and left($2, length(predicate)) = predicate",
		 3,
		 {INT4OID, TEXTOID, TEXTOID}},
		{"update mautomate_internal.score_rule set condition ="
		 " left($3, length($3) - length($2) + length(condition))"
		 " where predicate_id = $1 and event is null"
		 " and left($2, length(condition)) = condition",
		 3,
		 {INT4OID, TEXTOID, TEXTOID}},
	};
	Datum values[5] = {
		Int32GetDatum(r->predicate_id), CStringGetTextDatum(r->old.text),
		CStringGetTextDatum(r->new.text),
		CStringGetTextDatum(r->new.event_kind ? r->new.event_kind : ""),
		CStringGetTextDatum(r->new.entry_kind ? r->new.entry_kind : "")};

	for (int i = 0; i < lengthof(stmts); i++)
		ma_sql_exec(&stmts[i], values, NULL, 0);
}

/* The event and the condition that a rule is made of, as users wrote them. */
static void
rename_rules(const MaRename *rename)
{
	static MaStatement rules = {
		"select score_id, rule, event, condition"
		" from mautomate_internal.score_rule where event is not null",
		0};
	static MaStatement rewrite_rule = {
		"update mautomate_internal.score_rule set event = $3,"
		" condition = nullif($4, '') where score_id = $1 and rule = $2",
		4,
		{INT4OID, TEXTOID, TEXTOID, TEXTOID}};
	uint64		   n = ma_sql_exec(&rules, NULL, NULL, 0);
	SPITupleTable *found = SPI_tuptable;

	for (uint64 i = 0; i < n; i++)
	{
		HeapTuple	 row = found->vals[i];
		char		*event = SPI_getvalue(row, found->tupdesc, 3);
		char		*text = SPI_getvalue(row, found->tupdesc, 4);
		const char	*new_event = kind_after(rename, event);
		MaExprSource source = {.text = text,
							   .names = MA_NAMES_EVENT,
							   .event_kind = event,
							   .type = BOOLOID};
		MaExprRename names = {.rename = *rename};
		List		*doubts = NIL;
		Datum		 values[4];
		char		*condition =
			   text == NULL ? NULL : ma_expr_rename(&source, &names, &doubts);
		bool isnull;

		if (condition == NULL && new_event == event)
			continue;
		values[0] = SPI_getbinval(row, found->tupdesc, 1, &isnull);
		values[1] = SPI_getbinval(row, found->tupdesc, 2, &isnull);
		values[2] = CStringGetTextDatum(new_event);
		values[3] = CStringGetTextDatum(condition ? condition :
										text	  ? text :
													"");
		ma_sql_exec(&rewrite_rule, values, NULL, 0);
	}
}

/* Rewrites them, when it has its new name. */
void
ma_definition_rename_end(MaRenaming *renaming)
{
	ListCell *lc;

	if (renaming->rename.what == MA_NAMED_KIND)
		rename_kind_cells(&renaming->rename);
	foreach (lc, renaming->renamed)
		rename_cells(lfirst(lc));
	foreach (lc, renaming->renamed)
		rewrite(lfirst(lc));
	rename_rules(&renaming->rename);
}
