/*
 * contact_store.c
 *	  Persons: who is new, and what is known of them.
 *
 * Works on sets: who is not found is inserted; what is given is written where
 * it differs. One statement per step and chunk, whatever the size of the set.
 *
 * Two sessions that bring the same new person at once end with one contact:
 * the external id is unique, and so is the address among contacts that are
 * known by nothing else. The second INSERT waits, finds the row and inserts
 * nothing, and its session looks the person up again. Rows are inserted and
 * updated in the order of their keys, so that sessions with overlapping sets
 * wait for each other instead of deadlocking.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "batch.h"
#include "contact.h"
#include "guc.h"
#include "merge.h"
#include "sql.h"

#define TRIES 5 /* lookups while others insert and merge */

/* Another contact that has the address of a person. */
typedef struct Conflict
{
	MaProfile *person;		/* gets the address */
	int64	   contact_id;	/* has it */
	char	  *external_id; /* of that contact; NULL: known by it only */
} Conflict;

static int	compare_names(const MaProfile *a, const MaProfile *b);
static int	compare_keys(const void *a, const void *b);
static void combine(MaProfile *person, const MaProfile *later);
static void store(MaProfile *persons, int n, bool known_too);
static void store_chunk(MaProfile **persons, int n, bool known_too,
						MemoryContext cxt);
static int	find_conflicts(MaProfile **persons, int n, Conflict **conflicts);
static void refuse(Conflict *conflict, MemoryContext cxt);
static void insert_missing(MaProfile **persons, int n);
static void update_known(MaProfile **persons, int n);
static int	update_round(MaProfile **persons, int n);
static int	compare_contacts(const void *a, const void *b);

/*
 * Finds out who the persons are, and makes contacts of those nobody knows.
 * Known ones are left as they are.
 */
static void
obtain(MaProfile *persons, int n)
{
	ma_contact_lookup(persons, n);
	ma_contact_store_missing(persons, n);
}

/* Makes contacts of the persons that have been looked up and not found. */
void
ma_contact_store_missing(MaProfile *persons, int n)
{
	MaProfile *missing = palloc(sizeof(MaProfile) * n);
	int		  *place = palloc(sizeof(int) * n);
	int		   count = 0;

	for (int i = 0; i < n; i++)
		if (persons[i].contact_id == 0 && persons[i].problem == NULL &&
			ma_profile_is_named(&persons[i]))
		{
			place[count] = i;
			missing[count++] = persons[i];
		}
	if (count > 0)
		ma_contact_store(missing, count);
	for (int i = 0; i < count; i++)
		persons[place[i]] = missing[i];
	pfree(place);
	pfree(missing);
}

/*
 * Upserts persons: contact_id of each is set, or its problem. A person may
 * come several times; what comes later overrides.
 */
void
ma_contact_store(MaProfile *persons, int n)
{
	store(persons, n, true);
}

/*
 * Makes contacts of the persons nobody knows, with what is given. Known ones
 * are left as they are, even those that others make known just now: nothing
 * is locked but what is new.
 */
void
ma_contact_reserve(MaProfile *persons, int n)
{
	store(persons, n, false);
}

/* Inserts those nobody knows; known_too: and changes the others. */
static void
store(MaProfile *persons, int n, bool known_too)
{
	MemoryContext cxt = CurrentMemoryContext;
	MaProfile	**all = palloc(sizeof(MaProfile *) * n);
	MaProfile	**heads = palloc(sizeof(MaProfile *) * n);
	int			  count = 0;

	for (int i = 0; i < n; i++)
		all[i] = &persons[i];
	qsort(all, n, sizeof(MaProfile *), compare_keys);
	for (int i = 0; i < n; i++)
	{
		if (count > 0 && compare_names(heads[count - 1], all[i]) == 0)
			combine(heads[count - 1], all[i]);
		else
			heads[count++] = all[i];
	}
	for (int i = 0; i < count; i += MA_CHUNK)
		store_chunk(&heads[i], Min(count - i, MA_CHUNK), known_too, cxt);
	for (int i = 0, head = 0; i < n; i++)
	{
		if (head + 1 < count && all[i] == heads[head + 1])
			head++;
		all[i]->contact_id = heads[head]->contact_id;
		all[i]->problem = heads[head]->problem;
	}
	pfree(heads);
	pfree(all);
}

/* Compares two strings, NULL last. */
static int
compare_text(const char *a, const char *b)
{
	if (a == NULL || b == NULL)
		return (a == NULL) - (b == NULL);
	return strcmp(a, b);
}

