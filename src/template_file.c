/*
 * template_file.c
 *	  Files that go with the messages of a template.
 *
 * Each is {"name", "type", "content" | "function", "content_id"}: its bytes
 * stand in the template, or a function makes them for each message.
 */
#include "postgres.h"

#include <ctype.h>

#include "catalog/pg_type_d.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "document.h"
#include "json.h"
#include "template_store.h"

static const MaDocKey file_keys[] = {
	{"name", MA_DOC_TEXT, true},		{"type", MA_DOC_TEXT, true},
	{"content", MA_DOC_TEXT, false},	{"function", MA_DOC_TEXT, false},
	{"content_id", MA_DOC_TEXT, false}, {NULL}};

/* A key of a file as a text, NULL if it is not there. */
static char *
file_text(const MaNode *file, const char *key)
{
	MaNode node;

	return ma_doc_get(file, key, &node) ? ma_doc_text(&node) : NULL;
}

/* The bytes that base64 stands for. */
static bytea *
decode(const char *content)
{
	return DatumGetByteaP(DirectFunctionCall2(binary_decode,
											  CStringGetTextDatum(content),
											  CStringGetTextDatum("base64")));
}

/* Can it stand behind cid: in an address? */
static bool
is_content_id(const char *id)
{
	for (const char *p = id; *p != '\0'; p++)
		if (!isalnum((unsigned char) *p) && strchr("._@-", *p) == NULL)
			return false;
	return id[0] != '\0' && strlen(id) <= 100;
}

/* Checks a file; returns how many bytes its content has. */
static int
check_file(MaDocument *doc, const MaNode *file)
{
	char *content = file_text(file, "content");
	char *function = file_text(file, "function");
	char *id = file_text(file, "content_id");

	if (!ma_mail_is_type(file_text(file, "type")))
		ma_doc_refuse(doc, file->path,
					  "\"type\" must be a media type such as image/png, or "
					  "text/calendar; method=REQUEST");
	if ((content == NULL) == (function == NULL))
		ma_doc_refuse(doc, file->path,
					  "give either \"content\" or \"function\"");
	if (id != NULL && !is_content_id(id))
		ma_doc_refuse(doc, file->path,
					  "\"content_id\" consists of letters, digits and ._@-");
	ma_template_free(
		ma_template_parse(file_text(file, "name"), CurrentMemoryContext));
	return content == NULL ? 0 : VARSIZE(decode(content)) - VARHDRSZ;
}

/* Adds a content_id to those of other files; false if it is there. */
static bool
add_id(List **ids, char *id)
{
	ListCell *lc;

	foreach (lc, *ids)
		if (strcmp(lfirst(lc), id) == 0)
			return false;
	*ids = lappend(*ids, id);
	return true;
}

/* Checks an array of files; returns it with the functions' full names. */
Jsonb *
ma_template_check_files(Jsonb *files)
{
	MaNode			 root = ma_doc_root(files);
	JsonbParseState *state = NULL;
	List			*ids = NIL;
	MaDocument		 doc;
	int64			 total = 0;

	ma_doc_init(&doc);
	if (!ma_doc_is(&doc, &root, MA_DOC_ARRAY))
		ma_doc_raise(&doc, "attachments");
	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < ma_doc_length(&root); i++)
	{
		MaNode file = ma_doc_item(&root, i);
		char  *function;
		char  *id;

		if (!ma_doc_is(&doc, &file, MA_DOC_OBJECT) ||
			!ma_doc_check(&doc, &file, file_keys))
			continue;
		total += check_file(&doc, &file);
		id = file_text(&file, "content_id");
		if (id != NULL && !add_id(&ids, id))
			ma_doc_refuse(&doc, file.path, "its \"content_id\" stands twice");
		function = file_text(&file, "function");
		if (function != NULL)
			function = ma_template_check_function(function, BYTEAOID);
		pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
		ma_json_text(&state, "name", file_text(&file, "name"));
		ma_json_text(&state, "type", file_text(&file, "type"));
		ma_json_text(&state, "content", file_text(&file, "content"));
		ma_json_text(&state, "function", function);
		ma_json_text(&state, "content_id", file_text(&file, "content_id"));
		pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	}
	if (doc.nerrors > 0)
		ma_doc_raise(&doc, "attachments");
	if (total * 4 / 3 > MA_MAIL_MAX)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("attachments are too large"),
						errdetail("A message may have %d MB, attachments "
								  "encoded.",
								  MA_MAIL_MAX / (1024 * 1024))));
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_ARRAY, NULL));
}

/* Reads checked files into a variant, in the current context. */
void
ma_template_load_files(Jsonb *files, const char *owner,
					   MaTemplateVariant *variant)
{
	MaNode root = ma_doc_root(files);

	variant->nfiles = ma_doc_length(&root);
	variant->files = palloc0((variant->nfiles + 1) * sizeof(MaTemplateFile));
	for (int i = 0; i < variant->nfiles; i++)
	{
		MaNode			node = ma_doc_item(&root, i);
		MaTemplateFile *file = &variant->files[i];
		char		   *content = file_text(&node, "content");

		file->name =
			ma_template_parse(file_text(&node, "name"), CurrentMemoryContext);
		file->type = file_text(&node, "type");
		file->content_id = file_text(&node, "content_id");
		if (file_text(&node, "function") != NULL)
			file->call = ma_template_call_new(file_text(&node, "function"),
											  owner, true);
		if (content != NULL)
		{
			bytea *bytes = decode(content);

			file->data = VARDATA(bytes);
			file->length = VARSIZE(bytes) - VARHDRSZ;
		}
	}
}
