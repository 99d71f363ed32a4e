/*
 * outbox_private.h
 *	  The rows of the outbox; for outbox_*.c alone.
 */
#ifndef MA_OUTBOX_PRIVATE_H
#define MA_OUTBOX_PRIVATE_H

#include "table.h"

#include "outbox.h"

/* Columns of outbox, in the order of its definition. */
typedef enum MaOutboxColumn
{
	MA_OUTBOX_MESSAGE_ID = 1,
	MA_OUTBOX_DUE_AT,
	MA_OUTBOX_REAL_AT,
	MA_OUTBOX_LEASE,
	MA_OUTBOX_FIRST_TRIED_AT,
	MA_OUTBOX_CHANNEL_ID,
	MA_OUTBOX_ATTEMPT,
	MA_OUTBOX_DEATHS,
	MA_OUTBOX_PRIORITY,
	MA_OUTBOX_STATE,
	MA_OUTBOX_WAITS
} MaOutboxColumn;

/* The outbox while messages are looked for, by three of its indexes. */
typedef struct MaOutboxLook
{
	MaTable fresh;	 /* by priority and id */
	MaTable timed;	 /* by priority and time */
	MaTable suspect; /* may have killed a process, by time */
} MaOutboxLook;

/* outbox.c */
extern void ma_outbox_open(MaTable *outbox);
extern bool ma_outbox_is(MaTable *outbox, const char *state);

/* outbox_look.c */
extern void ma_outbox_look(MaOutboxLook *look);
extern void ma_outbox_look_away(MaOutboxLook *look);
extern bool ma_outbox_has_suspect(MaOutboxLook *look, const MaLane *lane);
extern bool ma_outbox_has_timed(MaOutboxLook *look, const MaLane *lane,
								int priority);
extern bool ma_outbox_has_new(MaOutboxLook *look, const MaLane *lane,
							  int priority);
extern int	ma_outbox_claim_new(MaOutboxLook *look, const MaLane *lane,
								int64 lease, int max, int priority,
								MaClaim *claims);

/* outbox_final.c */
extern void ma_outbox_end(int64 lease, const MaFinish *results, int n);

#endif /* MA_OUTBOX_PRIVATE_H */
