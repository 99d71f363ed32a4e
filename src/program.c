/*
 * program.c
 *	  A workflow as a flat program, and its form as jsonb.
 *
 * A program is stored beside its document (workflow_version.program): numbers
 * of predicates, templates and lists instead of names, jumps instead of
 * nesting. One table of fields per struct drives both directions, so writer
 * and reader cannot differ. A field at its zero value is left out.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/numeric.h"

#include "program.h"

/* The C type of a field. */
typedef enum FieldType
{
	FIELD_INT,	  /* int */
	FIELD_TEXT,	  /* char * */
	FIELD_SPAN,	  /* Interval *, as [months, days, us] */
	FIELD_JSON,	  /* Jsonb * */
	FIELD_VERB,	  /* int, by name in verb_names */
	FIELD_REENTRY /* int, by name in reentry_names */
} FieldType;

/* A field of a struct under its name in jsonb. */
typedef struct Field
{
	const char *name; /* NULL ends a table */
	FieldType	type;
	size_t		offset;
} Field;

static const char *const verb_names[] = {
	"send", "wait",	  "wait_event", "wait_at",	   "wait_date",
	"if",	"switch", "case",		"add_to_list", "remove_from_list",
	"set",	"emit",	  "enroll",		"unenroll",	   "goto",
	"jump", "exit",	  "end",		"restart",	   NULL};

StaticAssertDecl(lengthof(verb_names) == MA_OP_RESTART + 2,
				 "every operation needs a name");

static const char *const reentry_names[] = {"after_exit", "never",	 "after",
											"always",	  "restart", NULL};

static const Field op_fields[] = {
	{"verb", FIELD_VERB, offsetof(MaOp, verb)},
	{"step", FIELD_TEXT, offsetof(MaOp, step)},
	{"when", FIELD_INT, offsetof(MaOp, when)},
	{"skip", FIELD_INT, offsetof(MaOp, skip)},
	{"predicate", FIELD_INT, offsetof(MaOp, predicate)},
	{"next", FIELD_INT, offsetof(MaOp, next)},
	{"other", FIELD_INT, offsetof(MaOp, other)},
	{"object", FIELD_INT, offsetof(MaOp, object)},
	{"text", FIELD_TEXT, offsetof(MaOp, text)},
	{"span", FIELD_SPAN, offsetof(MaOp, span)},
	{"values", FIELD_JSON, offsetof(MaOp, values)},
	{"days", FIELD_INT, offsetof(MaOp, days)},
	{"at", FIELD_INT, offsetof(MaOp, at)},
	{"priority", FIELD_INT, offsetof(MaOp, priority)},
	{"zone", FIELD_TEXT, offsetof(MaOp, zone)},
	{NULL}};

static const Field trigger_fields[] = {
	{"kind", FIELD_TEXT, offsetof(MaTrigger, kind)},
	{"match", FIELD_JSON, offsetof(MaTrigger, match)},
	{"when", FIELD_INT, offsetof(MaTrigger, when)},
	{"nth", FIELD_INT, offsetof(MaTrigger, nth)},
	{NULL}};

static const Field program_fields[] = {
	{"key", FIELD_INT, offsetof(MaProgram, key)},
	{"reentry", FIELD_REENTRY, offsetof(MaProgram, reentry)},
	{"reentry_after", FIELD_SPAN, offsetof(MaProgram, reentry_after)},
	{"max_age", FIELD_SPAN, offsetof(MaProgram, max_age)},
	{"zone", FIELD_INT, offsetof(MaProgram, zone)},
	{"window_days", FIELD_INT, offsetof(MaProgram, window.days)},
	{"window_from", FIELD_INT, offsetof(MaProgram, window.from)},
	{"window_to", FIELD_INT, offsetof(MaProgram, window.to)},
	{"window_zone", FIELD_TEXT, offsetof(MaProgram, window_zone)},
	{"blocked", FIELD_JSON, offsetof(MaProgram, blocked)},
	{NULL}};

