/*
 * list.h
 *	  Lists: their definitions.
 */
#ifndef MA_LIST_H
#define MA_LIST_H

#include "datatype/timestamp.h"

#include "definition.h"

extern int ma_list_id(const char *name, bool *is_static);
extern int ma_list_hold(const char *name);

/* list_forget.c */
extern void		   ma_list_forget(int max);
extern TimestampTz ma_list_forget_due(void);

#endif /* MA_LIST_H */
