/*
 * compat.h
 *	  What differs between PostgreSQL 15 and 18, and nothing else.
 *
 * Included after postgres.h by the files that need it.
 */
#ifndef MA_COMPAT_H
#define MA_COMPAT_H

/* varatt.h was split from postgres.h in 16 */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* stands before the declaration since 18 */
#if PG_VERSION_NUM < 180000
#define pg_noreturn pg_attribute_noreturn()
#endif

/* a wait event set belongs to a resource owner since 17; ours to none */
#if PG_VERSION_NUM >= 170000
#define ma_wait_event_set(n) CreateWaitEventSet(NULL, (n))
#else
#define ma_wait_event_set(n) CreateWaitEventSet(CurrentMemoryContext, (n))
#endif

/* DecodeDateTime() got a last argument in 16 */
#if PG_VERSION_NUM >= 160000
#define ma_decode_datetime(field, ftype, nf, dtype, tm, fsec, tz) \
	DecodeDateTime(field, ftype, nf, dtype, tm, fsec, tz,         \
				   &(DateTimeErrorExtra){0})
#else
#define ma_decode_datetime(field, ftype, nf, dtype, tm, fsec, tz) \
	DecodeDateTime(field, ftype, nf, dtype, tm, fsec, tz)
#endif

/* index_beginscan() takes instrumentation since 18 */
#if PG_VERSION_NUM >= 180000
#define ma_index_beginscan(heap, index, snapshot, nkeys) \
	index_beginscan(heap, index, snapshot, NULL, nkeys, 0)
#else
#define ma_index_beginscan(heap, index, snapshot, nkeys) \
	index_beginscan(heap, index, snapshot, nkeys, 0)
#endif

/*
 * The search of a btree takes the table since 16, and no snapshot since 17,
 * when the search key lost the mark of a search for a pivot and got that of
 * a search backwards.
 */
#if PG_VERSION_NUM >= 170000
#define ma_bt_search(index, heap, search, buffer) \
	_bt_search(index, heap, search, buffer, BT_READ)
#define ma_search_forward(search) ((search)->backward = false)
#elif PG_VERSION_NUM >= 160000
#define ma_bt_search(index, heap, search, buffer) \
	_bt_search(index, heap, search, buffer, BT_READ, NULL)
#define ma_search_forward(search) ((search)->pivotsearch = false)
#else
#define ma_bt_search(index, heap, search, buffer) \
	_bt_search(index, search, buffer, BT_READ, NULL)
#define ma_search_forward(search) ((search)->pivotsearch = false)
#endif

/* what an update tells about indexes is more than a boolean since 16 */
#if PG_VERSION_NUM >= 160000
#define MaUpdateIndexes					TU_UpdateIndexes
#define ma_needs_index_entries(indexes) ((indexes) != TU_None)
#define ma_heap_update(heap, tid, row, failure, mode, indexes)              \
	heap_update(heap, tid, row, GetCurrentCommandId(true), InvalidSnapshot, \
				true, failure, mode, indexes)
#define ma_heap_needs_index_entries(row, indexes) \
	ma_needs_index_entries(indexes)
#define ma_insert_index_tuples(info, slot, estate, update) \
	ExecInsertIndexTuples(info, slot, estate, update, false, NULL, NIL, false)
#else
#define MaUpdateIndexes					bool
#define ma_needs_index_entries(indexes) (indexes)
#define ma_heap_update(heap, tid, row, failure, mode, indexes)                \
	((void) (indexes), heap_update(heap, tid, row, GetCurrentCommandId(true), \
								   InvalidSnapshot, true, failure, mode))
#define ma_heap_needs_index_entries(row, indexes) \
	((void) (indexes), !HeapTupleIsHeapOnly(row))
#define ma_insert_index_tuples(info, slot, estate, update) \
	ExecInsertIndexTuples(info, slot, estate, update, false, NULL, NIL)
#endif

/*
 * A range table comes with permissions since 16, and an entry without them
 * cannot be updated; with unpruned ids since 18.
 */
#if PG_VERSION_NUM >= 180000
#define ma_start_range_table(estate, rte, permissions)       \
	ExecInitRangeTable(estate, list_make1(rte), permissions, \
					   bms_make_singleton(1))
#elif PG_VERSION_NUM >= 160000
#define ma_start_range_table(estate, rte, permissions) \
	ExecInitRangeTable(estate, list_make1(rte), permissions)
#endif
#if PG_VERSION_NUM >= 160000
#include "parser/parse_relation.h"
#define ma_init_range_table(estate, rte)                 \
	do                                                   \
	{                                                    \
		List *permissions_ = NIL;                        \
                                                         \
		addRTEPermissionInfo(&permissions_, rte);        \
		ma_start_range_table(estate, rte, permissions_); \
	} while (0)
#else
#define ma_init_range_table(estate, rte) \
	ExecInitRangeTable(estate, list_make1(rte))
#endif

/* files of relations are called locators since 16 */
#if PG_VERSION_NUM >= 160000
#define MaFileLocator	RelFileLocator
#define ma_set_new_file relation_set_new_filelocator
#define ma_read_recent_buffer(rel, block, buffer) \
	ReadRecentBuffer((rel)->rd_locator, MAIN_FORKNUM, block, buffer)
#else
#define MaFileLocator	RelFileNode
#define ma_set_new_file relation_set_new_filenode
#define ma_read_recent_buffer(rel, block, buffer) \
	ReadRecentBuffer((rel)->rd_node, MAIN_FORKNUM, block, buffer)
#endif

/* who has old snapshots may have read what was vacuumed, until 17 */
#if PG_VERSION_NUM >= 170000
#define ma_old_snapshots_expire() false
#else
#define ma_old_snapshots_expire() (old_snapshot_threshold >= 0)
#endif

/* who inserts in bulk extends tables by several pages since 16 */
#if PG_VERSION_NUM >= 160000
#define MA_NO_BULK_INSERT                                                \
	{                                                                    \
		.next_free = InvalidBlockNumber, .last_free = InvalidBlockNumber \
	}
#else
#define MA_NO_BULK_INSERT \
	{                     \
		0                 \
	}
#endif

/* RelationGetPrimaryKeyIndex() asks since 18 whether it may be deferrable */
#if PG_VERSION_NUM >= 180000
#define ma_primary_key_index(rel) RelationGetPrimaryKeyIndex(rel, false)
#else
#define ma_primary_key_index(rel) RelationGetPrimaryKeyIndex(rel)
#endif

/* one function asks for the rights on any object since 16 */
#if PG_VERSION_NUM >= 160000
#define ma_function_aclcheck(oid, role) \
	object_aclcheck(ProcedureRelationId, oid, role, ACL_EXECUTE)
#else
#define ma_function_aclcheck(oid, role) \
	pg_proc_aclcheck(oid, role, ACL_EXECUTE)
#endif

/* the number of the transaction in this backend moved in 17 */
#if PG_VERSION_NUM >= 170000
#define ma_local_transaction() (MyProc->vxid.lxid)
#else
#define ma_local_transaction() (MyProc->lxid)
#endif

#endif /* MA_COMPAT_H */
