/*
 * refresh_adopt.c
 *	  Events that came for somebody without a state.
 *
 * A contact may lack a state, or have one that says nothing, because the state was not dumped and restored
 * with it: then it gets one. It may have been merged into another one by a
 * transaction that committed after the writer had found it: then its events
 * move on to the survivor. Or there is no such contact: that is the writer's
 * mistake.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "error.h"
#include "refresh_private.h"
#include "sql.h"

static ArrayType *
id_array(Datum *ids, int n)
{
	return construct_array(ids, n, INT8OID, sizeof(int64), true,
						   TYPALIGN_DOUBLE);
}

static ArrayType *
missing_ids(MaContactSet *set)
{
	Datum *ids = palloc(set->nmissing * sizeof(Datum));

	for (int i = 0; i < set->nmissing; i++)
		ids[i] = Int64GetDatum(set->missing[i]);
	return id_array(ids, set->nmissing);
}

/* Who was put into lists by hand, by their rows. */
static void
read_members(MaContactSet *set, Datum ids)
{
	static MaStatement stmt = {
		"select m.contact_id, m.list_id"
		" from mautomate_internal.list l cross join unnest($1) as c (id)"
		" cross join lateral (select contact_id, list_id"
		" from mautomate_internal.list_member"
		" where list_id = l.list_id and contact_id = c.id"
		" and by = 'hand' offset 0) m where l.predicate is null"
		" union all select o.contact_id, o.list_id"
		" from mautomate_internal.list_override o"
		" cross join lateral (select from mautomate_internal.list_member"
		" where list_id = o.list_id and contact_id = o.contact_id"
		" and by = 'hand' offset 0) m where o.contact_id = any ($1)",
		1,
		{INT8ARRAYOID}};

	ma_sql_exec(&stmt, &ids, NULL, 0);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool  isnull;
		int64 id = DatumGetInt64(ma_sql_datum(i, 1, &isnull));
		int	  list_id = DatumGetInt32(ma_sql_datum(i, 2, &isnull));
		int	  list = ma_state_list(set->definitions, list_id);

		if (list >= 0)
			ma_contact_find(set, id)->member[list] = true;
	}
}

/*
 * A state that says nothing, or is built anew, does not know either what was
 * decided by hand about lists: rows do.
 */
void
ma_adopt_blank(MaContactSet *set)
{
	MaDefinitions *definitions = set->definitions;
	Datum		  *ids = palloc((set->n + 1) * sizeof(Datum));
	int			   n = 0;
	MaSqlScope	   scope;
	Datum		   array;

	for (int i = 0; i < set->n; i++)
	{
		if (!set->contacts[i]->blank)
			continue;
		ids[n++] = Int64GetDatum(set->contacts[i]->id);
		for (int j = 0; j < definitions->nlists; j++)
			if (definitions->lists[j].is_static)
				set->contacts[i]->member[j] = false;
		set->contacts[i]->noverrides = 0;
	}
	if (n == 0 || definitions->nlists == 0)
		return;
	array = PointerGetDatum(id_array(ids, n));
	ma_sql_begin(&scope);
	read_members(set, array);
	ma_override_read(set, array);
	ma_sql_end(&scope);
}

/* Takes noted events, of a contact that does not exist, out of the log. */
static void
withdraw(const MaWork *work)
{
	static MaStatement stmt = {
		"delete from mautomate.event"
		" where contact_id = $1 and event_id = any ($2)",
		2,
		{INT8OID, INT8ARRAYOID}};
	Datum  values[2] = {Int64GetDatum(work->contact_id)};
	Datum *ids;
	int	   n = 0;

	for (const MaWork *step = work; step != NULL; step = step->then)
		n += step->nevents;
	ids = palloc((n + 1) * sizeof(Datum));
	n = 0;
	for (const MaWork *step = work; step != NULL; step = step->then)
		for (int i = 0; i < step->nevents; i++)
			ids[n++] = Int64GetDatum(step->events[i].event_id);
	values[1] = PointerGetDatum(id_array(ids, n));
	ma_sql_exec(&stmt, values, NULL, 0);
}

/*
 * Refuses events for a contact that does not exist. Where they are noted only
 * it is late for that: they go again, and it is an error that we note.
 */
