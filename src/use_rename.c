/*
 * use_rename.c
 *	  Whoever uses a thing by its name follows when that changes.
 *
 * Expressions (definition_rename.c), the documents and programs of workflows,
 * templates, the sources of events and contacts; and what the log and those
 * on their way through workflows say: events by their kind, derived ones by
 * what they tell of. It means the same as before to everybody, so it happens
 * behind the engine's back: states stay as they are. Whoever writes contacts,
 * events or the tables that a renamed thing is captured from waits meanwhile,
 * and goes on under the new name; and so does whoever renders messages or
 * defines templates.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type_d.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "argument.h"
#include "definition.h"
#include "refresh.h"
#include "sql.h"
#include "template_store.h"
#include "use.h"
#include "workflow.h"

PG_FUNCTION_INFO_V1(mautomate_rename_template);

/* The word for each in the view name_user and in messages. */
static const struct
{
	const char *object;
	const char *noun;
} words[] = {
	[MA_NAMED_LIST] = {"list", "list"},
	[MA_NAMED_SCORE] = {"score", "score"},
	[MA_NAMED_KIND] = {"event", "event kind"},
	[MA_NAMED_ATTRIBUTE] = {"attribute", "attribute"},
};

/* Under an old snapshot some of what has to follow cannot be seen. */
static void
check_snapshot(void)
{
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot rename in a transaction with an old snapshot"),
				 errhint("Begin it with isolation level read committed.")));
}

/*
 * Refuses a new name that somebody means by now: what they ask for would be
 * another thing.
 */
static void
check_meant(const MaRename *rename)
{
	char *users = ma_use_users(words[rename->what].object, rename->new_name);

	if (users != NULL)
		ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT),
						errmsg("%s \"%s\" is meant by somebody already",
							   words[rename->what].noun, rename->new_name),
						errdetail("It is used by %s.", users),
						errhint("Take another name, or change these first.")));
}

/* Does something have the new name without being declared? */
static void
check_present(const MaRename *rename)
{
	static MaStatement stmts[] = {
		[MA_NAMED_KIND] = {"select from mautomate.event where kind = $1",
						   1,
						   {TEXTOID}},
		[MA_NAMED_ATTRIBUTE] = {"select from mautomate.contact"
								" where attributes ? $1",
								1,
								{TEXTOID}},
	};
	Datum value = CStringGetTextDatum(rename->new_name);

	if (rename->what != MA_NAMED_KIND && rename->what != MA_NAMED_ATTRIBUTE)
		return;
	if (ma_sql_exec(&stmts[rename->what], &value, NULL, 1) > 0)
		ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT),
						errmsg("%s \"%s\" is there already",
							   words[rename->what].noun, rename->new_name),
						rename->what == MA_NAMED_KIND ?
							errdetail("The log has events of that kind.") :
							errdetail("Contacts have values under that name."),
						errhint("Take another name.")));
}

/*
 * Locks out whoever writes: first the tables that are captured, as their
 * writers do. What is noted so far means the old name, and is folded.
 */
static void
lock_writers(const MaRename *rename)
{
	static MaStatement sources = {
		"select relation::oid from mautomate_internal.source s"
		" join pg_class c on c.oid = s.relation"
		" where case when $2 then kind = $1 else kind is null end"
		" order by 1",
		2,
		{TEXTOID, BOOLOID}};
	Datum  values[2] = {CStringGetTextDatum(rename->old_name),
						BoolGetDatum(rename->what == MA_NAMED_KIND)};
	uint64 n = 0;
	bool   isnull;

	if (rename->what == MA_NAMED_KIND || rename->what == MA_NAMED_ATTRIBUTE)
		n = ma_sql_exec(&sources, values, NULL, 0);
	for (uint64 i = 0; i < n; i++)
		LockRelationOid(DatumGetObjectId(ma_sql_datum(i, 1, &isnull)),
						ShareRowExclusiveLock);
	ma_follow_lock();
	(void) ma_refresh_deferred(PG_INT32_MAX);
}

/* Runs a statement on contacts or events that the engine does not look at. */
static void
change_unseen(MaStatement *stmt, Datum *values)
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(caller);
	ma_refresh_look_away();
	ma_sql_exec(stmt, values, NULL, 0);
	ReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = owner;
}

/* The kinds of events in which its name changes, as text[]. */
static Datum
kinds_array(const MaRename *rename)
{
	Datum kind;

	if (rename->what != MA_NAMED_KIND)
		return ma_rename_kinds(rename->what);
	kind = CStringGetTextDatum(rename->old_name);
	return PointerGetDatum(
		construct_array(&kind, 1, TEXTOID, -1, false, TYPALIGN_INT));
}

