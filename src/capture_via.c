/*
 * capture_via.c
 *	  Rows that tell who they are by a foreign key to another row.
 *
 * A source with `via` reads the person from the row of that table that its
 * row points to, and the other way round: when that row comes to be somebody
 * else's, those that point to it are looked at again. Both ways go over
 * indexes and not through SQL, so the role whose statement it is needs no
 * right on the other table; attach_events() asked for SELECT on it.
 *
 * Looked at with the latest snapshot, and without locks, since waiting would
 * be noticed by the application: while one transaction inserts a row that
 * points, and another one changes the person of the row pointed to, the first
 * one sees the person as it was.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_am_d.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_inherits.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "capture_private.h"
#include "compat.h"

/* Rows of the table pointed to, found by rows that point. */
struct MaViaReader
{
	const MaVia	   *via;
	Relation		heap;
	Relation		index;
	IndexScanDesc	scan;
	TupleTableSlot *slot;
	ScanKeyData		keys[INDEX_MAX_KEYS];
	int				from[INDEX_MAX_KEYS]; /* column that points, by key */
};

static ForeignKeyCacheInfo *choose(MaSource *source, Relation rel,
								   TupleDesc then);
static bool					is_chosen(TupleDesc then, ForeignKeyCacheInfo *key,
									  const char *name);
static char *columns_of(TupleDesc desc, const AttrNumber *columns, int n);
static void	 follow_table(MaViaFollow *follow, Oid relid);
static Oid	 index_of_pointers(Relation rel, const int16 *from, int nkeys,
							   int16 *position);
static void	 follow_index(MaViaFollow *follow, Relation rel, Oid index,
						  const int16 *position);
static void	 follow_heap(MaViaFollow *follow, Relation rel, const int16 *from);
static bool	 points(const MaViaFollow *follow, TupleTableSlot *slot,
					const int16 *from);
static void	 take_row(MaViaFollow *follow, TupleTableSlot *slot,
					  TupleConversionMap *map);

/*
 * Finds the foreign key of a source that has `via`, and describes it in the
 * current context; an error if there is none, or several to choose from. The
 * columns had these names when the source was attached.
 */
void
ma_via_resolve(MaSource *source, Relation rel, TupleDesc then)
{
	ForeignKeyCacheInfo *key = choose(source, rel, then);
	MaVia				*via = palloc0(sizeof(MaVia));
	Relation			 to = table_open(key->confrelid, AccessShareLock);
	HeapTuple			 tuple =
		SearchSysCache1(CONSTROID, ObjectIdGetDatum(key->conoid));
	Form_pg_constraint constraint;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for constraint %u", key->conoid);
	constraint = (Form_pg_constraint) GETSTRUCT(tuple);
	via->relid = key->confrelid;
	via->constraint = key->conoid;
	via->desc = CreateTupleDescCopyConstr(RelationGetDescr(to));
	via->index = constraint->conindid;
	via->deferrable = constraint->condeferrable;
	via->nkeys = key->nkeys;
	for (int i = 0; i < key->nkeys; i++)
	{
		via->from[i] = key->conkey[i];
		via->to[i] = key->confkey[i];
		via->operators[i] = key->conpfeqop[i];
	}
	ReleaseSysCache(tuple);
	table_close(to, NoLock);
	source->via = via;
}

/* The columns of the foreign key of a source, as via_key may name them. */
char *
ma_via_columns(const MaSource *source)
{
	return columns_of(source->desc, source->via->from, source->via->nkeys);
}

