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

#include "executor/tuptable.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "capture_private.h"
#include "contact.h"
#include "error.h"
#include "event.h"
#include "merge.h"

/* A capture under way. */
struct MaCapture
{
	MemoryContext cxt; /* of one chunk */
	int			  nruns;
	MaCaptureRun *runs;			  /* one per source that can be read */
	MinimalTuple  rows[MA_CHUNK]; /* collected, in cxt */
	MinimalTuple  olds[MA_CHUNK]; /* their old versions, NULL: inserted */
	int			  nrows;
};

static void		  flush(MaCapture *capture);
static void		  write_chunk(MaCapture *capture);
static void		  withdraw(MaCaptureRun *run);
static void		  tell_anonymous(MaCapture *capture);
static MaProfile *everybody(MaCapture *capture, int *n, int *total);
static void		  store_events(MaCapture *capture);
static void		  replace_events(MaCaptureRun *run);

/*
 * Starts a capture from rows of the given type by n sources. Those that could
 * not be compiled are noted and left out.
 */
MaCapture *
ma_capture_begin(MaSource *sources, int n, TupleDesc desc)
{
	MaCapture *capture = palloc0(sizeof(MaCapture));

	capture->cxt = AllocSetContextCreate(
		CurrentMemoryContext, "mautomate capture", ALLOCSET_DEFAULT_SIZES);
	capture->runs = palloc0(sizeof(MaCaptureRun) * Max(n, 1));
	for (int i = 0; i < n; i++)
	{
		MaCaptureRun *run = &capture->runs[capture->nruns];

		if (sources[i].broken != NULL)
		{
			ma_error_note(sources[i].object, 0, sources[i].broken);
			continue;
		}
		run->source = &sources[i];
		run->cxt = capture->cxt;
		run->rows = capture->rows;
		run->olds = capture->olds;
		run->row = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
		run->old = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
		capture->nruns++;
	}
	return capture;
}

/* Where the rows given to ma_capture_add() are to be made. */
MemoryContext
ma_capture_context(MaCapture *capture)
{
	return capture->cxt;
}

/*
 * Takes a row, with its old version if it was updated, in the context of
 * ma_capture_context(). Returns false if nobody looks at rows.
 */
bool
ma_capture_add(MaCapture *capture, MinimalTuple row, MinimalTuple old)
{
	if (capture->nruns == 0)
		return false;
	capture->rows[capture->nrows] = row;
	capture->olds[capture->nrows++] = old;
	if (capture->nrows == MA_CHUNK)
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
		ExecDropSingleTupleTableSlot(capture->runs[i].row);
		ExecDropSingleTupleTableSlot(capture->runs[i].old);
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
		capture->runs[i].nrows = capture->nrows;
		ma_capture_evaluate(&capture->runs[i]);
	}
	if (capture->nrows > 0)
		write_chunk(capture);
	MemoryContextSwitchTo(old);
	for (int i = 0; i < capture->nruns; i++)
	{
		MaCaptureRun *run = &capture->runs[i];

		ExecClearTuple(run->row);
		ExecClearTuple(run->old);
		run->nrows = run->n = run->ngone = run->nknown = 0;
		run->notes = NIL;
	}
	MemoryContextReset(capture->cxt);
	capture->nrows = 0;
}

/* Writes what the rows of a chunk say, and then what was wrong with them. */
static void
write_chunk(MaCapture *capture)
{
	for (int i = 0; i < capture->nruns; i++)
	{
		MaCaptureRun *run = &capture->runs[i];

		if (run->source->text.kind == NULL)
			ma_contact_store(run->profiles, run->n);
		else
			withdraw(run);
	}
	tell_anonymous(capture);
	store_events(capture);
	for (int i = 0; i < capture->nruns; i++)
		ma_capture_write_notes(&capture->runs[i]);
}

/* Takes events out of the log that the rows of a chunk no longer are. */
static void
withdraw(MaCaptureRun *run)
{
	int known = 0;

	if (run->ngone == 0)
		return;
	ma_contact_lookup(run->gone_profiles, run->ngone);
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
	ma_contact_obtain(all, total);
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
	all = palloc0(sizeof(MaProfile) * (2 * *n + *total));
	*total = 0;
	for (int i = 0; i < capture->nruns; i++)
		for (int j = 0; j < capture->runs[i].nknown; j++)
		{
			all[*total] = capture->runs[i].known[j];
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
	n = 0;
	for (int i = 0; i < capture->nruns; i++)
	{
		MaCaptureRun *run = &capture->runs[i];

		if (run->source->text.kind == NULL)
			continue;
		memcpy(&profiles[n], run->profiles, sizeof(MaProfile) * run->n);
		memcpy(&events[n], run->events, sizeof(MaEventRow) * run->n);
		n += run->n;
	}
	if (n == 0)
		return;
	ma_contact_obtain(profiles, n);
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
		replace_events(run);
	}
}

/* Gives events that are in the log already what their rows say now. */
static void
replace_events(MaCaptureRun *run)
{
	int known = 0;

	for (int i = 0; i < run->n; i++)
		if (run->replaces[i] && !run->events[i].stored &&
			run->events[i].contact_id != 0)
		{
			run->events[known] = run->events[i];
			if (run->source->occurred_at == NULL)
				run->events[known].occurred_at = DT_NOBEGIN;
			known++;
		}
	ma_event_replace(run->events, known);
}
