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
#include "transport.h"

#define PROGRAM				"mautomate-transport"

#define DEFAULT_CONNECTIONS 4

/* Bytes of messages given to the child and not acknowledged, at most. */
#define ROOM_BYTES (128 * 1024 * 1024)

/* No frame from the child is longer. */
#define ANSWER_MAX (64 * 1024)

/* After this much more than it may take, a draining child is killed. */
#define DRAIN_GRACE_MS 300

/* A buffer grown beyond this is given back when empty. */
#define BUFFER_KEEP (1024 * 1024)

/* What is known of a message that was not acknowledged. */
typedef struct Pending
{
	int64  id;
	uint64 end;		 /* position in the stream where it ends */
	size_t bytes;	 /* its length */
	bool   ending;	 /* the child said ENDING */
	bool   answered; /* its result was given to the caller */
} Pending;

struct MaTransport
{
	dlist_node	   node;		/* in transports */
	MemoryContext  cxt;			/* everything, this too */
	pid_t		   pid;			/* the child; 0: reaped */
	int			   fd;			/* our end of the socket; -1: closed */
	bool		   counted;		/* the fd is known to fd.c */
	bool		   draining;	/* no more messages */
	TimestampTz	   drain_until; /* valid when draining */
	StringInfoData out;			/* to be written; cursor: written so far */
	StringInfoData in;			/* read; cursor: parsed so far */
	uint64		   queued;		/* stream position of the end of out */
	uint64		   written;		/* and of its cursor */
	size_t		   bytes;		/* sum of pending bytes */
	int			   npending;
	int			   nanswered; /* of them with a result */
	int			   maxpending;
	char		   reason[256];					  /* why it is gone */
	char		   text[MA_TEXT_MAX + 1];		  /* of the last result */
	char		   provided[MA_PROVIDED_MAX + 1]; /* likewise */
	Pending		   pending[FLEXIBLE_ARRAY_MEMBER];
};

static dlist_head transports = DLIST_STATIC_INIT(transports);

static void				start_child(MaTransport *t, const char *path);
pg_noreturn static void run_child(const char *path, int fd, pid_t parent);
static void send_config(MaTransport *t, const MaTransportConfig *config);
static void release(void *arg);
static void release_all(int code, Datum arg);
static void flush_out(MaTransport *t);
static void read_in(MaTransport *t);
static void child_gone(MaTransport *t, const char *reason);
static bool next_frame(MaTransport *t, char *type, const char **payload,
					   int *len);
static bool take_frame(MaTransport *t, char type, const char *payload, int len,
					   MaTransportResult *result);
static bool take_result(MaTransport *t, const char *payload, int len,
						MaTransportResult *result);
static bool next_owed(MaTransport *t, MaTransportResult *result);
static Pending *find_pending(MaTransport *t, int64 id);

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
										2 * connections * sizeof(Pending));
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
	send_config(t, config);
	flush_out(t);
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

/* Appends the head of a frame; frame_end() sets its length. */
static int
frame_begin(MaTransport *t, MaFrameType type)
{
	int start;

	if (t->out.cursor > BUFFER_KEEP && t->out.cursor > t->out.len / 2)
	{
		/* what is written need not be kept while the rest waits */
		t->out.len -= t->out.cursor;
		memmove(t->out.data, t->out.data + t->out.cursor, t->out.len);
		t->out.cursor = 0;
	}
	start = t->out.len;
	appendStringInfoSpaces(&t->out, sizeof(uint32));
	appendStringInfoCharMacro(&t->out, (char) type);
	return start;
}

/* Closes the frame begun at start. */
static void
frame_end(MaTransport *t, int start)
{
	uint32 total = t->out.len - start;
	uint32 len = pg_hton32(total - sizeof(uint32));

	memcpy(t->out.data + start, &len, sizeof(len));
	t->queued += total;
}

/* Appends a string to the frame. */
static void
put_string(MaTransport *t, const char *string, size_t string_len)
{
	uint32 len = pg_hton32((uint32) string_len);

	appendBinaryStringInfo(&t->out, (const char *) &len, sizeof(len));
	appendBinaryStringInfo(&t->out, string, (int) string_len);
}

