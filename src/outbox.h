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
#include "utils/palloc.h"
#include "utils/jsonb.h"

/* A message somebody wants sent; zero what is not needed. */
typedef struct MaIntent
{
	int64		contact_id;
	int			template_id;	 /* its newest version is sent */
	Jsonb	   *context;		 /* context.x of the template; NULL: none */
	Jsonb	   *entry;			 /* entry.x: properties of the event that
								 * started the enrolment; NULL: none */
	Jsonb	   *event;			 /* event.x: of the event that answered the
								 * last wait of the enrolment; NULL: none */
	TimestampTz not_before;		 /* 0: now */
	bool		has_priority;	 /* else that of the template */
	int			priority;		 /* see MA_PRIORITIES */
	const char *idempotency_key; /* NULL: none */
	int64		enrollment_id;	 /* 0: not of a workflow; else a message is
								 * unique by enrolment, step and pass */
	const char *step;			 /* step id in the enrolment's version */
	int			pass;			 /* how often the step has been reached */
} MaIntent;

/*
 * What is higher is sent first; within one priority in order of arrival, or
 * of the time that a message has.
 */
#define MA_PRIORITY_LEAST (-9)
#define MA_PRIORITY_MOST  9
#define MA_PRIORITIES	  (MA_PRIORITY_MOST - MA_PRIORITY_LEAST + 1)

/* Where a sender goes on in the messages of one priority. */
typedef struct MaCursor
{
	int64		id;		/* nothing new has this id or a lower one */
	TimestampTz due_at; /* nothing that has a time is due before this ... */
	int64		due_id; /* ... or at it, with this id or a lower one */
} MaCursor;

/* A transaction that may still bring messages from before the cursors. */
typedef struct MaWriter
{
	VirtualTransactionId id;
	int64				 low;	 /* its messages have higher ids */
	TimestampTz			 low_at; /* and are not due before */
} MaWriter;

/*
 * How far a sender has come in the messages of a channel. Zero all but
 * channel_id and cxt to begin.
 */
typedef struct MaLane
{
	int			  channel_id;
	MemoryContext cxt;	 /* of what is below */
	bool		  begun; /* are the cursors set? */
	MaCursor	  cursors[MA_PRIORITIES];
	int64		  seen_id;	  /* highest id at the last look around */
	TimestampTz	  seen_at;	  /* time of it */
	TimestampTz	  renewed_at; /* real time when all was looked at last */
	int			  claimed;	  /* since the last look around */
	bool		  alone;	  /* was a suspect claimed last? */
	bool		  suspects;	  /* there may be more of them */
	MaWriter	 *writers;
	int			  writer_count;
} MaLane;

/* A claimed message. */
typedef struct MaClaim
{
	int64 message_id;
	int	  priority;
} MaClaim;

/* A claimed message as it was read. */
typedef struct MaMessage
{
	MaClaim		claim;
	int			attempt;
	TimestampTz first_tried_at;
	bool		recorded; /* has it a lasting record? Else the rest is zero */
	int64		contact_id;
	int			template_id;
	int			version;
	TimestampTz enqueued_at;
	Jsonb	   *data; /* {"context", "entry", "event"}; or NULL */
} MaMessage;

/* How an attempt ended. */
typedef enum MaFinishState
{
	MA_FINISH_SENT,		/* final */
	MA_FINISH_FAILED,	/* final: refused for good by the server */
	MA_FINISH_REFUSED,	/* final: by the gate */
	MA_FINISH_RETRY,	/* again at due_at */
	MA_FINISH_IN_DOUBT, /* may have arrived; again at due_at */
	MA_FINISH_HELD,		/* may have arrived; set aside */
	MA_FINISH_DEFERRED	/* again at due_at, the attempt not counted */
} MaFinishState;

/* The end of one attempt. Texts may be NULL. */
typedef struct MaFinish
{
	int64		  message_id;
	int			  channel_id;
	int			  priority;
	MaFinishState state;
	const char	 *address;	/* where it went */
	const char	 *reason;	/* of our own; deferred: what it waits for */
	const char	 *reply;	/* of the server */
	const char	 *provided; /* the id that it gave */
	TimestampTz	  due_at;
	TimestampTz	  real_at; /* deferred until this by the real clock, while the
							* other stands still; 0: until due_at */
} MaFinish;

extern void ma_outbox_enqueue(const MaIntent *intents, int n,
							  int64 *message_ids);

/* outbox_claim.c */
extern bool		   ma_outbox_has_due(MaLane *lane);
extern int		   ma_outbox_claim(MaLane *lane, int64 lease, int max,
								   MaClaim *claims);
extern TimestampTz ma_outbox_next_due(MaLane *lane);

/* outbox_read.c */
extern int ma_outbox_read(int channel_id, const MaClaim *claims, int n,
						  MaMessage *messages);

/* outbox_finish.c */
extern int64 ma_outbox_open_lease(void);
extern void	 ma_outbox_close_lease(int64 lease);
extern void	 ma_outbox_finish(int64 lease, const MaFinish *results, int n);
extern int	 ma_outbox_unpark(const MaLane *lane, TimestampTz *next);
extern void	 ma_outbox_written(const MaLane *lane, const MaClaim *claims,
							   int n);
extern int	 ma_outbox_rescue(int64 lease);

extern void ma_outbox_lock(void);
extern void ma_outbox_use_indexes(void);

#endif /* MA_OUTBOX_H */