/* What happened, and is still to be answered, is told under the new name. */
static void
rename_told(const MaRename *rename)
{
	static MaStatement log[] = {
		[MA_NAMED_LIST] = {"update mautomate.event"
						   " set properties = properties"
						   " || jsonb_build_object($3, $2)"
						   " where kind = any ($4)"
						   " and properties ->> $3 = $1",
						   4,
						   {TEXTOID, TEXTOID, TEXTOID, TEXTARRAYOID}},
		[MA_NAMED_KIND] = {"update mautomate.event set kind = $2"
						   " where kind = $1",
						   2,
						   {TEXTOID, TEXTOID}},
	};
	static MaStatement others[] = {
		{"update mautomate_internal.wakeup set"
		 " kind = case $3 when 'kind' then $2 else kind end,"
		 " properties = case $3 when 'kind' then properties"
		 " else properties || jsonb_build_object($3, $2) end"
		 " where kind = any ($4)"
		 " and ($3 = 'kind' or properties ->> $3 = $1)",
		 4,
		 {TEXTOID, TEXTOID, TEXTOID, TEXTARRAYOID}},
		{"update mautomate_internal.enrollment"
		 " set entry = entry || jsonb_build_object($3, $2)"
		 " where entry ->> 'kind' = any ($4) and entry ->> $3 = $1",
		 4,
		 {TEXTOID, TEXTOID, TEXTOID, TEXTARRAYOID}},
		{"update mautomate_internal.enrollment"
		 " set event = event || jsonb_build_object($3, $2)"
		 " where event ->> 'kind' = any ($4) and event ->> $3 = $1",
		 4,
		 {TEXTOID, TEXTOID, TEXTOID, TEXTARRAYOID}},
		{"update mautomate_internal.message m set data = ("
		 " select jsonb_object_agg(d.key, case"
		 " when d.key in ('entry', 'event') and d.value ->> $3 = $1"
		 " and d.value ->> 'kind' = any ($4)"
		 " then d.value || jsonb_build_object($3, $2) else d.value end)"
		 " from jsonb_each(m.data) d)"
		 " where m.message_id in (select message_id"
		 " from mautomate_internal.outbox)"
		 " and $1 in (m.data -> 'entry' ->> $3, m.data -> 'event' ->> $3)",
		 4,
		 {TEXTOID, TEXTOID, TEXTOID, TEXTARRAYOID}},
	};
	bool		is_kind = rename->what == MA_NAMED_KIND;
	const char *property = is_kind ? "kind" : ma_rename_property(rename->what);
	Datum		values[4] = {CStringGetTextDatum(rename->old_name),
							 CStringGetTextDatum(rename->new_name),
							 CStringGetTextDatum(property), kinds_array(rename)};

	change_unseen(&log[is_kind ? MA_NAMED_KIND : MA_NAMED_LIST], values);
	for (int i = 0; i < lengthof(others); i++)
		ma_sql_exec(&others[i], values, NULL, 0);
}

/* What contacts have under the name of an attribute. */
static void
rename_values(const MaRename *rename)
{
	static MaStatement stmt = {
		"update mautomate.contact set attributes = (attributes - $1)"
		" || jsonb_build_object($2, attributes -> $1) where attributes ? $1",
		2,
		{TEXTOID, TEXTOID}};
	Datum values[2] = {CStringGetTextDatum(rename->old_name),
					   CStringGetTextDatum(rename->new_name)};

	if (rename->what == MA_NAMED_ATTRIBUTE)
		change_unseen(&stmt, values);
}

/* Sources of events of a kind, and their names where they end with it. */
static void
rename_event_sources(const MaRename *rename)
{
	/* not the keys of its rows */
	static MaStatement stmt = {
		"update mautomate_internal.source s set kind = $2,"
		" source = coalesce((select n.name from (select"
		" left(s.source, length(s.source) - length($1)) || $2 as name) n"
		" where right(s.source, length($1) + 1) = '.' || $1"
		" and not exists (select from mautomate_internal.source o"
		" where o.source = n.name)), s.source) where kind = $1",
		2,
		{TEXTOID, TEXTOID}};
	Datum values[2] = {CStringGetTextDatum(rename->old_name),
					   CStringGetTextDatum(rename->new_name)};

	ma_sql_exec(&stmt, values, NULL, 0);
}

