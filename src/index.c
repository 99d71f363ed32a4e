/*
 * index.c
 *	  Look a number up in a unique index.
 *
 * To begin, position and end a scan costs twice as much as the descent to the
 * one entry that is wanted, and a one-row INSERT into the log needs just one.
 * So the btree is asked without a scan: its own search leads to the leaf, where
 * keys of eight bytes are compared as they are. Only one page is looked at;
 * what may go on behind it is left to a scan.
 */
#include "postgres.h"

#include "access/nbtree.h"
#include "catalog/pg_am_d.h"
#include "pgstat.h"
#include "storage/bufmgr.h"
#include "utils/rel.h"

#include "compat.h"
#include "index.h"

/* The number in an entry of a leaf. */
static int64
number_at(Page page, OffsetNumber at)
{
	IndexTuple entry = (IndexTuple) PageGetItem(page, PageGetItemId(page, at));

	return DatumGetInt64(
		fetch_att((char *) entry + IndexInfoFindDataOffset(entry->t_info),
				  FLOAT8PASSBYVAL, sizeof(int64)));
}

/* The first entry of a leaf that is not below a number. */
static OffsetNumber
first_not_below(Page page, int64 number)
{
	OffsetNumber low =
		P_FIRSTDATAKEY((BTPageOpaque) PageGetSpecialPointer(page));
	OffsetNumber high = PageGetMaxOffsetNumber(page) + 1;

	while (low < high)
	{
		OffsetNumber middle = (low + high) / 2;

		if (number_at(page, middle) < number)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Looks a number up in the leaf to which the search for it has led. */
static MaIndexed
find_in_leaf(Page page, int64 number, ItemPointer tid)
{
	BTPageOpaque opaque = (BTPageOpaque) PageGetSpecialPointer(page);
	OffsetNumber end = PageGetMaxOffsetNumber(page);
	MaIndexed	 found = MA_INDEXED_NOT;
	OffsetNumber at;

	for (at = first_not_below(page, number);
		 at <= end && number_at(page, at) == number; at++)
	{
		ItemId	   item = PageGetItemId(page, at);
		IndexTuple entry = (IndexTuple) PageGetItem(page, item);

		if (ItemIdIsDead(item))
			continue;
		if (found != MA_INDEXED_NOT || BTreeTupleIsPosting(entry))
			return MA_INDEXED_MANY;
		*tid = entry->t_tid;
		found = MA_INDEXED_ONCE;
	}
	return at > end && !P_RIGHTMOST(opaque) ? MA_INDEXED_MANY : found;
}

/*
 * Looks a number up in an index of its table, whose one column is a bigint
 * that is not null, in ascending order. The caller has locked both. What is
 * found is what a scan would return: the table says who may see it.
 */
MaIndexed
ma_index_find(Relation heap, Relation index, int64 number, ItemPointer tid)
{
	BTScanInsertData search;
	Buffer			 buffer;
	MaIndexed		 found;

	if (index->rd_rel->relam != BTREE_AM_OID)
		return MA_INDEXED_MANY;
	_bt_metaversion(index, &search.heapkeyspace, &search.allequalimage);
	search.anynullkeys = search.nextkey = false;
	ma_search_forward(&search);
	search.scantid = NULL;
	search.keysz = 1;
	ScanKeyEntryInitializeWithInfo(
		&search.scankeys[0], 0, 1, InvalidStrategy, InvalidOid, InvalidOid,
		index_getprocinfo(index, 1, BTORDER_PROC), Int64GetDatum(number));
	pgstat_count_index_scan(index);
	_bt_freestack(ma_bt_search(index, heap, &search, &buffer));
	if (!BufferIsValid(buffer))
		return MA_INDEXED_NOT;
	found = find_in_leaf(BufferGetPage(buffer), number, tid);
	_bt_relbuf(index, buffer);
	return found;
}
