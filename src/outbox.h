/*
 * outbox.h
 *	  The messages to be sent: enqueue, claim, finish, retry.
 *
 * Whether a person can be reached at all is asked of gate.h.
 */
#ifndef MA_OUTBOX_H
#define MA_OUTBOX_H

#include "datatype/timestamp.h"
#include "utils/jsonb.h"

/* A message somebody wants sent; zero what is not needed. */
typedef struct MaIntent
{
	int64		contact_id;
	int			template_id;	/* its newest version is sent */
	Jsonb	   *context;		/* context.x of the template; NULL: none */
	Jsonb	   *entry;			/* entry.x: properties of the event that
								 * started the enrolment; NULL: none */
	Jsonb	   *event;			/* event.x; NULL: none */
	TimestampTz not_before;		/* 0: now */
	int			priority;		/* higher goes first; 0 is usual */
	const char *idempotency_key;	/* NULL: none */
	int64		enrollment_id;	/* 0: not of a workflow; else a message is
								 * unique by enrolment, step and pass */
	const char *step;			/* step id in the enrolment's version */
	int			pass;			/* how often the step has been reached */
} MaIntent;

extern void ma_outbox_enqueue(const MaIntent *intents, int n,
							  int64 *message_ids);

#endif							/* MA_OUTBOX_H */
