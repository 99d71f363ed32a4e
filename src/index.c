/*
 * index.c
 *	  Look numbers up in a unique index.
 *
 * To begin, position and end a scan costs twice as much as the descent to the
 * one entry that is wanted, and a one-row INSERT into the log needs just one.
 * So the btree is asked without a scan: its own search leads to the leaf, where
 * keys of eight bytes are compared as they are. Only one page is looked at;
 * what may go on behind it is left to a scan. Numbers that follow each other
 * are looked up in the same leaf without another search.
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

/*
 * Are all entries of a number that is not below a leaf's in this leaf? What
 * is equal to its bound may go on in the next one.
 */
static bool
is_within(Page page, int64 number)
{
	BTPageOpaque opaque = (BTPageOpaque) PageGetSpecialPointer(page);

	return P_RIGHTMOST(opaque) || number < number_at(page, P_HIKEY);
}

/* Looks a number up in the leaf to which the search for it has led. */
static MaIndexed
find_in_leaf(Page page, int64 number, ItemPointer tid)
{
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
	return at > end && !is_within(page, number) ? MA_INDEXED_MANY : found;
}

/* Leads to the leaf of a number, and locks it; invalid if there is none. */
static Buffer
leaf_of(Relation heap, Relation index, int64 number)
{
	BTScanInsertData search;
	Buffer			 buffer;

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
	return buffer;
}

/*
 * Looks a number up in an index of its table, whose one column is a bigint
 * that is not null, in ascending order. The caller has locked both. What is
 * found is what a scan would return: the table says who may see it.
 */
MaIndexed
ma_index_find(Relation heap, Relation index, int64 number, ItemPointer tid)
{
	MaIndexed found;

	ma_index_find_all(heap, index, &number, 1, &found, tid);
	return found;
}

/* The same of numbers in ascending order. */
void
ma_index_find_all(Relation heap, Relation index, const int64 *numbers, int n,
				  MaIndexed *found, ItemPointerData *tids)
{
	Buffer leaf = InvalidBuffer;

	for (int i = 0; i < n; i++)
	{
		found[i] = MA_INDEXED_MANY;
		if (index->rd_rel->relam != BTREE_AM_OID)
			continue;
		if (BufferIsValid(leaf) && !is_within(BufferGetPage(leaf), numbers[i]))
		{
			_bt_relbuf(index, leaf);
			leaf = InvalidBuffer;
		}
		if (!BufferIsValid(leaf))
			leaf = leaf_of(heap, index, numbers[i]);
		found[i] = BufferIsValid(leaf) ? find_in_leaf(BufferGetPage(leaf),
													  numbers[i], &tids[i]) :
										 MA_INDEXED_NOT;
	}
	if (BufferIsValid(leaf))
		_bt_relbuf(index, leaf);
}
