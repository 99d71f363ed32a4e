/*
 * template_define.c
 *	  create_template(): a new template, or a new version of one.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "argument.h"
#include "channel.h"
#include "clock.h"
#include "sql.h"
#include "template_store.h"

PG_FUNCTION_INFO_V1(mautomate_create_template);

/* What create_template() is asked to store. */
typedef struct TemplateText
{
	char			*name;
	const MaChannel *channel;
	char			*subject; /* NULL: none */
	char			*html;	  /* likewise */
	char			*body;	  /* likewise */
	bool			 transactional;
} TemplateText;

static void check_text(const TemplateText *text);
static void check_part(const TemplateText *text, const char *part,
					   const char *source);
static void name_part(void *arg);

/* create_template(name, channel, subject, html, body, transactional) */
Datum
mautomate_create_template(PG_FUNCTION_ARGS)
{
	static MaStatement lock = {
		"lock table mautomate_internal.template in share row exclusive mode",
		0};
	static MaStatement upsert = {
		"with old as (select t.template_id, t.version,"
		"   (v.channel_id, v.subject, v.html, v.body, v.transactional)"
		"   is not distinct from ($2, $3, $4, $5, $6) as same"
		"  from mautomate_internal.template t"
		"  join mautomate_internal.template_version v"
		"  using (template_id, version)"
		"  where t.name = $1 and not t.dropped),"
		" created as ("
		"  insert into mautomate_internal.template (name, version)"
		"  select $1, 1 where not exists (select from old)"
		"  returning template_id, version),"
		" changed as (update mautomate_internal.template t"
		"  set version = t.version + 1 from old"
		"  where t.template_id = old.template_id and not old.same"
		"  returning t.template_id, t.version),"
		" stored as (insert into mautomate_internal.template_version"
		"  (template_id, version, channel_id, subject, html, body,"
		"   transactional, created_at)"
		"  select template_id, version, $2, $3, $4, $5, $6, $7"
		"  from (select * from created union all select * from changed) x)"
		" select case when exists (select from created) then 'created'"
		"  when exists (select from changed) then 'changed'"
		"  else 'unchanged' end",
		7,
		{TEXTOID, INT4OID, TEXTOID, TEXTOID, TEXTOID, BOOLOID,
		 TIMESTAMPTZOID}};
	MemoryContext caller = CurrentMemoryContext;
	TemplateText  text;
	MaSqlScope	  scope;
	Datum		  values[7] = {0};
	char		  nulls[8] = "       ";
	char		 *parts[3];
	char		 *result;

	text.name = ma_argument_name(fcinfo, 0, "name");
	text.channel = ma_channel_named(ma_argument_text(fcinfo, 1, "channel"));
	parts[0] = text.subject = ma_argument_text_or_null(fcinfo, 2);
	parts[1] = text.html = ma_argument_text_or_null(fcinfo, 3);
	parts[2] = text.body = ma_argument_text_or_null(fcinfo, 4);
	ma_argument_not_null(fcinfo, 5, "transactional");
	text.transactional = PG_GETARG_BOOL(5);
	check_text(&text);

	values[0] = CStringGetTextDatum(text.name);
	values[1] = Int32GetDatum(text.channel->channel_id);
	for (int i = 0; i < lengthof(parts); i++)
	{
		if (parts[i] == NULL)
			nulls[2 + i] = 'n';
		else
			values[2 + i] = CStringGetTextDatum(parts[i]);
	}
	values[5] = BoolGetDatum(text.transactional);
	values[6] = TimestampTzGetDatum(ma_now());
	ma_sql_begin(&scope);
	ma_sql_exec(&lock, NULL, NULL, 0);
	ma_sql_exec(&upsert, values, nulls, 0);
	result = MemoryContextStrdup(caller, ma_sql_text(0, 1));
	ma_sql_end(&scope);
	PG_RETURN_TEXT_P(cstring_to_text(result));
}

/* Is everything there, and can it be parsed? */
static void
check_text(const TemplateText *text)
{
	if (!text->transactional)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("template \"%s\" has no topic", text->name),
				 errdetail("Without a topic only transactional messages can "
						   "be sent: nobody has consented to others."),
				 errhint("Write transactional => true.")));
	if (text->html == NULL && text->body == NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("template \"%s\" says nothing", text->name),
						errhint("Give html => ... or body => ...")));
	if (text->subject == NULL && text->channel->transport == MA_CHANNEL_SMTP)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("template \"%s\" has no subject", text->name),
						errhint("Give subject => ...")));
	check_part(text, "subject", text->subject);
	check_part(text, "html", text->html);
	check_part(text, "body", text->body);
}

/* Parses one part to see whether it can be. */
static void
check_part(const TemplateText *text, const char *part, const char *source)
{
	ErrorContextCallback context;
	char				*what;

	if (source == NULL)
		return;
	what = psprintf("%s of template \"%s\"", part, text->name);
	context.callback = name_part;
	context.arg = what;
	context.previous = error_context_stack;
	error_context_stack = &context;
	ma_template_free(ma_template_parse(source, CurrentMemoryContext));
	error_context_stack = context.previous;
}

/* Error context: which part of which template. */
static void
name_part(void *arg)
{
	errcontext("%s", (const char *) arg);
}
