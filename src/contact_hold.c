/*
 * contact_hold.c
 *	  Persons found by name, held until the end of the transaction.
 *
 * There is no foreign key from an event to its contact. Instead, who is about
 * to write events for persons that were found by name takes the lock that a
 * foreign key would take, FOR KEY SHARE on the contact, in the order of ids:
 * nobody can be erased (erase.c) in between. It conflicts with nothing else:
 * neither with other writers, nor with what changes or merges a contact.
 *
 * Rows are locked through the table access method: a lock costs about a
 * microsecond, a statement would cost ten.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/skey.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "contact.h"

#define TRIES 5 /* lookups while others erase and merge */

/* The contact's row while it is looked for and locked. */
typedef struct Holder
{
	Relation		heap;
	Relation		key;
	TupleTableSlot *slot;
	IndexScanDesc	scan;
	ScanKeyData		condition;
	LockTupleMode	mode;
} Holder;

static bool hold_all(MaProfile *persons, int n);
static void open_contacts(Holder *holder, const char *key);
static void close_contacts(Holder *holder);
static bool hold_row(Holder *holder);
static bool hold_one(Holder *holder, int64 contact_id);
static int	compare_contacts(const void *a, const void *b);

/*
 * Finds out who is meant by each external_id, as ma_contact_resolve_all()
 * does, makes contacts of those nobody knows, and holds them all.
 */
void
ma_contact_obtain_held(MaProfile *persons, int n)
{
	if (n != 1 || !ma_contact_hold_named(persons))
		ma_contact_resolve_held(persons, n);
}

/* The same where it is not as simple as ma_contact_hold_named() has it. */
void
ma_contact_resolve_held(MaProfile *persons, int n)
{
	for (int tries = 0; tries < TRIES; tries++)
	{
		ma_contact_resolve_all(persons, n, true);
		if (hold_all(persons, n))
			return;
	}
	/* a snapshot that shows who is gone will show them for ever */
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("could not serialize access due to concurrent update"),
			 errdetail("A contact has been erased meanwhile.")));
}

/*
 * Finds and holds a person by external id, if it is as simple as that: a
 * living contact has it.
 */
bool
ma_contact_hold_named(MaProfile *person)
{
	Holder holder;
	bool   isnull;
	bool   held;

	if (person->external_id == NULL)
		return false;
	open_contacts(&holder, "contact_external_id_key");
	ScanKeyInit(&holder.condition, 1, BTEqualStrategyNumber, F_TEXTEQ,
				CStringGetTextDatum(person->external_id));
	holder.condition.sk_collation = holder.key->rd_indcollation[0];
	held = hold_row(&holder);
	if (held)
	{
		TupleDesc desc = RelationGetDescr(holder.heap);
		Datum id = slot_getattr(holder.slot, SPI_fnumber(desc, "external_id"),
								&isnull);

		/* the version that was locked may be another than was found */
		held = !isnull &&
			   strcmp(TextDatumGetCString(id), person->external_id) == 0;
		(void) slot_getattr(holder.slot, SPI_fnumber(desc, "merged_into"),
							&isnull);
		held = held && isnull;
		if (held)
			person->contact_id =
				DatumGetInt64(slot_getattr(holder.slot, 1, &isnull));
	}
	close_contacts(&holder);
	return held;
}

/*
 * Holds those who are known. Who is gone meanwhile becomes unknown again, and
 * the result is false.
 */
static bool
hold_all(MaProfile *persons, int n)
{
	MaProfile **known = palloc(sizeof(MaProfile *) * n);
	bool	   *gone = palloc0(sizeof(bool) * n);
	Holder		holder;
	int			count = 0;
	bool		all = true;

	for (int i = 0; i < n; i++)
		if (persons[i].contact_id != 0 && !persons[i].created)
			known[count++] = &persons[i];
	if (count == 0)
		return true;
	qsort(known, count, sizeof(MaProfile *), compare_contacts);
	open_contacts(&holder, "contact_pkey");
	for (int i = 0; i < count; i++)
	{
		if (i > 0 && known[i]->contact_id == known[i - 1]->contact_id)
			gone[i] = gone[i - 1];
		else
			gone[i] = !hold_one(&holder, known[i]->contact_id);
		all = all && !gone[i];
	}
	close_contacts(&holder);
	for (int i = 0; i < count; i++)
		if (gone[i])
			known[i]->contact_id = 0;
	pfree(gone);
	pfree(known);
	return all;
}

/*
 * Holds contacts, ids ascending; who is gone is left out. Those whose rows are
 * to be changed are locked for that.
 */
void
ma_contact_hold(const int64 *ids, const bool *change, int n)
{
	Holder holder;

	open_contacts(&holder, "contact_pkey");
	for (int i = 0; i < n; i++)
	{
		holder.mode = change[i] ? LockTupleNoKeyExclusive : LockTupleKeyShare;
		(void) hold_one(&holder, ids[i]);
	}
	close_contacts(&holder);
}

/* Opens mautomate.contact and one of its keys. */
static void
open_contacts(Holder *holder, const char *key)
{
	Oid schema = get_namespace_oid("mautomate", false);
	Oid relid = get_relname_relid("contact", schema);

	holder->heap = table_open(relid, RowShareLock);
	holder->key = index_open(get_relname_relid(key, schema), AccessShareLock);
	holder->slot = table_slot_create(holder->heap, NULL);
	holder->mode = LockTupleKeyShare;
	PushActiveSnapshot(GetLatestSnapshot());
	holder->scan =
		ma_index_beginscan(holder->heap, holder->key, GetActiveSnapshot(), 1);
}

/* Closes them; the locks stay. */
static void
close_contacts(Holder *holder)
{
	index_endscan(holder->scan);
	PopActiveSnapshot();
	ExecDropSingleTupleTableSlot(holder->slot);
	index_close(holder->key, NoLock);
	table_close(holder->heap, NoLock);
}

/* Locks the row of a contact; false if it is gone. */
static bool
hold_one(Holder *holder, int64 contact_id)
{
	ScanKeyInit(&holder->condition, 1, BTEqualStrategyNumber, F_INT8EQ,
				Int64GetDatum(contact_id));
	return hold_row(holder);
}

/* Locks the row that satisfies the condition; false if there is none. */
static bool
hold_row(Holder *holder)
{
	ItemPointerData tid;
	TM_FailureData	failure;
	TM_Result		result;

	index_rescan(holder->scan, &holder->condition, 1, NULL, 0);
	if (!index_getnext_slot(holder->scan, ForwardScanDirection, holder->slot))
		return false;
	tid = holder->slot->tts_tid;
	result = table_tuple_lock(holder->heap, &tid, GetActiveSnapshot(),
							  holder->slot, GetCurrentCommandId(true),
							  holder->mode, LockWaitBlock,
							  TUPLE_LOCK_FLAG_FIND_LAST_VERSION, &failure);
	if (result == TM_Deleted)
		return false;
	if (result != TM_Ok)
		elog(ERROR, "could not lock contact: %d", (int) result);
	return true;
}

/* qsort comparator of pointers to persons, by contact. */
static int
compare_contacts(const void *a, const void *b)
{
	const MaProfile *left = *(MaProfile *const *) a;
	const MaProfile *right = *(MaProfile *const *) b;

	return (left->contact_id > right->contact_id) -
		   (left->contact_id < right->contact_id);
}
