/*
 * delivery_private.h
 *	  What the files of the sender share; for delivery_*.c alone.
 */
#ifndef MA_DELIVERY_PRIVATE_H
#define MA_DELIVERY_PRIVATE_H

#include "utils/hsearch.h"

#include "channel.h"
#include "delivery.h"
#include "outbox.h"
#include "traffic.h"
#include "transport.h"

/* A message that is with the transport. */
typedef struct MaFlight
{
	int64		message_id; /* key */
	int			priority;
	int			attempt;
	TimestampTz first_tried_at;
	TimestampTz begun_at; /* real time */
	char	   *address;  /* in the route's context; or NULL */
} MaFlight;

/* A place among the messages that may be under way to a domain. */
typedef struct MaSlot
{
	int64 message_id;
	int64 number; /* of the lease */
} MaSlot;

/* A channel as a sender serves it. */
typedef struct MaRoute
{
	MaLane			   lane;
	MaChannelTransport kind;
	uint32			   revision; /* of the settings the transport was given */
	int				   connections;
	bool			   hold_in_doubt;
	bool			   one_server;	  /* all messages go to the same */
	bool			   hungry;		  /* there may be something to claim */
	MemoryContext	   cxt;			  /* of transport and flights */
	MaTransport		  *transport;	  /* NULL: not started */
	HTAB			  *flights;		  /* MaFlight by message_id */
	TimestampTz		   resting_until; /* real time; 0: not resting */
	TimestampTz		   rest;		  /* length of the last rest */
	TimestampTz		   waits_until;	  /* for a token; real time, 0: for none */
	TimestampTz		   parked_until;  /* when the first that is parked may go;
									   * real time, 0: unknown, DT_NOEND: none
									   * is */
	bool			   skims;		  /* were some put back last time? */
	double			   flight_us; /* how long one is under way; 0: unknown */
	MaSlot			  *slots;	  /* held now */
	int				   slot_count;
	int				   slot_max;
	MaTraffic		   traffic;
	char			  *last_failure; /* what was said; or NULL */
	MaClaim			  *claimed;		 /* in this step */
	int				   claimed_count;
} MaRoute;

struct MaSender
{
	MemoryContext cxt;			/* owns all of it */
	MemoryContext step_cxt;		/* reset at each step */
	bool		  in_procedure; /* transactions are CALL's, not ours */
	int64		  lease;
	TimestampTz	  rescued_at; /* when dead leases were last looked for */
	TimestampTz	  tidied_at;  /* when limits were last tidied up */
	TimestampTz	  look_at; /* when to look for messages, whatever comes back */
	MaRoute		 *routes;
	int			  route_count;
};

/* Results of a step, growing. */
typedef struct MaResults
{
	MaFinish *list;
	int		  n;
	int		  max;
} MaResults;

/* delivery.c */
extern void ma_delivery_begin(MaSender *sender);
extern void ma_delivery_commit(MaSender *sender);

/* delivery_route.c */
extern void		   ma_delivery_refresh(MaSender *sender);
extern void		   ma_delivery_prepare(MaSender *sender, MaRoute *route);
extern void		   ma_delivery_retire(MaRoute *route);
extern bool		   ma_delivery_gone(const MaRoute *route);
extern int		   ma_delivery_room(const MaRoute *route, int max);
extern TimestampTz ma_delivery_blocked_until(const MaRoute *route);
extern bool		   ma_delivery_full(const MaRoute *route);
extern void		   ma_delivery_rest(MaRoute *route);
extern void		   ma_delivery_rest_for(MaRoute *route, int seconds);

/* delivery_ready.c */
extern bool ma_delivery_ready(MaRoute *route);
extern void ma_delivery_pause(const MaChannel *channel, const char *reason);

/* delivery_claim.c */
extern int	ma_delivery_claim(MaSender *sender, int max);
extern void ma_delivery_dispatch(MaSender *sender, MaRoute *route);

/* delivery_pace.c */
extern int	ma_delivery_claim_route(MaSender *sender, MaRoute *route, int room,
									MaResults *results);
extern void ma_delivery_release(MaRoute *route, int64 message_id);
extern void ma_delivery_unpark(MaRoute *route);

/* delivery_record.c */
extern void		 ma_delivery_record(MaSender *sender, MaResults *results);
extern void		 ma_delivery_count(MaSender *sender, bool all);
extern void		 ma_delivery_acknowledge(MaSender		 *sender,
										 const MaResults *results);
extern void		 ma_delivery_try_later(const MaRoute *route, MaFinish *finish,
									   int attempt, TimestampTz first_tried_at);
extern MaFinish *ma_delivery_result(MaResults *results, const MaRoute *route,
									int64 message_id, int priority);

#endif /* MA_DELIVERY_PRIVATE_H */
