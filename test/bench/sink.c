/*
 * sink.c
 *	  A mail server that is no bottleneck: takes everything, keeps nothing.
 *
 *		sink LATENCY_MS FINAL_LATENCY_MS [pipelining]
 *
 * Answers each command after the one, the end of each message after the other
 * time, like a server that many hops or a slow disk are behind. Prints "port
 * N" and, at the end of its standard input, "received N connections M". One
 * thread; answers wait in two queues, each in order of time. PIPELINING is
 * offered only where told: not every client can use it. What is answered at
 * once is written once for all that was read at once.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BUFFER_BYTES 65536

/* A client. An answer refers to it by its place and number. */
typedef struct Client
{
	int			fd;			/* -1: free */
	uint32_t	number;		/* of the connection */
	bool		in_data;	/* inside of a message */
	int			ending;		/* bytes of CR LF . CR LF seen */
	int			len;		/* of the line begun */
	char		line[1024];
	int			answer_len; /* of what is answered at once */
	char		answer[1024];
} Client;

/* An answer that waits. */
typedef struct Answer
{
	int64_t		due;		/* ns */
	int			client;
	uint32_t	number;
	const char *text;
} Answer;

/* Answers in order of time. */
typedef struct Queue
{
	int64_t		delay;		/* ns */
	Answer	   *answers;	/* a ring */
	unsigned	first;
	unsigned	count;
	unsigned	max;		/* a power of two */
} Queue;

static Client *clients;
static int	max_client;
static Queue command_queue;
static Queue final_queue;
static uint32_t connections;
static long received;
static bool pipelining;
static int	poll_fd;

/* Nanoseconds of a clock that nobody sets. */
static int64_t
now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Writes an answer; a client that takes none is none. */
static void
answer_now(int client, const char *text)
{
	if (write(clients[client].fd, text, strlen(text)) < 0)
		shutdown(clients[client].fd, SHUT_RDWR);
}

/* Writes what was answered at once. */
static void
write_answers(int client)
{
	if (clients[client].answer_len > 0)
		answer_now(client, clients[client].answer);
	clients[client].answer_len = 0;
}

/* Answers, now or when the time has come. */
static void
answer(Queue *queue, int client, const char *text)
{
	Answer	   *place;

	if (queue->delay == 0)
	{
		Client	   *c = &clients[client];

		if (c->answer_len + strlen(text) >= sizeof(c->answer))
			write_answers(client);
		strcpy(c->answer + c->answer_len, text);
		c->answer_len += (int) strlen(text);
		return;
	}
	if (queue->count == queue->max)
	{
		Answer	   *longer = malloc(2 * queue->max * sizeof(Answer));

		for (unsigned i = 0; i < queue->count; i++)
			longer[i] = queue->answers[(queue->first + i) % queue->max];
		free(queue->answers);
		queue->answers = longer;
		queue->first = 0;
		queue->max *= 2;
	}
	place = &queue->answers[(queue->first + queue->count++) % queue->max];
	place->due = now_ns() + queue->delay;
	place->client = client;
	place->number = clients[client].number;
	place->text = text;
}

/* Gives the answers whose time has come; ns until the next one, or -1. */
static int64_t
answer_due(Queue *queue)
{
	int64_t		now = now_ns();

	while (queue->count > 0)
	{
		Answer	   *next = &queue->answers[queue->first % queue->max];

		if (next->due > now)
			return next->due - now;
		if (clients[next->client].fd >= 0 &&
			clients[next->client].number == next->number)
			answer_now(next->client, next->text);
		queue->first = (queue->first + 1) % queue->max;
		queue->count--;
	}
	return -1;
}

/* Answers one line. */
static void
take_line(int client)
{
	Client	   *c = &clients[client];

	if (strncasecmp(c->line, "DATA", 4) == 0)
	{
		c->in_data = true;
		c->ending = 2;
		answer(&command_queue, client, "354 go on\r\n");
	}
	else if (strncasecmp(c->line, "EHLO", 4) == 0)
		answer(&command_queue, client, pipelining ?
			   "250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n"
			   "250 SMTPUTF8\r\n" :
			   "250-sink\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n");
	else if (strncasecmp(c->line, "QUIT", 4) == 0)
		answer(&command_queue, client, "221 2.0.0 bye\r\n");
	else
		answer(&command_queue, client, "250 2.0.0 ok\r\n");
}

