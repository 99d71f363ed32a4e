/*
 * payload.c
 *	  JSON whose texts are Liquid.
 *
 * A text becomes one JSON string whatever its variables hold, so nothing that
 * a contact is called can add a key. An object {"=": "contact.tags"} stands
 * for the value itself, of whichever type it is. Keys are taken as they are.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"

#include "payload.h"
#include "value.h"

/* A value deeper in the data than this has no name. */
#define PATH_MAX_STEPS 32

struct MaPayload
{
	Jsonb		*source;
	int			 max;	/* places in texts */
	int			 count; /* its strings, in the order of the walk */
	MaTemplate **texts; /* NULL where there is no Liquid */
};

/* A rendering. */
typedef struct Rendering
{
	const MaPayload			*payload;
	Jsonb					*data;
	const MaTemplateOptions *options;
	JsonbParseState			*state;
	int						 next; /* string */
} Rendering;

static void parse_container(MaPayload *payload, JsonbContainer *container);
static void add_text(MaPayload *payload, const JsonbValue *string);
static JsonbValue *render_container(Rendering *r, JsonbContainer *container);
static void		   render_value(Rendering *r, JsonbIteratorToken token,
								JsonbValue *value);
static bool		   is_reference(JsonbContainer *container, JsonbValue *path);
static void look_up(Rendering *r, const JsonbValue *path, JsonbValue *value);

/*
 * See payload.h.
 */
MaPayload *
ma_payload_parse(Jsonb *source)
{
	MaPayload *payload = palloc0(sizeof(MaPayload));

	payload->source = palloc(VARSIZE(source));
	memcpy(payload->source, source, VARSIZE(source));
	payload->max = 16;
	payload->texts = palloc(payload->max * sizeof(MaTemplate *));
	parse_container(payload, &payload->source->root);
	return payload;
}

/* Parses all strings, depth first. */
static void
parse_container(MaPayload *payload, JsonbContainer *container)
{
	JsonbIterator	  *it = JsonbIteratorInit(container);
	JsonbIteratorToken token;
	JsonbValue		   value;

	check_stack_depth();
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		if (token != WJB_VALUE && token != WJB_ELEM)
			continue;
		if (value.type == jbvString)
			add_text(payload, &value);
		else if (value.type == jbvBinary)
			parse_container(payload, value.val.binary.data);
	}
}

/* Parses one. */
static void
add_text(MaPayload *payload, const JsonbValue *string)
{
	char *text = pnstrdup(string->val.string.val, string->val.string.len);

	if (payload->count == payload->max)
	{
		payload->max *= 2;
		payload->texts =
			repalloc(payload->texts, payload->max * sizeof(MaTemplate *));
	}
	payload->texts[payload->count++] =
		strstr(text, "{{") != NULL || strstr(text, "{%") != NULL ?
			ma_template_parse(text, CurrentMemoryContext) :
			NULL;
	pfree(text);
}

/*
 * See payload.h.
 */
Jsonb *
ma_payload_render(const MaPayload *payload, Jsonb *data,
				  const MaTemplateOptions *options)
{
	Rendering r = {payload, data, options};

	return JsonbValueToJsonb(render_container(&r, &payload->source->root));
}

/* Renders all strings, in the same order; returns what was pushed last. */
static JsonbValue *
render_container(Rendering *r, JsonbContainer *container)
{
	JsonbIterator	  *it = JsonbIteratorInit(container);
	JsonbIteratorToken token;
	JsonbValue		   value;
	JsonbValue		  *last = NULL;
	bool			   scalar = JsonContainerIsScalar(container);

	check_stack_depth();
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		if (token == WJB_BEGIN_ARRAY && scalar)
			value.val.array.rawScalar = true;
		if (token == WJB_BEGIN_ARRAY)
			last = pushJsonbValue(&r->state, token, scalar ? &value : NULL);
		else if (token == WJB_VALUE || token == WJB_ELEM)
			render_value(r, token, &value);
		else
			last = pushJsonbValue(&r->state, token,
								  token == WJB_KEY ? &value : NULL);
	}
	return last;
}

/* Renders one value of an object or array. */
static void
render_value(Rendering *r, JsonbIteratorToken token, JsonbValue *value)
{
	JsonbValue path;

	if (value->type == jbvString)
	{
		MaTemplate *text = r->payload->texts[r->next++];

		if (text != NULL)
		{
			value->val.string.val =
				ma_template_render(text, r->data, r->options);
			value->val.string.len = strlen(value->val.string.val);
		}
	}
	else if (value->type == jbvBinary &&
			 is_reference(value->val.binary.data, &path))
	{
		r->next++;
		look_up(r, &path, value);
	}
	else if (value->type == jbvBinary)
	{
		(void) render_container(r, value->val.binary.data);
		return;
	}
	pushJsonbValue(&r->state, token, value);
}

/* Is that {"=": path}? */
static bool
is_reference(JsonbContainer *container, JsonbValue *path)
{
	return JsonContainerIsObject(container) &&
		   JsonContainerSize(container) == 1 &&
		   getKeyJsonValueFromContainer(container, "=", 1, path) != NULL &&
		   path->type == jbvString;
}

/* The value that a path names; null if there is none. */
static void
look_up(Rendering *r, const JsonbValue *path, JsonbValue *value)
{
	char *text = pnstrdup(path->val.string.val, path->val.string.len);
	char *steps[PATH_MAX_STEPS];
	char *rest = NULL;
	int	  n = 0;

	for (char *step = strtok_r(text, ".", &rest);
		 step != NULL && n < PATH_MAX_STEPS; step = strtok_r(NULL, ".", &rest))
		steps[n++] = step;
	if (n > 0 && ma_value_lookup(r->data, steps, n, value))
		return;
	if (r->options->strict)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
						errmsg("unknown variable \"%s\"",
							   pnstrdup(path->val.string.val,
										path->val.string.len))));
	value->type = jbvNull;
}