static void
refuse(const MaWork *work)
{
	ErrorData edata = {.sqlerrcode = ERRCODE_FOREIGN_KEY_VIOLATION,
					   .hint = "identify() creates contacts."};

	edata.message =
		psprintf("contact " INT64_FORMAT " does not exist", work->contact_id);
	if (!work->noted)
		ereport(ERROR, (errcode(edata.sqlerrcode),
						errmsg_internal("%s", edata.message),
						errhint("%s", edata.hint)));
	ma_error_note("deferred event", work->contact_id, &edata);
	withdraw(work);
}

/* Looks for events of contacts that do not exist. */
static void
check_exists(Datum ids, MaWork *works, int n)
{
	static MaStatement stmt = {
		"select id from unnest($1) as id where not exists ("
		" select from mautomate.contact c where c.contact_id = id)"
		" and exists (select from mautomate.event e where e.contact_id = id)"
		" order by 1",
		1,
		{INT8ARRAYOID}};
	SPITupleTable *missing;
	uint64		   nmissing = ma_sql_exec(&stmt, &ids, NULL, 0);
	uint64		   next = 0;
	bool		   isnull;

	missing = SPI_tuptable;
	for (int i = 0; i < n && next < nmissing; i++)
	{
		if (works[i].contact_id !=
			DatumGetInt64(SPI_getbinval(missing->vals[next], missing->tupdesc,
										1, &isnull)))
			continue;
		next++;
		if (works[i].nevents > 0 || works[i].noted)
			refuse(&works[i]);
	}
}

/*
 * Takes care of the works whose contacts have no state. Returns true if
 * states were created or others changed, so that the set has to be loaded
 * again. Events that moved were folded into survivors that may be in the set
 * too: all of it is folded anew then.
 */
bool
ma_adopt_missing(MaContactSet *set, MaWork *works, int n)
{
	static MaStatement create = {
		"insert into mautomate_internal.contact_state (contact_id)"
		" select c.contact_id from mautomate.contact c"
		" where c.contact_id = any ($1) and c.merged_into is null"
		" order by 1 on conflict do nothing",
		1,
		{INT8ARRAYOID}};
	static MaStatement move = {
		"with recursive survivor (contact_id, next) as ("
		" select contact_id, merged_into from mautomate.contact"
		" where contact_id = any ($1) and merged_into is not null"
		" union all"
		" select s.contact_id, c.merged_into from survivor s"
		" join mautomate.contact c on c.contact_id = s.next"
		" where c.merged_into is not null),"
		" last as ("
		" select distinct on (s.contact_id) s.contact_id, s.next as survivor"
		" from survivor s join mautomate.contact c on c.contact_id = s.next"
		" where c.merged_into is null),"
		" moved as (delete from mautomate.event e using last"
		" where e.contact_id = last.contact_id"
		" returning last.survivor, e.kind, e.occurred_at, e.event_id,"
		" e.properties)"
		" insert into mautomate.event"
		" (contact_id, kind, occurred_at, event_id, properties)"
		" select * from moved order by event_id",
		1,
		{INT8ARRAYOID}};
	static MaStatement move_keys = {
		"with gone as (delete from mautomate_internal.dedupe d"
		" using mautomate.contact c where d.contact_id = any ($1)"
		" and c.contact_id = d.contact_id and c.merged_into is not null"
		" returning c.merged_into, d.dedupe_key, d.event_id, d.address_hash)"
		" insert into mautomate_internal.dedupe"
		" (contact_id, dedupe_key, event_id, address_hash)"
		" select * from gone order by 1, 2 on conflict do nothing",
		1,
		{INT8ARRAYOID}};
	MaSqlScope scope;
	Datum	   ids = PointerGetDatum(missing_ids(set));
	bool	   created;
	bool	   moved;

	ma_sql_begin(&scope);
	check_exists(ids, works, n);
	created = ma_sql_exec(&create, &ids, NULL, 0) > 0;
	moved = ma_sql_exec(&move, &ids, NULL, 0) > 0;
	ma_sql_exec(&move_keys, &ids, NULL, 0);
	ma_sql_end(&scope);
	for (int i = 0; moved && i < n; i++)
		works[i].rebuild = true;
	return created || moved;
}
