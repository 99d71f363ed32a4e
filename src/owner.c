/*
 * owner.c
 *	  All of mautomate belongs to one role, mautomate_owner.
 *
 * It does not log in, is no superuser, and is never dropped by us.
 * The engine is whoever owns its schema (ma_owner()), so it goes on after
 * REASSIGN OWNED BY mautomate_owner; but with the rights of the new owner,
 * who may be a superuser, and owns other things. Here is the way back.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/guc.h"

PG_FUNCTION_INFO_V1(mautomate_reset_owner);

/* The commands that give it all to the role, which is created where absent. */
static const char commands[] =
	"select 'create role mautomate_owner nologin' where not exists ("
	" select from pg_roles where rolname = 'mautomate_owner')"
	" union all"
	" select format('alter %s %s owner to mautomate_owner',"
	" case c.relkind when 'v' then 'view' when 'S' then 'sequence'"
	" else 'table' end, c.oid::regclass) from pg_class c"
	" where c.relnamespace in ('mautomate'::regnamespace,"
	" 'mautomate_internal'::regnamespace) and (c.relkind in ('r', 'v')"
	" or c.relkind = 'S' and not exists (select from pg_depend d"
	" where d.classid = 'pg_class'::regclass and d.objid = c.oid"
	" and d.deptype in ('a', 'i') and d.refobjsubid > 0))"
	" union all"
	" select format('alter routine %s owner to mautomate_owner',"
	" p.oid::regprocedure) from pg_proc p"
	" where p.pronamespace in ('mautomate'::regnamespace,"
	" 'mautomate_internal'::regnamespace)"
	" union all"
	" select format('alter schema %s owner to mautomate_owner', name)"
	" from unnest('{mautomate,mautomate_internal}'::text[]) name";

/* Runs the commands as the caller. */
static void
run_commands(void)
{
	SPITupleTable *found;
	uint64		   n;

	if (SPI_execute(commands, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not list what belongs to mautomate");
	found = SPI_tuptable;
	n = SPI_processed;
	for (uint64 i = 0; i < n; i++)
	{
		char *command = SPI_getvalue(found->vals[i], found->tupdesc, 1);

		if (SPI_execute(command, false, 0) != SPI_OK_UTILITY)
			elog(ERROR, "could not execute \"%s\"", command);
	}
}

/* reset_owner() */
Datum
mautomate_reset_owner(PG_FUNCTION_ARGS)
{
	int guc_level;

	if (!superuser())
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("must be superuser to reset the owner")));
	guc_level = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	run_commands();
	SPI_finish();
	AtEOXact_GUC(false, guc_level);
	PG_RETURN_VOID();
}
