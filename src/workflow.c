/*
 * workflow.c
 *	  Compiles a workflow document into a flat program.
 *
 * The document is walked twice. The first walk only finds errors: all of
 * them, each with its JSON path, raised together. The second walk, over a
 * document that is right, builds the program and has its expressions stored.
 * Both are the same code, so what is checked is what is built.
 *
 * This file knows the top level: entries, re-entry, exits. Steps are in
 * workflow_step.c, reading of JSON in document.c. The database is asked only
 * through MaNames.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "guard.h"
#include "json.h"
#include "workflow_private.h"

/* A way to enter, named by the first key of an entry. */
typedef struct EntryForm
{
	const char	   *name; /* the key */
	const MaDocKey *keys; /* the keys of such an entry */
	void (*compile)(MaCompiler *c, const MaNode *entry, MaTrigger *trigger);
} EntryForm;

static void compile_event_entry(MaCompiler *c, const MaNode *entry,
								MaTrigger *trigger);
static void compile_list_entry(MaCompiler *c, const MaNode *entry,
							   MaTrigger *trigger);
static void compile_tier_entry(MaCompiler *c, const MaNode *entry,
							   MaTrigger *trigger);
static void compile_stage_entry(MaCompiler *c, const MaNode *entry,
								MaTrigger *trigger);

static const MaDocKey document_keys[] = {
	{"entry", MA_DOC_ARRAY},
	{"key", MA_DOC_TEXT},
	{"reentry", MA_DOC_TEXT | MA_DOC_OBJECT},
	{"max_age", MA_DOC_TEXT},
	{"steps", MA_DOC_ARRAY, true},
	{"exit", MA_DOC_ARRAY},
	{"window", MA_DOC_OBJECT},
	{"description", MA_DOC_TEXT},
	{NULL}};

static const MaDocKey event_keys[] = {
	{"event", MA_DOC_TEXT, true}, {"when", MA_DOC_TEXT}, {NULL}};

static const MaDocKey list_keys[] = {
	{"list", MA_DOC_TEXT, true}, {"change", MA_DOC_TEXT}, {NULL}};

static const MaDocKey tier_keys[] = {{"tier", MA_DOC_OBJECT, true}, {NULL}};

static const MaDocKey reached_keys[] = {
	{"score", MA_DOC_TEXT, true}, {"reached", MA_DOC_TEXT, true}, {NULL}};

static const MaDocKey stage_keys[] = {{"stage", MA_DOC_TEXT, true}, {NULL}};

static const EntryForm entry_forms[] = {
	{"event", event_keys, compile_event_entry},
	{"list", list_keys, compile_list_entry},
	{"tier", tier_keys, compile_tier_entry},
	{"stage", stage_keys, compile_stage_entry}};

static const MaDocKey after_keys[] = {{"after", MA_DOC_TEXT, true}, {NULL}};

/* The words for "reentry"; NULL where the value is no word. */
static const char *const reentry_words[] = {"after_exit", "never", "always",
											"restart", NULL};
static const MaReentry	 reentry_of_word[] = {
	  MA_REENTRY_AFTER_EXIT, MA_REENTRY_NEVER, MA_REENTRY_ALWAYS,
	  MA_REENTRY_RESTART};

/* An attempt to compile an expression. */
typedef struct Trial
{
	const MaExprSource *source;
	MaExpr			   *expr;
} Trial;

/* Compiles an expression; raises an error where that fails. */
static void
try_expression(void *arg)
{
	Trial *trial = arg;

	trial->expr = ma_expr_compile(trial->source, CurrentMemoryContext);
}

/* Adds the error of an expression at its path, with its position. */
static void
refuse_expression(MaCompiler *c, const MaNode *node, const ErrorData *error)
{
	int position =
		error->cursorpos > 0 ? error->cursorpos : error->internalpos;

	if (position > 0)
		ma_doc_refuse(&c->doc, node->path, "%s at character %d of \"%s\"",
					  error->message, position, ma_doc_text(node));
	else
		ma_doc_refuse(&c->doc, node->path, "%s in \"%s\"", error->message,
					  ma_doc_text(node));
	if (error->detail != NULL)
		appendStringInfo(&c->doc.errors, " (%s)", error->detail);
	if (c->doc.first_hint == NULL)
		c->doc.first_hint = error->hint;
}

