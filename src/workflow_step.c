/*
 * workflow_step.c
 *	  Compiles the steps of a workflow document.
 *
 * Each verb of the language is one row of the table verbs: its name, what
 * its value may be, which keys may stand beside it and the function that
 * appends its operations. Branches become jumps: the operations of a step and
 * of everything inside it are consecutive, so "after the step" is the next
 * free operation once it is compiled.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"

#include "json.h"
#include "vocabulary.h"
#include "workflow_private.h"

/* A verb of the language. */
typedef struct Verb
{
	const char *name;
	int			types; /* MA_DOC_* of its value */
	bool		needs_id;
	const char *beside[4]; /* keys beside it */
	MaVerb		op;		   /* of its first operation */
	void (*compile)(MaCompiler *c, const MaNode *step, const MaNode *value,
					int op);
} Verb;

static void compile_send(MaCompiler *c, const MaNode *step,
						 const MaNode *value, int op);
static void compile_if(MaCompiler *c, const MaNode *step, const MaNode *value,
					   int op);
static void compile_switch(MaCompiler *c, const MaNode *step,
						   const MaNode *value, int op);
static void compile_list(MaCompiler *c, const MaNode *step,
						 const MaNode *value, int op);
static void compile_set(MaCompiler *c, const MaNode *step, const MaNode *value,
						int op);
static void compile_stage(MaCompiler *c, const MaNode *step,
						  const MaNode *value, int op);
static void compile_emit(MaCompiler *c, const MaNode *step,
						 const MaNode *value, int op);
static void compile_workflow(MaCompiler *c, const MaNode *step,
							 const MaNode *value, int op);
static void compile_goto(MaCompiler *c, const MaNode *step,
						 const MaNode *value, int op);
static void compile_exit(MaCompiler *c, const MaNode *step,
						 const MaNode *value, int op);

static const Verb verbs[] = {
	{"send", MA_DOC_OBJECT, true, {NULL}, MA_OP_SEND, compile_send},
	{"wait", MA_DOC_OBJECT, true, {NULL}, MA_OP_WAIT, ma_workflow_wait},
	{"if", MA_DOC_TEXT, true, {"then", "else"}, MA_OP_IF, compile_if},
	{"switch", MA_DOC_ARRAY, true, {"default"}, MA_OP_SWITCH, compile_switch},
	{"add_to_list",
	 MA_DOC_TEXT,
	 false,
	 {"override", "for", "until"},
	 MA_OP_ADD,
	 compile_list},
	{"remove_from_list",
	 MA_DOC_TEXT,
	 false,
	 {"override", "for", "until"},
	 MA_OP_REMOVE,
	 compile_list},
	{"set", MA_DOC_OBJECT, false, {NULL}, MA_OP_SET, compile_set},
	{"stage", MA_DOC_TEXT, false, {NULL}, MA_OP_SET, compile_stage},
	{"emit", MA_DOC_OBJECT, false, {NULL}, MA_OP_EMIT, compile_emit},
	{"enroll", MA_DOC_TEXT, false, {NULL}, MA_OP_ENROLL, compile_workflow},
	{"unenroll", MA_DOC_TEXT, false, {NULL}, MA_OP_UNENROLL, compile_workflow},
	{"goto", MA_DOC_TEXT, false, {NULL}, MA_OP_GOTO, compile_goto},
	{"exit", MA_DOC_TEXT, false, {NULL}, MA_OP_EXIT, compile_exit}};

/* Keys that may stand beside any verb. */
static const MaDocKey common_keys[] = {
	{"id", MA_DOC_TEXT}, {"when", MA_DOC_TEXT}, {"note", MA_DOC_TEXT}, {NULL}};

static const MaDocKey send_keys[] = {{"template", MA_DOC_TEXT, true},
									 {"context", MA_DOC_OBJECT},
									 {"priority", MA_DOC_NUMBER},
									 {"else", MA_DOC_ARRAY},
									 {NULL}};

static const MaDocKey case_keys[] = {
	{"when", MA_DOC_TEXT, true}, {"steps", MA_DOC_ARRAY, true}, {NULL}};

static const MaDocKey emit_keys[] = {
	{"event", MA_DOC_TEXT, true}, {"properties", MA_DOC_OBJECT}, {NULL}};

