/*
 * pool.c
 *	  The connections and who uses which.
 *
 * The main thread gives a message to the connection that has rested for the
 * shortest time, which is the most likely to be open, and keeps it in the
 * queue while none rests. A connection with a result rests only when the
 * sender has acknowledged it.
 *
 *		RESTING -> SENDING -> ANSWERED -> RESTING or SENDING
 *
 * Mail is sent by the main thread alone, over all connections at once: nothing
 * of that blocks. Only making a connection does (names, TLS), and that is done
 * by a thread that each connection has; meanwhile it is away, and nobody else
 * touches it. A request to a web server is done by such a thread as a whole.
 *
 * What a turn has to tell the sender is written at once at its end, and only
 * then the last parts of messages, which must not be sent before ENDING is.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "alloc.h"
#include "clock.h"
#include "frame.h"
#include "http.h"
#include "pool.h"
#include "smtp.h"
#include "worker.h"

/* So many events are taken at once. */
#define EVENTS_MAX 256

typedef enum State
{
	RESTING, /* is in pool.resting */
	SENDING,
	ANSWERED /* the result waits for its ACK */
} State;

typedef struct Connection
{
	Smtp			  *smtp;	/* KIND_SMTP, else NULL */
	Http			  *http;	/* KIND_HTTP, else NULL */
	_Atomic State	   state;	/* a request's thread makes it ANSWERED */
	int64_t			   id;		/* of the last job given to it */
	Job				  *job;		/* being done; or NULL */
	bool			   away;	/* the thread has it */
	int				   watched; /* its socket in epoll; -1: none */
	bool			   watches_writing; /* until it can be written, too */
	struct Connection *next;			/* in pool.returned or pool.ending */
	Worker			   worker;
} Connection;

static struct
{
	const Config   *config;
	int				input;
	int				events;		   /* of epoll */
	int				returns;	   /* tells that somebody is back */
	int64_t			next_deadline; /* not after the first one; 0: none */
	_Atomic bool	finishing;	   /* whoever has a result has to say so */
	pthread_mutex_t lock;		   /* over returned */
	Connection	   *returned; /* no more away, or were so when finishing */
	Connection	   *ending;	  /* wait for ENDING to be written */
	Connection	   *connections;
	Connection	  **resting; /* a stack */
	int				nresting;
	Job			   *first; /* the queue */
	Job			  **last;  /* where the next one is hung */
} pool;

static bool start_connection(Connection *connection);
static void begin(Connection *connection, Job *job);
static void go_on(Connection *connection, SmtpNext next);
static void answer(Connection *connection, const Result *result);
static void watch(Connection *connection);
static bool turn(int64_t limit);
static bool take_events(int timeout);
static void take_returned(void);
static void check_deadlines(void);
static void write_out(void);
static void end_connection(Connection *connection);
static void connect_mail(void *owner, Job *job);
static void send_request(void *owner, Job *job);
static void close_http(void *owner);
static void come_back(Connection *connection);
static void free_job(Job *job);

/* Starts the threads; false if there cannot be that many. */
bool
pool_start(const Config *config, int input)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
	int				   n = config->connections;

	pool.config = config;
	pool.input = input;
	pool.last = &pool.first;
	pthread_mutex_init(&pool.lock, NULL);
	pool.connections = alloc_zero((size_t) n * sizeof(*pool.connections));
	pool.resting = alloc_zero((size_t) n * sizeof(Connection *));
	pool.events = epoll_create1(EPOLL_CLOEXEC);
	pool.returns = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (pool.events < 0 || pool.returns < 0 ||
		epoll_ctl(pool.events, EPOLL_CTL_ADD, input, &event) != 0)
		return false;
	event.data.ptr = &pool;
	if (epoll_ctl(pool.events, EPOLL_CTL_ADD, pool.returns, &event) != 0)
		return false;
	for (int i = 0; i < n; i++)
		if (!start_connection(&pool.connections[i]))
			return false;
	return true;
}

/* Makes one connection, which is not connected. */
static bool
start_connection(Connection *connection)
{
	static const WorkerDuty mail = {.work = connect_mail};
	static const WorkerDuty web = {.work = send_request, .idle = close_http};

	connection->watched = -1;
	if (pool.config->kind == KIND_SMTP)
		connection->smtp = smtp_new(pool.config);
	else
		connection->http = http_new(pool.config);
	pool.resting[pool.nresting++] = connection;
	return (connection->smtp != NULL || connection->http != NULL) &&
		   worker_start(&connection->worker,
						connection->smtp != NULL ? &mail : &web,
						pool.config->idle_ms, connection);
}

