/*
 * worker.h
 *	  A thread for what may block.
 */
#ifndef WORKER_H
#define WORKER_H

#include <pthread.h>
#include <stdbool.h>

#include "job.h"

/* What it is for. */
typedef struct WorkerDuty
{
	void (*work)(void *owner, Job *job); /* one job after the other */
	void (*idle)(void *owner); /* there was none for idle_ms; or NULL */
} WorkerDuty;

typedef struct Worker
{
	const WorkerDuty *duty;
	int				  idle_ms;
	void			 *owner;
	pthread_t		  thread;
	pthread_mutex_t	  lock;	  /* over job and ending */
	pthread_cond_t	  wake;	  /* one of them has changed */
	Job				 *job;	  /* to be done next; NULL when taken */
	bool			  ending; /* there will be no more */
} Worker;

extern bool worker_start(Worker *worker, const WorkerDuty *duty, int idle_ms,
						 void *owner);
extern void worker_give(Worker *worker, Job *job);
extern void worker_end(Worker *worker);

#endif /* WORKER_H */
