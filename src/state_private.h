/*
 * state_private.h
 *	  What the parts of state share: the encoded state.
 */
#ifndef MA_STATE_PRIVATE_H
#define MA_STATE_PRIVATE_H

#include "executor/tuptable.h"

#include "state.h"
#include "table.h"

/* Rows of contact_state on their way. */
typedef struct MaFetch MaFetch;

/* What became of one. */
typedef enum MaFetched
{
	MA_FETCHED,			/* it is in the slot */
	MA_FETCHED_NOTHING, /* there is none */
	MA_FETCHED_HELD		/* it went, or another one holds it */
} MaFetched;

/* state.c */
extern MaContact *ma_state_new(MaContactSet *set);
extern void		  ma_state_wipe(MaContact *contact);

/* state_row.c */
extern MaContact *ma_state_read(MaContact *contact, TupleTableSlot *slot);
extern void		  ma_state_put(MaContact *contact, MaTable *states);

/* state_fetch.c */
extern MaFetch	*ma_fetch_begin(MaTable *table, const int64 *ids, int n,
								MaLock lock);
extern MaFetched ma_fetch_row(MaFetch *fetch, int i, TupleTableSlot *slot);
extern bool		 ma_fetch_lock(MaFetch *fetch);
extern void		 ma_fetch_end(MaFetch *fetch);
extern bool		 ma_fetch_one(MaTable *table, int64 id, MaLock lock,
							  TupleTableSlot *slot);

/* state_code.c */

extern void ma_state_decode(MaContact *contact, const char *in,
							const char *end);
extern void ma_state_encode(MaContact *contact, StringInfo out);

#endif /* MA_STATE_PRIVATE_H */
