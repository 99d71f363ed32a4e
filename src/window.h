/*
 * window.h
 *	  When what happened leaves a window.
 */
#ifndef MA_WINDOW_H
#define MA_WINDOW_H

#include "datatype/timestamp.h"

/* A window: what happened at t is in it until t + within. */
typedef struct MaWindow
{
	Interval within;
	int64	 min;	   /* bounds of it in microseconds, whatever the */
	int64	 max;	   /* calendar says */
	int64	 disorder; /* how far apart, at most, two times may be whose ends
						* come in the other order */
} MaWindow;

/* When something of many leaves a window. */
typedef struct MaLeaving
{
	TimestampTz at;
	int			index; /* which of them */
} MaLeaving;

extern void		   ma_window_set(MaWindow *window, const Interval *within);
extern TimestampTz ma_window_end(const MaWindow *window, TimestampTz t);
extern bool		   ma_window_is_same(const MaWindow *a, const MaWindow *b);
extern bool		   ma_window_has(const MaWindow *window, TimestampTz t,
								 TimestampTz now);
extern TimestampTz ma_window_later(TimestampTz t, int64 span);
extern bool ma_window_is_clear(const MaWindow *window, TimestampTz first,
							   TimestampTz last, TimestampTz from,
							   TimestampTz to);
extern TimestampTz ma_window_earliest(const MaWindow *window,
									  TimestampTz first, TimestampTz last);
extern void		   ma_window_sort(MaLeaving *leavings, int n);

#endif /* MA_WINDOW_H */
