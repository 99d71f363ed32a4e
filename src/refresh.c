/*
 * refresh.c
 *	  The engine: load states, fold, evaluate, apply the difference.
 *
 * Statement triggers, timers, builds, changes of attributes, hand-made
 * memberships and repair are all callers of one function, ma_refresh_run():
 * it takes what there is to do for a set of contacts, locks their states in
 * the order of ids, brings each to the present and writes the difference with
 * one statement per table. Large sets go through it in chunks, so memory
 * stays flat.
 *
 * For one contact: time passes, instant by instant, up to now; the events are
 * folded; who is concerned is evaluated once, so a statement is one step
 * whatever number of events it brings; events that follow from this (a list
 * entered, a tier changed) are folded in turn, in bounded rounds; and then
 * the workflows see all of these events.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "arm.h"
#include "clock.h"
#include "refresh_private.h"
#include "sql.h"
#include "table.h"

/* Contacts loaded, locked and written together: they fit a core's cache. */
#define CHUNK 250

/* Rounds of derived events; a chain of definitions is rarely longer. */
#define ROUNDS_MAX 16

/* From this (sub)transaction on the rule of silence holds. */
static SubTransactionId silent_since = InvalidSubTransactionId;
static int				silent_level;
static bool				silence_registered = false;

/* In this subtransaction the triggers see nothing. */
static SubTransactionId away_in = InvalidSubTransactionId;

static void process(MaRun *run, MaContact *contact, MaWork *work);

/* Ends the silence with the transaction that asked for it. */
static void
silence_xact(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT ||
		event == XACT_EVENT_PREPARE)
		silent_since = away_in = InvalidSubTransactionId;
}

/* ... or with the subtransaction. */
static void
silence_subxact(SubXactEvent event, SubTransactionId id,
				SubTransactionId parent, void *arg)
{
	if (event != SUBXACT_EVENT_ABORT_SUB && event != SUBXACT_EVENT_COMMIT_SUB)
		return;
	if (silent_since == id)
		silent_since = InvalidSubTransactionId;
	if (away_in == id)
		away_in = InvalidSubTransactionId;
}

/* Registers the ends of both, once. */
static void
register_ends(void)
{
	if (silence_registered)
		return;
	RegisterXactCallback(silence_xact, NULL);
	RegisterSubXactCallback(silence_subxact, NULL);
	silence_registered = true;
}

/*
 * The rule of silence holds for what the current (sub)transaction writes from
 * here on: states and histories change, but nothing starts.
 */
void
ma_refresh_silence(void)
{
	register_ends();
	if (silent_since == InvalidSubTransactionId)
	{
		silent_since = GetCurrentSubTransactionId();
		silent_level = GetCurrentTransactionNestLevel();
	}
}

/* Does it hold, now or for as long as this database was never armed? */
bool
ma_refresh_is_silent(void)
{
	return silent_since != InvalidSubTransactionId || !ma_armed_ever();
}

/*
 * What the current subtransaction writes into contacts and events from here
 * on means the same as before: no state is looked at.
 */
void
ma_refresh_look_away(void)
{
	register_ends();
	away_in = GetCurrentSubTransactionId();
}

/* Is that so? */
bool
ma_refresh_looks_away(void)
{
	return away_in != InvalidSubTransactionId;
}

/* The ids of works, which are sorted by them. */
static int64 *
work_ids(MaWork *works, int n)
{
	int64 *ids = palloc(n * sizeof(int64));

	for (int i = 0; i < n; i++)
		ids[i] = works[i].contact_id;
	return ids;
}

/*
 * Loads the contacts of works. Where a state was written under definitions
 * newer than ours, we have to know them too.
 */
static MaContactSet *
load(MaRun *run, MaWork *works, int n, bool skip_locked)
{
	int64 *ids = work_ids(works, n);

	for (;;)
	{
		MaContactSet *set =
			ma_state_load(run->states, run->definitions, ids, n,
						  skip_locked ? MA_LOCK_SKIP : MA_LOCK_WAIT);
		int64 newest = 0;

		for (int i = 0; i < set->n; i++)
			newest = Max(newest, set->contacts[i]->generation);
		if (newest <= run->definitions->generation)
		{
			ma_follow_check(set);
			ma_follow_load(set);
			return set;
		}
		AcceptInvalidationMessages();
		run->definitions = ma_definitions_reload();
		if (newest > run->definitions->generation)
			elog(ERROR,
				 "contact state is of generation " INT64_FORMAT
				 ", definitions are of " INT64_FORMAT,
				 newest, run->definitions->generation);
	}
}

