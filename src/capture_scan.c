/*
 * capture_scan.c
 *	  Reading what a table holds already: for attaching it, and for a look
 *	  beforehand.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_inherits.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

#include "capture.h"
#include "guard.h"
#include "refresh.h"

static bool scan_one(Relation rel, TupleDesc as, Snapshot snapshot,
					 MaCapture *capture);

/*
 * Captures the rows that are there, of partitions and children too, under the
 * rule of silence, which lasts as long as the subtransaction in here.
 */
void
ma_capture_backfill(Relation rel, MaSource *source)
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	MaCapture	 *capture;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(caller);
	ma_refresh_silence();
	PG_TRY();
	{
		capture = ma_capture_begin(source, 1, RelationGetDescr(rel),
								   MA_CAPTURE_ROWS);
		ma_capture_scan(rel, capture);
		ma_capture_end(capture);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ma_guard_rethrow(caller, owner);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = owner;
}

/* Gives all rows of a relation, its partitions and children to a capture. */
void
ma_capture_scan(Relation rel, MaCapture *capture)
{
	Snapshot  snapshot = RegisterSnapshot(GetLatestSnapshot());
	List	 *family;
	ListCell *lc;
	bool	  more = true;

	family = find_all_inheritors(RelationGetRelid(rel), AccessShareLock, NULL);
	foreach (lc, family)
	{
		Relation part = table_open(lfirst_oid(lc), NoLock);

		if (more && RELKIND_HAS_STORAGE(part->rd_rel->relkind))
			more = scan_one(part, RelationGetDescr(rel), snapshot, capture);
		table_close(part, NoLock);
	}
	UnregisterSnapshot(snapshot);
}

/* Gives the rows of one table to it; false if nobody looks at rows. */
static bool
scan_one(Relation rel, TupleDesc as, Snapshot snapshot, MaCapture *capture)
{
	TupleConversionMap *map =
		convert_tuples_by_name(RelationGetDescr(rel), as);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	TupleTableSlot *out =
		map ? MakeSingleTupleTableSlot(as, &TTSOpsVirtual) : slot;
	TableScanDesc scan = table_beginscan(rel, snapshot, 0, NULL);
	bool		  more = true;

	while (more && table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		MaCaptureRow  row = {0};
		MemoryContext caller;

		CHECK_FOR_INTERRUPTS();
		caller = MemoryContextSwitchTo(ma_capture_context(capture));
		if (map != NULL)
			(void) execute_attr_map_slot(map->attrMap, slot, out);
		row.row = ExecCopySlotMinimalTuple(out);
		MemoryContextSwitchTo(caller);
		more = ma_capture_add(capture, &row);
	}
	table_endscan(scan);
	if (out != slot)
		ExecDropSingleTupleTableSlot(out);
	ExecDropSingleTupleTableSlot(slot);
	return more;
}
