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

/* Columns of message, likewise. */
typedef enum MaMessageColumn
{
	MA_MESSAGE_CONTACT_ID = 2,
	MA_MESSAGE_TEMPLATE_ID,
	MA_MESSAGE_VERSION,
	MA_MESSAGE_ENQUEUED_AT = 6,
	MA_MESSAGE_ATTEMPTS = 10,
	MA_MESSAGE_SENT_AT = 12,
	MA_MESSAGE_STATE = 13,
	MA_MESSAGE_DATA = 16,
	MA_MESSAGE_ADDRESS,
	MA_MESSAGE_REASON,
	MA_MESSAGE_REPLY,
	MA_MESSAGE_PROVIDER_ID
} MaMessageColumn;

/* The outbox while messages are looked for, by three of its indexes. */
typedef struct MaOutboxLook
{
	MaTable fresh;	 /* by priority and id */
	MaTable timed;	 /* by priority and time */
	MaTable suspect; /* may have killed a process, by time */
} MaOutboxLook;

/* outbox_read.c */
extern void ma_outbox_open(MaTable *outbox);
extern void ma_outbox_open_records(MaTable *records);
extern bool ma_outbox_is(MaTable *outbox, const char *state);
extern bool ma_outbox_find(MaTable *outbox, int channel_id, int priority,
						   int64 message_id);
extern bool ma_outbox_find_record(MaTable *records, int64 message_id);

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