/* The foreign key to the table, the one that was named if there are several. */
static ForeignKeyCacheInfo *
choose(MaSource *source, Relation rel, TupleDesc then)
{
	const MaSourceText	*text = &source->text;
	ForeignKeyCacheInfo *found = NULL;
	StringInfoData		 names;
	char				*to = get_rel_name(text->via);
	int					 n = 0;
	ListCell			*lc;

	initStringInfo(&names);
	foreach (lc, RelationGetFKeyList(rel))
	{
		ForeignKeyCacheInfo *key = lfirst(lc);

		if (key->confrelid != text->via)
			continue;
		appendStringInfo(
			&names, "%s\"%s\" (%s)", names.len > 0 ? ", " : "",
			get_constraint_name(key->conoid),
			columns_of(RelationGetDescr(rel), key->conkey, key->nkeys));
		if (!is_chosen(then, key, text->via_key) ||
			(found != NULL && found->nkeys == key->nkeys &&
			 memcmp(found->conkey, key->conkey,
					sizeof(AttrNumber) * key->nkeys) == 0))
			continue;
		found = key;
		n++;
	}
	if (n == 1)
		return found;
	if (to == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("the table that \"%s\" points to is gone",
							   RelationGetRelationName(rel))));
	if (names.len == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("table \"%s\" has no foreign key to \"%s\"",
						RelationGetRelationName(rel), to),
				 errhint("ALTER TABLE ... ADD FOREIGN KEY (...) REFERENCES "
						 "... NOT VALID makes one without looking at what is "
						 "there.")));
	ereport(ERROR,
			(errcode(n > 1 ? ERRCODE_AMBIGUOUS_PARAMETER :
							 ERRCODE_UNDEFINED_OBJECT),
			 n > 1 ? errmsg("table \"%s\" has several foreign keys to \"%s\"",
							RelationGetRelationName(rel), to) :
					 errmsg("table \"%s\" has no foreign key \"%s\" to "
							"\"%s\"",
							RelationGetRelationName(rel), text->via_key, to),
			 errdetail("There is %s.", names.data),
			 errhint("Name the constraint or its columns: via_key => "
					 "'...'.")));
	return NULL;
}

/* Is it the key of this name, or with these columns? */
static bool
is_chosen(TupleDesc then, ForeignKeyCacheInfo *key, const char *name)
{
	return name == NULL ||
		   strcmp(name, get_constraint_name(key->conoid)) == 0 ||
		   strcmp(name, columns_of(then, key->conkey, key->nkeys)) == 0;
}

/* The columns that point, as "a, b". */
static char *
columns_of(TupleDesc desc, const AttrNumber *columns, int n)
{
	StringInfoData names;

	initStringInfo(&names);
	for (int i = 0; i < n; i++)
		appendStringInfo(
			&names, "%s%s", i > 0 ? ", " : "",
			NameStr(TupleDescAttr(desc, columns[i] - 1)->attname));
	return names.data;
}

/*
 * Is the table pointed to still what it was? Locks it against changes until
 * the end of the transaction.
 */
bool
ma_via_is_current(const MaVia *via)
{
	Relation to = try_relation_open(via->relid, AccessShareLock);
	bool	 same;

	if (to == NULL)
		return false;
	same =
		equalTupleDescs(via->desc, RelationGetDescr(to)) &&
		SearchSysCacheExists1(CONSTROID, ObjectIdGetDatum(via->constraint)) &&
		SearchSysCacheExists1(RELOID, ObjectIdGetDatum(via->index));
	relation_close(to, NoLock);
	return same;
}

/* Opens the table that rows of a source point to. */
MaViaReader *
ma_via_open(const MaVia *via)
{
	MaViaReader *reader = palloc0(sizeof(MaViaReader));

	CommandCounterIncrement();
	reader->via = via;
	reader->heap = table_open(via->relid, AccessShareLock);
	reader->index = index_open(via->index, AccessShareLock);
	reader->slot = table_slot_create(reader->heap, NULL);
	PushActiveSnapshot(GetLatestSnapshot());
	reader->scan = ma_index_beginscan(reader->heap, reader->index,
									  GetActiveSnapshot(), via->nkeys);
	for (int i = 0; i < via->nkeys; i++)
	{
		int16 column = reader->index->rd_index->indkey.values[i];
		int	  k = 0;
		Oid	  left;
		Oid	  right;

		while (via->to[k] != column)
			k++;
		op_input_types(via->operators[k], &left, &right);
		ScanKeyEntryInitialize(&reader->keys[i], 0, i + 1,
							   BTEqualStrategyNumber, right,
							   reader->index->rd_indcollation[i],
							   get_opcode(via->operators[k]), (Datum) 0);
		reader->from[i] = via->from[k];
	}
	return reader;
}

/* The row that a row points to, in the current context; NULL: to none. */
MinimalTuple
ma_via_fetch(MaViaReader *reader, TupleTableSlot *row)
{
	MinimalTuple result = NULL;

	for (int i = 0; i < reader->via->nkeys; i++)
	{
		bool isnull;

		reader->keys[i].sk_argument =
			slot_getattr(row, reader->from[i], &isnull);
		if (isnull)
			return NULL;
	}
	index_rescan(reader->scan, reader->keys, reader->via->nkeys, NULL, 0);
	if (index_getnext_slot(reader->scan, ForwardScanDirection, reader->slot))
		result = ExecCopySlotMinimalTuple(reader->slot);
	ExecClearTuple(reader->slot);
	return result;
}

