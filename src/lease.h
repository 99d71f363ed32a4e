/*
 * lease.h
 *	  Numbers whose holder can be known to be alive or dead.
 */
#ifndef MA_LEASE_H
#define MA_LEASE_H

/* Kinds of numbers; each has its own. */
typedef enum MaLeaseKind
{
	MA_LEASE_SENDING, /* of table mautomate_internal.lease */
	MA_LEASE_WORKER,  /* a worker's place, see worker.c */
	MA_LEASE_SLOT	  /* a message to a domain, see delivery_pace.c */
} MaLeaseKind;

extern bool ma_lease_take(MaLeaseKind kind, int64 number);
extern void ma_lease_give_back(MaLeaseKind kind, int64 number);
extern bool ma_lease_inherit(MaLeaseKind kind, int64 number);
extern int	ma_lease_holder(MaLeaseKind kind, int64 number);

#endif /* MA_LEASE_H */
