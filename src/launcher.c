/*
 * launcher.c
 *	  Keeps the workers of the databases in mautomate.databases running.
 *
 * One process per server, when the library is preloaded. It is connected to
 * no database and looks at shared catalogs only, so it is in nobody's way. A
 * worker that has ended is started again, for whatever reason it ended: after
 * a moment, and after a minute if it does not stay. That is how a worker
 * whose database has no extension, or where stop() was called, stays away and
 * still comes back: it looks, once a minute, and leaves (worker.c).
 *
 * The launcher holds on to nothing. When it dies the postmaster starts
 * another; the workers go on, and those the new one starts beside them leave
 * at once, since each place can be taken only once.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/varlena.h"
#include "utils/wait_event.h"

#include "guc.h"
#include "worker.h"
#include "worker_private.h"

/* A worker that has ended comes back after so long, later after more. */
#define DELAY_FIRST (1 * USECS_PER_SEC)
#define DELAY_MOST	(60 * USECS_PER_SEC)

/* Who ran for so long has not failed at once. */
#define STAYED (10 * USECS_PER_SEC)

/* Databases that do not exist are looked for so often. */
#define LOOK_EVERY_MS 10000

/* A place the launcher keeps filled. */
typedef struct Slot
{
	MaWorkerPlace			place;
	bool					wanted; /* in this round */
	BackgroundWorkerHandle *handle; /* NULL: not running */
	TimestampTz				started_at;
	TimestampTz				next_try;
	TimestampTz				delay; /* the last one */
	struct Slot			   *next;
} Slot;

static Slot *slots = NULL;
static bool	 preloaded = false;

static void find_wanted(void);
static void tell_missing(List *missing);
static void want(Oid database, int number);
static void fill(Slot *slot, TimestampTz now);
static void drop_unwanted(void);
static long time_to_sleep(void);

/* Registers the launcher, if this is the postmaster loading its libraries. */
void
ma_worker_init(void)
{
	BackgroundWorker worker = {0};

	if (!process_shared_preload_libraries_in_progress || IsBinaryUpgrade)
		return;
	preloaded = true;
	strlcpy(worker.bgw_name, "mautomate launcher", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "mautomate launcher", BGW_MAXLEN);
	worker.bgw_flags =
		BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = 5;
	strlcpy(worker.bgw_library_name, "mautomate",
			sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "ma_worker_launch",
			sizeof(worker.bgw_function_name));
	RegisterBackgroundWorker(&worker);
}

/* Was the library loaded when the server started? */
bool
ma_worker_is_preloaded(void)
{
	return preloaded;
}

/* Main function of the launcher. */
void
ma_worker_launch(Datum arg)
{
	MemoryContext cxt;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(InvalidOid, InvalidOid, 0);
	cxt = AllocSetContextCreate(TopMemoryContext, "mautomate launcher",
								ALLOCSET_DEFAULT_SIZES);
	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		MemoryContextReset(cxt);
		MemoryContextSwitchTo(cxt);
		find_wanted();
		MemoryContextSwitchTo(cxt);
		drop_unwanted();
		for (Slot *slot = slots; slot != NULL; slot = slot->next)
			fill(slot, GetCurrentTimestamp());
		(void) WaitLatch(MyLatch,
						 WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 time_to_sleep(), PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
}

/* The names in mautomate.databases, whose syntax has been checked. */
static List *
listed_databases(void)
{
	List *names;

	(void) SplitIdentifierString(pstrdup(ma_guc_databases), ',', &names);
	return names;
}

/* Is the database in mautomate.databases? */
bool
ma_worker_is_listed(const char *database)
{
	char	 *copy = pstrdup(ma_guc_databases);
	List	 *names;
	ListCell *cell;
	bool	  listed = false;

	(void) SplitIdentifierString(copy, ',', &names);
	foreach (cell, names)
		listed |= strcmp(lfirst(cell), database) == 0;
	/* asked before each pass, in a context that is never reset */
	list_free(names);
	pfree(copy);
	return listed;
}

/*
 * Marks the slots of all places that are to be filled; makes new ones.
 *
 * Reads pg_database from end to end: in a server just started, a process
 * connected to no database may not be able to open an index.
 */
static void
find_wanted(void)
{
	Relation	  rel;
	TableScanDesc scan;
	HeapTuple	  tuple;
	List		 *missing = listed_databases();

	for (Slot *slot = slots; slot != NULL; slot = slot->next)
		slot->wanted = false;
	if (ma_guc_databases[0] == '\0')
		return;
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 0, NULL);
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database database = (Form_pg_database) GETSTRUCT(tuple);
		ListCell		*cell;

		foreach (cell, missing)
			if (strcmp(lfirst(cell), NameStr(database->datname)) == 0)
				missing = foreach_delete_current(missing, cell);
		if (!database->datallowconn ||
			!ma_worker_is_listed(NameStr(database->datname)))
			continue;
		for (int number = 0; number <= ma_guc_senders; number++)
			want(database->oid, number);
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	tell_missing(missing);
	CommitTransactionCommand();
}

