/*
 * delivery_record.c
 *	  What came back of the messages that were handed over.
 *
 * The outcome of an attempt, as the transport tells it, becomes the state of
 * the message: final, to be tried again, in doubt. It is recorded in the
 * transaction that claims the next messages, and acknowledged after.
 */
#include "postgres.h"

#include "common/pg_prng.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "delivery_private.h"

/* The first retry comes after so long, each further one after twice that. */
#define RETRY_FIRST	  (60 * USECS_PER_SEC)
#define RETRY_MOST	  (USECS_PER_HOUR)
#define RETRY_SPREAD  0.2
#define GIVE_UP_AFTER (5 * USECS_PER_DAY)

/* A server may tell us to wait no longer than this. */
#define RETRY_AFTER_MOST (USECS_PER_DAY)

static void collect(MaRoute *route, TimestampTz now, MaResults *results);
static void judge(MaRoute *route, const MaTransportResult *outcome,
				  MaFinish *finish);
static void wait_as_told(MaRoute *route, const MaTransportResult *outcome,
						 MaFinish *finish, TimestampTz now);
static void try_later(MaFinish *finish, const MaFlight *flight,
					  TimestampTz now);

/* Records what has come back from all transports. */
void
ma_delivery_record(MaSender *sender, MaResults *results)
{
	TimestampTz now = ma_now();

	for (int i = 0; i < sender->route_count; i++)
		collect(&sender->routes[i], now, results);
	if (results->n > 0)
		ma_outbox_finish(sender->lease, results->list, results->n);
}

/* Takes from the transport what came back. */
static void
collect(MaRoute *route, TimestampTz now, MaResults *results)
{
	MaTransportResult outcome;

	if (route->transport == NULL)
		return;
	while (ma_transport_poll(route->transport, &outcome))
	{
		MaFlight *flight =
			hash_search(route->flights, &outcome.id, HASH_FIND, NULL);
		MaFinish *finish;

		if (flight == NULL)
			elog(ERROR, "result of unknown message " INT64_FORMAT, outcome.id);
		finish =
			ma_delivery_result(results, route, outcome.id, flight->priority);
		judge(route, &outcome, finish);
		if (finish->state == MA_FINISH_RETRY ||
			finish->state == MA_FINISH_IN_DOUBT)
			try_later(finish, flight, now);
		if (finish->state == MA_FINISH_RETRY && outcome.retry_after > 0)
			wait_as_told(route, &outcome, finish, now);
		if (flight->address != NULL)
		{
			finish->address = pstrdup(flight->address);
			pfree(flight->address);
		}
		if (finish->state == MA_FINISH_DEFERRED)
			finish->due_at = now;
		hash_search(route->flights, &outcome.id, HASH_REMOVE, NULL);
	}
}

/* A new result at the end of the list, cleared. */
MaFinish *
ma_delivery_result(MaResults *results, const MaRoute *route, int64 message_id,
				   int priority)
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
	finish->priority = priority;
	finish->channel_id = route->lane.channel_id;
	return finish;
}

/* What an outcome means for the message, and for the route. */
static void
judge(MaRoute *route, const MaTransportResult *outcome, MaFinish *finish)
{
	if (outcome->code != 0)
		finish->reply = psprintf("%d %s", outcome->code, outcome->text);
	else if (outcome->text != NULL && outcome->text[0] != '\0')
		finish->reason = pstrdup(outcome->text);
	if (outcome->provided[0] != '\0')
		finish->provided = pstrdup(outcome->provided);
	if (outcome->outcome == MA_OUTCOME_NOT_REACHED && route->one_server)
		ma_delivery_rest(route);
	else
		route->rest = 0;
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
			finish->state = MA_FINISH_DEFERRED;
			break;
	}
}

/*
 * Sets when to try again: each time after twice as long, spread so that what
 * failed together does not come back together. A message that has been tried
 * for too long has failed.
 */
static void
try_later(MaFinish *finish, const MaFlight *flight, TimestampTz now)
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

/*
 * The server has said how long to wait: not tried again before that. If all
 * messages go there, the others wait too, for a while.
 */
static void
wait_as_told(MaRoute *route, const MaTransportResult *outcome,
			 MaFinish *finish, TimestampTz now)
{
	TimestampTz until =
		now + Min(outcome->retry_after * USECS_PER_SEC, RETRY_AFTER_MOST);

	finish->due_at = Max(finish->due_at, until);
	if (route->one_server)
		ma_delivery_rest_for(route, outcome->retry_after);
}

/* The results are committed: the connections may go on. */
void
ma_delivery_acknowledge(MaSender *sender, const MaResults *results)
{
	int n = 0;

	for (int i = 0; i < sender->route_count; i++)
	{
		MaRoute *route = &sender->routes[i];

		for (; n < results->n &&
			   results->list[n].channel_id == route->lane.channel_id;
			 n++)
			ma_transport_ack(route->transport, results->list[n].message_id);
	}
}
