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
	TupleTableSlot *pointed; /* what they point to, for `via` */
	TupleTableSlot *old_pointed;
	MaCaptureRow   *rows; /* of the chunk */
	int				nrows;
	bool			erasing;  /* only who it is matters */
	bool			naming;	  /* only whom it is about */
	bool			followed; /* rows come with what they point to */
	int				next;	  /* first row not yet evaluated */
	MaProfile	   *profiles; /* of the rows that count */
	MaEventRow	   *events;	  /* beside them, for events */
	MaOnUpdate	   *again;	  /* beside them: what if it is in the log */
	int				n;
	MaProfile	   *gone_profiles; /* of events to be withdrawn */
	MaEventRow	   *gone_events;
	int				ngone;
	MaProfile	   *rekeyed_profiles; /* of events whose row has another key */
	MaEventKey	   *rekeyed;
	int				nrekeyed;
	MaProfile	*moved_profiles; /* of events whose row is somebody else's */
	MaEventMove *moved;
	MaProfile	*mover_profiles; /* beside them: whose it is now */
	int			 nmoved;
	MaProfile	*known;		 /* persons whose anonymous id a row tells */
	const char **anonymous;	 /* and that id */
	const char **known_keys; /* and the key of the row's event */
	int			 nknown;
	List		*notes;
	int			 sure_gone;	   /* ngone before the row at hand */
	int			 sure_rekeyed; /* nrekeyed */
	int			 sure_moved;   /* nmoved */
	int			 sure_known;   /* nknown */
	int			 sure_notes;   /* and the length of notes */
	bool		 careful;	   /* each expression by itself */
	bool		 failed;	   /* one has raised */
} MaCaptureRun;

/* Rows that point to one that changed, on their way. */
typedef struct MaViaFollow
{
	MaSource		   *source;
	MaCapture		   *capture;				/* takes them */
	Datum				values[INDEX_MAX_KEYS]; /* of the key pointed to */
	TupleTableSlot	   *row;					/* that changed */
	TupleTableSlot	   *old;					/* NULL: it is new */
	TupleConversionMap *map; /* from the table under way; NULL: same */
} MaViaFollow;

typedef struct MaViaReader MaViaReader;

/* capture_via.c */
extern MaViaReader *ma_via_open(const MaVia *via);
extern MinimalTuple ma_via_fetch(MaViaReader *reader, TupleTableSlot *row);
extern bool ma_via_points(const MaViaReader *reader, TupleTableSlot *row);
extern void ma_via_close(MaViaReader *reader);
extern void ma_via_follow(MaViaFollow *follow, TupleTableSlot *row,
						  TupleTableSlot *old);

/* capture_newest.c */
typedef struct MaNewest MaNewest;

extern bool			   ma_newest_is_needed(Oid relid);
extern MaNewest		  *ma_newest_open(Oid relid, TupleDesc desc);
extern TupleTableSlot *ma_newest_row(MaNewest *newest, TupleTableSlot *row);
extern void			   ma_newest_close(MaNewest *newest);

/* capture_run.c */
typedef void (*MaCaptureTake)(MaCaptureRun *run, void *arg);

extern void ma_capture_watch(MaCapture *capture, MaCaptureTake take,
							 void *arg);
extern void ma_capture_order_by(MaCapture *capture, void (*order)(void *arg),
								void	  *arg);

/* capture_holder.c */
extern int64 ma_capture_address(const MaProfile *person);
extern void	 ma_capture_find_events(MaCaptureRun *run, bool locked);
extern void	 ma_capture_find_known(MaCaptureRun *run);
extern void	 ma_capture_find_gone(MaCaptureRun *run);
extern void	 ma_capture_find_rekeyed(MaCaptureRun *run);
extern void	 ma_capture_find_moved(MaCaptureRun *run);

/* capture_order.c */
typedef struct MaCaptureOrder MaCaptureOrder;

extern MaCaptureOrder *ma_capture_order_begin(void);
extern void			   ma_capture_order_take(MaCaptureRun *run, void *arg);
extern void			   ma_capture_order_end(MaCaptureOrder *order);

/* capture_row.c */
extern void ma_capture_evaluate(MaCaptureRun *run);
extern void ma_capture_write_notes(MaCaptureRun *run);

#endif /* MA_CAPTURE_PRIVATE_H */
