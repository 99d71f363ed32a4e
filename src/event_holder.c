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

#define TRIES 5 /* looks while others merge */

/* The table while it is looked at. */
typedef struct Keys
{
	Relation		heap;
	Relation		index;
	TupleTableSlot *slot;
	IndexScanDesc	scan;
} Keys;

/* Opens it for a look with the latest snapshot. */
static void
open_keys(Keys *keys)
{
	Oid schema = get_namespace_oid("mautomate_internal", false);

	keys->heap = table_open(get_relname_relid("dedupe", schema), RowShareLock);
	keys->index = index_open(get_relname_relid("dedupe_address", schema),
							 AccessShareLock);
	keys->slot = table_slot_create(keys->heap, NULL);
	PushActiveSnapshot(GetLatestSnapshot());
	keys->scan =
		ma_index_beginscan(keys->heap, keys->index, GetActiveSnapshot(), 2);
}

/* Closes it; locks of rows stay. */
static void
close_keys(Keys *keys)
{
	index_endscan(keys->scan);
	PopActiveSnapshot();
	ExecDropSingleTupleTableSlot(keys->slot);
	index_close(keys->index, NoLock);
	table_close(keys->heap, NoLock);
}

/* Looks at the event of a key, and at those that are more by it. */
static void
look(Keys *keys, MaEventHolder *holder, bool any, ItemPointer tid)
{
	ScanKeyData conditions[2];
	char	   *end = psprintf("%s\002", holder->dedupe_key);
	bool		exact = false;
	int64		latest = 0;

	ScanKeyInit(&conditions[0], 1, BTGreaterEqualStrategyNumber, F_TEXT_GE,
				CStringGetTextDatum(holder->dedupe_key));
	ScanKeyInit(&conditions[1], 1, BTLessStrategyNumber, F_TEXT_LT,
				CStringGetTextDatum(end));
	for (int i = 0; i < lengthof(conditions); i++)
		conditions[i].sk_collation = keys->index->rd_indcollation[0];
	holder->contact_id = 0;
	index_rescan(keys->scan, conditions, lengthof(conditions), NULL, 0);
	while (index_getnext_slot(keys->scan, ForwardScanDirection, keys->slot))
	{
		TupleTableSlot *slot = keys->slot;
		bool			isnull;
		int64 event = DatumGetInt64(slot_getattr(slot, DEDUPE_EVENT, &isnull));
		bool  same = DatumGetInt64(slot_getattr(slot, DEDUPE_ADDRESS,
												&isnull)) == holder->address;

		if ((!same && (exact || !any)) || (same == exact && event < latest))
			continue;
		exact = same;
		latest = event;
		*tid = slot->tts_tid;
		holder->contact_id =
			DatumGetInt64(slot_getattr(slot, DEDUPE_CONTACT, &isnull));
	}
}

/* Locks what has been found; false if it is gone, or has become another. */
static bool
lock(Keys *keys, ItemPointer tid)
{
	ItemPointerData before = *tid;
	TM_FailureData	failure;
	TM_Result		result = table_tuple_lock(
			  keys->heap, tid, GetActiveSnapshot(), keys->slot,
			  GetCurrentCommandId(true), LockTupleExclusive, LockWaitBlock,
			  TUPLE_LOCK_FLAG_FIND_LAST_VERSION, &failure);

	return result == TM_Ok && ItemPointerEquals(tid, &before);
}

/* qsort comparator of pointers to holders, by key. */
static int
compare_keys(const void *a, const void *b)
{
	return strcmp((*(MaEventHolder *const *) a)->dedupe_key,
				  (*(MaEventHolder *const *) b)->dedupe_key);
}

/*
 * With whom are these events, or what is more by their keys? By that address,
 * or with any by the latest other one if there is none. To be locked are they
 * if they are to stay there: who is just being merged gives his away.
 */
void
ma_event_find_holders(MaEventHolder *holders, int n, bool any, bool locked)
{
	MaEventHolder **ordered = palloc(sizeof(MaEventHolder *) * (n + 1));
	bool			again = n > 0;

	for (int i = 0; i < n; i++)
		ordered[i] = &holders[i];
	qsort(ordered, n, sizeof(MaEventHolder *), compare_keys);
	for (int tries = 0; again && tries < TRIES; tries++)
	{
		Keys keys;

		again = false;
		open_keys(&keys);
		for (int i = 0; i < n; i++)
		{
			ItemPointerData tid;

			look(&keys, ordered[i], any, &tid);
			if (locked && ordered[i]->contact_id != 0 && !lock(&keys, &tid))
				again = true;
		}
		close_keys(&keys);
	}
	pfree(ordered);
}
