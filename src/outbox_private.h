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

/* outbox.c */
extern void ma_outbox_open(MaTable *outbox);
extern bool ma_outbox_is(MaTable *outbox, const char *state);

/* outbox_final.c */
extern void ma_outbox_end(int64 lease, const MaFinish *results, int n);

#endif /* MA_OUTBOX_PRIVATE_H */
