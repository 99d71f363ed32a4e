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
#include "common/pg_prng.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/latch.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "argument.h"
#include "arm.h"
#include "channel.h"
#include "clock.h"
#include "delivery.h"
#include "guc.h"
#include "lease.h"
#include "letter.h"
#include "outbox.h"
#include "sql.h"
#include "transport.h"

PG_FUNCTION_INFO_V1(mautomate_deliver);

/* How many messages of a log channel are claimed at once. */
#define LOG_BATCH 1000

/* The first retry comes after so long, each further one after twice that. */
#define RETRY_FIRST	  (60 * USECS_PER_SEC)
#define RETRY_MOST	  (USECS_PER_HOUR)
#define RETRY_SPREAD  0.2
#define GIVE_UP_AFTER (5 * USECS_PER_DAY)

/* A relay that cannot be reached is left alone so long, by the real clock. */
#define PAUSE_FIRST (1 * USECS_PER_SEC)
#define PAUSE_MOST	(60 * USECS_PER_SEC)

/* Dead senders are looked for so often, by the real clock. */
#define RESCUE_EVERY (1 * USECS_PER_SEC)

/* A message that is with the transport. */
typedef struct Flight
{
	int64		message_id; /* key */
	int			attempt;
	TimestampTz first_tried_at;
	char	   *address; /* in the route's context */
} Flight;

/* A channel as a sender serves it. */
typedef struct Route
{
	MaLane			   lane;
	MaChannelTransport kind;
	uint32			   revision; /* of the settings the transport was given */
	int				   connections;
	bool			   hold_in_doubt;
	bool			   hungry;		 /* there may be something to claim */
	MemoryContext	   cxt;			 /* of transport and flights */
	MaTransport		  *transport;	 /* NULL: not started */
	HTAB			  *flights;		 /* Flight by message_id */
	TimestampTz		   paused_until; /* real time; 0: not paused */
	TimestampTz		   pause;		 /* length of the last one */
	int64			  *claimed;		 /* in this step */
	int				   claimed_count;
} Route;

struct MaSender
{
	MemoryContext cxt;			/* owns all of it */
	MemoryContext step_cxt;		/* reset at each step */
	bool		  in_procedure; /* transactions are CALL's, not ours */
	int64		  lease;
	TimestampTz	  rescued_at; /* when dead leases were last looked for */
	TimestampTz	  look_at; /* when to look for messages, whatever comes back */
	Route		 *routes;
	int			  route_count;
};

/* Results of a step, growing. */
typedef struct Results
{
	MaFinish *list;
	int		  n;
	int		  max;
} Results;

static void		 begin(MaSender *sender);
static void		 end(MaSender *sender);
static void		 refresh_routes(MaSender *sender);
static void		 rescue(MaSender *sender);
static void		 retire_transport(Route *route);
static void		 prepare(MaSender *sender, Route *route);
static void		 start_transport(MaSender *sender, Route *route);
static int		 room_of(const Route *route, int max);
static bool		 is_gone(const Route *route);
static bool		 is_paused(const Route *route);
static void		 pause_route(Route *route);
static void		 collect(Route *route, TimestampTz now, Results *results);
static MaFinish *add_result(Results *results, const Route *route,
							int64 message_id);
static void		 judge(Route *route, const MaTransportResult *outcome,
					   MaFinish *finish);
static void try_later(MaFinish *finish, const Flight *flight, TimestampTz now);
static void record(MaSender *sender, Results *results);
static int	claim(MaSender *sender, int max);
static void acknowledge(MaSender *sender, const Results *results);
static void dispatch(MaSender *sender, Route *route);
static void hand_over(Route *route, const MaLetter *letter);

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
			if (ma_delivery_busy(sender))
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

	sender->cxt = cxt;
	sender->step_cxt = AllocSetContextCreate(cxt, "mautomate sender step",
											 ALLOCSET_DEFAULT_SIZES);
	sender->in_procedure = in_procedure;
	sender->look_at = DT_NOEND;
	begin(sender);
	lease = ma_outbox_open_lease();
	end(sender);
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
	Results		  results = {0};
	int			  claimed;

	MemoryContextReset(sender->step_cxt);
	MemoryContextSwitchTo(sender->step_cxt);
	for (int i = 0; i < sender->route_count; i++)
		retire_transport(&sender->routes[i]);
	begin(sender);
	refresh_routes(sender);
	rescue(sender);
	record(sender, &results);
	claimed = claim(sender, max);
	end(sender);
	acknowledge(sender, &results);
	for (int i = 0; i < sender->route_count; i++)
		if (sender->routes[i].claimed_count > 0)
			dispatch(sender, &sender->routes[i]);
	MemoryContextSwitchTo(caller);
	return claimed;
}

