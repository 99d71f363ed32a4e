/*
 * capture_run.c
 *	  Chunks of rows, from the statement to our tables.
 *
 * Rows are collected in chunks and evaluated source by source; then all
 * sources are written together, as our owner, with one statement per table.
 * So the contacts concerned are locked in one order, whatever the rows and
 * sources they come from, and memory does not grow with the statement.
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/tuptable.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "capture_private.h"
#include "contact.h"
#include "erase.h"
#include "error.h"
#include "event.h"
#include "merge.h"

/* A capture under way. */
struct MaCapture
{
	MemoryContext cxt; /* of one chunk */
	MaCaptureMode mode;
	MaCaptureTake take; /* instead of writing; NULL: write */
	void		 *take_arg;
	void (*order)(void *arg); /* before several chunks are written */
	void		 *order_arg;
	bool		  ordered; /* that is done */
	int			  nruns;
	MaCaptureRun *runs;			  /* one per source that can be read */
	MaCaptureRow  rows[MA_CHUNK]; /* collected, in cxt */
	int			  nrows;
};

static void flush(MaCapture *capture);
static void write_chunk(MaCapture *capture);
static void begin_run(MaCapture *capture, MaSource *source, TupleDesc desc);
static void fetch_pointed(MaCaptureRun *run);
static void erase_chunk(MaCapture *capture);
static void rekey(MaCaptureRun *run);
static void move(MaCaptureRun *run);
static void withdraw(MaCaptureRun *run);
static void tell_anonymous(MaCapture *capture);
static MaProfile *everybody(MaCapture *capture, int *n, int *total);
static void		  store_events(MaCapture *capture);
static void		  append_events(MaCaptureRun *run);
static void		  replace_events(MaCaptureRun *run);

/*
 * Starts a capture from rows of the given type by n sources. Those that could
 * not be compiled are noted and left out.
 */
MaCapture *
ma_capture_begin(MaSource *sources, int n, TupleDesc desc, MaCaptureMode mode)
{
	MaCapture *capture = palloc0(sizeof(MaCapture));

	capture->mode = mode;
	capture->cxt = AllocSetContextCreate(
		CurrentMemoryContext, "mautomate capture", ALLOCSET_DEFAULT_SIZES);
	capture->runs = palloc0(sizeof(MaCaptureRun) * Max(n, 1));
	for (int i = 0; i < n; i++)
	{
		if (sources[i].broken != NULL)
		{
			if (mode != MA_CAPTURE_NAMES && mode != MA_CAPTURE_FOLLOW_NAMES)
				ma_error_note(sources[i].object, 0, sources[i].broken);
		}
		else if (mode != MA_CAPTURE_ERASE || sources[i].erases)
			begin_run(capture, &sources[i], desc);
	}
	return capture;
}

/* Adds a source to a capture. */
static void
begin_run(MaCapture *capture, MaSource *source, TupleDesc desc)
{
	MaCaptureRun *run = &capture->runs[capture->nruns++];

	run->source = source;
	run->cxt = capture->cxt;
	run->erasing = capture->mode == MA_CAPTURE_ERASE;
	run->naming = capture->mode == MA_CAPTURE_NAMES ||
				  capture->mode == MA_CAPTURE_FOLLOW_NAMES;
	run->followed = capture->mode == MA_CAPTURE_FOLLOW ||
					capture->mode == MA_CAPTURE_FOLLOW_NAMES;
	run->rows = capture->rows;
	run->row = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	run->old = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	if (source->via == NULL)
		return;
	run->pointed =
		MakeSingleTupleTableSlot(source->via->desc, &TTSOpsMinimalTuple);
	run->old_pointed =
		MakeSingleTupleTableSlot(source->via->desc, &TTSOpsMinimalTuple);
}

/* From here on nothing is written: take gets what rows would become. */
void
ma_capture_watch(MaCapture *capture, MaCaptureTake take, void *arg)
{
	capture->take = take;
	capture->take_arg = arg;
}

/*
 * Before the first of several chunks is written, order gets to lock whom all
 * of them are about. (Under an old snapshot who comes second fails anyway.)
 */
void
ma_capture_order_by(MaCapture *capture, void (*order)(void *arg), void *arg)
{
	capture->order = order;
	capture->order_arg = arg;
}

/* Where the rows given to ma_capture_add() are to be made. */
MemoryContext
ma_capture_context(MaCapture *capture)
{
	return capture->cxt;
}

