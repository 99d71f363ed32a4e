/*
 * journey_step.c
 *	  Runs the steps of a batch in memory.
 *
 * The travellers of a batch are taken in the order in which they are due, up
 * to the bound of the batch, so that over all batches everything runs in the
 * order of its time. What steps do to the world is only noted here;
 * journey_store.c writes it. A step that changes its contact (a list, an
 * event) makes the loaded state of the contact stale: whoever reads that
 * contact after it stops where it is, and the next batch goes on.
 */
#include "postgres.h"

#include "lib/binaryheap.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "entry.h"
#include "definition.h"
#include "gate.h"
#include "journey_private.h"
#include "zone.h"

/* Waits that end in one batch for a traveller, before others have a turn. */
#define MAX_WAITS 100

/* How late a runner on the real clock may be and still count from then. */
#define MAX_LATENESS (USECS_PER_HOUR)

typedef MaStop (*RunStep)(MaJourney *journey, MaTraveller *t, const MaOp *op);

static MaStop run_send(MaJourney *journey, MaTraveller *t, const MaOp *op);
static MaStop run_wait(MaJourney *journey, MaTraveller *t, const MaOp *op);
static MaStop run_wait_event(MaJourney *journey, MaTraveller *t,
							 const MaOp *op);
static MaStop run_wait_at(MaJourney *journey, MaTraveller *t, const MaOp *op);
static MaStop run_wait_date(MaJourney *journey, MaTraveller *t,
							const MaOp *op);
static MaStop run_if(MaJourney *journey, MaTraveller *t, const MaOp *op);
static MaStop run_switch(MaJourney *journey, MaTraveller *t, const MaOp *op);
static MaStop run_case(MaJourney *journey, MaTraveller *t, const MaOp *op);
static MaStop run_effect(MaJourney *journey, MaTraveller *t, const MaOp *op);
static MaStop run_list(MaJourney *journey, MaTraveller *t, const MaOp *op);
static MaStop run_goto(MaJourney *journey, MaTraveller *t, const MaOp *op);
static MaStop run_jump(MaJourney *journey, MaTraveller *t, const MaOp *op);
static MaStop run_exit(MaJourney *journey, MaTraveller *t, const MaOp *op);
static MaStop run_end(MaJourney *journey, MaTraveller *t, const MaOp *op);

static const RunStep run_step[] = {[MA_OP_SEND] = run_send,
								   [MA_OP_WAIT] = run_wait,
								   [MA_OP_WAIT_EVENT] = run_wait_event,
								   [MA_OP_WAIT_AT] = run_wait_at,
								   [MA_OP_WAIT_DATE] = run_wait_date,
								   [MA_OP_IF] = run_if,
								   [MA_OP_SWITCH] = run_switch,
								   [MA_OP_CASE] = run_case,
								   [MA_OP_ADD] = run_list,
								   [MA_OP_REMOVE] = run_list,
								   [MA_OP_SET] = run_effect,
								   [MA_OP_EMIT] = run_effect,
								   [MA_OP_ENROLL] = run_effect,
								   [MA_OP_UNENROLL] = run_effect,
								   [MA_OP_GOTO] = run_goto,
								   [MA_OP_JUMP] = run_jump,
								   [MA_OP_EXIT] = run_exit,
								   [MA_OP_END] = run_end};

StaticAssertDecl(lengthof(run_step) == MA_OP_END + 1,
				 "every operation that can be reached needs a function");

/* Notes that a step was executed. */
static void
log_step(MaJourney *journey, MaTraveller *t, const MaOp *op,
		 const char *result, int intent)
{
	MaLogRow *row = palloc0(sizeof(MaLogRow));

	row->traveller = t;
	row->step = op->step;
	row->pass = t->pass;
	row->verb = op->verb;
	row->result = result;
	row->intent = intent;
	journey->log = lappend(journey->log, row);
}

/* Does a predicate hold for a traveller (and an event)? */
static bool
holds(MaJourney *journey, MaTraveller *t, int predicate_id, MaEvent *event)
{
	MaExpr *expr = ma_definition_expr(predicate_id);
	MaInput input = ma_journey_input(journey, t, expr);

	input.event = event;
	return ma_expr_holds(expr, &input);
}

/*
 * The zone of a name; for NULL the contact's, or that of the database where
 * the contact has none that is known.
 */
static pg_tz *
traveller_zone(MaJourney *journey, MaTraveller *t, const char *name)
{
	pg_tz *zone = NULL;

	if (name != NULL)
		zone = ma_zone(name);
	else if (t->program->zone != 0)
	{
		MaExpr *expr = ma_definition_expr(t->program->zone);
		MaInput input = ma_journey_input(journey, t, expr);
		bool	isnull;
		Datum	value = ma_expr_eval(expr, 0, &input, &isnull);

		if (!isnull)
			zone = ma_zone(TextDatumGetCString(value));
	}
	return zone != NULL ? zone : ma_timezone();
}