/* The name of a verb, as in the workflow language where it has one. */
const char *
ma_verb_name(int verb)
{
	return verb_names[verb];
}

/* Pushes a string as key or value. */
static void
push_text(JsonbParseState **state, JsonbIteratorToken token, const char *text)
{
	JsonbValue v;

	v.type = jbvString;
	v.val.string.val = unconstify(char *, text);
	v.val.string.len = strlen(text);
	pushJsonbValue(state, token, &v);
}

/* Pushes a whole number as value or element. */
static void
push_number(JsonbParseState **state, JsonbIteratorToken token, int64 number)
{
	JsonbValue v;

	v.type = jbvNumeric;
	v.val.numeric = int64_to_numeric(number);
	pushJsonbValue(state, token, &v);
}

/* Writes a field unless it has its zero value. */
static void
write_field(JsonbParseState **state, const Field *field, const char *base)
{
	const void *p = base + field->offset;
	Interval   *span;
	JsonbValue	v;

	if (field->type == FIELD_INT ?
			*(const int *) p == 0 :
			field->type < FIELD_VERB && *(void *const *) p == NULL)
		return;
	push_text(state, WJB_KEY, field->name);
	switch (field->type)
	{
		case FIELD_INT:
			push_number(state, WJB_VALUE, *(const int *) p);
			break;
		case FIELD_TEXT:
			push_text(state, WJB_VALUE, *(char *const *) p);
			break;
		case FIELD_SPAN:
			span = *(Interval *const *) p;
			pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
			push_number(state, WJB_ELEM, span->month);
			push_number(state, WJB_ELEM, span->day);
			push_number(state, WJB_ELEM, span->time);
			pushJsonbValue(state, WJB_END_ARRAY, NULL);
			break;
		case FIELD_JSON:
			JsonbToJsonbValue(*(Jsonb *const *) p, &v);
			pushJsonbValue(state, WJB_VALUE, &v);
			break;
		case FIELD_VERB:
			push_text(state, WJB_VALUE, verb_names[*(const int *) p]);
			break;
		case FIELD_REENTRY:
			push_text(state, WJB_VALUE, reentry_names[*(const int *) p]);
			break;
	}
}

/* Writes the fields of a struct into the object being built. */
static void
write_fields(JsonbParseState **state, const Field *fields, const void *base)
{
	for (; fields->name != NULL; fields++)
		write_field(state, fields, base);
}

/* Writes an array of structs under a key. */
static void
write_array(JsonbParseState **state, const char *name, const Field *fields,
			const void *items, int n, size_t size)
{
	push_text(state, WJB_KEY, name);
	pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < n; i++)
	{
		pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
		write_fields(state, fields, (const char *) items + i * size);
		pushJsonbValue(state, WJB_END_OBJECT, NULL);
	}
	pushJsonbValue(state, WJB_END_ARRAY, NULL);
}

