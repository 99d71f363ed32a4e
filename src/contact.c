/*
 * contact.c
 *	  Persons: how they are described, and who is meant.
 *
 * A person is looked up by external id, else by e-mail, else by phone; sets
 * of them with one statement per way and chunk.
 *
 * A merged contact keeps its external id and names its survivor, which is
 * never itself merged (merge.c), so one step leads to whoever is meant.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "address.h"
#include "batch.h"
#include "contact.h"
#include "sql.h"

static void lookup_ids(MaProfile **persons, int n);
static void lookup_addresses(MaProfile **persons, int n,
							 MaContactColumn column, MemoryContext cxt);
static void take_matches(MaProfile *person, const char *address, uint64 first,
						 uint64 end);

static const char *const column_names[MA_CONTACT_COLUMNS] = {
	"email",  "phone",	"first_name", "last_name", "timezone",
	"locale", "region", "stage",	  "owner"};

/* The name of a column, as attributes and select lists spell it. */
const char *
ma_contact_column_name(MaContactColumn column)
{
	return column_names[column];
}

/* Gives a person a value for a column; NULL removes it. Not copied. */
void
ma_profile_set(MaProfile *person, MaContactColumn column, const char *value)
{
	person->columns[column] = value;
	person->given |= 1 << column;
}

/* Is there anything to know a person by? */
bool
ma_profile_is_named(const MaProfile *person)
{
	return person->external_id != NULL ||
		   person->columns[MA_CONTACT_EMAIL] != NULL ||
		   person->columns[MA_CONTACT_PHONE] != NULL;
}

/* The address by which a person is, or may be, named; NULL: by none. */
const char *
ma_profile_address(const MaProfile *person)
{
	const char *name = person->external_id;

	if (name == NULL)
		return person->columns[MA_CONTACT_EMAIL] ?
				   person->columns[MA_CONTACT_EMAIL] :
				   person->columns[MA_CONTACT_PHONE];
	if (person->is_id || (strchr(name, '@') == NULL && *name != '+'))
		return NULL;
	return name;
}

/*
 * Gives a person an e-mail address in its one spelling. Spaces around it are
 * forgiven, an empty one removes. Returns false, and why, if it is not valid.
 */
bool
ma_profile_set_email(MaProfile *person, const char *email, const char **reason)
{
	char *trimmed = pstrdup(email + strspn(email, " \t"));
	char *normal = NULL;
	int	  len = strlen(trimmed);

	while (len > 0 && strchr(" \t", trimmed[len - 1]) != NULL)
		trimmed[--len] = '\0';
	if (*trimmed != '\0' &&
		(normal = ma_address_normalise(trimmed, reason)) == NULL)
		return false;
	ma_profile_set(person, MA_CONTACT_EMAIL, normal);
	return true;
}

/* The same for a phone number. */
bool
ma_profile_set_phone(MaProfile *person, const char *phone, const char **reason)
{
	char *normal = NULL;

	if (phone[strspn(phone, " \t")] != '\0' &&
		(normal = ma_phone_normalise(phone, reason)) == NULL)
		return false;
	ma_profile_set(person, MA_CONTACT_PHONE, normal);
	return true;
}

/* Describes what is wrong with a person, to be raised or noted. */
ErrorData *
ma_problem(int code, const char *message, const char *detail, const char *hint)
{
	ErrorData *problem = palloc0(sizeof(ErrorData));

	problem->elevel = ERROR;
	problem->sqlerrcode = code;
	problem->message = pstrdup(message);
	problem->detail = detail ? pstrdup(detail) : NULL;
	problem->hint = hint ? pstrdup(hint) : NULL;
	problem->assoc_context = CurrentMemoryContext;
	return problem;
}

