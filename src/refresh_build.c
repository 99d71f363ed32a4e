/*
 * refresh_build.c
 *	  Build lists while others write.
 *
 * create_list(..., wait => false) stores the list as building and commits.
 * Whoever writes from then on knows it and keeps it up for the contacts it
 * touches. A transaction that had begun to write before may not know it; so
 * everybody is folded anew once all transactions that got their number before
 * the one that first saw the list have ended: that is tested, not waited for. Then every
 * state has been folded by somebody who knows the list, and it is ready. A
 * crash in between loses nothing: marks and states are ordinary rows.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"

#include "refresh_private.h"
#include "sql.h"

/*
 * Begins the sweep for lists whose older transactions have all ended. Returns
 * how many lists went a step further.
 */
int
ma_build_begin(void)
{
	static MaStatement look = {
		"select from mautomate_internal.list where state = 'building'", 0};
	static MaStatement stmts[] = {
		{"with known as (update mautomate_internal.list"
		 " set state = 'sweeping', started_at = clock_timestamp()"
		 " where state = 'building'"
		 " and wait_for <= pg_snapshot_xmin(pg_current_snapshot())"
		 " returning list_id)"
		 " insert into mautomate_internal.dirty (contact_id, rebuild)"
		 " select contact_id, true from mautomate.contact"
		 " where merged_into is null and exists (select from known)",
		 0},
		{"update mautomate_internal.list"
		 " set wait_for = pg_current_xact_id()"
		 " where state = 'building' and wait_for is null",
		 0},
	};
	MaSqlScope scope;
	int		   steps = 0;

	ma_sql_begin(&scope);
	if (ma_sql_exec(&look, NULL, NULL, 1) > 0 && ma_definition_try_lock())
		for (int i = 0; i < lengthof(stmts); i++)
			steps += ma_sql_exec(&stmts[i], NULL, NULL, 0) > 0;
	ma_sql_end(&scope);
	return steps;
}

/* Lists for which everybody has been folded anew are ready. */
void
ma_build_end(void)
{
	static MaStatement look = {
		"select from mautomate_internal.list where state = 'sweeping'"
		" and not exists (select from mautomate_internal.dirty"
		" where rebuild)",
		0};
	static MaStatement end = {
		"update mautomate_internal.list"
		" set state = 'ready', built_at = mautomate.clock()"
		" where state = 'sweeping'",
		0};
	MaSqlScope scope;

	ma_sql_begin(&scope);
	if (ma_sql_exec(&look, NULL, NULL, 1) > 0 && ma_definition_try_lock())
		ma_sql_exec(&end, NULL, NULL, 0);
	ma_sql_end(&scope);
}
