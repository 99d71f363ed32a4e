/*
 * job.h
 *	  What a connection is given to do: a message or a request.
 */
#ifndef JOB_H
#define JOB_H

#include <stdint.h>

/* The first member of Mail and Request. */
typedef struct Job
{
	struct Job *next; /* in the queue */
	int64_t		id;
} Job;

#endif /* JOB_H */
