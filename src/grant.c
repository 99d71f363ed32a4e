/*
 * grant.c
 *	  Who may do what: levels of access, granted to roles.
 *
 * Nothing of mautomate is public. The view mautomate_internal.access lists
 * the functions of each level; a level is granted as ordinary privileges, so
 * \dp and REVOKE work as for anything else.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"

#include "argument.h"
#include "sql.h"

PG_FUNCTION_INFO_V1(mautomate_grant_access);

/* A level, and the levels whose functions it has; NULL ends them. */
typedef struct Level
{
	const char *name;
	const char *has[4];
	bool		writes_events; /* may insert into mautomate.event */
	bool		reads_all;	   /* may read every table and view */
	bool		calls_all;	   /* may call every function */
} Level;

static const Level levels[] = {
	{"app", {"app"}, true, false, false},
	{"analyst", {"analyst"}, false, true, false},
	{"marketer", {"app", "analyst", "marketer"}, true, true, false},
	{"admin", {NULL}, true, true, true},
};

static const Level *
find_level(const char *name)
{
	for (int i = 0; i < lengthof(levels); i++)
		if (strcmp(levels[i].name, name) == 0)
			return &levels[i];
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("level \"%s\" does not exist", name),
					errhint("Levels are app, analyst, marketer and admin.")));
}

/* Runs one GRANT ... TO role. */
static void
grant_to(const char *role, const char *what)
{
	char *command = psprintf("grant %s to %s", what, role);

	if (SPI_execute(command, false, 0) != SPI_OK_UTILITY)
		elog(ERROR, "could not execute \"%s\"", command);
}

/* Lets the role call the functions of a level. */
static void
grant_functions(const char *role, const char *level)
{
	static MaStatement stmt = {
		"select p.oid::regprocedure::text from pg_proc p"
		" join mautomate_internal.access a on a.name = p.proname"
		" where p.pronamespace = 'mautomate'::regnamespace and a.level = $1",
		1,
		{TEXTOID}};
	Datum  value = CStringGetTextDatum(level);
	uint64 n = ma_sql_exec(&stmt, &value, NULL, 0);
	char **names = palloc((n + 1) * sizeof(char *));

	for (uint64 i = 0; i < n; i++)
		names[i] = ma_sql_text(i, 1);
	for (uint64 i = 0; i < n; i++)
		grant_to(role, psprintf("execute on function %s", names[i]));
}

/* Lets the role read tables and views. */
static void
grant_reading(const char *role, const Level *level)
{
	if (level->writes_events)
	{
		grant_to(role, "insert on mautomate.event");
		grant_to(role, "usage on sequence mautomate.event_event_id_seq");
		grant_to(role, "select (contact_id, external_id)"
					   " on mautomate.contact");
	}
	if (!level->reads_all)
		return;
	grant_to(role, "select on all tables in schema mautomate");
	/* a view's functions are called by its reader */
	grant_to(role, "execute on function"
				   " mautomate_internal.state_scores(bytea),"
				   " mautomate_internal.name_uses(),"
				   " mautomate_internal.warm_up_limit(jsonb, int),"
				   " mautomate_internal.today()");
}

/* grant_access(role, level) */
Datum
mautomate_grant_access(PG_FUNCTION_ARGS)
{
	Oid			 role = PG_GETARG_OID(0);
	const Level *level = find_level(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	const char	*name;
	MaSqlScope	 scope;

	if (!superuser() && !has_privs_of_role(GetUserId(), ma_owner()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be superuser or member of mautomate_owner to "
						"grant access")));
	name = quote_identifier(GetUserNameFromId(role, false));
	ma_sql_begin(&scope);
	grant_to(name, "usage on schema mautomate");
	for (int i = 0; level->has[i] != NULL; i++)
		grant_functions(name, level->has[i]);
	if (level->calls_all)
		grant_to(name, "execute on all routines in schema mautomate");
	grant_reading(name, level);
	ma_sql_end(&scope);
	PG_RETURN_VOID();
}
