/*
 * use.h
 *	  Who uses lists and scores in expressions: dropping and renaming them.
 */
#ifndef MA_USE_H
#define MA_USE_H

/* What expressions name. */
typedef enum MaUse
{
	MA_USE_LIST, /* in_list('x') */
	MA_USE_SCORE /* score('x'), tier('x') */
} MaUse;

extern void ma_use_check_drop(MaUse use, const char *name);
extern void ma_use_rename(MaUse use, int id, const char *name,
						  const char *new_name);

#endif /* MA_USE_H */
