/*
 * delivery_claim.c
 *	  New messages: claimed, written, handed to the transport.
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "arm.h"
#include "clock.h"
#include "delivery_private.h"
#include "letter.h"
#include "pause.h"

static int	room_of(MaSender *sender, MaRoute *route, int max);
static bool is_good(const MaLetter *letter);
static void conclude(MaRoute *route, const MaLetter *letter, bool hands_over,
					 MaResults *results);
static void hand_over(MaRoute *route, const MaLetter *letter);

/*
 * Claims new messages for all routes, at most max; returns how many were
 * handled, with those that had to be put back. Nothing while disarmed.
 */
int
ma_delivery_claim(MaSender *sender, int max)
{
	MaResults back = {0};
	int		  handled = 0;
	bool	  armed = ma_arm()->armed;

	for (int i = 0; i < sender->route_count; i++)
	{
		MaRoute *route = &sender->routes[i];
		int		 room;

		route->claimed_count = 0;
		if (!armed || handled >= max || ma_pause_holds(route->lane.channel_id))
		{
			route->parked_until = 0;
			continue;
		}
		ma_delivery_unpark(route);
		if (route->hungry && !ma_delivery_ready(route))
			continue;
		if (route->kind != MA_CHANNEL_LOG)
			ma_delivery_prepare(sender, route);
		room = room_of(sender, route, max - handled);
		if (room > 0)
			handled += ma_delivery_claim_route(sender, route, room, &back);
	}
	if (back.n > 0)
		ma_outbox_finish(sender->lease, back.list, back.n);
	return handled;
}

/*
 * How many messages the route can take now, at most max. Where only the time
 * stands in the way, it is looked at again when that has come.
 */
static int
room_of(MaSender *sender, MaRoute *route, int max)
{
	TimestampTz blocked = ma_delivery_blocked_until(route);

	if (!route->hungry)
		return 0;
	if (blocked > GetCurrentTimestamp())
	{
		sender->look_at = Min(sender->look_at, blocked);
		return 0;
	}
	return ma_delivery_room(route, max);
}

/*
 * Writes the letters of what a route has claimed, records those that go no
 * further, and hands the others over, with no transaction open. Told to stop
 * meanwhile, it hands over none, and puts back those that could have gone.
 */
void
ma_delivery_dispatch(MaSender *sender, MaRoute *route)
{
	MaLetter  *letters;
	MaResults  results = {0};
	int		   n = route->claimed_count;
	bool	   hands_over = route->kind != MA_CHANNEL_LOG;
	ErrorData *cancel;

	ma_delivery_begin(sender);
	letters = ma_letter_write(route->lane.channel_id, route->claimed, &n);
	cancel = n > 0 ? letters[n - 1].cancel : NULL;
	for (int i = 0; i < n; i++)
		if (!is_good(&letters[i]) || !hands_over || cancel != NULL)
			conclude(route, &letters[i], hands_over, &results);
	if (route->lane.alone && cancel == NULL)
		ma_outbox_written(&route->lane, route->claimed, route->claimed_count);
	if (results.n > 0)
		ma_outbox_finish(sender->lease, results.list, results.n);
	ma_delivery_commit(sender);
	for (int i = 0; i < n && hands_over && cancel == NULL; i++)
		if (is_good(&letters[i]))
			hand_over(route, &letters[i]);
	if (hands_over)
		ma_transport_flush(route->transport);
	for (int i = 0; i < route->claimed_count && route->slot_count > 0; i++)
		if (route->flights == NULL ||
			hash_search(route->flights, &route->claimed[i].message_id,
						HASH_FIND, NULL) == NULL)
			ma_delivery_release(route, route->claimed[i].message_id);
	if (cancel != NULL)
		ReThrowError(cancel);
}

/* Can it be sent? */
static bool
is_good(const MaLetter *letter)
{
	return letter->refusal == NULL && letter->failure == NULL &&
		   letter->cancel == NULL;
}

/* What becomes of a letter that is not handed over. */
static void
conclude(MaRoute *route, const MaLetter *letter, bool hands_over,
		 MaResults *results)
{
	MaFinish *finish = ma_delivery_result(results, route, letter->message_id,
										  letter->priority);

	finish->address = letter->address;
	finish->reason =
		letter->refusal != NULL ? letter->refusal : letter->failure;
	if (letter->refusal != NULL)
		finish->state = MA_FINISH_REFUSED;
	else if (letter->failure != NULL)
		finish->state = letter->passing ? MA_FINISH_RETRY : MA_FINISH_FAILED;
	else if (hands_over || letter->cancel != NULL)
		finish->state = MA_FINISH_DEFERRED;
	else
		finish->state = MA_FINISH_SENT;
	finish->due_at = ma_now();
	if (finish->state == MA_FINISH_RETRY)
		ma_delivery_try_later(route, finish, letter->attempt,
							  letter->first_tried_at);
	route->traffic.sent += finish->state == MA_FINISH_SENT;
	route->traffic.failed += finish->state == MA_FINISH_FAILED;
	route->traffic.tried_again += finish->state == MA_FINISH_RETRY;
}

/* Gives one letter to the transport, and remembers it. */
static void
hand_over(MaRoute *route, const MaLetter *letter)
{
	MaMail	  mail = {0};
	MaRequest request = {0};
	MaFlight *flight;
	bool	  found;

	flight =
		hash_search(route->flights, &letter->message_id, HASH_ENTER, &found);
	flight->priority = letter->priority;
	flight->attempt = letter->attempt;
	flight->first_tried_at = letter->first_tried_at;
	flight->begun_at = GetCurrentTimestamp();
	flight->address = letter->address == NULL ?
						  NULL :
						  MemoryContextStrdup(route->cxt, letter->address);
	if (route->kind == MA_CHANNEL_HTTP)
	{
		request.id = letter->message_id;
		request.method = letter->request.method;
		request.url = letter->request.url;
		request.headers = letter->request.headers.data;
		request.body = letter->request.body.data;
		request.body_len = letter->request.body.len;
		ma_transport_request(route->transport, &request);
		return;
	}
	mail.id = letter->message_id;
	mail.sender = letter->sender;
	mail.recipient = letter->address;
	mail.body = letter->content.data;
	mail.body_len = letter->content.len;
	ma_transport_send(route->transport, &mail);
}
