/*
 * refresh_evaluate.c
 *	  Evaluate lists and scores of a contact, and note what changed.
 *
 * Consumers are evaluated in an order in which each comes after those it
 * depends on, so one pass settles them all; a change wakes the users, which
 * come later. What time alone changes is evaluated for the very instants at
 * which it changes, in order, up to the present: a contact that left a list
 * while nobody looked has left it then, not now.
 *
 * An error in a definition leaves the membership as it is and is noted. After
 * ERRORS_MAX of them in one statement the definition is not evaluated any
 * more; its remaining contacts are looked at again in the background, where
 * nobody waits: there each is evaluated, so that the work comes to an end.
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "access/xact.h"
#include "catalog/pg_type_d.h"
#include "commands/sequence.h"
#include "catalog/namespace.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "error.h"
#include "guard.h"
#include "refresh_private.h"

#define ERRORS_MAX 10

/* A new bucket is so many powers of two too high; and so many at most. */
#define BUCKET_ROOM	 2
#define BUCKET_SLACK 5

/* Errors of a consumer in the current statement. */
static int	nerrors = 0;
static int *errors = NULL;

/* An expression to evaluate, for the guard. */
typedef struct Evaluation
{
	MaExpr *expr;
	MaInput input;
	Datum	value;
	bool	isnull;
} Evaluation;

static void evaluate_score(MaRun *run, MaContact *contact, int score,
						   TimestampTz at);

/* A new statement: every definition may fail again. */
void
ma_evaluate_forget_errors(void)
{
	if (errors != NULL)
		memset(errors, 0, nerrors * sizeof(int));
}

/* Counts an error of a consumer. */
static void
count_error(int consumer)
{
	if (consumer >= nerrors)
	{
		int n = consumer + 64;

		errors = errors == NULL ? MemoryContextAllocZero(TopMemoryContext,
														 n * sizeof(int)) :
								  repalloc(errors, n * sizeof(int));
		memset(errors + nerrors, 0, (n - nerrors) * sizeof(int));
		nerrors = n;
	}
	errors[consumer]++;
}

/* Notes that a contact has to be looked at again later. */
static void
add_dirty(MaRun *run, int64 contact_id)
{
	if (run->ndirty > 0 && run->dirty[run->ndirty - 1] == contact_id)
		return;
	run->dirty =
		ma_run_grow(run->dirty, run->ndirty, &run->maxdirty, sizeof(int64));
	run->dirty[run->ndirty++] = contact_id;
}

static void
run_evaluation(void *arg)
{
	Evaluation *evaluation = arg;

	evaluation->value = ma_expr_eval(evaluation->expr, 0, &evaluation->input,
									 &evaluation->isnull);
}

/*
 * Evaluates an expression of a consumer for a contact; false if it failed,
 * now or too often before. An error holds as long as an answer does: until
 * something changes that was read.
 */
static bool
evaluate(MaRun *run, MaContact *contact, int consumer, Evaluation *evaluation,
		 TimestampTz at)
{
	ErrorData  *edata = NULL;
	const char *object;

	if (evaluation->expr == NULL)
		return false;
	evaluation->input.contact = contact;
	evaluation->input.now = at;
	if (!ma_expr_can_raise(evaluation->expr))
		run_evaluation(evaluation);
	else
	{
		if (!run->patient && !run->peek && consumer < nerrors &&
			errors[consumer] >= ERRORS_MAX)
		{
			add_dirty(run, contact->id);
			return false;
		}
		edata = ma_guard(run_evaluation, evaluation);
		if (edata != NULL && !run->peek)
		{
			count_error(consumer);
			object =
				consumer < run->definitions->nlists ?
					psprintf("list \"%s\"",
							 run->definitions->lists[consumer].name) :
					psprintf("score \"%s\"",
							 run->definitions
								 ->scores[consumer - run->definitions->nlists]
								 .name);
			ma_error_note(object, contact->id, edata);
		}
	}
	ma_evaluate_until(contact, evaluation->input.horizon);
	return edata == NULL;
}

/* What was found out holds until then, if nothing happens. */
void
ma_evaluate_until(MaContact *contact, TimestampTz until)
{
	if (until >= contact->due_at)
		return;
	contact->due_at = until;
	contact->changed = true;
	contact->timer_needed = true;
}

