/*
 * entry.c
 *	  Which workflows an event starts, wakes or ends.
 *
 * The engine hands over the events of a chunk of contacts whose states it
 * holds locked. Here it is decided in C, against the folded state, which
 * entries match; entry_store.c decides re-entry and writes.
 *
 * An expression that raises an error never fails the application's statement:
 * the events of a contact are decided in one subtransaction, and one by one
 * if that fails; what fails alone does not match and is noted in errors.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/json.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "entry_private.h"
#include "error.h"
#include "guard.h"
#include "sql.h"
#include "vocabulary.h"

/* One way into a workflow. */
typedef struct EntryRule
{
	MaEntryWorkflow *workflow;
	MaTrigger		*trigger;
	MaExpr			*when; /* NULL: always */
} EntryRule;

/* What is known about a kind of event. */
typedef struct EntryKind
{
	const char *kind;
	List	   *rules;	  /* entries, EntryRule */
	List	   *versions; /* version ids that wait for or end by it */
} EntryKind;

/* Everything about entries, in the memory of the definitions. */
struct MaEntries
{
	List	  *workflows; /* MaEntryWorkflow */
	int		   nkinds;
	EntryKind *kinds; /* sorted by kind */
};

/* Compiles an expression while the entries are built. */
typedef struct Fetch
{
	int		predicate_id;
	MaExpr *expr;
} Fetch;

static void
fetch_expr(void *arg)
{
	Fetch *fetch = arg;

	fetch->expr = ma_definition_expr(fetch->predicate_id);
}

/*
 * The expression of a number in *expr. False, noted, where it does not
 * compile any more: then nobody enters by it.
 */
static bool
get_expr(MaEntryWorkflow *workflow, int predicate_id, MaExpr **expr)
{
	Fetch	   fetch = {.predicate_id = predicate_id};
	ErrorData *error;

	*expr = NULL;
	if (predicate_id == 0)
		return true;
	if ((error = ma_guard(fetch_expr, &fetch)) != NULL)
	{
		ma_error_note(psprintf("workflow \"%s\"", workflow->name), 0, error);
		return false;
	}
	*expr = fetch.expr;
	return true;
}

/* The row of a kind, made where it is missing. */
static EntryKind *
add_kind(MaEntries *entries, const char *kind)
{
	for (int i = 0; i < entries->nkinds; i++)
		if (strcmp(entries->kinds[i].kind, kind) == 0)
			return &entries->kinds[i];
	entries->kinds = entries->kinds == NULL ?
						 palloc(sizeof(EntryKind)) :
						 repalloc(entries->kinds,
								  sizeof(EntryKind) * (entries->nkinds + 1));
	memset(&entries->kinds[entries->nkinds], 0, sizeof(EntryKind));
	entries->kinds[entries->nkinds].kind = kind;
	return &entries->kinds[entries->nkinds++];
}

/* Notes that those on a version wait for events of a kind. */
static void
add_version(MaEntries *entries, const char *kind, int version_id)
{
	EntryKind *row = add_kind(entries, kind);

	row->versions = list_append_unique_int(row->versions, version_id);
}

/* Enters a version into the rows of the kinds it concerns. */
static void
add_workflow(MaEntries *entries, MaEntryWorkflow *workflow)
{
	MaProgram *program = workflow->program;
	bool	   usable = true;

	entries->workflows = lappend(entries->workflows, workflow);
	if (workflow->open)
		usable = get_expr(workflow, program->key, &workflow->key);
	for (int i = 0; workflow->open && usable && i < program->nentries; i++)
	{
		EntryRule *rule = palloc0(sizeof(EntryRule));
		EntryKind *kind;

		rule->workflow = workflow;
		rule->trigger = &program->entries[i];
		if (!get_expr(workflow, rule->trigger->when, &rule->when))
			continue;
		kind = add_kind(entries, rule->trigger->kind);
		kind->rules = lappend(kind->rules, rule);
	}
	for (int i = 0; i < program->nexits; i++)
		add_version(entries, program->exits[i].kind, workflow->version_id);
	for (int i = 0; i < program->nops; i++)
		if (program->ops[i].verb == MA_OP_WAIT_EVENT)
			add_version(entries, program->ops[i].text, workflow->version_id);
}

/* Orders kinds by name. */
static int
compare_kinds(const void *a, const void *b)
{
	return strcmp(((const EntryKind *) a)->kind,
				  ((const EntryKind *) b)->kind);
}

/*
 * Reads all versions in use, as the latest snapshot sees them. The programs
 * are read in the given context; expressions come from the definitions.
 */