/* Orders by what a person is looked up by. */
static int
compare_names(const MaProfile *a, const MaProfile *b)
{
	int result = compare_text(a->external_id, b->external_id);

	if (result == 0 && a->external_id == NULL)
	{
		const char *email_a = a->columns[MA_CONTACT_EMAIL];
		const char *email_b = b->columns[MA_CONTACT_EMAIL];

		result = compare_text(email_a, email_b);
		if (result == 0 && email_a == NULL)
			result = compare_text(a->columns[MA_CONTACT_PHONE],
								  b->columns[MA_CONTACT_PHONE]);
	}
	return result;
}

/* qsort comparator of pointers to persons: by name, then by position. */
static int
compare_keys(const void *a, const void *b)
{
	const MaProfile *left = *(MaProfile *const *) a;
	const MaProfile *right = *(MaProfile *const *) b;
	int				 result = compare_names(left, right);

	return result != 0 ? result : (left > right) - (left < right);
}

/* Adds to a person what is said of the same one later. */
static void
combine(MaProfile *person, const MaProfile *later)
{
	for (int i = 0; i < MA_CONTACT_COLUMNS; i++)
		if (later->given & (1 << i))
			ma_profile_set(person, i, later->columns[i]);
	if (person->attributes == NULL)
		person->attributes = later->attributes;
	else if (later->attributes != NULL)
		person->attributes = DatumGetJsonbP(DirectFunctionCall2(
			jsonb_concat, JsonbPGetDatum(person->attributes),
			JsonbPGetDatum(later->attributes)));
}

/*
 * Upserts a chunk of different persons in the order of their keys. Between
 * looking and inserting another session may have brought the same person;
 * then the insert does nothing and we look again.
 */
static void
store_chunk(MaProfile **persons, int n, bool known_too, MemoryContext cxt)
{
	MaSqlScope scope;
	Conflict  *conflicts = NULL;
	int		   conflict_count = 0;
	int		   missing = n;

	ma_sql_begin(&scope);
	for (int tries = 0; missing > 0; tries++)
	{
		if (tries == TRIES)
			elog(ERROR, "contact is changed by others all the time");
		PushActiveSnapshot(IsolationUsesXactSnapshot() ?
							   GetTransactionSnapshot() :
							   GetLatestSnapshot());
		ma_contact_lookup_chunk(persons, n, cxt);
		PopActiveSnapshot();
		conflict_count = find_conflicts(persons, n, &conflicts);
		if (ma_guc_identity == MA_IDENTITY_REFUSE)
			for (int i = 0; i < conflict_count; i++)
				refuse(&conflicts[i], cxt);
		insert_missing(persons, n);
		missing = 0;
		for (int i = 0; i < n; i++)
			if (persons[i]->contact_id == 0 && persons[i]->problem == NULL)
				missing++;
	}
	if (known_too && ma_guc_identity == MA_IDENTITY_MERGE)
		for (int i = 0; i < conflict_count; i++)
		{
			Conflict *conflict = &conflicts[i];

			if (conflict->external_id == NULL)
				ma_contact_merge(conflict->contact_id,
								 conflict->person->contact_id);
			else
				conflict->person->shared_with =
					MemoryContextStrdup(cxt, conflict->external_id);
		}
	if (known_too)
		update_known(persons, n);
	ma_sql_end(&scope);
}

/*
 * Which other contacts have an address that a person is about to get?
 */