/* Notes the lists and scores that an expression reads. */
static void
note_used(MaCompiler *c, const MaExpr *expr)
{
	MaSlot *slots;
	int		n = ma_expr_slots(expr, &slots);

	for (int i = 0; i < n; i++)
	{
		MaObject object;
		int		 number;

		if (slots[i].kind == MA_SLOT_IN_LIST)
			object = MA_OBJECT_LIST;
		else if (slots[i].kind == MA_SLOT_SCORE ||
				 slots[i].kind == MA_SLOT_TIER)
			object = MA_OBJECT_SCORE;
		else
			continue;
		number = c->names->object(object, slots[i].object, NULL);
		c->workflow->used[object] =
			list_append_unique_int(c->workflow->used[object], number);
	}
}

/* Compiles or stores an expression of any type. */
static int
compile_expression(MaCompiler *c, const MaNode *node, MaExprSource *source)
{
	Trial	   trial = {.source = source};
	ErrorData *error;
	int		   predicate_id;

	if (!ma_doc_is(&c->doc, node, MA_DOC_TEXT))
		return 0;
	source->text = ma_doc_text(node);
	source->entry_kind = c->entry_kind;
	if (c->rename != NULL)
	{
		ma_workflow_names_in(c, node, source);
		return 0;
	}
	if (c->storing)
	{
		predicate_id = c->names->predicate(source);
		c->workflow->predicates =
			list_append_unique_int(c->workflow->predicates, predicate_id);
		return predicate_id;
	}
	if ((error = ma_guard(try_expression, &trial)) != NULL)
		refuse_expression(c, node, error);
	else
		note_used(c, trial.expr);
	return 0;
}

/*
 * A boolean expression over the given names; kind is what event.x belongs
 * to. Returns its predicate_id in the second walk.
 */
int
ma_workflow_expression(MaCompiler *c, const MaNode *node, int names,
					   const char *kind)
{
	MaExprSource source = {
		.names = names, .event_kind = kind, .type = BOOLOID};

	return compile_expression(c, node, &source);
}

/* An expression of a step whose value is kept, of whatever type. */
int
ma_workflow_value(MaCompiler *c, const MaNode *node)
{
	MaExprSource source = {.names = MA_NAMES_STEP};

	return compile_expression(c, node, &source);
}

/* An expression of a step that gives an instant. */
int
ma_workflow_date(MaCompiler *c, const MaNode *node)
{
	MaExprSource source = {.names = MA_NAMES_STEP, .type = TIMESTAMPTZOID};

	return compile_expression(c, node, &source);
}

/*
 * The number of a named object, noted as used. 0, refused, where there is
 * none of that name.
 */
int
ma_workflow_object(MaCompiler *c, const MaNode *node, MaObject object,
				   const char *within)
{
	static const char *const nouns[] = {
		[MA_OBJECT_LIST] = "list",		   [MA_OBJECT_STATIC_LIST] = "list",
		[MA_OBJECT_TEMPLATE] = "template", [MA_OBJECT_WORKFLOW] = "workflow",
		[MA_OBJECT_SCORE] = "score",	   [MA_OBJECT_TIER] = "tier"};
	static const MaNamed named[] = {[MA_OBJECT_LIST] = MA_NAMED_LIST,
									[MA_OBJECT_STATIC_LIST] = MA_NAMED_LIST,
									[MA_OBJECT_TEMPLATE] = MA_NAMED_TEMPLATE,
									[MA_OBJECT_WORKFLOW] = MA_NAMED_WORKFLOW,
									[MA_OBJECT_SCORE] = MA_NAMED_SCORE};
	char				*name;
	int					 number;

	if (!ma_doc_is(&c->doc, node, MA_DOC_TEXT))
		return 0;
	if (object != MA_OBJECT_TIER)
		ma_workflow_names(c, node, named[object]);
	name = ma_doc_text(node);
	number = c->names->object(object, name, within);
	if (number != 0)
		c->workflow->used[object] =
			list_append_unique_int(c->workflow->used[object], number);
	else if (object == MA_OBJECT_STATIC_LIST &&
			 c->names->object(MA_OBJECT_LIST, name, NULL) != 0)
		ma_doc_refuse(&c->doc, node->path,
					  "list \"%s\" follows its condition; say \"override\": "
					  "true to decide against it",
					  name);
	else
		ma_doc_refuse(&c->doc, node->path, "there is no %s \"%s\"",
					  nouns[object], name);
	return number;
}