/*
 * One turn: writes what is to be written, waits until there is something to
 * do, and does it. True if the input can be read.
 */
bool
pool_turn(void)
{
	return turn(0);
}

/* The same, and it ends at that time at last; 0: never. */
static bool
turn(int64_t limit)
{
	int64_t now = clock_ms();
	int64_t until;

	write_out();
	if (pool.next_deadline != 0 && pool.next_deadline <= now)
	{
		check_deadlines();
		write_out();
	}
	until = pool.next_deadline;
	if (limit != 0 && (until == 0 || limit < until))
		until = limit;
	return take_events(until == 0  ? -1 :
					   until > now ? (int) (until - now) :
									 0);
}

/* Waits, no longer than so many ms (-1: for ever), and does what is due. */
static bool
take_events(int timeout)
{
	struct epoll_event events[EVENTS_MAX];
	bool			   input = false;
	int n = epoll_wait(pool.events, events, EVENTS_MAX, timeout);

	for (int i = 0; i < n; i++)
	{
		Connection *connection = events[i].data.ptr;

		if (connection == NULL)
			input = true;
		else if ((void *) connection == &pool)
			take_returned();
		else if (!connection->away && connection->watched >= 0)
			go_on(connection, smtp_ready(connection->smtp));
	}
	return input;
}

/* Takes a message over and sends it when a connection is free. */
void
pool_send(Job *job)
{
	if (pool.nresting > 0)
		begin(pool.resting[--pool.nresting], job);
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
	for (int i = 0; i < pool.config->connections; i++)
	{
		Connection *connection = &pool.connections[i];
		Job		   *job = pool.first;

		if (connection->id != id || connection->state != ANSWERED)
			continue;
		if (job != NULL)
		{
			pool.first = job->next;
			if (pool.first == NULL)
				pool.last = &pool.first;
			begin(connection, job);
		}
		else
		{
			connection->state = RESTING;
			pool.resting[pool.nresting++] = connection;
		}
		return true;
	}
	return false;
}

/* A connection begins with a job, if that may be done at all. */
static void
begin(Connection *connection, Job *job)
{
	Result		refusal = {.outcome = MA_OUTCOME_PERMANENT};
	const char *wrong =
		connection->smtp != NULL ?
			mail_check((Mail *) job) :
			request_check((Request *) job, pool.config->web.url_file != NULL);

	connection->state = SENDING;
	connection->id = job->id;
	connection->job = job;
	if (wrong != NULL)
	{
		snprintf(refusal.text, sizeof(refusal.text), "%s", wrong);
		answer(connection, &refusal);
	}
	else if (connection->smtp != NULL)
		go_on(connection, smtp_begin(connection->smtp, (Mail *) job));
	else
		worker_give(&connection->worker, job);
}

/* Does what is next. */
static void
go_on(Connection *connection, SmtpNext next)
{
	if (next == SMTP_CONNECT)
	{
		connection->away = true;
		connection->watched = -1;
		worker_give(&connection->worker, connection->job);
		return;
	}
	if (next == SMTP_END)
	{
		frame_add_ending(STDOUT_FILENO, connection->id);
		connection->next = pool.ending;
		pool.ending = connection;
		return;
	}
	watch(connection);
	if (next == SMTP_DONE)
		answer(connection, smtp_result(connection->smtp));
}

/* The result is there. */
static void
answer(Connection *connection, const Result *result)
{
	Job	   *job = connection->job;
	int64_t id = connection->id;

	connection->job = NULL;
	free_job(job);
	/*
	 * The ACK can only come after the result, but then at once: another
	 * thread may write what this one has only added. From here on the
	 * connection is the main thread's.
	 */
	connection->state = ANSWERED;
	frame_add_result(STDOUT_FILENO, id, result);
}

/* Sees to it that we hear of the socket and of the deadline. */
static void
watch(Connection *connection)
{
	bool			   writing = smtp_is_writing(connection->smtp);
	int				   socket = smtp_socket(connection->smtp);
	int64_t			   deadline = smtp_deadline(connection->smtp);
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};

	if (deadline != 0 &&
		(pool.next_deadline == 0 || deadline < pool.next_deadline))
		pool.next_deadline = deadline;
	if (socket < 0 || (socket == connection->watched &&
					   writing == connection->watches_writing))
	{
		/* one that is closed is forgotten by epoll */
		connection->watched = socket;
		return;
	}
	if (writing)
		event.events |= EPOLLOUT;
	if (epoll_ctl(pool.events,
				  connection->watched < 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD,
				  socket, &event) != 0)
		alloc_give_up();
	connection->watched = socket;
	connection->watches_writing = writing;
}

