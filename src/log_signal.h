/*
 * log_signal.h
 *	  What signals answer, as aggregates over the log.
 */
#ifndef MA_LOG_SIGNAL_H
#define MA_LOG_SIGNAL_H

#include "log_sql.h"

extern char		  *ma_log_signal_before(TimestampTz time, int64 span);
extern const char *ma_log_signal_nothing(const MaSignal *signal);
extern char		  *ma_log_signal_coarse(const MaSignal	*signal,
										const MaWriting *writing);
extern char *ma_log_signal_events(const MaSignal *signal, MaWriting *writing);
extern char *ma_log_signal_aggregate(const MaSignal *signal,
									 const char		*events);

#endif /* MA_LOG_SIGNAL_H */
