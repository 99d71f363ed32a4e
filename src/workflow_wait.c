/*
 * workflow_wait.c
 *	  Compiles what has to do with the calendar: waits, and the window in
 *	  which people may be reached.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/date.h"

#include "guard.h"
#include "workflow_private.h"
#include "zone.h"

/* What a wait may be until, named by a key of "until". */
typedef struct UntilForm
{
	const char	   *name;
	const MaDocKey *keys;
	void (*compile)(MaCompiler *c, const MaNode *value, const MaNode *until,
					int op);
} UntilForm;

static void compile_until_event(MaCompiler *c, const MaNode *value,
								const MaNode *until, int op);
static void compile_until_date(MaCompiler *c, const MaNode *value,
							   const MaNode *until, int op);
static void compile_until_at(MaCompiler *c, const MaNode *value,
							 const MaNode *until, int op);

static const MaDocKey for_keys[] = {{"for", MA_DOC_TEXT, true}, {NULL}};

static const MaDocKey event_wait_keys[] = {{"until", MA_DOC_OBJECT, true},
										   {"timeout", MA_DOC_TEXT},
										   {"then", MA_DOC_ARRAY},
										   {"timed_out", MA_DOC_ARRAY},
										   {NULL}};

static const MaDocKey time_wait_keys[] = {{"until", MA_DOC_OBJECT, true},
										  {NULL}};

static const MaDocKey event_keys[] = {
	{"event", MA_DOC_TEXT, true}, {"when", MA_DOC_TEXT}, {NULL}};

static const MaDocKey date_keys[] = {
	{"date", MA_DOC_TEXT, true}, {"offset", MA_DOC_TEXT},  {"at", MA_DOC_TEXT},
	{"zone", MA_DOC_TEXT},		 {"if_past", MA_DOC_TEXT}, {NULL}};

static const MaDocKey end_keys[] = {{"date", MA_DOC_TEXT, true},
									{"offset", MA_DOC_TEXT},
									{"at", MA_DOC_TEXT},
									{"zone", MA_DOC_TEXT},
									{NULL}};

static const MaDocKey at_keys[] = {{"at", MA_DOC_TEXT, true},
								   {"days", MA_DOC_TEXT},
								   {"zone", MA_DOC_TEXT},
								   {NULL}};

static const UntilForm until_forms[] = {
	{"event", event_keys, compile_until_event},
	{"date", date_keys, compile_until_date},
	{"at", at_keys, compile_until_at}};

static const MaDocKey window_keys[] = {
	{"days", MA_DOC_TEXT}, {"from", MA_DOC_TEXT},	  {"to", MA_DOC_TEXT},
	{"zone", MA_DOC_TEXT}, {"blocked", MA_DOC_ARRAY}, {NULL}};

static const char *const if_past_words[] = {"continue", "skip_next", "exit",
											NULL};

/* The days of the week under "days"; every day where there is no such key. */
static int
read_days(MaCompiler *c, const MaNode *object)
{
	MaNode node;
	int	   days;

	if (!ma_doc_get(object, "days", &node) ||
		ma_doc_type(&node) != MA_DOC_TEXT)
		return MA_EVERY_DAY;
	if (!ma_calendar_days(ma_doc_text(&node), &days))
		ma_doc_refuse(&c->doc, node.path,
					  "\"%s\" does not name days such as \"mon-fri\" or "
					  "\"sat,sun\"",
					  ma_doc_text(&node));
	return days;
}

/* The time of the day under a key, in seconds. */
static int
read_time(MaCompiler *c, const MaNode *object, const char *key, int missing)
{
	MaNode node;
	int	   seconds = missing;

	if (ma_doc_get(object, key, &node) && ma_doc_type(&node) == MA_DOC_TEXT &&
		!ma_calendar_time(ma_doc_text(&node), &seconds))
		ma_doc_refuse(&c->doc, node.path,
					  "\"%s\" is not a time such as \"09:00\"",
					  ma_doc_text(&node));
	return seconds;
}

