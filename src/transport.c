/*
 * transport.c
 *	  The pipe to the program mautomate-transport.
 *
 * TLS and bytes from strangers must never be in a process that maps
 * shared_buffers: a crash there restarts the whole cluster. They live in a
 * child that has nothing of ours but one socket, which is its standard input
 * and output. Its end is read from that socket, so no signal handler is
 * needed, and every message it owed is then answered here from what it had
 * said before (see transport/protocol.h).
 *
 * Nothing here blocks but ma_transport_wait(). What the socket does not take
 * at once is kept and written when it does.
 */
#include "postgres.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/ilist.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "port/pg_bswap.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "transport_private.h"

#define PROGRAM				"mautomate-transport"

#define DEFAULT_CONNECTIONS 4

/* No frame from the child is longer. */
#define ANSWER_MAX (64 * 1024)

/* After this much more than it may take, a draining child is killed. */
#define DRAIN_GRACE_MS 300

static dlist_head transports = DLIST_STATIC_INIT(transports);

/* How often a socket was opened or closed. */
static uint64 socket_changes = 1;

static void				start_child(MaTransport *t, const char *path);
pg_noreturn static void run_child(const char *path, int fd, pid_t parent);
static void				release(void *arg);
static void				release_all(int code, Datum arg);
static void				read_in(MaTransport *t);
static void				child_gone(MaTransport *t, const char *reason);
static bool next_frame(MaTransport *t, char *type, const char **payload,
					   int *len);
static bool take_frame(MaTransport *t, char type, const char *payload, int len,
					   MaTransportResult *result);
static bool take_result(MaTransport *t, const char *payload, int len,
						MaTransportResult *result);
static void answer(MaTransport *t, MaPending *pending,
				   MaTransportResult *result);
static bool next_owed(MaTransport *t, MaTransportResult *result);

/*
 * Starts the program for one relay. Its connections are made when messages
 * need them: a relay that is down is not an error here. Throws if the program
 * is not installed or no process or descriptor can be had.
 */
MaTransport *
ma_transport_start(const MaTransportConfig *config)
{
	static bool			   registered = false;
	int					   connections = config->connections > 0 ?
											 Min(config->connections, MA_CONNECTIONS_MAX) :
											 DEFAULT_CONNECTIONS;
	MemoryContext		   cxt;
	MemoryContextCallback *callback;
	MaTransport			  *t;
	char				   path[MAXPGPATH + sizeof(PROGRAM)];

	snprintf(path, sizeof(path), "%s/%s", pkglib_path, PROGRAM);
	if (access(path, X_OK) != 0)
		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not find program \"%s\": %m", path),
						errhint("Install it with \"make install\".")));
	if (!registered)
	{
		before_shmem_exit(release_all, (Datum) 0);
		registered = true;
	}

	cxt = AllocSetContextCreate(CurrentMemoryContext, "mautomate transport",
								ALLOCSET_DEFAULT_SIZES);
	t = MemoryContextAllocZero(cxt, offsetof(MaTransport, pending) +
										2 * connections * sizeof(MaPending));
	t->cxt = cxt;
	t->fd = -1;
	t->maxpending = 2 * connections;
	callback = MemoryContextAlloc(cxt, sizeof(*callback));
	callback->func = release;
	callback->arg = t;
	MemoryContextRegisterResetCallback(cxt, callback);
	dlist_push_tail(&transports, &t->node);

	cxt = MemoryContextSwitchTo(t->cxt);
	initStringInfo(&t->out);
	initStringInfo(&t->in);
	MemoryContextSwitchTo(cxt);
	start_child(t, path);
	ma_transport_configure(t, config);
	ma_transport_flush(t);
	return t;
}

/* Makes the socket and the child. */
static void
start_child(MaTransport *t, const char *path)
{
	int		 ends[2];
	pid_t	 parent = getpid();
	sigset_t all;
	sigset_t before;

	t->counted = AcquireExternalFD();
	if (!t->counted)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("no descriptor is free for program \"%s\"", path)));
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
		ereport(ERROR,
				(errcode_for_socket_access(),
				 errmsg("could not create a socket for program \"%s\": %m",
						path)));
	t->fd = ends[0];
	socket_changes++;
	if (fcntl(t->fd, F_SETFL, O_NONBLOCK) != 0)
	{
		close(ends[1]);
		elog(ERROR, "could not set socket to nonblocking mode: %m");
	}

	/* no handler of ours may run in the child before it has reset them */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	t->pid = fork();
	if (t->pid == 0)
		run_child(path, ends[1], parent);
	sigprocmask(SIG_SETMASK, &before, NULL);
	close(ends[1]);
	if (t->pid < 0)
	{
		t->pid = 0;
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_RESOURCES),
						errmsg("could not fork program \"%s\": %m", path)));
	}
}