/* Appends an operation that goes on with the next one. */
int
ma_workflow_add_op(MaCompiler *c, MaVerb verb)
{
	MaProgram *program = &c->workflow->program;
	MaOp	  *op;

	if (program->nops == c->maxops)
	{
		c->maxops = Max(16, c->maxops * 2);
		program->ops = program->ops == NULL ?
						   palloc(sizeof(MaOp) * c->maxops) :
						   repalloc(program->ops, sizeof(MaOp) * c->maxops);
	}
	op = &program->ops[program->nops];
	memset(op, 0, sizeof(MaOp));
	op->verb = verb;
	op->next = program->nops + 1;
	return program->nops++;
}

/* The operation at a number, valid until the next ma_workflow_add_op(). */
MaOp *
ma_workflow_op(MaCompiler *c, int op)
{
	return &c->workflow->program.ops[op];
}

/* The number the next operation will get. */
int
ma_workflow_here(MaCompiler *c)
{
	return c->workflow->program.nops;
}

/* The verb of a name, or NULL. */
static const Verb *
find_verb(const char *name)
{
	for (int i = 0; i < lengthof(verbs); i++)
		if (strcmp(verbs[i].name, name) == 0)
			return &verbs[i];
	return NULL;
}

/* "send", "wait", ... */
static char *
verb_names(void)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < lengthof(verbs); i++)
		appendStringInfo(&buf, "%s\"%s\"", i > 0 ? ", " : "", verbs[i].name);
	return buf.data;
}

/* May the key stand in a step of the verb (NULL: not known)? */
static bool
key_fits(const Verb *verb, const char *key)
{
	for (const MaDocKey *common = common_keys; common->name; common++)
		if (strcmp(common->name, key) == 0)
			return true;
	for (int i = 0; verb != NULL && verb->beside[i] != NULL; i++)
		if (strcmp(verb->beside[i], key) == 0)
			return true;
	return false;
}

/* Finds the one verb of a step and refuses what does not belong to it. */
static const Verb *
step_verb(MaCompiler *c, const MaNode *step)
{
	const Verb *verb = NULL;
	int			n;
	char	  **keys = ma_doc_keys(step, &n);
	bool		unknown = false;

	for (int i = 0; i < n; i++)
	{
		const Verb *found = find_verb(keys[i]);

		if (found != NULL && verb != NULL)
			ma_doc_refuse(&c->doc, step->path,
						  "a step has one verb, not both "
						  "\"%s\" and \"%s\"",
						  verb->name, keys[i]);
		else if (found != NULL)
			verb = found;
	}
	for (int i = 0; i < n; i++)
		if (find_verb(keys[i]) == NULL && !key_fits(verb, keys[i]))
		{
			unknown = true;
			if (verb == NULL)
				ma_doc_refuse(&c->doc, step->path,
							  "unknown verb \"%s\"; "
							  "supported are %s",
							  keys[i], verb_names());
			else
				ma_doc_refuse(&c->doc, step->path,
							  "unknown key \"%s\" beside "
							  "\"%s\"",
							  keys[i], verb->name);
		}
	if (verb == NULL && !unknown)
		ma_doc_refuse(&c->doc, step->path,
					  "a step needs a verb; supported "
					  "are %s",
					  verb_names());
	return verb;
}

/* Reads the id of a step; its path stands in where it has none. */
static char *
step_name(MaCompiler *c, const MaNode *step, const Verb *verb)
{
	MaNode		node;
	MaStepName *name;
	ListCell   *lc;

	if (!ma_doc_get(step, "id", &node))
	{
		if (verb->needs_id)
			ma_doc_refuse(&c->doc, step->path,
						  "key \"id\" is missing; a step "
						  "with \"%s\" needs one",
						  verb->name);
		return pstrdup(step->path);
	}
	if (!ma_doc_is(&c->doc, &node, MA_DOC_TEXT))
		return pstrdup(step->path);
	name = palloc0(sizeof(MaStepName));
	name->id = ma_doc_text(&node);
	name->path = node.path;
	name->op = ma_workflow_here(c);
	if (name->id[0] == '\0')
		ma_doc_refuse(&c->doc, node.path, "must not be empty");
	foreach (lc, c->ids)
	{
		MaStepName *other = lfirst(lc);

		if (strcmp(other->id, name->id) == 0)
			ma_doc_refuse(&c->doc, node.path, "\"%s\" is also the id at %s",
						  name->id, other->path);
	}
	c->ids = lappend(c->ids, name);
	return pstrdup(name->id);
}