/* What a new contact is: nothing happened yet. */
static void
set_fresh(MaContact *contact)
{
	for (int i = 0; i < contact->set->definitions->ncells; i++)
		ma_cell_reset(&contact->cells[i]);
	contact->lacking = false;
}

/* Forgets what is folded, so that it is folded from the log. */
static void
set_unknown(MaContact *contact)
{
	for (int i = 0; i < contact->set->definitions->ncells; i++)
		contact->cells[i].known = false;
	contact->lacking = contact->set->definitions->nkinds > 0;
}

/* Wakes every consumer of a contact. */
static void
wake_all(MaContact *contact)
{
	MaDefinitions *definitions = contact->set->definitions;
	int			   consumers = definitions->nlists + definitions->nscores;

	if (consumers > 0)
		contact->woken = bms_add_range(contact->woken, 0, consumers - 1);
	contact->changed = true;
}

/*
 * The work for a contact of the set, at or after the one given: both are
 * sorted by id.
 */
static MaWork *
next_work(MaWork *work, int64 contact_id)
{
	while (work->contact_id != contact_id)
		work++;
	return work;
}

/* Was a state folded under another mautomate.timezone? */
static bool
is_outzoned(const MaContact *contact)
{
	MaDefinitions *definitions = contact->set->definitions;

	return definitions->other_zone ||
		   contact->generation < definitions->zone_at;
}

/* Prepares each contact for its work: what is known, who is woken. */
static void
prepare(MaContactSet *set, MaWork *work)
{
	for (int i = 0; i < set->n; i++)
	{
		MaContact *contact = set->contacts[i];

		work = next_work(work, contact->id);
		if (!work->rebuild && !work->noted)
		{
			contact->coming = work->events;
			contact->ncoming = work->nevents;
		}
		contact->reset = contact->as_of == DT_NOBEGIN && !contact->blank;
		contact->quiet =
			contact->reset ||
			(!work->fresh && !work->rebuild &&
			 (contact->blank ? !work->noted : is_outzoned(contact)));
		if (work->fresh && contact->blank)
		{
			set_fresh(contact);
			contact->blank = false;
		}
		if (work->rebuild || contact->reset ||
			((contact->generation < set->definitions->rebuild_at ||
			  is_outzoned(contact)) &&
			 !work->fresh))
			set_unknown(contact);
		if (work->rebuild)
			contact->blank = true;
		if (work->fresh || work->rebuild || contact->reset || work->wake_all ||
			contact->generation != set->definitions->consumers_at)
			wake_all(contact);
		if (work->woken != NULL)
		{
			contact->woken = bms_add_members(contact->woken, work->woken);
			contact->changed = true;
		}
	}
}

/* Does all the work of a run for the contacts it has loaded. */
static void
work_through(MaRun *run, MaContactSet *set)
{
	MaWork *at = run->works;

	if (run->nworks > 0 && run->works[0].noted)
		ma_replay_fetch(run, set);
	prepare(set, run->works);
	ma_adopt_blank(set);
	run->now = ma_now();
	ma_open_first(run, set);
	ma_fold_from_log(run, set, DT_NOBEGIN);
	for (int i = 0; i < set->n; i++)
	{
		MaContact *contact = set->contacts[i];
		MaWork	  *work = at = next_work(at, contact->id);

		CHECK_FOR_INTERRUPTS();
		/* what was noted is not among what was read anew */
		if (work->noted)
			contact->rebuilt = NULL;
		for (; work != NULL; work = work->then)
			process(run, contact, work);
	}
}

/*
 * Does the work for some contacts, sorted by id, each once, at most a chunk.
 * They stay locked until the end of the transaction. Returns them, in the
 * current memory context.
 */
MaContactSet *
ma_refresh_run(MaWork *works, int n, bool silent, bool skip_locked)
{
	MaRun		 *run = palloc0(sizeof(MaRun));
	MaContactSet *set;

	/* what the statement that called us wrote is to be seen */
	CommandCounterIncrement();
	/* who changes definitions of everybody is waited for, and then known */
	run->states = ma_state_open();
	run->definitions = ma_definitions();
	run->cxt = CurrentMemoryContext;
	run->silent = silent;
	run->patient = skip_locked;
	run->works = works;
	run->nworks = n;
	set = load(run, works, n, skip_locked);
	if (set->nmissing > 0 && ma_adopt_missing(set, works, n))
		set = load(run, works, n, skip_locked);
	if (!silent)
		run->entries = ma_entry_begin(run->definitions);
	work_through(run, set);
	ma_apply(run, set);
	ma_table_close(run->states);
	return set;
}

