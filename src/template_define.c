/*
 * template_define.c
 *	  create_template(): a new template, or a new version of one.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "argument.h"
#include "channel.h"
#include "clock.h"
#include "html.h"
#include "sql.h"
#include "template_store.h"

PG_FUNCTION_INFO_V1(mautomate_create_template);
PG_FUNCTION_INFO_V1(mautomate_check_html);

/* What create_template() is asked to store. */
typedef struct TemplateText
{
	char			*name;
	const MaChannel *channel;				  /* NULL: none */
	char			*parts[MA_PART_BODY + 1]; /* NULL: none */
	Jsonb			*payload;				  /* NULL: none */
	bool			 transactional;
	char			*locale;	   /* empty: the default */
	Jsonb			*data;		   /* NULL: none */
	Jsonb			*attachments;  /* NULL: none */
	bool			 has_priority; /* else 0, or as before */
	int				 priority;
} TemplateText;

static void	 read_arguments(FunctionCallInfo fcinfo, TemplateText *text);
static void	 check_text(const TemplateText *text);
static void	 check_parts(const TemplateText *text);
static void	 check_payload(const TemplateText *text);
static char *store(const TemplateText *text);

static const char *const part_names[] = {
	[MA_PART_SUBJECT] = "subject",
	[MA_PART_HTML] = "html",
	[MA_PART_BODY] = "body",
};

/*
 * create_template(name, channel, subject, html, body, payload, transactional,
 * locale, data, attachments, priority)
 */
Datum
mautomate_create_template(PG_FUNCTION_ARGS)
{
	static MaStatement lock = {
		"lock table mautomate_internal.template in share row exclusive mode",
		0};
	TemplateText text;
	MaSqlScope	 scope;

	read_arguments(fcinfo, &text);
	check_text(&text);
	if (text.locale[0] != '\0')
		(void) ma_template_named(text.name);
	ma_sql_begin(&scope);
	ma_sql_exec(&lock, NULL, NULL, 0);
	ma_sql_end(&scope);
	check_parts(&text);
	PG_RETURN_TEXT_P(cstring_to_text(store(&text)));
}

/* The locale as it is stored; one that is none is the user's error. */
static char *
locale_argument(FunctionCallInfo fcinfo, int i)
{
	char *locale = ma_argument_text_or_null(fcinfo, i);
	char *canonical;

	if (locale == NULL)
		return "";
	canonical = ma_locale_canonical(locale);
	if (canonical == NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("\"%s\" is no locale", locale),
						errhint("Write a language such as fr, or with a "
								"region such as fr-CA.")));
	return canonical;
}

/* Reads the arguments. */
static void
read_arguments(FunctionCallInfo fcinfo, TemplateText *text)
{
	text->name = ma_argument_name(fcinfo, 0, "name");
	text->channel =
		PG_ARGISNULL(1) ?
			NULL :
			ma_channel_named(ma_argument_text(fcinfo, 1, "channel"));
	for (int i = 0; i < lengthof(text->parts); i++)
		text->parts[i] = ma_argument_text_or_null(fcinfo, 2 + i);
	text->payload = PG_ARGISNULL(5) ? NULL : PG_GETARG_JSONB_P(5);
	ma_argument_not_null(fcinfo, 6, "transactional");
	text->transactional = PG_GETARG_BOOL(6);
	text->locale = locale_argument(fcinfo, 7);
	text->data =
		PG_ARGISNULL(8) ? NULL : ma_template_check_data(PG_GETARG_JSONB_P(8));
	text->attachments =
		PG_ARGISNULL(9) ? NULL : ma_template_check_files(PG_GETARG_JSONB_P(9));
	text->has_priority = !PG_ARGISNULL(10);
	text->priority = ma_argument_priority(fcinfo, 10);
}

/* Is everything there? */
static void
check_text(const TemplateText *text)
{
	if (text->channel != NULL && !text->transactional)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("template \"%s\" has no topic", text->name),
				 errdetail("Without a topic only transactional messages can "
						   "be sent: nobody has consented to others."),
				 errhint("Write transactional => true.")));
	if (text->payload != NULL &&
		(text->channel == NULL || text->channel->transport == MA_CHANNEL_SMTP))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("template \"%s\" has a payload", text->name),
						errdetail("Only what goes over HTTP has one.")));
	if (text->parts[MA_PART_HTML] == NULL &&
		text->parts[MA_PART_BODY] == NULL && text->payload == NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("template \"%s\" says nothing", text->name),
						errhint("Give html => ... or body => ...")));
	if (text->parts[MA_PART_SUBJECT] == NULL && text->channel != NULL &&
		text->channel->transport == MA_CHANNEL_SMTP)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("template \"%s\" has no subject", text->name),
						errhint("Give subject => ...")));
	if (text->channel == NULL &&
		(text->parts[MA_PART_SUBJECT] != NULL || text->data != NULL ||
		 text->attachments != NULL))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("template \"%s\" has no channel", text->name),
				 errdetail("A part of other templates has no subject, data "
						   "or attachments of its own.")));
}

/* Error context: which part of which template. */
static void
name_part(void *arg)
{
	errcontext("%s", (const char *) arg);
}

