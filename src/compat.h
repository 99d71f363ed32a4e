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

#endif							/* MA_COMPAT_H */
