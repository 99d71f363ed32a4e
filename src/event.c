/*
 * event.c
 *	  Putting events into the log, in sets.
 *
 * An event with a dedupe key is stored once: its key goes into a table of its
 * own first, and only rows whose key was new follow into the log. Keys are
 * taken in order, before anything else is locked; a second session with the
 * same key waits there and then finds it taken.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "batch.h"
#include "contact.h"
#include "event.h"
#include "sql.h"
#include "vocabulary.h"

/* Between the key of an event and the number of one more by it. */
#define MORE "\001"

static int64 store_chunk(MaEventRow **rows, int n);
static int	 take_keys(MaEventRow **rows, int n);
static void	 number_rows(MaEventRow **rows, int n);
static int	 compare_keys(const void *a, const void *b);
static void	 insert_rows(MaEventRow **rows, int n);

/*
 * Stores events, in the order given, and returns how many: rows of nobody and
 * rows whose dedupe key is known are left out.
 */
int64
ma_event_store(MaEventRow *rows, int n)
{
	MaEventRow **chunk = palloc(sizeof(MaEventRow *) * Min(n, MA_CHUNK));
	int64		 stored = 0;
	int			 count = 0;

	for (int i = 0; i < n; i++)
	{
		rows[i].stored = false;
		rows[i].event_id = 0;
		if (rows[i].contact_id != 0)
			chunk[count++] = &rows[i];
		if (count == MA_CHUNK || (count > 0 && i == n - 1))
		{
			stored += store_chunk(chunk, count);
			count = 0;
		}
	}
	pfree(chunk);
	return stored;
}

/* Stores a chunk: the keys, then the rows. */
static int64
store_chunk(MaEventRow **rows, int n)
{
	MaSqlScope scope;

	ma_sql_begin(&scope);
	number_rows(rows, n);
	n = take_keys(rows, n);
	if (n > 0)
		insert_rows(rows, n);
	ma_sql_end(&scope);
	return n;
}

/* The key that an event is stored by. */
static const char *
stored_key(const MaEventRow *row)
{
	return row->is_more ? psprintf("%s" MORE INT64_FORMAT, row->dedupe_key,
								   row->event_id) :
						  row->dedupe_key;
}

/*
 * Takes the dedupe keys and drops the rows whose key is taken already from
 * the array; returns how many are left.
 */
static int
take_keys(MaEventRow **rows, int n)
{
	static MaStatement one = {
		"insert into mautomate_internal.dedupe"
		" (contact_id, dedupe_key, event_id, address_hash)"
		" values ($1, $2, $3, nullif($4, 0))"
		" on conflict do nothing returning event_id",
		4,
		{INT8OID, TEXTOID, INT8OID, INT8OID}};
	static MaStatement many = {
		"insert into mautomate_internal.dedupe"
		" (contact_id, dedupe_key, event_id,"
		" address_hash)"
		" select contact_id, key, event_id,"
		" nullif(address, 0)"
		" from unnest($1, $2, $3, $4)"
		" u (contact_id, key, event_id, address)"
		" on conflict do nothing returning event_id",
		4,
		{INT8ARRAYOID, TEXTARRAYOID, INT8ARRAYOID, INT8ARRAYOID}};
	MaEventRow **keyed = palloc(sizeof(MaEventRow *) * n);
	MaColumn	 columns[4];
	Datum		 values[4];
	bool		 isnull;
	uint64		 next = 0;
	int			 count = 0;
	int			 left = 0;

	for (int i = 0; i < n; i++)
		if (rows[i]->dedupe_key != NULL)
			keyed[count++] = rows[i];
	if (count == 0)
		return n;
	qsort(keyed, count, sizeof(MaEventRow *), compare_keys);
	ma_column_init(&columns[0], INT8OID, count);
	ma_column_init(&columns[1], TEXTOID, count);
	ma_column_init(&columns[2], INT8OID, count);
	ma_column_init(&columns[3], INT8OID, count);
	for (int i = 0; i < count; i++)
	{
		ma_column_add(&columns[0], Int64GetDatum(keyed[i]->contact_id), false);
		ma_column_add_text(&columns[1], stored_key(keyed[i]));
		ma_column_add(&columns[2], Int64GetDatum(keyed[i]->event_id), false);
		ma_column_add(&columns[3], Int64GetDatum(keyed[i]->address), false);
	}
	for (int c = 0; c < lengthof(columns); c++)
		values[c] =
			count == 1 ? columns[c].values[0] : ma_column_array(&columns[c]);
	ma_sql_exec(count == 1 ? &one : &many, values, NULL, 0);
	/* what came back is a subsequence of what went in */
	for (int i = 0; i < count; i++)
		if (next < SPI_processed &&
			keyed[i]->event_id ==
				DatumGetInt64(ma_sql_datum(next, 1, &isnull)))
			next++;
		else
			keyed[i]->event_id = 0;
	for (int i = 0; i < n; i++)
		if (rows[i]->dedupe_key == NULL || rows[i]->event_id != 0)
			rows[left++] = rows[i];
	return left;
}

