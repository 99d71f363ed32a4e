/*
 * delivery_pace.c
 *	  How much of what is due a sender may take now.
 *
 * The limits of a channel (its rate, the quota of a day of its warm-up) are
 * asked before messages are claimed: without a token nothing is, and the
 * sender sleeps until the next one comes. Those of a domain can only be asked
 * when it is known whose messages they are; what may not go now is put back,
 * in the same transaction, to a time of its own (rate.c). The senders of a
 * channel take the limits in one order: channel, then domains by name.
 *
 * How many messages of a domain may be under way at once is counted by locks
 * (lease.h), one for each: a sender that dies lets go of its own. While
 * messages of one domain are put back, more are claimed than can be sent, so
 * that what is behind them comes to its turn.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "address.h"
#include "arm.h"
#include "batch.h"
#include "clock.h"
#include "delivery_private.h"
#include "lease.h"
#include "rate.h"
#include "sql.h"

/* So many are claimed while messages are being put back. */
#define SKIM_BATCH 500

/* A message is under way for so long, in us, as long as we know no better. */
#define FLIGHT_FIRST 50000
#define FLIGHT_LEAST 5000

/* A claimed message and whose domain it goes to. */
typedef struct Parcel
{
	MaClaim				claim;
	char			   *domain; /* NULL: none, or it does not matter */
	const MaDomainPace *pace;	/* of it; NULL: no limit */
} Parcel;

/* What is left of the channel's limits, locked. */
typedef struct Allowance
{
	MaBucket bucket;
	MaQuota	 quota;
	int		 messages;
} Allowance;

static bool	   has_limits(const MaPace *pace);
static int	   allow(MaRoute *route, const MaPace *pace, Allowance *allowance,
					 int room);
static void	   settle(const MaPace *pace, Allowance *allowance, int used);
static int	   share(MaRoute *route, const MaChannel *channel, int most,
					 MaResults *results);
static Parcel *sort_parcels(const MaRoute *route, const MaChannel *channel);
static char	 **domains_of(const MaRoute *route, const MaChannel *channel);
static int	   compare_parcels(const void *a, const void *b);
static int share_domain(MaRoute *route, const Parcel *parcels, int n, int most,
						MaResults *results);
static bool take_slot(MaRoute *route, const Parcel *parcel);
static void put_back(MaRoute *route, const Parcel *parcel, TimestampTz at,
					 MaResults *results);

/*
 * Claims messages of a route, at most so many, within its limits. Stores in
 * results those that are put back; returns how many were handled.
 */
int
ma_delivery_claim_route(MaSender *sender, MaRoute *route, int room,
						MaResults *results)
{
	const MaChannel *channel = ma_channel_find(route->lane.channel_id);
	const MaPace	*pace = &channel->pace;
	Allowance		 allowance;
	int				 asked;
	int				 before = results->n;

	route->claimed_count = 0;
	/* who has nothing to send locks no limit */
	if (has_limits(pace) && !ma_outbox_has_due(&route->lane))
		route->hungry = false;
	if (!route->hungry)
		return 0;
	room = allow(route, pace, &allowance, room);
	if (room == 0)
		sender->look_at = Min(sender->look_at, route->waits_until);
	asked = route->skims ? Max(room, SKIM_BATCH) : room;
	if (room > 0)
	{
		route->claimed = palloc(asked * sizeof(MaClaim));
		route->claimed_count = ma_outbox_claim(&route->lane, sender->lease,
											   asked, route->claimed);
		route->hungry = route->claimed_count == asked || route->lane.suspects;
	}
	if (pace->domain_count > 0 && route->claimed_count > 0)
		route->claimed_count = share(route, channel, room, results);
	settle(pace, &allowance, route->claimed_count);
	route->skims = results->n > before;
	return route->claimed_count + results->n - before;
}

/* Has the channel limits as a whole? */
static bool
has_limits(const MaPace *pace)
{
	return pace->rate.interval > 0 || ma_pace_warms_up(pace);
}

/* Locks the channel's limits, if it has any; how many they leave of room. */
static int
allow(MaRoute *route, const MaPace *pace, Allowance *allowance, int room)
{
	int channel_id = route->lane.channel_id;

	route->waits_until = 0;
	if (!has_limits(pace))
		return room;
	/* of a warm-up too: this is the lock, before there is a quota */
	ma_rate_open(&allowance->bucket, channel_id, "", &pace->rate);
	room = ma_rate_tokens(&allowance->bucket, room);
	if (room == 0)
		route->waits_until = ma_rate_next(&allowance->bucket);
	if (ma_pace_warms_up(pace) && room > 0)
	{
		ma_rate_open_quota(&allowance->quota, channel_id, pace);
		if (allowance->quota.left >= 0)
			room = Min(room, allowance->quota.left);
		if (room == 0)
			route->waits_until = allowance->quota.tomorrow;
	}
	return room;
}