/* Do two profiles name a person in the same way? */
bool
ma_profile_same_name(const MaProfile *a, const MaProfile *b)
{
	const char *x = a->external_id;
	const char *y = b->external_id;

	if (x == NULL && y == NULL)
	{
		x = a->columns[MA_CONTACT_EMAIL];
		y = b->columns[MA_CONTACT_EMAIL];
	}
	return x != NULL && y != NULL && strcmp(x, y) == 0;
}

/*
 * Of what a profile gives, keeps what differs from how the same person was
 * described before: what is no longer given is removed.
 */
void
ma_profile_keep_changes(MaProfile *profile, const MaProfile *before)
{
	for (int c = 0; c < MA_CONTACT_COLUMNS; c++)
	{
		const char *now = profile->columns[c];
		const char *then = before->columns[c];

		if ((profile->given & (1 << c)) == 0 && then != NULL)
			ma_profile_set(profile, c, NULL);
		else if (now != NULL && then != NULL && strcmp(now, then) == 0)
			profile->given &= ~(1 << c);
	}
}

/*
 * Finds out who the persons are. contact_id stays 0 for those nobody knows,
 * and for those whose address several contacts share (with a problem). Looks
 * with the latest snapshot, so that under REPEATABLE READ too a contact that
 * has just been committed is found instead of collided with.
 */
void
ma_contact_lookup(MaProfile *persons, int n)
{
	MemoryContext cxt = CurrentMemoryContext;
	MaProfile	**all = palloc(sizeof(MaProfile *) * n);
	MaSqlScope	  scope;

	for (int i = 0; i < n; i++)
		all[i] = &persons[i];
	ma_sql_begin(&scope);
	PushActiveSnapshot(GetLatestSnapshot());
	for (int i = 0; i < n; i += MA_CHUNK)
		ma_contact_lookup_chunk(&all[i], Min(n - i, MA_CHUNK), cxt);
	PopActiveSnapshot();
	ma_sql_end(&scope);
}

/*
 * Looks up those of the persons that are still unknown, under the active
 * snapshot; makes problems in cxt.
 */
void
ma_contact_lookup_chunk(MaProfile **persons, int n, MemoryContext cxt)
{
	MaProfile **by_id = palloc(sizeof(MaProfile *) * n);
	MaProfile **by_email = palloc(sizeof(MaProfile *) * n);
	MaProfile **by_phone = palloc(sizeof(MaProfile *) * n);
	int			ids = 0;
	int			emails = 0;
	int			phones = 0;

	for (int i = 0; i < n; i++)
	{
		MaProfile *person = persons[i];

		if (person->contact_id != 0 || person->problem != NULL)
			continue;
		if (person->external_id != NULL)
			by_id[ids++] = person;
		else if (person->columns[MA_CONTACT_EMAIL] != NULL)
			by_email[emails++] = person;
		else if (person->columns[MA_CONTACT_PHONE] != NULL)
			by_phone[phones++] = person;
	}
	if (ids > 0)
		lookup_ids(by_id, ids);
	if (emails > 0)
		lookup_addresses(by_email, emails, MA_CONTACT_EMAIL, cxt);
	if (phones > 0)
		lookup_addresses(by_phone, phones, MA_CONTACT_PHONE, cxt);
}

/* Looks persons up by external id, under the active snapshot. */
static void
lookup_ids(MaProfile **persons, int n)
{
	static MaStatement one = {"select 0, coalesce(merged_into, contact_id)"
							  " from mautomate.contact where external_id = $1",
							  1,
							  {TEXTOID}};
	static MaStatement many = {
		"select u.i, coalesce(c.merged_into, c.contact_id)"
		" from unnest($1, $2) u (i, external_id)"
		" join mautomate.contact c on c.external_id = u.external_id",
		2,
		{INT4ARRAYOID, TEXTARRAYOID}};
	Datum values[2];
	bool  isnull;

	if (n == 1)
	{
		values[0] = CStringGetTextDatum(persons[0]->external_id);
		ma_sql_read(&one, values, NULL, 0);
	}
	else
	{
		MaColumn place;
		MaColumn external_id;

		ma_column_init(&place, INT4OID, n);
		ma_column_init(&external_id, TEXTOID, n);
		for (int i = 0; i < n; i++)
		{
			ma_column_add(&place, Int32GetDatum(i), false);
			ma_column_add_text(&external_id, persons[i]->external_id);
		}
		values[0] = ma_column_array(&place);
		values[1] = ma_column_array(&external_id);
		ma_sql_read(&many, values, NULL, 0);
	}
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		int i = DatumGetInt32(ma_sql_datum(row, 1, &isnull));

		persons[i]->contact_id = DatumGetInt64(ma_sql_datum(row, 2, &isnull));
	}
}