/*
 * Is the window closed in which people of the workflow may be reached? Then
 * the traveller waits for it to open.
 */
static bool
is_closed(MaJourney *journey, MaTraveller *t)
{
	const MaProgram *program = t->program;
	TimestampTz		 at = ma_clock_is_set() ? t->wake_at : journey->now;
	TimestampTz		 open;

	if (program->window.days == 0)
		return false;
	open = ma_calendar_open(&program->window, at,
							traveller_zone(journey, t, program->window_zone));
	if (open <= at)
		return false;
	t->wake_at = open;
	return true;
}

/* Enqueues a message, or takes the branch for who cannot be reached. */
static MaStop
run_send(MaJourney *journey, MaTraveller *t, const MaOp *op)
{
	MaIntent   *intent;
	const char *reason;

	if (is_closed(journey, t))
		return MA_STOP_WAIT;
	if (op->other != 0)
	{
		reason = ma_gate_reachable(t->visited->contact_id, op->object);
		if (reason != NULL)
		{
			log_step(journey, t, op, psprintf("not reachable: %s", reason),
					 -1);
			t->op = op->other;
			return MA_STOP_NOT;
		}
	}
	if (journey->nintents == journey->maxintents)
	{
		journey->maxintents = Max(64, journey->maxintents * 2);
		journey->intents =
			journey->intents == NULL ?
				palloc(sizeof(MaIntent) * journey->maxintents) :
				repalloc(journey->intents,
						 sizeof(MaIntent) * journey->maxintents);
	}
	intent = &journey->intents[journey->nintents];
	memset(intent, 0, sizeof(MaIntent));
	intent->contact_id = t->visited->contact_id;
	intent->template_id = op->object;
	intent->context = ma_journey_values(journey, t, t->context, op);
	intent->entry = t->entry;
	intent->event = t->event;
	intent->enrollment_id = t->enrollment_id;
	intent->step = op->step;
	intent->pass = t->pass;
	intent->has_priority = op->priority != 0;
	intent->priority = op->priority - MA_PRIORITY_BASE;
	log_step(journey, t, op, NULL, journey->nintents++);
	t->op = op->next;
	return MA_STOP_NOT;
}

/* The instant from which a wait of a traveller counts. */
static TimestampTz
wait_from(MaJourney *journey, const MaTraveller *t)
{
	if (!ma_clock_is_set() && journey->now - t->wake_at > MAX_LATENESS)
		return journey->now;
	return t->wake_at;
}

/* Begins a wait up to an instant. */
static MaStop
begin_wait(MaTraveller *t, TimestampTz until)
{
	t->arrived = true;
	t->wake_at = until;
	return MA_STOP_WAIT;
}

/* Ends a wait, or does nothing more about a step. */
static MaStop
end_wait(MaJourney *journey, MaTraveller *t, const MaOp *op,
		 const char *result)
{
	log_step(journey, t, op, result, -1);
	t->arrived = false;
	t->op = op->next;
	return MA_STOP_NOT;
}

/* Waits for a span. */
static MaStop
run_wait(MaJourney *journey, MaTraveller *t, const MaOp *op)
{
	if (t->arrived)
		return end_wait(journey, t, op, NULL);
	return begin_wait(
		t, ma_time_add(wait_from(journey, t), op->span, 1, ma_timezone()));
}

/* Waits for an event; here its time-out. */
static MaStop
run_wait_event(MaJourney *journey, MaTraveller *t, const MaOp *op)
{
	if (t->arrived)
	{
		(void) end_wait(journey, t, op, "timed out");
		t->op = op->other;
		return MA_STOP_NOT;
	}
	return begin_wait(
		t, op->span == NULL ?
			   DT_NOEND :
			   ma_time_add(wait_from(journey, t), op->span, 1, ma_timezone()));
}

/* Waits for a time of the day. */
static MaStop
run_wait_at(MaJourney *journey, MaTraveller *t, const MaOp *op)
{
	if (t->arrived)
		return end_wait(journey, t, op, NULL);
	return begin_wait(t,
					  ma_calendar_next(op->days, op->at, wait_from(journey, t),
									   traveller_zone(journey, t, op->zone)));
}

/* The instant that a wait for a date is for; false where there is no date. */
static bool
wait_date(MaJourney *journey, MaTraveller *t, const MaOp *op,
		  TimestampTz *until)
{
	MaExpr *expr = ma_definition_expr(op->predicate);
	MaInput input = ma_journey_input(journey, t, expr);
	pg_tz  *zone = traveller_zone(journey, t, op->zone);
	bool	isnull;
	Datum	value = ma_expr_eval(expr, 0, &input, &isnull);

	if (isnull)
		return false;
	*until = DatumGetTimestampTz(value);
	if (op->at >= 0)
		*until = ma_calendar_at(*until, ma_timezone(), op->at, zone);
	if (op->span != NULL)
		*until = ma_time_add(*until, op->span, 1, zone);
	return true;
}

