/*
 * attribute.c
 *	  Declared attributes, and what a JSON object says of a person.
 *
 * An attribute that is a column of mautomate.contact goes there, every other
 * one into the column attributes. A declared one must convert to its type;
 * it is stored as given. Declarations are cached until they change.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "attribute.h"
#include "clock.h"
#include "inval.h"
#include "setting.h"
#include "sql.h"
#include "value.h"
#include "zone.h"

PG_FUNCTION_INFO_V1(mautomate_define_attribute);
PG_FUNCTION_INFO_V1(mautomate_merge_attributes);

/* A declared attribute. */
typedef struct Attribute
{
	char	 name[NAMEDATALEN]; /* key */
	Oid		 type;
	char	 category; /* TYPCATEGORY_* */
	Oid		 ioparam;  /* for the input function */
	FmgrInfo input;
} Attribute;

static void		   reload(void);
static Attribute  *find(const char *name);
static ErrorData  *type_problem(Attribute *attribute, const char *value,
								const char *detail);
static ErrorData  *convert(Attribute *attribute, char *text);
static ErrorData  *describe_one(MaProfile *person, const char *name,
								JsonbValue *value, bool *is_column);
static const char *reserved_hint(const char *name);

static MaWatch		 watch = {"generation"};
static MemoryContext cxt = NULL; /* owns the cache */
static HTAB			*declared = NULL;

/* Reads the declarations under the latest snapshot. */
static void
reload(void)
{
	static MaStatement stmt = {
		"select attribute, type::oid from mautomate_internal.attribute", 0};
	HASHCTL	   ctl = {.keysize = NAMEDATALEN, .entrysize = sizeof(Attribute)};
	HTAB	  *table;
	MaSqlScope scope;
	bool	   isnull;

	watch.stale = false;
	declared = NULL;
	if (cxt != NULL)
		MemoryContextReset(cxt);
	else
		cxt = AllocSetContextCreate(TopMemoryContext, "mautomate attributes",
									ALLOCSET_SMALL_SIZES);
	ctl.hcxt = cxt;
	table = hash_create("mautomate attributes", 64, &ctl,
						HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	ma_sql_begin(&scope);
	PushActiveSnapshot(GetLatestSnapshot());
	ma_sql_read(&stmt, NULL, NULL, 0);
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		Attribute *attribute =
			hash_search(table, ma_sql_text(row, 1), HASH_ENTER, NULL);
		bool preferred;
		Oid	 input;

		attribute->type = DatumGetObjectId(ma_sql_datum(row, 2, &isnull));
		get_type_category_preferred(attribute->type, &attribute->category,
									&preferred);
		getTypeInputInfo(attribute->type, &input, &attribute->ioparam);
		fmgr_info_cxt(input, &attribute->input, cxt);
	}
	PopActiveSnapshot();
	ma_sql_end(&scope);
	declared = table;
}

/* The declaration of an attribute; NULL if it is not declared. */
static Attribute *
find(const char *name)
{
	if (strlen(name) >= NAMEDATALEN || !ma_inval_watch(&watch))
		return NULL;
	if (watch.stale || declared == NULL)
		reload();
	return hash_search(declared, name, HASH_FIND, NULL);
}

/*
 * Does a value fit an attribute? Returns the problem if not. Null and
 * undeclared attributes always do.
 */
static ErrorData *
check(const char *name, JsonbValue *value)
{
	Attribute *attribute = find(name);
	bool	   is_json;
	char	  *text;

	if (attribute == NULL || value->type == jbvNull)
		return NULL;
	is_json = attribute->type == JSONBOID || attribute->type == JSONOID;
	switch (value->type)
	{
		case jbvString:
			text = pnstrdup(value->val.string.val, value->val.string.len);
			return is_json || attribute->type == TEXTOID ?
					   NULL :
					   convert(attribute, text);
		case jbvNumeric:
			text = DatumGetCString(DirectFunctionCall1(
				numeric_out, NumericGetDatum(value->val.numeric)));
			if (attribute->category == TYPCATEGORY_NUMERIC)
				return convert(attribute, text);
			return is_json ? NULL : type_problem(attribute, text, NULL);
		case jbvBool:
			return is_json || attribute->type == BOOLOID ?
					   NULL :
					   type_problem(attribute,
									value->val.boolean ? "true" : "false",
									NULL);
		default:
			return is_json ?
					   NULL :
					   type_problem(attribute, "a JSON object or array", NULL);
	}
}

