/*
 * capture.h
 *	  Rows of the application's tables, becoming contacts and events.
 */
#ifndef MA_CAPTURE_H
#define MA_CAPTURE_H

#include "access/tupconvert.h"
#include "fmgr.h"
#include "nodes/pg_list.h"
#include "pgtime.h"
#include "storage/lockdefs.h"
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
	char  *source;	 /* its name */
	Oid	   relation; /* the table */
	char  *kind;	 /* of the events; NULL: rows are contacts */
	char  *contact;	 /* expressions; NULL where not given */
	char  *email;
	char  *phone;
	char  *anonymous;
	char  *occurred_at;
	char  *condition;
	char  *void_when;
	char  *on_update;	 /* ignore, replace, append; NULL for contacts */
	char  *on_delete;	 /* keep, erase; NULL for events */
	char  *fields;		 /* select list: attributes or properties */
	char  *zone;		 /* of times without one; NULL: ours */
	char  *key_prefix;	 /* of dedupe keys; NULL for contacts */
	Oid	   via;			 /* who it is stands in this table; InvalidOid: no */
	char  *via_key;		 /* its foreign key, NULL: the only one */
	Oid	   relation_was; /* the table's number when it was attached */
	int	   nkey;		 /* columns of the primary key */
	int16 *key;			 /* and their numbers */
	int	   ncolumns;	 /* columns when it was attached */
	char **columns;		 /* and their names then; NULL: dropped */
	int	   nvia_columns; /* the same of via */
	char **via_columns;
} MaSourceText;

/* The foreign key that leads from a row to the row that tells who it is. */
typedef struct MaVia
{
	Oid		  relid;	  /* the table that it points to */
	TupleDesc desc;		  /* its columns */
	Oid		  constraint; /* the foreign key */
	Oid		  index;	  /* unique, over the columns pointed to */
	int		  nkeys;
	int16	  from[INDEX_MAX_KEYS];		 /* columns that point */
	int16	  to[INDEX_MAX_KEYS];		 /* columns pointed to */
	Oid		  operators[INDEX_MAX_KEYS]; /* to = from */
	bool	  deferrable; /* the row may come after those that point to it */
} MaVia;

/* The primary key of its rows. */
typedef struct MaSourceKey
{
	int		  n;
	int16	 *columns; /* as they are now */
	FmgrInfo *output;  /* and their output functions */
} MaSourceKey;

/* A source, compiled. */
typedef struct MaSource
{
	MaSourceText text;
	const char	*object;  /* its name in mautomate.errors */
	TupleDesc	 desc;	  /* of its rows */
	MaVia		*via;	  /* NULL: the row itself tells who it is */
	MaExpr		*contact; /* NULL where not given */
	MaExpr		*email;
	MaExpr		*phone;
	MaExpr		*anonymous;
	MaExpr		*occurred_at;
	MaExpr		*condition;
	MaExpr		*void_when;
	MaOnUpdate	 on_update;
	bool		 erases; /* a deleted row erases its contact */
	MaExpr		*fields;
	bool		*as_text; /* per field: wanted as a string */
	pg_tz		*zone;	  /* NULL: mautomate.timezone */
	MaSourceKey	 key;
	MaSourceKey	 was_key; /* that events of rows are known by until they are
						   * read again; no columns: the same */
	ErrorData	*broken;  /* why it could not be compiled, or NULL */
} MaSource;

/* What is captured as rows of one relation. */
typedef struct MaCaptureGroup
{
	Oid		  relid; /* that relation: the one that changed, or a parent */
	TupleDesc desc;	 /* its columns */
	TupleConversionMap
			 *map; /* from those of the one that changed; NULL: same */
	int		  nsources;
	MaSource *sources; /* contacts first */
	int		  nfollowers;
	MaSource *followers; /* whose rows point to these */
	bool	  nested;	 /* triggers have changed rows since */
} MaCaptureGroup;

/* What is captured from one relation. */
typedef struct MaCaptured
{
	Oid				relid;		  /* key of the cache */
	MemoryContext	cxt;		  /* owns all of it */
	TupleDesc		desc;		  /* columns it was compiled for */
	bool			is_partition; /* and whether it was one */
	int				ngroups;
	MaCaptureGroup *groups;
	int				users; /* how many are at work with it */
	bool			stale; /* free it when nobody is */
} MaCaptured;

/* A row, and what it was; of one that points elsewhere, where it points. */
typedef struct MaCaptureRow
{
	MinimalTuple row;
	MinimalTuple old;	  /* NULL: inserted */
	MinimalTuple pointed; /* NULL: nowhere */
	MinimalTuple old_pointed;
} MaCaptureRow;

/* capture_source.c */
extern void		   ma_source_compile(MaSource *source, Relation rel);
extern void		   ma_source_compare_key(MaSource *source, Relation rel);
extern MaCaptured *ma_captured_acquire(Relation rel);
extern void		   ma_captured_release(MaCaptured *captured);
extern List		  *ma_captured_as(Oid relid);

/* capture_store.c */
extern const char *ma_source_store(const MaSourceText *text);
extern int		   ma_source_read(const Oid *relids, int n, bool followers,
								  MaSource **sources);
extern bool		   ma_source_same_person(const MaSourceText *a,
										 const MaSourceText *b);
extern bool		   ma_source_find(const char *source, const char *kind,
								  MaSourceText *text);
extern char *ma_source_key_prefix(const MaSourceText *text, char *otherwise);

/* capture_via.c */
extern void	 ma_via_resolve(MaSource *source, Relation rel, TupleDesc then);
extern char *ma_via_columns(const MaSource *source);
extern bool	 ma_via_is_current(const MaVia *via);
extern bool	 ma_via_has_index(const MaVia *via, Relation rel);

/* capture_trigger.c */
extern void ma_capture_sync(Oid relid);

/* capture_run.c */
typedef struct MaCapture MaCapture;

/* What is done with rows. */
typedef enum MaCaptureMode
{
	MA_CAPTURE_NAMES,		 /* who they are is all that matters */
	MA_CAPTURE_ROWS,		 /* they become contacts and events */
	MA_CAPTURE_FOLLOW_NAMES, /* the same two, where they bring */
	MA_CAPTURE_FOLLOW,		 /* what they point to */
	MA_CAPTURE_ERASE		 /* they are gone, and their contacts go too */
} MaCaptureMode;

extern MaCapture *ma_capture_begin(MaSource *sources, int n, TupleDesc desc,
								   MaCaptureMode mode);
extern bool		  ma_capture_add(MaCapture *capture, const MaCaptureRow *row);
extern MemoryContext ma_capture_context(MaCapture *capture);
extern void			 ma_capture_end(MaCapture *capture);

/* capture_scan.c */
extern void ma_capture_backfill(Relation rel, MaSource *source);
extern void ma_capture_scan(Relation rel, MaCapture *capture);

/* capture_attach.c */
extern void ma_capture_arguments(FunctionCallInfo fcinfo, MaSourceText *text);
extern void ma_capture_describe(Relation rel, MaSourceText *text,
								LOCKMODE lock);
extern void ma_capture_prepare(Relation rel, MaSource *source);
extern void ma_capture_check_readable(Relation rel);

#endif /* MA_CAPTURE_H */
