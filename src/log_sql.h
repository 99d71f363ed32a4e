/*
 * log_sql.h
 *	  Expressions as plain SQL over the contacts and the log.
 */
#ifndef MA_LOG_SQL_H
#define MA_LOG_SQL_H

#include "predicate.h"

/* An expression that is being written. */
typedef struct MaWriting
{
	TimestampTz at;	 /* the instant */
	char	   *now; /* as a literal */
	/* writes what a signal answers; NULL (it, or what it returns): as a
	 * subquery over the log */
	const char *(*signal)(const MaSignal *signal, void *arg);
	void *arg;
} MaWriting;

extern char		*ma_log_sql_time(TimestampTz time);
extern MaWriting ma_log_sql_writing(TimestampTz now);
extern char		*ma_log_sql_interval(const Interval *interval);
extern char		*ma_log_sql_window(const MaSignal  *signal,
								   const MaWriting *writing);
extern char		*ma_log_sql_filter(const MaSignal *signal, MaWriting *writing);
extern char		*ma_log_sql_value(const MaSignal *signal);
extern char		*ma_log_sql_edge(const MaExpr *expr, const MaSlot *slot,
								 MaWriting *writing);
extern const char *ma_log_sql_slot(const MaExpr *expr, const MaSlot *slot,
								   void *writing);
extern char		  *ma_log_sql_expr(const MaExpr *expr, int i, TimestampTz now);
extern char		  *ma_log_sql_answer(const MaSignal *signal, int64 contact_id,
									 TimestampTz now);
extern char		  *ma_log_sql_events(const MaSignal *signal, int64 contact_id,
									 TimestampTz now, int limit);

#endif /* MA_LOG_SQL_H */
