/*
 * worker.c
 *	  Background workers of a database: one scheduler, some senders.
 *
 * A worker takes its place (lease.h), so that there is never a second one of
 * it, writes its pid where commits find it (wake.c), and then works in passes
 * until it is no longer wanted: when stop() says so, the extension is
 * dropped, settings change, or at SIGTERM. It leaves quietly then; who starts
 * it again, if anybody, is the launcher's business (launcher.c). Workers do
 * not run on a standby, and a server in binary upgrade registers none.
 *
 * Between passes no transaction is open and no lock held but the place's. A
 * worker is a session of its database all the same: DROP DATABASE and CREATE
 * DATABASE ... TEMPLATE of that one are refused until stop(); of others they
 * go on, since a waiting worker answers the barrier.
 *
 * No worker acts as a superuser: it connects as one (before 17 nobody can
 * connect as a role that may not log in), and becomes mautomate_owner before
 * it does anything else.
 *
 * An error ends a pass, not the worker: it is logged, and the next pass comes
 * after a while, longer each time.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/twophase.h"
#include "access/xact.h"
#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "argument.h"
#include "clock.h"
#include "delivery.h"
#include "erase.h"
#include "guc.h"
#include "inval.h"
#include "journey.h"
#include "lease.h"
#include "list.h"
#include "refresh.h"
#include "sql.h"
#include "wake.h"
#include "worker.h"
#include "worker_private.h"

PG_FUNCTION_INFO_V1(mautomate_start);
PG_FUNCTION_INFO_V1(mautomate_stop);
PG_FUNCTION_INFO_V1(mautomate_worker_pid);
PG_FUNCTION_INFO_V1(mautomate_run_pass);

/* A pass does about so much before others get their turn. */
#define PASS_SIZE 1000

/* Nobody sleeps longer, whatever he waits for. */
#define SLEEP_MOST 60000

/* So long, in ms, while somebody may not know us yet. */
#define SLEEP_UNKNOWN 1000

/* After an error a worker rests so long, in ms, later for longer. */
#define PENALTY_FIRST 1000

/* start() waits so long for its workers to take their places. */
#define START_TRIES 500
#define START_MS	10

/* What start() and stop() said last. */
typedef enum Switch
{
	SWITCH_UNSAID,
	SWITCH_STARTED,
	SWITCH_STOPPED
} Switch;

/* What the scheduler and run() do. */
typedef struct Pass
{
	const char *name;
	int (*run)(int max);
} Pass;

static int sweep(int max);

static const Pass passes[] = {{"deferred", ma_refresh_deferred},
							  {"timers", ma_refresh_timers},
							  {"enrollments", ma_journey_pass},
							  {"sweep", sweep},
							  {"journeys", ma_journey_pass}};

static Switch read_switch(bool wait);
static void	  set_switch(bool started);
static void	  start_missing(void);
static void	  await_place(BackgroundWorkerHandle *handle, int number);
static bool	  settle(void);
static void	  become_owner(void);
static void	  write_pid(void);
static bool	  is_over(void);
static void	  look_at_switch(void);
static void	  begin(void);
static void	  end(void);
static void	  serve(void);
static void	  snooze(long ms);
static void	  rest(long ms);
static bool	  sender_pass(MaSender **sender, long *sleep);
static bool	  scheduler_pass(long *sleep);
static int	  run_pass(const Pass *pass);
static bool	  find_sleep(long *sleep);
static void	  report_error(void);
static long	  limit_sleep(long sleep);

static MaWatch		 watch = {"worker_switch"};
static MaWorkerPlace place;			   /* this worker's */
static char			*database_name;	   /* where it is */
static bool			 over = false;	   /* is it time to leave? */
static bool			 installed = true; /* is the extension there? */
static TransactionId known_from;	   /* younger transactions know our pid */

/* start() */
Datum
mautomate_start(PG_FUNCTION_ARGS)
{
	char *database = get_database_name(MyDatabaseId);
	bool  missing = false;

	ma_sql_require_primary("start");
	for (int number = 0; number <= ma_guc_senders; number++)
		missing |= ma_lease_holder(MA_LEASE_WORKER, number) == 0;
	if (!missing && read_switch(false) != SWITCH_STOPPED)
	{
		ereport(NOTICE, (errmsg("the workers of database \"%s\" run already",
								database)));
		PG_RETURN_VOID();
	}
	set_switch(true);
	start_missing();
	if (!ma_worker_is_preloaded() || !ma_worker_is_listed(database))
		ereport(NOTICE, (errmsg("a restart of the server ends the workers of "
								"database \"%s\"",
								database),
						 errhint("To have them always, put mautomate into "
								 "shared_preload_libraries and \"%s\" into "
								 "mautomate.databases.",
								 database)));
	PG_RETURN_VOID();
}