/* Waits for a date; what is past, or no date, goes on as the step says. */
static MaStop
run_wait_date(MaJourney *journey, MaTraveller *t, const MaOp *op)
{
	TimestampTz until;
	bool		known;

	if (t->arrived)
		return end_wait(journey, t, op, NULL);
	known = wait_date(journey, t, op, &until);
	if (known && until > wait_from(journey, t))
		return begin_wait(t, until);
	(void) end_wait(journey, t, op, known ? "past" : "no date");
	if (strcmp(op->text, "exit") == 0)
	{
		t->state = "exited";
		t->reason = known ? "the date is past" : "there is no date";
		return MA_STOP_END;
	}
	if (strcmp(op->text, "skip_next") == 0 &&
		t->program->ops[t->op].step != NULL)
		t->op = t->program->ops[t->op].skip;
	return MA_STOP_NOT;
}

/* Takes one of two branches. */
static MaStop
run_if(MaJourney *journey, MaTraveller *t, const MaOp *op)
{
	bool yes = holds(journey, t, op->predicate, NULL);

	log_step(journey, t, op, yes ? "true" : "false", -1);
	t->op = yes ? op->next : op->other;
	return MA_STOP_NOT;
}

/* Goes on to the first case. */
static MaStop
run_switch(MaJourney *journey, MaTraveller *t, const MaOp *op)
{
	log_step(journey, t, op, NULL, -1);
	t->op = op->next;
	return MA_STOP_NOT;
}

/* Takes this case or looks at the next. */
static MaStop
run_case(MaJourney *journey, MaTraveller *t, const MaOp *op)
{
	t->op = holds(journey, t, op->predicate, NULL) ? op->next : op->other;
	return MA_STOP_NOT;
}

/* Notes something to be done to the contact, until an instant if it ends. */
static MaStop
add_effect(MaJourney *journey, MaTraveller *t, const MaOp *op,
		   TimestampTz until)
{
	MaEffect *effect = palloc0(sizeof(MaEffect));

	effect->traveller = t;
	effect->op = op;
	effect->values = ma_journey_values(journey, t, NULL, op);
	effect->until = until;
	journey->effects = lappend(journey->effects, effect);
	t->visited->changed = true;
	log_step(journey, t, op, NULL, -1);
	t->op = op->next;
	return MA_STOP_NOT;
}

/* The same for what does not. */
static MaStop
run_effect(MaJourney *journey, MaTraveller *t, const MaOp *op)
{
	return add_effect(journey, t, op, DT_NOEND);
}

/* Puts into a list, or takes out; not where that would be over already. */
static MaStop
run_list(MaJourney *journey, MaTraveller *t, const MaOp *op)
{
	TimestampTz until = DT_NOEND;

	if (op->predicate != 0)
	{
		if (!wait_date(journey, t, op, &until))
			return end_wait(journey, t, op, "no date");
	}
	else if (op->span != NULL)
		until = ma_time_add(wait_from(journey, t), op->span, 1, ma_timezone());
	if (until <= journey->now)
		return end_wait(journey, t, op, "past");
	return add_effect(journey, t, op, until);
}

/* Goes to a step, in a new pass. */
static MaStop
run_goto(MaJourney *journey, MaTraveller *t, const MaOp *op)
{
	log_step(journey, t, op, NULL, -1);
	t->pass++;
	t->op = op->next;
	return MA_STOP_NOT;
}

/* Goes on elsewhere. */
static MaStop
run_jump(MaJourney *journey, MaTraveller *t, const MaOp *op)
{
	t->op = op->next;
	return MA_STOP_NOT;
}

/* Ends with a reason. */
static MaStop
run_exit(MaJourney *journey, MaTraveller *t, const MaOp *op)
{
	log_step(journey, t, op, op->text, -1);
	t->state = "exited";
	t->reason = op->text;
	return MA_STOP_END;
}

/* Ends after the last step. */
static MaStop
run_end(MaJourney *journey, MaTraveller *t, const MaOp *op)
{
	t->state = "completed";
	return MA_STOP_END;
}

/* Does an operation look at the contact? */
static bool
reads_contact(const MaTraveller *t, const MaOp *op)
{
	return op->when != 0 || op->predicate != 0 || op->values != NULL ||
		   op->verb == MA_OP_WAIT_AT ||
		   (op->verb == MA_OP_SEND && t->program->window.days != 0);
}