static int
find_conflicts(MaProfile **persons, int n, Conflict **conflicts)
{
	static MaStatement stmt = {
		"select p.i, c.contact_id, c.external_id"
		" from (select lower(email) as address, array_agg(i) as persons,"
		" array_agg(contact_id) as ids"
		" from unnest($1, $2, $3) u (i, contact_id, email)"
		" where email is not null group by 1) a"
		" cross join lateral ((select contact_id, external_id"
		" from mautomate.contact where lower(email) = a.address"
		" and merged_into is null and external_id is null limit 1)"
		" union all (select contact_id, external_id"
		" from mautomate.contact where lower(email) = a.address"
		" and merged_into is null and external_id is not null limit 2)) c"
		" cross join lateral unnest(a.persons, a.ids) p (i, contact_id)"
		" left join lateral (select o.email from mautomate.contact o"
		" where o.contact_id = p.contact_id limit 1) own on true"
		" where p.contact_id <> c.contact_id and (c.external_id is null"
		" or lower(own.email) is distinct from a.address)"
		" union all"
		" select u.i, c.contact_id, null"
		" from unnest($1, $2, $4) u (i, contact_id, phone)"
		" cross join lateral (select contact_id from mautomate.contact"
		" where phone = u.phone and merged_into is null"
		" and external_id is null and email is null offset 0) c"
		" where c.contact_id <> u.contact_id"
		" order by 1, 2",
		4,
		{INT4ARRAYOID, INT8ARRAYOID, TEXTARRAYOID, TEXTARRAYOID}};
	MaColumn columns[4];
	Datum	 values[4];
	bool	 isnull;

	*conflicts = NULL;
	if (ma_guc_identity == MA_IDENTITY_ALLOW)
		return 0;
	ma_column_init(&columns[0], INT4OID, n);
	ma_column_init(&columns[1], INT8OID, n);
	ma_column_init(&columns[2], TEXTOID, n);
	ma_column_init(&columns[3], TEXTOID, n);
	for (int i = 0; i < n; i++)
	{
		MaProfile *person = persons[i];

		if (person->external_id == NULL || person->problem != NULL ||
			(person->columns[MA_CONTACT_EMAIL] == NULL &&
			 person->columns[MA_CONTACT_PHONE] == NULL))
			continue;
		ma_column_add(&columns[0], Int32GetDatum(i), false);
		ma_column_add(&columns[1], Int64GetDatum(person->contact_id), false);
		ma_column_add_text(&columns[2], person->columns[MA_CONTACT_EMAIL]);
		ma_column_add_text(&columns[3], person->columns[MA_CONTACT_PHONE]);
	}
	if (columns[0].n == 0)
		return 0;
	for (int i = 0; i < 4; i++)
		values[i] = ma_column_array(&columns[i]);
	ma_sql_exec(&stmt, values, NULL, 0);
	*conflicts = palloc(sizeof(Conflict) * Max(SPI_processed, 1));
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		Conflict *conflict = &(*conflicts)[row];

		conflict->person =
			persons[DatumGetInt32(ma_sql_datum(row, 1, &isnull))];
		conflict->contact_id = DatumGetInt64(ma_sql_datum(row, 2, &isnull));
		conflict->external_id = ma_sql_text(row, 3);
	}
	return SPI_processed;
}

/*
 * Who is known by an address only that persons, who have their contacts, are
 * about to get? These are to be merged into them. Returns how many.
 */
int
ma_contact_absorbed(MaProfile *persons, int n, int64 **losers,
					int64 **survivors)
{
	MemoryContext cxt = CurrentMemoryContext;
	MaProfile	**all = palloc(sizeof(MaProfile *) * (n + 1));
	Conflict	 *conflicts;
	int			  count;
	int			  absorbed = 0;
	MaSqlScope	  scope;

	if (n == 0 || ma_guc_identity != MA_IDENTITY_MERGE)
		return 0;
	for (int i = 0; i < n; i++)
		all[i] = &persons[i];
	ma_sql_begin(&scope);
	count = find_conflicts(all, n, &conflicts);
	*losers = MemoryContextAlloc(cxt, sizeof(int64) * (count + 1));
	*survivors = MemoryContextAlloc(cxt, sizeof(int64) * (count + 1));
	for (int i = 0; i < count; i++)
		if (conflicts[i].external_id == NULL)
		{
			(*losers)[absorbed] = conflicts[i].contact_id;
			(*survivors)[absorbed++] = conflicts[i].person->contact_id;
		}
	ma_sql_end(&scope);
	return absorbed;
}

/* Setting mautomate.identity is 'refuse', and a second contact would share. */
static void
refuse(Conflict *conflict, MemoryContext cxt)
{
	MemoryContext old = MemoryContextSwitchTo(cxt);
	MaProfile	 *person = conflict->person;

	person->contact_id = 0;
	person->problem = ma_problem(
		ERRCODE_UNIQUE_VIOLATION,
		psprintf("another contact has an address of contact \"%s\"",
				 person->external_id),
		conflict->external_id == NULL ?
			"It is known by this address only." :
			psprintf("It is contact \"%s\".", conflict->external_id),
		"Set mautomate.identity to \"merge\" or \"allow\", or give "
		"another address.");
	MemoryContextSwitchTo(old);
}

/* The columns of a person in set statements: $3 and on. */
#define PERSON_ARGTYPES                                                   \
	TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, \
		TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, JSONBARRAYOID
#define PERSON_VALUES (MA_CONTACT_COLUMNS + 3)

