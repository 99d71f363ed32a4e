/*
 * document_copy.c
 *	  Copies a JSON document with other strings or keys in it.
 */
#include "postgres.h"

#include "document.h"
#include "json.h"

/* A copy under way. */
typedef struct Copy
{
	const MaDocCopy *how;
	JsonbParseState *state;
} Copy;

static JsonbValue *copy_value(Copy *copy, JsonbIteratorToken token,
							  const MaNode *node, const MaNode *object);

/* Copies an array. */
static JsonbValue *
copy_array(Copy *copy, const MaNode *array)
{
	pushJsonbValue(&copy->state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < ma_doc_length(array); i++)
	{
		MaNode item = ma_doc_item(array, i);

		(void) copy_value(copy, WJB_ELEM, &item, NULL);
	}
	return pushJsonbValue(&copy->state, WJB_END_ARRAY, NULL);
}

/* Copies an object. */
static JsonbValue *
copy_object(Copy *copy, const MaNode *object)
{
	const MaDocCopy *how = copy->how;
	int				 n;
	char		   **keys = ma_doc_keys(object, &n);

	pushJsonbValue(&copy->state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < n; i++)
	{
		const char *key = NULL;
		MaNode		value;

		(void) ma_doc_get(object, keys[i], &value);
		if (how->key != NULL)
			key = how->key(&value, keys[i], how->arg);
		ma_json_key(&copy->state, key ? key : keys[i]);
		(void) copy_value(copy, WJB_VALUE, &value, object);
	}
	return pushJsonbValue(&copy->state, WJB_END_OBJECT, NULL);
}

/* Copies a value. */
static JsonbValue *
copy_value(Copy *copy, JsonbIteratorToken token, const MaNode *node,
		   const MaNode *object)
{
	JsonbValue	v = node->value;
	const char *text;

	switch (ma_doc_type(node))
	{
		case MA_DOC_ARRAY:
			return copy_array(copy, node);
		case MA_DOC_OBJECT:
			return copy_object(copy, node);
		case MA_DOC_TEXT:
			text = copy->how->text(node, object, copy->how->arg);
			if (text != NULL)
			{
				v.val.string.val = unconstify(char *, text);
				v.val.string.len = strlen(text);
			}
			break;
		default:
			break;
	}
	return pushJsonbValue(&copy->state, token, &v);
}

/* A copy of an object or an array; what is neither comes back itself. */
Jsonb *
ma_doc_copy(Jsonb *json, const MaDocCopy *how)
{
	Copy   copy = {.how = how};
	MaNode root;

	if (JB_ROOT_IS_SCALAR(json))
		return json;
	root = ma_doc_root(json);
	return JsonbValueToJsonb(copy_value(&copy, WJB_VALUE, &root, NULL));
}