/* Takes bytes of a message; how many until its end, or all. */
static size_t
take_data(int client, const char *data, size_t len)
{
	static const char end[] = "\r\n.\r\n";
	Client	   *c = &clients[client];

	for (size_t i = 0; i < len; i++)
	{
		if (c->ending == 0)
		{
			const char *cr = memchr(data + i, '\r', len - i);

			if (cr == NULL)
				return len;
			i = (size_t) (cr - data);
		}
		c->ending = data[i] == end[c->ending] ? c->ending + 1 :
			data[i] == '\r' ? 1 : 0;
		if (c->ending == 5)
		{
			c->in_data = false;
			c->len = 0;
			received++;
			answer(&final_queue, client, "250 2.0.0 taken\r\n");
			return i + 1;
		}
	}
	return len;
}

/* Takes what a client has sent. */
static void
take(int client, const char *data, size_t len)
{
	Client	   *c = &clients[client];

	for (size_t i = 0; i < len;)
	{
		if (c->in_data)
			i += take_data(client, data + i, len - i);
		else if (data[i++] != '\n')
		{
			if (c->len < (int) sizeof(c->line) - 1)
				c->line[c->len++] = data[i - 1];
		}
		else
		{
			c->line[c->len] = '\0';
			c->len = 0;
			take_line(client);
		}
	}
}

/* Lets a new client in. */
static void
welcome(int listener)
{
	int			one = 1;
	int			fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	if (fd < 0)
		return;
	if (fd >= max_client)
	{
		int			max = 2 * fd + 16;

		clients = realloc(clients, (size_t) max * sizeof(Client));
		for (int i = max_client; i < max; i++)
			clients[i].fd = -1;
		max_client = max;
	}
	memset(&clients[fd], 0, sizeof(Client));
	clients[fd].fd = fd;
	clients[fd].number = ++connections;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event);
	answer(&command_queue, fd, "220 sink ESMTP\r\n");
	write_answers(fd);
}

/* Reads from a client, or sees that it is gone. */
static void
serve(int fd)
{
	static char buffer[BUFFER_BYTES];
	ssize_t		n = read(fd, buffer, sizeof(buffer));

	if (n > 0)
	{
		take(fd, buffer, (size_t) n);
		write_answers(fd);
	}
	else
	{
		clients[fd].fd = -1;
		close(fd);
	}
}

/* A queue whose answers wait so many ms. */
static Queue
queue_of(const char *ms)
{
	Queue		queue = {.delay = (int64_t) (atof(ms) * 1e6), .max = 1024};

	queue.answers = malloc(queue.max * sizeof(Answer));
	return queue;
}

/* Waits for what comes, until the first answer is due. */
static int
wait_for(struct epoll_event *events, int max)
{
	int64_t		left = answer_due(&command_queue);
	int64_t		other = answer_due(&final_queue);
	struct timespec limit;

	if (left < 0 || (other >= 0 && other < left))
		left = other;
	limit.tv_sec = left / 1000000000;
	limit.tv_nsec = left % 1000000000;
	return epoll_pwait2(poll_fd, events, max, left < 0 ? NULL : &limit, NULL);
}

int
main(int argc, char **argv)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t	len = sizeof(address);
	int			listener = socket(AF_INET, SOCK_STREAM, 0);
	struct epoll_event events[256];
	struct epoll_event event = {.events = EPOLLIN};

	if (argc < 3 || argc > 4)
		return 2;
	pipelining = argc == 4 && strcmp(argv[3], "pipelining") == 0;
	command_queue = queue_of(argv[1]);
	final_queue = queue_of(argv[2]);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(listener, (struct sockaddr *) &address, sizeof(address)) != 0 ||
		listen(listener, 1024) != 0)
		return 1;
	getsockname(listener, (struct sockaddr *) &address, &len);
	printf("port %d\n", ntohs(address.sin_port));
	fflush(stdout);
	poll_fd = epoll_create1(0);
	event.data.fd = listener;
	epoll_ctl(poll_fd, EPOLL_CTL_ADD, listener, &event);
	event.data.fd = STDIN_FILENO;
	epoll_ctl(poll_fd, EPOLL_CTL_ADD, STDIN_FILENO, &event);
	for (;;)
	{
		int			n = wait_for(events, 256);

		for (int i = 0; i < n; i++)
		{
			if (events[i].data.fd == listener)
				welcome(listener);
			else if (events[i].data.fd != STDIN_FILENO)
				serve(events[i].data.fd);
			else if (read(STDIN_FILENO, &len, 1) <= 0)
			{
				printf("received %ld connections %u\n", received, connections);
				return 0;
			}
		}
	}
}