/*
 * The child, from fork to exec: leaves behind the server's descriptors,
 * handlers, directory, session and environment. Only calls that are safe
 * after a fork.
 */
static void
run_child(const char *path, int fd, pid_t parent)
{
	char	*argv[] = {PROGRAM, NULL};
	char	*envp[] = {NULL};
	sigset_t none;

	/* the parent may be gone before the wish was known */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
		_exit(1);
	setsid();
	if (chdir("/") != 0 || dup2(fd, 0) < 0 || dup2(fd, 1) < 0)
		_exit(1);
#ifdef SYS_close_range
	if (syscall(SYS_close_range, 3u, ~0u, 0u) != 0)
#endif
		for (int i = (int) sysconf(_SC_OPEN_MAX) - 1; i > 2; i--)
			close(i);
	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execve(path, argv, envp);
	_exit(127);
}

/* Memory context callback: ends the child, gives back what is not memory. */
static void
release(void *arg)
{
	MaTransport *t = (MaTransport *) arg;

	child_gone(t, "stopped");
	if (t->counted)
		ReleaseExternalFD();
	t->counted = false;
	dlist_delete(&t->node);
}

/* The end of this process: no child outlives it. */
static void
release_all(int code, Datum arg)
{
	while (!dlist_is_empty(&transports))
		ma_transport_stop(dlist_head_element(MaTransport, node, &transports));
}

void
ma_transport_stop(MaTransport *t)
{
	MemoryContextDelete(t->cxt);
}

/* Reads what the child has written, and notices its end. */
static void
read_in(MaTransport *t)
{
	while (t->fd >= 0)
	{
		ssize_t n;

		if (t->in.cursor > 0)
		{
			t->in.len -= t->in.cursor;
			memmove(t->in.data, t->in.data + t->in.cursor, t->in.len);
			t->in.cursor = 0;
		}
		enlargeStringInfo(&t->in, ANSWER_MAX);
		n = recv(t->fd, t->in.data + t->in.len, ANSWER_MAX, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n <= 0)
		{
			child_gone(t, NULL);
			return;
		}
		t->in.len += n;
		if (n < ANSWER_MAX)
			break;
	}
	if (t->draining && t->fd >= 0 && GetCurrentTimestamp() > t->drain_until)
		child_gone(t, "it did not end in time");
}

/*
 * The child is dead, or shall be. Killing one that is on its way out does not
 * change its exit status; one that only closed its end is ended.
 */
static void
child_gone(MaTransport *t, const char *reason)
{
	int status = 0;

	if (t->fd >= 0)
	{
		close(t->fd);
		socket_changes++;
	}
	t->fd = -1;
	if (t->pid > 0)
	{
		kill(t->pid, SIGKILL);
		while (waitpid(t->pid, &status, 0) < 0 && errno == EINTR)
			;
		t->pid = 0;
	}
	if (t->reason[0] != '\0')
		return;
	if (reason != NULL)
		strlcpy(t->reason, reason, sizeof(t->reason));
	else if (WIFSIGNALED(status))
		snprintf(t->reason, sizeof(t->reason),
				 "it was terminated by signal %d", WTERMSIG(status));
	else if (!t->draining || WEXITSTATUS(status) != 0)
		snprintf(t->reason, sizeof(t->reason), "it exited with code %d",
				 WEXITSTATUS(status));
}

bool
ma_transport_poll(MaTransport *t, MaTransportResult *result)
{
	bool		looked = false;
	char		type;
	const char *payload;
	int			len;

	ma_transport_flush(t);
	for (;;)
	{
		while (next_frame(t, &type, &payload, &len))
			if (take_frame(t, type, payload, len, result))
				return true;
		if (t->fd < 0)
			return next_owed(t, result);
		if (looked)
			return false;
		read_in(t);
		looked = true;
	}
}

/*
 * The next whole frame read, if there is one. The payload is valid until the
 * next read.
 */
