/*
 * worker.c
 *	  A thread for what may block.
 */
#include <errno.h>
#include <time.h>

#include "worker.h"

/* A thread needs little: libcurl and TLS work on the heap. */
#define STACK_BYTES (512 * 1024)

static void *run(void *arg);
static Job	*wait_for_job(Worker *worker, bool *rested);

/*
 * Starts one, which is idle after so long; false if there cannot be more
 * threads.
 */
bool
worker_start(Worker *worker, const WorkerDuty *duty, int idle_ms, void *owner)
{
	pthread_condattr_t condition;
	pthread_attr_t	   attributes;
	int				   failed;

	worker->duty = duty;
	worker->idle_ms = idle_ms;
	worker->owner = owner;
	worker->job = NULL;
	worker->ending = false;
	pthread_mutex_init(&worker->lock, NULL);
	/* its timeouts are touched by no change of the wall clock */
	pthread_condattr_init(&condition);
	pthread_condattr_setclock(&condition, CLOCK_MONOTONIC);
	pthread_cond_init(&worker->wake, &condition);
	pthread_condattr_destroy(&condition);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	failed = pthread_create(&worker->thread, &attributes, run, worker);
	pthread_attr_destroy(&attributes);
	return !failed;
}

/* Gives it a job; it has none. */
void
worker_give(Worker *worker, Job *job)
{
	pthread_mutex_lock(&worker->lock);
	worker->job = job;
	pthread_mutex_unlock(&worker->lock);
	pthread_cond_signal(&worker->wake);
}

/* Ends it and waits for that; it has no job. */
void
worker_end(Worker *worker)
{
	pthread_mutex_lock(&worker->lock);
	worker->ending = true;
	pthread_mutex_unlock(&worker->lock);
	pthread_cond_signal(&worker->wake);
	pthread_join(worker->thread, NULL);
}

/* The life of one. */
static void *
run(void *arg)
{
	Worker *worker = arg;
	bool	rested = true;
	Job	   *job;

	while ((job = wait_for_job(worker, &rested)) != NULL)
		worker->duty->work(worker->owner, job);
	return NULL;
}

/*
 * The next job, or NULL at the end. rested: it was idle since the last one,
 * and there is nothing more to tell of that.
 */
static Job *
wait_for_job(Worker *worker, bool *rested)
{
	const WorkerDuty *duty = worker->duty;
	struct timespec	  limit;
	Job				 *job;

	clock_gettime(CLOCK_MONOTONIC, &limit);
	limit.tv_sec += worker->idle_ms / 1000;
	limit.tv_nsec += (long) (worker->idle_ms % 1000) * 1000000;
	if (limit.tv_nsec >= 1000000000)
	{
		limit.tv_sec++;
		limit.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&worker->lock);
	while (worker->job == NULL && !worker->ending)
	{
		if (duty->idle == NULL || *rested)
			pthread_cond_wait(&worker->wake, &worker->lock);
		else if (pthread_cond_timedwait(&worker->wake, &worker->lock,
										&limit) == ETIMEDOUT)
		{
			*rested = true;
			pthread_mutex_unlock(&worker->lock);
			duty->idle(worker->owner);
			pthread_mutex_lock(&worker->lock);
		}
	}
	*rested = *rested && worker->job == NULL;
	job = worker->job;
	worker->job = NULL;
	pthread_mutex_unlock(&worker->lock);
	return job;
}