/* Wakes those who use something. */
static void
wake_users(MaContact *contact, Bitmapset *users)
{
	MemoryContext old;

	if (users == NULL)
		return;
	old = MemoryContextSwitchTo(contact->set->cxt);
	contact->woken = bms_add_members(contact->woken, users);
	MemoryContextSwitchTo(old);
}

/* A number for an event that the engine derives. */
int64
ma_evaluate_number(void)
{
	Oid schema = get_namespace_oid("mautomate", false);

	return nextval_internal(get_relname_relid("event_event_id_seq", schema),
							false);
}

/* Appends an event that the engine derived. */
static void
append_derived(MaRun *run, MaContact *contact, const char *kind,
			   TimestampTz at, Jsonb *properties)
{
	MaEvent *event;

	run->derived = ma_run_grow(run->derived, run->nderived, &run->maxderived,
							   sizeof(MaEvent));
	event = &run->derived[run->nderived++];
	event->contact_id = contact->id;
	event->event_id = ma_evaluate_number();
	event->occurred_at = at;
	event->kind = kind;
	event->properties = properties;
	event->nth = 0;
}

/* The same out of "key", "value" pairs, unless the rule of silence holds. */
static void
derive(MaRun *run, MaContact *contact, const char *kind, TimestampTz at,
	   const char *const *pairs, int npairs)
{
	JsonbParseState *state = NULL;
	JsonbValue		*object;

	if (run->silent)
		return;
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < npairs; i++)
	{
		JsonbValue word = {.type = jbvString};

		word.val.string.val = unconstify(char *, pairs[2 * i]);
		word.val.string.len = strlen(pairs[2 * i]);
		pushJsonbValue(&state, WJB_KEY, &word);
		word.type = pairs[2 * i + 1] ? jbvString : jbvNull;
		if (pairs[2 * i + 1] != NULL)
		{
			word.val.string.val = unconstify(char *, pairs[2 * i + 1]);
			word.val.string.len = strlen(pairs[2 * i + 1]);
		}
		pushJsonbValue(&state, WJB_VALUE, &word);
	}
	object = pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	append_derived(run, contact, kind, at, JsonbValueToJsonb(object));
}

/* A stage that was set from outside is an event of ours. */
void
ma_derive_stage(MaRun *run, MaContact *contact, const char *stage,
				const char *previous, TimestampTz at)
{
	const char *pairs[] = {"stage", stage, "previous", previous};

	derive(run, contact, "stage_changed", at, pairs, 2);
}

/*
 * That an attribute changed, where definitions ask for its past. Written in
 * silence too: it is all there is of the past.
 */
void
ma_derive_record(MaRun *run, MaContact *contact, Jsonb *record, TimestampTz at)
{
	append_derived(run, contact, "attribute_changed", at, record);
}

/* A change of a contact and a list, to be filled. */
static MaListChange *
new_change(MaRun *run, MaContact *contact, int list)
{
	MaListChange *change;

	run->changes = ma_run_grow(run->changes, run->nchanges, &run->maxchanges,
							   sizeof(MaListChange));
	change = &run->changes[run->nchanges++];
	memset(change, 0, sizeof(MaListChange));
	change->contact_id = contact->id;
	change->list = list;
	return change;
}

/* Makes a contact a member of a list, or no member any more. */
void
ma_change_list(MaRun *run, MaContact *contact, int list, TimestampTz at,
			   bool entered, bool by_hand)
{
	MaListChange *change;
	const char	 *pairs[] = {"list", run->definitions->lists[list].name};

	for (int i = run->nchanges - 1;
		 i >= 0 && run->changes[i].contact_id == contact->id; i--)
		if (run->changes[i].list == list)
			run->changes[i].superseded = true;
	change = new_change(run, contact, list);
	change->at = at;
	change->entered = entered;
	change->by_hand = by_hand;
	contact->member[list] = entered;
	contact->changed = true;
	wake_users(contact, run->definitions->list_users[list]);
	if (!run->definitions->lists[list].building)
		derive(run, contact, entered ? "list_entered" : "list_left", at, pairs,
			   1);
}

/* A member stays one, but by hand, or by hand no longer. */
void
ma_change_hand(MaRun *run, MaContact *contact, int list, bool by_hand)
{
	MaListChange *change;

	for (int i = run->nchanges - 1;
		 i >= 0 && run->changes[i].contact_id == contact->id; i--)
		if (run->changes[i].list == list && run->changes[i].stayed)
			run->changes[i].superseded = true;
	change = new_change(run, contact, list);
	change->stayed = true;
	change->by_hand = by_hand;
}