/*
 * Takes a row, made in the context of ma_capture_context(). Returns false if
 * nobody looks at rows.
 */
bool
ma_capture_add(MaCapture *capture, const MaCaptureRow *row)
{
	if (capture->nruns == 0)
		return false;
	capture->rows[capture->nrows++] = *row;
	if (capture->nrows < MA_CHUNK)
		return true;
	if (capture->order != NULL && !capture->ordered &&
		!IsolationUsesXactSnapshot())
	{
		capture->ordered = true;
		capture->order(capture->order_arg);
	}
	flush(capture);
	return true;
}

/* Writes the rest, and that is it. */
void
ma_capture_end(MaCapture *capture)
{
	flush(capture);
	for (int i = 0; i < capture->nruns; i++)
	{
		MaCaptureRun *run = &capture->runs[i];

		ExecDropSingleTupleTableSlot(run->row);
		ExecDropSingleTupleTableSlot(run->old);
		if (run->pointed == NULL)
			continue;
		ExecDropSingleTupleTableSlot(run->pointed);
		ExecDropSingleTupleTableSlot(run->old_pointed);
	}
	MemoryContextDelete(capture->cxt);
	pfree(capture->runs);
	pfree(capture);
}

/* Evaluates and writes what has been collected. */
static void
flush(MaCapture *capture)
{
	MemoryContext old = MemoryContextSwitchTo(capture->cxt);

	for (int i = 0; capture->nrows > 0 && i < capture->nruns; i++)
	{
		MaCaptureRun *run = &capture->runs[i];

		run->nrows = capture->nrows;
		if (run->source->via != NULL && !run->followed)
			fetch_pointed(run);
		ma_capture_evaluate(run);
		if (capture->take != NULL)
			capture->take(run, capture->take_arg);
	}
	if (capture->nrows == 0 || capture->take != NULL)
		;
	else if (capture->mode == MA_CAPTURE_ERASE)
		erase_chunk(capture);
	else
		write_chunk(capture);
	MemoryContextSwitchTo(old);
	for (int i = 0; i < capture->nruns; i++)
	{
		MaCaptureRun *run = &capture->runs[i];

		ExecClearTuple(run->row);
		ExecClearTuple(run->old);
		if (run->pointed != NULL)
		{
			ExecClearTuple(run->pointed);
			ExecClearTuple(run->old_pointed);
		}
		run->nrows = run->n = run->ngone = run->nknown = 0;
		run->nrekeyed = run->nmoved = 0;
		run->notes = NIL;
	}
	MemoryContextReset(capture->cxt);
	capture->nrows = 0;
}

/*
 * Fetches the rows that the rows of a chunk point to. Where an update changed
 * the key, and what it pointed to is no longer there, that has moved and is
 * what it points to now, unless it may never have been there.
 */
static void
fetch_pointed(MaCaptureRun *run)
{
	MaViaReader *reader = ma_via_open(run->source->via);

	for (int i = 0; i < run->nrows; i++)
	{
		MaCaptureRow *row = &run->rows[i];

		ExecForceStoreMinimalTuple(row->row, run->row, false);
		row->pointed = ma_via_fetch(reader, run->row);
		row->old_pointed = NULL;
		if (row->old == NULL)
			continue;
		ExecForceStoreMinimalTuple(row->old, run->old, false);
		row->old_pointed = ma_via_fetch(reader, run->old);
		if (row->old_pointed == NULL && !run->source->via->deferrable &&
			ma_via_points(reader, run->old))
			row->old_pointed = row->pointed;
	}
	ma_via_close(reader);
}

/* Erases the contacts whose rows are gone. */
static void
erase_chunk(MaCapture *capture)
{
	for (int i = 0; i < capture->nruns; i++)
	{
		ma_contact_erase_own(capture->runs[i].profiles, capture->runs[i].n);
		ma_capture_write_notes(&capture->runs[i]);
	}
}

/*
 * Is more than one thing to be done, each of which locks the contacts that it
 * is about in order, but after those of the one before?
 */
static bool
is_mixed(const MaCapture *capture)
{
	bool contacts = false;
	bool moves = false;
	bool withdraws = false;
	bool events = false;

	for (int i = 0; i < capture->nruns; i++)
	{
		MaCaptureRun *run = &capture->runs[i];
		bool		  is_contact = run->source->text.kind == NULL;

		contacts |= is_contact && run->n > 0;
		events |= !is_contact && run->n > 0;
		moves |= run->nmoved > 0;
		withdraws |= run->ngone > 0;
	}
	return capture->nrows > 1 && contacts + moves + withdraws + events > 1;
}

