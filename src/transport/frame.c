/*
 * frame.c
 *	  Frames in and out.
 *
 * One thread reads. Any thread writes: a frame is written whole under a lock,
 * and with as few system calls as can be, since there are two per message.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "frame.h"
#include "alloc.h"

/* Length, type, id, outcome, code, seconds, id given: what stands before a
 * text. */
#define HEAD_MAX (26 + MA_PROVIDED_MAX)

static pthread_mutex_t write_lock = PTHREAD_MUTEX_INITIALIZER;

/* Reads exactly so many bytes; false at the end of the input. */
static bool
read_exactly(FrameReader *reader, char *to, size_t len)
{
	while (len > 0)
	{
		size_t	have = reader->end - reader->start;
		ssize_t n;

		if (have > 0)
		{
			if (have > len)
				have = len;
			memcpy(to, reader->buffer + reader->start, have);
			reader->start += have;
			to += have;
			len -= have;
			continue;
		}
		reader->start = reader->end = 0;
		n = read(reader->fd, reader->buffer, sizeof(reader->buffer));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		reader->end = (size_t) n;
	}
	return true;
}

/* Waits for the next frame. The payload is the caller's to free. */
FrameRead
frame_read(FrameReader *reader, Frame *frame)
{
	uint32_t len;

	memset(frame, 0, sizeof(*frame));
	if (!read_exactly(reader, (char *) &len, sizeof(len)))
		return FRAME_EOF;
	len = ntohl(len);
	if (len < 1 || len > MA_FRAME_MAX)
		return FRAME_TOO_LONG;
	if (!read_exactly(reader, &frame->type, 1))
		return FRAME_EOF;
	frame->len = len - 1;
	frame->payload = alloc_get(len);
	if (!read_exactly(reader, frame->payload, frame->len))
	{
		free(frame->payload);
		frame->payload = NULL;
		return FRAME_EOF;
	}
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

/*
 * Writes a frame whose head was built with its type at head[4]. If nobody
 * reads any more, the end of our input will tell us soon.
 */
static void
write_frame(int fd, char *head, size_t head_len, const char *text)
{
	char   frame[HEAD_MAX + MA_TEXT_MAX];
	size_t text_len = strnlen(text, MA_TEXT_MAX);
	size_t len = head_len + text_len;

	put_number(head, (uint32_t) (len - sizeof(uint32_t)));
	memcpy(frame, head, head_len);
	memcpy(frame + head_len, text, text_len);

	pthread_mutex_lock(&write_lock);
	for (size_t done = 0; done < len;)
	{
		ssize_t n = write(fd, frame + done, len - done);

		if (n < 0 && errno != EINTR)
			break;
		if (n > 0)
			done += (size_t) n;
	}
	pthread_mutex_unlock(&write_lock);
}

/* Says that the end of this message's data is about to be written. */
void
frame_write_ending(int fd, int64_t id)
{
	char head[HEAD_MAX];

	head[4] = MA_FRAME_ENDING;
	write_frame(fd, head, (size_t) (put_id(head + 5, id) - head), "");
}

/* Says how a message ended. */
void
frame_write_result(int fd, int64_t id, const Result *result)
{
	size_t len = strlen(result->provided);
	char   head[HEAD_MAX];
	char  *to;

	head[4] = MA_FRAME_RESULT;
	to = put_id(head + 5, id);
	*to++ = (char) result->outcome;
	to = put_number(to, (uint32_t) result->code);
	to = put_number(to, (uint32_t) result->retry_after);
	to = put_number(to, (uint32_t) len);
	memcpy(to, result->provided, len);
	write_frame(fd, head, (size_t) (to + len - head), result->text);
}

/* Says why the program ends at once. */
void
frame_write_broken(int fd, const char *text)
{
	char head[HEAD_MAX];

	head[4] = MA_FRAME_BROKEN;
	write_frame(fd, head, 5, text);
}
