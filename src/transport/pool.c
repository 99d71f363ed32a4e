/*
 * pool.c
 *	  The connections and who uses which.
 *
 * One thread per connection: libcurl's multi interface blocks at the end of
 * each message. Queue and rest are the main thread's alone, and each connection
 * has a lock of its own, so that nobody waits for a lock. The main thread gives a message to the connection that has
 * rested for the shortest time, which is the most likely to be open, and
 * keeps it in the queue while none rests. A connection with a result rests
 * only when the sender has acknowledged it.
 *
 *		RESTING -> SENDING -> ANSWERED -> RESTING or SENDING
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "alloc.h"
#include "pool.h"
#include "carrier.h"

/* A thread needs little: libcurl and TLS work on the heap. */
#define STACK_BYTES (512 * 1024)

typedef enum State
{
	RESTING, /* is in pool.resting */
	SENDING,
	ANSWERED /* the result waits for its ACK */
} State;

typedef struct Connection
{
	pthread_t		thread;
	pthread_mutex_t lock;	 /* over job and ending */
	pthread_cond_t	wake;	 /* one of them has changed */
	Job			   *job;	 /* to be done next; NULL when taken */
	bool			ending;	 /* there will be no more */
	_Atomic State	state;	 /* the thread makes it ANSWERED, main the rest */
	int64_t			id;		 /* of the last job given to it; main's alone */
	Carrier			carrier; /* the thread's alone */
} Connection;

static struct
{
	const Config   *config;
	pthread_mutex_t lock;	  /* over nthreads */
	pthread_cond_t	ended;	  /* a thread has */
	int				nthreads; /* still running */
	Connection	   *connections;
	Connection	  **resting; /* a stack */
	int				nresting;
	Job			   *first; /* the queue */
	Job			  **last;  /* where the next one is hung */
} pool;

static bool	 start_thread(Connection *connection);
static void *run(void *arg);
static Job	*wait_for_job(Connection *connection);
static void	 deliver(Connection *connection, Job *job);

/* A moment so many ms from now on the conditions' clock. */
static struct timespec
after_ms(int ms)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += ms / 1000;
	t.tv_nsec += (long) (ms % 1000) * 1000000;
	if (t.tv_nsec >= 1000000000)
	{
		t.tv_sec++;
		t.tv_nsec -= 1000000000;
	}
	return t;
}

/* A condition whose timeouts no change of the wall clock touches. */
static void
init_condition(pthread_cond_t *condition)
{
	pthread_condattr_t attributes;

	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(condition, &attributes);
	pthread_condattr_destroy(&attributes);
}

/* Starts the threads; false if there cannot be that many. */
bool
pool_start(const Config *config)
{
	int n = config->connections;

	pool.config = config;
	pool.last = &pool.first;
	pthread_mutex_init(&pool.lock, NULL);
	init_condition(&pool.ended);
	pool.connections = alloc_zero((size_t) n * sizeof(*pool.connections));
	pool.resting = alloc_zero((size_t) n * sizeof(Connection *));
	for (int i = 0; i < n; i++)
	{
		Connection *connection = &pool.connections[i];

		pthread_mutex_init(&connection->lock, NULL);
		init_condition(&connection->wake);
		if (!carrier_init(&connection->carrier, config) ||
			!start_thread(connection))
			return false;
		pool.nthreads++;
		pool.resting[pool.nresting++] = connection;
	}
	return true;
}

/* Starts the thread of one connection. */
static bool
start_thread(Connection *connection)
{
	pthread_attr_t attributes;
	int			   failed;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	failed = pthread_create(&connection->thread, &attributes, run, connection);
	pthread_attr_destroy(&attributes);
	return !failed;
}

/* Gives a connection its next message, or none and tells it to end. */
static void
assign(Connection *connection, Job *job)
{
	pthread_mutex_lock(&connection->lock);
	if (job != NULL)
	{
		connection->state = SENDING;
		connection->id = job->id;
		connection->job = job;
	}
	else
		connection->ending = true;
	pthread_mutex_unlock(&connection->lock);
	pthread_cond_signal(&connection->wake);
}

