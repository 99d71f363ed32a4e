/*
 * wake.h
 *	  Wakes background workers when a transaction commits.
 */
#ifndef MA_WAKE_H
#define MA_WAKE_H

extern void ma_wake_scheduler_at_commit(void);
extern void ma_wake_scheduler_soon(void);
extern void ma_wake_senders_at_commit(void);
extern void ma_wake_all_at_commit(void);

/* For the scheduler itself. */
extern void ma_wake_woken(void);
extern void ma_wake_looks(void);
extern long ma_wake_limit(long sleep);

#endif /* MA_WAKE_H */
