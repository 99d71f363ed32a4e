/*
 * worker_private.h
 *	  What the files of the workers share.
 */
#ifndef MA_WORKER_PRIVATE_H
#define MA_WORKER_PRIVATE_H

#include "postmaster/bgworker.h"

/* What a worker is told when it is registered (bgw_extra). */
typedef struct MaWorkerPlace
{
	Oid	 database;
	int	 number;   /* 0: the scheduler; 1 and up: a sender */
	bool launched; /* by the launcher, else by start() */
} MaWorkerPlace;

extern BackgroundWorkerHandle *ma_worker_register(const MaWorkerPlace *place);
extern bool					   ma_worker_is_listed(const char *database);
extern bool					   ma_worker_is_preloaded(void);

#endif /* MA_WORKER_PRIVATE_H */
