/*
 * table.c
 *	  Rows of our own tables through the table access method, without SQL.
 *
 * An SQL statement costs more than all the rest of a refresh, so the tables
 * that are written with almost every event are written directly. Who writes
 * here holds the lock on the contact's state: nobody else writes the row.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "nodes/makefuncs.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "table.h"

/*
 * Opens a table under a lock. Its number is looked up again only after an
 * invalidation of the table.
 */
static void
open_under(MaTable *table, MaWatch *watch, LOCKMODE lock)
{
	if (!ma_inval_watch(watch))
		elog(ERROR, "table %s is missing", watch->relation);
	watch->stale = false;
	memset(table, 0, sizeof(MaTable));
	table->cxt = CurrentMemoryContext;
	table->heap = table_open(watch->relid, lock);
	table->slot = table_slot_create(table->heap, NULL);
}

/* Opens a table for reading and writing. */
void
ma_table_open(MaTable *table, MaWatch *watch)
{
	open_under(table, watch, RowExclusiveLock);
}

/* Opens a table only to read it. */
void
ma_table_open_to_read(MaTable *table, MaWatch *watch)
{
	open_under(table, watch, AccessShareLock);
}

/* Its primary key. */
Relation
ma_table_key(MaTable *table)
{
	if (table->key == NULL)
	{
		Oid key = ma_primary_key_index(table->heap);

		if (!OidIsValid(key))
			elog(ERROR, "%s has no primary key",
				 RelationGetRelationName(table->heap));
		table->key = index_open(key, RowExclusiveLock);
	}
	return table->key;
}

/* Rows are to be found by another index than the primary key. */
void
ma_table_use_index(MaTable *table, MaWatch *watch)
{
	if (!ma_inval_watch(watch))
		elog(ERROR, "index %s is missing", watch->relation);
	watch->stale = false;
	table->key = index_open(watch->relid, RowExclusiveLock);
}

/* What is found is to be the newest, unless the isolation level forbids it. */
void
ma_table_push_snapshot(void)
{
	PushActiveSnapshot(IsolationUsesXactSnapshot() ? GetTransactionSnapshot() :
													 GetLatestSnapshot());
}

/* Are its rows on a heap? */
bool
ma_table_is_heap(const MaTable *table)
{
	return table->heap->rd_tableam == GetHeapamTableAmRoutine();
}

/* Closes it; the locks stay until the end of the transaction. */
void
ma_table_close(MaTable *table)
{
	if (table->estate != NULL)
	{
		ExecCloseIndices(table->info);
		ExecResetTupleTable(table->estate->es_tupleTable, false);
		FreeExecutorState(table->estate);
	}
	if (table->scan != NULL)
		index_endscan(table->scan);
	ExecDropSingleTupleTableSlot(table->slot);
	if (table->key != NULL)
		index_close(table->key, NoLock);
	table_close(table->heap, NoLock);
}

/*
 * The first row with these keys into the slot; false if there is none. The
 * snapshot is the one that is active at the first call.
 */
bool
ma_table_find(MaTable *table, ScanKeyData *keys, int nkeys)
{
	if (table->scan == NULL)
		table->scan = ma_index_beginscan(table->heap, ma_table_key(table),
										 GetActiveSnapshot(), nkeys);
	index_rescan(table->scan, keys, nkeys, NULL, 0);
	return ma_table_next(table);
}

/* The next one. */
bool
ma_table_next(MaTable *table)
{
	return index_getnext_slot(table->scan, ForwardScanDirection, table->slot);
}

/* Prepares for adding rows to the indexes. */
static void
open_indexes(MaTable *table)
{
	MemoryContext  old = MemoryContextSwitchTo(table->cxt);
	RangeTblEntry *rte = makeNode(RangeTblEntry);

	table->estate = CreateExecutorState();
	table->info = makeNode(ResultRelInfo);
	rte->rtekind = RTE_RELATION;
	rte->relid = RelationGetRelid(table->heap);
	rte->relkind = table->heap->rd_rel->relkind;
	rte->rellockmode = RowExclusiveLock;
	ma_init_range_table(table->estate, rte);
	InitResultRelInfo(table->info, table->heap, 1, NULL, 0);
	ExecOpenIndices(table->info, false);
	MemoryContextSwitchTo(old);
}

/*
 * Adds the row in the slot to the indexes. Of an update they are told that its
 * keys are those of the row before.
 */
static void
insert_index_entries(MaTable *table, bool update)
{
	if (table->estate == NULL)
		open_indexes(table);
	ma_insert_index_tuples(table->info, table->slot, table->estate, update);
	ResetPerTupleExprContext(table->estate);
}

