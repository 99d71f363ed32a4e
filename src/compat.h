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

/* stands before the declaration since 18 */
#if PG_VERSION_NUM < 180000
#define pg_noreturn pg_attribute_noreturn()
#endif

/* a wait event set belongs to a resource owner since 17; ours to none */
#if PG_VERSION_NUM >= 170000
#define ma_wait_event_set(n) CreateWaitEventSet(NULL, (n))
#else
#define ma_wait_event_set(n) CreateWaitEventSet(CurrentMemoryContext, (n))
#endif

/* DecodeDateTime() got a last argument in 16 */
#if PG_VERSION_NUM >= 160000
#define ma_decode_datetime(field, ftype, nf, dtype, tm, fsec, tz) \
	DecodeDateTime(field, ftype, nf, dtype, tm, fsec, tz, \
				   &(DateTimeErrorExtra) {0})
#else
#define ma_decode_datetime(field, ftype, nf, dtype, tm, fsec, tz) \
	DecodeDateTime(field, ftype, nf, dtype, tm, fsec, tz)
#endif

#endif							/* MA_COMPAT_H */
