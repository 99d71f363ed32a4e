/*
 * signal_span.h
 *	  A whole window in bounded space: sums instead of entries.
 */
#ifndef MA_SIGNAL_SPAN_H
#define MA_SIGNAL_SPAN_H

#include "signal.h"

extern bool	 ma_span_fold(MaCell *cell, TimestampTz t, Numeric value);
extern int64 ma_span_count(const MaCell *cell);
extern void	 ma_span_prune(MaCell *cell, TimestampTz floor);
extern void	 ma_span_compact(const MaCellDef *def, MaCell *cell,
							 TimestampTz from, TimestampTz to);
extern void	 ma_span_move(MaCell *cell);
extern int	 ma_span_unclear(const MaCellDef *def, const MaCell *cell, int i,
							 TimestampTz from, TimestampTz to);
extern TimestampTz ma_span_leaves(const MaCell *cell, const MaWindow *window,
								  TimestampTz now);
extern MaSpan	   ma_span_take(MaCell *cell, int i);
extern void		   ma_span_add(MaCell *cell, const MaSpan *span);

#endif /* MA_SIGNAL_SPAN_H */