/* A kind of events; one nobody has heard of is told, not refused. */
char *
ma_workflow_kind(MaCompiler *c, const MaNode *node)
{
	char *kind;

	if (!ma_doc_is(&c->doc, node, MA_DOC_TEXT))
		return NULL;
	kind = ma_doc_text(node);
	ma_workflow_names(c, node, MA_NAMED_KIND);
	if (!c->storing && c->names->object(MA_OBJECT_KIND, kind, NULL) == 0)
		ereport(NOTICE, (errmsg("%s: there is no event of kind \"%s\" yet",
								node->path, kind)));
	return kind;
}

/* Stores an expression of ours, in the second walk. */
int
ma_workflow_fixed(MaCompiler *c, MaExprSource *source)
{
	int predicate_id;

	if (!c->storing)
		return 0;
	predicate_id = c->names->predicate(source);
	c->workflow->predicates =
		list_append_unique_int(c->workflow->predicates, predicate_id);
	return predicate_id;
}

/* An expression that has events of a kind counted, for entry.nth. */
static int
count_kind(MaCompiler *c, const char *kind)
{
	MaExprSource source = {.text = "event.nth > 0",
						   .names = MA_NAMES_EVENT | MA_NAMES_NTH,
						   .event_kind = kind,
						   .type = BOOLOID};

	return ma_workflow_fixed(c, &source);
}

/* {"event": kind, "when": predicate} */
static void
compile_event_entry(MaCompiler *c, const MaNode *entry, MaTrigger *trigger)
{
	MaNode node;

	if (!ma_doc_get(entry, "event", &node) ||
		ma_doc_type(&node) != MA_DOC_TEXT)
		return;
	trigger->kind = ma_workflow_kind(c, &node);
	if (ma_doc_get(entry, "when", &node) && ma_doc_type(&node) == MA_DOC_TEXT)
		trigger->when = ma_workflow_expression(
			c, &node, MA_NAMES_PERSON | MA_NAMES_EVENT | MA_NAMES_NTH,
			trigger->kind);
}

/* An object of text pairs, ended by NULL. */
static Jsonb *
text_pairs(const char *const *pairs)
{
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; pairs[i] != NULL; i += 2)
		ma_json_text(&state, pairs[i], pairs[i + 1]);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/* {"list": name, "change": "entered" | "left"}: a derived event */
static void
compile_list_entry(MaCompiler *c, const MaNode *entry, MaTrigger *trigger)
{
	static const char *const changes[] = {"entered", "left", NULL};
	MaNode					 node;
	bool					 left = false;

	if (ma_doc_get(entry, "change", &node))
		left = ma_doc_choice(&c->doc, &node, changes) == 1;
	trigger->kind = left ? "list_left" : "list_entered";
	if (ma_doc_get(entry, "list", &node) &&
		ma_workflow_object(c, &node, MA_OBJECT_LIST, NULL) != 0)
		trigger->match = text_pairs(
			(const char *const[]){"list", ma_doc_text(&node), NULL});
}

