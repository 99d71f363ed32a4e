/*
 * vocabulary.c
 *	  What attributes and event properties are declared as.
 *
 * Asked when an expression is compiled, which is rare: each question is a
 * query under the latest snapshot. Also which names are ours.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "sql.h"
#include "value.h"
#include "vocabulary.h"

/* Columns of mautomate.contact that contact.<name> reads, in this order. */
static const char *const columns[] = {
	"external_id", "email",	 "phone", "first_name", "last_name", "timezone",
	"locale",	   "region", "stage", "owner",		"created_at"};

/* The ordinal of a contact column from 0, -1 if it is an attribute. */
int
ma_vocabulary_column(const char *name)
{
	for (int i = 0; i < lengthof(columns); i++)
		if (strcmp(columns[i], name) == 0)
			return i;
	return -1;
}

/* Is this piece of text the kind of events that only the engine writes? */
bool
ma_vocabulary_reserved_piece(const char *kind, int length)
{
#define KIND(name)             \
	{                          \
		name, sizeof(name) - 1 \
	}
	static const struct
	{
		const char *name;
		int			length;
	} kinds[] = {KIND("attribute_changed"), KIND("list_entered"),
				 KIND("list_left"), KIND("stage_changed"),
				 KIND("tier_changed")};
#undef KIND

	for (int i = 0; i < lengthof(kinds); i++)
		if (length == kinds[i].length &&
			memcmp(kind, kinds[i].name, length) == 0)
			return true;
	return false;
}

/* Is this the kind of such events? */
bool
ma_vocabulary_reserved(const char *kind)
{
	return ma_vocabulary_reserved_piece(kind, strlen(kind));
}

/* Raises that a kind is ours. */
void
ma_vocabulary_refuse(const char *kind)
{
	ereport(
		ERROR,
		(errcode(ERRCODE_RESERVED_NAME),
		 errmsg("event kind \"%s\" is reserved", kind),
		 errdetail("mautomate itself writes such events when they happen."),
		 errhint("Take another kind.")));
}

/* Raises that a kind is too long. */
void
ma_vocabulary_refuse_long(void)
{
	ereport(ERROR, (errcode(ERRCODE_NAME_TOO_LONG),
					errmsg("the kind of an event is longer than %d bytes",
						   MA_KIND_MAX)));
}

/* One type by two texts; InvalidOid if the query finds none. */
static Oid
find_type(MaStatement *stmt, const char *a, const char *b)
{
	MaSqlScope scope;
	Datum	   values[2];
	Oid		   type = InvalidOid;

	values[0] = CStringGetTextDatum(a);
	values[1] = CStringGetTextDatum(b);
	ma_sql_begin(&scope);
	PushActiveSnapshot(GetLatestSnapshot());
	if (ma_sql_read(stmt, values, NULL, 1) == 1)
	{
		bool  isnull;
		Datum value = ma_sql_datum(0, 1, &isnull);

		if (!isnull)
			type = ma_value_type(DatumGetObjectId(value));
	}
	PopActiveSnapshot();
	ma_sql_end(&scope);
	return type;
}

/* The type of contact.<name>; InvalidOid if it was never declared. */
Oid
ma_vocabulary_attribute(const char *name)
{
	static MaStatement stmt = {
		"select type::oid from mautomate_internal.attribute"
		" where attribute = $1 and $2 = ''",
		2,
		{TEXTOID, TEXTOID}};
	int column = ma_vocabulary_column(name);

	if (column >= 0)
		return strcmp(name, "created_at") == 0 ? TIMESTAMPTZOID : TEXTOID;
	return find_type(&stmt, name, "");
}

/* The type of event.<property> of a kind (NULL: of any); or InvalidOid. */
Oid
ma_vocabulary_property(const char *kind, const char *property)
{
	static MaStatement stmt = {"select (properties->>$2)::regtype::oid"
							   " from mautomate_internal.event_kind"
							   " where kind = $1 and properties ? $2",
							   2,
							   {TEXTOID, TEXTOID}};

	return kind == NULL ? InvalidOid : find_type(&stmt, kind, property);
}