/* Says once which of the databases do not exist: slips of the pen, or later. */
static void
tell_missing(List *missing)
{
	static char	  *told = NULL;
	StringInfoData names;
	ListCell	  *cell;

	initStringInfo(&names);
	foreach (cell, missing)
		appendStringInfo(&names, "%s\"%s\"", names.len > 0 ? ", " : "",
						 (char *) lfirst(cell));
	if (strcmp(names.data, told == NULL ? "" : told) == 0)
		return;
	if (told != NULL)
		pfree(told);
	told = MemoryContextStrdup(TopMemoryContext, names.data);
	if (missing != NIL)
		ereport(LOG, (errmsg("no such database yet in mautomate.databases: %s",
							 names.data),
					  errdetail("Its workers start when it is created.")));
}

/* Marks the slot of one place. */
static void
want(Oid database, int number)
{
	Slot *slot;

	for (slot = slots; slot != NULL; slot = slot->next)
		if (slot->place.database == database && slot->place.number == number)
			break;
	if (slot == NULL)
	{
		slot = MemoryContextAllocZero(TopMemoryContext, sizeof(Slot));
		slot->place.database = database;
		slot->place.number = number;
		slot->place.launched = true;
		slot->next = slots;
		slots = slot;
	}
	slot->wanted = true;
}

/* Starts the worker of a slot if it does not run and it is time. */
static void
fill(Slot *slot, TimestampTz now)
{
	pid_t pid;

	if (slot->handle != NULL)
	{
		if (GetBackgroundWorkerPid(slot->handle, &pid) != BGWH_STOPPED)
			return;
		pfree(slot->handle);
		slot->handle = NULL;
		slot->delay = now - slot->started_at >= STAYED || slot->delay == 0 ?
						  DELAY_FIRST :
						  Min(4 * slot->delay, DELAY_MOST);
		slot->next_try = now + slot->delay;
	}
	if (slot->next_try > now)
		return;
	MemoryContextSwitchTo(TopMemoryContext);
	slot->handle = ma_worker_register(&slot->place);
	slot->started_at = now;
	if (slot->handle == NULL)
	{
		slot->next_try = now + DELAY_MOST;
		ereport(LOG, (errmsg("no room for a worker of mautomate"),
					  errhint("Raise max_worker_processes.")));
	}
}

/*
 * Forgets slots no longer wanted. Their workers see the new settings
 * themselves, and a dropped database has none.
 */
static void
drop_unwanted(void)
{
	Slot **link = &slots;

	while (*link != NULL)
	{
		Slot *slot = *link;

		if (slot->wanted)
		{
			link = &slot->next;
			continue;
		}
		*link = slot->next;
		if (slot->handle != NULL)
			pfree(slot->handle);
		pfree(slot);
	}
}

/* How long until something is to be started, in ms; -1 for ever. */
static long
time_to_sleep(void)
{
	TimestampTz now = GetCurrentTimestamp();
	long		sleep = ma_guc_databases[0] == '\0' ? -1 : LOOK_EVERY_MS;

	for (Slot *slot = slots; slot != NULL; slot = slot->next)
		if (slot->handle == NULL)
			sleep =
				Min(sleep,
					TimestampDifferenceMilliseconds(now, slot->next_try) + 1);
	return sleep;
}

/*
 * Registers the worker of a place; NULL if the server has no room for it.
 * This process is told when it starts and ends.
 */
BackgroundWorkerHandle *
ma_worker_register(const MaWorkerPlace *place)
{
	BackgroundWorker		worker = {0};
	BackgroundWorkerHandle *handle;

	strlcpy(worker.bgw_type,
			place->number == 0 ? "mautomate scheduler" : "mautomate sender",
			BGW_MAXLEN);
	if (place->number == 0)
		strlcpy(worker.bgw_name, worker.bgw_type, BGW_MAXLEN);
	else
		snprintf(worker.bgw_name, BGW_MAXLEN, "%s %d", worker.bgw_type,
				 place->number);
	worker.bgw_flags =
		BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker.bgw_library_name, "mautomate",
			sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "ma_worker_main",
			sizeof(worker.bgw_function_name));
	memcpy(worker.bgw_extra, place, sizeof(*place));
	worker.bgw_notify_pid = MyProcPid;
	return RegisterDynamicBackgroundWorker(&worker, &handle) ? handle : NULL;
}