/* {"tier": {"score", "reached"}}: a derived event */
static void
compile_tier_entry(MaCompiler *c, const MaNode *entry, MaTrigger *trigger)
{
	MaNode node;
	MaNode score;
	MaNode tier;

	trigger->kind = "tier_changed";
	if (!ma_doc_get(entry, "tier", &node) ||
		!ma_doc_check(&c->doc, &node, reached_keys))
		return;
	(void) ma_doc_get(&node, "score", &score);
	(void) ma_doc_get(&node, "reached", &tier);
	if (ma_workflow_object(c, &score, MA_OBJECT_SCORE, NULL) != 0 &&
		ma_workflow_object(c, &tier, MA_OBJECT_TIER, ma_doc_text(&score)) != 0)
		trigger->match = text_pairs((const char *const[]){
			"score", ma_doc_text(&score), "tier", ma_doc_text(&tier), NULL});
}

/* {"stage": name}: a derived event */
static void
compile_stage_entry(MaCompiler *c, const MaNode *entry, MaTrigger *trigger)
{
	MaNode node;

	trigger->kind = "stage_changed";
	if (ma_doc_get(entry, "stage", &node) &&
		ma_doc_is(&c->doc, &node, MA_DOC_TEXT))
		trigger->match = text_pairs(
			(const char *const[]){"stage", ma_doc_text(&node), NULL});
}

/* "event", "list" and so on */
static char *
entry_form_names(void)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < lengthof(entry_forms); i++)
		appendStringInfo(&buf, "%s\"%s\"",
						 i == 0						   ? "" :
						 i + 1 < lengthof(entry_forms) ? ", " :
														 " or ",
						 entry_forms[i].name);
	return buf.data;
}

/* One entry, by the first form whose key it has. */
static void
compile_entry(MaCompiler *c, const MaNode *entry, MaTrigger *trigger)
{
	MaNode node;

	if (!ma_doc_is(&c->doc, entry, MA_DOC_OBJECT))
		return;
	for (int i = 0; i < lengthof(entry_forms); i++)
		if (ma_doc_get(entry, entry_forms[i].name, &node))
		{
			ma_doc_check(&c->doc, entry, entry_forms[i].keys);
			entry_forms[i].compile(c, entry, trigger);
			if (trigger->kind != NULL)
				trigger->nth = count_kind(c, trigger->kind);
			return;
		}
	ma_doc_refuse(&c->doc, entry->path, "an entry needs one of %s",
				  entry_form_names());
}

/* All entries. */
static void
compile_entries(MaCompiler *c, const MaNode *entries)
{
	MaProgram *program = &c->workflow->program;

	program->nentries = ma_doc_length(entries);
	program->entries = palloc0(sizeof(MaTrigger) * Max(program->nentries, 1));
	for (int i = 0; i < program->nentries; i++)
	{
		MaNode entry = ma_doc_item(entries, i);

		compile_entry(c, &entry, &program->entries[i]);
	}
	if (program->nentries == 1 && program->entries[0].match == NULL)
		c->entry_kind = program->entries[0].kind;
}

/* All exits. */
static void
compile_exits(MaCompiler *c, const MaNode *exits)
{
	MaProgram *program = &c->workflow->program;

	program->nexits = ma_doc_length(exits);
	program->exits = palloc0(sizeof(MaTrigger) * Max(program->nexits, 1));
	for (int i = 0; i < program->nexits; i++)
	{
		MaNode	   exit = ma_doc_item(exits, i);
		MaNode	   node;
		MaTrigger *trigger = &program->exits[i];

		ma_doc_check(&c->doc, &exit, event_keys);
		if (ma_doc_get(&exit, "event", &node) &&
			ma_doc_type(&node) == MA_DOC_TEXT)
			trigger->kind = ma_workflow_kind(c, &node);
		if (ma_doc_get(&exit, "when", &node) &&
			ma_doc_type(&node) == MA_DOC_TEXT)
			trigger->when = ma_workflow_expression(
				c, &node, MA_NAMES_STEP | MA_NAMES_EVENT | MA_NAMES_NTH,
				trigger->kind);
	}
}