/*
 * Does some works, sorted by id, each once: at most a chunk. They are used up.
 * Returns how many contacts there were.
 */
static int
refresh_chunk(MaWork *works, int n, bool silent)
{
	int left = ma_refresh_quick_some(works, n, silent);

	if (left == 0)
		return n;
	return n - left + ma_refresh_run(works, left, silent, false)->n;
}

/*
 * Works of any number, in chunks; the memory of each is freed. Returns how
 * many contacts there were.
 */
int
ma_refresh_chunks(MaWork *works, int n, bool silent)
{
	MemoryContext cxt = AllocSetContextCreate(
		CurrentMemoryContext, "mautomate refresh", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	int			  found = 0;

	for (int start = 0; start < n; start += CHUNK)
	{
		CHECK_FOR_INTERRUPTS();
		found += refresh_chunk(works + start, Min(CHUNK, n - start), silent);
		MemoryContextReset(cxt);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
	return found;
}

/*
 * Folds what the engine derived for this contact since `from`, and evaluates
 * what that changes, until nothing new follows.
 */
static void
process_derived(MaRun *run, MaContact *contact, int from)
{
	for (int round = 0; run->nderived > from; round++)
	{
		int until = run->nderived;

		if (round == ROUNDS_MAX)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("definitions keep changing each other"),
					 errdetail("Event \"%s\" of contact " INT64_FORMAT
							   " came up in round %d.",
							   run->derived[from].kind, contact->id, round)));
		ma_fold_events(run, contact, run->derived + from, until - from);
		ma_evaluate_woken(run, contact, contact->as_of);
		from = until;
	}
}

/* When the events of a work came: now, or when they were noted. */
static TimestampTz
came_at(const MaRun *run, const MaWork *work)
{
	return work->noted ? Min(run->now, work->at) : run->now;
}

/* As of when a work is done: when its events came, but never backwards. */
static TimestampTz
instant_of(const MaRun *run, const MaContact *contact, const MaWork *work)
{
	return Max(came_at(run, work), contact->as_of);
}

/*
 * As of when a contact is asked first, whose work is about to begin; those who
 * follow a list from some instant on (refresh_follow.c).
 */
TimestampTz
ma_refresh_first_asked(const MaRun *run, const MaContact *contact,
					   const MaWork *work)
{
	TimestampTz first = instant_of(run, contact, work);

	if (contact->followed != NULL && !contact->reset && !work->rebuild)
		first = contact->as_of;
	return Min(first, contact->due_at);
}

/* Does the work for one contact. */
static void
process(MaRun *run, MaContact *contact, MaWork *work)
{
	TimestampTz now = instant_of(run, contact, work);
	int			derived = run->nderived;
	int			folded;
	bool		silent = run->silent;
	int64	   *numbers = ma_replay_number(run, work);

	run->silent = silent || work->silent || contact->quiet;
	if (work->noted)
		contact->changed = true; /* even if it is not: refresh_replay.c */
	if (work->noted && work->wake_all)
		wake_all(contact);
	if (!contact->reset && !work->rebuild)
		ma_follow_time(run, contact, now);
	ma_evaluate_time(run, contact, now);
	contact->as_of = now;
	if (contact->quiet)
		ma_evaluate_woken(run, contact, now);
	run->silent = silent || work->silent;
	contact->reset = contact->quiet = false;
	if (contact->generation != run->definitions->consumers_at)
	{
		contact->generation = run->definitions->consumers_at;
		contact->changed = true;
	}
	if (work->stage != NULL)
		ma_derive_stage(run, contact, work->stage, work->previous, now);
	for (int i = 0; i < work->nrecords; i++)
		ma_derive_record(run, contact, work->records[i], now);
	/* what an attribute was, and what it is: one step */
	folded = run->nderived;
	if (folded > derived)
		ma_fold_events(run, contact, run->derived + derived, folded - derived);
	if (work->list_id >= 0)
		ma_override_hand(run, contact, work, now);
	contact->logged = work->rebuild;
	ma_fold_events(run, contact, work->events, work->nevents);
	contact->logged = false;
	ma_evaluate_woken(run, contact, now);
	process_derived(run, contact, folded);
	run->silent = silent;
	if (run->entries == NULL || work->silent)
		return;
	if (work->nevents > 0)
		ma_entry_collect(run->entries, contact, came_at(run, work),
						 ma_replay_numbered(work, numbers), work->nevents);
	if (run->nderived > derived)
		ma_entry_collect(run->entries, contact, now, run->derived + derived,
						 run->nderived - derived);
}

