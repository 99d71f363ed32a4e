/*
 * log_set.h
 *	  Who is in a list, by one grouped query over the log.
 */
#ifndef MA_LOG_SET_H
#define MA_LOG_SET_H

#include "predicate.h"

/* What time alone changes within so much time, it changes soon. */
#define MA_LOG_SET_SOON USECS_PER_DAY

extern char *ma_log_set_empty(const MaExpr *expr, TimestampTz now);
extern char *ma_log_set_members(const MaExpr *expr, TimestampTz now,
								bool some);

#endif /* MA_LOG_SET_H */
