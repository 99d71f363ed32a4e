/*
 * index.h
 *	  Look numbers up in a unique index.
 */
#ifndef MA_INDEX_H
#define MA_INDEX_H

#include "storage/itemptr.h"
#include "utils/relcache.h"

/* What an index says of a number. */
typedef enum MaIndexed
{
	MA_INDEXED_NOT,	 /* there is no entry */
	MA_INDEXED_ONCE, /* there is one */
	MA_INDEXED_MANY	 /* there may be more: look by a scan */
} MaIndexed;

extern MaIndexed ma_index_find(Relation heap, Relation index, int64 number,
							   ItemPointer tid);
extern void		 ma_index_find_all(Relation heap, Relation index,
								   const int64 *numbers, int n, MaIndexed *found,
								   ItemPointerData *tids);

#endif /* MA_INDEX_H */
