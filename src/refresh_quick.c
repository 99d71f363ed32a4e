/*
 * refresh_quick.c
 *	  A single event that does nothing but count.
 *
 * Most events move some numbers and cross no constant: no list has to be
 * looked at, nothing is read but the contact's state. Such a state is not
 * locked first. It is read as it is, the event is folded, and the result takes
 * the place of what was read, if that is the newest version still and nobody
 * holds it: as good as a lock from the reading on, since nothing else was
 * read.
 *
 * Wherever more is to be done, or another one came in between, nothing has
 * been written, and the event takes the long way (refresh.c).
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "refresh_private.h"
#include "table.h"

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

/* Folds an event; false if more follows from it than a score without tier. */
static bool
fold(MaRun *run, MaContact *contact, MaEvent *event)
{
	run->now = ma_now();
	if (!is_up_to_date(contact, run->now))
		return false;
	contact->as_of = Max(run->now, contact->as_of);
	ma_fold_events(run, contact, event, 1);
	if (!bms_is_subset(contact->woken, run->definitions->tallied))
		return false;
	ma_evaluate_woken(run, contact, contact->as_of);
	return run->nbuckets == 0 && run->nderived == 0;
}

/* Does nothing follow from most events of a kind under these definitions? */
static bool
is_quick(MaRun *run, const char *name)
{
	MaKindDef *kind = ma_definition_kind(run->definitions, name);

	return kind != NULL && kind->quick && !run->definitions->other_zone &&
		   (run->silent || !ma_entry_watches(run->definitions, name));
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
	done = is_quick(&run, event->kind) &&
		   (contact = ma_state_look(run.states, run.definitions,
									event->contact_id)) != NULL &&
		   fold(&run, contact, event) && ma_state_replace(contact);
	ma_table_close(run.states);
	return done;
}
