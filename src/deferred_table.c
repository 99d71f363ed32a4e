/*
 * deferred_table.c
 *	  The storage of notes: a heap, behind a table access method of its own.
 *
 * Each statement on events that only notes them holds a lock on
 * mautomate.event. To lock the table of notes too would cost it as much as to
 * append the note. So it does not, and whoever gives that table another file
 * (VACUUM FULL, TRUNCATE, ALTER TABLE) or makes its file shorter (VACUUM) has
 * to keep writers off mautomate.event meanwhile. All of them come by the access
 * method: it is a heap in all else. Others, who lock the table itself, are
 * safe as ever.
 *
 * Whoever waits for the log holds the table already, which a writer may want
 * next. He gives up before PostgreSQL looks for a deadlock, so that it is
 * never the writer who fails.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/tableam.h"
#include "catalog/namespace.h"
#include "catalog/pg_am_d.h"
#include "catalog/storage.h"
#include "commands/vacuum.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "compat.h"

PG_FUNCTION_INFO_V1(mautomate_deferred_handler);

/* So many blocks are cut off while writers wait. */
#define CUT_MAX 1024

/* A heap's own. */
static const TableAmRoutine *heap;

/* The log; InvalidOid while the extension is being created. */
static Oid
find_log(void)
{
	Oid schema = get_namespace_oid("mautomate", true);

	return OidIsValid(schema) ? get_relname_relid("event", schema) :
								InvalidOid;
}

static void
tell_what_for(void *arg)
{
	errcontext("waiting until nobody writes mautomate.event");
}

/* Waits until nobody writes the log, and keeps it so until the commit. */
static void
lock_log(void)
{
	Oid					 log = find_log();
	ErrorContextCallback context = {.previous = error_context_stack,
									.callback = tell_what_for};
	int					 most = Max(DeadlockTimeout / 2, 1);
	char				 ms[16];
	int					 level;

	if (!OidIsValid(log))
		return;
	error_context_stack = &context;
	level = NewGUCNestLevel();
	if (LockTimeout > 0)
		most = Min(most, LockTimeout);
	snprintf(ms, sizeof(ms), "%d", most);
	(void) set_config_option("lock_timeout", ms, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	LockRelationOid(log, ShareLock);
	AtEOXact_GUC(true, level);
	error_context_stack = context.previous;
}

/* A new file, for notes only. */
static void
set_new_file(Relation rel, const MaFileLocator *file, char persistence,
			 TransactionId *freeze, MultiXactId *minmulti)
{
	if (RelationGetNamespace(rel) !=
		get_namespace_oid("mautomate_internal", true))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("access method \"mautomate_deferred\" is for the notes"
						" of mautomate only")));
	lock_log();
	heap->ma_set_new_file(rel, file, persistence, freeze, minmulti);
}

/* A file in another tablespace. */
static void
copy_data(Relation rel, const MaFileLocator *file)
{
	lock_log();
	heap->relation_copy_data(rel, file);
}

/* What is too long for a row is in an ordinary table. */
static Oid
toast_method(Relation rel)
{
	return HEAP_TABLE_AM_OID;
}

/* Is there nothing in a block? */
static bool
is_empty(Relation rel, BlockNumber block)
{
	Buffer buffer = ReadBuffer(rel, block);
	Page   page = BufferGetPage(buffer);
	bool   empty = true;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	if (!PageIsNew(page))
		for (OffsetNumber i = FirstOffsetNumber;
			 empty && i <= PageGetMaxOffsetNumber(page); i++)
			empty = !ItemIdIsUsed(PageGetItemId(page, i));
	UnlockReleaseBuffer(buffer);
	return empty;
}

/* Gives back some empty blocks at the end; are there more? */
static bool
cut_off(Relation rel)
{
	BlockNumber blocks = RelationGetNumberOfBlocks(rel);
	BlockNumber keep = blocks;

	while (keep > 0 && blocks - keep < CUT_MAX && is_empty(rel, keep - 1))
		keep--;
	if (keep < blocks)
		RelationTruncate(rel, keep);
	return blocks - keep == CUT_MAX;
}

/* The same, if nobody writes the log just now, or uses the table. */
static bool
try_to_cut_off(Relation rel, Oid log)
{
	bool more = false;

	if (!ConditionalLockRelationOid(log, ShareLock))
		return false;
	if (ConditionalLockRelation(rel, AccessExclusiveLock))
	{
		more = cut_off(rel);
		UnlockRelation(rel, AccessExclusiveLock);
	}
	UnlockRelationOid(log, ShareLock);
	return more;
}

/*
 * VACUUM, which cuts off the end only where nobody writes the log just now,
 * and not, as for other tables, where nobody has locked the table.
 */
static void
vacuum_notes(Relation rel, VacuumParams *params, BufferAccessStrategy strategy)
{
	VacOptValue truncate = params->truncate;
	Oid			log = find_log();

	params->truncate = VACOPTVALUE_DISABLED;
	heap->relation_vacuum(rel, params, strategy);
	params->truncate = truncate;
	if (truncate == VACOPTVALUE_DISABLED || !OidIsValid(log) ||
		ma_old_snapshots_expire())
		return;
	while (try_to_cut_off(rel, log))
		CHECK_FOR_INTERRUPTS();
}

/* deferred_handler(internal) returns table_am_handler */
Datum
mautomate_deferred_handler(PG_FUNCTION_ARGS)
{
	static TableAmRoutine routine;

	heap = GetHeapamTableAmRoutine();
	routine = *heap;
	routine.ma_set_new_file = set_new_file;
	routine.relation_copy_data = copy_data;
	routine.relation_toast_am = toast_method;
	routine.relation_vacuum = vacuum_notes;
	PG_RETURN_POINTER(&routine);
}
