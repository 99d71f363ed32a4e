/*
 * template_data.c
 *	  What functions of the application add to the data of a template.
 *
 * What a variant takes over from another version or from the default keeps
 * its role: nobody's functions get more rights because somebody else changes
 * the template.
 */
#include "postgres.h"

#include "utils/fmgrprotos.h"

#include "document.h"
#include "json.h"
#include "template_store.h"

/* What templates have anyway. */
static const char *const reserved[] = {"account", "channel", "contact",
									   "context", "entry",	 "event",
									   "links",	  "message", "forloop"};

/* Is it a name that templates can write, and none of ours? */
static void
check_variable(MaDocument *doc, const char *name, const char *path)
{
	bool good = strlen(name) < NAMEDATALEN &&
				strspn(name, "abcdefghijklmnopqrstuvwxyz_0123456789") ==
					strlen(name) &&
				strcspn(name, "0123456789") > 0 && name[0] != '\0';

	if (!good)
		ma_doc_refuse(doc, path,
					  "a variable is named with small letters, digits and _");
	for (int i = 0; i < lengthof(reserved); i++)
		if (strcmp(name, reserved[i]) == 0)
			ma_doc_refuse(doc, path, "\"%s\" has another meaning", name);
}

/*
 * Checks {"variable": "function"}; returns it with the functions' full names.
 */
Jsonb *
ma_template_check_data(Jsonb *data)
{
	MaNode			 root = ma_doc_root(data);
	MaDocument		 doc;
	JsonbParseState *state = NULL;
	char		   **keys;
	int				 n = 0;

	ma_doc_init(&doc);
	if (!ma_doc_is(&doc, &root, MA_DOC_OBJECT))
		ma_doc_raise(&doc, "data");
	keys = ma_doc_keys(&root, &n);
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < n; i++)
	{
		MaNode node;

		ma_doc_get(&root, keys[i], &node);
		check_variable(&doc, keys[i], node.path);
		if (!ma_doc_is(&doc, &node, MA_DOC_TEXT))
			continue;
		ma_json_text(
			&state, keys[i],
			ma_template_check_function(ma_doc_text(&node), InvalidOid));
	}
	if (doc.nerrors > 0)
		ma_doc_raise(&doc, "data");
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/* The data of a template with what its functions say. */
Jsonb *
ma_template_add_data(const MaTemplateVariant *variant, Jsonb *data)
{
	JsonbParseState *state = NULL;
	JsonbValue		*added;

	if (variant->ndata == 0)
		return data;
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < variant->ndata; i++)
	{
		bool  isnull;
		Datum value = ma_template_call(variant->data[i].call, data, &isnull);

		ma_json_value(&state, variant->data[i].name,
					  isnull ? NULL : DatumGetJsonbP(value));
	}
	added = pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	return DatumGetJsonbP(
		DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(data),
							JsonbPGetDatum(JsonbValueToJsonb(added))));
}

/* The bytes that the function of a file makes; NULL for none. */
bytea *
ma_template_file_content(const MaTemplateFile *file, Jsonb *data)
{
	bool  isnull;
	Datum value = ma_template_call(file->call, data, &isnull);

	return isnull ? NULL : DatumGetByteaP(value);
}
