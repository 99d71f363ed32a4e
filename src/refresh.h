/*
 * refresh.h
 *	  The engine: load states, fold, evaluate, apply the difference.
 */
#ifndef MA_REFRESH_H
#define MA_REFRESH_H

#include "datatype/timestamp.h"

#include "state.h"

/* Contacts brought up to date and locked until the end of the transaction. */
extern MaContactSet *ma_refresh_load(const int64 *contact_ids, int n,
									 bool skip_locked);
extern MaContact	*ma_contact_find(MaContactSet *set, int64 contact_id);

extern MaContact *ma_refresh_peek(int64 contact_id);

/* The rule of silence for what this (sub)transaction writes from here on. */
extern void ma_refresh_silence(void);
extern bool ma_refresh_is_silent(void);

/* What this subtransaction writes from here on changes no state. */
extern void ma_refresh_look_away(void);
extern bool ma_refresh_looks_away(void);

/* Passes; each returns how many contacts it did. */
extern int		   ma_refresh_deferred(int max);
extern int		   ma_refresh_timers(int max);
extern int		   ma_refresh_sweep(int max);
extern TimestampTz ma_refresh_next_due(void);

/* Do what is noted about a contact whose state is locked. */
extern void ma_refresh_catch_up(int64 contact_id);

/* What is decided by hand about a contact and a list. */
typedef enum MaHand
{
	MA_HAND_OUT,
	MA_HAND_IN,
	MA_HAND_JOIN, /* in for good, once what is decided has ended */
	MA_HAND_CLEAR /* nothing any more */
} MaHand;

extern int	ma_refresh_hand(int list_id, const int64 *contact_ids, int n,
							MaHand hand, TimestampTz until, bool *moved);
extern void ma_refresh_hand_each(int list_id, const int64 *contact_ids,
								 const TimestampTz *untils, int n,
								 MaHand hand);

/* Evaluate all lists and scores, silently; fold anew from the log first. */
extern void ma_refresh_contacts(const int64 *contact_ids, int n, bool rebuild);
extern void ma_refresh_everybody(bool rebuild);

/* Fill a list by a query under the lock; see refresh_follow.c. */
extern void ma_follow_lock(void);
extern bool ma_follow_fill(int list_id, const MaExpr *expr, bool existed,
						   TimestampTz now);

#endif /* MA_REFRESH_H */
