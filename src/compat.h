/*
 * compat.h
 *	  What differs between PostgreSQL 15 and 18, and nothing else.
 *
 * Included after postgres.h by the files that need it.
 */
#ifndef MA_COMPAT_H
#define MA_COMPAT_H

/* varatt.h was split from postgres.h in 16 */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* a wait event set belongs to a resource owner since 17; ours to none */
#if PG_VERSION_NUM >= 170000
#define ma_wait_event_set(n) CreateWaitEventSet(NULL, (n))
#else
#define ma_wait_event_set(n) CreateWaitEventSet(CurrentMemoryContext, (n))
#endif

#endif							/* MA_COMPAT_H */