static MaEntries *
build_entries(MemoryContext cxt)
{
	static MaStatement stmt = {
		"select w.workflow_id, v.version_id, w.name,"
		" v.version_id = w.active_version,"
		" w.state = 'paused' and w.entries = 'drop', v.program"
		" from mautomate_internal.workflow w"
		" join mautomate_internal.workflow_version v using (workflow_id)"
		" where v.in_use and w.state <> 'draft'"
		" order by w.workflow_id, v.version_id",
		0};
	MaSqlScope	  scope;
	MemoryContext caller = MemoryContextSwitchTo(cxt);
	MaEntries	 *entries = palloc0(sizeof(MaEntries));
	List		 *workflows = NIL;
	ListCell	 *lc;
	bool		  isnull;

	ma_sql_begin(&scope);
	PushActiveSnapshot(GetLatestSnapshot());
	ma_sql_read(&stmt, NULL, NULL, 0);
	PopActiveSnapshot();
	MemoryContextSwitchTo(cxt);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		MaEntryWorkflow *workflow = palloc0(sizeof(MaEntryWorkflow));

		workflow->workflow_id = DatumGetInt32(ma_sql_datum(i, 1, &isnull));
		workflow->version_id = DatumGetInt32(ma_sql_datum(i, 2, &isnull));
		workflow->name = ma_sql_text(i, 3);
		workflow->open = DatumGetBool(ma_sql_datum(i, 4, &isnull));
		workflow->dropping = DatumGetBool(ma_sql_datum(i, 5, &isnull));
		workflow->program =
			ma_program_read(DatumGetJsonbP(ma_sql_datum(i, 6, &isnull)));
		workflows = lappend(workflows, workflow);
	}
	ma_sql_end(&scope);
	MemoryContextSwitchTo(cxt);
	foreach (lc, workflows)
		add_workflow(entries, lfirst(lc));
	if (entries->nkinds > 1)
		qsort(entries->kinds, entries->nkinds, sizeof(EntryKind),
			  compare_kinds);
	MemoryContextSwitchTo(caller);
	return entries;
}

/* The entries of the definitions, built on first use. */
static MaEntries *
get_entries(MaDefinitions *definitions)
{
	if (definitions->entries == NULL)
		definitions->entries = build_entries(definitions->cxt);
	return definitions->entries;
}

/* The row of a kind, or NULL. */
static EntryKind *
find_kind(MaEntries *entries, const char *kind)
{
	EntryKind key = {.kind = kind};

	if (entries->nkinds == 0)
		return NULL;
	return bsearch(&key, entries->kinds, entries->nkinds, sizeof(EntryKind),
				   compare_kinds);
}

/* Does any workflow care about events of this kind? */
bool
ma_entry_watches(MaDefinitions *definitions, const char *kind)
{
	return find_kind(get_entries(definitions), kind) != NULL;
}

/* Starts a batch in the current memory context. */
MaEntryBatch *
ma_entry_begin(MaDefinitions *definitions)
{
	MaEntryBatch *batch = palloc0(sizeof(MaEntryBatch));

	batch->entries = get_entries(definitions);
	batch->cxt = CurrentMemoryContext;
	batch->now = ma_now();
	return batch;
}

/* Pushes a key with a value onto an object. */
static void
push_pair(JsonbParseState **state, const char *key, JsonbValue *value)
{
	JsonbValue name;

	name.type = jbvString;
	name.val.string.val = unconstify(char *, key);
	name.val.string.len = strlen(key);
	pushJsonbValue(state, WJB_KEY, &name);
	pushJsonbValue(state, WJB_VALUE, value);
}

/*
 * The properties of an event with its kind, occurred_at and, where such events
 * are counted because some expression asks for it, nth.
 */
