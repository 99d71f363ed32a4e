/*
 * event_holder.c
 *	  With whom the events are of rows that name their persons by addresses.
 *
 * No key is a unique one here: rows whose person changed may be events of
 * several. Each INSERT asks, so the index is read without a statement, which
 * would cost five times as much.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/skey.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/namespace.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "event.h"

/* Columns of mautomate_internal.dedupe. */
enum
{
	DEDUPE_CONTACT = 1,
	DEDUPE_KEY,
	DEDUPE_EVENT,
	DEDUPE_ADDRESS
};

/* Looks at the event of a key, and at those that are more by it. */
static void
find_one(IndexScanDesc scan, TupleTableSlot *slot, MaEventHolder *holder,
		 bool any)
{
	ScanKeyData keys[2];
	char	   *end = psprintf("%s\002", holder->dedupe_key);
	bool		exact = false;
	int64		latest = 0;

	ScanKeyInit(&keys[0], 1, BTGreaterEqualStrategyNumber, F_TEXT_GE,
				CStringGetTextDatum(holder->dedupe_key));
	ScanKeyInit(&keys[1], 1, BTLessStrategyNumber, F_TEXT_LT,
				CStringGetTextDatum(end));
	for (int i = 0; i < lengthof(keys); i++)
		keys[i].sk_collation = scan->indexRelation->rd_indcollation[0];
	holder->contact_id = 0;
	index_rescan(scan, keys, lengthof(keys), NULL, 0);
	while (index_getnext_slot(scan, ForwardScanDirection, slot))
	{
		bool  isnull;
		int64 event = DatumGetInt64(slot_getattr(slot, DEDUPE_EVENT, &isnull));
		bool  same = DatumGetInt64(slot_getattr(slot, DEDUPE_ADDRESS,
												&isnull)) == holder->address;

		if ((!same && (exact || !any)) || (same == exact && event < latest))
			continue;
		exact = same;
		latest = event;
		holder->contact_id =
			DatumGetInt64(slot_getattr(slot, DEDUPE_CONTACT, &isnull));
	}
}

/*
 * With whom are these events, or what is more by their keys? By that address,
 * or with any by the latest other one if there is none. Looks with the latest
 * snapshot.
 */
void
ma_event_find_holders(MaEventHolder *holders, int n, bool any)
{
	Oid				schema;
	Relation		heap;
	Relation		index;
	TupleTableSlot *slot;
	IndexScanDesc	scan;

	if (n == 0)
		return;
	schema = get_namespace_oid("mautomate_internal", false);
	heap = table_open(get_relname_relid("dedupe", schema), AccessShareLock);
	index = index_open(get_relname_relid("dedupe_address", schema),
					   AccessShareLock);
	slot = table_slot_create(heap, NULL);
	PushActiveSnapshot(GetLatestSnapshot());
	scan = ma_index_beginscan(heap, index, GetActiveSnapshot(), 2);
	for (int i = 0; i < n; i++)
		find_one(scan, slot, &holders[i], any);
	index_endscan(scan);
	PopActiveSnapshot();
	ExecDropSingleTupleTableSlot(slot);
	index_close(index, NoLock);
	table_close(heap, NoLock);
}