/* The zone under "zone"; NULL for the contact's, which is the default. */
static char *
read_zone(MaCompiler *c, const MaNode *object)
{
	MaExprSource source = {.text = "contact.timezone",
						   .names = MA_NAMES_CONTACT,
						   .type = TEXTOID};
	MaNode		 node;

	if (ma_doc_get(object, "zone", &node) &&
		ma_doc_type(&node) == MA_DOC_TEXT &&
		strcmp(ma_doc_text(&node), "contact") != 0)
	{
		if (ma_zone(ma_doc_text(&node)) == NULL)
			ma_doc_refuse(&c->doc, node.path,
						  "\"%s\" is neither \"contact\" nor a time zone",
						  ma_doc_text(&node));
		return ma_doc_text(&node);
	}
	c->workflow->program.zone = ma_workflow_fixed(c, &source);
	return NULL;
}

/* How long to wait, or until something ends: longer than nothing. */
Interval *
ma_workflow_length(MaCompiler *c, const MaNode *node)
{
	Interval *span = ma_doc_interval(&c->doc, node);

	if (span != NULL && span->month == 0 && span->day == 0 && span->time == 0)
		ma_doc_refuse(&c->doc, node->path, "\"%s\" is no time at all",
					  ma_doc_text(node));
	return span;
}

/* {"event", "when"}, beside it "timeout", "then", "timed_out" */
static void
compile_until_event(MaCompiler *c, const MaNode *value, const MaNode *until,
					int op)
{
	MaNode node;
	int	   jump;

	ma_workflow_op(c, op)->verb = MA_OP_WAIT_EVENT;
	ma_doc_check(&c->doc, value, event_wait_keys);
	if (ma_doc_get(until, "event", &node) && ma_doc_type(&node) == MA_DOC_TEXT)
		ma_workflow_op(c, op)->text = ma_workflow_kind(c, &node);
	if (ma_doc_get(until, "when", &node) && ma_doc_type(&node) == MA_DOC_TEXT)
		ma_workflow_op(c, op)->predicate = ma_workflow_expression(
			c, &node, MA_NAMES_STEP | MA_NAMES_EVENT | MA_NAMES_NTH,
			ma_workflow_op(c, op)->text);
	if (ma_doc_get(value, "timeout", &node) &&
		ma_doc_type(&node) == MA_DOC_TEXT)
		ma_workflow_op(c, op)->span = ma_workflow_length(c, &node);
	else if (ma_doc_get(value, "timed_out", &node))
		ma_doc_refuse(&c->doc, node.path, "needs a \"timeout\"");
	(void) ma_workflow_branch(c, value, "then");
	jump = ma_workflow_add_op(c, MA_OP_JUMP);
	ma_workflow_op(c, op)->other = ma_workflow_here(c);
	(void) ma_workflow_branch(c, value, "timed_out");
	ma_workflow_op(c, jump)->next = ma_workflow_here(c);
}

/* The instant that {"date", "offset", "at", "zone"} says. */
static void
set_date(MaCompiler *c, const MaNode *until, int op)
{
	MaOp  *dated = ma_workflow_op(c, op);
	MaNode node;

	if (ma_doc_get(until, "date", &node) && ma_doc_type(&node) == MA_DOC_TEXT)
		dated->predicate = ma_workflow_date(c, &node);
	if (ma_doc_get(until, "offset", &node) &&
		ma_doc_type(&node) == MA_DOC_TEXT)
		dated->span = ma_doc_span(&c->doc, &node);
	dated->at = read_time(c, until, "at", -1);
	dated->zone = read_zone(c, until);
}

/* The same of what ends then. */
void
ma_workflow_until(MaCompiler *c, const MaNode *until, int op)
{
	if (ma_doc_check(&c->doc, until, end_keys))
		set_date(c, until, op);
}

/* {"date", "offset", "at", "zone", "if_past"} */
static void
compile_until_date(MaCompiler *c, const MaNode *value, const MaNode *until,
				   int op)
{
	MaOp  *wait = ma_workflow_op(c, op);
	MaNode node;
	int	   word = 0;

	wait->verb = MA_OP_WAIT_DATE;
	ma_doc_check(&c->doc, value, time_wait_keys);
	set_date(c, until, op);
	if (ma_doc_get(until, "if_past", &node) &&
		ma_doc_type(&node) == MA_DOC_TEXT)
		word = ma_doc_choice(&c->doc, &node, if_past_words);
	wait->text = pstrdup(if_past_words[Max(word, 0)]);
}

