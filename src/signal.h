/*
 * signal.h
 *	  The least state that answers a question about a contact's history.
 *
 * A signal is one question: count('purchase', within => '365 days'). A cell is
 * the folded state that answers all questions about the same events: of one
 * kind, passing one filter and, where values are asked for, with one property.
 */
#ifndef MA_SIGNAL_H
#define MA_SIGNAL_H

#include "datatype/timestamp.h"
#include "lib/stringinfo.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

#include "window.h"

/* One event on its way through the engine. */
typedef struct MaEvent
{
	int64		contact_id;
	int64		event_id; /* 0 while a derived event has none yet */
	TimestampTz occurred_at;
	const char *kind;
	Jsonb	   *properties; /* an object */
	int64		nth;		/* ordinal in its kind for the contact, in order
								 * of arrival; 0 where nobody counts the kind */
} MaEvent;

/* More timestamps than any number: all that are in the window. */
#define MA_UNBOUNDED (-1)

typedef enum MaSignalFunction
{
	MA_COUNT,
	MA_SUM,
	MA_AVG,
	MA_MIN,
	MA_MAX,
	MA_FIRST_AT,
	MA_LAST_AT,
	MA_EVER,
	MA_DISTINCT,
	MA_LAST_VALUE
} MaSignalFunction;

/* The btree operators, as an answer is compared with a constant. */
typedef enum MaOperator
{
	MA_LT,
	MA_LE,
	MA_EQ,
	MA_NE,
	MA_GE,
	MA_GT
} MaOperator;

/* What a cell keeps. */
typedef enum MaKeeps
{
	MA_KEEPS_TOTALS,   /* counts, times, numbers */
	MA_KEEPS_DISTINCT, /* the different values, with when they leave */
	MA_KEEPS_LAST	   /* the last value */
} MaKeeps;

/* The definition of a cell. */
typedef struct MaCellDef
{
	int			id;			/* stored with the state */
	const char *kind;		/* of the events */
	const char *filter;		/* canonical text; "" where all pass */
	const char *property;	/* whose values are kept; "" for none */
	int			newest;		/* so many newest timestamps are kept */
	bool		counted;	/* somebody asks; the counter is always kept */
	bool		plain;		/* nothing but the counter is kept */
	bool		keep_first; /* the first timestamp too */
	bool		keep_times; /* all timestamps within the longest window */
	bool		keep_pairs; /* all (time, value) within it */
	int64		longest;	/* upper bound of it, in microseconds */
	int			nwindows;	/* windows whose ends may come out of order */
	MaWindow   *windows;
	int64		disorder; /* how far apart, at most, such times are */
	int			nedges;	  /* windows that are kept whole */
	MaWindow   *edges;
	uint32		windows_hash; /* stored with the state */
	const char *form;		  /* what it keeps, as stored; "" for totals */
	MaKeeps		keeps;		  /* the same; the others use newest, and */
	bool		windowed;	  /* keep_times for all values, in a window: */
	MaWindow	window;
} MaCellDef;

/* A value, and when its newest occurrence leaves the window. */
typedef struct MaSeenValue
{
	TimestampTz until;
	int			length;
	const char *key; /* equal for equal values */
} MaSeenValue;

/* Values themselves; see signal_seen.c. */
typedef struct MaSeen
{
	int			 n;
	int			 max;
	MaSeenValue *values; /* by until */
	Jsonb		*last;
	TimestampTz	 last_at;
	int64		 last_id;
} MaSeen;

/* A value at a time. */
typedef struct MaPair
{
	TimestampTz at;
	Numeric		value;
} MaPair;

/* All that happened from one time to another, in sum; see signal_span.c. */
typedef struct MaSpan
{
	TimestampTz first; /* the time of the oldest, */
	TimestampTz last;  /* and of the newest */
	int64		count;
	Numeric		sum; /* of the values; NULL if none are kept */
	Numeric		min;
	Numeric		max;
} MaSpan;

/* Some of them, by time. */
typedef struct MaSpans
{
	int		n;
	int		max; /* allocated */
	MaSpan *spans;
} MaSpans;

