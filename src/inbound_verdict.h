/*
 * inbound_verdict.h
 *	  What a mail that came back is.
 *
 * Texts are printable ASCII, except subject and text, which are valid in the
 * database's encoding. A pointer is NULL where there is nothing.
 */
#ifndef MA_INBOUND_VERDICT_H
#define MA_INBOUND_VERDICT_H

#include "datatype/timestamp.h"

/* The most references and recipients that are looked at. */
#define MA_INBOUND_REFERENCES 20
#define MA_INBOUND_RECIPIENTS 50

typedef enum MaInboundKind
{
	MA_INBOUND_OTHER,
	MA_INBOUND_BOUNCE,		/* will not be delivered */
	MA_INBOUND_DELAYED,		/* not delivered yet, will be tried again */
	MA_INBOUND_DELIVERED,	/* a report of success */
	MA_INBOUND_COMPLAINT,	/* somebody called it spam */
	MA_INBOUND_AUTO_REPLY,	/* a machine answers */
	MA_INBOUND_UNSUBSCRIBE, /* a person wants no more */
	MA_INBOUND_SUBSCRIBE,	/* and now wants it again */
	MA_INBOUND_REPLY		/* a person answers */
} MaInboundKind;

/* One of our messages, as its Message-ID names it. */
typedef struct MaInboundReference
{
	int64		message_id;
	TimestampTz enqueued_at;
} MaInboundReference;

/* What a bounce says of one recipient. */
typedef struct MaInboundRecipient
{
	MaInboundKind kind;		/* bounce, delayed or delivered */
	const char	 *address;	/* where it was to arrive at last */
	const char	 *original; /* where it was sent to */
	const char	 *status;	/* 5.1.1 */
	const char	 *reason;	/* user_unknown */
	const char	 *detail;	/* what the server said */
	bool		  hard;		/* the address is dead */
} MaInboundRecipient;

/* A mail, judged. */
typedef struct MaInbound
{
	MaInboundKind	   kind;
	const char		  *feedback; /* of a complaint: abuse, fraud */
	const char		  *sender;	 /* address in From */
	const char		  *subject;
	const char		  *text; /* of a person's, above what is quoted */
	int				   nreferences;
	MaInboundReference references[MA_INBOUND_REFERENCES];
	int				   nrecipients;
	MaInboundRecipient recipients[MA_INBOUND_RECIPIENTS];
} MaInbound;

extern const char *ma_inbound_kind_name(MaInboundKind kind);
extern void ma_inbound_find_references(MaInbound *mail, const char *text);

#endif /* MA_INBOUND_VERDICT_H */