/* Are messages with a transport? */
bool
ma_delivery_busy(MaSender *sender)
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
ma_delivery_sleep(void)
{
	return ma_arm()->armed ? ma_clock_ms_until(ma_outbox_next_due()) : INT_MAX;
}

/*
 * Waits until something comes back, the latch is set or the time (-1: none)
 * is over; resets the latch. At the latch, and when the time of this or an
 * earlier wait is over, the next step looks for messages everywhere.
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
		Route *route = &sender->routes[i];

		if (route->transport != NULL)
			list[n++] = route->transport;
		if (is_gone(route))
			timeout_ms = 0; /* the next step may start another */
		if (route->hungry && is_paused(route))
		{
			long left =
				TimestampDifferenceMilliseconds(now, route->paused_until) + 1;

			if (timeout_ms < 0 || left < timeout_ms)
				timeout_ms = left;
		}
	}
	if (timeout_ms >= 0)
		sender->look_at =
			Min(sender->look_at, TimestampTzPlusMilliseconds(now, timeout_ms));
	ma_transport_wait(list, n, timeout_ms);
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
	while (ma_delivery_busy(sender))
	{
		ma_delivery_wait(sender, -1);
		(void) ma_delivery_step(sender, 0);
	}
	begin(sender);
	ma_outbox_close_lease(sender->lease);
	end(sender);
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
	MemoryContextDelete(sender->cxt);
}

/* Opens a transaction, unless CALL has one, with a snapshot. */
static void
begin(MaSender *sender)
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
static void
end(MaSender *sender)
{
	PopActiveSnapshot();
	if (sender->in_procedure)
		SPI_commit();
	else
		CommitTransactionCommand();
	MemoryContextSwitchTo(sender->step_cxt);
}

/* Brings the routes in line with the channels. Needs a transaction. */
static void
refresh_routes(MaSender *sender)
{
	int				 n;
	const MaChannel *channels = ma_channel_all(&n);

	for (int i = 0; i < n; i++)
	{
		Route *route = NULL;

		for (int r = 0; r < sender->route_count; r++)
			if (sender->routes[r].lane.channel_id == channels[i].channel_id)
				route = &sender->routes[r];
		if (route == NULL)
		{
			Size size = (sender->route_count + 1) * sizeof(Route);

			sender->routes = sender->routes == NULL ?
								 MemoryContextAlloc(sender->cxt, size) :
								 repalloc(sender->routes, size);
			route = &sender->routes[sender->route_count++];
			memset(route, 0, sizeof(Route));
			route->lane.channel_id = channels[i].channel_id;
			route->hungry = true;
		}
		route->kind = channels[i].transport;
		route->connections = channels[i].connections;
		route->hold_in_doubt = channels[i].hold_in_doubt;
		if (route->revision != channels[i].revision)
		{
			route->revision = channels[i].revision;
			route->paused_until = 0;
			route->pause = 0;
			if (route->transport != NULL)
				ma_transport_drain(route->transport);
		}
	}
}

/* Now and then takes over what dead senders left. Needs a transaction. */
static void
rescue(MaSender *sender)
{
	TimestampTz now = GetCurrentTimestamp();

	if (now - sender->rescued_at < RESCUE_EVERY)
		return;
	sender->rescued_at = now;
	if (ma_outbox_rescue(sender->lease) > 0)
		for (int i = 0; i < sender->route_count; i++)
			sender->routes[i].hungry = true;
}

/* Is there a transport that is gone and owes nothing? */
static bool
is_gone(const Route *route)
{
	return route->transport != NULL && !ma_transport_alive(route->transport) &&
		   ma_transport_pending(route->transport) == 0;
}

/*
 * Frees a transport that is gone and owes nothing. Its last results have been
 * acknowledged in the step before.
 */
static void
retire_transport(Route *route)
{
	const char *reason;

	if (!is_gone(route))
		return;
	reason = ma_transport_reason(route->transport);
	if (reason[0] != '\0')
	{
		ereport(LOG, (errmsg("mautomate-transport ended: %s", reason)));
		pause_route(route);
	}
	MemoryContextDelete(route->cxt);
	route->cxt = NULL;
	route->transport = NULL;
	route->flights = NULL;
}

/*
 * Sees to it that the transport of an smtp route runs when it is needed.
 * Needs a transaction.
 */
static void
prepare(MaSender *sender, Route *route)
{
	if (route->transport == NULL && route->hungry && !is_paused(route))
	{
		route->hungry = ma_outbox_has_due(&route->lane);
		if (route->hungry)
			start_transport(sender, route);
	}
}

/*
 * Starts the transport of a route. A program that cannot be started must not
 * stop the other routes: it is told, and tried again after a pause.
 */