/* Gives rows their event ids, ascending in the order given. */
static void
number_rows(MaEventRow **rows, int n)
{
	Oid sequence = get_relname_relid("event_event_id_seq",
									 get_namespace_oid("mautomate", false));

	for (int i = 0; i < n; i++)
		rows[i]->event_id = nextval_internal(sequence, false);
}

/* qsort comparator of pointers to rows: by contact, key, position. */
static int
compare_keys(const void *a, const void *b)
{
	const MaEventRow *left = *(MaEventRow *const *) a;
	const MaEventRow *right = *(MaEventRow *const *) b;
	int				  result;

	if (left->contact_id != right->contact_id)
		return left->contact_id < right->contact_id ? -1 : 1;
	result = strcmp(left->dedupe_key, right->dedupe_key);
	return result != 0 ? result : (left > right) - (left < right);
}

/* Puts rows into the log with one statement. */
static void
insert_rows(MaEventRow **rows, int n)
{
	static MaStatement one = {
		"insert into mautomate.event"
		" (contact_id, kind, occurred_at, event_id, properties)"
		" values ($1, $2, $3, $4, coalesce($5, '{}'))",
		5,
		{INT8OID, TEXTOID, TIMESTAMPTZOID, INT8OID, JSONBOID}};
	static MaStatement many = {
		"insert into mautomate.event"
		" (contact_id, kind, occurred_at, event_id, properties)"
		" select contact_id, kind, occurred_at, event_id,"
		" coalesce(properties, '{}') from unnest($1, $2, $3, $4, $5)"
		" u (contact_id, kind, occurred_at, event_id, properties)",
		5,
		{INT8ARRAYOID, TEXTARRAYOID, TIMESTAMPTZARRAYOID, INT8ARRAYOID,
		 JSONBARRAYOID}};
	static const Oid types[5] = {INT8OID, TEXTOID, TIMESTAMPTZOID, INT8OID,
								 JSONBOID};
	MaColumn		 columns[5];
	Datum			 values[5];
	char			 nulls[6] = "     ";

	for (int c = 0; c < 5; c++)
		ma_column_init(&columns[c], types[c], n);
	for (int i = 0; i < n; i++)
	{
		MaEventRow *row = rows[i];

		ma_column_add(&columns[0], Int64GetDatum(row->contact_id), false);
		ma_column_add_text(&columns[1], row->kind);
		ma_column_add(&columns[2], TimestampTzGetDatum(row->occurred_at),
					  false);
		ma_column_add(&columns[3], Int64GetDatum(row->event_id), false);
		ma_column_add(&columns[4], JsonbPGetDatum(row->properties),
					  row->properties == NULL);
	}
	for (int c = 0; c < 5; c++)
	{
		values[c] =
			n == 1 ? columns[c].values[0] : ma_column_array(&columns[c]);
		nulls[c] = n == 1 && columns[c].nulls[0] ? 'n' : ' ';
	}
	ma_sql_exec(n == 1 ? &one : &many, values, nulls, 0);
	for (int i = 0; i < n; i++)
		rows[i]->stored = true;
}