/* The program as jsonb. */
Jsonb *
ma_program_write(const MaProgram *program)
{
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	write_fields(&state, program_fields, program);
	write_array(&state, "entries", trigger_fields, program->entries,
				program->nentries, sizeof(MaTrigger));
	write_array(&state, "exits", trigger_fields, program->exits,
				program->nexits, sizeof(MaTrigger));
	write_array(&state, "ops", op_fields, program->ops, program->nops,
				sizeof(MaOp));
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/* A number of jsonb as an int64. */
static int64
read_number(const JsonbValue *v)
{
	if (v->type != jbvNumeric)
		elog(ERROR, "a number is missing in a workflow program");
	return DatumGetInt64(
		DirectFunctionCall1(numeric_int8, NumericGetDatum(v->val.numeric)));
}

/* A string of jsonb as a C string. */
static char *
read_text(const JsonbValue *v)
{
	if (v->type != jbvString)
		elog(ERROR, "a string is missing in a workflow program");
	return pnstrdup(v->val.string.val, v->val.string.len);
}

/* The index of a name in a table of names. */
static int
read_name(const JsonbValue *v, const char *const *names)
{
	char *name = read_text(v);

	for (int i = 0; names[i] != NULL; i++)
		if (strcmp(names[i], name) == 0)
			return i;
	elog(ERROR, "unknown name \"%s\" in a workflow program", name);
}

/* Reads [months, days, microseconds]. */
static Interval *
read_span(const JsonbValue *v)
{
	Interval *span = palloc0(sizeof(Interval));

	if (v->type != jbvBinary || JsonContainerSize(v->val.binary.data) != 3)
		elog(ERROR, "an interval is missing in a workflow program");
	span->month =
		read_number(getIthJsonbValueFromContainer(v->val.binary.data, 0));
	span->day =
		read_number(getIthJsonbValueFromContainer(v->val.binary.data, 1));
	span->time =
		read_number(getIthJsonbValueFromContainer(v->val.binary.data, 2));
	return span;
}

/* Reads the fields of a zeroed struct. */
static void
read_fields(JsonbContainer *object, const Field *fields, void *base)
{
	for (; fields->name != NULL; fields++)
	{
		void	  *p = (char *) base + fields->offset;
		JsonbValue v;

		if (getKeyJsonValueFromContainer(object, fields->name,
										 strlen(fields->name), &v) == NULL)
			continue;
		switch (fields->type)
		{
			case FIELD_INT:
				*(int *) p = read_number(&v);
				break;
			case FIELD_TEXT:
				*(char **) p = read_text(&v);
				break;
			case FIELD_SPAN:
				*(Interval **) p = read_span(&v);
				break;
			case FIELD_JSON:
				*(Jsonb **) p = JsonbValueToJsonb(&v);
				break;
			case FIELD_VERB:
				*(int *) p = read_name(&v, verb_names);
				break;
			case FIELD_REENTRY:
				*(int *) p = read_name(&v, reentry_names);
				break;
		}
	}
}

/* Reads an array of structs. */
static void *
read_array(JsonbContainer *object, const char *name, const Field *fields,
		   size_t size, int *n)
{
	JsonbValue array;
	char	  *items;

	if (getKeyJsonValueFromContainer(object, name, strlen(name), &array) ==
			NULL ||
		array.type != jbvBinary)
		elog(ERROR, "\"%s\" is missing in a workflow program", name);
	*n = JsonContainerSize(array.val.binary.data);
	items = palloc0(size * Max(*n, 1));
	for (int i = 0; i < *n; i++)
	{
		JsonbValue *item =
			getIthJsonbValueFromContainer(array.val.binary.data, i);

		if (item->type != jbvBinary)
			elog(ERROR, "an object is missing in a workflow program");
		read_fields(item->val.binary.data, fields, items + i * size);
	}
	return items;
}

/* Reads an array of dates. */
static void
read_dates(Jsonb *json, MaHours *hours)
{
	hours->nblocked = JB_ROOT_COUNT(json);
	hours->blocked = palloc(sizeof(DateADT) * Max(hours->nblocked, 1));
	for (int i = 0; i < hours->nblocked; i++)
		hours->blocked[i] =
			read_number(getIthJsonbValueFromContainer(&json->root, i));
}

/* The program that jsonb describes, in the current memory context. */
MaProgram *
ma_program_read(Jsonb *json)
{
	MaProgram *program = palloc0(sizeof(MaProgram));

	read_fields(&json->root, program_fields, program);
	if (program->blocked != NULL)
		read_dates(program->blocked, &program->window);
	program->entries = read_array(&json->root, "entries", trigger_fields,
								  sizeof(MaTrigger), &program->nentries);
	program->exits = read_array(&json->root, "exits", trigger_fields,
								sizeof(MaTrigger), &program->nexits);
	program->ops = read_array(&json->root, "ops", op_fields, sizeof(MaOp),
							  &program->nops);
	return program;
}