/* Makes the parameters of a set statement over persons from its columns. */
static void
fill_values(MaProfile **persons, int n, Datum *values)
{
	MaColumn columns[MA_CONTACT_COLUMNS];
	MaColumn attributes;

	for (int c = 0; c < MA_CONTACT_COLUMNS; c++)
		ma_column_init(&columns[c], TEXTOID, n);
	ma_column_init(&attributes, JSONBOID, n);
	for (int i = 0; i < n; i++)
	{
		for (int c = 0; c < MA_CONTACT_COLUMNS; c++)
			ma_column_add_text(&columns[c], persons[i]->columns[c]);
		ma_column_add(&attributes, JsonbPGetDatum(persons[i]->attributes),
					  persons[i]->attributes == NULL);
	}
	for (int c = 0; c < MA_CONTACT_COLUMNS; c++)
		values[c + 2] = ma_column_array(&columns[c]);
	values[MA_CONTACT_COLUMNS + 2] = ma_column_array(&attributes);
}

/* Inserts the persons nobody knows, as far as others do not just now. */
static void
insert_missing(MaProfile **persons, int n)
{
	static MaStatement stmt = {
		"insert into mautomate.contact (external_id, email, phone,"
		" first_name, last_name, timezone, locale, region, stage, owner,"
		" attributes)"
		" select u.external_id, u.email, u.phone, u.first_name, u.last_name,"
		" u.timezone, u.locale, u.region, u.stage, u.owner,"
		" mautomate_internal.merge_attributes('{}', u.attributes)"
		" from unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
		" u (external_id, place, email, phone, first_name, last_name,"
		" timezone, locale, region, stage, owner, attributes)"
		" on conflict do nothing"
		" returning contact_id, external_id, email, phone",
		PERSON_VALUES,
		{TEXTARRAYOID, INT4ARRAYOID, PERSON_ARGTYPES}};
	MaProfile **missing = palloc(sizeof(MaProfile *) * n);
	int			count = 0;
	int			next = 0;
	MaColumn	keys[2];
	Datum		values[PERSON_VALUES];
	bool		isnull;

	ma_column_init(&keys[0], TEXTOID, n);
	ma_column_init(&keys[1], INT4OID, n);
	for (int i = 0; i < n; i++)
	{
		if (persons[i]->contact_id != 0 || persons[i]->problem != NULL)
			continue;
		missing[count++] = persons[i];
		ma_column_add_text(&keys[0], persons[i]->external_id);
		ma_column_add(&keys[1], Int32GetDatum(i), false);
	}
	if (count == 0)
		return;
	values[0] = ma_column_array(&keys[0]);
	values[1] = ma_column_array(&keys[1]);
	fill_values(missing, count, values);
	ma_sql_exec(&stmt, values, NULL, 0);
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		MaProfile inserted = {.external_id = ma_sql_text(row, 2)};

		inserted.columns[MA_CONTACT_EMAIL] = ma_sql_text(row, 3);
		inserted.columns[MA_CONTACT_PHONE] = ma_sql_text(row, 4);
		while (compare_names(missing[next], &inserted) != 0)
			next++; /* a subsequence, in our order */
		missing[next]->created = true;
		missing[next++]->contact_id =
			DatumGetInt64(ma_sql_datum(row, 1, &isnull));
	}
}

/*
 * Writes what is given of the persons that were there already. Several may
 * turn out to be one contact (one by id, one by e-mail): each statement takes
 * a contact once, so there are as many rounds as a contact comes.
 */
static void
update_known(MaProfile **persons, int n)
{
	MaProfile **known = palloc(sizeof(MaProfile *) * n);
	int			count = 0;

	for (int i = 0; i < n; i++)
		if (persons[i]->contact_id != 0 && !persons[i]->created &&
			(persons[i]->given != 0 || persons[i]->attributes != NULL))
			known[count++] = persons[i];
	for (int tries = 0; count > 0; tries++)
	{
		MaProfile **round = palloc(sizeof(MaProfile *) * count);
		int			taken = 0;
		int			left = 0;

		qsort(known, count, sizeof(MaProfile *), compare_contacts);
		for (int i = 0; i < count; i++)
			if (taken > 0 &&
				round[taken - 1]->contact_id == known[i]->contact_id)
				known[left++] = known[i];
			else
				round[taken++] = known[i];
		taken = update_round(round, taken);
		memcpy(&known[left], round, sizeof(MaProfile *) * taken);
		count = left + taken;
	}
}

/* qsort comparator of pointers to persons: by contact, then by position. */
static int
compare_contacts(const void *a, const void *b)
{
	const MaProfile *left = *(MaProfile *const *) a;
	const MaProfile *right = *(MaProfile *const *) b;

	if (left->contact_id != right->contact_id)
		return left->contact_id < right->contact_id ? -1 : 1;
	return (left > right) - (left < right);
}