/* Appends the id of a message to the frame. */
static void
put_id(MaTransport *t, int64 id)
{
	uint64 value = pg_hton64((uint64) id);

	appendBinaryStringInfo(&t->out, (const char *) &value, sizeof(value));
}

/* Appends a setting to the configuration; those left out are not sent. */
static void
put_setting(MaTransport *t, const char *name, const char *value)
{
	if (value == NULL)
		return;
	put_string(t, name, strlen(name));
	put_string(t, value, strlen(value));
}

/* The same for a number, where 0 means left out. */
static void
put_number(MaTransport *t, const char *name, int value)
{
	char digits[16];

	snprintf(digits, sizeof(digits), "%d", value);
	put_setting(t, name, value == 0 ? NULL : digits);
}

/* What is about one relay. */
static void
put_relay(MaTransport *t, const MaTransportRelay *relay)
{
	char digits[16];

	snprintf(digits, sizeof(digits), "%d", relay->weight);
	put_setting(t, "relay", digits);
	put_setting(t, "host", relay->host);
	put_number(t, "port", relay->port);
	put_setting(t, "tls", relay->tls);
	put_number(t, "insecure", relay->insecure);
	put_setting(t, "ca_file", relay->ca_file);
	put_setting(t, "user", relay->user);
	put_setting(t, "auth", relay->auth);
	put_setting(t, "password_file", relay->password_file);
}

/* What is about requests. */
static void
put_web(MaTransport *t, const MaTransportWeb *web)
{
	put_number(t, "allow_private", web->allow_private);
	put_setting(t, "url_file", web->url_file);
	put_setting(t, "token_file", web->token_file);
	put_setting(t, "token_header", web->token_header);
	put_setting(t, "token_prefix", web->token_prefix);
	put_setting(t, "sign_file", web->sign_file);
	put_setting(t, "sign_header", web->sign_header);
	put_setting(t, "time_header", web->time_header);
	put_setting(t, "success", web->success);
	put_setting(t, "retry", web->retry);
	put_setting(t, "path", web->path);
	put_setting(t, "values", web->values);
	put_setting(t, "retry_values", web->retry_values);
	put_setting(t, "id_path", web->id_path);
}

/* The first frame of all. */
static void
send_config(MaTransport *t, const MaTransportConfig *config)
{
	int start = frame_begin(t, MA_FRAME_CONFIG);

	put_setting(t, "kind", config->kind);
	for (int i = 0; i < config->relay_count; i++)
		put_relay(t, &config->relays[i]);
	put_web(t, &config->web);
	put_setting(t, "helo", config->helo);
	put_number(t, "connections", t->maxpending / 2);
	put_number(t, "connect_ms", config->connect_ms);
	put_number(t, "reply_ms", config->reply_ms);
	put_number(t, "final_ms", config->final_ms);
	put_number(t, "total_ms", config->total_ms);
	put_number(t, "idle_ms", config->idle_ms);
	frame_end(t, start);
}

int
ma_transport_room(MaTransport *t)
{
	if (t->fd < 0 || t->draining || t->bytes >= ROOM_BYTES)
		return 0;
	return t->maxpending - t->npending;
}

/* Begins the frame of a job; the caller has seen that there is room. */
static int
job_begin(MaTransport *t, MaFrameType type, int64 id, size_t body_len)
{
	int start;

	if (t->npending >= t->maxpending || t->draining)
		elog(ERROR, "no room in the transport");
	if (body_len > MA_BODY_MAX)
		elog(ERROR, "message of %zu bytes is too long", body_len);
	start = frame_begin(t, type);
	put_id(t, id);
	return start;
}

/* Its frame is whole: from now on a result is owed. */
static void
job_end(MaTransport *t, int start, int64 id, size_t body_len)
{
	Pending *pending = &t->pending[t->npending++];

	frame_end(t, start);
	pending->id = id;
	pending->end = t->queued;
	pending->bytes = body_len;
	pending->ending = false;
	pending->answered = false;
	t->bytes += pending->bytes;
	flush_out(t);
}

void
ma_transport_send(MaTransport *t, const MaMail *mail)
{
	int start = job_begin(t, MA_FRAME_MAIL, mail->id, mail->body_len);

	put_string(t, mail->sender, strlen(mail->sender));
	put_string(t, mail->recipient, strlen(mail->recipient));
	put_string(t, mail->body, mail->body_len);
	job_end(t, start, mail->id, mail->body_len);
}

