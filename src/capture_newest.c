/*
 * capture_newest.c
 *	  Rows that triggers of the application changed meanwhile.
 *
 * A row trigger of the application may change the row that it fired for once
 * more. That statement ends, and is captured, before the one within which it
 * runs: what comes last then tells what was first. So where a table was
 * captured from within a trigger, the statements around it read their rows
 * anew, by the primary key. That goes over indexes and not through SQL, since
 * whose statement it is may not read the table.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/tupconvert.h"
#include "access/xact.h"
#include "catalog/pg_am_d.h"
#include "catalog/pg_inherits.h"
#include "storage/lmgr.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "capture_private.h"
#include "compat.h"

/* Tables captured from within triggers of one statement; more are all. */
#define NESTED_MAX 16

/* The deepest trigger from within which a table was captured. */
typedef struct Nested
{
	Oid relid;
	int depth;
} Nested;

static Nested	   nested[NESTED_MAX];
static int		   nnested = 0;
static TimestampTz nested_of = 0; /* start of the statement */

/* A table, partition or child in which a row may be. */
typedef struct Place
{
	Relation			heap;
	Relation			index; /* its primary key */
	IndexScanDesc		scan;
	TupleTableSlot	   *slot;
	TupleTableSlot	   *as; /* as the rows looked for; else the same */
	TupleConversionMap *map;
	int					nkeys;
	ScanKeyData			keys[INDEX_MAX_KEYS];
	int					from[INDEX_MAX_KEYS]; /* column of the row, by key */
} Place;

/* Reads rows anew. */
struct MaNewest
{
	int	   nplaces;
	Place *places;
};

static bool open_place(Place *place, Oid relid, TupleDesc desc);
static Oid	primary_key(Relation rel);

/* How many triggers are we in? */
static int
trigger_depth(void)
{
	LOCAL_FCINFO(call, 0);

	InitFunctionCallInfoData(*call, NULL, 0, InvalidOid, NULL, NULL);
	return DatumGetInt32(pg_trigger_depth(call));
}

/*
 * Remembers that a table is captured, if that is within a trigger. Tells
 * whether it was captured from deeper triggers in the same statement of the
 * client.
 */
bool
ma_newest_is_needed(Oid relid)
{
	int	 depth = trigger_depth();
	bool deeper = nnested == NESTED_MAX;
	int	 i;

	if (nested_of != GetCurrentStatementStartTimestamp())
	{
		if (depth <= 1)
			return false;
		nested_of = GetCurrentStatementStartTimestamp();
		nnested = 0;
		deeper = false;
	}
	for (i = 0; i < nnested; i++)
		if (nested[i].relid == relid)
			break;
	if (i < nnested)
		deeper = deeper || nested[i].depth > depth;
	else if (depth > 1 && nnested < NESTED_MAX)
		nested[nnested++] = (Nested){.relid = relid};
	if (i < nnested && nested[i].depth < depth)
		nested[i].depth = depth;
	return deeper;
}

/* Opens a table and all that belongs to it, to read rows of a type. */
MaNewest *
ma_newest_open(Oid relid, TupleDesc desc)
{
	MaNewest *newest = palloc0(sizeof(MaNewest));
	List	 *family;
	ListCell *lc;

	/* the statement may have named, and locked, only a part of it */
	LockRelationOid(relid, AccessShareLock);
	family = find_all_inheritors(relid, AccessShareLock, NULL);
	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
	newest->places = palloc0(sizeof(Place) * list_length(family));
	foreach (lc, family)
		if (open_place(&newest->places[newest->nplaces], lfirst_oid(lc), desc))
			newest->nplaces++;
	return newest;
}

/* Opens one; false if no row can be found in it. */
static bool
open_place(Place *place, Oid relid, TupleDesc desc)
{
	Relation heap = table_open(relid, NoLock);
	Oid key = RELKIND_HAS_STORAGE(heap->rd_rel->relkind) ? primary_key(heap) :
														   InvalidOid;

	if (!OidIsValid(key))
	{
		table_close(heap, NoLock);
		return false;
	}
	place->heap = heap;
	place->index = index_open(key, AccessShareLock);
	place->map = convert_tuples_by_name(RelationGetDescr(heap), desc);
	place->slot = table_slot_create(heap, NULL);
	place->as = place->map == NULL ?
					place->slot :
					MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
	place->nkeys = IndexRelationGetNumberOfKeyAttributes(place->index);
	for (int i = 0; i < place->nkeys; i++)
	{
		Oid type = place->index->rd_opcintype[i];
		Oid operator= get_opfamily_member(place->index->rd_opfamily[i], type,
										  type, BTEqualStrategyNumber);
		int column = place->index->rd_index->indkey.values[i];

		ScanKeyEntryInitialize(
			&place->keys[i], 0, i + 1, BTEqualStrategyNumber, type,
			place->index->rd_indcollation[i], get_opcode(operator), (Datum) 0);
		for (int j = 0; place->map != NULL && j < desc->natts; j++)
			if (place->map->attrMap->attnums[j] == column)
			{
				column = j + 1;
				break;
			}
		place->from[i] = column;
	}
	place->scan = ma_index_beginscan(heap, place->index, GetActiveSnapshot(),
									 place->nkeys);
	return true;
}

/* The index of the primary key; InvalidOid if there is none. */
static Oid
primary_key(Relation rel)
{
	ListCell *lc;
	Oid		  result = InvalidOid;

	foreach (lc, RelationGetIndexList(rel))
	{
		Relation index = index_open(lfirst_oid(lc), AccessShareLock);

		if (index->rd_index->indisprimary && index->rd_index->indisvalid &&
			index->rd_rel->relam == BTREE_AM_OID)
			result = lfirst_oid(lc);
		index_close(index, NoLock);
	}
	return result;
}

/* Looks for a row in one of the tables. */
static bool
find_row(Place *place, TupleTableSlot *row)
{
	for (int i = 0; i < place->nkeys; i++)
	{
		bool isnull;

		place->keys[i].sk_argument =
			slot_getattr(row, place->from[i], &isnull);
		if (isnull)
			return false;
	}
	index_rescan(place->scan, place->keys, place->nkeys, NULL, 0);
	if (!index_getnext_slot(place->scan, ForwardScanDirection, place->slot))
		return false;
	if (place->map != NULL)
		(void) execute_attr_map_slot(place->map->attrMap, place->slot,
									 place->as);
	return true;
}

/* A row as it is now, until the next one is read; itself if it is gone. */
TupleTableSlot *
ma_newest_row(MaNewest *newest, TupleTableSlot *row)
{
	for (int i = 0; i < newest->nplaces; i++)
		if (find_row(&newest->places[i], row))
			return newest->places[i].as;
	return row;
}

/* Closes it. */
void
ma_newest_close(MaNewest *newest)
{
	for (int i = 0; i < newest->nplaces; i++)
	{
		Place *place = &newest->places[i];

		index_endscan(place->scan);
		if (place->as != place->slot)
			ExecDropSingleTupleTableSlot(place->as);
		ExecDropSingleTupleTableSlot(place->slot);
		index_close(place->index, NoLock);
		table_close(place->heap, NoLock);
	}
	PopActiveSnapshot();
}