/* Makes (contact_id, dedupe_key) columns of rows in the order of keys. */
static void
fill_keys(MaEventRow *rows, int n, MaEventRow **ordered, Datum *values)
{
	MaColumn columns[2];

	ma_column_init(&columns[0], INT8OID, n);
	ma_column_init(&columns[1], TEXTOID, n);
	for (int i = 0; i < n; i++)
		ordered[i] = &rows[i];
	qsort(ordered, n, sizeof(MaEventRow *), compare_keys);
	for (int i = 0; i < n; i++)
	{
		ma_column_add(&columns[0], Int64GetDatum(ordered[i]->contact_id),
					  false);
		ma_column_add_text(&columns[1], ordered[i]->dedupe_key);
	}
	values[0] = ma_column_array(&columns[0]);
	values[1] = ma_column_array(&columns[1]);
}

/*
 * Takes events of one kind out of the log again, by their dedupe keys, and all
 * that are more by them.
 */
void
ma_event_withdraw(MaEventRow *rows, int n)
{
	static MaStatement stmt = {
		"with gone as ("
		"delete from mautomate_internal.dedupe d"
		" using unnest($1, $2) u (contact_id, dedupe_key)"
		" where d.contact_id = u.contact_id and d.dedupe_key >= u.dedupe_key"
		" and d.dedupe_key < u.dedupe_key || E'\\x02'"
		" returning d.contact_id, d.event_id)"
		" delete from mautomate.event e using gone g"
		" where e.contact_id = g.contact_id and e.kind = $3"
		" and e.event_id = g.event_id",
		3,
		{INT8ARRAYOID, TEXTARRAYOID, TEXTOID}};
	MaEventRow **ordered = palloc(sizeof(MaEventRow *) * n);
	Datum		 values[3];
	MaSqlScope	 scope;

	if (n == 0)
		return;
	fill_keys(rows, n, ordered, values);
	values[2] = CStringGetTextDatum(rows[0].kind);
	ma_sql_begin(&scope);
	ma_sql_exec(&stmt, values, NULL, 0);
	ma_sql_end(&scope);
}

/*
 * Gives events of one kind, found by their dedupe keys, other properties and
 * another time; where that is DT_NOBEGIN the time stays.
 */
void
ma_event_replace(MaEventRow *rows, int n)
{
	static MaStatement stmt = {
		"update mautomate.event e"
		" set occurred_at = coalesce(u.occurred_at, e.occurred_at),"
		" properties = coalesce(u.properties, '{}')"
		" from unnest($1, $2, $4, $5)"
		" u (contact_id, dedupe_key, occurred_at, properties)"
		" join mautomate_internal.dedupe d on d.contact_id = u.contact_id"
		" and d.dedupe_key = u.dedupe_key"
		" where e.contact_id = d.contact_id and e.kind = $3"
		" and e.event_id = d.event_id and (e.properties is distinct from"
		" coalesce(u.properties, '{}') or e.occurred_at <> u.occurred_at)",
		5,
		{INT8ARRAYOID, TEXTARRAYOID, TEXTOID, TIMESTAMPTZARRAYOID,
		 JSONBARRAYOID}};
	MaEventRow **ordered = palloc(sizeof(MaEventRow *) * n);
	MaColumn	 columns[2];
	Datum		 values[5];
	MaSqlScope	 scope;

	if (n == 0)
		return;
	fill_keys(rows, n, ordered, values);
	ma_column_init(&columns[0], TIMESTAMPTZOID, n);
	ma_column_init(&columns[1], JSONBOID, n);
	for (int i = 0; i < n; i++)
	{
		ma_column_add(&columns[0],
					  TimestampTzGetDatum(ordered[i]->occurred_at),
					  ordered[i]->occurred_at == DT_NOBEGIN);
		ma_column_add(&columns[1], JsonbPGetDatum(ordered[i]->properties),
					  ordered[i]->properties == NULL);
	}
	values[2] = CStringGetTextDatum(rows[0].kind);
	values[3] = ma_column_array(&columns[0]);
	values[4] = ma_column_array(&columns[1]);
	ma_sql_begin(&scope);
	ma_sql_exec(&stmt, values, NULL, 0);
	ma_sql_end(&scope);
}

