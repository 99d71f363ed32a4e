/*
 * state_fetch.c
 *	  Find and lock rows of contact_state by contact ids.
 *
 * Almost every event passes here, so the heap is read directly: first the
 * index says where the rows are, then each page is taken once for all of its
 * rows. A transaction that keeps to one snapshot leaves to a scan of the index
 * what SERIALIZABLE has to know of; where ids are close to each other it walks
 * along the index. A page is pruned when the room for the new versions of these rows runs
 * short, not whenever its free space is below the fillfactor's, which after an
 * update it always is.
 *
 * What is unusual goes the way of the table access method: another one than
 * heap, several index entries for an id, a row that is being changed.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/relscan.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "index.h"
#include "state_private.h"

/*
 * Ids are close if so many, at most, are passed for each that is wanted: to
 * look one up costs about as much.
 */
#define DENSE_GAP 16

/* The length of a row while none has been seen. */
#define ROW_WIDTH 256

struct MaFetch
{
	Relation		 heap;
	Relation		 key;
	Snapshot		 snapshot;
	MaLock			 lock;
	bool			 is_heap;
	int				 n;
	const int64		*ids;
	MaIndexed		*entries;  /* what the index says of them */
	ItemPointerData *tids;	   /* where it is, if it knows one */
	int				*together; /* how many rows are on the same page */
	Buffer			 buffer;   /* of the last page, pinned */
	Size			 width;	   /* of the last row */
	HeapTupleData	 tuple;
};

/* Notes an entry of the index for id number i. */
static void
note_entry(MaFetch *fetch, int i, ItemPointer tid)
{
	fetch->tids[i] = *tid;
	fetch->entries[i] = fetch->entries[i] == MA_INDEXED_NOT ? MA_INDEXED_ONCE :
															  MA_INDEXED_MANY;
}

/* Looks each id up. */
static void
find_each(MaFetch *fetch)
{
	IndexScanDesc scan =
		ma_index_beginscan(fetch->heap, fetch->key, fetch->snapshot, 1);

	for (int i = 0; i < fetch->n; i++)
	{
		ScanKeyData condition;
		ItemPointer tid;

		ScanKeyInit(&condition, 1, BTEqualStrategyNumber, F_INT8EQ,
					Int64GetDatum(fetch->ids[i]));
		index_rescan(scan, &condition, 1, NULL, 0);
		while ((tid = index_getnext_tid(scan, ForwardScanDirection)) != NULL)
			note_entry(fetch, i, tid);
	}
	index_endscan(scan);
}

/* Walks along the index from the first id to the last. */
static void
find_range(MaFetch *fetch)
{
	IndexScanDesc scan =
		ma_index_beginscan(fetch->heap, fetch->key, fetch->snapshot, 1);
	ScanKeyData condition;
	ItemPointer tid;
	int			i = 0;

	ScanKeyInit(&condition, 1, BTGreaterEqualStrategyNumber, F_INT8GE,
				Int64GetDatum(fetch->ids[0]));
	scan->xs_want_itup = true;
	index_rescan(scan, &condition, 1, NULL, 0);
	while ((tid = index_getnext_tid(scan, ForwardScanDirection)) != NULL)
	{
		bool  isnull;
		int64 id = DatumGetInt64(
			index_getattr(scan->xs_itup, 1, scan->xs_itupdesc, &isnull));

		while (i < fetch->n && fetch->ids[i] < id)
			i++;
		if (i == fetch->n)
			break;
		if (fetch->ids[i] == id)
			note_entry(fetch, i, tid);
	}
	index_endscan(scan);
}

/* Orders places by their page. */
static int
compare_places(const void *a, const void *b)
{
	uint64 x = *(const uint64 *) a;
	uint64 y = *(const uint64 *) b;

	return (x > y) - (x < y);
}

/* Counts for each row how many of all are on its page. */
static void
count_together(MaFetch *fetch)
{
	uint64 *places = palloc(fetch->n * sizeof(uint64));
	int		n = 0;

	for (int i = 0; i < fetch->n; i++)
		if (fetch->entries[i] == MA_INDEXED_ONCE)
			places[n++] =
				(uint64) ItemPointerGetBlockNumber(&fetch->tids[i]) << 32 | i;
	qsort(places, n, sizeof(uint64), compare_places);
	for (int start = 0, end; start < n; start = end)
	{
		for (end = start; end < n; end++)
			if (places[end] >> 32 != places[start] >> 32)
				break;
		for (int i = start; i < end; i++)
			fetch->together[(uint32) places[i]] = end - start;
	}
	pfree(places);
}

/* A fetch under the active snapshot, without room for what is found. */
static MaFetch
new_fetch(MaTable *table, const int64 *ids, int n, MaLock lock)
{
	return (MaFetch){.heap = table->heap,
					 .key = ma_table_key(table),
					 .snapshot = GetActiveSnapshot(),
					 .lock = lock,
					 .is_heap = ma_table_is_heap(table),
					 .n = n,
					 .ids = ids,
					 .buffer = InvalidBuffer,
					 .width = ROW_WIDTH};
}