/*
 * Looks persons up by e-mail or phone, under the active snapshot. Problems
 * are made in cxt. At most one contact has an address and nothing else, so
 * four that share it are enough to know that it tells nobody. Thousands may,
 * where a shop puts the same address into every row: so each address of the
 * set is looked up once.
 */
static void
lookup_addresses(MaProfile **persons, int n, MaContactColumn column,
				 MemoryContext cxt)
{
	static MaStatement by_email = {
		"select p.i, c.contact_id, c.external_id from ("
		"select lower(address) as address, array_agg(i) as places"
		" from unnest($1, $2) u (i, address) group by 1) a"
		" cross join lateral (select contact_id, external_id"
		" from mautomate.contact where lower(email) = a.address"
		" and merged_into is null limit 4) c"
		" cross join unnest(a.places) p (i) order by p.i, c.contact_id",
		2,
		{INT4ARRAYOID, TEXTARRAYOID}};
	static MaStatement by_phone = {
		"select p.i, c.contact_id, c.external_id from ("
		"select address, array_agg(i) as places"
		" from unnest($1, $2) u (i, address) group by 1) a"
		" cross join lateral (select contact_id, external_id"
		" from mautomate.contact where phone = a.address"
		" and merged_into is null limit 4) c"
		" cross join unnest(a.places) p (i) order by p.i, c.contact_id",
		2,
		{INT4ARRAYOID, TEXTARRAYOID}};
	MaColumn place;
	MaColumn address;
	Datum	 values[2];
	bool	 isnull;
	uint64	 end;

	ma_column_init(&place, INT4OID, n);
	ma_column_init(&address, TEXTOID, n);
	for (int i = 0; i < n; i++)
	{
		ma_column_add(&place, Int32GetDatum(i), false);
		ma_column_add_text(&address, persons[i]->columns[column]);
	}
	values[0] = ma_column_array(&place);
	values[1] = ma_column_array(&address);
	ma_sql_read(column == MA_CONTACT_EMAIL ? &by_email : &by_phone, values,
				NULL, 0);
	for (uint64 first = 0; first < SPI_processed; first = end)
	{
		int			  i = DatumGetInt32(ma_sql_datum(first, 1, &isnull));
		MemoryContext old;

		for (end = first + 1; end < SPI_processed; end++)
			if (DatumGetInt32(ma_sql_datum(end, 1, &isnull)) != i)
				break;
		old = MemoryContextSwitchTo(cxt);
		take_matches(persons[i], persons[i]->columns[column], first, end);
		MemoryContextSwitchTo(old);
	}
}

/*
 * Result rows [first, end) are the contacts that have the person's address.
 * The one with an external id is meant, else the one known by nothing else.
 */
static void
take_matches(MaProfile *person, const char *address, uint64 first, uint64 end)
{
	StringInfoData list;
	int			   named = 0;
	bool		   isnull;

	initStringInfo(&list);
	for (uint64 row = first; row < end; row++)
	{
		char *external_id = ma_sql_text(row, 3);

		if (external_id == NULL && named > 0)
			continue;
		person->contact_id = DatumGetInt64(ma_sql_datum(row, 2, &isnull));
		if (external_id != NULL)
			appendStringInfo(&list, "%s\"%s\"", named++ > 0 ? ", " : "",
							 external_id);
	}
	if (named > 1)
	{
		person->contact_id = 0;
		person->problem = ma_problem(
			ERRCODE_CARDINALITY_VIOLATION,
			psprintf("several contacts have the address \"%s\"", address),
			psprintf("They are %s.", list.data),
			"Name the person by external id.");
	}
}

