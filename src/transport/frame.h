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

/* Buffered input of frames. */
typedef struct FrameReader
{
	int	   fd;
	size_t start; /* first unread byte of buffer */
	size_t end;	  /* behind the last one */
	char   buffer[64 * 1024];
} FrameReader;

/* One frame; what is taken from it is taken in order. */
typedef struct Frame
{
	char   type;	/* MaFrameType */
	char  *payload; /* of malloc(), the reader's to free */
	size_t len;
	size_t taken; /* bytes taken so far */
} Frame;

/* How reading one ended. */
typedef enum FrameRead
{
	FRAME_READ,
	FRAME_EOF, /* also in the middle of one */
	FRAME_TOO_LONG
} FrameRead;

extern FrameRead frame_read(FrameReader *reader, Frame *frame);
extern bool		 frame_take_id(Frame *frame, int64_t *id);
extern bool	 frame_take_bytes(Frame *frame, const char **bytes, size_t *len);
extern char *frame_take_string(Frame *frame);

extern void frame_write_ending(int fd, int64_t id);
extern void frame_write_result(int fd, int64_t id, const Result *result);
extern void frame_write_broken(int fd, const char *text);

#endif /* FRAME_H */