/* Locks whom a chunk is about, in one order. */
static void
order_chunk(MaCapture *capture)
{
	MaCaptureOrder *order = ma_capture_order_begin();

	for (int i = 0; i < capture->nruns; i++)
		ma_capture_order_take(&capture->runs[i], order);
	ma_capture_order_end(order);
}

/* Writes what the rows of a chunk say, and then what was wrong with them. */
static void
write_chunk(MaCapture *capture)
{
	if (!capture->ordered && is_mixed(capture) && !IsolationUsesXactSnapshot())
		order_chunk(capture);
	for (int i = 0; i < capture->nruns; i++)
	{
		MaCaptureRun *run = &capture->runs[i];

		if (run->source->text.kind == NULL)
			ma_contact_store(run->profiles, run->n);
		else
		{
			rekey(run);
			move(run);
			withdraw(run);
		}
	}
	tell_anonymous(capture);
	store_events(capture);
	for (int i = 0; i < capture->nruns; i++)
		ma_capture_write_notes(&capture->runs[i]);
}

/* The events of rows that have another primary key now get it too. */
static void
rekey(MaCaptureRun *run)
{
	int known = 0;

	if (run->nrekeyed == 0)
		return;
	ma_capture_find_rekeyed(run);
	ma_contact_resolve_all(run->rekeyed_profiles, run->nrekeyed, false);
	for (int i = 0; i < run->nrekeyed; i++)
		if (run->rekeyed_profiles[i].contact_id != 0)
		{
			run->rekeyed[known] = run->rekeyed[i];
			run->rekeyed[known++].contact_id =
				run->rekeyed_profiles[i].contact_id;
		}
	ma_event_rekey(run->rekeyed, known);
}

/* The events of rows that are somebody else's now become theirs. */
static void
move(MaCaptureRun *run)
{
	int known = 0;

	ma_capture_find_moved(run);
	if (run->nmoved == 0)
		return;
	for (int i = 0; i < run->nmoved; i++)
		run->moved[i].address = ma_capture_address(&run->mover_profiles[i]);
	ma_contact_obtain_held(run->mover_profiles, run->nmoved);
	for (int i = 0; i < run->nmoved; i++)
		if (run->mover_profiles[i].contact_id != 0)
		{
			run->moved[known] = run->moved[i];
			run->moved[known++].to = run->mover_profiles[i].contact_id;
		}
	ma_event_move(run->source->text.kind, run->moved, known);
}

/* Takes events out of the log that the rows of a chunk no longer are. */
static void
withdraw(MaCaptureRun *run)
{
	int known = 0;

	if (run->ngone == 0)
		return;
	ma_capture_find_gone(run);
	ma_contact_resolve_all(run->gone_profiles, run->ngone, false);
	for (int i = 0; i < run->ngone; i++)
		if (run->gone_profiles[i].contact_id != 0)
		{
			run->gone_events[known] = run->gone_events[i];
			run->gone_events[known++].contact_id =
				run->gone_profiles[i].contact_id;
		}
	ma_event_withdraw(run->gone_events, known);
}

/*
 * What anonymous ids did becomes what the persons did that they turn out to
 * be. Nearly always that is known already. Everybody that the chunk is about
 * is made known at once and, before anything is merged, locked at once: one
 * by one would be in no order.
 */
static void
tell_anonymous(MaCapture *capture)
{
	int		   n;
	int		   total;
	MaProfile *all = everybody(capture, &n, &total);
	int64	  *contacts = palloc(sizeof(int64) * (2 * n + 1));
	int64	  *states = palloc(sizeof(int64) * (total + 1));
	int		   ncontacts = 0;

	if (n == 0)
		return;
	ma_contact_resolve_all(all, total, true);
	for (int i = 0; i < total; i++)
		states[i] = all[i].contact_id;
	for (int i = 0; i < n; i++)
		if (states[i] != 0 && states[i] != states[n + i])
		{
			contacts[ncontacts++] = states[i];
			contacts[ncontacts++] = states[n + i];
		}
	if (ncontacts == 0)
		return;
	ma_merge_lock(contacts, ncontacts, states, total);
	for (int i = 0; i < n; i++)
		if (states[i] != 0 && states[i] != states[n + i])
			(void) ma_contact_alias(all[n + i].external_id, &all[i]);
}

