/*
 * log_sql.h
 *	  Expressions as plain SQL over the contacts and the log.
 */
#ifndef MA_LOG_SQL_H
#define MA_LOG_SQL_H

#include "predicate.h"

extern char *ma_log_sql_expr(const MaExpr *expr, int i, TimestampTz now);
extern char *ma_log_sql_answer(const MaSignal *signal, int64 contact_id,
							   TimestampTz now);
extern char *ma_log_sql_events(const MaSignal *signal, int64 contact_id,
							   TimestampTz now, int limit);

#endif /* MA_LOG_SQL_H */
