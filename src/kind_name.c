/*
 * kind_name.c
 *	  Dropping and renaming declared attributes and kinds of events.
 *
 * What uses one by name (view name_user) has to let go of it before it is
 * dropped, and follows when it is renamed (use_rename.c). What is dropped is
 * used by nobody, so its values go under the rule of silence and change no
 * list and no score.
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
#include "use.h"

PG_FUNCTION_INFO_V1(mautomate_drop_attribute);
PG_FUNCTION_INFO_V1(mautomate_rename_attribute);
PG_FUNCTION_INFO_V1(mautomate_drop_event);
PG_FUNCTION_INFO_V1(mautomate_rename_event);

static void rename_declared(const MaRename *rename, MaStatement *known,
							MaStatement *stmt, const char *noun);
static void refuse_undeclared(const char *noun, const char *name);
static void drop_declared(MaStatement *stmt, Datum name, const char *noun);
static void change_silently(MaStatement *stmt, Datum *values);

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
	ma_use_check_drop("attribute", name);
	drop_declared(&declaration, value, "attribute");
	if (PG_ARGISNULL(1) || !PG_GETARG_BOOL(1))
		change_silently(&contacts, &value);
	PG_RETURN_VOID();
}

/* rename_attribute(name, new_name) */
Datum
mautomate_rename_attribute(PG_FUNCTION_ARGS)
{
	static MaStatement known = {"select from mautomate_internal.attribute"
								" where attribute = $1",
								1,
								{TEXTOID}};
	static MaStatement stmt = {
		"update mautomate_internal.attribute set attribute = $2"
		" where attribute = $1",
		2,
		{TEXTOID, TEXTOID}};
	MaRename rename = {MA_NAMED_ATTRIBUTE, ma_argument_text(fcinfo, 0, "name"),
					   ma_argument_text(fcinfo, 1, "new_name")};

	ma_attribute_check_name(rename.new_name);
	rename_declared(&rename, &known, &stmt, "attribute");
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
	ma_use_check_drop("event", kind);
	drop_declared(&declaration, value, "event kind");
	PG_RETURN_VOID();
}

/* rename_event(kind, new_kind) */
Datum
mautomate_rename_event(PG_FUNCTION_ARGS)
{
	static MaStatement known = {
		"select from mautomate_internal.event_kind where kind = $1",
		1,
		{TEXTOID}};
	static MaStatement stmt = {
		"update mautomate_internal.event_kind set kind = $2 where kind = $1",
		2,
		{TEXTOID, TEXTOID}};
	MaRename rename = {MA_NAMED_KIND, ma_argument_text(fcinfo, 0, "kind"),
					   ma_argument_text(fcinfo, 1, "new_kind")};

	ma_event_check_kind(rename.new_name);
	rename_declared(&rename, &known, &stmt, "event kind");
	PG_RETURN_VOID();
}

/* Renames what has to be declared to what is not. */
static void
rename_declared(const MaRename *rename, MaStatement *known, MaStatement *stmt,
				const char *noun)
{
	Datum values[2] = {CStringGetTextDatum(rename->old_name),
					   CStringGetTextDatum(rename->new_name)};

	ma_definition_lock();
	if (!ma_sql_one(known, &values[0], NULL))
		refuse_undeclared(noun, rename->old_name);
	if (strcmp(rename->old_name, rename->new_name) != 0 &&
		ma_sql_one(known, &values[1], NULL))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("%s \"%s\" already exists", noun, rename->new_name)));
	ma_use_rename(rename, stmt, values);
}

/* Raises that nothing is declared under a name. */
static void
refuse_undeclared(const char *noun, const char *name)
{
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
					errmsg("%s \"%s\" is not declared", noun, name),
					errhint("define_event() and define_attribute() declare "
							"what is in use.")));
}

/* Drops a declaration, which has to be there. */
static void
drop_declared(MaStatement *stmt, Datum name, const char *noun)
{
	MaSqlScope scope;

	ma_sql_begin(&scope);
	if (ma_sql_exec(stmt, &name, NULL, 0) == 0)
		refuse_undeclared(noun, TextDatumGetCString(name));
	ma_sql_end(&scope);
}

/*
 * Changes contacts under the rule of silence, which lasts as long
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