/*
 * n persons whose anonymous ids the rows of a chunk tell, then these n ids,
 * then the persons of its events: total.
 */
static MaProfile *
everybody(MaCapture *capture, int *n, int *total)
{
	MaProfile *all;

	*n = *total = 0;
	for (int i = 0; i < capture->nruns; i++)
	{
		*n += capture->runs[i].nknown;
		*total += capture->runs[i].n;
	}
	if (*n == 0)
		return NULL;
	for (int i = 0; i < capture->nruns; i++)
	{
		ma_capture_find_events(&capture->runs[i], true);
		ma_capture_find_known(&capture->runs[i]);
	}
	all = palloc0(sizeof(MaProfile) * (2 * *n + *total));
	*total = 0;
	for (int i = 0; i < capture->nruns; i++)
		for (int j = 0; j < capture->runs[i].nknown; j++)
		{
			all[*total] = capture->runs[i].known[j];
			all[*n + *total].is_id = true;
			all[*n + (*total)++].external_id = capture->runs[i].anonymous[j];
		}
	*total += *n;
	for (int i = 0; i < capture->nruns; i++)
		if (capture->runs[i].source->text.kind != NULL)
		{
			memcpy(&all[*total], capture->runs[i].profiles,
				   sizeof(MaProfile) * capture->runs[i].n);
			*total += capture->runs[i].n;
		}
	return all;
}

/* Collects the events of a chunk, and whose they are; returns how many. */
static int
collect_events(MaCapture *capture, MaProfile *profiles, MaEventRow *events)
{
	int n = 0;

	for (int i = 0; i < capture->nruns; i++)
	{
		MaCaptureRun *run = &capture->runs[i];

		if (run->source->text.kind == NULL)
			continue;
		memcpy(&profiles[n], run->profiles, sizeof(MaProfile) * run->n);
		memcpy(&events[n], run->events, sizeof(MaEventRow) * run->n);
		n += run->n;
	}
	return n;
}

/* Puts the events of a chunk into the log, or gives them what is new. */
static void
store_events(MaCapture *capture)
{
	MaProfile  *profiles;
	MaEventRow *events;
	int			n = 0;

	for (int i = 0; i < capture->nruns; i++)
		n += capture->runs[i].n;
	profiles = palloc(sizeof(MaProfile) * (n + 1));
	events = palloc(sizeof(MaEventRow) * (n + 1));
	n = collect_events(capture, profiles, events);
	if (n == 0)
		return;
	/* who is meant by an external id is whoever has it, @ or not */
	if (n > 1 || !ma_contact_hold_named(profiles))
	{
		for (int i = 0; i < capture->nruns; i++)
			ma_capture_find_events(&capture->runs[i], true);
		(void) collect_events(capture, profiles, events);
		ma_contact_resolve_held(profiles, n);
	}
	for (int i = 0; i < n; i++)
		events[i].contact_id = profiles[i].contact_id;
	ma_event_store(events, n);
	n = 0;
	for (int i = 0; i < capture->nruns; i++)
	{
		MaCaptureRun *run = &capture->runs[i];

		if (run->source->text.kind == NULL)
			continue;
		memcpy(run->profiles, &profiles[n], sizeof(MaProfile) * run->n);
		memcpy(run->events, &events[n], sizeof(MaEventRow) * run->n);
		n += run->n;
		append_events(run);
		replace_events(run);
	}
}

/* Puts events into the log whose keys are in it already, one more each. */
static void
append_events(MaCaptureRun *run)
{
	MaEventRow *rows = palloc(sizeof(MaEventRow) * run->n);
	int			n = 0;

	for (int i = 0; i < run->n; i++)
		if (run->again[i] == MA_ON_UPDATE_APPEND && !run->events[i].stored)
		{
			rows[n] = run->events[i];
			rows[n++].is_more = true;
		}
	if (n > 0)
		(void) ma_event_store(rows, n);
}

/* Gives events that are in the log already what their rows say now. */
static void
replace_events(MaCaptureRun *run)
{
	int known = 0;

	for (int i = 0; i < run->n; i++)
		if (run->again[i] == MA_ON_UPDATE_REPLACE && !run->events[i].stored &&
			run->events[i].contact_id != 0)
		{
			run->events[known] = run->events[i];
			if (run->source->occurred_at == NULL)
				run->events[known].occurred_at = DT_NOBEGIN;
			known++;
		}
	ma_event_replace(run->events, known);
}
