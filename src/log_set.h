/*
 * log_set.h
 *	  Who is in a list, by one grouped query over the log.
 */
#ifndef MA_LOG_SET_H
#define MA_LOG_SET_H

#include "predicate.h"

extern char *ma_log_set_empty(const MaExpr *expr, TimestampTz now);
extern char *ma_log_set_members(const MaExpr *expr, TimestampTz now,
								bool some);

#endif /* MA_LOG_SET_H */
