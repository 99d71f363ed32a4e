/*
 * entry_private.h
 *	  What the two halves of the entries share: entry.c decides what an event
 *	  means, entry_store.c decides re-entry and writes.
 */
#ifndef MA_ENTRY_PRIVATE_H
#define MA_ENTRY_PRIVATE_H

#include "entry.h"
#include "program.h"

typedef struct MaEntries MaEntries;

/* A version of a workflow that somebody may be on. */
typedef struct MaEntryWorkflow
{
	int			workflow_id;
	int			version_id;
	const char *name;
	bool		open;	  /* the active version: new ones enter it */
	bool		dropping; /* paused: they are refused */
	MaProgram  *program;
	MaExpr	   *key; /* NULL: one per contact */
} MaEntryWorkflow;

/* A contact that may enter. */
typedef struct MaCandidate
{
	int64			 contact_id;
	MaEntryWorkflow *workflow;
	int64			 event_id;
	TimestampTz		 at;	   /* when that is */
	TimestampTz		 wake_at;  /* when its first step is due */
	char			*key;	   /* "" where there is none */
	Jsonb			*entry;	   /* properties of the event and more */
	Jsonb			*context;  /* given by hand, or NULL */
	const char		*refused;  /* the reason, or NULL */
	int64			 restarts; /* enrolment to start again, or 0 */
	bool			 replaced; /* a later one of the batch took its place */
} MaCandidate;

/* An event that concerns those on the way. */
typedef struct MaWake
{
	int		version_id;
	MaEvent event;
} MaWake;

/* A batch: the entries of a chunk of contacts. */
struct MaEntryBatch
{
	MaEntries	 *entries;
	MemoryContext cxt; /* where candidates live */
	TimestampTz	  now;
	int			  ncandidates;
	int			  maxcandidates;
	MaCandidate **candidates;
	int			  nwakes;
	int			  maxwakes;
	MaWake		 *wakes;
	int			  accepted; /* enrolments made, once applied */
};

#endif /* MA_ENTRY_PRIVATE_H */
