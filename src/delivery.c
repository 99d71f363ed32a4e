/*
 * delivery.c
 *	  The sender: claim, gate, render, hand to the transport, record.
 *
 * A sender works in steps. Each is a short transaction that records what has
 * come back and claims what there is room for, and a second one that asks the
 * gate and renders; only then, with no transaction open, is anything handed
 * to the transport program. Recording and claiming share a commit, so a
 * message costs at most one flush, and in a burst a fraction of one.
 *
 * No more is claimed than the transport has room for. What a sender that dies
 * leaves behind is therefore about one message per connection; it is rescued
 * by the next sender that comes along (ma_outbox_rescue).
 *
 * The same steps run in a worker (which has transactions of its own) and in
 * CALL deliver() (which commits the caller's). A sender owns one memory
 * context; deleting it ends the transport programs.
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/latch.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "argument.h"
#include "arm.h"
#include "clock.h"
#include "delivery_private.h"
#include "lease.h"
#include "pause.h"
#include "rate.h"
#include "sql.h"

PG_FUNCTION_INFO_V1(mautomate_deliver);

/* Dead senders are looked for so often, by the real clock. */
#define RESCUE_EVERY (1 * USECS_PER_SEC)

/* Limits that are not used any more are forgotten so often, likewise. */
#define TIDY_EVERY (1 * USECS_PER_MINUTE)

/* So much memory of a step malloc() keeps for the next one. */
#define KEEP_BYTES (2 * 1024 * 1024)

/* Who has counted something stores it within so many ms. */
#define COUNT_WITHIN 1000

static long ms_until(TimestampTz time);
static void rescue(MaSender *sender);
static bool is_busy(MaSender *sender);

/* CALL deliver(max_items) */
Datum
mautomate_deliver(PG_FUNCTION_ARGS)
{
	CallContext *call = (CallContext *) fcinfo->context;
	MaSender	*sender;
	int			 left;

	ma_sql_require_primary("deliver");
	ma_argument_not_null(fcinfo, 0, "max_items");
	left = PG_GETARG_INT32(0);
	if (left < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" must not be negative", "max_items")));
	if (call == NULL || !IsA(call, CallContext) || call->atomic)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TRANSACTION_TERMINATION),
				 errmsg("deliver() cannot run inside a transaction block"),
				 errdetail("It commits between its steps, so that no "
						   "transaction waits for the network."),
				 errhint("Write CALL mautomate.deliver() outside BEGIN ... "
						 "COMMIT.")));
	if (SPI_connect_ext(SPI_OPT_NONATOMIC) != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	sender = ma_delivery_open(true);
	PG_TRY();
	{
		for (;;)
		{
			int n = ma_delivery_step(sender, left);

			left -= n;
			if (is_busy(sender))
				ma_delivery_wait(sender, -1);
			else if (n == 0 || left == 0)
				break;
		}
	}
	PG_CATCH();
	{
		ma_delivery_abandon(sender);
		PG_RE_THROW();
	}
	PG_END_TRY();
	ma_delivery_close(sender);
	SPI_finish();
	PG_RETURN_VOID();
}

/*
 * Makes a sender in the current memory context. in_procedure: in a CALL that
 * may commit, with SPI connected; else no transaction is open, here and at
 * each of the calls below.
 */
MaSender *
ma_delivery_open(bool in_procedure)
{
	MemoryContext cxt = AllocSetContextCreate(
		CurrentMemoryContext, "mautomate sender", ALLOCSET_DEFAULT_SIZES);
	MaSender *sender = MemoryContextAllocZero(cxt, sizeof(MaSender));
	int64	  lease;

	/* glibc gives less back to the system from then on, as it is freed */
	pfree(MemoryContextAlloc(cxt, KEEP_BYTES));
	sender->cxt = cxt;
	sender->step_cxt = AllocSetContextCreate(cxt, "mautomate sender step",
											 ALLOCSET_DEFAULT_SIZES);
	sender->in_procedure = in_procedure;
	sender->look_at = DT_NOEND;
	sender->tidied_at = GetCurrentTimestamp();
	ma_delivery_begin(sender);
	lease = ma_outbox_open_lease();
	ma_delivery_commit(sender);
	sender->lease = lease;
	MemoryContextSwitchTo(MemoryContextGetParent(cxt));
	return sender;
}

/*
 * Records what came back, claims and hands over what there is room for, at
 * most max new messages; returns how many. Waits for nothing.
 */
int
ma_delivery_step(MaSender *sender, int max)
{
	MemoryContext caller = CurrentMemoryContext;
	MaResults	  results = {0};
	int			  claimed;

	MemoryContextReset(sender->step_cxt);
	MemoryContextSwitchTo(sender->step_cxt);
	for (int i = 0; i < sender->route_count; i++)
		ma_delivery_retire(&sender->routes[i]);
	ma_delivery_begin(sender);
	ma_delivery_refresh(sender);
	rescue(sender);
	ma_delivery_record(sender, &results);
	claimed = ma_delivery_claim(sender, max);
	ma_delivery_commit(sender);
	ma_delivery_acknowledge(sender, &results);
	for (int i = 0; i < sender->route_count; i++)
		if (sender->routes[i].claimed_count > 0)
			ma_delivery_dispatch(sender, &sender->routes[i]);
	MemoryContextSwitchTo(caller);
	return claimed;
}

/* Are messages with a transport? */
static bool
is_busy(MaSender *sender)
{
	for (int i = 0; i < sender->route_count; i++)
		if (sender->routes[i].transport != NULL &&
			ma_transport_pending(sender->routes[i].transport) > 0)
			return true;
	return false;
}

