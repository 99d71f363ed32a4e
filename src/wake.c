/*
 * wake.c
 *	  Wakes background workers when a transaction commits.
 *
 * There is no shared memory of ours, so that all of this works without
 * shared_preload_libraries. A worker writes its pid into the table
 * mautomate_internal.worker when it starts; every session caches that table
 * (inval.h). Who leaves work behind asks, within its transaction, for a wake:
 * the pids are resolved then, since no table can be read after the commit,
 * and their latches are set once, when the commit is all done: who is woken
 * must find the rows visible, his caches invalid and the locks free.
 *
 * A pid may be stale. Setting the latch of a process that is none of ours is
 * harmless: each waits in a loop. A worker may also be new, and not yet known
 * to a transaction that has asked already: a starting worker therefore looks
 * again until all transactions older than its row have ended (worker.c). A
 * prepared transaction wakes nobody; workers find its work when their sleep,
 * which is limited, is over.
 *
 * What may wait a little (notes of mautomate.refresh = deferred) wakes the
 * scheduler not at each commit but now and then: who has woken it knows that
 * it looks once more after a while, whatever it finds. So many small
 * transactions are folded together, and most of them make no system call.
 */
#include "postgres.h"

#include "access/xact.h"
#include "portability/instr_time.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/inval.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

#include "inval.h"
#include "sql.h"
#include "wake.h"

/* More workers than this are not woken, only found awake. */
#define MAX_PIDS 80

/* Whom to wake; or them together. */
#define WAKE_SCHEDULER 0x01
#define WAKE_SENDERS   0x02
#define WAKE_SOON	   0x04 /* the scheduler, but not each time */

/* So long (ms) after it woke the scheduler a session need not do it again. */
#define WAKE_ENOUGH 200

/* After so long (ms) the scheduler looks again, since it was woken. */
#define LOOK_AGAIN 250

StaticAssertDecl(LOOK_AGAIN > WAKE_ENOUGH, "who did not wake it is seen");

/* A worker of this database. */
typedef struct Worker
{
	int pid;  /* of its process, if it still runs */
	int kind; /* WAKE_SCHEDULER or WAKE_SENDERS */
} Worker;

static void	  reload(void);
static void	  wake_at_commit(int kinds);
static void	  at_transaction_end(XactEvent event, void *arg);
static void	  at_release(ResourceReleasePhase phase, bool is_commit,
						 bool is_top_level, void *arg);
static void	  set_latches(int kinds);
static double monotonic_ms(void);

static MaWatch watch = {"worker"};
static Worker  workers[MAX_PIDS]; /* the cached table */
static int	   worker_count = 0;
static int	   wanted = 0;	  /* kinds to wake at the end of this
								 * transaction */
static int	   committed = 0; /* kinds to wake when the commit is done */
static double  woke_at = -WAKE_ENOUGH; /* when we woke the scheduler */

/* The scheduler's own: when it looked last, and until when it looks again. */
static double looked_at = 0;
static double look_again = 0;

/* New work for timers, enrolments or sweeps comes with this commit. */
void
ma_wake_scheduler_at_commit(void)
{
	wake_at_commit(WAKE_SCHEDULER);
}

/* Notes come with this commit: it is enough to look at them soon. */
void
ma_wake_scheduler_soon(void)
{
	wake_at_commit(WAKE_SOON);
}

/* New messages come with this commit. */
void
ma_wake_senders_at_commit(void)
{
	wake_at_commit(WAKE_SENDERS);
}

/* Something all workers have to look at comes with this commit. */
void
ma_wake_all_at_commit(void)
{
	wake_at_commit(WAKE_SCHEDULER | WAKE_SENDERS);
}

/*
 * Remembers whom to wake. Cheap when called for each row: the second call in
 * a transaction returns at once.
 */
static void
wake_at_commit(int kinds)
{
	static bool registered = false;

	if ((wanted & kinds) == kinds)
		return;
	if (!registered)
	{
		RegisterXactCallback(at_transaction_end, NULL);
		RegisterResourceReleaseCallback(at_release, NULL);
		registered = true;
	}
	/* who makes notes has locked the log or them, and has accepted them */
	if (kinds != WAKE_SOON)
		AcceptInvalidationMessages();
	if (!ma_inval_watch(&watch))
		return;
	if (watch.stale)
		reload();
	wanted |= kinds;
}

/* Reads the workers of this database under the latest snapshot. */
static void
reload(void)
{
	static MaStatement stmt = {
		"select pid, kind = 'scheduler' from mautomate_internal.worker", 0};
	MaSqlScope scope;
	uint64	   n;

	ma_inval_load(&watch);
	ma_sql_begin(&scope);
	PushActiveSnapshot(GetLatestSnapshot());
	n = ma_sql_read(&stmt, NULL, NULL, MAX_PIDS);
	for (uint64 i = 0; i < n; i++)
	{
		bool isnull;

		workers[i].pid = DatumGetInt32(ma_sql_datum(i, 1, &isnull));
		workers[i].kind = DatumGetBool(ma_sql_datum(i, 2, &isnull)) ?
							  WAKE_SCHEDULER :
							  WAKE_SENDERS;
	}
	worker_count = (int) n;
	PopActiveSnapshot();
	ma_sql_end(&scope);
	ma_inval_loaded(&watch);
}

/* Called at the end of every transaction, before its invalidations are sent. */
static void
at_transaction_end(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PREPARE: /* who commits it does not know us */
			committed = wanted;
			wanted = 0;
			break;
		case XACT_EVENT_ABORT:
			wanted = 0;
			break;
		default:
			break;
	}
}

/*
 * Called while the transaction gives back what it held, last after its locks.
 * By then others see its rows, and what they cached is invalid.
 */
static void
at_release(ResourceReleasePhase phase, bool is_commit, bool is_top_level,
		   void *arg)
{
	if (committed == 0 || phase != RESOURCE_RELEASE_AFTER_LOCKS ||
		!is_top_level)
		return;
	set_latches(committed);
	committed = 0;
}

/* Milliseconds of a clock that nobody sets, the same in all processes. */
static double
monotonic_ms(void)
{
	instr_time now;

	INSTR_TIME_SET_CURRENT(now);
	return INSTR_TIME_GET_MILLISEC(now);
}

/* The scheduler starts, or was woken: it looks once more after a while. */
void
ma_wake_woken(void)
{
	look_again = monotonic_ms() + LOOK_AGAIN;
}

/* It begins to look at what there is to do. */
void
ma_wake_looks(void)
{
	looked_at = monotonic_ms();
}

/* How long (ms) it may sleep, who found nothing to do for so long. */
long
ma_wake_limit(long sleep)
{
	double left = look_again - monotonic_ms();

	if (looked_at >= look_again)
		return sleep;
	return Min(sleep, (long) Max(left, 0) + 1);
}

/* Sets the latches of the workers of these kinds. */
static void
set_latches(int kinds)
{
	if (worker_count > 0 && (kinds & WAKE_SOON) != 0 &&
		monotonic_ms() >= woke_at + WAKE_ENOUGH)
	{
		woke_at = monotonic_ms();
		kinds |= WAKE_SCHEDULER;
	}
	for (int i = 0; i < worker_count; i++)
	{
		PGPROC *proc;

		if ((workers[i].kind & kinds) == 0)
			continue;
		proc = BackendPidGetProc(workers[i].pid);
		if (proc != NULL)
			SetLatch(&proc->procLatch);
	}
}