/* Takes from them what was used. */
static void
settle(const MaPace *pace, Allowance *allowance, int used)
{
	if (used == 0 || !has_limits(pace))
		return;
	ma_rate_take(&allowance->bucket, used);
	ma_rate_close(&allowance->bucket);
	if (ma_pace_warms_up(pace))
		ma_rate_close_quota(&allowance->quota, used);
}

/*
 * Keeps of what the route has claimed what the limits of domains allow, at
 * most so many; the rest is put back. Returns how many are kept.
 */
static int
share(MaRoute *route, const MaChannel *channel, int most, MaResults *results)
{
	Parcel *parcels = sort_parcels(route, channel);
	int		n = route->claimed_count;
	int		end;

	route->claimed_count = 0;
	for (int i = 0; i < n; i = end)
	{
		int left = most - route->claimed_count;

		end = i + 1;
		while (end < n && parcels[i].pace != NULL &&
			   parcels[end].pace != NULL &&
			   strcmp(parcels[i].domain, parcels[end].domain) == 0)
			end++;
		if (parcels[i].pace != NULL && left > 0)
			share_domain(route, parcels + i, end - i, left, results);
		else if (parcels[i].pace == NULL && left > 0)
			route->claimed[route->claimed_count++] = parcels[i].claim;
		else
			for (int j = i; j < end; j++)
				put_back(route, &parcels[j], 0, results);
	}
	return route->claimed_count;
}

/* What the route has claimed, by domain; those without a limit last. */
static Parcel *
sort_parcels(const MaRoute *route, const MaChannel *channel)
{
	int		n = route->claimed_count;
	Parcel *parcels = palloc0(n * sizeof(Parcel));
	char  **domains = domains_of(route, channel);

	for (int i = 0; i < n; i++)
	{
		parcels[i].claim = route->claimed[i];
		parcels[i].domain = domains[i];
		if (domains[i] != NULL)
			parcels[i].pace = ma_pace_domain(&channel->pace, domains[i]);
	}
	qsort(parcels, n, sizeof(Parcel), compare_parcels);
	return parcels;
}

/* By domain, then by priority and age. */
static int
compare_parcels(const void *a, const void *b)
{
	const Parcel *x = a;
	const Parcel *y = b;
	int			  order;

	if ((x->pace == NULL) != (y->pace == NULL))
		return x->pace == NULL ? 1 : -1;
	order = x->pace == NULL ? 0 : strcmp(x->domain, y->domain);
	if (order != 0)
		return order;
	if (x->claim.priority != y->claim.priority)
		return x->claim.priority > y->claim.priority ? -1 : 1;
	return x->claim.message_id < y->claim.message_id ? -1 : 1;
}

/* The domain that each claimed message goes to, NULL where there is none. */
static char **
domains_of(const MaRoute *route, const MaChannel *channel)
{
	static MaStatement stmt = {
		"select i.n, mautomate_internal.recipient_address(p, $2)"
		" from unnest($1) with ordinality i(message_id, n)"
		" join mautomate_internal.message m using (message_id)"
		" join mautomate.contact c on c.contact_id = m.contact_id"
		" join mautomate.contact p"
		"  on p.contact_id = coalesce(c.merged_into, c.contact_id)",
		2,
		{INT8ARRAYOID, TEXTOID}};
	MemoryContext cxt = CurrentMemoryContext;
	int			  n = route->claimed_count;
	char		**domains = palloc0(n * sizeof(char *));
	const char	 *redirect = ma_arm()->redirect;
	MaColumn	  id;
	Datum		  values[2];
	MaSqlScope	  scope;
	uint64		  rows;

	ma_sql_begin(&scope);
	ma_outbox_use_indexes();
	ma_column_init(&id, INT8OID, n);
	for (int i = 0; i < n; i++)
		ma_column_add(&id, Int64GetDatum(route->claimed[i].message_id), false);
	values[0] = ma_column_array(&id);
	values[1] = CStringGetTextDatum(channel->recipient);
	rows = ma_sql_exec(&stmt, values, NULL, 0);
	for (uint64 row = 0; row < rows; row++)
	{
		bool		isnull;
		int			i = DatumGetInt64(ma_sql_datum(row, 1, &isnull)) - 1;
		const char *address = redirect ? redirect : ma_sql_text(row, 2);
		const char *reason;

		if (address != NULL && strchr(address, '@') != NULL &&
			ma_address_valid(address, &reason))
			domains[i] = MemoryContextStrdup(
				cxt, ma_address_domain(ma_address_normalise(address, NULL)));
	}
	ma_sql_end(&scope);
	return domains;
}