/* Does a row point anywhere, that is, is no part of the key null? */
bool
ma_via_points(const MaViaReader *reader, TupleTableSlot *row)
{
	for (int i = 0; i < reader->via->nkeys; i++)
	{
		bool isnull;

		(void) slot_getattr(row, reader->from[i], &isnull);
		if (isnull)
			return false;
	}
	return true;
}

/* Closes it. */
void
ma_via_close(MaViaReader *reader)
{
	index_endscan(reader->scan);
	PopActiveSnapshot();
	ExecDropSingleTupleTableSlot(reader->slot);
	index_close(reader->index, NoLock);
	table_close(reader->heap, NoLock);
}

/* Do two versions of the row pointed to differ where a person is read? */
static bool
differs(const MaSource *source, TupleTableSlot *a, TupleTableSlot *b)
{
	MaExpr *const exprs[] = {source->contact, source->email,
							 source->anonymous};

	for (int e = 0; e < lengthof(exprs); e++)
	{
		MaSlot *slots;
		int		n = exprs[e] == NULL ? 0 : ma_expr_slots(exprs[e], &slots);

		for (int i = 0; i < n; i++)
		{
			int				  column = slots[i].column;
			Form_pg_attribute att;
			bool			  anull;
			bool			  bnull;
			Datum			  x;
			Datum			  y;

			if (slots[i].kind != MA_SLOT_COLUMN)
				continue;
			att = TupleDescAttr(source->via->desc, column);
			x = slot_getattr(a, column + 1, &anull);
			y = slot_getattr(b, column + 1, &bnull);
			if (anull != bnull ||
				(!anull && !datum_image_eq(x, y, att->attbyval, att->attlen)))
				return true;
		}
	}
	return false;
}

/*
 * A row that others point to has changed, or come (old is NULL): where it
 * tells of another person than before, all that point to it are captured
 * anew.
 */
void
ma_via_follow(MaViaFollow *follow, TupleTableSlot *row, TupleTableSlot *old)
{
	const MaVia *via = follow->source->via;
	Relation	 rel;
	ListCell	*lc;

	if (old == NULL ? !via->deferrable : !differs(follow->source, row, old))
		return;
	for (int i = 0; i < via->nkeys; i++)
	{
		bool isnull;

		follow->values[i] = slot_getattr(row, via->to[i], &isnull);
		if (isnull)
			return;
	}
	rel = try_relation_open(follow->source->text.relation, AccessShareLock);
	if (rel == NULL)
		return; /* dropped meanwhile */
	follow->row = row;
	follow->old = old;
	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
	foreach (lc,
			 find_all_inheritors(RelationGetRelid(rel), AccessShareLock, NULL))
		follow_table(follow, lfirst_oid(lc));
	PopActiveSnapshot();
	relation_close(rel, NoLock);
}

/* Captures what points to the row from one table or partition. */
static void
follow_table(MaViaFollow *follow, Oid relid)
{
	const MaVia		   *via = follow->source->via;
	Relation			rel = table_open(relid, NoLock);
	TupleConversionMap *map =
		convert_tuples_by_name(RelationGetDescr(rel), follow->source->desc);
	int16 from[INDEX_MAX_KEYS];
	int16 position[INDEX_MAX_KEYS];
	Oid	  index;

	follow->map = map;
	for (int i = 0; i < via->nkeys; i++)
		from[i] = map ? map->attrMap->attnums[via->from[i] - 1] : via->from[i];
	if (RELKIND_HAS_STORAGE(rel->rd_rel->relkind))
	{
		index = index_of_pointers(rel, from, via->nkeys, position);
		if (OidIsValid(index))
			follow_index(follow, rel, index, position);
		else
			follow_heap(follow, rel, from);
	}
	table_close(rel, NoLock);
}

/*
 * An index whose first columns are those that point, in any order, and where
 * each of them stands in it.
 */
