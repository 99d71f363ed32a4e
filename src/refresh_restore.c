/*
 * refresh_restore.c
 *	  Contacts and events that pg_restore loads.
 *
 * A parallel restore loads the tables of an extension in any order: events
 * before their contacts, both before lists and what was decided by hand. So
 * nothing is folded, and nobody is missed, until all of it is there: the
 * contacts are marked, and the next sweep folds them from the log.
 */
#include "postgres.h"

#include "commands/trigger.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/rel.h"
#include "utils/rls.h"

#include "refresh_private.h"
#include "sql.h"
#include "wake.h"

/*
 * Does pg_restore, or psql with a dump, write? It sets both, and so may
 * anybody: who does not own the table does not restore it, nor does a function
 * that became another user, as ours do.
 */
bool
ma_restore_is_under_way(const TriggerData *trigdata)
{
	return !check_function_bodies && !row_security && !InLocalUserIdChange() &&
		   has_privs_of_role(GetUserId(),
							 trigdata->tg_relation->rd_rel->relowner);
}

/* Marks the contacts of inserted contacts or (events) events. */
void
ma_restore_note(TriggerData *trigdata, bool events)
{
	/* one for each type of rows: the plans are kept */
	static MaStatement stmts[] = {
		{"insert into mautomate_internal.dirty (contact_id, rebuild)"
		 " select contact_id, true from new_rows",
		 0},
		{"insert into mautomate_internal.dirty (contact_id, rebuild)"
		 " select distinct contact_id, true from new_rows",
		 0},
	};
	MaSqlScope scope;

	ma_sql_begin(&scope);
	if (SPI_register_trigger_data(trigdata) != SPI_OK_TD_REGISTER)
		elog(ERROR, "could not register the rows of a statement");
	ma_sql_exec(&stmts[events ? 1 : 0], NULL, NULL, 0);
	ma_sql_end(&scope);
	ma_wake_scheduler_at_commit();
}
