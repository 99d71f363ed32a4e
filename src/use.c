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
users_of(MaUse use, const char *name, bool workflows_only)
{
	static MaStatement stmt = {
		"select string_agg(u.users, ', ' order by u.users)"
		" from mautomate_internal.predicate_user u"
		" where u.predicate_id = any ($1)"
		" and (not $2 or u.users like 'workflow %')",
		2,
		{INT4ARRAYOID, BOOLOID}};
	MaSqlScope scope;
	Datum	   values[2];
	char	  *users;

	values[0] = ma_definition_users(ma_definitions(), uses[use].slot,
									uses[use].other, name);
	values[1] = BoolGetDatum(workflows_only);
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
	char *users = users_of(use, name, false);

	if (users != NULL)
		ereport(ERROR, (errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
						errmsg("%s \"%s\" is in use", uses[use].noun, name),
						errdetail("It is used by %s.", users),
						errhint("Drop or change these first.")));
}

/*
 * Rewrites the expressions that use an object to its new name. A version of a
 * workflow never changes, so where one uses it the renaming is refused.
 */
void
ma_use_rename(MaUse use, const char *name, const char *new_name)
{
	char *users = users_of(use, name, true);

	if (users != NULL)
		ereport(
			ERROR,
			(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
			 errmsg("%s \"%s\" is used by workflows", uses[use].noun, name),
			 errdetail("It is used by %s.", users),
			 errhint("A version of a workflow never changes: create "
					 "versions without it first.")));
	ma_definition_rename(uses[use].slot, uses[use].other, name, new_name);
}
