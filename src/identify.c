/*
 * identify.c
 *	  SQL functions about one person: identify, alias, tag, untag.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "attribute.h"
#include "contact.h"
#include "merge.h"
#include "sql.h"

PG_FUNCTION_INFO_V1(mautomate_identify);
PG_FUNCTION_INFO_V1(mautomate_contact_of);
PG_FUNCTION_INFO_V1(mautomate_alias);
PG_FUNCTION_INFO_V1(mautomate_tag);
PG_FUNCTION_INFO_V1(mautomate_untag);

static void check_id(const char *id, const char *argument);
static bool change_tags(FunctionCallInfo fcinfo, MaStatement *stmt);

/* identify(external_id, email, phone, attributes) -> bigint */
Datum
mautomate_identify(PG_FUNCTION_ARGS)
{
	MaProfile	person = {0};
	const char *reason = NULL;

	if (!PG_ARGISNULL(0))
	{
		person.external_id = text_to_cstring(PG_GETARG_TEXT_PP(0));
		check_id(person.external_id, "external_id");
	}
	if (!PG_ARGISNULL(1))
	{
		char *email = text_to_cstring(PG_GETARG_TEXT_PP(1));

		if (!ma_profile_set_email(&person, email, &reason))
			ThrowErrorData(ma_contact_bad_email(email, reason));
	}
	if (!PG_ARGISNULL(2))
	{
		char *phone = text_to_cstring(PG_GETARG_TEXT_PP(2));

		if (!ma_profile_set_phone(&person, phone, &reason))
			ThrowErrorData(ma_contact_bad_phone(phone, reason));
	}
	if (!PG_ARGISNULL(3))
		(void) ma_profile_describe(&person, PG_GETARG_JSONB_P(3), false);
	if (!ma_profile_is_named(&person))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("a contact needs an external id, an e-mail address or "
						"a phone number")));
	ma_contact_store(&person, 1);
	if (person.problem != NULL)
		ThrowErrorData(person.problem);
	if (person.shared_with != NULL)
		ereport(NOTICE,
				(errmsg("contacts \"%s\" and \"%s\" have the same address",
						person.external_id, person.shared_with),
				 errhint("If they are one person, merge them with "
						 "mautomate.alias().")));
	PG_RETURN_INT64(person.contact_id);
}

/* Refuses an external id that names nobody, or is none. */
static void
check_id(const char *id, const char *argument)
{
	if (*id == '\0')
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s must not be empty", argument)));
	if (strlen(id) > MA_ID_MAX)
		ThrowErrorData(ma_contact_long_id());
}

/* contact_of(who) -> bigint */
Datum
mautomate_contact_of(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(
		ma_contact_resolve(text_to_cstring(PG_GETARG_TEXT_PP(0)), false));
}

/*
 * alias(anonymous_id, external_id) -> bigint: whoever is known by the first
 * becomes the contact of the second.
 */
Datum
mautomate_alias(PG_FUNCTION_ARGS)
{
	char	 *anonymous_id;
	char	 *external_id;
	MaProfile person = {0};

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("alias needs an anonymous id and an external id")));
	anonymous_id = text_to_cstring(PG_GETARG_TEXT_PP(0));
	external_id = text_to_cstring(PG_GETARG_TEXT_PP(1));
	check_id(anonymous_id, "anonymous_id");
	check_id(external_id, "external_id");
	person.external_id = external_id;
	if (!ma_contact_alias(anonymous_id, &person))
		ereport(NOTICE,
				(errmsg("\"%s\" already belongs to another contact than "
						"\"%s\"",
						anonymous_id, external_id),
				 errdetail("Nothing is changed: a merge is for ever.")));
	PG_RETURN_INT64(person.contact_id);
}

/* tag(who, tag) -> boolean */
Datum
mautomate_tag(PG_FUNCTION_ARGS)
{
	static MaStatement stmt = {
		"update mautomate.contact c"
		" set attributes = jsonb_set(c.attributes, '{tags}',"
		" (select jsonb_agg(t order by t collate \"C\") from ("
		"select jsonb_array_elements_text(coalesce(c.attributes -> 'tags',"
		" '[]')) union select $2) u (t)))"
		" where c.contact_id = $1"
		" and not coalesce(c.attributes -> 'tags' ? $2, false)",
		2,
		{INT8OID, TEXTOID}};

	PG_RETURN_BOOL(change_tags(fcinfo, &stmt));
}

/* untag(who, tag) -> boolean */
Datum
mautomate_untag(PG_FUNCTION_ARGS)
{
	static MaStatement stmt = {
		"update mautomate.contact c"
		" set attributes = case when c.attributes -> 'tags' = jsonb_build_array($2)"
		" then c.attributes - 'tags' else jsonb_set(c.attributes, '{tags}',"
		" (c.attributes -> 'tags') - $2) end"
		" where c.contact_id = $1 and c.attributes -> 'tags' ? $2",
		2,
		{INT8OID, TEXTOID}};

	PG_RETURN_BOOL(change_tags(fcinfo, &stmt));
}

/* Runs a statement over (contact, tag); was anything changed? */
static bool
change_tags(FunctionCallInfo fcinfo, MaStatement *stmt)
{
	MaSqlScope scope;
	Datum	   values[2];
	bool	   changed;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) ||
		VARSIZE_ANY_EXHDR(PG_GETARG_TEXT_PP(1)) == 0)
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("a contact and a tag are needed")));
	values[0] = Int64GetDatum(
		ma_contact_resolve(text_to_cstring(PG_GETARG_TEXT_PP(0)), false));
	values[1] = PG_GETARG_DATUM(1);
	ma_sql_begin(&scope);
	changed = ma_sql_exec(stmt, values, NULL, 0) > 0;
	ma_sql_end(&scope);
	return changed;
}
