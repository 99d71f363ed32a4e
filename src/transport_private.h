/*
 * transport_private.h
 *	  What the two files of the transport share; for transport*.c alone.
 */
#ifndef MA_TRANSPORT_PRIVATE_H
#define MA_TRANSPORT_PRIVATE_H

#include "datatype/timestamp.h"
#include "lib/ilist.h"
#include "lib/stringinfo.h"

#include "transport.h"

/* What is known of a message that was not acknowledged. */
typedef struct MaPending
{
	int64  id;
	uint64 end;		 /* position in the stream where it ends */
	size_t bytes;	 /* its length */
	bool   ending;	 /* the child said ENDING */
	bool   answered; /* its result was given to the caller */
} MaPending;

struct MaTransport
{
	dlist_node	   node;		/* in transports */
	MemoryContext  cxt;			/* everything, this too */
	pid_t		   pid;			/* the child; 0: reaped */
	int			   fd;			/* our end of the socket; -1: closed */
	bool		   counted;		/* the fd is known to fd.c */
	int			   event;		/* its place among what is waited for */
	bool		   draining;	/* no more messages */
	TimestampTz	   drain_until; /* valid when draining */
	StringInfoData out;			/* to be written; cursor: written so far */
	StringInfoData in;			/* read; cursor: parsed so far */
	uint64		   queued;		/* stream position of the end of out */
	uint64		   written;		/* and of its cursor */
	size_t		   bytes;		/* sum of those without a result */
	int			   npending;
	int			   nanswered; /* of them with a result */
	int			   maxpending;
	char		   reason[256];					  /* why it is gone */
	char		   text[MA_TEXT_MAX + 1];		  /* of the last result */
	char		   provided[MA_PROVIDED_MAX + 1]; /* likewise */
	MaPending	   pending[FLEXIBLE_ARRAY_MEMBER];
};

/* transport_write.c */
extern void		  ma_transport_configure(MaTransport			 *t,
										 const MaTransportConfig *config);
extern MaPending *ma_transport_find(MaTransport *t, int64 id);

#endif /* MA_TRANSPORT_PRIVATE_H */
