/*
 * workflow_rename.c
 *	  A workflow document with another name in it.
 *
 * The compiler walks the document as ever, but compiles nothing: it says
 * where something is named, and what stands there is noted by its path. Then
 * the document is copied. So a note, a reason or a text of the user that
 * happens to be the same word stays as it is.
 */
#include "postgres.h"

#include "workflow_private.h"

/* A place of the document and what stands there afterwards. */
typedef struct Edit
{
	const char *path;
	bool		is_key; /* the last key of the path, not its value */
	const char *text;
} Edit;

struct MaDocRename
{
	MaExprRename rename;
	List		*edits; /* of Edit */
};

/* Notes a place. */
static void
note(MaCompiler *c, const char *path, bool is_key, const char *text)
{
	Edit *edit = palloc(sizeof(Edit));

	edit->path = path;
	edit->is_key = is_key;
	edit->text = text;
	c->rename->edits = lappend(c->rename->edits, edit);
}

/* The compiler met a name. */
void
ma_workflow_names(MaCompiler *c, const MaNode *node, MaNamed what)
{
	if (c->rename != NULL && c->rename->rename.rename.what == what &&
		ma_doc_type(node) == MA_DOC_TEXT &&
		strcmp(ma_doc_text(node), c->rename->rename.rename.old_name) == 0)
		note(c, node->path, false, c->rename->rename.rename.new_name);
}

/* It met a key that is a name. */
void
ma_workflow_names_key(MaCompiler *c, const MaNode *object, const char *key,
					  MaNamed what)
{
	MaNode value;

	if (c->rename != NULL && c->rename->rename.rename.what == what &&
		strcmp(key, c->rename->rename.rename.old_name) == 0 &&
		ma_doc_get(object, key, &value))
		note(c, value.path, true, c->rename->rename.rename.new_name);
}

/* Does an entry wait for derived events that tell of what is renamed? */
static bool
enters_by(const MaProgram *program, const MaRename *rename)
{
	const char *property = ma_rename_property(rename->what);

	for (int i = 0; property != NULL && i < program->nentries; i++)
	{
		Jsonb	  *match = program->entries[i].match;
		JsonbValue value;

		if (match != NULL &&
			getKeyJsonValueFromContainer(&match->root, property,
										 strlen(property), &value) != NULL &&
			value.type == jbvString &&
			value.val.string.len == strlen(rename->old_name) &&
			memcmp(value.val.string.val, rename->old_name,
				   value.val.string.len) == 0)
			return true;
	}
	return false;
}

/* It met an expression. */
void
ma_workflow_names_in(MaCompiler *c, const MaNode *node,
					 const MaExprSource *source)
{
	List *doubts = NIL; /* told of where the expression is stored */
	char *text;

	c->rename->rename.entries =
		enters_by(&c->workflow->program, &c->rename->rename.rename);
	text = ma_expr_rename(source, &c->rename->rename, &doubts);
	if (text != NULL)
		note(c, node->path, false, text);
}

/* What is noted for a place; NULL if nothing is. */
static const char *
noted(const List *edits, const char *path, bool is_key)
{
	ListCell *lc;

	foreach (lc, edits)
	{
		Edit *edit = lfirst(lc);

		if (edit->is_key == is_key && strcmp(edit->path, path) == 0)
			return edit->text;
	}
	return NULL;
}

/* They are for a copy of the document. */
static const char *
noted_text(const MaNode *node, const MaNode *object, void *edits)
{
	return noted(edits, node->path, false);
}

static const char *
noted_key(const MaNode *node, const char *key, void *edits)
{
	return noted(edits, node->path, true);
}

/* A copy of a document with edits in it. */
static Jsonb *
with_edits(Jsonb *json, List *edits)
{
	MaDocCopy how = {noted_text, noted_key, edits};

	return ma_doc_copy(json, &how);
}

/* Nothing is looked up: what a stored document names was there. */
static int
any_object(MaObject object, const char *name, const char *within)
{
	return 1;
}

/*
 * The document after something it names got another name; NULL if it does
 * not name it.
 */
Jsonb *
ma_workflow_rename(Jsonb *definition, const MaRename *rename)
{
	static const MaNames names = {any_object, NULL};
	struct MaDocRename	 renamer = {.rename = {.rename = *rename}};

	ma_workflow_walk(&names, definition, &renamer);
	if (renamer.edits == NIL)
		return NULL;
	return with_edits(definition, renamer.edits);
}

/* An object with another name for a key, or for the text under one. */
static Jsonb *
renamed_pair(Jsonb *object, const char *key, const MaRename *rename)
{
	MaNode root = ma_doc_root(object);
	MaNode value;
	Edit   edit = {.text = rename->new_name, .is_key = key == NULL};

	if (!ma_doc_get(&root, key ? key : rename->old_name, &value) ||
		(key != NULL && (ma_doc_type(&value) != MA_DOC_TEXT ||
						 strcmp(ma_doc_text(&value), rename->old_name) != 0)))
		return object;
	edit.path = value.path;
	return with_edits(object, list_make1(&edit));
}

/* An event that a program waits for. */
static void
rename_trigger(MaTrigger *trigger, const MaRename *rename)
{
	if (rename->what == MA_NAMED_KIND)
	{
		if (trigger->kind != NULL &&
			strcmp(trigger->kind, rename->old_name) == 0)
			trigger->kind = unconstify(char *, rename->new_name);
	}
	else if (trigger->match != NULL && trigger->kind != NULL &&
			 ma_rename_is_told(rename->what, trigger->kind))
		trigger->match = renamed_pair(
			trigger->match, ma_rename_property(rename->what), rename);
}

/* The program of the document afterwards. */
Jsonb *
ma_workflow_rename_program(Jsonb *json, const MaRename *rename)
{
	MaProgram *program = ma_program_read(json);

	for (int i = 0; i < program->nentries; i++)
		rename_trigger(&program->entries[i], rename);
	for (int i = 0; i < program->nexits; i++)
		rename_trigger(&program->exits[i], rename);
	for (int i = 0; i < program->nops; i++)
	{
		MaOp *op = &program->ops[i];

		if (rename->what == MA_NAMED_KIND &&
			(op->verb == MA_OP_WAIT_EVENT || op->verb == MA_OP_EMIT) &&
			op->text != NULL && strcmp(op->text, rename->old_name) == 0)
			op->text = unconstify(char *, rename->new_name);
		if (rename->what == MA_NAMED_ATTRIBUTE && op->verb == MA_OP_SET)
			op->values = renamed_pair(op->values, NULL, rename);
	}
	return ma_program_write(program);
}
