/*
 * refresh_quick.c
 *	  Events that do nothing but count.
 *
 * Most events move some numbers and cross no constant: no list has to be
 * looked at, nothing is read but the contact's state. Such a state is not
 * locked first, but replaced if it is still what was read (state_look.c).
 *
 * Wherever more is to be done, or another one came in between, nothing has
 * been written, and the events take the long way (refresh.c). Of several
 * contacts those that need it are locked in their turn: whatever is taken is
 * taken in the order of ids.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "refresh_private.h"
#include "table.h"

/* Contacts between which memory is freed. */
#define FREED_AFTER 32

/* If more of them than one in so many needs the long way, the others take it. */
#define RARE 4

/* Is there anything to do for a contact besides folding what comes now? */
static bool
is_up_to_date(const MaContact *contact, TimestampTz now)
{
	MaDefinitions *definitions = contact->set->definitions;

	return !contact->blank && !contact->lacking && !contact->summed &&
		   contact->as_of != DT_NOBEGIN && contact->due_at > now &&
		   contact->generation == definitions->consumers_at &&
		   contact->generation >= definitions->rebuild_at &&
		   contact->generation >= definitions->zone_at;
}

/* Folds events; false if more follows from them than a score without tier. */
static bool
fold(MaRun *run, MaContact *contact, MaEvent *events, int n)
{
	run->now = ma_now();
	if (!is_up_to_date(contact, run->now))
		return false;
	contact->as_of = Max(run->now, contact->as_of);
	ma_fold_events(run, contact, events, n);
	if (!bms_is_subset(contact->woken, run->definitions->tallied))
		return false;
	ma_evaluate_woken(run, contact, contact->as_of);
	return run->nbuckets == 0 && run->nderived == 0;
}

/* Does nothing follow from most events of these kinds? */
static bool
are_quick(MaRun *run, const MaEvent *events, int n)
{
	for (int i = 0; i < n; i++)
	{
		const char *name = events[i].kind;
		MaKindDef  *kind;

		if (i > 0 && name == events[i - 1].kind)
			continue;
		kind = ma_definition_kind(run->definitions, name);
		if (kind == NULL || !kind->quick || run->definitions->other_zone ||
			(!run->silent && ma_entry_watches(run->definitions, name)))
			return false;
	}
	return true;
}

/* Does what there is to do for an event; false, and nothing, if it is much. */
bool
ma_refresh_quick(MaEvent *event, bool silent)
{
	MaRun	   run = {.cxt = CurrentMemoryContext, .silent = silent};
	MaContact *contact;
	bool	   done;

	if (IsolationUsesXactSnapshot())
		return false;
	run.states = ma_state_open();
	run.definitions = ma_definitions();
	done = are_quick(&run, event, 1) &&
		   (contact = ma_look_one(run.states, run.definitions,
								  event->contact_id)) != NULL &&
		   fold(&run, contact, event, 1) && ma_look_replace(contact);
	ma_table_close(run.states);
	if (done)
		CommandCounterIncrement();
	return done;
}

/* What becomes of a contact. */
typedef enum Outcome
{
	DONE,
	LOCKED, /* for the long way */
	STUCK	/* another one is at it, or it is not as usual */
} Outcome;

/* Does what there is to do for a contact, or locks it. */
static Outcome
refresh_one(const MaRun *common, MaLook *look, int i, MaWork *work)
{
	MaRun	   run = *common;
	MaContact *contact = ma_look_at(look, i);

	if (contact == NULL)
		return STUCK;
	if (are_quick(&run, work->events, work->nevents) &&
		fold(&run, contact, work->events, work->nevents) &&
		ma_look_replace(contact))
		return DONE;
	return ma_look_lock(look) ? LOCKED : STUCK;
}

/*
 * Does what there is to do for contacts, ascending and distinct, where that is
 * little; leaves the other works at the start and returns how many.
 */
static int
refresh_some(const MaRun *run, MaWork *works, int n)
{
	MemoryContext cxt = AllocSetContextCreate(
		CurrentMemoryContext, "mautomate quick", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old;
	int64		 *ids = palloc(n * sizeof(int64));
	MaLook		 *look;
	int			  left = 0;
	int			  i;

	for (i = 0; i < n; i++)
		ids[i] = works[i].contact_id;
	look = ma_look_begin(run->states, run->definitions, ids, n);
	old = MemoryContextSwitchTo(cxt);
	for (i = 0; i < n && left <= FREED_AFTER + i / RARE; i++)
	{
		Outcome outcome = refresh_one(run, look, i, &works[i]);

		if (outcome == STUCK)
			break;
		if (outcome == LOCKED)
			works[left++] = works[i];
		if (i % FREED_AFTER == 0)
		{
			CHECK_FOR_INTERRUPTS();
			MemoryContextReset(cxt);
		}
	}
	MemoryContextSwitchTo(old);
	ma_look_end(look);
	MemoryContextDelete(cxt);
	memmove(works + left, works + i, (n - i) * sizeof(MaWork));
	return left + n - i;
}

/* The same of works that may be more than events. */
int
ma_refresh_quick_some(MaWork *works, int n, bool silent)
{
	MaRun run = {.cxt = CurrentMemoryContext, .silent = silent};
	int	  left = n;

	if (IsolationUsesXactSnapshot() || !works[0].news)
		return n;
	run.states = ma_state_open();
	run.definitions = ma_definitions();
	if (are_quick(&run, works[0].events, works[0].nevents))
	{
		ma_table_push_snapshot();
		left = refresh_some(&run, works, n);
		PopActiveSnapshot();
		CommandCounterIncrement();
	}
	ma_table_close(run.states);
	return left;
}
