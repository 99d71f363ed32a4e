/*
 * template_store.c
 *	  The names of templates: find, drop, rename.
 *
 * A dropped template stays, without a claim to its name, for the messages
 * that were made of it.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "argument.h"
#include "clock.h"
#include "sql.h"
#include "template_store.h"

PG_FUNCTION_INFO_V1(mautomate_drop_template);

/* Raises that a template is used, and what to do. */
static void
refuse_drop(const char *name, const char *detail, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
			 errmsg("cannot drop template \"%s\" because it is used", name),
			 errdetail_internal("%s", detail), errhint("%s", hint)));
}

/* Drops a template that nothing uses. */
static void
drop_all(const char *name, int template_id)
{
	static MaStatement waiting = {
		"select count(*)::int from mautomate_internal.outbox"
		" join mautomate_internal.message using (message_id)"
		" where template_id = $1",
		1,
		{INT4OID}};
	static MaStatement drop = {
		"update mautomate_internal.template set dropped = true"
		" where template_id = $1",
		1,
		{INT4OID}};
	Datum	   values[1] = {Int32GetDatum(template_id)};
	char	  *users = ma_template_users(name);
	MaSqlScope scope;
	bool	   isnull;
	int		   n;

	if (users != NULL)
		refuse_drop(name, psprintf(_("It is rendered by %s."), users),
					_("Change them first."));
	ma_sql_begin(&scope);
	ma_sql_exec(&waiting, values, NULL, 0);
	n = DatumGetInt32(ma_sql_datum(0, 1, &isnull));
	if (n > 0)
		refuse_drop(name,
					psprintf(ngettext("%d message made of it waits to be "
									  "sent.",
									  "%d messages made of it wait to be "
									  "sent.",
									  n),
							 n),
					_("Send them, or take them back with "
					  "cancel_message()."));
	ma_sql_exec(&drop, values, NULL, 0);
	ma_sql_end(&scope);
}

/* Makes a new version without the variant of a locale. */
static void
drop_variant(const char *name, int template_id, const char *locale)
{
	static MaStatement stmt = {
		"with old as (select t.template_id, t.version"
		"  from mautomate_internal.template t"
		"  join mautomate_internal.template_variant x"
		"  using (template_id, version)"
		"  where t.template_id = $1 and x.locale = $2),"
		" now as (update mautomate_internal.template t"
		"  set version = t.version + 1 from old"
		"  where t.template_id = old.template_id"
		"  returning t.template_id, t.version),"
		" stored as (insert into mautomate_internal.template_version"
		"  (template_id, version, channel_id, transactional, created_at,"
		"   priority)"
		"  select now.template_id, now.version, v.channel_id,"
		"   v.transactional, $3, v.priority"
		"  from now join mautomate_internal.template_version v"
		"  on v.template_id = now.template_id"
		"  and v.version = now.version - 1)"
		" insert into mautomate_internal.template_variant"
		"  (template_id, version, locale, subject, html, body, data,"
		"   attachments, owner)"
		" select now.template_id, now.version, x.locale, x.subject, x.html,"
		"  x.body, x.data, x.attachments, x.owner"
		" from now join mautomate_internal.template_variant x"
		" on x.template_id = now.template_id and x.version = now.version - 1"
		" where x.locale <> $2",
		3,
		{INT4OID, TEXTOID, TIMESTAMPTZOID}};
	char	  *canonical = ma_locale_canonical(locale);
	Datum	   values[3];
	MaSqlScope scope;
	uint64	   kept = 0;

	values[0] = Int32GetDatum(template_id);
	values[1] = CStringGetTextDatum(canonical ? canonical : locale);
	values[2] = TimestampTzGetDatum(ma_now());
	ma_sql_begin(&scope);
	if (canonical != NULL)
		kept = ma_sql_exec(&stmt, values, NULL, 0);
	ma_sql_end(&scope);
	if (kept == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("template \"%s\" has no variant \"%s\"", name, locale),
				 errhint("The view mautomate.templates lists the "
						 "variants.")));
}

/* drop_template(name, locale) */
Datum
mautomate_drop_template(PG_FUNCTION_ARGS)
{
	char *name = ma_argument_text(fcinfo, 0, "name");
	char *locale = ma_argument_text_or_null(fcinfo, 1);
	int	  id = ma_template_named(name);

	if (locale == NULL)
		drop_all(name, id);
	else
		drop_variant(name, id, locale);
	PG_RETURN_VOID();
}

/* The id of the living template of this name; unknown is the user's error. */
int
ma_template_named(const char *name)
{
	const MaStoredTemplate *template = ma_template_lookup(name);

	if (template == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("template \"%s\" does not exist", name),
						errhint("The view mautomate.templates lists the "
								"templates; create_template() makes one.")));
	return template->template_id;
}

/* The same, for a template that can be sent. */
int
ma_template_to_send(const char *name)
{
	int id = ma_template_named(name);

	if (ma_template_find(id, 0)->channel_id == 0)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("template \"%s\" cannot be sent", name),
						errdetail("It has no channel: it is a part of other "
								  "templates."),
						errhint("Name a channel in create_template().")));
	return id;
}