void
ma_transport_request(MaTransport *t, const MaRequest *request)
{
	int start = job_begin(t, MA_FRAME_REQUEST, request->id, request->body_len);

	put_string(t, request->method, strlen(request->method));
	put_string(t, request->url, strlen(request->url));
	put_string(t, request->headers, strlen(request->headers));
	put_string(t, request->body, request->body_len);
	job_end(t, start, request->id, request->body_len);
}

void
ma_transport_ack(MaTransport *t, int64 id)
{
	Pending *pending = find_pending(t, id);

	if (pending == NULL || !pending->answered)
		elog(ERROR, "message " INT64_FORMAT " has no result to acknowledge",
			 id);
	t->bytes -= pending->bytes;
	t->nanswered--;
	*pending = t->pending[--t->npending];
	if (t->fd >= 0 && !t->draining)
	{
		int start = frame_begin(t, MA_FRAME_ACK);

		put_id(t, id);
		frame_end(t, start);
		flush_out(t);
	}
}

/* The message of that id that was not acknowledged; NULL: none. */
static Pending *
find_pending(MaTransport *t, int64 id)
{
	for (int i = 0; i < t->npending; i++)
		if (t->pending[i].id == id)
			return &t->pending[i];
	return NULL;
}

/* Writes as much as the socket takes now. */
static void
flush_out(MaTransport *t)
{
	while (t->fd >= 0 && t->out.cursor < t->out.len)
	{
		ssize_t n = send(t->fd, t->out.data + t->out.cursor,
						 t->out.len - t->out.cursor, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return; /* full; or gone, then reading finds out */
		t->out.cursor += n;
		t->written += n;
	}
	if (t->out.maxlen > BUFFER_KEEP)
	{
		MemoryContext old = MemoryContextSwitchTo(t->cxt);

		pfree(t->out.data);
		initStringInfo(&t->out);
		MemoryContextSwitchTo(old);
	}
	resetStringInfo(&t->out);
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
		close(t->fd);
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
	Pending *pending = NULL;
	uint64	 id;

	if (type == MA_FRAME_BROKEN)
	{
		snprintf(t->reason, sizeof(t->reason), "%.*s", len, payload);
		return false;
	}
	if (len >= (int) sizeof(id))
	{
		memcpy(&id, payload, sizeof(id));
		pending = find_pending(t, (int64) pg_ntoh64(id));
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
	pending->answered = true;
	t->nanswered++;
	result->id = pending->id;
	return true;
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
		Pending *pending = &t->pending[i];

		if (pending->answered)
			continue;
		pending->answered = true;
		t->nanswered++;
		result->id = pending->id;
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

/* Is there something to poll without waiting? */
static bool
is_ready(MaTransport *t)
{
	uint32 frame_len;

	if (t->fd < 0)
		return t->npending > t->nanswered;
	if (t->in.len - t->in.cursor < (int) sizeof(frame_len))
		return false;
	memcpy(&frame_len, t->in.data + t->in.cursor, sizeof(frame_len));
	return t->in.len - t->in.cursor - (int) sizeof(frame_len) >=
		   (int) pg_ntoh32(frame_len);
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

void
ma_transport_wait(MaTransport **list, int n, long timeout_ms)
{
	WaitEventSet *set;
	WaitEvent	  event;

	for (int i = 0; i < n; i++)
	{
		if (is_ready(list[i]))
			timeout_ms = 0;
		timeout_ms = until_drained(list[i], timeout_ms);
	}
	set = ma_wait_event_set(n + 2);
	AddWaitEventToSet(set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	for (int i = 0; i < n; i++)
		if (list[i]->fd >= 0)
			AddWaitEventToSet(set,
							  WL_SOCKET_READABLE |
								  (list[i]->out.cursor < list[i]->out.len ?
									   WL_SOCKET_WRITEABLE :
									   0),
							  list[i]->fd, NULL, NULL);
	(void) WaitEventSetWait(set, timeout_ms, &event, 1, PG_WAIT_EXTENSION);
	FreeWaitEventSet(set);
	for (int i = 0; i < n; i++)
		flush_out(list[i]);
}
