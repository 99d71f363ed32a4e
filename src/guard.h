/*
 * guard.h
 *	  Calls what may raise an error where none may come through.
 */
#ifndef MA_GUARD_H
#define MA_GUARD_H

#include "utils/palloc.h"
#include "utils/resowner.h"

extern void		  ma_guard_rethrow(MemoryContext cxt, ResourceOwner owner);
extern ErrorData *ma_guard(void (*function)(void *arg), void *arg);

#endif /* MA_GUARD_H */