/* Was a row written? False if it is gone. */
static bool
is_done(MaTable *table, TM_Result result)
{
	if (result == TM_Ok)
		return true;
	if (result != TM_Deleted && result != TM_Updated)
		elog(ERROR, "could not write %s: %d",
			 RelationGetRelationName(table->heap), (int) result);
	if (IsolationUsesXactSnapshot())
		ereport(
			ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("could not serialize access due to concurrent update")));
	return false;
}

/* Puts a formed row in place of the one at tid, if that can be done. */
static TM_Result
update_formed(MaTable *table, ItemPointer tid)
{
	HeapTuple		row = &table->formed;
	MaUpdateIndexes indexes;
	TM_FailureData	failure;
	LockTupleMode	mode;
	TM_Result		result =
		ma_heap_update(table->heap, tid, row, &failure, &mode, &indexes);

	if (result == TM_Ok && ma_heap_needs_index_entries(row, indexes))
	{
		ExecForceStoreHeapTuple(row, table->slot, false);
		table->slot->tts_tid = row->t_self;
		insert_index_entries(table, true);
	}
	table->slot->tts_tid = row->t_self;
	row->t_data = NULL;
	return result;
}

/*
 * Locks the newest version of the row in the slot, and puts it there. Waits
 * for who is changing it; false if it is gone.
 */
bool
ma_table_lock(MaTable *table)
{
	ItemPointerData tid = table->slot->tts_tid;
	TM_FailureData	failure;

	return is_done(table,
				   table_tuple_lock(table->heap, &tid, GetActiveSnapshot(),
									table->slot, GetCurrentCommandId(true),
									LockTupleExclusive, LockWaitBlock,
									IsolationUsesXactSnapshot() ?
										0 :
										TUPLE_LOCK_FLAG_FIND_LAST_VERSION,
									&failure));
}

/*
 * Locks the row in the slot; false if it is not the newest version, or another
 * one has it locked: nobody is waited for.
 */
bool
ma_table_try_lock(MaTable *table)
{
	ItemPointerData tid = table->slot->tts_tid;
	TM_FailureData	failure;

	return table_tuple_lock(table->heap, &tid, GetActiveSnapshot(),
							table->slot, GetCurrentCommandId(true),
							LockTupleNoKeyExclusive, LockWaitSkip, 0,
							&failure) == TM_Ok;
}

/*
 * Replaces n columns of the row in the slot, numbered from 1, to be written
 * in place of itself.
 */
void
ma_table_change(MaTable *table, int *columns, Datum *values, bool *nulls,
				int n)
{
	HeapTuple row = ExecFetchSlotHeapTuple(table->slot, false, NULL);

	row = heap_modify_tuple_by_cols(row, RelationGetDescr(table->heap), n,
									columns, values, nulls);
	ExecForceStoreHeapTuple(row, table->slot, true);
}

/* Puts the slot in place of the row at tid, if that can be done. */
static TM_Result
update(MaTable *table, ItemPointer tid)
{
	TM_FailureData	failure;
	TM_Result		result;
	LockTupleMode	mode;
	MaUpdateIndexes indexes;

	if (table->formed.t_data != NULL)
		return update_formed(table, tid);
	result = table_tuple_update(
		table->heap, tid, table->slot, GetCurrentCommandId(true),
		GetActiveSnapshot(), InvalidSnapshot, true, &failure, &mode, &indexes);
	if (result == TM_Ok && ma_needs_index_entries(indexes))
		insert_index_entries(table, true);
	return result;
}

/*
 * Puts the slot in place of the row at tid, which the active snapshot sees;
 * false if the row is gone.
 */
bool
ma_table_update(MaTable *table, ItemPointer tid)
{
	return is_done(table, update(table, tid));
}

/*
 * The same; false if the row is not the newest version, or is another one once
 * who has it locked has been waited for. (Not to wait is nothing that
 * heap_update() can be asked for.)
 */
bool
ma_table_try_update(MaTable *table, ItemPointer tid)
{
	return update(table, tid) == TM_Ok;
}

/* Deletes the row at tid, which the active snapshot sees; false if gone. */
bool
ma_table_delete(MaTable *table, ItemPointer tid)
{
	TM_FailureData failure;

	return is_done(
		table, table_tuple_delete(table->heap, tid, GetCurrentCommandId(true),
								  GetActiveSnapshot(), InvalidSnapshot, true,
								  &failure, false));
}

/*
 * Deletes the row at tid, unless somebody else did, is about to, or has it
 * locked: nobody is waited for.
 */
bool
ma_table_try_delete(MaTable *table, ItemPointer tid)
{
	TM_FailureData failure;

	return table_tuple_delete(table->heap, tid, GetCurrentCommandId(true),
							  GetActiveSnapshot(), InvalidSnapshot, false,
							  &failure, false) == TM_Ok;
}

/* Inserts the row in the slot. */
void
ma_table_insert(MaTable *table)
{
	table_tuple_insert(table->heap, table->slot, GetCurrentCommandId(true), 0,
					   NULL);
	insert_index_entries(table, false);
}