static Oid
index_of_pointers(Relation rel, const int16 *from, int nkeys, int16 *position)
{
	ListCell *lc;

	foreach (lc, RelationGetIndexList(rel))
	{
		Relation index = index_open(lfirst_oid(lc), AccessShareLock);
		bool	 fits = index->rd_rel->relam == BTREE_AM_OID &&
					index->rd_index->indisvalid &&
					index->rd_index->indnkeyatts >= nkeys &&
					RelationGetIndexPredicate(index) == NIL;

		for (int i = 0; fits && i < nkeys; i++)
		{
			int j = 0;

			while (j < nkeys && index->rd_index->indkey.values[j] != from[i])
				j++;
			fits = j < nkeys;
			position[i] = j;
		}
		index_close(index, NoLock);
		if (fits)
			return lfirst_oid(lc);
	}
	return InvalidOid;
}

/* Has a table an index by which ma_via_follow() finds its rows? */
bool
ma_via_has_index(const MaVia *via, Relation rel)
{
	int16 position[INDEX_MAX_KEYS];

	return OidIsValid(index_of_pointers(rel, via->from, via->nkeys, position));
}

/* Finds the rows by an index. */
static void
follow_index(MaViaFollow *follow, Relation rel, Oid indexid,
			 const int16 *position)
{
	const MaVia	   *via = follow->source->via;
	Relation		index = index_open(indexid, AccessShareLock);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	ScanKeyData		keys[INDEX_MAX_KEYS];
	IndexScanDesc	scan;

	for (int i = 0; i < via->nkeys; i++)
	{
		int j = position[i];
		Oid to;
		Oid from;
		Oid operator;

		op_input_types(via->operators[i], &to, &from);
		operator=
			get_opfamily_member(index->rd_opfamily[j], index->rd_opcintype[j],
								to, BTEqualStrategyNumber);
		if (!OidIsValid(operator))
			elog(ERROR, "no operator to look up %u in index %u", to, indexid);
		ScanKeyEntryInitialize(&keys[j], 0, j + 1, BTEqualStrategyNumber, to,
							   index->rd_indcollation[j], get_opcode(operator),
							   follow->values[i]);
	}
	scan = ma_index_beginscan(rel, index, GetActiveSnapshot(), via->nkeys);
	index_rescan(scan, keys, via->nkeys, NULL, 0);
	while (index_getnext_slot(scan, ForwardScanDirection, slot))
		take_row(follow, slot, follow->map);
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	index_close(index, NoLock);
}

/* Finds the rows by looking at all. */
static void
follow_heap(MaViaFollow *follow, Relation rel, const int16 *from)
{
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	TableScanDesc	scan = table_beginscan(rel, GetActiveSnapshot(), 0, NULL);

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		CHECK_FOR_INTERRUPTS();
		if (points(follow, slot, from))
			take_row(follow, slot, follow->map);
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
}

/* Does a row point to the one that changed? */
static bool
points(const MaViaFollow *follow, TupleTableSlot *slot, const int16 *from)
{
	const MaVia *via = follow->source->via;

	for (int i = 0; i < via->nkeys; i++)
	{
		bool  isnull;
		Datum value = slot_getattr(slot, from[i], &isnull);
		Oid collation = TupleDescAttr(via->desc, via->to[i] - 1)->attcollation;

		if (isnull || !DatumGetBool(OidFunctionCall2Coll(
						  get_opcode(via->operators[i]), collation,
						  follow->values[i], value)))
			return false;
	}
	return true;
}

/* Captures a row that points to the one that changed. */
static void
take_row(MaViaFollow *follow, TupleTableSlot *slot, TupleConversionMap *map)
{
	MemoryContext caller =
		MemoryContextSwitchTo(ma_capture_context(follow->capture));
	MaCaptureRow row = {0};

	if (map == NULL)
		row.row = ExecCopySlotMinimalTuple(slot);
	else
	{
		TupleTableSlot *out =
			MakeSingleTupleTableSlot(map->outdesc, &TTSOpsVirtual);

		(void) execute_attr_map_slot(map->attrMap, slot, out);
		row.row = ExecCopySlotMinimalTuple(out);
		ExecDropSingleTupleTableSlot(out);
	}
	row.old = row.row;
	row.pointed = ExecCopySlotMinimalTuple(follow->row);
	row.old_pointed =
		follow->old ? ExecCopySlotMinimalTuple(follow->old) : NULL;
	MemoryContextSwitchTo(caller);
	(void) ma_capture_add(follow->capture, &row);
}
