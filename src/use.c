/*
 * use.c
 *	  Who uses things by their names.
 *
 * The caller has locked the definitions (ma_definition_lock()).
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "utils/builtins.h"

#include "sql.h"
#include "use.h"

/*
 * Who uses an object by name, as "list "a", score "b""; NULL if nobody does.
 */
char *
ma_use_users(const char *object, const char *name)
{
	static MaStatement stmt = {"select string_agg(users, ', ' order by users)"
							   " from mautomate_internal.name_user"
							   " where object = $1 and name = $2",
							   2,
							   {TEXTOID, TEXTOID}};
	MaSqlScope		   scope;
	Datum			   values[2];
	char			  *users;

	values[0] = CStringGetTextDatum(object);
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
ma_use_check_drop(const char *object, const char *name)
{
	char *users = ma_use_users(object, name);

	if (users != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
				 errmsg("%s \"%s\" is in use",
						strcmp(object, "event") == 0 ? "event kind" : object,
						name),
				 errdetail("It is used by %s.", users),
				 errhint("Drop or change these first.")));
}

/* Deletes what there is of a thing, by its number. */
void
ma_use_drop(Datum id, MaStatement *stmts, int n)
{
	MaSqlScope scope;

	ma_sql_begin(&scope);
	for (int i = 0; i < n; i++)
		ma_sql_exec(&stmts[i], &id, NULL, 0);
	ma_sql_end(&scope);
}