/* {"at", "days", "zone"} */
static void
compile_until_at(MaCompiler *c, const MaNode *value, const MaNode *until,
				 int op)
{
	MaOp *wait = ma_workflow_op(c, op);

	wait->verb = MA_OP_WAIT_AT;
	ma_doc_check(&c->doc, value, time_wait_keys);
	wait->at = read_time(c, until, "at", 0);
	wait->days = read_days(c, until);
	wait->zone = read_zone(c, until);
}

/* {"for": interval} or {"until": ...} */
void
ma_workflow_wait(MaCompiler *c, const MaNode *step, const MaNode *value,
				 int op)
{
	MaNode until;
	MaNode node;

	if (ma_doc_get(value, "for", &node))
	{
		ma_doc_check(&c->doc, value, for_keys);
		if (ma_doc_type(&node) == MA_DOC_TEXT)
			ma_workflow_op(c, op)->span = ma_workflow_length(c, &node);
		return;
	}
	if (!ma_doc_get(value, "until", &until))
	{
		ma_doc_refuse(&c->doc, value->path, "needs \"for\" or \"until\"");
		return;
	}
	if (!ma_doc_is(&c->doc, &until, MA_DOC_OBJECT))
		return;
	for (int i = 0; i < lengthof(until_forms); i++)
		if (ma_doc_get(&until, until_forms[i].name, &node))
		{
			ma_doc_check(&c->doc, &until, until_forms[i].keys);
			until_forms[i].compile(c, value, &until, op);
			return;
		}
	ma_doc_refuse(&c->doc, until.path,
				  "needs one of \"event\", \"date\" or \"at\"");
}

/* Text to be read as a date, and the date. */
typedef struct DateRead
{
	char   *text;
	DateADT date;
} DateRead;

/* Reads a date; raises an error where it is none. */
static void
read_date(void *arg)
{
	DateRead *read = arg;

	read->date = DatumGetDateADT(
		DirectFunctionCall1(date_in, CStringGetDatum(read->text)));
}

/* An array of dates as an array of their numbers. */
static Jsonb *
read_blocked(MaCompiler *c, const MaNode *dates)
{
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < ma_doc_length(dates); i++)
	{
		MaNode	   node = ma_doc_item(dates, i);
		DateRead   read = {0};
		JsonbValue v;

		if (!ma_doc_is(&c->doc, &node, MA_DOC_TEXT))
			continue;
		read.text = ma_doc_text(&node);
		if (ma_guard(read_date, &read) != NULL || DATE_NOT_FINITE(read.date))
		{
			ma_doc_refuse(&c->doc, node.path,
						  "\"%s\" is not a date such as \"2026-12-25\"",
						  read.text);
			continue;
		}
		v.type = jbvNumeric;
		v.val.numeric = int64_to_numeric(read.date);
		pushJsonbValue(&state, WJB_ELEM, &v);
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_ARRAY, NULL));
}

/* {"days", "from", "to", "zone", "blocked"}: when people may be reached */
void
ma_workflow_window(MaCompiler *c, const MaNode *window)
{
	MaProgram *program = &c->workflow->program;
	MaNode	   node;

	ma_doc_check(&c->doc, window, window_keys);
	program->window.days = read_days(c, window);
	program->window.from = read_time(c, window, "from", 0);
	program->window.to = read_time(c, window, "to", SECS_PER_DAY);
	program->window_zone = read_zone(c, window);
	if (program->window.from >= program->window.to)
		ma_doc_refuse(&c->doc, window->path,
					  "\"from\" must come before \"to\"");
	if (ma_doc_get(window, "blocked", &node) &&
		ma_doc_type(&node) == MA_DOC_ARRAY)
		program->blocked = read_blocked(c, &node);
}
