/*
 * template.c
 *	  Parse a Liquid template once, render it many times.
 *
 * The engine behind it: liquid_lex (text to tokens), liquid_parse and
 * liquid_expr (tokens to a tree), liquid_render and liquid_eval (tree and data
 * to text), liquid_value, and the filters by family. It follows Shopify's
 * Liquid in its strict mode: a mistake is an error, found when the template
 * is parsed if it can be. What differs on purpose: in HTML every output is
 * escaped, a partial sees the data, numbers of the data print as they are
 * written, and keys of objects come in the order of jsonb.
 *
 * A template is data of its author and of the contacts: there is nothing in
 * it that reads files, tables or settings, and limits on steps, memory,
 * nesting and output hold whatever it does.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "liquid.h"
#include "template.h"

PG_FUNCTION_INFO_V1(mautomate_render_liquid);

static void		   add_context(void *arg);
static MaTemplate *fetch_partial(const char *name, void *arg);

/*
 * See template.h.
 */
MaTemplate *
ma_template_parse(const char *source, MemoryContext cxt)
{
	MemoryContext own = AllocSetContextCreate(
		CurrentMemoryContext, "mautomate template", ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(own);
	MaTemplate *template = palloc0(sizeof(MaTemplate));
	char *copy = pstrdup(source);

	template->cxt = own;
	template->source = copy;
	template->body = ma_liquid_parse(copy, strlen(copy));
	MemoryContextSwitchTo(old);
	MemoryContextSetParent(own, cxt);
	return template;
}

/*
 * See template.h.
 */
void
ma_template_free(MaTemplate *template)
{
	MemoryContextDelete(template->cxt);
}

/*
 * See template.h.
 */
char *
ma_template_render(const MaTemplate *template, Jsonb *data,
				   const MaTemplateOptions *options)
{
	LqRender			 r = {.options = options, .data = data};
	ErrorContextCallback callback = {.callback = add_context, .arg = &r};
	MemoryContext		 old = CurrentMemoryContext;
	StringInfoData		 out;
	char				*result;

	r.max_steps = options->max_steps ? options->max_steps : MA_TEMPLATE_STEPS;
	r.max_output =
		options->max_output ? options->max_output : MA_TEMPLATE_OUTPUT;
	r.cxt = AllocSetContextCreate(old, "mautomate rendering",
								  ALLOCSET_SMALL_SIZES);
	r.scratch = AllocSetContextCreate(r.cxt, "mautomate scratch",
									  ALLOCSET_SMALL_SIZES);
	r.out = &out;
	callback.previous = error_context_stack;
	error_context_stack = &callback;

	MemoryContextSwitchTo(r.cxt);
	initStringInfo(&out);
	ma_liquid_render(&r, &template->body);

	error_context_stack = callback.previous;
	MemoryContextSwitchTo(old);
	result = pnstrdup(out.data, out.len);
	MemoryContextDelete(r.cxt);
	return result;
}

/*
 * Say where in the template an error was.
 */
static void
add_context(void *arg)
{
	LqRender *r = arg;

	errcontext("line %d of the template", r->line);
}

/* One of the partials of mautomate_render_liquid, parsed. */
typedef struct Partial
{
	const char *name;
	MaTemplate *template;
	struct Partial *next;
} Partial;

/* All of them. */
typedef struct PartialSet
{
	Jsonb		 *sources; /* object of texts */
	MemoryContext cxt;	   /* where they are parsed */
	Partial		 *parsed;  /* so far */
} PartialSet;

/*
 * SQL: render a template, for tests and previews. escape: as HTML; strict: an
 * unknown variable is an error.
 */
Datum
mautomate_render_liquid(PG_FUNCTION_ARGS)
{
	char	  *source = text_to_cstring(PG_GETARG_TEXT_PP(0));
	PartialSet partials = {PG_GETARG_JSONB_P(2), CurrentMemoryContext, NULL};
	MaTemplateOptions options = {
		.escape = PG_GETARG_BOOL(3),
		.strict = PG_GETARG_BOOL(4),
		.zone = session_timezone,
		.now = ma_now(),
		.fetch = fetch_partial,
		.fetch_arg = &partials,
	};
	MaTemplate *template = ma_template_parse(source, CurrentMemoryContext);

	PG_RETURN_TEXT_P(cstring_to_text(
		ma_template_render(template, PG_GETARG_JSONB_P(1), &options)));
}

/*
 * Give the partial of a name, parsed when first asked for.
 */
static MaTemplate *
fetch_partial(const char *name, void *arg)
{
	PartialSet	 *set = arg;
	MemoryContext old;
	Partial		 *partial;
	JsonbValue	  value;

	for (partial = set->parsed; partial; partial = partial->next)
	{
		if (strcmp(partial->name, name) == 0)
			return partial->template;
	}
	if (!JB_ROOT_IS_OBJECT(set->sources) ||
		getKeyJsonValueFromContainer(&set->sources->root, name, strlen(name),
									 &value) == NULL ||
		value.type != jbvString)
		return NULL;

	old = MemoryContextSwitchTo(set->cxt);
	partial = palloc(sizeof(Partial));
	partial->name = pstrdup(name);
	partial->template = ma_template_parse(
		pnstrdup(value.val.string.val, value.val.string.len), set->cxt);
	partial->next = set->parsed;
	set->parsed = partial;
	MemoryContextSwitchTo(old);
	return partial->template;
}
