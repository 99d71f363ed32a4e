/*
 * outbox.h
 *	  The messages to be sent: enqueue, claim, finish, retry.
 *
 * Whether a person can be reached at all is asked of gate.h.
 */
#ifndef MA_OUTBOX_H
#define MA_OUTBOX_H

#include "datatype/timestamp.h"
#include "storage/lock.h"
#include "utils/jsonb.h"

/* A message somebody wants sent; zero what is not needed. */
typedef struct MaIntent
{
	int64		contact_id;
	int			template_id;	 /* its newest version is sent */
	Jsonb	   *context;		 /* context.x of the template; NULL: none */
	Jsonb	   *entry;			 /* entry.x: properties of the event that
								 * started the enrolment; NULL: none */
	Jsonb	   *event;			 /* event.x; NULL: none */
	TimestampTz not_before;		 /* 0: now */
	int			priority;		 /* above 0: before all others that are due;
								 * 0: in order of arrival */
	const char *idempotency_key; /* NULL: none */
	int64		enrollment_id;	 /* 0: not of a workflow; else a message is
								 * unique by enrolment, step and pass */
	const char *step;			 /* step id in the enrolment's version */
	int			pass;			 /* how often the step has been reached */
} MaIntent;

/*
 * How far a sender has come in the messages of a channel. Below mark there
 * is nothing new; zero all but channel_id to begin.
 */
typedef struct MaLane
{
	int					  channel_id;
	int64				  mark; /* nothing new has this id or a lower one */
	int64				  next_mark; /* candidate, while writers may hold lower
								 * ids; 0: none */
	VirtualTransactionId *writers;	 /* who, ends with an invalid one */
} MaLane;

/* How an attempt ended. */
typedef enum MaFinishState
{
	MA_FINISH_SENT,		/* final */
	MA_FINISH_FAILED,	/* final: refused for good by the server */
	MA_FINISH_REFUSED,	/* final: by the gate */
	MA_FINISH_RETRY,	/* again at due_at */
	MA_FINISH_IN_DOUBT, /* may have arrived; again at due_at */
	MA_FINISH_HELD,		/* may have arrived; set aside */
	MA_FINISH_UNTRIED	/* again at due_at, the attempt not counted */
} MaFinishState;

/* The end of one attempt. Texts may be NULL. */
typedef struct MaFinish
{
	int64		  message_id;
	int			  channel_id;
	MaFinishState state;
	const char	 *address; /* where it went */
	const char	 *reason;  /* of our own */
	const char	 *reply;   /* of the server */
	TimestampTz	  due_at;
} MaFinish;

extern void ma_outbox_enqueue(const MaIntent *intents, int n,
							  int64 *message_ids);

extern int64 ma_outbox_open_lease(void);
extern void	 ma_outbox_close_lease(int64 lease);
extern bool	 ma_outbox_has_due(const MaLane *lane);
extern int	 ma_outbox_claim(MaLane *lane, int64 lease, int max, int64 *ids);
extern void	 ma_outbox_finish(int64 lease, const MaFinish *results, int n);
extern int	 ma_outbox_rescue(int64 lease);
extern TimestampTz ma_outbox_next_due(void);
extern void		   ma_outbox_use_indexes(void);

#endif /* MA_OUTBOX_H */