/*
 * How long, in ms, until a message is due that is not yet; a sender that
 * found nothing may sleep so long. Needs a transaction.
 */
long
ma_delivery_sleep(MaSender *sender)
{
	long sleep = INT_MAX;

	for (int i = 0; i < sender->route_count; i++)
	{
		MaRoute	  *route = &sender->routes[i];
		MaTraffic *traffic = &route->traffic;
		long	   until;

		if (traffic->sent + traffic->failed + traffic->tried_again > 0)
			sleep = Min(sleep, COUNT_WITHIN);
		/* a result, or an unpausing, wakes us */
		if (!ma_arm()->armed || ma_pause_holds(route->lane.channel_id) ||
			ma_delivery_full(route))
			continue;
		until = ma_clock_ms_until(ma_outbox_next_due(&route->lane));
		sleep =
			Min(sleep, Max(until, ms_until(ma_delivery_blocked_until(route))));
	}
	return sleep;
}

/* How long, in ms, until a time of the real clock; -1: it never comes. */
static long
ms_until(TimestampTz time)
{
	TimestampTz now = GetCurrentTimestamp();

	if (time == DT_NOEND)
		return -1;
	return time > now ? TimestampDifferenceMilliseconds(now, time) + 1 : 0;
}

/*
 * Waits until something comes back, the latch is set, the time (-1: none) is
 * over, or one comes that a step has asked for; resets the latch. At the
 * latch and at such times the next step looks for messages everywhere.
 */
void
ma_delivery_wait(MaSender *sender, long timeout_ms)
{
	MemoryContext caller = MemoryContextSwitchTo(sender->step_cxt);
	MaTransport **list = palloc((sender->route_count + 1) * sizeof(*list));
	TimestampTz	  now = GetCurrentTimestamp();
	int			  n = 0;

	for (int i = 0; i < sender->route_count; i++)
	{
		MaRoute *route = &sender->routes[i];

		if (route->transport != NULL)
			list[n++] = route->transport;
		if (ma_delivery_gone(route))
			timeout_ms = 0; /* the next step may start another */
		if (route->parked_until != 0)
			sender->look_at = Min(sender->look_at, route->parked_until);
	}
	if (timeout_ms >= 0)
		sender->look_at =
			Min(sender->look_at, TimestampTzPlusMilliseconds(now, timeout_ms));
	ma_transport_wait(list, n, ms_until(sender->look_at));
	if (MyLatch->is_set || GetCurrentTimestamp() >= sender->look_at)
	{
		ResetLatch(MyLatch);
		sender->look_at = DT_NOEND;
		for (int i = 0; i < sender->route_count; i++)
			sender->routes[i].hungry = true;
	}
	MemoryContextSwitchTo(caller);
	CHECK_FOR_INTERRUPTS();
}

/*
 * Ends a sender in order: what is at a server is waited for, for a moment;
 * what comes back is recorded.
 */
void
ma_delivery_close(MaSender *sender)
{
	for (int i = 0; i < sender->route_count; i++)
		if (sender->routes[i].transport != NULL)
			ma_transport_drain(sender->routes[i].transport);
	while (is_busy(sender))
	{
		ma_delivery_wait(sender, -1);
		(void) ma_delivery_step(sender, 0);
	}
	ma_delivery_begin(sender);
	ma_delivery_count(sender, true);
	ma_outbox_close_lease(sender->lease);
	ma_delivery_commit(sender);
	MemoryContextSwitchTo(MemoryContextGetParent(sender->cxt));
	MemoryContextDelete(sender->cxt);
}

/*
 * Ends a sender at once, after an error. Its messages are rescued later, by
 * this process or another.
 */
void
ma_delivery_abandon(MaSender *sender)
{
	ma_lease_give_back(MA_LEASE_SENDING, sender->lease);
	for (int i = 0; i < sender->route_count; i++)
		ma_delivery_release(&sender->routes[i], 0);
	MemoryContextDelete(sender->cxt);
}

/* Opens a transaction, unless CALL has one, with a snapshot. */
void
ma_delivery_begin(MaSender *sender)
{
	if (!sender->in_procedure)
	{
		SetCurrentStatementStartTimestamp();
		StartTransactionCommand();
	}
	PushActiveSnapshot(GetTransactionSnapshot());
	/* a message must not be sent on a claim that a crash can undo */
	if (synchronous_commit == SYNCHRONOUS_COMMIT_OFF)
		(void) set_config_option("synchronous_commit", "local", PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0,
								 false);
	MemoryContextSwitchTo(sender->step_cxt);
}

/* Commits it. */
void
ma_delivery_commit(MaSender *sender)
{
	PopActiveSnapshot();
	if (sender->in_procedure)
		SPI_commit();
	else
		CommitTransactionCommand();
	MemoryContextSwitchTo(sender->step_cxt);
}

/* Now and then takes over what dead senders left. Needs a transaction. */
static void
rescue(MaSender *sender)
{
	TimestampTz now = GetCurrentTimestamp();

	if (now - sender->rescued_at < RESCUE_EVERY)
		return;
	sender->rescued_at = now;
	if (now - sender->tidied_at > TIDY_EVERY)
	{
		sender->tidied_at = now;
		ma_rate_tidy();
	}
	if (ma_outbox_rescue(sender->lease) > 0)
		for (int i = 0; i < sender->route_count; i++)
			sender->routes[i].hungry = true;
}