static void
start_transport(MaSender *sender, Route *route)
{
	const MaChannel	 *channel = ma_channel_find(route->lane.channel_id);
	MaTransportConfig config = {0};
	HASHCTL			  control = {0};

	config.host = channel->host;
	config.port = channel->port;
	config.tls = channel->tls;
	config.insecure = !channel->verify;
	config.ca_file = channel->ca_file;
	config.user = channel->user;
	config.connections = channel->connections;
	if (channel->password_file != NULL)
		config.password_file = psprintf("%s/%s", ma_guc_secrets_directory,
										channel->password_file);
	route->cxt = AllocSetContextCreate(sender->cxt, "mautomate route",
									   ALLOCSET_DEFAULT_SIZES);
	control.keysize = sizeof(int64);
	control.entrysize = sizeof(Flight);
	control.hcxt = route->cxt;
	route->flights = hash_create("mautomate flights", 64, &control,
								 HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	MemoryContextSwitchTo(route->cxt);
	PG_TRY();
	{
		route->transport = ma_transport_start(&config);
	}
	PG_CATCH();
	{
		ErrorData *edata;

		MemoryContextSwitchTo(sender->step_cxt);
		edata = CopyErrorData();
		FlushErrorState();
		MemoryContextDelete(route->cxt);
		route->cxt = NULL;
		route->flights = NULL;
		pause_route(route);
		ereport(WARNING,
				(errmsg("channel \"%s\": %s", channel->name, edata->message)));
	}
	PG_END_TRY();
	MemoryContextSwitchTo(sender->step_cxt);
}

/* How many messages the route can take now, at most max. */
static int
room_of(const Route *route, int max)
{
	if (!route->hungry || is_paused(route))
		return 0;
	if (route->kind == MA_CHANNEL_LOG)
		return Min(max, LOG_BATCH);
	if (route->transport == NULL || !ma_transport_alive(route->transport))
		return 0;
	return Min(max, ma_transport_room(route->transport));
}

/* Is its relay left alone for now? */
static bool
is_paused(const Route *route)
{
	return route->paused_until > GetCurrentTimestamp();
}

/* Leaves its relay alone for a while, each time for longer. */
static void
pause_route(Route *route)
{
	if (is_paused(route))
		return;
	route->pause =
		route->pause == 0 ? PAUSE_FIRST : Min(2 * route->pause, PAUSE_MOST);
	route->paused_until = GetCurrentTimestamp() + route->pause;
}

/* Takes from the transport what came back. */
static void
collect(Route *route, TimestampTz now, Results *results)
{
	MaTransportResult outcome;

	if (route->transport == NULL)
		return;
	while (ma_transport_poll(route->transport, &outcome))
	{
		Flight *flight =
			hash_search(route->flights, &outcome.id, HASH_FIND, NULL);
		MaFinish *finish;

		if (flight == NULL)
			elog(ERROR, "result of unknown message " INT64_FORMAT, outcome.id);
		finish = add_result(results, route, outcome.id);
		judge(route, &outcome, finish);
		if (finish->state == MA_FINISH_RETRY ||
			finish->state == MA_FINISH_IN_DOUBT)
			try_later(finish, flight, now);
		finish->address = pstrdup(flight->address);
		if (finish->state == MA_FINISH_UNTRIED)
			finish->due_at = now;
		pfree(flight->address);
		hash_search(route->flights, &outcome.id, HASH_REMOVE, NULL);
	}
}

/* A new result at the end of the list, cleared. */
static MaFinish *
add_result(Results *results, const Route *route, int64 message_id)
{
	MaFinish *finish;

	if (results->n == results->max)
	{
		results->max = Max(64, results->max * 2);
		results->list =
			results->list == NULL ?
				palloc(results->max * sizeof(MaFinish)) :
				repalloc(results->list, results->max * sizeof(MaFinish));
	}
	finish = &results->list[results->n++];
	memset(finish, 0, sizeof(MaFinish));
	finish->message_id = message_id;
	finish->channel_id = route->lane.channel_id;
	return finish;
}

/* What an outcome means for the message, and for the route. */
static void
judge(Route *route, const MaTransportResult *outcome, MaFinish *finish)
{
	if (outcome->code != 0)
		finish->reply = psprintf("%d %s", outcome->code, outcome->text);
	else if (outcome->text != NULL && outcome->text[0] != '\0')
		finish->reason = pstrdup(outcome->text);
	if (outcome->outcome == MA_OUTCOME_NOT_REACHED)
		pause_route(route);
	else
		route->pause = 0;
	switch (outcome->outcome)
	{
		case MA_OUTCOME_SENT:
			finish->state = MA_FINISH_SENT;
			break;
		case MA_OUTCOME_TEMPORARY:
		case MA_OUTCOME_NOT_REACHED:
			finish->state = MA_FINISH_RETRY;
			break;
		case MA_OUTCOME_PERMANENT:
			finish->state = MA_FINISH_FAILED;
			break;
		case MA_OUTCOME_IN_DOUBT:
			finish->state =
				route->hold_in_doubt ? MA_FINISH_HELD : MA_FINISH_IN_DOUBT;
			break;
		case MA_OUTCOME_UNTRIED:
			finish->state = MA_FINISH_UNTRIED;
			break;
	}
}

/*
 * Sets when to try again: each time after twice as long, spread so that what
 * failed together does not come back together. A message that has been tried
 * for too long has failed.
 */
static void
try_later(MaFinish *finish, const Flight *flight, TimestampTz now)
{
	double delay = RETRY_FIRST;

	if (now - flight->first_tried_at >= GIVE_UP_AFTER)
	{
		finish->state = MA_FINISH_FAILED;
		finish->reason =
			psprintf("gave up after 5 days%s%s", finish->reason ? ": " : "",
					 finish->reason ? finish->reason : "");
		return;
	}
	for (int i = 1; i < flight->attempt && delay < RETRY_MOST; i++)
		delay *= 2;
	delay = Min(delay, RETRY_MOST);
	delay *= 1 - RETRY_SPREAD +
			 2 * RETRY_SPREAD * pg_prng_double(&pg_global_prng_state);
	finish->due_at = now + (TimestampTz) delay;
}

/* Records what has come back from all transports. */
static void
record(MaSender *sender, Results *results)
{
	TimestampTz now = ma_now();

	for (int i = 0; i < sender->route_count; i++)
		collect(&sender->routes[i], now, results);
	if (results->n > 0)
		ma_outbox_finish(sender->lease, results->list, results->n);
}

/*
 * Claims new messages for all routes, at most max; returns how many. Nothing
 * while disarmed.
 */
static int
claim(MaSender *sender, int max)
{
	int	 claimed = 0;
	bool armed = ma_arm()->armed;

	for (int i = 0; i < sender->route_count; i++)
	{
		Route *route = &sender->routes[i];
		int	   room;

		route->claimed_count = 0;
		if (!armed || claimed == max)
			continue;
		if (route->kind == MA_CHANNEL_SMTP)
			prepare(sender, route);
		room = room_of(route, max - claimed);
		if (room == 0)
			continue;
		route->claimed = palloc(room * sizeof(int64));
		route->claimed_count =
			ma_outbox_claim(&route->lane, sender->lease, room, route->claimed);
		route->hungry = route->claimed_count == room;
		claimed += route->claimed_count;
	}
	return claimed;
}

/* The results are committed: the connections may go on. */
static void
acknowledge(MaSender *sender, const Results *results)
{
	int n = 0;

	for (int i = 0; i < sender->route_count; i++)
	{
		Route *route = &sender->routes[i];

		for (; n < results->n &&
			   results->list[n].channel_id == route->lane.channel_id;
			 n++)
			ma_transport_ack(route->transport, results->list[n].message_id);
	}
}

/*
 * Writes the letters of what a route has claimed, records those that go no
 * further, and hands the others over, with no transaction open.
 */
static void
dispatch(MaSender *sender, Route *route)
{
	MaLetter *letters;
	Results	  results = {0};
	int		  n = route->claimed_count;

	begin(sender);
	letters = ma_letter_write(ma_channel_find(route->lane.channel_id),
							  route->claimed, &n);
	for (int i = 0; i < n; i++)
	{
		MaLetter *letter = &letters[i];
		MaFinish *finish;

		if (letter->refusal == NULL && letter->failure == NULL &&
			route->kind != MA_CHANNEL_LOG)
			continue;
		finish = add_result(&results, route, letter->message_id);
		finish->address = letter->address;
		finish->reason =
			letter->refusal != NULL ? letter->refusal : letter->failure;
		finish->state = letter->refusal != NULL ? MA_FINISH_REFUSED :
						letter->failure != NULL ? MA_FINISH_FAILED :
												  MA_FINISH_SENT;
	}
	if (results.n > 0)
		ma_outbox_finish(sender->lease, results.list, results.n);
	end(sender);
	if (route->kind != MA_CHANNEL_LOG)
		for (int i = 0; i < n; i++)
			if (letters[i].refusal == NULL && letters[i].failure == NULL)
				hand_over(route, &letters[i]);
}

/* Gives one letter to the transport, and remembers it. */
static void
hand_over(Route *route, const MaLetter *letter)
{
	MaMail	mail = {0};
	Flight *flight;
	bool	found;

	flight =
		hash_search(route->flights, &letter->message_id, HASH_ENTER, &found);
	flight->attempt = letter->attempt;
	flight->first_tried_at = letter->first_tried_at;
	flight->address = MemoryContextStrdup(route->cxt, letter->address);
	mail.id = letter->message_id;
	mail.sender = letter->sender;
	mail.recipient = letter->address;
	mail.body = letter->content.data;
	mail.body_len = letter->content.len;
	ma_transport_send(route->transport, &mail);
}