/* The new value of a column, and those of all columns. */
#define TAKE(bit, column) \
	"case when u.given & " #bit " <> 0 then u." column " else c." column " end"
#define TAKE_ALL                                                                                  \
	TAKE(1, "email")                                                                              \
	"," TAKE(2, "phone") "," TAKE(4, "first_name") "," TAKE(8, "last_name") "," TAKE(             \
		16,                                                                                       \
		"timezone") "," TAKE(32,                                                                  \
							 "locale") "," TAKE(64,                                               \
												"region") "," TAKE(128,                           \
																   "stage") "," TAKE(256,         \
																					 "owner") "," \
																							  "mautomate_internal.merge_attributes(c.attributes, u.attributes)"
#define ALL_COLUMNS(c)                                                   \
	c "email," c "phone," c "first_name," c "last_name," c "timezone," c \
	  "locale," c "region," c "stage," c "owner," c "attributes"

/*
 * Updates different contacts, locked in the order of their ids, where
 * something is new. Returns how many have been merged away meanwhile; these
 * are moved to the front, with the survivor's id.
 */
static int
update_round(MaProfile **persons, int n)
{
	static MaStatement lock = {
		"select from mautomate.contact where contact_id = any($1)"
		" order by contact_id for no key update",
		1,
		{INT8ARRAYOID}};
	static MaStatement update = {
		"update mautomate.contact c set (" ALL_COLUMNS(
			"") ") ="
				" row(" TAKE_ALL ")"
				" from unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
				" u (contact_id, given, " ALL_COLUMNS(
					"") ")"
						" where c.contact_id = u.contact_id and c.merged_into is null"
						" and row(" ALL_COLUMNS(
							"c.") ") is distinct from row(" TAKE_ALL ")",
		PERSON_VALUES,
		{INT8ARRAYOID, INT4ARRAYOID, PERSON_ARGTYPES}};
	static MaStatement merged = {
		"select u.i, c.merged_into from unnest($1, $2) u (contact_id, i)"
		" join mautomate.contact c on c.contact_id = u.contact_id"
		" where c.merged_into is not null order by u.i",
		2,
		{INT8ARRAYOID, INT4ARRAYOID}};
	MaColumn contact_id;
	MaColumn given;
	MaColumn place;
	Datum	 values[PERSON_VALUES];
	bool	 isnull;

	ma_column_init(&contact_id, INT8OID, n);
	ma_column_init(&given, INT4OID, n);
	ma_column_init(&place, INT4OID, n);
	for (int i = 0; i < n; i++)
	{
		ma_column_add(&contact_id, Int64GetDatum(persons[i]->contact_id),
					  false);
		ma_column_add(&given, Int32GetDatum(persons[i]->given), false);
		ma_column_add(&place, Int32GetDatum(i), false);
	}
	values[0] = ma_column_array(&contact_id);
	values[1] = ma_column_array(&given);
	fill_values(persons, n, values);
	if (n > 1)
		ma_sql_exec(&lock, values, NULL, 0);
	if (ma_sql_exec(&update, values, NULL, 0) == n)
		return 0;
	values[1] = ma_column_array(&place);
	ma_sql_exec(&merged, values, NULL, 0);
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		int i = DatumGetInt32(ma_sql_datum(row, 1, &isnull));

		persons[i]->contact_id = DatumGetInt64(ma_sql_datum(row, 2, &isnull));
		persons[row] = persons[i];
	}
	return SPI_processed;
}

/*
 * Whoever is known by anonymous_id becomes the contact of a person, who has a
 * name; both are made known where they are not. Returns false, and does
 * nothing else, if the id belongs to somebody else already.
 */
bool
ma_contact_alias(const char *anonymous_id, MaProfile *person)
{
	static MaStatement merged = {
		"select from mautomate.contact"
		" where external_id = $1 and merged_into is not null",
		1,
		{TEXTOID}};
	Datum	   value = CStringGetTextDatum(anonymous_id);
	MaSqlScope scope;

	for (;;)
	{
		MaProfile anonymous = {.external_id = anonymous_id};
		bool	  taken;

		if (!person->is_found)
			person->contact_id = 0;
		person->is_found = false;
		obtain(person, 1);
		obtain(&anonymous, 1);
		if (person->problem != NULL)
			ThrowErrorData(person->problem);
		if (anonymous.contact_id == person->contact_id)
			return true;
		ma_sql_begin(&scope);
		taken = ma_sql_exec(&merged, &value, NULL, 1) > 0;
		ma_sql_end(&scope);
		if (taken)
			return false;
		if (ma_contact_merge(anonymous.contact_id, person->contact_id))
			return true;
	}
}
