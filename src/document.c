/*
 * document.c
 *	  Reads a JSON document by a table of keys, naming the path of each error.
 *
 * A document is refused as a whole: what is wrong is collected, line by line,
 * and raised once at the end, so that its author need not find the errors one
 * by one. A reader describes each object it expects by a table of keys;
 * everything else about the object is found out here.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/timestamp.h"

#include "document.h"
#include "guard.h"

static const char *const type_names[] = {
	"a string", "a number", "true or false", "an object", "an array", "null"};

/* Prepares for a new document. */
void
ma_doc_init(MaDocument *doc)
{
	initStringInfo(&doc->errors);
	doc->nerrors = 0;
	doc->first_hint = NULL;
}

/* The document as a whole. */
MaNode
ma_doc_root(Jsonb *json)
{
	MaNode node;

	if (!JB_ROOT_IS_SCALAR(json) ||
		!JsonbExtractScalar(&json->root, &node.value))
		JsonbToJsonbValue(json, &node.value);
	node.path = "";
	return node;
}

/* Adds an error at a path, once. */
void
ma_doc_refuse(MaDocument *doc, const char *path, const char *format, ...)
{
	StringInfoData line;

	initStringInfo(&line);
	appendStringInfo(&line, "%s: ", path[0] ? path : "document");
	for (;;)
	{
		va_list args;
		int		needed;

		va_start(args, format);
		needed = appendStringInfoVA(&line, format, args);
		va_end(args);
		if (needed == 0)
			break;
		enlargeStringInfo(&line, needed);
	}
	if (strstr(doc->errors.data, line.data) != NULL)
		return;
	if (doc->nerrors++ > 0)
		appendStringInfoChar(&doc->errors, '\n');
	appendStringInfoString(&doc->errors, line.data);
}

/* Raises what was found, if anything was. */
void
ma_doc_raise(MaDocument *doc, const char *what)
{
	if (doc->nerrors == 0)
		return;
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg_plural("%s has %d error", "%s has %d errors",
								  doc->nerrors, what, doc->nerrors),
					errdetail("%s", doc->errors.data),
					doc->first_hint ? errhint("%s", doc->first_hint) : 0));
}

/* The MA_DOC_* bit of a value. */
int
ma_doc_type(const MaNode *node)
{
	switch (node->value.type)
	{
		case jbvString:
			return MA_DOC_TEXT;
		case jbvNumeric:
			return MA_DOC_NUMBER;
		case jbvBool:
			return MA_DOC_BOOL;
		case jbvNull:
			return MA_DOC_NULL;
		case jbvBinary:
			return JsonContainerIsObject(node->value.val.binary.data) ?
					   MA_DOC_OBJECT :
					   MA_DOC_ARRAY;
		default:
			elog(ERROR, "unexpected jsonb value type %d",
				 (int) node->value.type);
	}
}

/* "a string or an object" */
static const char *
names_of_types(int types)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < lengthof(type_names); i++)
		if (types & (1 << i))
			appendStringInfo(&buf, "%s%s", buf.len > 0 ? " or " : "",
							 type_names[i]);
	return buf.data;
}

/* Is the value of one of the types? Refuses it otherwise. */
bool
ma_doc_is(MaDocument *doc, const MaNode *node, int types)
{
	if (ma_doc_type(node) & types)
		return true;
	ma_doc_refuse(doc, node->path, "must be %s, not %s", names_of_types(types),
				  names_of_types(ma_doc_type(node)));
	return false;
}

/* "a, b and c" from a table of keys */
static char *
list_of_keys(const MaDocKey *keys)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (const MaDocKey *key = keys; key->name != NULL; key++)
		appendStringInfo(&buf, "%s\"%s\"",
						 buf.len == 0 ? "" :
						 key[1].name  ? ", " :
										" and ",
						 key->name);
	return buf.data;
}

/* The row of a key in a table, or NULL. */
static const MaDocKey *
find_key(const MaDocKey *keys, const char *name)
{
	for (; keys->name != NULL; keys++)
		if (strcmp(keys->name, name) == 0)
			return keys;
	return NULL;
}

/*
 * Checks that the node is an object with the keys of the table: none unknown,
 * none missing, each of a type it may have. Returns whether it is.
 */
bool
ma_doc_check(MaDocument *doc, const MaNode *node, const MaDocKey *keys)
{
	int	   errors = doc->nerrors;
	int	   n;
	char **names;

	if (!ma_doc_is(doc, node, MA_DOC_OBJECT))
		return false;
	names = ma_doc_keys(node, &n);
	for (int i = 0; i < n; i++)
		if (find_key(keys, names[i]) == NULL)
			ma_doc_refuse(doc, node->path, "unknown key \"%s\"; known are %s",
						  names[i], list_of_keys(keys));
	for (const MaDocKey *key = keys; key->name != NULL; key++)
	{
		MaNode value;

		if (ma_doc_get(node, key->name, &value))
			ma_doc_is(doc, &value, key->types);
		else if (key->required)
			ma_doc_refuse(doc, node->path, "key \"%s\" is missing", key->name);
	}
	return doc->nerrors == errors;
}