/* Takes a message over and sends it when a connection is free. */
void
pool_send(Job *job)
{
	if (pool.nresting > 0)
		assign(pool.resting[--pool.nresting], job);
	else
	{
		*pool.last = job;
		pool.last = &job->next;
	}
}

/* Lets the connection with that result go on; false if there is none. */
bool
pool_ack(int64_t id)
{
	bool found = false;

	for (int i = 0; i < pool.config->connections && !found; i++)
	{
		Connection *connection = &pool.connections[i];

		if (connection->state != ANSWERED || connection->id != id)
			continue;
		found = true;
		if (pool.first != NULL)
		{
			Job *job = pool.first;

			pool.first = job->next;
			if (pool.first == NULL)
				pool.last = &pool.first;
			assign(connection, job);
		}
		else
		{
			connection->state = RESTING;
			pool.resting[pool.nresting++] = connection;
		}
	}
	return found;
}

/*
 * Gives back what no connection has begun and waits for the rest, no longer
 * than MA_DRAIN_MS. True if every thread has ended.
 */
bool
pool_finish(void)
{
	static const Result untried = {.outcome = MA_OUTCOME_UNTRIED,
								   .text = "the transport was told to end"};
	struct timespec		limit = after_ms(MA_DRAIN_MS);
	int					late = 0;

	for (Job *job = pool.first; job != NULL; job = pool.first)
	{
		pool.first = job->next;
		frame_write_result(STDOUT_FILENO, job->id, &untried);
		carrier_free_job(pool.config, job);
	}
	for (int i = 0; i < pool.config->connections; i++)
		assign(&pool.connections[i], NULL);
	pthread_mutex_lock(&pool.lock);
	while (pool.nthreads > 0 && late == 0)
		late = pthread_cond_timedwait(&pool.ended, &pool.lock, &limit);
	pthread_mutex_unlock(&pool.lock);
	if (late != 0)
		return false;
	for (int i = 0; i < pool.config->connections; i++)
		pthread_join(pool.connections[i].thread, NULL);
	free(pool.connections);
	free(pool.resting);
	return true;
}

/* The life of one connection. */
static void *
run(void *arg)
{
	Connection *connection = arg;
	Job		   *job;

	while ((job = wait_for_job(connection)) != NULL)
		deliver(connection, job);
	carrier_close(&connection->carrier);
	carrier_free(&connection->carrier);
	pthread_mutex_lock(&pool.lock);
	pool.nthreads--;
	pthread_cond_signal(&pool.ended);
	pthread_mutex_unlock(&pool.lock);
	return NULL;
}

/*
 * The next message for this connection, or NULL at the end. One that rests
 * too long is closed: the server would do it soon, and not tell.
 */
static Job *
wait_for_job(Connection *connection)
{
	struct timespec limit = after_ms(pool.config->idle_ms);
	Job			   *job;

	pthread_mutex_lock(&connection->lock);
	while (connection->job == NULL && !connection->ending)
	{
		if (!carrier_is_open(&connection->carrier))
			pthread_cond_wait(&connection->wake, &connection->lock);
		else if (pthread_cond_timedwait(&connection->wake, &connection->lock,
										&limit) == ETIMEDOUT)
		{
			pthread_mutex_unlock(&connection->lock);
			carrier_close(&connection->carrier);
			pthread_mutex_lock(&connection->lock);
			limit = after_ms(pool.config->idle_ms);
		}
	}
	job = connection->job;
	connection->job = NULL;
	pthread_mutex_unlock(&connection->lock);
	return job;
}

/* Does one job and reports. */
static void
deliver(Connection *connection, Job *job)
{
	Result	result = {0};
	int64_t id = job->id;

	carrier_send(&connection->carrier, job, &result);
	carrier_free_job(pool.config, job);

	/* the ACK can only come after the result, but then at once */
	connection->state = ANSWERED;
	frame_write_result(STDOUT_FILENO, id, &result);
}
