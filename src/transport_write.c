/*
 * transport_write.c
 *	  What is written to the program mautomate-transport.
 *
 * Frames are collected and written together where the caller says so, or
 * waits, as far as the socket takes them; the rest is kept.
 */
#include "postgres.h"

#include <sys/socket.h>

#include "port/pg_bswap.h"

#include "transport_private.h"

/* Bytes of messages given to the child and not answered, at most. */
#define ROOM_BYTES (128 * 1024 * 1024)

/* So much is collected before it is written without being asked for. */
#define FLUSH_BYTES (256 * 1024)

/* A buffer grown beyond this is given back when empty. */
#define BUFFER_KEEP (1024 * 1024)

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
void
ma_transport_configure(MaTransport *t, const MaTransportConfig *config)
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
	return t->maxpending - ma_transport_pending(t);
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
	MaPending *pending = &t->pending[t->npending++];

	frame_end(t, start);
	pending->id = id;
	pending->end = t->queued;
	pending->bytes = body_len;
	pending->ending = false;
	pending->answered = false;
	t->bytes += pending->bytes;
	if (t->out.len - t->out.cursor > FLUSH_BYTES)
		ma_transport_flush(t);
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
	MaPending *pending = ma_transport_find(t, id);

	if (pending == NULL || !pending->answered)
		elog(ERROR, "message " INT64_FORMAT " has no result to acknowledge",
			 id);
	t->nanswered--;
	*pending = t->pending[--t->npending];
	if (t->fd >= 0 && !t->draining)
	{
		int start = frame_begin(t, MA_FRAME_ACK);

		put_id(t, id);
		frame_end(t, start);
	}
}

/* The message of that id that was not acknowledged; NULL: none. */
MaPending *
ma_transport_find(MaTransport *t, int64 id)
{
	for (int i = 0; i < t->npending; i++)
		if (t->pending[i].id == id)
			return &t->pending[i];
	return NULL;
}

/* Writes as much as the socket takes now. */
void
ma_transport_flush(MaTransport *t)
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
