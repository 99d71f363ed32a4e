/*
 * delivery_route.c
 *	  A channel as a sender serves it: its transport, and when to use it.
 *
 * A transport program is started when there is something for it to do, and
 * drained when the settings of its channel have changed. A relay that cannot
 * be reached is left alone for a while, each time for longer.
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "delivery_private.h"
#include "guc.h"

/* How many messages of a log channel are claimed at once. */
#define LOG_BATCH 1000

/* A relay that cannot be reached is left alone so long, by the real clock. */
#define REST_FIRST (1 * USECS_PER_SEC)
#define REST_MOST  (60 * USECS_PER_SEC)

static void start_transport(MaSender *sender, MaRoute *route);

/* Brings the routes in line with the channels. Needs a transaction. */
void
ma_delivery_refresh(MaSender *sender)
{
	int				 n;
	const MaChannel *channels = ma_channel_all(&n);

	for (int i = 0; i < n; i++)
	{
		MaRoute *route = NULL;

		for (int r = 0; r < sender->route_count; r++)
			if (sender->routes[r].lane.channel_id == channels[i].channel_id)
				route = &sender->routes[r];
		if (route == NULL)
		{
			Size size = (sender->route_count + 1) * sizeof(MaRoute);

			sender->routes = sender->routes == NULL ?
								 MemoryContextAlloc(sender->cxt, size) :
								 repalloc(sender->routes, size);
			route = &sender->routes[sender->route_count++];
			memset(route, 0, sizeof(MaRoute));
			route->lane.channel_id = channels[i].channel_id;
			route->lane.cxt = sender->cxt;
			route->hungry = true;
		}
		route->kind = channels[i].transport;
		route->connections = channels[i].connections;
		route->hold_in_doubt = channels[i].hold_in_doubt;
		if (route->revision != channels[i].revision)
		{
			route->revision = channels[i].revision;
			route->resting_until = 0;
			route->rest = 0;
			if (route->transport != NULL)
				ma_transport_drain(route->transport);
		}
	}
}

/*
 * Sees to it that the transport of an smtp route runs when it is needed.
 * Needs a transaction.
 */
void
ma_delivery_prepare(MaSender *sender, MaRoute *route)
{
	if (route->transport == NULL && route->hungry &&
		!ma_delivery_resting(route))
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
start_transport(MaSender *sender, MaRoute *route)
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
	control.entrysize = sizeof(MaFlight);
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
		ma_delivery_rest(route);
		ereport(WARNING,
				(errmsg("channel \"%s\": %s", channel->name, edata->message)));
	}
	PG_END_TRY();
	MemoryContextSwitchTo(sender->step_cxt);
}

/* Is there a transport that is gone and owes nothing? */
bool
ma_delivery_gone(const MaRoute *route)
{
	return route->transport != NULL && !ma_transport_alive(route->transport) &&
		   ma_transport_pending(route->transport) == 0;
}

/*
 * Frees a transport that is gone and owes nothing. Its last results have been
 * acknowledged in the step before.
 */
void
ma_delivery_retire(MaRoute *route)
{
	const char *reason;

	if (!ma_delivery_gone(route))
		return;
	reason = ma_transport_reason(route->transport);
	if (reason[0] != '\0')
	{
		ereport(LOG, (errmsg("mautomate-transport ended: %s", reason)));
		ma_delivery_rest(route);
	}
	MemoryContextDelete(route->cxt);
	route->cxt = NULL;
	route->transport = NULL;
	route->flights = NULL;
}

/* How many messages the route can take now, at most max. */
int
ma_delivery_room(const MaRoute *route, int max)
{
	if (!route->hungry || ma_delivery_resting(route))
		return 0;
	if (route->kind == MA_CHANNEL_LOG)
		return Min(max, LOG_BATCH);
	if (route->transport == NULL || !ma_transport_alive(route->transport))
		return 0;
	return Min(max, ma_transport_room(route->transport));
}

/* Is its relay left alone for now? */
bool
ma_delivery_resting(const MaRoute *route)
{
	return route->resting_until > GetCurrentTimestamp();
}

/* Leaves its relay alone for a while, each time for longer. */
void
ma_delivery_rest(MaRoute *route)
{
	if (ma_delivery_resting(route))
		return;
	route->rest =
		route->rest == 0 ? REST_FIRST : Min(2 * route->rest, REST_MOST);
	route->resting_until = GetCurrentTimestamp() + route->rest;
}