/* Connections that were away go on. */
static void
take_returned(void)
{
	Connection *connection;
	uint64_t	count;

	(void) !read(pool.returns, &count, sizeof(count));
	pthread_mutex_lock(&pool.lock);
	connection = pool.returned;
	pool.returned = NULL;
	pthread_mutex_unlock(&pool.lock);
	while (connection != NULL)
	{
		Connection *next = connection->next;

		connection->away = false;
		if (connection->smtp != NULL)
			go_on(connection, smtp_go_on(connection->smtp));
		connection = next;
	}
}

/* Looks at all deadlines. */
static void
check_deadlines(void)
{
	int64_t now = clock_ms();

	pool.next_deadline = 0;
	for (int i = 0; i < pool.config->connections; i++)
	{
		Connection *connection = &pool.connections[i];
		int64_t		deadline;

		if (connection->away || connection->smtp == NULL)
			continue;
		deadline = smtp_deadline(connection->smtp);
		if (deadline != 0 && deadline <= now)
			go_on(connection, smtp_late(connection->smtp));
		else
			watch(connection);
	}
}

/* Tells the sender what there is to tell, then ends what may be ended. */
static void
write_out(void)
{
	do
	{
		Connection *connection = pool.ending;

		pool.ending = NULL;
		frame_flush(STDOUT_FILENO);
		while (connection != NULL)
		{
			Connection *next = connection->next;

			go_on(connection, smtp_end(connection->smtp));
			connection = next;
		}
	} while (pool.ending != NULL);
	frame_flush(STDOUT_FILENO);
}

/* Is any message still under way? */
static bool
is_sending(void)
{
	for (int i = 0; i < pool.config->connections; i++)
		if (pool.connections[i].state == SENDING)
			return true;
	return false;
}

/*
 * Gives back what no connection has begun and waits for the rest, no longer
 * than MA_DRAIN_MS. True if nothing is left.
 */
bool
pool_finish(void)
{
	static const Result untried = {.outcome = MA_OUTCOME_UNTRIED,
								   .text = "the transport was told to end"};
	int64_t				limit = clock_ms() + MA_DRAIN_MS;

	for (Job *job = pool.first; job != NULL; job = pool.first)
	{
		pool.first = job->next;
		frame_add_result(STDOUT_FILENO, job->id, &untried);
		free_job(job);
	}
	pool.finishing = true;
	epoll_ctl(pool.events, EPOLL_CTL_DEL, pool.input, NULL);
	while (is_sending())
	{
		if (clock_ms() >= limit)
			return false;
		(void) turn(limit);
	}
	write_out();
	for (int i = 0; i < pool.config->connections; i++)
		end_connection(&pool.connections[i]);
	close(pool.events);
	close(pool.returns);
	free(pool.connections);
	free(pool.resting);
	return true;
}

/* Closes a connection that sends nothing. */
static void
end_connection(Connection *connection)
{
	worker_end(&connection->worker);
	if (connection->smtp != NULL)
	{
		smtp_quit(connection->smtp);
		smtp_free(connection->smtp);
	}
	else
		http_free(connection->http);
}

/* In its thread: connects. */
static void
connect_mail(void *owner, Job *job)
{
	Connection *connection = owner;

	(void) job;
	smtp_connect(connection->smtp);
	come_back(connection);
}

/* In its thread: does a request, and reports. */
static void
send_request(void *owner, Job *job)
{
	Connection *connection = owner;
	Result		result = {0};

	http_send(connection->http, (Request *) job, &result);
	answer(connection, &result);
	frame_flush(STDOUT_FILENO);
	if (pool.finishing)
		come_back(connection);
}

/* In its thread: it was not used for long, and the server would not tell. */
static void
close_http(void *owner)
{
	Connection *connection = owner;

	http_close(connection->http);
}

/* In its thread: tells the main thread to look at it. */
static void
come_back(Connection *connection)
{
	uint64_t one = 1;

	pthread_mutex_lock(&pool.lock);
	connection->next = pool.returned;
	pool.returned = connection;
	pthread_mutex_unlock(&pool.lock);
	(void) !write(pool.returns, &one, sizeof(one));
}

static void
free_job(Job *job)
{
	if (pool.config->kind == KIND_SMTP)
		mail_free((Mail *) job);
	else
		request_free((Request *) job);
}
