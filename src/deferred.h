/*
 * deferred.h
 *	  Notes of what happened, for the engine to catch up with later.
 */
#ifndef MA_DEFERRED_H
#define MA_DEFERRED_H

#include "lib/stringinfo.h"
#include "storage/itemptr.h"
#include "utils/rel.h"

/* What the notes of one statement have in common. */
typedef struct MaNoteHead
{
	int64		statement; /* its first event: statements in their order */
	TimestampTz at;		   /* when it was */
	bool		silent;	   /* the rule of silence held */
} MaNoteHead;

/* An event by its key, or a contact to be looked at. */
typedef struct MaNote
{
	MaNoteHead		head;
	ItemPointerData row; /* where it was found */
	int64			contact_id;
	int64			event_id; /* 0: the contact */
	TimestampTz		occurred_at;
	const char	   *kind;
	int				kind_length;
} MaNote;

/* Bytes of a row of notes; two rows to a page. */
#define MA_NOTES_MAX 3968

/* Writes notes of one statement. */
typedef struct MaNoteWriter
{
	Relation	   heap; /* NULL until there is something to write */
	bool		   writes_log;
	MaNoteHead	   head;
	MaNote		   last;	/* what the next one is told apart from */
	int			   kind_at; /* where in the body its kind is */
	int			   n;
	StringInfoData body; /* the row as far as it is, in bytes */
	int64		   bytes[MA_NOTES_MAX / sizeof(int64)];
} MaNoteWriter;

/* Reads the notes of a row. */
typedef struct MaNoteReader
{
	MaNote		last;
	const char *in;
	const char *end;
} MaNoteReader;

extern void ma_deferred_begin(MaNoteWriter *writer, const MaNoteHead *head,
							  bool writes_log);
extern void ma_deferred_add(MaNoteWriter *writer, const MaNote *note);
extern void ma_deferred_end(MaNoteWriter *writer);

extern void	   ma_deferred_read(MaNoteReader *reader, const MaNoteHead *head,
								bytea *body);
extern bool	   ma_deferred_next(MaNoteReader *reader, MaNote *note);
extern MaNote *ma_deferred_find(const int64 *ids, int n, int *found);

#endif /* MA_DEFERRED_H */
