/*
 * wake.h
 *	  Wakes background workers when a transaction commits.
 */
#ifndef MA_WAKE_H
#define MA_WAKE_H

extern void ma_wake_scheduler_at_commit(void);
extern void ma_wake_senders_at_commit(void);
extern void ma_wake_all_at_commit(void);

#endif /* MA_WAKE_H */
