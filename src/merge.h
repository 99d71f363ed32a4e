/*
 * merge.h
 *	  One contact takes over everything of another.
 */
#ifndef MA_MERGE_H
#define MA_MERGE_H

extern bool ma_contact_merge(int64 loser, int64 survivor);
extern void ma_merge_lock(const int64 *contacts, int ncontacts,
						  const int64 *states, int nstates);

#endif /* MA_MERGE_H */