/*
 * Gives events other dedupe keys, and those that are more by them; of those
 * taken by another one, none.
 */
void
ma_event_rekey(const MaEventKey *keys, int n)
{
	/* the order makes it delete all before it inserts: keys may be swapped */
	static MaStatement stmt = {
		"with gone as ("
		"delete from mautomate_internal.dedupe d"
		" using unnest($1, $2, $3) u (contact_id, key, new_key)"
		" where d.contact_id = u.contact_id"
		" and d.dedupe_key >= u.key and d.dedupe_key < u.key || E'\\x02'"
		" returning d.contact_id, u.new_key || pg_catalog.substr(d.dedupe_key,"
		" pg_catalog.length(u.key) + 1), d.event_id, d.address_hash)"
		" insert into mautomate_internal.dedupe"
		" (contact_id, dedupe_key, event_id, address_hash)"
		" select * from gone order by 1, 2 on conflict do nothing",
		3,
		{INT8ARRAYOID, TEXTARRAYOID, TEXTARRAYOID}};
	MaColumn   columns[3];
	Datum	   values[3];
	MaSqlScope scope;

	if (n == 0)
		return;
	ma_column_init(&columns[0], INT8OID, n);
	ma_column_init(&columns[1], TEXTOID, n);
	ma_column_init(&columns[2], TEXTOID, n);
	for (int i = 0; i < n; i++)
	{
		ma_column_add(&columns[0], Int64GetDatum(keys[i].contact_id), false);
		ma_column_add_text(&columns[1], keys[i].from);
		ma_column_add_text(&columns[2], keys[i].to);
	}
	for (int i = 0; i < lengthof(columns); i++)
		values[i] = ma_column_array(&columns[i]);
	ma_sql_begin(&scope);
	ma_sql_exec(&stmt, values, NULL, 0);
	ma_sql_end(&scope);
}

/* Sets `from` to 0 where there is no such event. */
void
ma_event_movable(MaEventMove *moves, int n)
{
	static MaStatement stmt = {
		"select d.event_id is not null from unnest($1, $2)"
		" with ordinality u (contact_id, dedupe_key, i)"
		" left join mautomate_internal.dedupe d"
		" on d.contact_id = u.contact_id and d.dedupe_key = u.dedupe_key"
		" order by u.i",
		2,
		{INT8ARRAYOID, TEXTARRAYOID}};
	MaColumn   columns[2];
	Datum	   values[2];
	MaSqlScope scope;
	bool	   isnull;

	ma_column_init(&columns[0], INT8OID, n);
	ma_column_init(&columns[1], TEXTOID, n);
	for (int i = 0; i < n; i++)
	{
		ma_column_add(&columns[0], Int64GetDatum(moves[i].from), false);
		ma_column_add_text(&columns[1], moves[i].dedupe_key);
	}
	values[0] = ma_column_array(&columns[0]);
	values[1] = ma_column_array(&columns[1]);
	ma_sql_begin(&scope);
	ma_sql_exec(&stmt, values, NULL, 0);
	for (int i = 0; i < n; i++)
		if (!DatumGetBool(ma_sql_datum(i, 1, &isnull)))
			moves[i].from = 0;
	ma_sql_end(&scope);
}

/*
 * Gives events of one kind to other contacts, and their dedupe keys with
 * them; where such a contact has one by that key already, that is the one.
 * Where it is the same contact, by another address, only that is noted.
 */