/*
 * Starts to fetch the rows of ids, ascending and distinct, from the table,
 * as the active snapshot sees them.
 */
MaFetch *
ma_fetch_begin(MaTable *table, const int64 *ids, int n, MaLock lock)
{
	MaFetch *fetch = palloc(sizeof(MaFetch));

	for (int i = 1; i < n; i++)
		if (ids[i] <= ids[i - 1])
			elog(ERROR, "contact ids are not in ascending order");
	*fetch = new_fetch(table, ids, n, lock);
	fetch->entries = palloc0(n * sizeof(MaIndexed));
	fetch->tids = palloc(n * sizeof(ItemPointerData));
	fetch->together = palloc(n * sizeof(int));
	if (!IsolationUsesXactSnapshot())
		ma_index_find_all(fetch->heap, fetch->key, ids, n, fetch->entries,
						  fetch->tids);
	else if (n > 1 && ids[n - 1] - ids[0] < (int64) n * DENSE_GAP)
		find_range(fetch);
	else
		find_each(fetch);
	if (lock != MA_LOCK_NONE)
		count_together(fetch);
	return fetch;
}

/* Ends it; slots filled by it stay. */
void
ma_fetch_end(MaFetch *fetch)
{
	if (BufferIsValid(fetch->buffer))
		ReleaseBuffer(fetch->buffer);
	pfree(fetch->together);
	pfree(fetch->tids);
	pfree(fetch->entries);
	pfree(fetch);
}

/* Makes room on the page of row number i for new versions of all its rows. */
static void
make_room(MaFetch *fetch, int i)
{
	Page page = BufferGetPage(fetch->buffer);

	if (PageIsFull(page) ||
		PageGetHeapFreeSpace(page) < fetch->together[i] * fetch->width)
		heap_page_prune_opt(fetch->heap, fetch->buffer);
}

/* Finds the visible version of row number i; false if there is none. */
static bool
find_version(MaFetch *fetch, int i)
{
	ItemPointerData tid = fetch->tids[i];
	BlockNumber		block = ItemPointerGetBlockNumber(&tid);
	bool			found;

	if (!BufferIsValid(fetch->buffer) ||
		BufferGetBlockNumber(fetch->buffer) != block)
	{
		fetch->buffer =
			ReleaseAndReadBuffer(fetch->buffer, fetch->heap, block);
		if (fetch->lock != MA_LOCK_NONE)
			make_room(fetch, i);
	}
	LockBuffer(fetch->buffer, BUFFER_LOCK_SHARE);
	found = heap_hot_search_buffer(&tid, fetch->heap, fetch->buffer,
								   fetch->snapshot, &fetch->tuple, NULL, true);
	LockBuffer(fetch->buffer, BUFFER_LOCK_UNLOCK);
	fetch->tuple.t_self = tid;
	return found;
}

/*
 * Is there a newer version, of this transaction or another, or about to be?
 * Who changes a row has to ask: heap_update() does not expect that the version
 * which a snapshot shows was replaced by a later command of the same
 * transaction, as by a trigger of somebody else's.
 */
static bool
is_replaced(const HeapTupleData *tuple)
{
	uint16 mask = tuple->t_data->t_infomask;

	return (mask & HEAP_XMAX_INVALID) == 0 && !HEAP_XMAX_IS_LOCKED_ONLY(mask);
}

/*
 * Locks the row in the slot and puts its newest version there; false if it
 * is gone, or held by another and not waited for.
 */
static bool
lock_newest(MaFetch *fetch, TupleTableSlot *slot)
{
	bool			strict = IsolationUsesXactSnapshot();
	ItemPointerData tid = slot->tts_tid;
	TM_FailureData	failure;
	TM_Result		result;

	result = table_tuple_lock(
		fetch->heap, &tid, fetch->snapshot, slot, GetCurrentCommandId(true),
		LockTupleNoKeyExclusive,
		fetch->lock == MA_LOCK_SKIP ? LockWaitSkip : LockWaitBlock,
		strict ? 0 : TUPLE_LOCK_FLAG_FIND_LAST_VERSION, &failure);
	if (result == TM_WouldBlock || (result == TM_Deleted && !strict))
		return false;
	if (result == TM_Updated || result == TM_Deleted)
		ereport(
			ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("could not serialize access due to concurrent update")));
	if (result != TM_Ok)
		elog(ERROR, "could not lock contact state: %d", (int) result);
	return true;
}

/* The version that was found, where the slot has room for it. */
static HeapTuple
keep_found(MaFetch *fetch, TupleTableSlot *slot)
{
	HeapTuple tuple = &((BufferHeapTupleTableSlot *) slot)->base.tupdata;

	*tuple = fetch->tuple;
	return tuple;
}

