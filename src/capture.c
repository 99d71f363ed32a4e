/*
 * capture.c
 *	  Statement triggers on the application's tables.
 *
 * One pair of triggers per captured relation, AFTER INSERT and AFTER UPDATE
 * for each statement, with transition tables; which sources the relation has
 * is looked up when they fire. The rows never leave C until they are written
 * as ours, so the role whose statement it is needs no right of ours.
 *
 * The old and the new rows of an UPDATE come in the same order.
 */
#include "postgres.h"

#include "commands/trigger.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

#include "capture.h"

PG_FUNCTION_INFO_V1(mautomate_capture);

static void			capture(TriggerData *trigdata, MaCaptured *captured);
static int			new_reader(Tuplestorestate *store);
static MinimalTuple next_row(Tuplestorestate *store, int reader,
							 TupleTableSlot *slot, MaCapture *run);

/* Trigger function: what the statement wrote becomes contacts and events. */
Datum
mautomate_capture(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	MaCaptured	*captured;

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		!TRIGGER_FIRED_AFTER(trigdata->tg_event) ||
		!TRIGGER_FIRED_FOR_STATEMENT(trigdata->tg_event) ||
		trigdata->tg_newtable == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" must be called by a trigger of "
						"mautomate",
						"capture"),
				 errhint("Use mautomate.attach_contacts() or "
						 "mautomate.attach_events().")));
	if (tuplestore_tuple_count(trigdata->tg_newtable) == 0)
		return PointerGetDatum(NULL);
	captured = ma_captured_acquire(trigdata->tg_relation);
	PG_TRY();
	{
		capture(trigdata, captured);
	}
	PG_FINALLY();
	{
		ma_captured_release(captured);
	}
	PG_END_TRY();
	return PointerGetDatum(NULL);
}

/* Captures the rows of the statement. */
static void
capture(TriggerData *trigdata, MaCaptured *captured)
{
	Tuplestorestate *rows = trigdata->tg_newtable;
	Tuplestorestate *olds = trigdata->tg_oldtable;
	TupleDesc		 desc = RelationGetDescr(trigdata->tg_relation);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	MaCapture	   *run =
		ma_capture_begin(captured->sources, captured->nsources, desc);
	int			 row_reader = new_reader(rows);
	int			 old_reader = olds ? new_reader(olds) : 0;
	MinimalTuple row;
	MinimalTuple old = NULL;
	bool		 more = true;

	while (more)
	{
		row = next_row(rows, row_reader, slot, run);
		if (olds != NULL)
			old = next_row(olds, old_reader, slot, run);
		more = row != NULL && ma_capture_add(run, row, old);
	}
	ma_capture_end(run);
	ExecDropSingleTupleTableSlot(slot);
}

/* A read position of our own, at the start. */
static int
new_reader(Tuplestorestate *store)
{
	int reader = tuplestore_alloc_read_pointer(store, EXEC_FLAG_REWIND);

	tuplestore_select_read_pointer(store, reader);
	tuplestore_rescan(store);
	return reader;
}

/*
 * The next row, a copy that the run keeps; NULL at the end. What the slot
 * holds must outlive the run's chunk: a row read back from disk is its own.
 */
static MinimalTuple
next_row(Tuplestorestate *store, int reader, TupleTableSlot *slot,
		 MaCapture *run)
{
	MemoryContext old;
	MinimalTuple  row;

	tuplestore_select_read_pointer(store, reader);
	if (!tuplestore_gettupleslot(store, true, false, slot))
		return NULL;
	old = MemoryContextSwitchTo(ma_capture_context(run));
	row = ExecCopySlotMinimalTuple(slot);
	MemoryContextSwitchTo(old);
	return row;
}
