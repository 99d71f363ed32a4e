/*
 * merge.h
 *	  One contact takes over everything of another.
 */
#ifndef MA_MERGE_H
#define MA_MERGE_H

extern bool ma_contact_merge(int64 loser, int64 survivor);

#endif /* MA_MERGE_H */
