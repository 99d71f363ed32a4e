/*
 * refresh_build.c
 *	  The sweep: everybody's state gets to know new lists.
 *
 * create_list(..., wait => false) stores the list as building and commits.
 * Whoever writes from then on knows it and keeps it up for the contacts it
 * touches. A transaction that had begun to write before may not know it; so
 * everybody is folded anew once all transactions that got their number before
 * the one that first saw the list have ended: that is tested, not waited for.
 * Then the list gets a new generation, every state is older than that, and
 * the list is ready when none is. States that follow a list which a query has
 * filled (refresh_follow.c) are swept likewise, but fold only what they lack.
 * So are all where mautomate.timezone is another one than before, since what
 * states keep depends on it: these are folded anew.
 *
 * The generation in the state is all there is to remember, so a crash loses
 * nothing. Contacts that others hold are passed over; they are found again.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "horizon.h"
#include "refresh_private.h"
#include "sql.h"

/* Contacts the sweep takes at a time. */
#define CHUNK 1000

/* How far this backend has come; behind it may be some who were passed over. */
static int64 position = PG_INT64_MIN;

/*
 * Begins the sweep for lists whose older transactions have all ended. Returns
 * how many lists went a step further.
 */
int
ma_build_begin(void)
{
	static MaStatement look = {
		"select from mautomate_internal.list where state = 'building'", 0};
	static MaStatement wait = {
		"update mautomate_internal.list"
		" set wait_for = pg_current_xact_id()"
		" where state = 'building' and wait_for is null",
		0};
	static MaStatement ready = {
		"select from mautomate_internal.list where state = 'building'"
		" and (wait_for <= pg_snapshot_xmin(pg_current_snapshot())"
		" or wait_for >= $1)",
		1,
		{XID8OID}};
	static MaStatement sweep = {
		"update mautomate_internal.list set state = 'sweeping',"
		" generation = $1, started_at = clock_timestamp()"
		" where state = 'building'"
		" and (wait_for <= pg_snapshot_xmin(pg_current_snapshot())"
		" or wait_for >= $2)",
		2,
		{INT8OID, XID8OID}};
	MaSqlScope scope;
	Datum	   values[2];
	int		   steps = 0;

	ma_sql_begin(&scope);
	if (ma_sql_exec(&look, NULL, NULL, 1) > 0 && ma_definition_try_lock())
	{
		values[1] = ma_horizon_next();
		if (ma_sql_exec(&ready, &values[1], NULL, 1) > 0)
		{
			values[0] = Int64GetDatum(ma_definition_generation());
			steps += ma_sql_exec(&sweep, values, NULL, 0) > 0;
		}
		steps += ma_sql_exec(&wait, NULL, NULL, 0) > 0;
	}
	ma_sql_end(&scope);
	return steps;
}

/* The next contacts whose states are older than that; NULL: none. */
static MaWork *
next_works(int64 generation, int max, int *n)
{
	static MaStatement page = {
		"select contact_id from mautomate_internal.contact_state"
		" where contact_id > $1 and generation < $2 order by 1 limit $3",
		3,
		{INT8OID, INT8OID, INT8OID}};
	Datum	   values[3];
	MaWork	  *works = palloc0((max + 1) * sizeof(MaWork));
	MaSqlScope scope;

	values[0] = Int64GetDatum(position);
	values[1] = Int64GetDatum(generation);
	values[2] = Int64GetDatum(max);
	ma_sql_begin(&scope);
	*n = (int) ma_sql_exec(&page, values, NULL, 0);
	for (int i = 0; i < *n; i++)
	{
		bool isnull;

		works[i].contact_id = DatumGetInt64(ma_sql_datum(i, 1, &isnull));
		works[i].list_id = -1;
	}
	ma_sql_end(&scope);
	return *n > 0 ? works : NULL;
}

/* No state is older than that: the lists are ready, the zone is known. */
static void
finish(int64 generation)
{
	static MaStatement list = {
		"update mautomate_internal.list set state = 'ready', built_at ="
		" case state when 'sweeping' then mautomate.clock() else built_at end"
		" where state in ('sweeping', 'following') and generation <= $1",
		1,
		{INT8OID}};
	static MaStatement zone = {"update mautomate_internal.generation"
							   " set zone_done = true where zone_at <= $1",
							   1,
							   {INT8OID}};
	MaSqlScope		   scope;
	Datum			   value = Int64GetDatum(generation);

	ma_sql_begin(&scope);
	if (ma_definition_try_lock())
	{
		ma_sql_exec(&list, &value, NULL, 0);
		ma_sql_exec(&zone, &value, NULL, 0);
	}
	ma_sql_end(&scope);
}

/*
 * Brings contacts whose states are older than a list to the present, at most
 * max of them; returns how many. The lists are ready when there are none.
 */
int
ma_build_step(int max)
{
	int64		  generation = ma_definitions()->follow_at;
	bool		  whole = position == PG_INT64_MIN; /* this round */
	MemoryContext cxt;
	MemoryContext old;
	int			  before = 0; /* done when this round began */
	int			  done = 0;

	if (generation == 0)
		return 0;
	cxt = AllocSetContextCreate(CurrentMemoryContext, "mautomate build",
								ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(cxt);
	while (done < max)
	{
		int		n;
		MaWork *works = next_works(generation, Min(max - done, CHUNK), &n);

		CHECK_FOR_INTERRUPTS();
		if (works != NULL)
		{
			position = works[n - 1].contact_id;
			done += ma_refresh_run(works, n, ma_refresh_is_silent(), true)->n;
		}
		else if (position == PG_INT64_MIN)
		{
			finish(generation);
			break;
		}
		else
		{
			position = PG_INT64_MIN;
			if (whole && done == before)
				break; /* others hold whom is left */
			whole = true;
			before = done;
		}
		MemoryContextReset(cxt);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
	return done;
}