/*
 * Keeps of the messages to one domain what its limits allow, at most so many,
 * and puts the rest back. Returns how many are kept.
 */
static int
share_domain(MaRoute *route, const Parcel *parcels, int n, int most,
			 MaResults *results)
{
	const MaDomainPace *pace = parcels[0].pace;
	double				step = pace->rate.interval;
	MaBucket			bucket;
	int					tokens;
	int					kept = 0;
	bool				slots = true;

	ma_rate_open(&bucket, route->lane.channel_id, parcels[0].domain,
				 &pace->rate);
	tokens = Min(ma_rate_tokens(&bucket, n), most);
	while (kept < tokens && slots)
	{
		slots = take_slot(route, &parcels[kept]);
		if (slots)
			route->claimed[route->claimed_count++] = parcels[kept++].claim;
	}
	ma_rate_take(&bucket, kept);
	if (!slots)
	{
		double under_way =
			route->flight_us > 0 ? route->flight_us : FLIGHT_FIRST;

		step = Max(step, Max(under_way, FLIGHT_LEAST) / pace->connections);
		bucket.queue_at =
			Max(bucket.queue_at, bucket.now + (TimestampTz) step);
	}
	for (int i = kept; i < n; i++)
		put_back(route, &parcels[i],
				 kept == most ? 0 : ma_rate_queue(&bucket, step), results);
	ma_rate_close(&bucket);
	return kept;
}

/* Takes a place among the messages to a domain that may be under way. */
static bool
take_slot(MaRoute *route, const Parcel *parcel)
{
	int	   limit = parcel->pace->connections;
	uint64 hash;

	if (limit == 0)
		return true;
	hash = hash_bytes_extended((const unsigned char *) parcel->domain,
							   strlen(parcel->domain), route->lane.channel_id);
	for (int k = 0; k < limit; k++)
	{
		int64 number = (int64) (hash + k);
		bool  mine = false;

		for (int i = 0; i < route->slot_count && !mine; i++)
			mine = route->slots[i].number == number;
		if (mine || !ma_lease_take(MA_LEASE_SLOT, number))
			continue;
		if (route->slot_count == route->slot_max)
		{
			route->slot_max = Max(16, 2 * route->slot_max);
			route->slots =
				route->slots == NULL ?
					MemoryContextAlloc(route->lane.cxt,
									   route->slot_max * sizeof(MaSlot)) :
					repalloc(route->slots, route->slot_max * sizeof(MaSlot));
		}
		route->slots[route->slot_count].message_id = parcel->claim.message_id;
		route->slots[route->slot_count++].number = number;
		return true;
	}
	return false;
}

/* The message is not under way any more; 0: none of the route's is. */
void
ma_delivery_release(MaRoute *route, int64 message_id)
{
	for (int i = route->slot_count - 1; i >= 0; i--)
	{
		if (message_id != 0 && route->slots[i].message_id != message_id)
			continue;
		ma_lease_give_back(MA_LEASE_SLOT, route->slots[i].number);
		route->slots[i] = route->slots[--route->slot_count];
	}
}

/*
 * Puts a message back until a time of the real clock; 0: it was only one too
 * many. Where the clock stands still that time never comes, and the message
 * is parked.
 */
static void
put_back(MaRoute *route, const Parcel *parcel, TimestampTz at,
		 MaResults *results)
{
	MaFinish *finish = ma_delivery_result(
		results, route, parcel->claim.message_id, parcel->claim.priority);
	TimestampTz now = GetCurrentTimestamp();

	finish->state = MA_FINISH_DEFERRED;
	finish->due_at = ma_now();
	if (at == 0)
		return;
	finish->reason = psprintf("the rate of %s", parcel->domain);
	if (!ma_clock_is_set())
	{
		finish->due_at = Max(at, now);
		return;
	}
	finish->real_at = at;
	route->parked_until = Min(route->parked_until, at);
}

/* Lets go of what is parked and may go now. Needs a transaction. */
void
ma_delivery_unpark(MaRoute *route)
{
	if (!ma_clock_is_set() && route->parked_until == DT_NOEND)
		return;
	if (ma_outbox_unpark(&route->lane, &route->parked_until) > 0)
		route->hungry = true;
}
