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
#include "secret.h"

/* How many messages of a log channel are claimed at once. */
#define LOG_BATCH 1000

/* Others are claimed when there is room for one to so many connections. */
#define ROOM_SHARE 4

/* A relay that cannot be reached is left alone so long, by the real clock. */
#define REST_FIRST (1 * USECS_PER_SEC)
#define REST_MOST  (60 * USECS_PER_SEC)

static void start_transport(MaSender *sender, MaRoute *route);
static void configure(const MaChannel *channel, MaTransportConfig *config);
static MaTransportRelay relay_of(const MaRelay *relay);
static void configure_web(const MaChannelHttp *http, MaTransportWeb *web);
static bool is_resting(const MaRoute *route);

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
			route->parked_until = 0; /* look */
		}
		route->kind = channels[i].transport;
		route->connections = channels[i].connections;
		route->hold_in_doubt = channels[i].hold_in_doubt;
		route->one_server = channels[i].transport == MA_CHANNEL_SMTP ||
							channels[i].http.one_server;
		if (route->revision != channels[i].revision)
		{
			route->revision = channels[i].revision;
			route->resting_until = 0;
			route->rest = 0;
			route->waits_until = 0;
			if (route->transport != NULL)
				ma_transport_drain(route->transport);
		}
	}
}

/*
 * Sees to it that the transport of a route runs when it is needed.
 * Needs a transaction.
 */
void
ma_delivery_prepare(MaSender *sender, MaRoute *route)
{
	if (route->transport == NULL && route->hungry && !is_resting(route))
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
	MaTransportConfig config;
	HASHCTL			  control = {0};

	configure(channel, &config);
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

/* What the transport is told of the channel; in the current context. */
static void
configure(const MaChannel *channel, MaTransportConfig *config)
{
	int				  n = Max(channel->relay_count, 1);
	MaTransportRelay *relays = palloc(n * sizeof(MaTransportRelay));

	memset(config, 0, sizeof(*config));
	relays[0] = relay_of(&channel->relay);
	for (int i = 0; i < channel->relay_count; i++)
		relays[i] = relay_of(&channel->relays[i]);
	config->relays = relays;
	config->relay_count = n;
	config->helo = channel->helo;
	config->connections = channel->connections;
	config->connect_ms = channel->connect_ms;
	config->reply_ms = channel->reply_ms;
	config->final_ms = channel->final_ms;
	config->total_ms = channel->total_ms;
	config->idle_ms = channel->idle_ms;
	if (channel->transport == MA_CHANNEL_HTTP)
	{
		config->kind = "http";
		configure_web(&channel->http, &config->web);
	}
}

/* A relay as the transport knows it. */
static MaTransportRelay
relay_of(const MaRelay *relay)
{
	MaTransportRelay result = {0};

	result.host = relay->host;
	result.port = relay->port;
	result.weight = relay->weight;
	result.tls = relay->tls;
	result.insecure = !relay->verify;
	result.ca_file = relay->ca_file;
	result.user = relay->user;
	result.auth = relay->auth;
	result.password_file = ma_secret_path(relay->password_file);
	return result;
}

/* What only requests have, as the transport knows it. */
static void
configure_web(const MaChannelHttp *http, MaTransportWeb *web)
{
	web->url_file = ma_secret_path(http->url_file);
	web->token_file = ma_secret_path(http->token_file);
	web->token_header = http->token_header;
	web->token_prefix = http->token_prefix;
	web->sign_file = ma_secret_path(http->sign_file);
	web->sign_header = http->sign_header;
	web->time_header = http->time_header;
	web->success = http->success;
	web->retry = http->retry;
	web->path = http->path;
	web->values = http->values;
	web->retry_values = http->retry_values;
	web->id_path = http->id_path;
	web->allow_private = http->allow_private;
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

/* How many messages its transport can take now, at most max. */
int
ma_delivery_room(const MaRoute *route, int max)
{
	if (route->kind == MA_CHANNEL_LOG)
		return Min(max, LOG_BATCH);
	if (route->transport == NULL || !ma_transport_alive(route->transport) ||
		ma_delivery_full(route))
		return 0;
	return Min(max, ma_transport_room(route->transport));
}

/*
 * Is nothing claimed for its transport until something comes back? It costs
 * less to claim some at once than each by itself. Nothing waits for that:
 * as long as a connection is free no message is ahead, and what is under way
 * leaves more room than this.
 */
bool
ma_delivery_full(const MaRoute *route)
{
	return route->transport != NULL &&
		   ma_transport_pending(route->transport) > 0 &&
		   ma_transport_room(route->transport) <
			   Max(route->connections / ROOM_SHARE, 1);
}

/* Is its relay left alone for now? */
static bool
is_resting(const MaRoute *route)
{
	return route->resting_until > GetCurrentTimestamp();
}

/* Until when nothing is claimed: it rests, or waits for a token. */
TimestampTz
ma_delivery_blocked_until(const MaRoute *route)
{
	return Max(route->resting_until, route->waits_until);
}

/* Leaves its relay alone for a while, each time for longer. */
void
ma_delivery_rest(MaRoute *route)
{
	if (is_resting(route))
		return;
	route->rest =
		route->rest == 0 ? REST_FIRST : Min(2 * route->rest, REST_MOST);
	route->resting_until = GetCurrentTimestamp() + route->rest;
}

/* Leaves its server alone for so many seconds, as it has asked. */
void
ma_delivery_rest_for(MaRoute *route, int seconds)
{
	TimestampTz until =
		GetCurrentTimestamp() + Min(seconds * USECS_PER_SEC, REST_MOST);

	route->resting_until = Max(route->resting_until, until);
}
