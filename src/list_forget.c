/*
 * list_forget.c
 *	  The history of lists that were dropped, cleared away in the background.
 *
 * The history of memberships has no index by list: each change would pay for
 * it. To find what there is of one list, all of it has to be read, so that
 * drop_list() only notes the number, which is never given again, and the
 * sweep reads the table piece by piece, for all such lists at once. A list
 * that was dropped later begins at the front, and goes on together with those
 * it has caught up with.
 *
 * It begins when all who may not know that the list is gone have ended
 * (horizon.c): what they wrote is among what it clears away. Where the table
 * was rewritten meanwhile its rows are elsewhere, and it begins anew. Rows
 * that somebody else holds are not waited for; their piece is read again.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "horizon.h"
#include "list.h"
#include "sql.h"

/* The lists that are next, and where: numbers, from, to, end of the table. */
static MaStatement take = {
	"select array(select d.list_id from mautomate_internal.list_dropped d"
	" where d.wait_for < $1 and d.swept_to = n.first"
	" order by 1 for update skip locked), n.first,"
	" least(n.first + $2, n.second, n.size), n.size"
	" from (select min(swept_to) as first,"
	" (select min(o.swept_to) from mautomate_internal.list_dropped o"
	" where o.wait_for < $1 and o.swept_to > (select min(swept_to)"
	" from mautomate_internal.list_dropped where wait_for < $1)) as second,"
	" pg_relation_size('mautomate_internal.list_change')"
	" / current_setting('block_size')::bigint as size"
	" from mautomate_internal.list_dropped where wait_for < $1) n"
	" where n.first is not null",
	2,
	{XID8OID, INT8OID}};

/*
 * Clears a piece of the table; returns how many rows it had to leave. $1:
 * numbers; pages from $2 and before $3.
 */
static MaStatement clear = {
	"with mine as materialized (select ctid"
	" from mautomate_internal.list_change"
	" where ctid >= format('(%s,0)', $2)::tid"
	" and ctid < format('(%s,0)', $3)::tid"
	" and list_id = any ($1) for update skip locked),"
	" gone as (delete from mautomate_internal.list_change"
	" where ctid = any (array(select ctid from mine)))"
	" select (select count(*) from mautomate_internal.list_change"
	" where ctid >= format('(%s,0)', $2)::tid"
	" and ctid < format('(%s,0)', $3)::tid"
	" and list_id = any ($1)) - (select count(*) from mine)",
	3,
	{INT4ARRAYOID, INT8OID, INT8OID}};

/*
 * The last piece is cleared, and so is the list; who did not know may have
 * written members, too. $1: numbers.
 */
static MaStatement finish = {
	"with mine as materialized (select ctid"
	" from mautomate_internal.list_member where list_id = any ($1)"
	" for update skip locked),"
	" gone as (delete from mautomate_internal.list_member"
	" where ctid = any (array(select ctid from mine)))"
	" delete from mautomate_internal.list_dropped"
	" where list_id = any ($1) and (select count(*) from mine) ="
	" (select count(*) from mautomate_internal.list_member"
	" where list_id = any ($1))",
	1,
	{INT4ARRAYOID}};

/* Clears the next piece, at most so many pages. */
static void
clear_piece(int max)
{
	static MaStatement moved = {
		"update mautomate_internal.list_dropped set swept_to = $3"
		" where list_id = any ($1) and swept_to = $2",
		3,
		{INT4ARRAYOID, INT8OID, INT8OID}};
	Datum values[3];
	bool  isnull;
	bool  ends;

	values[0] = ma_horizon_oldest();
	values[1] = Int64GetDatum(max);
	if (ma_sql_exec(&take, values, NULL, 1) == 0)
		return;
	for (int i = 0; i < lengthof(values); i++)
		values[i] = ma_sql_datum(0, i + 1, &isnull);
	ends = values[2] == ma_sql_datum(0, 4, &isnull);
	ma_sql_exec(&clear, values, NULL, 1);
	if (DatumGetInt64(ma_sql_datum(0, 1, &isnull)) == 0)
		ma_sql_exec(ends ? &finish : &moved, values, NULL, 0);
}

/* Clears about so many pages of the history of lists that were dropped. */
void
ma_list_forget(int max)
{
	static MaStatement look = {"select from mautomate_internal.list_dropped",
							   0};
	static MaStatement begin = {
		"update mautomate_internal.list_dropped"
		" set wait_for = coalesce(wait_for, pg_current_xact_id()),"
		" swept_to = 0, file ="
		" pg_relation_filenode('mautomate_internal.list_change')"
		" where ctid = any (array(select ctid"
		" from mautomate_internal.list_dropped where file is distinct from"
		" pg_relation_filenode('mautomate_internal.list_change')"
		" for update skip locked))",
		0};
	MaSqlScope scope;

	ma_sql_begin(&scope);
	if (ma_sql_exec(&look, NULL, NULL, 1) > 0)
	{
		ma_sql_exec(&begin, NULL, NULL, 0);
		clear_piece(max);
	}
	ma_sql_end(&scope);
}

/*
 * When to go on: at once while there are pages to read, soon where others
 * have to end first, else never.
 */
TimestampTz
ma_list_forget_due(void)
{
	static MaStatement stmt = {
		"select bool_or(wait_for < $1) from mautomate_internal.list_dropped"
		" having count(*) > 0",
		1,
		{XID8OID}};
	Datum oldest;
	Datum ready;

	oldest = ma_horizon_oldest();
	if (!ma_sql_one(&stmt, &oldest, &ready))
		return DT_NOEND;
	return DatumGetBool(ready) ? DT_NOBEGIN : ma_now() + USECS_PER_SEC;
}