/* The problem of a value that is not of the attribute's type. */
static ErrorData *
type_problem(Attribute *attribute, const char *value, const char *detail)
{
	return ma_problem(detail ? ERRCODE_INVALID_TEXT_REPRESENTATION :
							   ERRCODE_INVALID_PARAMETER_VALUE,
					  psprintf("attribute \"%s\" is of type %s, but the value "
							   "is %s",
							   attribute->name,
							   format_type_be(attribute->type), value),
					  detail, NULL);
}

/*
 * Does a text convert to the type? The input function runs in a
 * subtransaction of its own, since it may be called while the application
 * inserts a row that must not fail.
 */
static ErrorData *
convert(Attribute *attribute, char *text)
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData *volatile error = NULL;
	MaSetting own;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(caller);
	ma_setting_enter(&own);
	PG_TRY();
	{
		(void) InputFunctionCall(&attribute->input, text, attribute->ioparam,
								 -1);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	ma_setting_leave(&own);
	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = owner;
	if (error == NULL)
		return NULL;
	if (ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_DATA_EXCEPTION)
		ReThrowError(error);
	return type_problem(
		attribute, psprintf("\"%s\"", text),
		psprintf("%c%s.", pg_toupper(error->message[0]), error->message + 1));
}

/*
 * Takes over what a JSON object says of a person. Something wrong is an
 * error; with soft, it is left out and the first such problem is returned.
 */
ErrorData *
ma_profile_describe(MaProfile *person, Jsonb *attributes, bool soft)
{
	JsonbIterator	*it = JsonbIteratorInit(&attributes->root);
	JsonbParseState *state = NULL;
	JsonbValue		 key;
	JsonbValue		 value;
	ErrorData		*first = NULL;
	bool			 any = false;

	if (!JB_ROOT_IS_OBJECT(attributes))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("attributes must be a JSON object"),
						errhint("Write them as {\"name\": value, ...}.")));
	(void) JsonbIteratorNext(&it, &key, true);
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	while (JsonbIteratorNext(&it, &key, true) == WJB_KEY)
	{
		char	  *name = pnstrdup(key.val.string.val, key.val.string.len);
		bool	   is_column;
		ErrorData *problem;

		(void) JsonbIteratorNext(&it, &value, true);
		problem = describe_one(person, name, &value, &is_column);
		if (problem != NULL && !soft)
			ThrowErrorData(problem);
		if (problem == NULL && !is_column)
		{
			pushJsonbValue(&state, WJB_KEY, &key);
			pushJsonbValue(&state, WJB_VALUE, &value);
			any = true;
		}
		if (first == NULL)
			first = problem;
	}
	key = *pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	if (any)
		person->attributes = JsonbValueToJsonb(&key);
	return first;
}

/* Refuses a name that no attribute can have. */
void
ma_attribute_check_given(const char *name)
{
	const char *hint = reserved_hint(name);

	if (hint != NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_NAME),
						errmsg("\"%s\" is not an attribute", name),
						errhint("%s", hint)));
}

/* Takes over one attribute, if it is a column, or checks it. */
static ErrorData *
describe_one(MaProfile *person, const char *name, JsonbValue *value,
			 bool *is_column)
{
	MaContactColumn column = MA_CONTACT_FIRST_NAME;
	const char	   *hint = reserved_hint(name);
	char		   *text;

	*is_column = false;
	if (hint != NULL)
		return ma_problem(ERRCODE_INVALID_PARAMETER_VALUE,
						  psprintf("\"%s\" is not an attribute", name), NULL,
						  hint);
	while (column < MA_CONTACT_COLUMNS &&
		   strcmp(ma_contact_column_name(column), name) != 0)
		column++;
	if (column == MA_CONTACT_COLUMNS)
		return check(name, value);
	*is_column = true;
	if (value->type == jbvNull)
	{
		ma_profile_set(person, column, NULL);
		return NULL;
	}
	if (value->type != jbvString)
		return ma_problem(ERRCODE_INVALID_PARAMETER_VALUE,
						  psprintf("attribute \"%s\" must be a string", name),
						  NULL, NULL);
	text = pnstrdup(value->val.string.val, value->val.string.len);
	if (column == MA_CONTACT_TIMEZONE && ma_zone(text) == NULL)
		return ma_problem(ERRCODE_INVALID_PARAMETER_VALUE,
						  psprintf("time zone \"%s\" not recognized", text),
						  NULL, "The view pg_timezone_names lists the zones.");
	ma_profile_set(person, column, text);
	return NULL;
}

