/*
 * use.h
 *	  Who uses things by their names: dropping and renaming them.
 */
#ifndef MA_USE_H
#define MA_USE_H

#include "rename.h"
#include "sql.h"

extern char *ma_use_users(const char *object, const char *name);
extern void	 ma_use_check_drop(const char *object, const char *name);
extern void	 ma_use_drop(Datum id, MaStatement *stmts, int n);

/* use_rename.c */
extern void ma_use_rename(const MaRename *rename, MaStatement *stmt,
						  Datum *values);
extern void ma_use_rename_workflows(const MaRename *rename);

#endif /* MA_USE_H */
