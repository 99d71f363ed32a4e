/*
 * capture_private.h
 *	  What the parts of a capture share.
 */
#ifndef MA_CAPTURE_PRIVATE_H
#define MA_CAPTURE_PRIVATE_H

#include "executor/tuptable.h"

#include "capture.h"
#include "contact.h"
#include "event.h"

/* What is to be noted, once the chunk is written. */
typedef struct MaCaptureNote
{
	int		   person; /* in profiles; -1: none */
	ErrorData *problem;
} MaCaptureNote;

/* What the rows of a chunk say, read by one source. */
typedef struct MaCaptureRun
{
	MaSource	   *source;
	MemoryContext	cxt; /* of one chunk */
	TupleTableSlot *row;
	TupleTableSlot *old;
	MinimalTuple   *rows; /* of the chunk */
	MinimalTuple   *olds; /* their old versions, NULL: inserted */
	int				nrows;
	int				next;	  /* first row not yet evaluated */
	MaProfile	   *profiles; /* of the rows that count */
	MaEventRow	   *events;	  /* beside them, for events */
	bool		   *replaces; /* beside them: instead of what is stored */
	int				n;
	MaProfile	   *gone_profiles; /* of events to be withdrawn */
	MaEventRow	   *gone_events;
	int				ngone;
	MaProfile	   *known;	   /* persons whose anonymous id a row tells */
	const char	  **anonymous; /* and that id */
	int				nknown;
	List		   *notes;
	int				sure_gone;	/* ngone before the row at hand */
	int				sure_known; /* nknown */
	int				sure_notes; /* and the length of notes */
	bool			careful;	/* each expression by itself */
	bool			failed;		/* one has raised */
} MaCaptureRun;

/* capture_row.c */
extern void ma_capture_evaluate(MaCaptureRun *run);
extern void ma_capture_write_notes(MaCaptureRun *run);

#endif /* MA_CAPTURE_PRIVATE_H */
