/*
 * table.h
 *	  Rows of our own tables through the table access method, without SQL.
 */
#ifndef MA_TABLE_H
#define MA_TABLE_H

#include "access/genam.h"
#include "executor/executor.h"
#include "utils/rel.h"

#include "inval.h"

/* A table of mautomate_internal while it is read and written. */
typedef struct MaTable
{
	MemoryContext	cxt; /* as long as it is open */
	Relation		heap;
	Relation		key; /* the index that finds rows, NULL until opened */
	TupleTableSlot *slot;
	HeapTupleData	formed; /* the next row to write, if not in the slot */
	IndexScanDesc	scan;	/* of that index, NULL until begun */
	EState		   *estate; /* NULL until an index entry is needed */
	ResultRelInfo  *info;
} MaTable;

extern void		ma_table_open(MaTable *table, MaWatch *watch);
extern void		ma_table_open_to_read(MaTable *table, MaWatch *watch);
extern Relation ma_table_key(MaTable *table);
extern void		ma_table_use_index(MaTable *table, MaWatch *watch);
extern void		ma_table_push_snapshot(void);
extern bool		ma_table_is_heap(const MaTable *table);
extern void		ma_table_close(MaTable *table);
extern bool		ma_table_find(MaTable *table, ScanKeyData *keys, int nkeys);
extern bool		ma_table_next(MaTable *table);
extern bool		ma_table_lock(MaTable *table);
extern bool		ma_table_try_lock(MaTable *table);
extern void		ma_table_change(MaTable *table, int *columns, Datum *values,
								bool *nulls, int n);
extern bool		ma_table_update(MaTable *table, ItemPointer tid);
extern bool		ma_table_try_update(MaTable *table, ItemPointer tid);
extern bool		ma_table_delete(MaTable *table, ItemPointer tid);
extern bool		ma_table_try_delete(MaTable *table, ItemPointer tid);
extern void		ma_table_insert(MaTable *table);

#endif /* MA_TABLE_H */
