/*
 * kind_name.c
 *	  Dropping and renaming declared attributes and kinds of events.
 *
 * What uses one by name (view name_user) has to let go of it first: neither
 * is done behind its back. Only sources follow a renamed kind. What is renamed or dropped then is used by nobody,
 * so it happens under the rule of silence and changes no list and no score.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "argument.h"
#include "attribute.h"
#include "definition.h"
#include "event.h"
#include "refresh.h"
#include "sql.h"

PG_FUNCTION_INFO_V1(mautomate_drop_attribute);
PG_FUNCTION_INFO_V1(mautomate_rename_attribute);
PG_FUNCTION_INFO_V1(mautomate_drop_event);
PG_FUNCTION_INFO_V1(mautomate_rename_event);

static void check_unused(const char *object, const char *name,
						 bool sources_follow);
static void change_declared(MaStatement *stmt, Datum *values,
							const char *noun);
static void change_silently(MaStatement *stmt, Datum *values);
static void check_new_name(MaStatement *stmt, Datum *values, const char *noun);

/* drop_attribute(name, keep_values) */
Datum
mautomate_drop_attribute(PG_FUNCTION_ARGS)
{
	static MaStatement declaration = {
		"delete from mautomate_internal.attribute where attribute = $1",
		1,
		{TEXTOID}};
	static MaStatement contacts = {
		"update mautomate.contact set attributes = attributes - $1"
		" where attributes ? $1",
		1,
		{TEXTOID}};
	char *name = ma_argument_text(fcinfo, 0, "name");
	Datum value = CStringGetTextDatum(name);

	ma_definition_lock();
	check_unused("attribute", name, false);
	change_declared(&declaration, &value, "attribute");
	if (PG_ARGISNULL(1) || !PG_GETARG_BOOL(1))
		change_silently(&contacts, &value);
	PG_RETURN_VOID();
}

/* rename_attribute(name, new_name) */
Datum
mautomate_rename_attribute(PG_FUNCTION_ARGS)
{
	static MaStatement taken = {"select from mautomate_internal.attribute"
								" where attribute = $2 and $1 <> $2",
								2,
								{TEXTOID, TEXTOID}};
	static MaStatement declaration = {
		"update mautomate_internal.attribute set attribute = $2"
		" where attribute = $1",
		2,
		{TEXTOID, TEXTOID}};
	static MaStatement contacts = {
		"update mautomate.contact set attributes = (attributes - $1)"
		" || jsonb_build_object($2, attributes -> $1) where attributes ? $1",
		2,
		{TEXTOID, TEXTOID}};
	char *name = ma_argument_text(fcinfo, 0, "name");
	char *new_name = ma_argument_text(fcinfo, 1, "new_name");
	Datum values[2] = {CStringGetTextDatum(name),
					   CStringGetTextDatum(new_name)};

	ma_attribute_check_name(new_name);
	ma_definition_lock();
	check_unused("attribute", name, false);
	check_new_name(&taken, values, "attribute");
	change_declared(&declaration, values, "attribute");
	change_silently(&contacts, values);
	PG_RETURN_VOID();
}

/* drop_event(kind) */
Datum
mautomate_drop_event(PG_FUNCTION_ARGS)
{
	static MaStatement declaration = {
		"delete from mautomate_internal.event_kind where kind = $1",
		1,
		{TEXTOID}};
	char *kind = ma_argument_text(fcinfo, 0, "kind");
	Datum value = CStringGetTextDatum(kind);

	ma_definition_lock();
	check_unused("event", kind, false);
	change_declared(&declaration, &value, "event kind");
	PG_RETURN_VOID();
}

/* rename_event(kind, new_kind) */
Datum
mautomate_rename_event(PG_FUNCTION_ARGS)
{
	static MaStatement taken = {"select from mautomate_internal.event_kind"
								" where kind = $2 and $1 <> $2",
								2,
								{TEXTOID, TEXTOID}};
	static MaStatement declaration = {
		"update mautomate_internal.event_kind set kind = $2 where kind = $1",
		2,
		{TEXTOID, TEXTOID}};
	/* its name too, where that ends with the kind; not the keys of its rows */
	static MaStatement sources = {
		"update mautomate_internal.source s set kind = $2,"
		" source = coalesce((select n.name from (select"
		" left(s.source, length(s.source) - length($1)) || $2 as name) n"
		" where right(s.source, length($1) + 1) = '.' || $1"
		" and not exists (select from mautomate_internal.source o"
		" where o.source = n.name)), s.source) where kind = $1",
		2,
		{TEXTOID, TEXTOID}};
	static MaStatement events = {
		"update mautomate.event set kind = $2 where kind = $1",
		2,
		{TEXTOID, TEXTOID}};
	char *kind = ma_argument_text(fcinfo, 0, "kind");
	char *new_kind = ma_argument_text(fcinfo, 1, "new_kind");
	Datum values[2] = {CStringGetTextDatum(kind),
					   CStringGetTextDatum(new_kind)};

	ma_event_check_kind(new_kind);
	ma_definition_lock();
	check_unused("event", kind, true);
	check_new_name(&taken, values, "event kind");
	change_declared(&declaration, values, "event kind");
	change_silently(&sources, values);
	change_silently(&events, values);
	PG_RETURN_VOID();
}

/*
 * Refuses to touch what somebody names, naming them; sources do not count
 * where they follow.
 */
static void
check_unused(const char *object, const char *name, bool sources_follow)
{
	static MaStatement stmt = {
		"select string_agg(users, ', ' order by users)"
		" from mautomate_internal.name_user where object = $1 and name = $2"
		" and (not $3 or users not like 'source \"%')",
		3,
		{TEXTOID, TEXTOID, BOOLOID}};
	Datum values[3] = {CStringGetTextDatum(object), CStringGetTextDatum(name),
					   BoolGetDatum(sources_follow)};
	MaSqlScope scope;
	char	  *users;

	ma_sql_begin(&scope);
	ma_sql_exec(&stmt, values, NULL, 1);
	users = ma_sql_text(0, 1);
	if (users != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
				 errmsg("%s \"%s\" is in use",
						strcmp(object, "event") == 0 ? "event kind" : object,
						name),
				 errdetail("It is used by %s.", users),
				 errhint("Drop or change these first.")));
	ma_sql_end(&scope);
}

/* Drops or renames a declaration, which has to be there. */
static void
change_declared(MaStatement *stmt, Datum *values, const char *noun)
{
	MaSqlScope scope;

	ma_sql_begin(&scope);
	if (ma_sql_exec(stmt, values, NULL, 0) == 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("%s \"%s\" is not declared", noun,
							   TextDatumGetCString(values[0]))));
	ma_sql_end(&scope);
}

/* Refuses a new name that another declaration has. */
static void
check_new_name(MaStatement *stmt, Datum *values, const char *noun)
{
	MaSqlScope scope;

	ma_sql_begin(&scope);
	if (ma_sql_exec(stmt, values, NULL, 1) > 0)
		ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT),
						errmsg("%s \"%s\" already exists", noun,
							   TextDatumGetCString(values[1]))));
	ma_sql_end(&scope);
}

/*
 * Changes contacts or events under the rule of silence, which lasts as long
 * as the subtransaction in here.
 */
static void
change_silently(MaStatement *stmt, Datum *values)
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	MaSqlScope	  scope;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(caller);
	ma_refresh_silence();
	ma_sql_begin(&scope);
	ma_sql_exec(stmt, values, NULL, 0);
	ma_sql_end(&scope);
	ReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = owner;
}