/* Is a contact in a list as of an instant? */
void
ma_evaluate_list(MaRun *run, MaContact *contact, int list, TimestampTz at)
{
	Evaluation evaluation = {.expr = run->definitions->lists[list].expr};
	bool	   member;

	if (contact->noverrides > 0 && ma_override_decides(run, contact, list, at))
		return;
	if (!evaluate(run, contact, list, &evaluation, at))
		return;
	member = !evaluation.isnull && DatumGetBool(evaluation.value);
	if (member != contact->member[list])
		ma_change_list(run, contact, list, at, member, false);
}

/*
 * Notes until when the answer of a list at an instant holds; what it is, is
 * known already.
 */
void
ma_evaluate_horizon(MaRun *run, MaContact *contact, int list, TimestampTz at)
{
	Evaluation evaluation = {.expr = run->definitions->lists[list].expr};

	(void) evaluate(run, contact, list, &evaluation, at);
}

/* The tier of a value, for one who is in `tier` (-1: none) so far. */
static int
tier_of(const MaScoreDef *score, double value, int tier)
{
	int best = -1;

	for (int i = 0; i < score->ntiers; i++)
		if (value >= score->tiers[i].at_least)
			best = i;
	if (tier > best && value >= score->tiers[tier].leave_below)
		return tier;
	return best;
}

/*
 * The bucket of a value, for top_leads(): the value is below 2 to the power of
 * it; bucket 0 holds what is not above 0. A new one leaves room, and serves
 * until the value has grown out of it or is far below: few events move a
 * contact to another one.
 */
static int
bucket_of(double value, int bucket)
{
	int least = 0;

	if (isinf(value) && value > 0)
		least = DBL_MAX_EXP + 1;
	else if (value > 0)
	{
		(void) frexp(value, &least);
		least = Max(least, 1);
	}
	if (bucket >= least && bucket <= least + BUCKET_SLACK)
		return bucket;
	return least == 0 ? 0 : least + BUCKET_ROOM;
}

/* Notes a new bucket; a contact has one row for a score. */
static void
change_bucket(MaRun *run, int64 contact_id, int score, int bucket)
{
	MaBucketChange *change;

	for (int i = run->nbuckets - 1;
		 i >= 0 && run->buckets[i].contact_id == contact_id; i--)
		if (run->buckets[i].score == score)
		{
			run->buckets[i].bucket = bucket;
			return;
		}
	run->buckets = ma_run_grow(run->buckets, run->nbuckets, &run->maxbuckets,
							   sizeof(MaBucketChange));
	change = &run->buckets[run->nbuckets++];
	change->contact_id = contact_id;
	change->score = score;
	change->bucket = bucket;
}

/* Notes what a new value of a score changes. */
static void
change_score(MaRun *run, MaContact *contact, int index, double value,
			 TimestampTz at)
{
	MaScoreDef	 *score = &run->definitions->scores[index];
	MaScoreState *state = &contact->scores[index];
	int			  tier = tier_of(score, value, state->tier);
	int			  bucket = bucket_of(value, state->bucket);

	if (value == state->value && tier == state->tier &&
		bucket == state->bucket)
		return;
	state->value = value;
	contact->changed = true;
	wake_users(contact, run->definitions->score_users[index]);
	if (bucket != state->bucket)
	{
		change_bucket(run, contact->id, index, bucket);
		state->bucket = bucket;
	}
	if (tier != state->tier)
	{
		const char *pairs[] = {
			"score",
			score->name,
			"tier",
			tier < 0 ? NULL : score->tiers[tier].name,
			"previous",
			state->tier < 0 ? NULL : score->tiers[state->tier].name};

		state->tier = tier;
		derive(run, contact, "tier_changed", at, pairs, 3);
	}
}