Jsonb *
ma_entry_of_event(const MaEvent *event)
{
	JsonbParseState	  *state = NULL;
	JsonbIterator	  *it = JsonbIteratorInit(&event->properties->root);
	JsonbIteratorToken token;
	JsonbValue		   v;
	char			   time[MAXDATELEN + 1];
	int				   utc = 0;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
		if (token == WJB_KEY || token == WJB_VALUE)
			pushJsonbValue(&state, token, &v);
	v.type = jbvString;
	v.val.string.val = unconstify(char *, event->kind);
	v.val.string.len = strlen(event->kind);
	push_pair(&state, "kind", &v);
	if (event->nth > 0)
	{
		v.type = jbvNumeric;
		v.val.numeric = int64_to_numeric(event->nth);
		push_pair(&state, "nth", &v);
	}
	v.type = jbvString;
	v.val.string.val = JsonEncodeDateTime(
		time, TimestampTzGetDatum(event->occurred_at), TIMESTAMPTZOID, &utc);
	v.val.string.len = strlen(time);
	push_pair(&state, "occurred_at", &v);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/* Does the event have the properties a trigger asks for? */
static bool
matches(const MaTrigger *trigger, const MaEvent *event)
{
	JsonbIterator *has;
	JsonbIterator *wanted;

	if (trigger->match == NULL)
		return true;
	has = JsonbIteratorInit(&event->properties->root);
	wanted = JsonbIteratorInit(&trigger->match->root);
	return JsonbDeepContains(&has, &wanted);
}

/* A new candidate of the batch. */
static MaCandidate *
add_candidate(MaEntryBatch *batch, MaEntryWorkflow *workflow, int64 contact_id)
{
	MaCandidate *candidate = palloc0(sizeof(MaCandidate));

	if (batch->ncandidates == batch->maxcandidates)
	{
		batch->maxcandidates = Max(64, batch->maxcandidates * 2);
		batch->candidates =
			batch->candidates == NULL ?
				palloc(sizeof(MaCandidate *) * batch->maxcandidates) :
				repalloc(batch->candidates,
						 sizeof(MaCandidate *) * batch->maxcandidates);
	}
	candidate->contact_id = contact_id;
	candidate->at = batch->now;
	candidate->workflow = workflow;
	candidate->wake_at = batch->now;
	candidate->key = "";
	batch->candidates[batch->ncandidates++] = candidate;
	return candidate;
}

/* Sets the key of a candidate, "" where the expression is null. */
static void
set_key(MaCandidate *candidate, MaInput *input)
{
	MaExpr *expr = candidate->workflow->key;
	Datum	value;
	bool	isnull;

	if (expr == NULL)
		return;
	input->entry = candidate->entry;
	value = ma_expr_eval(expr, 0, input, &isnull);
	if (!isnull)
		candidate->key = TextDatumGetCString(value);
}

/*
 * Does an event count, but not start anybody? After a day, unless the
 * workflow says otherwise; the engine's own never come late, only it does.
 */
static bool
is_too_old(const MaProgram *program, const MaEvent *event, TimestampTz now)
{
	static const Interval a_day = {.day = 1};

	if (program->max_age == NULL && ma_vocabulary_reserved(event->kind))
		return false;
	return ma_time_add(event->occurred_at,
					   program->max_age ? program->max_age : &a_day, 1,
					   ma_timezone()) <= now;
}

/* Considers one event for one way into a workflow. */
static void
consider(MaEntryBatch *batch, const EntryRule *rule, MaContact *contact,
		 const MaEvent *event)
{
	MaEntryWorkflow *workflow = rule->workflow;
	MaInput			 input = {0};
	MaCandidate		*candidate;
	bool			 holds;

	if (!matches(rule->trigger, event))
		return;
	input.contact = contact;
	input.event = unconstify(MaEvent *, event);
	input.now = contact->as_of;
	holds = rule->when == NULL || ma_expr_holds(rule->when, &input);
	candidate = add_candidate(batch, workflow, event->contact_id);
	candidate->event_id = event->event_id;
	candidate->entry = ma_entry_of_event(event);
	if (ma_vocabulary_reserved(event->kind))
		candidate->wake_at = Min(event->occurred_at, batch->now);
	input.event = NULL;
	if (!holds)
		candidate->refused = "when is not true";
	else if (workflow->dropping)
		candidate->refused = "paused";
	else if (is_too_old(workflow->program, event, batch->now))
		candidate->refused = "too old";
	else
		set_key(candidate, &input);
}

/* Notes an event for those on the way. */
static void
add_wakes(MaEntryBatch *batch, const List *versions, const MaEvent *event)
{
	ListCell *lc;

	foreach (lc, versions)
	{
		MaWake *wake;

		if (batch->nwakes == batch->maxwakes)
		{
			batch->maxwakes = Max(64, batch->maxwakes * 2);
			batch->wakes =
				batch->wakes == NULL ?
					palloc(sizeof(MaWake) * batch->maxwakes) :
					repalloc(batch->wakes, sizeof(MaWake) * batch->maxwakes);
		}
		wake = &batch->wakes[batch->nwakes++];
		wake->version_id = lfirst_int(lc);
		wake->event = *event;
		wake->event.kind = pstrdup(event->kind);
		wake->event.properties = palloc(VARSIZE(event->properties));
		memcpy(wake->event.properties, event->properties,
			   VARSIZE(event->properties));
	}
}

/* Events of a contact to be decided together. */
typedef struct Decision
{
	MaEntryBatch *batch;
	MaContact	 *contact;
	MaEvent		 *events;
	int			  n;
	EntryRule	 *only; /* this way in alone, or NULL for all */
} Decision;

/* Decides about events; raises what an expression raises. */
static void
decide(void *arg)
{
	Decision *decision = arg;
	ListCell *lc;

	for (int i = 0; i < decision->n; i++)
	{
		MaEvent	  *event = &decision->events[i];
		EntryKind *kind;

		if (decision->only != NULL)
		{
			consider(decision->batch, decision->only, decision->contact,
					 event);
			continue;
		}
		kind = find_kind(decision->batch->entries, event->kind);
		if (kind == NULL)
			continue;
		foreach (lc, kind->rules)
			consider(decision->batch, lfirst(lc), decision->contact, event);
	}
}

/* Decides about each event and way in alone, noting what raises. */
static void
decide_singly(Decision *all)
{
	for (int i = 0; i < all->n; i++)
	{
		EntryKind *kind = find_kind(all->batch->entries, all->events[i].kind);
		ListCell  *lc;

		foreach (lc, kind == NULL ? NIL : kind->rules)
		{
			Decision   one = *all;
			int		   before = all->batch->ncandidates;
			ErrorData *error;

			one.events = &all->events[i];
			one.n = 1;
			one.only = lfirst(lc);
			if ((error = ma_guard(decide, &one)) == NULL)
				continue;
			all->batch->ncandidates = before;
			ma_error_note(
				psprintf("workflow \"%s\"", one.only->workflow->name),
				all->events[i].contact_id, error);
		}
	}
}

/* Does deciding about an event evaluate anything that could raise? */
static bool
may_raise(MaEntryBatch *batch, const MaEvent *event)
{
	EntryKind *kind = find_kind(batch->entries, event->kind);
	ListCell  *lc;

	foreach (lc, kind == NULL ? NIL : kind->rules)
	{
		EntryRule *rule = lfirst(lc);

		if (rule->when != NULL || rule->workflow->key != NULL)
			return true;
	}
	return false;
}

/*
 * Collects what the events of a contact, which came at `now`, mean to the
 * workflows, in order of arrival. The contact's state is locked and folded up
 * to these events.
 */
void
ma_entry_collect(MaEntryBatch *batch, MaContact *contact, TimestampTz now,
				 MaEvent *events, int n)
{
	MemoryContext caller = MemoryContextSwitchTo(batch->cxt);
	Decision	  decision = {
			 .batch = batch, .contact = contact, .events = events, .n = n};
	int	 before = batch->ncandidates;
	bool guarded = false;

	batch->now = now;
	for (int i = 0; i < n; i++)
	{
		EntryKind *kind = find_kind(batch->entries, events[i].kind);

		if (kind != NULL)
			add_wakes(batch, kind->versions, &events[i]);
		guarded = guarded || may_raise(batch, &events[i]);
	}
	if (!guarded)
		decide(&decision);
	else if (ma_guard(decide, &decision) != NULL)
	{
		batch->ncandidates = before;
		decide_singly(&decision);
	}
	MemoryContextSwitchTo(caller);
}

/* The open version of a workflow, or NULL. */
static MaEntryWorkflow *
find_workflow(MaEntryBatch *batch, int workflow_id)
{
	ListCell *lc;

	foreach (lc, batch->entries->workflows)
	{
		MaEntryWorkflow *workflow = lfirst(lc);

		if (workflow->open && workflow->workflow_id == workflow_id)
			return workflow;
	}
	return NULL;
}

/*
 * Offers an event to one workflow only, as if it happened now. Returns false
 * where the workflow has no way in by it.
 */
bool
ma_entry_offer(MaEntryBatch *batch, int workflow_id, MaContact *contact,
			   const MaEvent *event)
{
	EntryKind *kind = find_kind(batch->entries, event->kind);
	Decision   decision = {.batch = batch,
						   .contact = contact,
						   .events = unconstify(MaEvent *, event),
						   .n = 1};
	ListCell  *lc;

	foreach (lc, kind == NULL ? NIL : kind->rules)
	{
		EntryRule *rule = lfirst(lc);

		if (rule->workflow->workflow_id != workflow_id)
			continue;
		decision.only = rule;
		decide(&decision);
		return true;
	}
	return false;
}

/*
 * Enters a contact by hand; the context serves as entry.x too. Returns false
 * where the workflow has no active version.
 */
bool
ma_entry_enroll(MaEntryBatch *batch, int workflow_id, MaContact *contact,
				int64 contact_id, Jsonb *context)
{
	MaEntryWorkflow *workflow = find_workflow(batch, workflow_id);
	MaInput			 input = {0};
	MaCandidate		*candidate;

	if (workflow == NULL)
		return false;
	candidate = add_candidate(batch, workflow, contact_id);
	candidate->entry = context;
	candidate->context = context;
	input.contact = contact;
	input.now = contact->as_of;
	if (workflow->dropping)
		candidate->refused = "paused";
	else
		set_key(candidate, &input);
	return true;
}

/* How many enrolments an applied batch made. */
int
ma_entry_accepted(const MaEntryBatch *batch)
{
	return batch->accepted;
}

/* Why the last candidate was refused; NULL where it was not. */
const char *
ma_entry_refusal(const MaEntryBatch *batch)
{
	return batch->ncandidates == 0 ?
			   NULL :
			   batch->candidates[batch->ncandidates - 1]->refused;
}