/*
 * The path of a key: no two keys of a document have the same, whatever they
 * are called.
 */
static char *
path_of(const MaNode *object, const char *key)
{
	StringInfoData path;

	initStringInfo(&path);
	appendStringInfoString(&path, object->path);
	if (path.len > 0)
		appendStringInfoChar(&path, '.');
	if (key[0] == '\0' || strpbrk(key, ".[]\"") != NULL)
		escape_json(&path, key);
	else
		appendStringInfoString(&path, key);
	return path.data;
}

/* The value of a key; false where the object has no such key. */
bool
ma_doc_get(const MaNode *object, const char *key, MaNode *value)
{
	if (ma_doc_type(object) != MA_DOC_OBJECT ||
		getKeyJsonValueFromContainer(object->value.val.binary.data, key,
									 strlen(key), &value->value) == NULL)
		return false;
	value->path = path_of(object, key);
	return true;
}

/* How many items an array has. */
int
ma_doc_length(const MaNode *array)
{
	return JsonContainerSize(array->value.val.binary.data);
}

/* The item at i, from 0. */
MaNode
ma_doc_item(const MaNode *array, int i)
{
	MaNode node;

	node.value =
		*getIthJsonbValueFromContainer(array->value.val.binary.data, i);
	node.path = psprintf("%s[%d]", array->path, i);
	return node;
}

/* A string value as a C string. */
char *
ma_doc_text(const MaNode *node)
{
	return pnstrdup(node->value.val.string.val, node->value.val.string.len);
}

/* The keys of an object, in jsonb's order. */
char **
ma_doc_keys(const MaNode *object, int *n)
{
	JsonbContainer *container = object->value.val.binary.data;
	char **names = palloc(sizeof(char *) * (JsonContainerSize(container) + 1));
	JsonbIterator	  *it = JsonbIteratorInit(container);
	JsonbIteratorToken token;
	JsonbValue		   v;

	*n = 0;
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
		if (token == WJB_KEY)
			names[(*n)++] = pnstrdup(v.val.string.val, v.val.string.len);
	return names;
}

/* Text to be read as an interval, and the interval. */
typedef struct IntervalRead
{
	char	 *text;
	Interval *span;
} IntervalRead;

/* Reads an interval; raises an error where it is none. */
static void
read_interval(void *arg)
{
	IntervalRead *read = arg;

	read->span = DatumGetIntervalP(
		DirectFunctionCall3(interval_in, CStringGetDatum(read->text),
							ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
}

/* An interval of any sign; NULL, refused, where the string is none. */
Interval *
ma_doc_span(MaDocument *doc, const MaNode *node)
{
	IntervalRead read = {0};

	if (!ma_doc_is(doc, node, MA_DOC_TEXT))
		return NULL;
	read.text = ma_doc_text(node);
	if (ma_guard(read_interval, &read) == NULL)
		return read.span;
	ma_doc_refuse(doc, node->path,
				  "\"%s\" is not an interval such as "
				  "\"2 days\" or \"4 hours\"",
				  read.text);
	return NULL;
}

/* An interval that is not negative, likewise. */
Interval *
ma_doc_interval(MaDocument *doc, const MaNode *node)
{
	Interval *span = ma_doc_span(doc, node);

	if (span == NULL ||
		(span->month >= 0 && span->day >= 0 && span->time >= 0))
		return span;
	ma_doc_refuse(doc, node->path, "\"%s\" must not be negative",
				  ma_doc_text(node));
	return NULL;
}

/* A whole number within bounds; another is refused, and least given. */
int
ma_doc_whole(MaDocument *doc, const MaNode *node, int least, int most)
{
	double number;

	if (!ma_doc_is(doc, node, MA_DOC_NUMBER))
		return least;
	number = DatumGetFloat8(DirectFunctionCall1(
		numeric_float8_no_overflow, NumericGetDatum(node->value.val.numeric)));
	if (number >= least && number <= most && number == (int) number)
		return (int) number;
	ma_doc_refuse(doc, node->path, "must be a whole number from %d to %d",
				  least, most);
	return least;
}

/*
 * The index of a string among the choices, a NULL-terminated array; -1,
 * refused, where it is none of them.
 */
int
ma_doc_choice(MaDocument *doc, const MaNode *node, const char *const *choices)
{
	char		  *text;
	StringInfoData buf;

	if (!ma_doc_is(doc, node, MA_DOC_TEXT))
		return -1;
	text = ma_doc_text(node);
	initStringInfo(&buf);
	for (int i = 0; choices[i] != NULL; i++)
	{
		if (strcmp(text, choices[i]) == 0)
			return i;
		appendStringInfo(&buf, "%s\"%s\"", i > 0 ? ", " : "", choices[i]);
	}
	ma_doc_refuse(doc, node->path, "\"%s\" must be one of %s", text, buf.data);
	return -1;
}
