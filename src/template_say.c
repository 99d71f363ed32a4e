/*
 * template_say.c
 *	  What a template says to somebody.
 *
 * In the language of the person: fr-CA, else fr, else the default; the same
 * for the templates that it renders as parts.
 */
#include "postgres.h"

#include "clock.h"
#include "html.h"
#include "json.h"
#include "template_store.h"

/* What a part is looked up for. */
typedef struct Fetch
{
	MaTemplatePart part;
	const char	  *locale; /* of the person; NULL: the default */
} Fetch;

static const char *const part_names[] = {
	[MA_PART_SUBJECT] = "subject",
	[MA_PART_HTML] = "html",
	[MA_PART_BODY] = "body",
};

static void say(const MaStoredTemplate *template, Jsonb *data,
				MaTemplateOptions *options, MaRendered *rendered);

/* The locale of the contact in the data; NULL if it has none. */
static char *
locale_of(Jsonb *data)
{
	char *locale = ma_json_text_of(data, "contact", "locale");

	return locale == NULL ? NULL : ma_locale_canonical(locale);
}

/* The variant for a locale, which may be NULL. */
static const MaTemplateVariant *
variant_for(const MaStoredTemplate *template, const char *locale)
{
	char *wanted;

	if (locale == NULL || template->nvariants == 1)
		return &template->variants[0];
	wanted = pstrdup(locale);
	do
	{
		for (int i = 1; i < template->nvariants; i++)
			if (strcmp(template->variants[i].locale, wanted) == 0)
				return &template->variants[i];
	} while (ma_locale_widen(wanted));
	return &template->variants[0];
}

/* {% render 'name' %}: the part of that template which is being rendered. */
static MaTemplate *
fetch_part(const char *name, void *arg)
{
	const Fetch *fetch = arg;
	const MaStoredTemplate *template = ma_template_lookup(name);
	const MaTemplateVariant *variant;
	MaTemplate				*part;

	if (template == NULL)
		return NULL;
	variant = variant_for(template, fetch->locale);
	part = fetch->part == MA_PART_HTML ? variant->html : variant->body;
	if (part == NULL)
		ereport(
			ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("template \"%s\" has no %s", name,
					part_names[fetch->part == MA_PART_HTML ? MA_PART_HTML :
															 MA_PART_BODY])));
	return part;
}

/*
 * Renders a version of a template, 0 meaning the newest, in the current
 * context. strict: an unknown variable is an error. What a mistake belongs to
 * is told in the error's context.
 */
void
ma_template_say(int template_id, int version, Jsonb *data, bool strict,
				MaRendered *rendered)
{
	MaTemplateOptions options = {0};

	options.strict = strict;
	options.zone = ma_timezone();
	options.now = ma_now();
	options.fetch = fetch_part;
	memset(rendered, 0, sizeof(*rendered));
	ma_template_hold();
	PG_TRY();
	{
		say(ma_template_find(template_id, version), data, &options, rendered);
	}
	PG_FINALLY();
	{
		ma_template_release();
	}
	PG_END_TRY();
}

/*
 * Makes one line of a subject or a name: a space for line ends and whatever
 * else controls, none at the ends.
 */
static void
join_lines(char *text)
{
	char *to = text;

	for (const char *from = text; *from != '\0'; from++)
	{
		bool controls = (unsigned char) *from < ' ' || *from == 0x7f;

		if (controls && to > text && to[-1] != ' ')
			*to++ = ' ';
		else if (!controls && (*from != ' ' || to > text))
			*to++ = *from;
	}
	while (to > text && to[-1] == ' ')
		to--;
	*to = '\0';
}

/* One part; NULL if there is none. */
static char *
say_part(const MaTemplate *part, MaTemplatePart which, const char *locale,
		 Jsonb *data, MaTemplateOptions *options)
{
	Fetch fetch = {which, locale};
	char *said;

	if (part == NULL)
		return NULL;
	options->escape = which == MA_PART_HTML;
	options->fetch_arg = &fetch;
	said = ma_template_render(part, data, options);
	if (which == MA_PART_SUBJECT)
		join_lines(said);
	if (which == MA_PART_HTML)
	{
		char *address = ma_html_bad_address(said);

		if (address != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("the html links to \"%s\"", address),
					 errdetail("Addresses in messages start with http:, "
							   "https:, mailto: or tel:.")));
	}
	return said;
}

/* The payload; NULL if there is none. Its parts are texts. */
static Jsonb *
say_payload(const MaPayload *payload, const char *locale, Jsonb *data,
			MaTemplateOptions *options)
{
	Fetch fetch = {MA_PART_BODY, locale};

	options->escape = false;
	options->fetch_arg = &fetch;
	return payload == NULL ? NULL : ma_payload_render(payload, data, options);
}

/* The bytes of a file; false if there are none for this person. */
static bool
say_content(const MaTemplateFile *from, Jsonb *data, MaMailFile *file)
{
	bytea *content;

	if (from->call == NULL)
	{
		file->data =
			memcpy(palloc(from->length + 1), from->data, from->length);
		file->length = from->length;
		return true;
	}
	content = ma_template_file_content(from, data);
	if (content == NULL)
		return false;
	file->data = VARDATA(content);
	file->length = VARSIZE(content) - VARHDRSZ;
	return true;
}

/* Everything the variant for this person says, and its files. */
static void
say(const MaStoredTemplate *template, Jsonb *data, MaTemplateOptions *options,
	MaRendered *rendered)
{
	char					*locale = locale_of(data);
	const MaTemplateVariant *variant = variant_for(template, locale);

	rendered->template = pstrdup(template->name);
	rendered->data = data = ma_template_add_data(variant, data);
	rendered->subject =
		say_part(variant->subject, MA_PART_SUBJECT, locale, data, options);
	rendered->body =
		say_part(variant->body, MA_PART_BODY, locale, data, options);
	rendered->html =
		say_part(variant->html, MA_PART_HTML, locale, data, options);
	rendered->payload = say_payload(variant->payload, locale, data, options);
	rendered->files = palloc0((variant->nfiles + 1) * sizeof(MaMailFile));
	for (int i = 0; i < variant->nfiles; i++)
	{
		const MaTemplateFile *from = &variant->files[i];
		MaMailFile			 *file = &rendered->files[rendered->nfiles];

		file->name =
			say_part(from->name, MA_PART_SUBJECT, locale, data, options);
		file->type = pstrdup(from->type);
		file->content_id =
			from->content_id == NULL ? NULL : pstrdup(from->content_id);
		if (say_content(from, data, file))
			rendered->nfiles++;
	}
}