/* Can each part be parsed, and is what it renders there? */
static void
check_parts(const TemplateText *text)
{
	for (int i = 0; i < lengthof(text->parts); i++)
	{
		ErrorContextCallback context;
		MaTemplate *template;

		if (text->parts[i] == NULL)
			continue;
		context.callback = name_part;
		context.arg =
			psprintf("%s of template \"%s\"", part_names[i], text->name);
		context.previous = error_context_stack;
		error_context_stack = &context;
		template = ma_template_parse(text->parts[i], CurrentMemoryContext);
		ma_template_check_parts(text->name, i, template);
		ma_template_free(template);
		error_context_stack = context.previous;
	}
	if (text->payload != NULL)
		check_payload(text);
}

/* Can every text of the payload be parsed? */
static void
check_payload(const TemplateText *text)
{
	ErrorContextCallback context = {.callback = name_part};

	context.arg = psprintf("payload of template \"%s\"", text->name);
	context.previous = error_context_stack;
	error_context_stack = &context;
	(void) ma_payload_parse(text->payload);
	error_context_stack = context.previous;
}

/* Stores it as a version of its own, unless it is the same as the newest. */
static char *
store(const TemplateText *text)
{
	static MaStatement stmt = {
		"with old as (select template_id, version, v.priority"
		"  from mautomate_internal.template"
		"  join mautomate_internal.template_version v"
		"  using (template_id, version)"
		"  where name = $1 and not dropped),"
		" wanted as (select coalesce($12, (select priority from old"
		"  where $9 <> ''), 0) as priority),"
		" same as (select from old"
		"  join mautomate_internal.template_version v"
		"  using (template_id, version)"
		"  join mautomate_internal.template_variant x"
		"  using (template_id, version)"
		"  where x.locale = $9 and (v.channel_id, v.transactional, x.subject,"
		"   x.html, x.body, x.data, x.attachments, x.payload,"
		"   v.priority::int)"
		"   is not distinct from ($2, $6, $3, $4, $5, $10, $11, $13,"
		"   (select priority from wanted))),"
		" created as ("
		"  insert into mautomate_internal.template (name, version)"
		"  select $1, 1 where not exists (select from old)"
		"  returning template_id, version),"
		" changed as (update mautomate_internal.template t"
		"  set version = t.version + 1 from old"
		"  where t.template_id = old.template_id"
		"  and not exists (select from same)"
		"  returning t.template_id, t.version),"
		" now as (select * from created union all select * from changed),"
		" stored as (insert into mautomate_internal.template_version"
		"  (template_id, version, channel_id, transactional, created_at,"
		"   priority)"
		"  select template_id, version, $2, $6, $7, priority"
		"  from now, wanted),"
		" said as (insert into mautomate_internal.template_variant"
		"  (template_id, version, locale, subject, html, body, data,"
		"   attachments, owner, payload)"
		"  select template_id, version, $9, $3, $4, $5, $10, $11, $8, $13"
		"  from now"
		"  union all"
		"  select now.template_id, now.version, x.locale, x.subject, x.html,"
		"   x.body, x.data, x.attachments, x.owner, x.payload"
		"  from now join old using (template_id)"
		"  join mautomate_internal.template_variant x"
		"  on x.template_id = old.template_id and x.version = old.version"
		"  where x.locale <> $9)"
		" select case when exists (select from created) then 'created'"
		"  when exists (select from changed) then 'changed'"
		"  else 'unchanged' end",
		13,
		{TEXTOID, INT4OID, TEXTOID, TEXTOID, TEXTOID, BOOLOID, TIMESTAMPTZOID,
		 TEXTOID, TEXTOID, JSONBOID, JSONBOID, INT4OID, JSONBOID}};
	MemoryContext caller = CurrentMemoryContext;
	Datum		  values[13] = {0};
	char		  nulls[] = "             ";
	MaSqlScope	  scope;
	char		 *result;

	values[0] = CStringGetTextDatum(text->name);
	nulls[1] = text->channel == NULL ? 'n' : ' ';
	if (text->channel != NULL)
		values[1] = Int32GetDatum(text->channel->channel_id);
	for (int i = 0; i < lengthof(text->parts); i++)
	{
		nulls[2 + i] = text->parts[i] == NULL ? 'n' : ' ';
		if (text->parts[i] != NULL)
			values[2 + i] = CStringGetTextDatum(text->parts[i]);
	}
	values[5] = BoolGetDatum(text->transactional);
	values[6] = TimestampTzGetDatum(ma_now());
	values[7] = CStringGetTextDatum(GetUserNameFromId(GetUserId(), false));
	values[8] = CStringGetTextDatum(text->locale);
	nulls[9] = text->data == NULL ? 'n' : ' ';
	values[9] = JsonbPGetDatum(text->data);
	nulls[10] = text->attachments == NULL ? 'n' : ' ';
	values[10] = JsonbPGetDatum(text->attachments);
	nulls[11] = text->has_priority ? ' ' : 'n';
	values[11] = Int32GetDatum(text->priority);
	nulls[12] = text->payload == NULL ? 'n' : ' ';
	values[12] = JsonbPGetDatum(text->payload);
	ma_sql_begin(&scope);
	ma_sql_exec(&stmt, values, nulls, 0);
	result = MemoryContextStrdup(caller, ma_sql_text(0, 1));
	ma_sql_end(&scope);
	return result;
}

/* check_html(html) -> the first address with a scheme that is not allowed */
Datum
mautomate_check_html(PG_FUNCTION_ARGS)
{
	char *address = ma_html_bad_address(text_to_cstring(PG_GETARG_TEXT_PP(0)));

	if (address == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(address));
}