void
ma_event_move(const char *kind, const MaEventMove *moves, int n)
{
	static MaStatement stmt = {
		"with moves as (select contact_id, key, new_id,"
		" nullif(address, 0) as address from unnest($1, $2, $3, $5)"
		" u (contact_id, key, new_id, address)),"
		" gone as ("
		"delete from mautomate_internal.dedupe d using moves u"
		" where d.contact_id = u.contact_id and d.dedupe_key = u.key"
		" and u.new_id <> u.contact_id"
		" returning d.contact_id, d.dedupe_key, u.new_id, d.event_id,"
		" u.address,"
		" exists (select from mautomate_internal.dedupe other"
		" where other.contact_id = u.new_id and other.dedupe_key = u.key)"
		" as there),"
		" come as (insert into mautomate_internal.dedupe"
		" (contact_id, dedupe_key, event_id, address_hash)"
		" select new_id, dedupe_key, event_id, address from gone"
		" where not there order by 1, 2),"
		" same as (update mautomate_internal.dedupe d"
		" set address_hash = u.address from moves u"
		" where d.contact_id = u.contact_id and d.dedupe_key = u.key"
		" and u.new_id = u.contact_id"
		" and d.address_hash is distinct from u.address),"
		" dropped as (delete from mautomate.event e using gone g"
		" where e.contact_id = g.contact_id and e.kind = $4"
		" and e.event_id = g.event_id and g.there)"
		" update mautomate.event e set contact_id = g.new_id from gone g"
		" where e.contact_id = g.contact_id and e.kind = $4"
		" and e.event_id = g.event_id and not g.there",
		5,
		{INT8ARRAYOID, TEXTARRAYOID, INT8ARRAYOID, TEXTOID, INT8ARRAYOID}};
	MaColumn   columns[4];
	Datum	   values[5];
	MaSqlScope scope;

	if (n == 0)
		return;
	ma_column_init(&columns[0], INT8OID, n);
	ma_column_init(&columns[1], TEXTOID, n);
	ma_column_init(&columns[2], INT8OID, n);
	ma_column_init(&columns[3], INT8OID, n);
	for (int i = 0; i < n; i++)
	{
		ma_column_add(&columns[0], Int64GetDatum(moves[i].from), false);
		ma_column_add_text(&columns[1], moves[i].dedupe_key);
		ma_column_add(&columns[2], Int64GetDatum(moves[i].to), false);
		ma_column_add(&columns[3], Int64GetDatum(moves[i].address), false);
	}
	for (int i = 0; i < 3; i++)
		values[i] = ma_column_array(&columns[i]);
	values[3] = CStringGetTextDatum(kind);
	values[4] = ma_column_array(&columns[3]);
	ma_sql_begin(&scope);
	ma_sql_exec(&stmt, values, NULL, 0);
	ma_sql_end(&scope);
}

/* The event that a row was not stored beside: the first with its key. */
int64
ma_event_first(const MaEventRow *row)
{
	static MaStatement stmt = {"select event_id from mautomate_internal.dedupe"
							   " where contact_id = $1 and dedupe_key = $2",
							   2,
							   {INT8OID, TEXTOID}};
	Datum			   values[2];
	Datum			   event_id;

	values[0] = Int64GetDatum(row->contact_id);
	values[1] = CStringGetTextDatum(row->dedupe_key);
	(void) ma_sql_one(&stmt, values, &event_id);
	return DatumGetInt64(event_id);
}

/* Refuses what cannot be the kind of an event that somebody else writes. */
void
ma_event_check_kind(const char *kind)
{
	if (kind == NULL || *kind == '\0')
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("the kind of an event must not be empty")));
	if (strlen(kind) > MA_KIND_MAX)
		ma_vocabulary_refuse_long();
	if (ma_vocabulary_reserved(kind))
		ma_vocabulary_refuse(kind);
}