static bool
next_frame(MaTransport *t, char *type, const char **payload, int *len)
{
	uint32 frame_len;
	int	   unread = t->in.len - t->in.cursor;

	if (unread < (int) sizeof(frame_len))
		return false;
	memcpy(&frame_len, t->in.data + t->in.cursor, sizeof(frame_len));
	frame_len = pg_ntoh32(frame_len);
	if (frame_len < 1 || frame_len > ANSWER_MAX)
	{
		t->in.cursor = t->in.len;
		child_gone(t, "it wrote a broken frame");
		return false;
	}
	if (unread < (int) (sizeof(frame_len) + frame_len))
		return false;
	*type = t->in.data[t->in.cursor + sizeof(frame_len)];
	*payload = t->in.data + t->in.cursor + sizeof(frame_len) + 1;
	*len = (int) frame_len - 1;
	t->in.cursor += sizeof(frame_len) + frame_len;
	return true;
}

/*
 * Understands one frame of the child; true if it is a result. One that makes
 * no sense ends the child: what it owes is answered from what we know.
 */
static bool
take_frame(MaTransport *t, char type, const char *payload, int len,
		   MaTransportResult *result)
{
	MaPending *pending = NULL;
	uint64	   id;

	if (type == MA_FRAME_BROKEN)
	{
		snprintf(t->reason, sizeof(t->reason), "%.*s", len, payload);
		return false;
	}
	if (len >= (int) sizeof(id))
	{
		memcpy(&id, payload, sizeof(id));
		pending = ma_transport_find(t, (int64) pg_ntoh64(id));
	}
	if (pending != NULL && !pending->answered && type == MA_FRAME_ENDING)
	{
		pending->ending = true;
		return false;
	}
	if (pending == NULL || pending->answered || type != MA_FRAME_RESULT ||
		!take_result(t, payload + sizeof(id), len - sizeof(id), result))
	{
		child_gone(t, "it wrote a frame that makes no sense");
		return false;
	}
	answer(t, pending, result);
	return true;
}

/* A message has its result. */
static void
answer(MaTransport *t, MaPending *pending, MaTransportResult *result)
{
	pending->answered = true;
	t->nanswered++;
	t->bytes -= pending->bytes;
	result->id = pending->id;
}

/* Understands what stands behind the id of a result; false: it is none. */
static bool
take_result(MaTransport *t, const char *payload, int len,
			MaTransportResult *result)
{
	uint32 numbers[3]; /* code, seconds, length of the id given */
	int	   head = 1 + sizeof(numbers);

	if (len < head || payload[0] < MA_OUTCOME_SENT ||
		payload[0] > MA_OUTCOME_UNTRIED)
		return false;
	memcpy(numbers, payload + 1, sizeof(numbers));
	for (int i = 0; i < 3; i++)
		numbers[i] = pg_ntoh32(numbers[i]);
	if (numbers[2] > MA_PROVIDED_MAX || (int) numbers[2] > len - head)
		return false;
	result->outcome = (MaOutcome) payload[0];
	result->code = (int) numbers[0];
	result->retry_after = (int) Min(numbers[1], PG_INT32_MAX);
	memcpy(t->provided, payload + head, numbers[2]);
	t->provided[numbers[2]] = '\0';
	result->provided = t->provided;
	payload += head + numbers[2];
	len = Min(len - head - (int) numbers[2], MA_TEXT_MAX);
	memcpy(t->text, payload, len);
	t->text[len] = '\0';
	result->text = t->text;
	return true;
}

/* The next message a dead child has left without an answer. */
static bool
next_owed(MaTransport *t, MaTransportResult *result)
{
	for (int i = 0; i < t->npending; i++)
	{
		MaPending *pending = &t->pending[i];

		if (pending->answered)
			continue;
		answer(t, pending, result);
		result->outcome = pending->ending			? MA_OUTCOME_IN_DOUBT :
						  pending->end > t->written ? MA_OUTCOME_UNTRIED :
													  MA_OUTCOME_NOT_REACHED;
		result->code = 0;
		result->retry_after = 0;
		result->provided = "";
		result->text =
			t->reason[0] != '\0' ? t->reason : "the transport was told to end";
		return true;
	}
	return false;
}

int
ma_transport_pending(MaTransport *t)
{
	return t->npending - t->nanswered;
}

bool
ma_transport_alive(MaTransport *t)
{
	return t->fd >= 0;
}