/*
 * Locks the version that was found, if nobody changed it since; it goes into
 * the slot.
 */
static bool
lock_found(MaFetch *fetch, TupleTableSlot *slot)
{
	TM_FailureData failure;
	TM_Result	   result;
	Buffer		   buffer;

	result = heap_lock_tuple(
		fetch->heap, &fetch->tuple, GetCurrentCommandId(true),
		LockTupleNoKeyExclusive, LockWaitSkip, false, &buffer, &failure);
	if (result != TM_Ok)
	{
		ReleaseBuffer(buffer);
		return false;
	}
	ExecStorePinnedBufferHeapTuple(keep_found(fetch, slot), slot, buffer);
	return true;
}

/* Takes what the slot has for what was found; false if it is replaced. */
static bool
take_found(MaFetch *fetch, TupleTableSlot *slot)
{
	if (!fetch->is_heap)
		return false;
	fetch->tuple = *((BufferHeapTupleTableSlot *) slot)->base.tuple;
	return !is_replaced(&fetch->tuple);
}

/* Row number i by the table access method. */
static MaFetched
fetch_slowly(MaFetch *fetch, int i, TupleTableSlot *slot)
{
	IndexScanDesc scan =
		ma_index_beginscan(fetch->heap, fetch->key, fetch->snapshot, 1);
	MaFetched	result = MA_FETCHED;
	ScanKeyData condition;

	ScanKeyInit(&condition, 1, BTEqualStrategyNumber, F_INT8EQ,
				Int64GetDatum(fetch->ids[i]));
	index_rescan(scan, &condition, 1, NULL, 0);
	if (!index_getnext_slot(scan, ForwardScanDirection, slot))
		result = MA_FETCHED_NOTHING;
	else if (fetch->lock == MA_LOCK_TRY ?
				 !take_found(fetch, slot) :
				 fetch->lock != MA_LOCK_NONE && !lock_newest(fetch, slot))
		result = MA_FETCHED_HELD;
	index_endscan(scan);
	return result;
}

/*
 * Fetches the row of id number i into the slot, locked as asked, after those
 * of the ids before it.
 */
MaFetched
ma_fetch_row(MaFetch *fetch, int i, TupleTableSlot *slot)
{
	if (fetch->entries[i] == MA_INDEXED_NOT)
		return MA_FETCHED_NOTHING;
	if (fetch->entries[i] == MA_INDEXED_MANY || !fetch->is_heap)
		return fetch_slowly(fetch, i, slot);
	if (!find_version(fetch, i))
		return MA_FETCHED_NOTHING;
	fetch->width = fetch->tuple.t_len;
	if (fetch->lock == MA_LOCK_TRY && is_replaced(&fetch->tuple))
		return MA_FETCHED_HELD;
	if (fetch->lock == MA_LOCK_NONE || fetch->lock == MA_LOCK_TRY)
		ExecStoreBufferHeapTuple(keep_found(fetch, slot), slot, fetch->buffer);
	else if (!lock_found(fetch, slot))
		return fetch_slowly(fetch, i, slot);
	return MA_FETCHED;
}

/*
 * Locks the row fetched last with MA_LOCK_TRY, if nobody changed it since:
 * nobody is waited for.
 */
bool
ma_fetch_lock(MaFetch *fetch)
{
	TM_FailureData failure;
	TM_Result	   result;
	Buffer		   buffer;

	result = heap_lock_tuple(
		fetch->heap, &fetch->tuple, GetCurrentCommandId(true),
		LockTupleNoKeyExclusive, LockWaitSkip, false, &buffer, &failure);
	ReleaseBuffer(buffer);
	return result == TM_Ok;
}

/*
 * Fetches the row of one id as the active snapshot shows it; with
 * MA_LOCK_WAIT, not MA_LOCK_TRY, it is locked. False, and nothing is locked, if there is none or
 * it was changed since: then it has to be looked for under a newer snapshot.
 */
bool
ma_fetch_one(MaTable *table, int64 id, MaLock lock, TupleTableSlot *slot)
{
	MaFetch			fetch = new_fetch(table, &id, 1, lock);
	ItemPointerData tid;
	int				together = 1;
	bool			found;

	if (!fetch.is_heap ||
		ma_index_find(fetch.heap, fetch.key, id, &tid) != MA_INDEXED_ONCE)
		return false;
	fetch.tids = &tid;
	fetch.together = &together;
	found = find_version(&fetch, 0) && !is_replaced(&fetch.tuple);
	if (found && lock == MA_LOCK_TRY)
		ExecStoreBufferHeapTuple(keep_found(&fetch, slot), slot, fetch.buffer);
	else if (found)
		found = lock_found(&fetch, slot);
	ReleaseBuffer(fetch.buffer);
	return found;
}
