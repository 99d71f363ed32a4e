/*
 * frame.h
 *	  Frames in and out: see protocol.h.
 */
#ifndef FRAME_H
#define FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol.h"
#include "result.h"

/* One frame; what is taken from it is taken in order. */
typedef struct Frame
{
	char   type;	/* MaFrameType */
	char  *payload; /* of malloc(), the reader's to free */
	size_t len;
	size_t taken; /* bytes taken so far */
} Frame;

/* How taking one ended. */
typedef enum FrameRead
{
	FRAME_READ,
	FRAME_PART, /* the rest has to be read */
	FRAME_TOO_LONG
} FrameRead;

/* Input of frames, as they come. */
typedef struct FrameReader
{
	int	   fd;
	size_t start; /* first unread byte of buffer */
	size_t end;	  /* behind the last one */
	Frame  frame; /* begun */
	size_t got;	  /* bytes of its payload */
	char   buffer[128 * 1024];
} FrameReader;

extern bool		 frame_fill(FrameReader *reader);
extern FrameRead frame_read(FrameReader *reader, Frame *frame);
extern bool		 frame_take_id(Frame *frame, int64_t *id);
extern bool	 frame_take_bytes(Frame *frame, const char **bytes, size_t *len);
extern char *frame_take_string(Frame *frame);

extern void frame_add_ending(int fd, int64_t id);
extern void frame_add_result(int fd, int64_t id, const Result *result);
extern void frame_add_broken(int fd, const char *text);
extern void frame_flush(int fd);

#endif /* FRAME_H */