/* One step. */
static void
compile_step(MaCompiler *c, const MaNode *step)
{
	const Verb *verb;
	MaNode		value;
	MaNode		node;
	char	   *name;
	int			op;

	if (!ma_doc_is(&c->doc, step, MA_DOC_OBJECT) ||
		(verb = step_verb(c, step)) == NULL)
		return;
	name = step_name(c, step, verb);
	op = ma_workflow_add_op(c, verb->op);
	ma_workflow_op(c, op)->step = name;
	if (ma_doc_get(step, "note", &node))
		(void) ma_doc_is(&c->doc, &node, MA_DOC_TEXT);
	if (ma_doc_get(step, "when", &node))
	{
		int when = ma_workflow_expression(c, &node, MA_NAMES_STEP, NULL);

		ma_workflow_op(c, op)->when = c->storing ? when : 1;
	}
	(void) ma_doc_get(step, verb->name, &value);
	if (ma_doc_is(&c->doc, &value, verb->types))
		verb->compile(c, step, &value, op);
	ma_workflow_op(c, op)->skip = ma_workflow_here(c);
}

/* An array of steps. */
void
ma_workflow_steps(MaCompiler *c, const MaNode *steps)
{
	if (!ma_doc_is(&c->doc, steps, MA_DOC_ARRAY))
		return;
	for (int i = 0; i < ma_doc_length(steps); i++)
	{
		MaNode step = ma_doc_item(steps, i);

		compile_step(c, &step);
	}
}

/* The array of steps under a key, if it is there. */
bool
ma_workflow_branch(MaCompiler *c, const MaNode *object, const char *key)
{
	MaNode steps;

	if (!ma_doc_get(object, key, &steps))
		return false;
	ma_workflow_steps(c, &steps);
	return true;
}

/*
 * Can an operation be reached from another one without a wait on the way? A
 * wait for a date is none: the date may be past.
 */
static bool
reaches(MaCompiler *c, int from, int target, bool *seen)
{
	const MaOp *op = ma_workflow_op(c, from);
	bool		waits = op->verb == MA_OP_WAIT || op->verb == MA_OP_WAIT_AT ||
				 op->verb == MA_OP_WAIT_EVENT;

	check_stack_depth();
	if (from == target)
		return true;
	if (seen[from] || op->verb == MA_OP_END)
		return false;
	seen[from] = true;
	if (op->when != 0 && reaches(c, op->skip, target, seen))
		return true;
	if (waits || op->verb == MA_OP_EXIT)
		return false;
	if (op->verb == MA_OP_WAIT_DATE &&
		ma_workflow_op(c, op->next)->step != NULL &&
		reaches(c, ma_workflow_op(c, op->next)->skip, target, seen))
		return true;
	return reaches(c, op->next, target, seen) ||
		   (op->other != 0 && reaches(c, op->other, target, seen));
}

/* Refuses a goto that comes back to itself without a wait. */
static void
check_circle(MaCompiler *c, const MaStepName *jump)
{
	bool *seen = palloc0(sizeof(bool) * ma_workflow_here(c));

	if (reaches(c, ma_workflow_op(c, jump->op)->next, jump->op, seen))
		ma_doc_refuse(&c->doc, jump->path,
					  "goes in circles: between \"%s\" and here must be a "
					  "wait that nothing skips",
					  jump->id);
}

/* Closes the program and resolves the targets of goto. */
void
ma_workflow_end(MaCompiler *c)
{
	ListCell *lc;
	ListCell *lc2;

	(void) ma_workflow_add_op(c, MA_OP_END);
	foreach (lc, c->gotos)
	{
		MaStepName *target = lfirst(lc);
		bool		found = false;

		foreach (lc2, c->ids)
		{
			MaStepName *step = lfirst(lc2);

			if (strcmp(step->id, target->id) == 0)
			{
				ma_workflow_op(c, target->op)->next = step->op;
				found = true;
			}
		}
		if (!found)
			ma_doc_refuse(&c->doc, target->path,
						  "there is no step with id "
						  "\"%s\"",
						  target->id);
		else
			check_circle(c, target);
	}
}

/* Copies a value, putting the number of each {"=": expression} in. */
static void
push_value(MaCompiler *c, JsonbParseState **state, JsonbIteratorToken token,
		   const MaNode *node)
{
	MaNode	   child;
	JsonbValue v;
	int		   n;
	char	 **keys;

	if (ma_doc_type(node) == MA_DOC_ARRAY)
	{
		pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
		for (int i = 0; i < ma_doc_length(node); i++)
		{
			child = ma_doc_item(node, i);
			push_value(c, state, WJB_ELEM, &child);
		}
		pushJsonbValue(state, WJB_END_ARRAY, NULL);
		return;
	}
	if (ma_doc_type(node) != MA_DOC_OBJECT)
	{
		v = node->value;
		pushJsonbValue(state, token, &v);
		return;
	}
	keys = ma_doc_keys(node, &n);
	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < n; i++)
	{
		(void) ma_doc_get(node, keys[i], &child);
		ma_json_key(state, keys[i]);
		if (strcmp(keys[i], "=") != 0)
			push_value(c, state, WJB_VALUE, &child);
		else
		{
			if (n > 1)
				ma_doc_refuse(&c->doc, node->path,
							  "\"=\" stands alone in "
							  "its object");
			v.type = jbvNumeric;
			v.val.numeric = int64_to_numeric(ma_workflow_value(c, &child));
			pushJsonbValue(state, WJB_VALUE, &v);
		}
	}
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