/* stop() */
Datum
mautomate_stop(PG_FUNCTION_ARGS)
{
	bool any = false;

	ma_sql_require_primary("stop");
	for (int number = 0; number <= ma_guc_senders; number++)
		any |= ma_lease_holder(MA_LEASE_WORKER, number) != 0;
	if (!any)
		ereport(NOTICE, (errmsg("no workers run in database \"%s\"",
								get_database_name(MyDatabaseId))));
	set_switch(false);
	ma_wake_all_at_commit();
	PG_RETURN_VOID();
}

/* worker_pid(kind, number) -> int */
Datum
mautomate_worker_pid(PG_FUNCTION_ARGS)
{
	int pid = ma_lease_holder(MA_LEASE_WORKER, PG_GETARG_INT32(1));

	if (pid == 0)
		PG_RETURN_NULL();
	PG_RETURN_INT32(pid);
}

/* run_pass(pass, max_items) -> bigint */
Datum
mautomate_run_pass(PG_FUNCTION_ARGS)
{
	char *name = ma_argument_text(fcinfo, 0, "pass");

	ma_sql_require_primary("run");
	ma_argument_not_null(fcinfo, 1, "max_items");
	if (PG_GETARG_INT32(1) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" must not be negative", "max_items")));
	for (int i = 0; i < lengthof(passes); i++)
		if (strcmp(passes[i].name, name) == 0)
			PG_RETURN_INT64(passes[i].run(PG_GETARG_INT32(1)));
	elog(ERROR, "unknown pass \"%s\"", name);
}

/* What is marked, and what is left of contacts and lists that are gone. */
static int
sweep(int max)
{
	int done = ma_refresh_sweep(max);

	ma_list_forget(max);
	return done + ma_contact_erase_late(Max(max - done, 0));
}

/*
 * What start() and stop() said last. wait: waits for a start() whose
 * transaction still runs, for it is the one that wants us.
 */
static Switch
read_switch(bool wait)
{
	static MaStatement stmt = {
		"select started from mautomate_internal.worker_switch", 0};
	static MaStatement waiting = {
		"select started from mautomate_internal.worker_switch for share", 0};
	MaSqlScope scope;
	bool	   isnull = true;
	bool	   started = false;

	ma_sql_begin(&scope);
	if (ma_sql_exec(wait ? &waiting : &stmt, NULL, NULL, 0) > 0)
		started = DatumGetBool(ma_sql_datum(0, 1, &isnull));
	ma_sql_end(&scope);
	return isnull ? SWITCH_UNSAID : started ? SWITCH_STARTED : SWITCH_STOPPED;
}

/* Says it. */
static void
set_switch(bool started)
{
	static MaStatement stmt = {
		"update mautomate_internal.worker_switch set started = $1",
		1,
		{BOOLOID}};
	Datum	   values[1] = {BoolGetDatum(started)};
	MaSqlScope scope;

	ma_sql_begin(&scope);
	ma_sql_exec(&stmt, values, NULL, 0);
	ma_sql_end(&scope);
}

/* Registers the workers whose places are free, and waits for them. */
static void
start_missing(void)
{
	MaWorkerPlace			 wanted = {MyDatabaseId, 0, false};
	BackgroundWorkerHandle **handles =
		palloc0((ma_guc_senders + 1) * sizeof(*handles));

	for (int number = 0; number <= ma_guc_senders; number++)
	{
		wanted.number = number;
		if (ma_lease_holder(MA_LEASE_WORKER, number) != 0)
			continue;
		handles[number] = ma_worker_register(&wanted);
		if (handles[number] == NULL)
			ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_RESOURCES),
							errmsg("the server has no room for the workers of "
								   "mautomate"),
							errhint("Raise max_worker_processes.")));
	}
	for (int number = 0; number <= ma_guc_senders; number++)
		if (handles[number] != NULL)
			await_place(handles[number], number);
}

