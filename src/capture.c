/*
 * capture.c
 *	  Statement triggers on the application's tables.
 *
 * AFTER INSERT, UPDATE and, where a source asks for it, DELETE for each
 * statement, with transition tables; which sources the relation has is looked
 * up when they fire. The rows never leave C until they are written as ours,
 * so the role whose statement it is needs no right of ours.
 *
 * A statement fires the triggers of the table that it names and of no other,
 * with the rows of all partitions and children: they have triggers too, and
 * so each row is seen once, whatever table was named. Rows that triggers of
 * the application changed once more are read anew (capture_newest.c).
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

#include "capture_private.h"

PG_FUNCTION_INFO_V1(mautomate_capture);

/* The rows of a statement, while they are read. */
typedef struct Rows
{
	Tuplestorestate	   *store; /* NULL: there are none */
	int					reader;
	TupleTableSlot	   *slot; /* as the relation has them */
	TupleTableSlot	   *as;	  /* as its parent has them; else the same */
	TupleTableSlot	   *row;  /* the one at hand: as, or as it is now */
	TupleConversionMap *map;
	MaNewest		   *newest; /* NULL: they are as they were written */
} Rows;

static void capture_rows(TriggerData *trigdata, MaCaptureGroup *group,
						 TupleDesc desc);
static void take_names(MaCaptureOrder *order, Tuplestorestate *store,
					   TupleDesc desc, const MaCaptureGroup *group,
					   bool is_new);
static void add_rows(Tuplestorestate *store, Tuplestorestate *old_store,
					 TupleDesc desc, const MaCaptureGroup *group,
					 MaCapture *capture, bool is_new);
static void follow_rows(TriggerData *trigdata, MaCaptureGroup *group,
						TupleDesc desc);
static Rows open_rows(Tuplestorestate *store, TupleDesc desc,
					  const MaCaptureGroup *group);
static bool next_row(Rows *rows);
static void close_rows(Rows *rows);
static Tuplestorestate *old_rows(TriggerData *trigdata);
static void				read_anew(Rows *rows, const MaCaptureGroup *group);

/* Trigger function: what the statement wrote becomes contacts and events. */
Datum
mautomate_capture(PG_FUNCTION_ARGS)
{
	TriggerData		*trigdata = (TriggerData *) fcinfo->context;
	Tuplestorestate *rows;
	MaCaptured		*captured;

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		!TRIGGER_FIRED_AFTER(trigdata->tg_event) ||
		!TRIGGER_FIRED_FOR_STATEMENT(trigdata->tg_event) ||
		(trigdata->tg_newtable == NULL && trigdata->tg_oldtable == NULL))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" must be called by a trigger of "
						"mautomate",
						"capture"),
				 errhint("Use mautomate.attach_contacts() or "
						 "mautomate.attach_events().")));
	rows =
		trigdata->tg_newtable ? trigdata->tg_newtable : trigdata->tg_oldtable;
	if (tuplestore_tuple_count(rows) == 0)
		return PointerGetDatum(NULL);
	captured = ma_captured_acquire(trigdata->tg_relation);
	PG_TRY();
	{
		for (int i = 0; i < captured->ngroups; i++)
		{
			captured->groups[i].nested =
				ma_newest_is_needed(captured->groups[i].relid);
			capture_rows(trigdata, &captured->groups[i], captured->desc);
			follow_rows(trigdata, &captured->groups[i], captured->desc);
		}
	}
	PG_FINALLY();
	{
		ma_captured_release(captured);
	}
	PG_END_TRY();
	return PointerGetDatum(NULL);
}

/* Captures the rows of the statement, or of deleted ones that they are gone. */
static void
capture_rows(TriggerData *trigdata, MaCaptureGroup *group, TupleDesc desc)
{
	bool	   deleted = TRIGGER_FIRED_BY_DELETE(trigdata->tg_event);
	MaCapture *capture;

	if (group->nsources == 0)
		return;
	if (!deleted && !IsolationUsesXactSnapshot() &&
		tuplestore_tuple_count(trigdata->tg_newtable) > MA_CHUNK)
	{
		MaCaptureOrder *order = ma_capture_order_begin();

		take_names(order, trigdata->tg_newtable, desc, group, true);
		take_names(order, old_rows(trigdata), desc, group, false);
		ma_capture_order_end(order);
	}
	capture = ma_capture_begin(group->sources, group->nsources, group->desc,
							   deleted ? MA_CAPTURE_ERASE : MA_CAPTURE_ROWS);
	add_rows(deleted ? trigdata->tg_oldtable : trigdata->tg_newtable,
			 old_rows(trigdata), desc, group, capture, !deleted);
	ma_capture_end(capture);
}