/* A work that only brings a contact to the present. */
static MaWork *
plain_works(const int64 *contact_ids, int n)
{
	MaWork *works = palloc0(n * sizeof(MaWork));

	for (int i = 0; i < n; i++)
	{
		works[i].contact_id = contact_ids[i];
		works[i].list_id = -1;
	}
	return works;
}

/*
 * Locks contacts (ids ascending, distinct, at most some thousands) until the
 * end of the transaction and brings them to the present. With skip_locked
 * those that others hold are not in the set.
 */
MaContactSet *
ma_refresh_load(const int64 *contact_ids, int n, bool skip_locked)
{
	return ma_refresh_run(plain_works(contact_ids, n), n,
						  ma_refresh_is_silent(), skip_locked);
}

/*
 * A contact as it is now, brought to the present in memory only: nothing is
 * locked, nothing is written, and what is noted or marked is done. NULL if
 * there is no such contact.
 */
MaContact *
ma_refresh_peek(int64 contact_id)
{
	MaRun		 *run = palloc0(sizeof(MaRun));
	MaContactSet *set;

	run->definitions = ma_definitions();
	run->cxt = CurrentMemoryContext;
	run->silent = true;
	run->peek = true;
	run->nworks = 1;
	/* the state and what is not in it, as of one snapshot */
	PushActiveSnapshot(IsolationUsesXactSnapshot() ? GetTransactionSnapshot() :
													 GetLatestSnapshot());
	run->works = ma_replay_works(contact_id);
	if (run->works == NULL)
		run->works = plain_works(&contact_id, 1);
	run->works->rebuild = ma_replay_is_dirty(contact_id);
	run->states = ma_state_open();
	set = ma_state_load(run->states, run->definitions, &contact_id, 1,
						MA_LOCK_NONE);
	ma_table_close(run->states);
	PopActiveSnapshot();
	if (set->n == 0)
		return NULL;
	ma_follow_load(set);
	work_through(run, set);
	return set->contacts[0];
}

/* Evaluates everything for contacts (ids ascending, distinct), silently. */
void
ma_refresh_contacts(const int64 *contact_ids, int n, bool rebuild)
{
	for (int start = 0; start < n; start += CHUNK)
	{
		int		some = Min(CHUNK, n - start);
		MaWork *works = plain_works(contact_ids + start, some);

		for (int i = 0; i < some; i++)
		{
			works[i].wake_all = true;
			works[i].rebuild = rebuild;
		}
		ma_refresh_chunks(works, some, true);
		pfree(works);
	}
}

/* What is to be done about a list and contacts by hand. */
static MaWork *
hand_works(int list_id, const int64 *contact_ids, int n, MaHand hand)
{
	MaWork *works = plain_works(contact_ids, n);

	for (int i = 0; i < n; i++)
	{
		works[i].list_id = list_id;
		works[i].hand = hand;
		works[i].until = DT_NOEND;
	}
	return works;
}

/*
 * Puts contacts (ids ascending, distinct) into a list by hand, or takes them
 * out, until an instant (DT_NOEND: for good), or leaves them to the predicate.
 * Returns how many of them there are, and in moved, unless it is NULL, for
 * each whether that changed anything: the membership, or what was decided.
 * A list that has been dropped meanwhile has no members.
 */
int
ma_refresh_hand(int list_id, const int64 *contact_ids, int n, MaHand hand,
				TimestampTz until, bool *moved)
{
	MaWork *works = hand_works(list_id, contact_ids, n, hand);
	int		found;

	for (int i = 0; i < n; i++)
		works[i].until = until;
	found = ma_refresh_chunks(works, n, ma_refresh_is_silent());
	for (int i = 0; moved != NULL && i < n; i++)
		moved[i] = works[i].moved;
	pfree(works);
	return found;
}

/* The same for contacts for each of whom it ends at an instant of their own. */
void
ma_refresh_hand_each(int list_id, const int64 *contact_ids,
					 const TimestampTz *untils, int n, MaHand hand)
{
	MaWork *works = hand_works(list_id, contact_ids, n, hand);

	for (int i = 0; i < n; i++)
		works[i].until = untils[i];
	(void) ma_refresh_chunks(works, n, ma_refresh_is_silent());
	pfree(works);
}