/* What to do instead of giving this name to an attribute; NULL: go ahead. */
static const char *
reserved_hint(const char *name)
{
	static const char *const reserved[][2] = {
		{"", "An attribute needs a name."},
		{"external_id", "Give it as the argument external_id."},
		{"email", "Give it as the argument email."},
		{"phone", "Give it as the argument phone."},
		{"tags", "Use mautomate.tag() and mautomate.untag()."},
		{"attributes", "Name the attributes themselves."},
		{"contact_id", "It is given by mautomate and never changes."},
		{"account_id", "It is set by the functions for accounts."},
		{"merged_into", "It is set by mautomate.alias()."},
		{"created_at", "It is set when the contact becomes known."},
	};

	for (int i = 0; i < lengthof(reserved); i++)
		if (strcmp(name, reserved[i][0]) == 0)
			return reserved[i][1];
	return NULL;
}

/*
 * merge_attributes(jsonb, jsonb): the first with the top-level keys of the
 * second put in; a null takes the key out.
 */
Datum
mautomate_merge_attributes(PG_FUNCTION_ARGS)
{
	Jsonb			*merged;
	JsonbIterator	*it;
	JsonbParseState *state = NULL;
	JsonbValue		 key;
	JsonbValue		 value;

	if (PG_ARGISNULL(1))
		PG_RETURN_DATUM(PG_GETARG_DATUM(0));
	merged = DatumGetJsonbP(DirectFunctionCall2(
		jsonb_concat, PG_GETARG_DATUM(0), PG_GETARG_DATUM(1)));
	it = JsonbIteratorInit(&merged->root);
	(void) JsonbIteratorNext(&it, &key, true);
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	while (JsonbIteratorNext(&it, &key, true) == WJB_KEY)
	{
		(void) JsonbIteratorNext(&it, &value, true);
		if (value.type == jbvNull)
			continue;
		pushJsonbValue(&state, WJB_KEY, &key);
		pushJsonbValue(&state, WJB_VALUE, &value);
	}
	PG_RETURN_JSONB_P(
		JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}

/* Refuses a type that expressions could not keep to. */
void
ma_attribute_check_type(const char *name, Oid type)
{
	if (!OidIsValid(ma_value_type(type)))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("\"%s\" cannot be of type %s", name,
							   format_type_be(type)),
						errhint("Use text, numeric, boolean, date, timestamp, "
								"timestamptz or jsonb.")));
}

/* define_attribute(name text, type regtype, description text) -> text */
Datum
mautomate_define_attribute(PG_FUNCTION_ARGS)
{
	static MaStatement same = {
		"select from mautomate_internal.attribute where attribute = $1"
		" and type = $2 and description is not distinct from $3",
		3,
		{TEXTOID, REGTYPEOID, TEXTOID}};
	static MaStatement upsert = {
		"insert into mautomate_internal.attribute as a"
		" (attribute, type, description) values ($1, $2, $3)"
		" on conflict (attribute) do update"
		" set type = excluded.type, description = excluded.description"
		" returning a.xmax = 0",
		3,
		{TEXTOID, REGTYPEOID, TEXTOID}};
	Datum		values[3];
	char		nulls[4] = "   ";
	const char *result = "unchanged";
	MaSqlScope	scope;
	bool		isnull;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("an attribute needs a name and a type")));
	ma_attribute_check_name(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	ma_attribute_check_type(text_to_cstring(PG_GETARG_TEXT_PP(0)),
							PG_GETARG_OID(1));
	for (int i = 0; i < 3; i++)
	{
		values[i] = PG_ARGISNULL(i) ? (Datum) 0 : PG_GETARG_DATUM(i);
		nulls[i] = PG_ARGISNULL(i) ? 'n' : ' ';
	}
	ma_sql_begin(&scope);
	if (ma_sql_exec(&same, values, nulls, 1) == 0)
	{
		ma_sql_exec(&upsert, values, nulls, 0);
		result =
			DatumGetBool(ma_sql_datum(0, 1, &isnull)) ? "created" : "changed";
	}
	ma_sql_end(&scope);
	PG_RETURN_TEXT_P(cstring_to_text(result));
}

/* Refuses what cannot be the name of a declared attribute. */
void
ma_attribute_check_name(const char *name)
{
	const char *hint = reserved_hint(name);

	for (int i = 0; hint == NULL && i < MA_CONTACT_COLUMNS; i++)
		if (strcmp(name, ma_contact_column_name(i)) == 0)
			hint = "It is a column of every contact; there is no need to "
				   "declare it.";
	if (hint == NULL && strlen(name) >= NAMEDATALEN)
		hint = "Use a name of at most 63 bytes.";
	if (hint != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("\"%s\" cannot be the name of an attribute", name),
				 errhint("%s", hint)));
}