/* Sources of contacts: the select lists that give an attribute. */
static void
rename_contact_sources(const MaRename *rename)
{
	static MaStatement sources = {
		"select source, fields from mautomate_internal.source"
		" where kind is null and fields is not null",
		0};
	static MaStatement stmt = {"update mautomate_internal.source"
							   " set fields = $2 where source = $1",
							   2,
							   {TEXTOID, TEXTOID}};
	uint64			   n = ma_sql_exec(&sources, NULL, NULL, 0);
	SPITupleTable	  *found = SPI_tuptable;

	for (uint64 i = 0; i < n; i++)
	{
		HeapTuple row = found->vals[i];
		char	 *fields = ma_expr_rename_target(
				SPI_getvalue(row, found->tupdesc, 2), rename);
		Datum values[2];
		bool  isnull;

		if (fields == NULL)
			continue;
		values[0] = SPI_getbinval(row, found->tupdesc, 1, &isnull);
		values[1] = CStringGetTextDatum(fields);
		ma_sql_exec(&stmt, values, NULL, 0);
	}
}

/* Workflows: what users wrote, and what it was compiled to. */
void
ma_use_rename_workflows(const MaRename *rename)
{
	static MaStatement versions = {"select version_id, definition, program"
								   " from mautomate_internal.workflow_version",
								   0};
	static MaStatement stmt = {
		"update mautomate_internal.workflow_version"
		" set definition = $2, program = $3 where version_id = $1",
		3,
		{INT4OID, JSONBOID, JSONBOID}};
	uint64		   n = ma_sql_exec(&versions, NULL, NULL, 0);
	SPITupleTable *found = SPI_tuptable;

	for (uint64 i = 0; i < n; i++)
	{
		Datum  values[3];
		Jsonb *definition;
		bool   isnull;

		for (int column = 1; column <= 3; column++)
			values[column - 1] =
				SPI_getbinval(found->vals[i], found->tupdesc, column, &isnull);
		definition = ma_workflow_rename(DatumGetJsonbP(values[1]), rename);
		if (definition == NULL)
			continue;
		values[1] = JsonbPGetDatum(definition);
		values[2] = JsonbPGetDatum(
			ma_workflow_rename_program(DatumGetJsonbP(values[2]), rename));
		ma_sql_exec(&stmt, values, NULL, 0);
	}
}

/*
 * Gives something its new name by a statement, and has everybody follow. The
 * caller has locked the definitions, and checked that nothing of its sort has
 * the new name.
 */
void
ma_use_rename(const MaRename *rename, MaStatement *stmt, Datum *values)
{
	MaRenaming *renaming;
	MaSqlScope	scope;

	if (strcmp(rename->old_name, rename->new_name) == 0)
		return;
	check_snapshot();
	check_meant(rename);
	ma_sql_begin(&scope);
	ma_template_lock();
	lock_writers(rename);
	check_present(rename);
	renaming = ma_definition_rename_begin(rename);
	ma_sql_exec(stmt, values, NULL, 0);
	ma_definition_rename_end(renaming);
	/* before the workflows that send them */
	ma_template_rename_all(rename);
	ma_use_rename_workflows(rename);
	if (rename->what == MA_NAMED_KIND)
		rename_event_sources(rename);
	if (rename->what == MA_NAMED_ATTRIBUTE)
		rename_contact_sources(rename);
	rename_told(rename);
	rename_values(rename);
	ma_sql_end(&scope);
}

/* rename_template(name, new_name) */
Datum
mautomate_rename_template(PG_FUNCTION_ARGS)
{
	static MaStatement stmt = {
		"update mautomate_internal.template set name = $2"
		" where template_id = $1 and not exists ("
		"  select from mautomate_internal.template"
		"  where name = $2 and not dropped)",
		2,
		{INT4OID, TEXTOID}};
	MaRename rename = {MA_NAMED_TEMPLATE, ma_argument_text(fcinfo, 0, "name"),
					   ma_argument_name(fcinfo, 1, "new_name")};
	Datum	 values[2];
	MaSqlScope scope;

	check_snapshot();
	ma_definition_lock();
	ma_template_lock();
	values[0] = Int32GetDatum(ma_template_named(rename.old_name));
	values[1] = CStringGetTextDatum(rename.new_name);
	if (strcmp(rename.old_name, rename.new_name) == 0)
		PG_RETURN_VOID();
	ma_sql_begin(&scope);
	/* workflows follow by a trigger */
	if (ma_sql_exec(&stmt, values, NULL, 0) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("template \"%s\" already exists", rename.new_name)));
	ma_template_rename_all(&rename);
	ma_sql_end(&scope);
	PG_RETURN_VOID();
}