/* The folded state of one contact for one cell. */
typedef struct MaCell
{
	bool		 known;	   /* false: has to be folded from the log */
	int64		 count;	   /* events; with a property: values */
	TimestampTz	 first;	   /* if count > 0 and keep_first */
	int			 ntimes;   /* timestamps kept, */
	int			 maxtimes; /* allocated, */
	TimestampTz *times;	   /* oldest first */
	TimestampTz	 dropped;  /* the newest that is not kept; DT_NOBEGIN: none */
	Numeric		 sum;	   /* of all values; NULL if there is none */
	Numeric		 min;
	Numeric		 max;
	int			 npairs;   /* pairs kept, */
	int			 maxpairs; /* allocated, */
	MaPair		*pairs;	   /* oldest first */
	MaSeen		*seen;	   /* NULL: no values seen */
	int			 nsorted;  /* of a whole window: those in order already */
	MaSpans		*spans;	   /* and what is kept as sums; NULL: nothing */
} MaCell;

/* One question. */
typedef struct MaSignal
{
	MaSignalFunction function;
	const char		*kind;		  /* of the events asked about */
	const char		*property;	  /* whose values; "" for none */
	struct MaExpr	*filter;	  /* over event.x; NULL: all events */
	const char		*filter_text; /* canonical; "" where all pass */
	const char		*arguments;	  /* as written: period and filter */
	const char		*form;		  /* of its cell; "" for totals */
	const char		*recorded;	  /* attribute whose past it asks, or NULL */
	bool			 windowed;	  /* only events in the window */
	MaWindow		 window;	  /* which one, if windowed */
	Oid				 type;		  /* of the answer */
	int				 capacity;	  /* timestamps needed, or MA_UNBOUNDED */
	int				 cell;		  /* index of its cell in the definitions */
} MaSignal;

/* An answer, and until when it holds if nothing happens. */
typedef struct MaAnswer
{
	Datum		value;
	bool		isnull;
	TimestampTz until;
} MaAnswer;

extern void ma_signal_require(MaCellDef *def, const MaSignal *signal);
extern void ma_signal_answer(const MaSignal *signal, const MaCell *cell,
							 TimestampTz now, MaAnswer *answer);
extern void ma_signal_compare(const MaSignal *signal, const MaCell *cell,
							  MaOperator op, Datum constant, TimestampTz now,
							  MaAnswer *answer);
extern int	ma_signal_order(const MaSignal *signal, Datum value,
							Datum constant);
extern bool ma_signal_test(MaOperator op, int comparison);

extern void ma_cell_reset(MaCell *cell);
extern bool ma_cell_is_empty(const MaCell *cell);
extern bool ma_cell_is_plain(const MaCellDef *def);
extern void ma_cell_set_count(const MaCellDef *def, MaCell *cell, int64 count);
extern void ma_cell_fold(const MaCellDef *def, MaCell *cell,
						 TimestampTz occurred_at, Numeric value);
extern void ma_cell_append(MaCell *cell, TimestampTz t, Numeric value);
extern int	ma_cell_entries(const MaCell *cell);
extern TimestampTz ma_cell_time(const MaCell *cell, int i);
extern int64	   ma_cell_kept(const MaCell *cell);
extern void		   ma_cell_settle(const MaCellDef *def, MaCell *cell);
extern void		   ma_cell_sum_up(const MaCellDef *def, MaCell *cell,
								  TimestampTz from, TimestampTz to);
extern void		   ma_cell_move(MaCell *cell);
extern void ma_cell_prune(const MaCellDef *def, MaCell *cell, TimestampTz now);
extern void ma_cell_encode(const MaCellDef *def, const MaCell *cell,
						   StringInfo out);
extern void ma_cell_decode(const MaCellDef *def, MaCell *cell, const char **in,
						   const char *end);
extern void ma_cell_skip(const char **in, const char *end);

extern void	  ma_varint_put(StringInfo out, uint64 value);
extern uint64 ma_varint_get(const char **in, const char *end);

#endif /* MA_SIGNAL_H */
