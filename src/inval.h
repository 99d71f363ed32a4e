/*
 * inval.h
 *	  Notices changes of our small tables through relcache invalidation.
 */
#ifndef MA_INVAL_H
#define MA_INVAL_H

/* A table of ours whose changes somebody caches. */
typedef struct MaWatch
{
	const char	   *relation;	/* its name */
	Oid				relid;		/* resolved; InvalidOid while it is not */
	bool			registered; /* known to the callback */
	volatile bool	stale;		/* changed since the owner cleared this */
	bool			loading;	/* the owner reads, or has failed to */
	struct MaWatch *next;		/* list of all, private to inval.c */
	const char	   *schema;		/* NULL: mautomate_internal */
} MaWatch;

extern bool ma_inval_watch(MaWatch *watch);
extern void ma_inval_load(MaWatch *watch);
extern void ma_inval_loaded(MaWatch *watch);

#endif /* MA_INVAL_H */
