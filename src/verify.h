/*
 * verify.h
 *	  Questions about the history in plain SQL over the log.
 */
#ifndef MA_VERIFY_H
#define MA_VERIFY_H

#include "signal.h"

extern char *ma_verify_answer_sql(const MaSignal *signal, int64 contact_id,
								  TimestampTz now);
extern char *ma_verify_events_sql(const MaSignal *signal, int64 contact_id,
								  TimestampTz now, int limit);

#endif /* MA_VERIFY_H */
