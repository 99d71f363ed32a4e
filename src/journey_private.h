/*
 * journey_private.h
 *	  What the parts of the runner share: journey.c finds what is due and
 *	  guards against failures, journey_store.c reads and writes a batch,
 *	  journey_effect.c does to contacts what its steps want,
 *	  journey_step.c runs the steps in memory.
 */
#ifndef MA_JOURNEY_PRIVATE_H
#define MA_JOURNEY_PRIVATE_H

#include "nodes/pg_list.h"
#include "outbox.h"
#include "program.h"
#include "refresh.h"

/* An enrolment to run. */
typedef struct MaDue
{
	int64		contact_id;
	int64		enrollment_id;
	TimestampTz wake_at;
} MaDue;

/* An event that concerns an enrolment. */
typedef struct MaSignalled
{
	int64	wakeup_id;
	bool	restart; /* start again with this entry */
	MaEvent event;
} MaSignalled;

/* A contact of the batch. */
typedef struct MaVisited
{
	int64	   contact_id;
	MaContact *contact; /* as loaded with the batch */
	bool	   changed; /* by a step of this batch: not to be read any
								 * more before the next batch */
} MaVisited;

/* Why a traveller stopped in this batch. */
typedef enum MaStop
{
	MA_STOP_NOT,   /* goes on */
	MA_STOP_WAIT,  /* until its wake_at or an event */
	MA_STOP_YIELD, /* the next batch goes on at once */
	MA_STOP_END	   /* for good */
} MaStop;

/* An enrolment on the way. */
typedef struct MaTraveller
{
	int64			 enrollment_id;
	const MaProgram *program;
	MaVisited		*visited;
	int				 op;
	bool			 arrived;
	int				 pass;
	TimestampTz		 wake_at;
	int64			 event_id;
	Jsonb			*entry;
	Jsonb			*event; /* that answered the last wait; NULL: none */
	Jsonb			*context;
	bool			 restarted; /* entry and event_id are new */
	List			*signalled; /* MaSignalled, in order of arrival */
	List			*taken;		/* those it was told of */
	int			waits; /* that began in this batch, or events it was told of */
	const char *state; /* as in the table */
	const char *reason; /* of the end */
} MaTraveller;

/* A row of the log to be written. */
typedef struct MaLogRow
{
	MaTraveller *traveller;
	const char	*step;
	int			 pass;
	int			 verb;
	const char	*result; /* NULL: none */
	int			 intent; /* its message, for the result; -1: none */
} MaLogRow;

/* Something to be done to a contact when the batch is written. */
typedef struct MaEffect
{
	MaTraveller *traveller;
	const MaOp	*op;
	Jsonb		*values; /* computed; NULL: none */
	TimestampTz	 until;	 /* of a list: when it ends; DT_NOEND: for good */
} MaEffect;

/* A batch: what is read, run in memory and written together. */
typedef struct MaJourney
{
	TimestampTz	 now;
	TimestampTz	 bound; /* what is due later is not in the batch */
	int			 ntravellers;
	MaTraveller *travellers;
	int			 nvisited;
	MaVisited	*visited; /* sorted by contact_id */
	int			 nintents;
	int			 maxintents;
	MaIntent	*intents;
	List		*log;	  /* MaLogRow */
	List		*effects; /* MaEffect */
} MaJourney;

extern MaJourney *ma_journey_read(const MaDue *due, int n);
extern void		  ma_journey_write(MaJourney *journey);
extern void		  ma_journey_write_effects(MaJourney *journey);
extern void		  ma_journey_run(MaJourney *journey);
extern MaInput	  ma_journey_input(MaJourney *journey, MaTraveller *t,
								   MaExpr *expr);
extern Jsonb	 *ma_journey_values(MaJourney *journey, MaTraveller *t,
									Jsonb *base, const MaOp *op);
extern Jsonb	 *ma_journey_steps(MaJourney *journey, const MaTraveller *t);

#endif /* MA_JOURNEY_PRIVATE_H */
