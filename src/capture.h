/*
 * capture.h
 *	  Rows of the application's tables, becoming contacts and events.
 */
#ifndef MA_CAPTURE_H
#define MA_CAPTURE_H

#include "fmgr.h"
#include "nodes/pg_list.h"
#include "pgtime.h"
#include "utils/relcache.h"
#include "utils/tuplestore.h"

#include "predicate.h"

/* What an update does of a row that is an event already. */
typedef enum MaOnUpdate
{
	MA_ON_UPDATE_IGNORE,  /* nothing: a row is one event */
	MA_ON_UPDATE_REPLACE, /* the event says what the row says now */
	MA_ON_UPDATE_APPEND	  /* each change is one more event */
} MaOnUpdate;

/* A source as it is stored: what the rows of a relation mean, in words. */
typedef struct MaSourceText
{
	char  *source;	/* its name */
	char  *kind;	/* of the events; NULL: rows are contacts */
	char  *contact; /* expressions; NULL where not given */
	char  *email;
	char  *phone;
	char  *anonymous;
	char  *occurred_at;
	char  *condition;
	char  *void_when;
	char  *on_update;  /* ignore, replace, append; NULL for contacts */
	char  *fields;	   /* select list: attributes or properties */
	char  *zone;	   /* of times without one; NULL: ours */
	char  *key_prefix; /* of dedupe keys; NULL for contacts */
	int	   nkey;	   /* columns of the primary key */
	int16 *key;		   /* and their numbers */
	int	   ncolumns;   /* columns when it was attached */
	char **columns;	   /* and their names then; NULL: dropped */
} MaSourceText;

/* The same, compiled. */
typedef struct MaSource
{
	MaSourceText text;
	const char	*object;  /* its name in mautomate.errors */
	MaExpr		*contact; /* NULL where not given */
	MaExpr		*email;
	MaExpr		*phone;
	MaExpr		*anonymous;
	MaExpr		*occurred_at;
	MaExpr		*condition;
	MaExpr		*void_when;
	MaOnUpdate	 on_update;
	MaExpr		*fields;
	bool		*as_text;	 /* per field: wanted as a string */
	pg_tz		*zone;		 /* NULL: mautomate.timezone */
	FmgrInfo	*key_output; /* per column of the key */
	ErrorData	*broken;	 /* why it could not be compiled, or NULL */
} MaSource;

/* What is captured from one relation. */
typedef struct MaCaptured
{
	Oid			  relid; /* key of the cache */
	MemoryContext cxt;	 /* owns all of it */
	TupleDesc	  desc;	 /* columns it was compiled for */
	int			  nsources;
	MaSource	 *sources; /* contacts first */
	int			  users;   /* how many are at work with it */
	bool		  stale;   /* free it when nobody is */
} MaCaptured;

/* capture_source.c */
extern void		   ma_source_compile(MaSource *source, TupleDesc desc);
extern MaCaptured *ma_captured_acquire(Relation rel);
extern void		   ma_captured_release(MaCaptured *captured);

/* capture_run.c */
typedef struct MaCapture MaCapture;

extern MaCapture *ma_capture_begin(MaSource *sources, int n, TupleDesc desc);
extern bool		  ma_capture_add(MaCapture *capture, MinimalTuple row,
								 MinimalTuple old);
extern MemoryContext ma_capture_context(MaCapture *capture);
extern void			 ma_capture_end(MaCapture *capture);

#endif /* MA_CAPTURE_H */
