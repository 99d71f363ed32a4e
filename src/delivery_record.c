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
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "delivery_private.h"
#include "pause.h"
#include "utf8.h"

/* What was counted is stored so often. */
#define COUNT_EVERY USECS_PER_SEC

/* By how much the last message changes what we know of all of them. */
#define FLIGHT_WEIGHT 0.1

/* A server may tell us to wait no longer than this. */
#define RETRY_AFTER_MOST (USECS_PER_DAY)

static void collect(MaRoute *route, TimestampTz now, MaResults *results);
static void judge(MaRoute *route, const MaTransportResult *outcome,
				  MaFinish *finish);
static void wait_as_told(MaRoute *route, const MaTransportResult *outcome,
						 MaFinish *finish, TimestampTz now);
static void note(MaRoute *route, const MaFlight *flight,
				 const MaTransportResult *outcome, const MaFinish *finish);
static void store(MaSender *sender, MaRoute *route);

/* Records what has come back from all transports. */
void
ma_delivery_record(MaSender *sender, MaResults *results)
{
	TimestampTz now = ma_now();

	for (int i = 0; i < sender->route_count; i++)
		collect(&sender->routes[i], now, results);
	if (results->n > 0)
		ma_outbox_finish(sender->lease, results->list, results->n);
	ma_delivery_count(sender, false);
}

/*
 * Stores what was counted of each route, if it is time or all is wanted. What
 * may pause a channel is not put off.
 */
void
ma_delivery_count(MaSender *sender, bool all)
{
	TimestampTz now = GetCurrentTimestamp();

	for (int i = 0; i < sender->route_count; i++)
	{
		MaRoute *route = &sender->routes[i];

		if (all || now - route->traffic.stored_at >= COUNT_EVERY ||
			(route->traffic.attempts.len > 0 &&
			 ma_channel_find(route->lane.channel_id)->pace.pause_of > 0))
			store(sender, route);
	}
}

/* Stores what was counted of a route; pauses it if too much has failed. */
static void
store(MaSender *sender, MaRoute *route)
{
	const MaChannel *channel = ma_channel_find(route->lane.channel_id);
	const MaPace	*pace = &channel->pace;
	double			 share = 0;
	char			*reason;

	ma_traffic_store(&route->traffic, channel->channel_id, sender->lease);
	if (route->traffic.attempts.len == 0)
		return;
	if (pace->pause_of > 0)
		share = ma_traffic_failing(&route->traffic, channel->channel_id,
								   pace->pause_of);
	resetStringInfo(&route->traffic.attempts);
	if (pace->pause_of == 0 || share <= pace->pause_failures ||
		ma_pause_holds(channel->channel_id))
		return;
	reason = psprintf("%.1f %% of the last %d attempts failed; the last: %s",
					  100 * share, pace->pause_of,
					  route->last_failure ? route->last_failure : "unknown");
	ma_delivery_pause(channel, reason);
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
			ma_delivery_try_later(route, finish, flight->attempt,
								  flight->first_tried_at);
		if (finish->state == MA_FINISH_RETRY && outcome.retry_after > 0)
			wait_as_told(route, &outcome, finish, now);
		if (flight->address != NULL)
		{
			finish->address = pstrdup(flight->address);
			pfree(flight->address);
		}
		if (finish->state == MA_FINISH_DEFERRED)
			finish->due_at = now;
		note(route, flight, &outcome, finish);
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
	const char *text = outcome->text ? ma_utf8_to_server(outcome->text) : "";

	if (outcome->code != 0)
		finish->reply = psprintf("%d %s", outcome->code, text);
	else if (text[0] != '\0')
		finish->reason = pstrdup(text);
	if (outcome->provided[0] != '\0')
		finish->provided = ma_utf8_to_server(outcome->provided);
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

/*
 * Sets when to try again: each time after longer, spread so that what failed
 * together does not come back together. A message that has been tried for too
 * long has failed.
 */
void
ma_delivery_try_later(const MaRoute *route, MaFinish *finish, int attempt,
					  TimestampTz first_tried_at)
{
	const MaPace *pace = &ma_channel_find(route->lane.channel_id)->pace;
	double		  delay = pace->retry_first;
	double		  chance = pg_prng_double(&pg_global_prng_state);
	TimestampTz	  now = ma_now();

	if (now - first_tried_at >= pace->give_up)
	{
		double days = pace->give_up / USECS_PER_DAY;
		double hours = pace->give_up / USECS_PER_HOUR;

		finish->state = MA_FINISH_FAILED;
		finish->reason =
			psprintf("gave up after %g %s%s%s", days >= 1 ? days : hours,
					 days >= 1 ? "days" : "hours", finish->reason ? ": " : "",
					 finish->reason ? finish->reason : "");
		return;
	}
	for (int i = 1; i < attempt && delay < pace->retry_most; i++)
		delay *= pace->retry_factor;
	delay = Min(delay, pace->retry_most);
	delay *= 1 - pace->retry_spread + 2 * pace->retry_spread * chance;
	/* never longer than the longest, nor all that wait so long at once */
	if (delay > pace->retry_most)
		delay = pace->retry_most * (1 - pace->retry_spread * chance);
	finish->due_at = now + (TimestampTz) delay;
}

/* Counts an attempt, and how long it took. */
static void
note(MaRoute *route, const MaFlight *flight, const MaTransportResult *outcome,
	 const MaFinish *finish)
{
	MaTraffic  *traffic = &route->traffic;
	bool		good = finish->state == MA_FINISH_SENT;
	double		took = GetCurrentTimestamp() - flight->begun_at;
	const char *said = finish->reply ? finish->reply : finish->reason;

	if (finish->state == MA_FINISH_DEFERRED)
		return;
	traffic->sent += good;
	traffic->failed += finish->state == MA_FINISH_FAILED;
	traffic->tried_again += !good && finish->state != MA_FINISH_FAILED;
	if (outcome->outcome == MA_OUTCOME_NOT_REACHED)
		return; /* says nothing of how messages are received */
	route->flight_us =
		route->flight_us == 0 ?
			took :
			route->flight_us + FLIGHT_WEIGHT * (took - route->flight_us);
	if (traffic->attempts.data == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(route->lane.cxt);

		initStringInfo(&traffic->attempts);
		MemoryContextSwitchTo(old);
	}
	appendStringInfoChar(&traffic->attempts, good ? '0' : '1');
	if (good || said == NULL)
		return;
	if (route->last_failure != NULL)
		pfree(route->last_failure);
	route->last_failure = MemoryContextStrdup(route->lane.cxt, said);
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
		{
			ma_delivery_release(route, results->list[n].message_id);
			ma_transport_ack(route->transport, results->list[n].message_id);
		}
		if (route->transport != NULL)
			ma_transport_flush(route->transport);
	}
}
