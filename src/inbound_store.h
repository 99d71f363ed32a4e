/*
 * inbound_store.h
 *	  What came back, matched to our messages and recorded.
 */
#ifndef MA_INBOUND_STORE_H
#define MA_INBOUND_STORE_H

#include "utils/jsonb.h"

#include "inbound_verdict.h"

/* Whom and what it is about. Nobody: all 0. */
typedef struct MaInboundTarget
{
	int64		message_id; /* 0: no message of ours */
	int64		contact_id; /* 0: a person that is gone, or unknown */
	int			channel_id;
	const char *external_id;
	const char *template;
	const char *channel;
	const char *address; /* where it went, or who wrote */
} MaInboundTarget;

/* What came back, to be recorded, and what that led to. */
typedef struct MaInboundEvent
{
	MaInboundKind	kind;
	MaInboundTarget target;
	const char	   *dedupe_key; /* NULL: never twice the same */
	const char	   *status;
	const char	   *reason;
	const char	   *detail;
	const char	   *subject;
	const char	   *text;
	bool			hard;
	const char	   *event;		/* out: its kind; NULL: none */
	int64			event_id;	/* out: the first one's if repeated */
	bool			repeated;	/* out: has come before */
	bool			suppressed; /* out: now, because of it */
	bool			released;	/* out: no more, because of it */
} MaInboundEvent;

extern bool ma_inbound_find_reference(const MaInboundReference *reference,
									  MaInboundTarget		   *target);
extern bool ma_inbound_find_address(const char *address, int channel_id,
									MaInboundTarget *target);
extern bool ma_inbound_find_provided(int channel_id, const char *provider_id,
									 MaInboundTarget *target);
extern void ma_inbound_find_contact(int64 contact_id, MaInboundTarget *target);
extern void ma_inbound_record(MaInboundEvent *event);
extern bool ma_inbound_suppress(const char *address, const char *reason);
extern Jsonb *ma_inbound_properties(const MaInboundEvent *event);
extern Jsonb *ma_inbound_result(const MaInboundEvent *event);
extern Jsonb *ma_inbound_describe(const MaInbound *mail);

#endif /* MA_INBOUND_STORE_H */
