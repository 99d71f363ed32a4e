/*
 * signal_seen.h
 *	  Cells that keep values themselves: the different ones, or the last.
 */
#ifndef MA_SIGNAL_SEEN_H
#define MA_SIGNAL_SEEN_H

#include "signal.h"

extern void ma_seen_fold(const MaCellDef *def, MaCell *cell,
						 const MaEvent *event);
extern void ma_seen_prune(MaCell *cell, TimestampTz now);
extern void ma_seen_put(const MaCellDef *def, const MaCell *cell,
						StringInfo out);
extern bool ma_seen_get(const MaCellDef *def, MaCell *cell, const char **in,
						const char *end);
extern void ma_seen_answer(const MaSignal *signal, const MaCell *cell,
						   TimestampTz now, MaAnswer *answer);
extern TimestampTz ma_seen_flips_at(const MaCell *cell, MaOperator op,
									int64 constant, TimestampTz now);

#endif /* MA_SIGNAL_SEEN_H */
