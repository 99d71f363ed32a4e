/*
 * event.h
 *	  Putting events into the log, in sets.
 */
#ifndef MA_EVENT_H
#define MA_EVENT_H

#include "datatype/timestamp.h"
#include "utils/jsonb.h"

/* An event to put into the log. */
typedef struct MaEventRow
{
	int64		contact_id; /* 0: nobody's, left out */
	const char *kind;
	TimestampTz occurred_at;
	Jsonb	   *properties; /* an object; NULL: an empty one */
	const char *dedupe_key; /* at most one event per contact and key; NULL:
								 * any number */
	bool		is_more;	/* one more by its key, which holds none back: it
							 * goes and moves with the event of that key */
	int64		address;	/* hash of that by which a row tells whose it
							 * is; 0: otherwise */
	int64		event_id;	/* out: of a stored event */
	bool		stored;		/* out: false if left out or repeated */
} MaEventRow;

/* An event that is known by one dedupe key, and is to be by another. */
typedef struct MaEventKey
{
	int64		contact_id;
	const char *from;
	const char *to;
} MaEventKey;

/* An event known by its dedupe key that is to be another contact's. */
typedef struct MaEventMove
{
	int64		from;
	int64		to;
	const char *dedupe_key;
	int64		address; /* by which its row names that one; 0: otherwise */
} MaEventMove;

/* An event of a row that tells by an address whose it is. */
typedef struct MaEventHolder
{
	const char *dedupe_key;
	int64		address;
	int64		contact_id; /* out: whose it is; 0: there is no such event */
} MaEventHolder;

extern int64 ma_event_store(MaEventRow *rows, int n);
extern void	 ma_event_withdraw(MaEventRow *rows, int n);
extern void	 ma_event_replace(MaEventRow *rows, int n);
extern void	 ma_event_rekey(const MaEventKey *keys, int n);
extern void	 ma_event_movable(MaEventMove *moves, int n);
extern void	 ma_event_move(const char *kind, const MaEventMove *moves, int n);
extern int64 ma_event_first(const MaEventRow *row);
extern void	 ma_event_check_kind(const char *kind);

/* event_holder.c */
extern void ma_event_find_holders(MaEventHolder *holders, int n, bool any,
								  bool locked);

#endif /* MA_EVENT_H */