/* An object of values, literal or {"=": expression}. */
static Jsonb *
compile_values(MaCompiler *c, const MaNode *object)
{
	JsonbParseState *state = NULL;
	MaNode			 whole = *object;
	MaNode			 child;
	int				 n;
	char		   **keys;

	if (!ma_doc_is(&c->doc, object, MA_DOC_OBJECT))
		return NULL;
	keys = ma_doc_keys(&whole, &n);
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < n; i++)
	{
		(void) ma_doc_get(&whole, keys[i], &child);
		ma_json_key(&state, keys[i]);
		push_value(c, &state, WJB_VALUE, &child);
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/* {"template", "context", "priority", "else"} */
static void
compile_send(MaCompiler *c, const MaNode *step, const MaNode *value, int op)
{
	MaNode node;

	ma_doc_check(&c->doc, value, send_keys);
	if (ma_doc_get(value, "template", &node) &&
		ma_doc_type(&node) == MA_DOC_TEXT)
		ma_workflow_op(c, op)->object =
			ma_workflow_object(c, &node, MA_OBJECT_TEMPLATE, NULL);
	if (ma_doc_get(value, "context", &node) &&
		ma_doc_type(&node) == MA_DOC_OBJECT)
	{
		Jsonb *values = compile_values(c, &node);

		ma_workflow_op(c, op)->values = values;
	}
	if (ma_doc_get(value, "priority", &node) &&
		ma_doc_type(&node) == MA_DOC_NUMBER)
	{
		int priority = ma_doc_whole(&c->doc, &node, -9, 9);

		ma_workflow_op(c, op)->priority = MA_PRIORITY_BASE + priority;
	}
	if (ma_doc_get(value, "else", &node) && ma_doc_type(&node) == MA_DOC_ARRAY)
	{
		ma_workflow_op(c, op)->other = ma_workflow_here(c);
		ma_workflow_steps(c, &node);
	}
	ma_workflow_op(c, op)->next = ma_workflow_here(c);
}

/* "if": predicate, "then": steps, "else": steps */
static void
compile_if(MaCompiler *c, const MaNode *step, const MaNode *value, int op)
{
	int	   predicate = ma_workflow_expression(c, value, MA_NAMES_STEP, NULL);
	MaNode node;
	int	   jump;

	ma_workflow_op(c, op)->predicate = predicate;
	if (!ma_workflow_branch(c, step, "then"))
		ma_doc_refuse(&c->doc, step->path, "key \"then\" is missing");
	if (!ma_doc_get(step, "else", &node))
	{
		ma_workflow_op(c, op)->other = ma_workflow_here(c);
		return;
	}
	jump = ma_workflow_add_op(c, MA_OP_JUMP);
	ma_workflow_op(c, op)->other = ma_workflow_here(c);
	ma_workflow_steps(c, &node);
	ma_workflow_op(c, jump)->next = ma_workflow_here(c);
}

/* "switch": [{"when", "steps"}], "default": steps */
static void
compile_switch(MaCompiler *c, const MaNode *step, const MaNode *value, int op)
{
	List	 *jumps = NIL;
	ListCell *lc;
	MaNode	  node;

	if (ma_doc_length(value) == 0)
		ma_doc_refuse(&c->doc, value->path, "needs at least one case");
	for (int i = 0; i < ma_doc_length(value); i++)
	{
		MaNode item = ma_doc_item(value, i);
		int	   test = ma_workflow_add_op(c, MA_OP_CASE);

		ma_doc_check(&c->doc, &item, case_keys);
		if (ma_doc_get(&item, "when", &node) &&
			ma_doc_type(&node) == MA_DOC_TEXT)
			ma_workflow_op(c, test)->predicate =
				ma_workflow_expression(c, &node, MA_NAMES_STEP, NULL);
		if (ma_doc_get(&item, "steps", &node) &&
			ma_doc_type(&node) == MA_DOC_ARRAY)
			ma_workflow_steps(c, &node);
		jumps = lappend_int(jumps, ma_workflow_add_op(c, MA_OP_JUMP));
		ma_workflow_op(c, test)->other = ma_workflow_here(c);
	}
	(void) ma_workflow_branch(c, step, "default");
	foreach (lc, jumps)
		ma_workflow_op(c, lfirst_int(lc))->next = ma_workflow_here(c);
}

/*
 * the name of a list; beside it "override": true for one with a predicate,
 * and when it ends: "for": interval or "until": {"date", ...}
 */
static void
compile_list(MaCompiler *c, const MaNode *step, const MaNode *value, int op)
{
	MaNode	 node;
	MaNode	 end;
	MaObject object = MA_OBJECT_STATIC_LIST;

	if (ma_doc_get(step, "override", &node) &&
		ma_doc_is(&c->doc, &node, MA_DOC_BOOL) && node.value.val.boolean)
		object = MA_OBJECT_LIST;
	ma_workflow_op(c, op)->object = ma_workflow_object(c, value, object, NULL);
	if (ma_doc_get(step, "until", &end) &&
		ma_doc_is(&c->doc, &end, MA_DOC_OBJECT))
		ma_workflow_until(c, &end, op);
	if (!ma_doc_get(step, "for", &node))
		return;
	if (ma_doc_get(step, "until", &end))
		ma_doc_refuse(&c->doc, step->path,
					  "\"for\" and \"until\" exclude each other");
	else if (ma_doc_is(&c->doc, &node, MA_DOC_TEXT))
		ma_workflow_op(c, op)->span = ma_workflow_length(c, &node);
}

/* {"attribute": value or {"=": expression}} */
static void
compile_set(MaCompiler *c, const MaNode *step, const MaNode *value, int op)
{
	int	   n;
	char **names = ma_doc_keys(value, &n);
	Jsonb *values = compile_values(c, value);

	if (n == 0)
		ma_doc_refuse(&c->doc, value->path, "sets nothing");
	for (int i = 0; i < n; i++)
		ma_workflow_names_key(c, value, names[i], MA_NAMED_ATTRIBUTE);
	for (int i = 0; i < n && !c->storing; i++)
		if (strcmp(names[i], "email") == 0 || strcmp(names[i], "phone") == 0)
			ma_doc_refuse(&c->doc, value->path,
						  "\"%s\" tells who a contact is and is set by "
						  "identify() only",
						  names[i]);
		else if (c->names->object(MA_OBJECT_ATTRIBUTE, names[i], NULL) == 0)
			ereport(NOTICE, (errmsg("%s: attribute \"%s\" is not declared",
									value->path, names[i])));
	ma_workflow_op(c, op)->values = values;
}

/* the name of a stage */
static void
compile_stage(MaCompiler *c, const MaNode *step, const MaNode *value, int op)
{
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	ma_json_text(&state, "stage", ma_doc_text(value));
	ma_workflow_op(c, op)->values =
		JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/* {"event", "properties"} */
static void
compile_emit(MaCompiler *c, const MaNode *step, const MaNode *value, int op)
{
	MaNode node;

	if (!ma_doc_check(&c->doc, value, emit_keys))
		return;
	(void) ma_doc_get(value, "event", &node);
	ma_workflow_names(c, &node, MA_NAMED_KIND);
	ma_workflow_op(c, op)->text = ma_doc_text(&node);
	if (node.value.val.string.len == 0)
		ma_doc_refuse(&c->doc, node.path, "must not be empty");
	else if (ma_vocabulary_reserved(ma_doc_text(&node)))
		ma_doc_refuse(&c->doc, node.path,
					  "\"%s\" is reserved: mautomate itself writes such "
					  "events when they happen",
					  ma_doc_text(&node));
	if (ma_doc_get(value, "properties", &node))
		ma_workflow_op(c, op)->values = compile_values(c, &node);
}

/* the name of another workflow */
static void
compile_workflow(MaCompiler *c, const MaNode *step, const MaNode *value,
				 int op)
{
	ma_workflow_op(c, op)->object =
		ma_workflow_object(c, value, MA_OBJECT_WORKFLOW, NULL);
}

/* the id of a step, resolved at the end */
static void
compile_goto(MaCompiler *c, const MaNode *step, const MaNode *value, int op)
{
	MaStepName *target = palloc0(sizeof(MaStepName));

	target->id = ma_doc_text(value);
	target->path = value->path;
	target->op = op;
	c->gotos = lappend(c->gotos, target);
}

/* the reason */
static void
compile_exit(MaCompiler *c, const MaNode *step, const MaNode *value, int op)
{
	ma_workflow_op(c, op)->text = ma_doc_text(value);
}