/* How often a rule counts for a contact; false if it fails. */
static bool
rule_count(MaRun *run, MaContact *contact, int score, MaRuleDef *rule,
		   TimestampTz at, int64 *count)
{
	Evaluation evaluation = {.expr = rule->expr};

	if (rule->cell >= 0)
	{
		*count = contact->cells[rule->cell].count;
		return true;
	}
	if (!evaluate(run, contact, run->definitions->nlists + score, &evaluation,
				  at))
		return false;
	*count = evaluation.isnull ? 0 :
			 rule->counts	   ? DatumGetInt64(evaluation.value) :
								 DatumGetBool(evaluation.value);
	return true;
}

static void
evaluate_score(MaRun *run, MaContact *contact, int index, TimestampTz at)
{
	MaScoreDef *score = &run->definitions->scores[index];
	double		value = 0;

	for (int i = 0; i < score->nrules; i++)
	{
		int64 count;

		if (!rule_count(run, contact, index, &score->rules[i], at, &count))
			return;
		value += score->rules[i].points * count;
	}
	value = Max(value, score->minimum);
	value = Min(value, score->maximum);
	change_score(run, contact, index, value, at);
}

/*
 * Evaluates the woken consumers as of an instant, and whom they wake in turn,
 * in their order: users come after what they use.
 */
void
ma_evaluate_woken(MaRun *run, MaContact *contact, TimestampTz at)
{
	MaDefinitions *definitions = run->definitions;
	Bitmapset	  *ranks = NULL;
	int			   rank = -1;

	for (;;)
	{
		int consumer = -1;

		while ((consumer = bms_next_member(contact->woken, consumer)) >= 0)
			ranks = bms_add_member(ranks, definitions->rank[consumer]);
		contact->woken = NULL;
		rank = bms_next_member(ranks, rank);
		if (rank < 0)
			break;
		consumer = definitions->order[rank];
		if (consumer < definitions->nlists)
			ma_evaluate_list(run, contact, consumer, at);
		else
			evaluate_score(run, contact, consumer - definitions->nlists, at);
	}
	bms_free(ranks);
}

/*
 * Wakes the lists of a countdown that are no longer what the count says, and
 * notes when the next of them will be so. None of them is evaluated to find
 * that out: there may be hundreds.
 */
static void
wake_turned(MaContact *contact, const MaCountdown *countdown, TimestampTz at)
{
	MaSignal	 *signal = countdown->signal;
	const MaCell *cell = &contact->cells[signal->cell];
	int64		  next = 0;
	int64		  count;
	MaAnswer	  answer;

	ma_signal_answer(signal, cell, at, &answer);
	count = DatumGetInt64(answer.value);
	for (int i = 0; i < countdown->nturns; i++)
	{
		const MaTurn *turn = &countdown->turns[i];
		bool		  reached = count >= turn->least;

		if (contact->member[turn->list] != (reached == turn->above))
			contact->woken = bms_add_member(contact->woken, turn->list);
		if (reached)
			next = Max(next, turn->least);
	}
	if (next == 0)
		return;
	ma_signal_compare(signal, cell, MA_GE, Int64GetDatum(next), at, &answer);
	ma_evaluate_until(contact, answer.until);
}

/* Wakes whom time alone may have changed by an instant. */
static void
wake_timed(MaRun *run, MaContact *contact, TimestampTz at)
{
	MemoryContext old = MemoryContextSwitchTo(contact->set->cxt);

	contact->woken = bms_add_members(contact->woken, run->definitions->timed);
	for (int i = 0; i < run->definitions->ncountdowns; i++)
		wake_turned(contact, &run->definitions->countdowns[i], at);
	MemoryContextSwitchTo(old);
	if (contact->noverrides > 0)
		ma_override_wake(contact);
}

/*
 * Lets time pass for a contact, instant by instant, up to now. However many
 * they are, none is left to somebody later: by then events may have come and
 * gone that do not belong to it.
 */
void
ma_evaluate_time(MaRun *run, MaContact *contact, TimestampTz now)
{
	TimestampTz passed = contact->as_of;

	while (contact->due_at <= now)
	{
		TimestampTz at = contact->due_at;

		CHECK_FOR_INTERRUPTS();
		contact->changed = true;
		if (contact->summed || contact->rebuilt != NULL)
			ma_open_next(run, contact, passed, at);
		passed = at;
		contact->due_at = DT_NOEND;
		wake_timed(run, contact, at);
		ma_evaluate_woken(run, contact, at);
		Assert(contact->due_at > at);
	}
	if (contact->summed || contact->rebuilt != NULL)
		ma_open_next(run, contact, passed, now);
}