const char *
ma_transport_reason(MaTransport *t)
{
	return t->reason;
}

void
ma_transport_drain(MaTransport *t)
{
	if (t->draining || t->fd < 0)
		return;
	t->draining = true;
	t->drain_until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
												 MA_DRAIN_MS + DRAIN_GRACE_MS);
	shutdown(t->fd, SHUT_WR);
	resetStringInfo(&t->out);
}

/*
 * Is there something to poll without waiting? What the child only says of its
 * progress is noted, and nothing to poll.
 */
static bool
is_ready(MaTransport *t)
{
	MaTransportResult result;
	const char		 *payload;
	uint32			  frame_len;
	char			  type;
	int				  len;

	while (t->fd >= 0)
	{
		const char *frame = t->in.data + t->in.cursor;
		int			unread = t->in.len - t->in.cursor;

		if (unread < (int) sizeof(frame_len))
			return false;
		memcpy(&frame_len, frame, sizeof(frame_len));
		if (unread - (int) sizeof(frame_len) < (int64) pg_ntoh32(frame_len))
			return false;
		if (frame[sizeof(frame_len)] != MA_FRAME_ENDING)
			return true;
		if (next_frame(t, &type, &payload, &len))
			(void) take_frame(t, type, payload, len, &result);
	}
	return t->npending > t->nanswered;
}

/* Shortens the timeout to the moment when a draining child is killed. */
static long
until_drained(MaTransport *t, long timeout_ms)
{
	long left;

	if (t->fd < 0 || !t->draining)
		return timeout_ms;
	left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(),
										   t->drain_until) +
		   1;
	return timeout_ms < 0 ? left : Min(left, timeout_ms);
}

/*
 * The set of events to wait for: our latch, the end of the server, the
 * sockets. Made anew only where they are others than last time.
 */
static WaitEventSet *
event_set(MaTransport **list, int n)
{
	static WaitEventSet *set = NULL;
	static uint64		 made_for = 0;
	static int			 set_size = 0;
	MemoryContext		 old;

	if (set == NULL || made_for != socket_changes || set_size != n)
	{
		if (set != NULL)
			FreeWaitEventSet(set);
		set = NULL;
		old = MemoryContextSwitchTo(TopMemoryContext);
		set = ma_wait_event_set(n + 2);
		MemoryContextSwitchTo(old);
		AddWaitEventToSet(set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
		AddWaitEventToSet(set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL,
						  NULL);
		for (int i = 0; i < n; i++)
			if (list[i]->fd >= 0)
				list[i]->event = AddWaitEventToSet(set, WL_SOCKET_READABLE,
												   list[i]->fd, NULL, NULL);
		made_for = socket_changes;
		set_size = n;
	}
	for (int i = 0; i < n; i++)
		if (list[i]->fd >= 0)
			ModifyWaitEvent(set, list[i]->event,
							WL_SOCKET_READABLE |
								(list[i]->out.cursor < list[i]->out.len ?
									 WL_SOCKET_WRITEABLE :
									 0),
							NULL);
	return set;
}

void
ma_transport_wait(MaTransport **list, int n, long timeout_ms)
{
	TimestampTz until =
		timeout_ms < 0 ?
			DT_NOEND :
			TimestampTzPlusMilliseconds(GetCurrentTimestamp(), timeout_ms);

	for (;;)
	{
		WaitEvent event;
		bool	  ready = false;

		for (int i = 0; i < n; i++)
		{
			ma_transport_flush(list[i]);
			ready = is_ready(list[i]) || ready;
			timeout_ms = until_drained(list[i], timeout_ms);
		}
		(void) WaitEventSetWait(event_set(list, n), ready ? 0 : timeout_ms,
								&event, 1, PG_WAIT_EXTENSION);
		if (ready || MyLatch->is_set || timeout_ms == 0)
			break;
		for (int i = 0; i < n; i++)
		{
			bool was_alive = list[i]->fd >= 0;

			read_in(list[i]);
			ready =
				is_ready(list[i]) || ready || (was_alive && list[i]->fd < 0);
		}
		if (ready)
			break;
		timeout_ms =
			until == DT_NOEND ?
				-1 :
				TimestampDifferenceMilliseconds(GetCurrentTimestamp(), until);
	}
	for (int i = 0; i < n; i++)
		ma_transport_flush(list[i]);
}
