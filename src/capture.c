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

/* A statement, and whose rows of it are captured. */
typedef struct Statement
{
	TriggerData	   *trigdata;
	TupleDesc		desc;
	MaCaptureGroup *group;
	MaSource *follower; /* NULL: its own, else those that point to them */
} Statement;

static void		  capture_rows(Statement *statement);
static void		  order_persons(void *arg);
static MaCapture *begin(const Statement *statement, bool names);
static void		  read_rows(const Statement *statement, MaCapture *capture);
static bool		  add_row(MaCapture *capture, Rows *rows, Rows *olds);
static Rows		  open_rows(Tuplestorestate *store, TupleDesc desc,
							const MaCaptureGroup *group);
static bool		  next_row(Rows *rows);
static void		  close_rows(Rows *rows);
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
			MaCaptureGroup *group = &captured->groups[i];
			Statement		statement = {trigdata, captured->desc, group};

			group->nested = ma_newest_is_needed(group->relid);
			if (group->nsources > 0)
				capture_rows(&statement);
			if (TRIGGER_FIRED_BY_DELETE(trigdata->tg_event))
				continue;
			for (int j = 0; j < group->nfollowers; j++)
			{
				statement.follower = &group->followers[j];
				capture_rows(&statement);
			}
		}
	}
	PG_FINALLY();
	{
		ma_captured_release(captured);
	}
	PG_END_TRY();
	return PointerGetDatum(NULL);
}

/*
 * Captures rows of the statement, or of deleted ones that they are gone, or
 * anew what points to them, of which nobody knows how many there are.
 */
static void
capture_rows(Statement *statement)
{
	bool deleted = TRIGGER_FIRED_BY_DELETE(statement->trigdata->tg_event);
	MaCapture *capture = begin(statement, false);

	if (!deleted &&
		(statement->follower != NULL ||
		 tuplestore_tuple_count(statement->trigdata->tg_newtable) > MA_CHUNK))
		ma_capture_order_by(capture, order_persons, statement);
	read_rows(statement, capture);
	ma_capture_end(capture);
}

/* There is more than a chunk: everybody that rows are about comes first. */
static void
order_persons(void *arg)
{
	Statement	   *statement = arg;
	MaCaptureOrder *order = ma_capture_order_begin();
	MaCapture	   *capture = begin(statement, true);

	ma_capture_watch(capture, ma_capture_order_take, order);
	read_rows(statement, capture);
	ma_capture_end(capture);
	ma_capture_order_end(order);
}

/* Starts to capture rows, or only who they are about. */
static MaCapture *
begin(const Statement *statement, bool names)
{
	MaCaptureGroup *group = statement->group;
	MaSource	   *follower = statement->follower;

	if (follower != NULL)
		return ma_capture_begin(follower, 1, follower->desc,
								names ? MA_CAPTURE_FOLLOW_NAMES :
										MA_CAPTURE_FOLLOW);
	return ma_capture_begin(
		group->sources, group->nsources, group->desc,
		names ? MA_CAPTURE_NAMES :
		TRIGGER_FIRED_BY_DELETE(statement->trigdata->tg_event) ?
				MA_CAPTURE_ERASE :
				MA_CAPTURE_ROWS);
}

/* Gives rows, and what they were, to a capture. */
static void
read_rows(const Statement *statement, MaCapture *capture)
{
	TriggerData *trigdata = statement->trigdata;
	MaViaFollow	 follow = {.source = statement->follower, .capture = capture};
	bool		 deleted = TRIGGER_FIRED_BY_DELETE(trigdata->tg_event);
	bool		 more = true;
	Rows		 rows =
		open_rows(deleted ? trigdata->tg_oldtable : trigdata->tg_newtable,
				  statement->desc, statement->group);
	Rows olds =
		open_rows(old_rows(trigdata), statement->desc, statement->group);

	if (!deleted)
		read_anew(&rows, statement->group);
	while (more && next_row(&rows))
	{
		bool has_old = next_row(&olds);

		if (follow.source != NULL)
			ma_via_follow(&follow, rows.row, has_old ? olds.row : NULL);
		else
			more = add_row(capture, &rows, has_old ? &olds : NULL);
	}
	close_rows(&rows);
	close_rows(&olds);
}

/* Gives a row to a capture; false if nobody looks at rows. */
static bool
add_row(MaCapture *capture, Rows *rows, Rows *olds)
{
	MemoryContext caller = MemoryContextSwitchTo(ma_capture_context(capture));
	MaCaptureRow  row = {0};

	/*
	 * What is kept must outlive the slot: a row may be read from disk.
	 * And the slot's own copy must outlive the chunk.
	 */
	row.row = ExecCopySlotMinimalTuple(rows->row);
	if (olds != NULL)
		row.old = ExecCopySlotMinimalTuple(olds->row);
	MemoryContextSwitchTo(caller);
	return ma_capture_add(capture, &row);
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