/* Takes the persons of rows, as they are or as they were. */
static void
take_names(MaCaptureOrder *order, Tuplestorestate *store, TupleDesc desc,
		   const MaCaptureGroup *group, bool is_new)
{
	MaCapture *capture = ma_capture_begin(group->sources, group->nsources,
										  group->desc, MA_CAPTURE_NAMES);

	if (!is_new)
		ma_capture_order_before(order);
	ma_capture_watch(capture, ma_capture_order_take, order);
	add_rows(store, NULL, desc, group, capture, is_new);
	ma_capture_end(capture);
}

/* Gives rows, and what they were, to a capture. */
static void
add_rows(Tuplestorestate *store, Tuplestorestate *old_store, TupleDesc desc,
		 const MaCaptureGroup *group, MaCapture *capture, bool is_new)
{
	Rows		  rows = open_rows(store, desc, group);
	Rows		  olds = open_rows(old_store, desc, group);
	MemoryContext cxt = ma_capture_context(capture);
	bool		  more = true;

	if (is_new)
		read_anew(&rows, group);
	while (more && next_row(&rows))
	{
		bool		  has_old = next_row(&olds);
		MemoryContext caller = MemoryContextSwitchTo(cxt);
		MaCaptureRow  row = {0};

		/*
		 * What is kept must outlive the slot: a row may be read from disk.
		 * And the slot's own copy must outlive the chunk.
		 */
		row.row = ExecCopySlotMinimalTuple(rows.row);
		if (has_old)
			row.old = ExecCopySlotMinimalTuple(olds.row);
		MemoryContextSwitchTo(caller);
		more = ma_capture_add(capture, &row);
	}
	close_rows(&rows);
	close_rows(&olds);
}

/* Captures anew what points to the rows of the statement. */
static void
follow_rows(TriggerData *trigdata, MaCaptureGroup *group, TupleDesc desc)
{
	if (TRIGGER_FIRED_BY_DELETE(trigdata->tg_event))
		return;
	for (int i = 0; i < group->nfollowers; i++)
	{
		MaViaFollow follow = {.source = &group->followers[i]};
		Rows		rows;
		Rows		olds;

		follow.capture = ma_capture_begin(
			follow.source, 1, follow.source->desc, MA_CAPTURE_FOLLOW);
		rows = open_rows(trigdata->tg_newtable, desc, group);
		read_anew(&rows, group);
		olds = open_rows(old_rows(trigdata), desc, group);
		while (follow.source->broken == NULL && next_row(&rows))
			ma_via_follow(&follow, rows.row,
						  next_row(&olds) ? olds.row : NULL);
		ma_capture_end(follow.capture);
		close_rows(&rows);
		close_rows(&olds);
	}
}

/*
 * The old rows of an UPDATE, if they come in the order of the new ones. They
 * do not where a trigger of the application ate some: then no row had been
 * there before, and what is known is told by its key.
 */
static Tuplestorestate *
old_rows(TriggerData *trigdata)
{
	if (trigdata->tg_newtable == NULL || trigdata->tg_oldtable == NULL ||
		tuplestore_tuple_count(trigdata->tg_oldtable) !=
			tuplestore_tuple_count(trigdata->tg_newtable))
		return NULL;
	return trigdata->tg_oldtable;
}

/* Reads the rows from the start, with a read position of our own. */
static Rows
open_rows(Tuplestorestate *store, TupleDesc desc, const MaCaptureGroup *group)
{
	Rows rows = {.store = store, .map = group->map};

	if (store == NULL)
		return rows;
	rows.reader = tuplestore_alloc_read_pointer(store, EXEC_FLAG_REWIND);
	tuplestore_select_read_pointer(store, rows.reader);
	tuplestore_rescan(store);
	rows.slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	rows.as = rows.map == NULL ?
				  rows.slot :
				  MakeSingleTupleTableSlot(group->desc, &TTSOpsVirtual);
	return rows;
}

/* Goes to the next row; false at the end. */
static bool
next_row(Rows *rows)
{
	if (rows->store == NULL)
		return false;
	tuplestore_select_read_pointer(rows->store, rows->reader);
	if (!tuplestore_gettupleslot(rows->store, true, false, rows->slot))
		return false;
	if (rows->map != NULL)
		(void) execute_attr_map_slot(rows->map->attrMap, rows->slot, rows->as);
	rows->row =
		rows->newest ? ma_newest_row(rows->newest, rows->as) : rows->as;
	return true;
}

/* New rows may have been changed once more since: then they are read anew. */
static void
read_anew(Rows *rows, const MaCaptureGroup *group)
{
	if (group->nested && rows->store != NULL)
		rows->newest = ma_newest_open(group->relid, group->desc);
}

static void
close_rows(Rows *rows)
{
	if (rows->store == NULL)
		return;
	if (rows->newest != NULL)
		ma_newest_close(rows->newest);
	if (rows->as != rows->slot)
		ExecDropSingleTupleTableSlot(rows->as);
	ExecDropSingleTupleTableSlot(rows->slot);
}
