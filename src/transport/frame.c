/*
 * frame.c
 *	  Frames in and out.
 *
 * One thread reads, what is there and no more. Any thread writes: frames are
 * collected, and go out together where that is asked for, since there are two
 * per message and each write may wake the sender.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "frame.h"
#include "alloc.h"

/* Length, type, id, outcome, code, seconds, length of the id given. */
#define RESULT_HEAD 30

/* Frames that were not written yet. */
static struct
{
	pthread_mutex_t lock;
	size_t			len;
	char			bytes[64 * 1024];
} out = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Reads what is there, or waits for something; false at the end. */
bool
frame_fill(FrameReader *reader)
{
	ssize_t n;

	if (reader->start > 0)
	{
		reader->end -= reader->start;
		memmove(reader->buffer, reader->buffer + reader->start, reader->end);
		reader->start = 0;
	}
	do
		n = read(reader->fd, reader->buffer + reader->end,
				 sizeof(reader->buffer) - reader->end);
	while (n < 0 && errno == EINTR);
	if (n > 0)
		reader->end += (size_t) n;
	return n > 0;
}

/* Begins a frame, if its head was read. */
static FrameRead
begin_frame(FrameReader *reader)
{
	Frame	*frame = &reader->frame;
	uint32_t len;

	if (reader->end - reader->start < sizeof(len))
		return FRAME_PART;
	memcpy(&len, reader->buffer + reader->start, sizeof(len));
	len = ntohl(len);
	if (len < 1 || len > MA_FRAME_MAX)
		return FRAME_TOO_LONG;
	if (reader->end - reader->start < sizeof(len) + 1)
		return FRAME_PART;
	frame->type = reader->buffer[reader->start + sizeof(len)];
	frame->len = len - 1;
	frame->payload = alloc_get(len);
	reader->start += sizeof(len) + 1;
	reader->got = 0;
	return FRAME_READ;
}

/* Takes the next frame, if it was read. The payload is the caller's to free. */
FrameRead
frame_read(FrameReader *reader, Frame *frame)
{
	Frame *begun = &reader->frame;
	size_t len;

	if (begun->payload == NULL)
	{
		FrameRead head = begin_frame(reader);

		if (head != FRAME_READ)
			return head;
	}
	len = begun->len - reader->got;
	if (len > reader->end - reader->start)
		len = reader->end - reader->start;
	memcpy(begun->payload + reader->got, reader->buffer + reader->start, len);
	reader->start += len;
	reader->got += len;
	if (reader->got < begun->len)
		return FRAME_PART;
	*frame = *begun;
	memset(begun, 0, sizeof(*begun));
	return FRAME_READ;
}

/* Takes an id; false if the frame has no more that many bytes. */
bool
frame_take_id(Frame *frame, int64_t *id)
{
	uint32_t halves[2];

	if (frame->len - frame->taken < sizeof(halves))
		return false;
	memcpy(halves, frame->payload + frame->taken, sizeof(halves));
	*id = (int64_t) ((uint64_t) ntohl(halves[0]) << 32 | ntohl(halves[1]));
	frame->taken += sizeof(halves);
	return true;
}

/* Takes a string where it lies; false if the frame does not hold it whole. */
bool
frame_take_bytes(Frame *frame, const char **bytes, size_t *len)
{
	uint32_t len32;

	if (frame->len - frame->taken < sizeof(len32))
		return false;
	memcpy(&len32, frame->payload + frame->taken, sizeof(len32));
	*len = ntohl(len32);
	if (frame->len - frame->taken - sizeof(len32) < *len)
		return false;
	*bytes = frame->payload + frame->taken + sizeof(len32);
	frame->taken += sizeof(len32) + *len;
	return true;
}

/* Takes a copy of a string; NULL if it is not whole or holds a NUL. */
char *
frame_take_string(Frame *frame)
{
	const char *bytes;
	size_t		len;
	char	   *string;

	if (!frame_take_bytes(frame, &bytes, &len) ||
		memchr(bytes, '\0', len) != NULL)
		return NULL;
	string = alloc_get(len + 1);
	memcpy(string, bytes, len);
	string[len] = '\0';
	return string;
}

/* Appends a number in network order; returns what follows it. */
static char *
put_number(char *to, uint32_t number)
{
	number = htonl(number);
	memcpy(to, &number, sizeof(number));
	return to + sizeof(number);
}

/* Appends an id. */
static char *
put_id(char *to, int64_t id)
{
	to = put_number(to, (uint32_t) ((uint64_t) id >> 32));
	return put_number(to, (uint32_t) id);
}

/* Writes what was added; the lock is held. */
static void
write_out(int fd)
{
	for (size_t done = 0; done < out.len;)
	{
		ssize_t n = write(fd, out.bytes + done, out.len - done);

		if (n < 0 && errno != EINTR)
			break;
		if (n > 0)
			done += (size_t) n;
	}
	out.len = 0;
}

/*
 * Adds a frame, whose head has its type at head[4] and which ends in a text.
 */
static void
add_frame(int fd, char *head, size_t head_len, const char *text)
{
	size_t text_len = strnlen(text, MA_TEXT_MAX);
	size_t len = head_len + text_len;

	put_number(head, (uint32_t) (len - sizeof(uint32_t)));
	pthread_mutex_lock(&out.lock);
	if (sizeof(out.bytes) - out.len < len)
		write_out(fd);
	memcpy(out.bytes + out.len, head, head_len);
	memcpy(out.bytes + out.len + head_len, text, text_len);
	out.len += len;
	pthread_mutex_unlock(&out.lock);
}

/* Says that the end of this message's data is about to be written. */
void
frame_add_ending(int fd, int64_t id)
{
	char head[RESULT_HEAD];

	head[4] = MA_FRAME_ENDING;
	add_frame(fd, head, (size_t) (put_id(head + 5, id) - head), "");
}

/* Says how a message ended. */
void
frame_add_result(int fd, int64_t id, const Result *result)
{
	size_t len = strlen(result->provided);
	char   head[RESULT_HEAD + MA_PROVIDED_MAX];
	char  *to;

	head[4] = MA_FRAME_RESULT;
	to = put_id(head + 5, id);
	*to++ = (char) result->outcome;
	to = put_number(to, (uint32_t) result->code);
	to = put_number(to, (uint32_t) result->retry_after);
	to = put_number(to, (uint32_t) len);
	memcpy(to, result->provided, len);
	add_frame(fd, head, (size_t) (to + len - head), result->text);
}

/* Says why the program ends at once. */
void
frame_add_broken(int fd, const char *text)
{
	char head[RESULT_HEAD];

	head[4] = MA_FRAME_BROKEN;
	add_frame(fd, head, 5, text);
}

/*
 * Writes what was added. If nobody reads any more, the end of our input will
 * tell us soon.
 */
void
frame_flush(int fd)
{
	pthread_mutex_lock(&out.lock);
	write_out(fd);
	pthread_mutex_unlock(&out.lock);
}
