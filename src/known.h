/*
 * known.h
 *	  Do the names in an expression name anything?
 */
#ifndef MA_KNOWN_H
#define MA_KNOWN_H

#include "compat.h"
#include "predicate.h"

/* What a name may be of. */
typedef enum MaKnown
{
	MA_KNOWN_LIST,
	MA_KNOWN_SCORE,
	MA_KNOWN_KIND,
	MA_KNOWN_ATTRIBUTE
} MaKnown;

pg_noreturn extern void ma_known_refuse(MaKnown what, const char *name);

extern void ma_known_check(const MaExpr *expr);

#endif /* MA_KNOWN_H */
