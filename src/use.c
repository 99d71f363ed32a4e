/*
 * use.c
 *	  Who uses lists and scores in expressions: dropping and renaming them.
 *
 * The caller has locked the definitions (ma_definition_lock()).
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "utils/builtins.h"

#include "definition.h"
#include "sql.h"
#include "use.h"

/* How expressions name each. */
static const struct
{
	const char *noun;
	MaSlotKind	slot;
	MaSlotKind	other; /* or this one */
} uses[] = {
	[MA_USE_LIST] = {"list", MA_SLOT_IN_LIST, MA_SLOT_IN_LIST},
	[MA_USE_SCORE] = {"score", MA_SLOT_SCORE, MA_SLOT_TIER},
};

/*
 * Who uses an object by name, as "list "a", score "b""; NULL if nobody does.
 */
static char *
users_of(MaUse use, const char *name)
{
	static MaStatement stmt = {"select string_agg(users, ', ' order by users)"
							   " from mautomate_internal.object_user"
							   " where object = $1 and name = $2",
							   2,
							   {TEXTOID, TEXTOID}};
	MaSqlScope		   scope;
	Datum			   values[2];
	char			  *users;

	values[0] = CStringGetTextDatum(uses[use].noun);
	values[1] = CStringGetTextDatum(name);
	ma_sql_begin(&scope);
	ma_sql_exec(&stmt, values, NULL, 1);
	users = ma_sql_text(0, 1);
	if (users != NULL)
		users = MemoryContextStrdup(scope.cxt, users);
	ma_sql_end(&scope);
	return users;
}

/* Refuses to drop what somebody uses, naming them. */
void
ma_use_check_drop(MaUse use, const char *name)
{
	char *users = users_of(use, name);

	if (users != NULL)
		ereport(ERROR, (errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
						errmsg("%s \"%s\" is in use", uses[use].noun, name),
						errdetail("It is used by %s.", users),
						errhint("Drop or change these first.")));
}

/*
 * Rewrites whatever uses an object to its new name: expressions, and the
 * documents of workflows. What counts its events has to go first, since the
 * log keeps the name they had.
 */
void
ma_use_rename(MaUse use, int id, const char *name, const char *new_name)
{
	static MaStatement stmts[] = {
		/* a pair of a document is found by its quotes */
		[MA_USE_LIST] =
			{"update mautomate_internal.workflow_version v set"
			 " definition = replace(replace(replace(definition::text,"
			 " '\"list\": ' || n.old, '\"list\": ' || n.new),"
			 " '\"add_to_list\": ' || n.old, '\"add_to_list\": ' || n.new),"
			 " '\"remove_from_list\": ' || n.old,"
			 " '\"remove_from_list\": ' || n.new)::jsonb,"
			 " program = replace(program::text, '\"list\": ' || n.old,"
			 " '\"list\": ' || n.new)::jsonb"
			 " from (select to_jsonb($2)::text as old,"
			 " to_jsonb($3)::text as new) n where $1 = any (v.lists)",
			 3,
			 {INT4OID, TEXTOID, TEXTOID}},
		[MA_USE_SCORE] =
			{"update mautomate_internal.workflow_version v set"
			 " definition = replace(definition::text,"
			 " '\"score\": ' || n.old, '\"score\": ' || n.new)::jsonb,"
			 " program = replace(program::text, '\"score\": ' || n.old,"
			 " '\"score\": ' || n.new)::jsonb"
			 " from (select to_jsonb($2)::text as old,"
			 " to_jsonb($3)::text as new) n where $1 = any (v.scores)",
			 3,
			 {INT4OID, TEXTOID, TEXTOID}},
	};
	Datum	   values[3] = {Int32GetDatum(id), CStringGetTextDatum(name),
							CStringGetTextDatum(new_name)};
	MaSqlScope scope;

	if (ma_definition_counts(uses[use].noun, name))
		ereport(ERROR, (errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
						errmsg("events of %s \"%s\" are counted by its name",
							   uses[use].noun, name),
						errdetail("Those that happened keep the name it had."),
						errhint("Drop or change first what counts them: "
								"filter (where event.%s = %s).",
								uses[use].noun, quote_literal_cstr(name))));
	ma_definition_rename(uses[use].slot, uses[use].other, name, new_name);
	ma_sql_begin(&scope);
	ma_sql_exec(&stmts[use], values, NULL, 0);
	ma_sql_end(&scope);
}