/*
 * Finds out who is meant by each external_id, which here may also be an
 * e-mail address or a phone number. With create, who is unknown becomes a
 * contact: by e-mail if there is an @ in it, else by external id. Who comes
 * with an address and no external id is known or made known by that.
 */
void
ma_contact_resolve_all(MaProfile *persons, int n, bool create)
{
	MaProfile *again = palloc0(sizeof(MaProfile) * n);
	int		  *place = palloc(sizeof(int) * n);
	int		   count = 0;

	ma_contact_lookup(persons, n);
	for (int i = 0; i < n; i++)
	{
		const char *who = persons[i].external_id;
		const char *reason = NULL;

		if (persons[i].contact_id != 0 || persons[i].problem != NULL ||
			who == NULL || persons[i].is_id)
			continue;
		if (create && strlen(who) > MA_ID_MAX)
			persons[i].problem = ma_contact_long_id();
		else if (strchr(who, '@') == NULL)
			(void) ma_profile_set_phone(&again[count], who, NULL);
		else if (!ma_profile_set_email(&again[count], who, &reason) && create)
			persons[i].problem = ma_contact_bad_email(who, reason);
		if (again[count].given != 0)
			place[count++] = i;
	}
	ma_contact_lookup(again, count);
	for (int i = 0; i < count; i++)
		if (again[i].contact_id != 0 || again[i].problem != NULL ||
			again[i].columns[MA_CONTACT_EMAIL] != NULL)
			persons[place[i]] = again[i];
	if (create)
		ma_contact_store_missing(persons, n);
}

/*
 * The contact that a text names, for functions of the user: an unknown or
 * ambiguous one is an error, or 0 with missing_ok where nobody has it.
 */
int64
ma_contact_resolve(const char *who, bool missing_ok)
{
	MaProfile person = {.external_id = who};

	ma_contact_resolve_all(&person, 1, false);
	if (person.problem != NULL)
		ThrowErrorData(person.problem);
	if (person.contact_id == 0 && !missing_ok)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("contact \"%s\" does not exist", who),
				 errdetail("It is no external id, e-mail address or phone "
						   "number of a contact."),
				 errhint("Make it known with mautomate.identify().")));
	return person.contact_id;
}

/* The problem of an external id that no index takes. */
ErrorData *
ma_contact_long_id(void)
{
	return ma_problem(
		ERRCODE_PROGRAM_LIMIT_EXCEEDED,
		psprintf("external id is longer than %d bytes", MA_ID_MAX), NULL,
		NULL);
}

/* The beginning of a text, for a message: it may be anything. */
static char *
beginning(const char *text)
{
	int length = strlen(text);
	int shown = pg_mbcliplen(text, length, 200);

	return psprintf("%.*s%s", shown, text, shown < length ? "..." : "");
}

/* The problem of an e-mail address that is none. */
ErrorData *
ma_contact_bad_email(const char *email, const char *reason)
{
	return ma_problem(
		ERRCODE_INVALID_PARAMETER_VALUE,
		psprintf("invalid e-mail address \"%s\"", beginning(email)), reason,
		NULL);
}

/* The problem of a phone number that is none. */
ErrorData *
ma_contact_bad_phone(const char *phone, const char *reason)
{
	return ma_problem(
		ERRCODE_INVALID_PARAMETER_VALUE,
		psprintf("invalid phone number \"%s\"", beginning(phone)), reason,
		"Write it with the country, such as +44 20 7946 0000.");
}