/* When a contact may enter again. */
static void
compile_reentry(MaCompiler *c, const MaNode *reentry)
{
	MaProgram *program = &c->workflow->program;
	MaNode	   after;
	int		   word;

	switch (ma_doc_type(reentry))
	{
		case MA_DOC_TEXT:
			word = ma_doc_choice(&c->doc, reentry, reentry_words);
			if (word >= 0)
				program->reentry = reentry_of_word[word];
			break;
		case MA_DOC_OBJECT:
			program->reentry = MA_REENTRY_AFTER;
			ma_doc_check(&c->doc, reentry, after_keys);
			if (ma_doc_get(reentry, "after", &after) &&
				ma_doc_type(&after) == MA_DOC_TEXT)
				program->reentry_after = ma_doc_interval(&c->doc, &after);
			break;
		default: /* refused by the table of keys */
			break;
	}
}

/* The key: an expression over the person and the entry event. */
static int
compile_key(MaCompiler *c, const MaNode *key)
{
	MaExprSource source = {.names = MA_NAMES_PERSON | MA_NAMES_ENTRY,
						   .type = TEXTOID};

	return compile_expression(c, key, &source);
}

/* One walk over the document. */
static void
walk(MaCompiler *c, Jsonb *definition)
{
	MaProgram *program = &c->workflow->program;
	MaNode	   root = ma_doc_root(definition);
	MaNode	   node;

	if (!ma_doc_is(&c->doc, &root, MA_DOC_OBJECT))
		return;
	ma_doc_check(&c->doc, &root, document_keys);
	if (ma_doc_get(&root, "entry", &node) &&
		ma_doc_type(&node) == MA_DOC_ARRAY)
		compile_entries(c, &node);
	if (ma_doc_get(&root, "key", &node) && ma_doc_type(&node) == MA_DOC_TEXT)
		program->key = compile_key(c, &node);
	if (ma_doc_get(&root, "reentry", &node))
		compile_reentry(c, &node);
	if (ma_doc_get(&root, "max_age", &node) &&
		ma_doc_type(&node) == MA_DOC_TEXT)
		program->max_age = ma_doc_interval(&c->doc, &node);
	if (ma_doc_get(&root, "exit", &node) && ma_doc_type(&node) == MA_DOC_ARRAY)
		compile_exits(c, &node);
	if (ma_doc_get(&root, "window", &node) &&
		ma_doc_type(&node) == MA_DOC_OBJECT)
		ma_workflow_window(c, &node);
	if (ma_doc_get(&root, "steps", &node) &&
		ma_doc_type(&node) == MA_DOC_ARRAY)
	{
		if (ma_doc_length(&node) == 0)
			ma_doc_refuse(&c->doc, node.path, "needs at least one step");
		ma_workflow_steps(c, &node);
	}
	ma_workflow_end(c);
}

/* A compiler before a walk. */
static MaCompiler *
new_compiler(const MaNames *names, bool storing)
{
	MaCompiler *c = palloc0(sizeof(MaCompiler));

	ma_doc_init(&c->doc);
	c->names = names;
	c->storing = storing;
	c->workflow = palloc0(sizeof(MaWorkflow));
	return c;
}

/* One walk for a name; what else is wrong with a stored document stays so. */
void
ma_workflow_walk(const MaNames *names, Jsonb *definition,
				 struct MaDocRename *rename)
{
	MaCompiler *c = new_compiler(names, false);

	c->rename = rename;
	walk(c, definition);
}

/*
 * Compiles a document. Raises all its errors at once; otherwise has its
 * expressions stored and returns the program with what it uses. The result
 * lives in the current memory context.
 */
MaWorkflow *
ma_workflow_compile(Jsonb *definition, const char *name, const MaNames *names)
{
	MaCompiler *first = new_compiler(names, false);
	MaCompiler *second = new_compiler(names, true);

	walk(first, definition);
	ma_doc_raise(&first->doc, psprintf("workflow \"%s\"", name));
	walk(second, definition);
	for (int i = 0; i < MA_OBJECTS; i++)
		second->workflow->used[i] = list_union_int(second->workflow->used[i],
												   first->workflow->used[i]);
	return second->workflow;
}