/* Waits until a worker has taken its place, so that a second start() sees it. */
static void
await_place(BackgroundWorkerHandle *handle, int number)
{
	pid_t pid;

	if (WaitForBackgroundWorkerStartup(handle, &pid) != BGWH_STARTED)
		return;
	for (int i = 0; i < START_TRIES; i++)
	{
		if (ma_lease_holder(MA_LEASE_WORKER, number) != 0 ||
			GetBackgroundWorkerPid(handle, &pid) != BGWH_STARTED)
			return;
		(void) WaitLatch(MyLatch,
						 WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 START_MS, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

/* Main function of a scheduler or a sender. */
void
ma_worker_main(Datum arg)
{
	char name[NAMEDATALEN];

	memcpy(&place, MyBgworkerEntry->bgw_extra, sizeof(place));
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	/* a sender records what comes back from the servers before it goes */
	pqsignal(SIGTERM,
			 place.number == 0 ? die : SignalHandlerForShutdownRequest);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(place.database, InvalidOid, 0);
	strlcpy(name, MyBgworkerEntry->bgw_name, sizeof(name));
	pgstat_report_appname(name);
	if (settle())
		serve();
	proc_exit(0);
}

/* Takes the place and makes the worker known; false: it is not wanted. */
static bool
settle(void)
{
	Switch said;
	bool   wanted;

	begin();
	if (!ma_inval_watch(&watch) || RecoveryInProgress())
	{
		end();
		return false;
	}
	database_name =
		MemoryContextStrdup(TopMemoryContext, get_database_name(MyDatabaseId));
	become_owner();
	end();
	if (!ma_lease_take(MA_LEASE_WORKER, place.number))
		return false;
	begin();
	watch.stale = false;
	said = read_switch(true);
	wanted = place.launched ? said != SWITCH_STOPPED : said == SWITCH_STARTED;
	if (wanted)
		write_pid();
	end();
	known_from = ReadNextTransactionId();
	return wanted;
}

/*
 * From here on this session is one of our owner, and nothing set for
 * the sessions of the database keeps its transactions from their work.
 */
static void
become_owner(void)
{
	SetConfigOption("session_authorization",
					GetUserNameFromId(ma_owner(), false), PGC_SUSET,
					PGC_S_OVERRIDE);
	SetConfigOption("default_transaction_isolation", "read committed",
					PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("default_transaction_read_only", "off", PGC_SUSET,
					PGC_S_OVERRIDE);
	SetConfigOption("mautomate.refresh", "immediate", PGC_SUSET,
					PGC_S_OVERRIDE);
}

/* Writes the pid where commits look for whom to wake. */
static void
write_pid(void)
{
	static MaStatement stmt = {
		"insert into mautomate_internal.worker (kind, number, pid)"
		" values ($1, $2, $3) on conflict (kind, number) do update"
		" set pid = excluded.pid, started_at = excluded.started_at",
		3,
		{TEXTOID, INT4OID, INT4OID}};
	Datum	   values[3];
	MaSqlScope scope;

	ma_sql_begin(&scope);
	values[0] =
		CStringGetTextDatum(place.number == 0 ? "scheduler" : "sender");
	values[1] = Int32GetDatum(place.number);
	values[2] = Int32GetDatum(MyProcPid);
	ma_sql_exec(&stmt, values, NULL, 0);
	ma_sql_end(&scope);
}

/* Is it time to leave? Once it is, it stays so. */
static bool
is_over(void)
{
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
	/* beginning a transaction accepts invalidations */
	StartTransactionCommand();
	CommitTransactionCommand();
	if (watch.stale)
		look_at_switch();
	over |= ShutdownRequestPending || place.number > ma_guc_senders ||
			(place.launched && !ma_worker_is_listed(database_name));
	return over;
}

/* Reads the switch again, if the extension is still there. */
static void
look_at_switch(void)
{
	begin();
	installed = ma_inval_watch(&watch);
	if (installed)
		watch.stale = false;
	over |= !installed || read_switch(false) == SWITCH_STOPPED;
	end();
}

/* Opens a transaction of the worker's. */
static void
begin(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
}

/* Commits it. */
static void
end(void)
{
	PopActiveSnapshot();
	CommitTransactionCommand();
	MemoryContextSwitchTo(TopMemoryContext);
}

/* Passes, until the worker is no longer wanted. */
static void
serve(void)
{
	MaSender *sender = NULL;
	long	  penalty = 0;

	ma_wake_woken();
	while (!is_over())
	{
		long sleep = 0;

		if (place.number == 0 ? scheduler_pass(&sleep) :
								sender_pass(&sender, &sleep))
			penalty = 0;
		else
		{
			penalty =
				penalty == 0 ? PENALTY_FIRST : Min(2 * penalty, SLEEP_MOST);
			rest(penalty);
		}
		if (sleep == 0)
			continue;
		pgstat_report_stat(false);
		pgstat_report_activity(STATE_IDLE, NULL);
		if (sender != NULL)
			ma_delivery_wait(sender, sleep);
		else
			snooze(ma_wake_limit(sleep));
	}
	if (sender != NULL && installed)
		ma_delivery_close(sender);
	else if (sender != NULL)
		ma_delivery_abandon(sender);
}

/* Sleeps for so many ms, or until somebody wakes us. */
static void
snooze(long ms)
{
	if (WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, ms,
				  PG_WAIT_EXTENSION) &
		WL_LATCH_SET)
		ma_wake_woken();
	ResetLatch(MyLatch);
}

/* Pauses after an error, whoever wakes us, unless it is time to leave. */
static void
rest(long ms)
{
	TimestampTz until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), ms);

	while (!is_over() && GetCurrentTimestamp() < until)
	{
		snooze(TimestampDifferenceMilliseconds(GetCurrentTimestamp(), until) +
			   1);
		CHECK_FOR_INTERRUPTS();
	}
}

/*
 * One round of a sender; stores how long to sleep, 0 if there may be more to
 * do at once. False: it failed, and the error is logged.
 */
static bool
sender_pass(MaSender **sender, long *sleep)
{
	volatile bool done = false;

	PG_TRY();
	{
		pgstat_report_activity(STATE_RUNNING, "sending messages");
		if (*sender == NULL)
			*sender = ma_delivery_open(false);
		if (ma_delivery_step(*sender, PASS_SIZE) == 0)
		{
			begin();
			*sleep = limit_sleep(ma_delivery_sleep(*sender));
			end();
		}
		done = true;
	}
	PG_CATCH();
	{
		report_error();
		if (*sender != NULL)
			ma_delivery_abandon(*sender);
		*sender = NULL;
	}
	PG_END_TRY();
	return done;
}

/*
 * One round of the scheduler, likewise. A pass that fails does not keep the
 * others from theirs.
 */
static bool
scheduler_pass(long *sleep)
{
	bool good = true;
	int	 done = 0;

	ma_wake_looks();
	for (int i = 0; i < lengthof(passes); i++)
	{
		int n = run_pass(&passes[i]);

		good &= n >= 0;
		done += Max(n, 0);
	}
	if (done == 0)
		good &= find_sleep(sleep);
	return good;
}

/* Stores how long the scheduler can sleep; false: that failed. */
static bool
find_sleep(long *sleep)
{
	volatile bool done = false;

	PG_TRY();
	{
		begin();
		*sleep = watch.stale ?
					 0 :
					 limit_sleep(ma_clock_ms_until(Min(
						 Min(ma_refresh_next_due(), ma_journey_next_due()),
						 Min(ma_contact_erase_due(), ma_list_forget_due()))));
		end();
		done = true;
	}
	PG_CATCH();
	{
		report_error();
	}
	PG_END_TRY();
	return done;
}

/* Runs one pass in a transaction; -1: it failed, and the error is logged. */
static int
run_pass(const Pass *pass)
{
	volatile int n = -1;

	PG_TRY();
	{
		pgstat_report_activity(STATE_RUNNING, pass->name);
		begin();
		/* the extension may be gone by now, see is_over() */
		n = watch.stale ? 0 : pass->run(PASS_SIZE);
		end();
	}
	PG_CATCH();
	{
		n = -1;
		report_error();
	}
	PG_END_TRY();
	return n;
}

/* Logs the error that ended a pass, and ends its transaction. */
static void
report_error(void)
{
	HOLD_INTERRUPTS();
	EmitErrorReport();
	AbortCurrentTransaction();
	FlushErrorState();
	RESUME_INTERRUPTS();
	MemoryContextSwitchTo(TopMemoryContext);
}

/* Is there a prepared transaction? COMMIT PREPARED wakes nobody. */
static bool
is_any_prepared(void)
{
	static MaStatement stmt = {
		"select from pg_catalog.pg_prepared_xacts"
		" where database = pg_catalog.current_database()",
		0};

	return max_prepared_xacts > 0 && ma_sql_one(&stmt, NULL, NULL);
}

/*
 * A sleep within its bounds. While a transaction runs that is older than the
 * row with our pid, it may commit work without knowing whom to wake: then
 * look again soon. Needs a transaction.
 */
static long
limit_sleep(long sleep)
{
	if (is_any_prepared())
		sleep = Min(sleep, SLEEP_UNKNOWN);
	if (TransactionIdIsValid(known_from))
	{
		if (TransactionIdFollowsOrEquals(GetLatestSnapshot()->xmin,
										 known_from))
			known_from = InvalidTransactionId;
		else
			sleep = Min(sleep, SLEEP_UNKNOWN);
	}
	return Min(Max(sleep, 1), SLEEP_MOST);
}