/* Runs a traveller up to a wait or the end. */
static MaStop
run_steps(MaJourney *journey, MaTraveller *t)
{
	MaStop stop = MA_STOP_NOT;

	while (stop == MA_STOP_NOT)
	{
		const MaOp *op = &t->program->ops[t->op];

		if (t->visited->changed && reads_contact(t, op))
			return MA_STOP_YIELD;
		if (op->when != 0 && !t->arrived && !holds(journey, t, op->when, NULL))
		{
			log_step(journey, t, op, "skipped", -1);
			t->op = op->skip;
			continue;
		}
		stop = run_step[op->verb](journey, t, op);
	}
	return stop;
}

/* Does an event of a traveller's workflow end it? */
static bool
ends_by(MaJourney *journey, MaTraveller *t, MaEvent *event)
{
	for (int i = 0; i < t->program->nexits; i++)
	{
		MaTrigger *exit = &t->program->exits[i];

		if (strcmp(exit->kind, event->kind) == 0 &&
			(exit->when == 0 || holds(journey, t, exit->when, event)))
			return true;
	}
	return false;
}

/* Tells a traveller of the first event that concerns it. */
static MaStop
take_signal(MaJourney *journey, MaTraveller *t)
{
	MaSignalled *signalled = linitial(t->signalled);
	MaEvent		*event = &signalled->event;
	const MaOp	*op = &t->program->ops[t->op];

	if (t->visited->changed)
		return MA_STOP_YIELD;
	t->signalled = list_delete_first(t->signalled);
	t->taken = lappend(t->taken, signalled);
	if (signalled->restart)
	{
		static const MaOp restart = {.verb = MA_OP_RESTART, .step = ""};

		t->pass++;
		log_step(journey, t, &restart, NULL, -1);
		t->op = 0;
		t->arrived = false;
		t->wake_at = event->occurred_at;
		t->event_id = event->event_id;
		t->entry = event->properties;
		t->event = NULL;
		t->restarted = true;
	}
	else if (ends_by(journey, t, event))
	{
		t->state = "exited";
		t->reason = event->kind;
		return MA_STOP_END;
	}
	else if (op->verb == MA_OP_WAIT_EVENT && t->arrived &&
			 strcmp(op->text, event->kind) == 0 &&
			 (op->predicate == 0 || holds(journey, t, op->predicate, event)))
	{
		log_step(journey, t, op, "event", -1);
		t->event = ma_entry_of_event(event);
		t->arrived = false;
		t->op = op->next;
		t->wake_at = event->occurred_at;
	}
	return MA_STOP_WAIT;
}

/* When a traveller goes on: at its time, or for the event before it. */
static TimestampTz
next_instant(const MaTraveller *t)
{
	if (t->signalled != NIL)
	{
		MaSignalled *signalled = linitial(t->signalled);

		return Min(t->wake_at, signalled->event.occurred_at);
	}
	return t->wake_at;
}

/* Is an event the next thing that happens to a traveller? */
static bool
is_signalled(const MaJourney *journey, const MaTraveller *t)
{
	MaSignalled *signalled;

	if (t->signalled == NIL)
		return false;
	signalled = linitial(t->signalled);
	return t->wake_at > journey->now ||
		   signalled->event.occurred_at < t->wake_at;
}

/* Orders travellers for the heap, which has the greatest on top. */
static int
compare_travellers(Datum a, Datum b, void *arg)
{
	const MaTraveller *x = (const MaTraveller *) DatumGetPointer(a);
	const MaTraveller *y = (const MaTraveller *) DatumGetPointer(b);
	TimestampTz		   at_x = next_instant(x);
	TimestampTz		   at_y = next_instant(y);

	if (at_x != at_y)
		return at_x < at_y ? 1 : -1;
	return x->enrollment_id < y->enrollment_id ? 1 :
		   x->enrollment_id > y->enrollment_id ? -1 :
												 0;
}

/* Runs all travellers of a batch in the order in which they are due. */
void
ma_journey_run(MaJourney *journey)
{
	binaryheap *heap = binaryheap_allocate(Max(journey->ntravellers, 1),
										   compare_travellers, NULL);

	for (int i = 0; i < journey->ntravellers; i++)
		binaryheap_add(heap, PointerGetDatum(&journey->travellers[i]));
	while (!binaryheap_empty(heap))
	{
		MaTraveller *t =
			(MaTraveller *) DatumGetPointer(binaryheap_first(heap));
		MaStop stop = MA_STOP_YIELD;

		if (is_signalled(journey, t))
			stop = take_signal(journey, t);
		else if (t->wake_at <= journey->now)
			stop = run_steps(journey, t);
		CHECK_FOR_INTERRUPTS();
		if (stop == MA_STOP_WAIT && ++t->waits <= MAX_WAITS &&
			(t->signalled != NIL || t->wake_at <= journey->bound))
			binaryheap_replace_first(heap, PointerGetDatum(t));
		else
			(void) binaryheap_remove_first(heap);
	}
	binaryheap_free(heap);
}
