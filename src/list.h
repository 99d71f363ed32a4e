/*
 * list.h
 *	  Lists: their definitions.
 */
#ifndef MA_LIST_H
#define MA_LIST_H

#include "definition.h"

extern int ma_list_id(const char *name, bool *is_static);
extern int ma_list_hold(const char *name);

#endif /* MA_LIST_H */
