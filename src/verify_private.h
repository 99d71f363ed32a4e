/*
 * verify_private.h
 *	  What the files of verify share.
 */
#ifndef MA_VERIFY_PRIVATE_H
#define MA_VERIFY_PRIVATE_H

#include "nodes/execnodes.h"
#include "utils/tuplestore.h"

#include "definition.h"
#include "log_sql.h"
#include "sql.h"

/* A list or a score that is compared. */
typedef struct MaChecked
{
	const char *object;	  /* how it is told */
	MaListDef  *list;	  /* either of them */
	MaScoreDef *score;	  /* is NULL */
	int			failures; /* contacts found on whose data it fails */
} MaChecked;

/* A signal whose answers are compared with a column. */
typedef struct MaAsked
{
	const MaSignal *signal;
	int				place;		/* of the column, from 1 */
	int				rank;		/* of its rows in the result */
	int64			generation; /* since which it is asked */
} MaAsked;

/* Some contacts and what the log says of them, as the relation c. */
typedef struct MaReading
{
	int64			 low; /* their range */
	int64			 high;
	int				 n; /* what is to be compared with it */
	MaChecked		*checked;
	MaWriting		 writing; /* of expressions over it */
	List			*columns; /* of char *: aggregates, each once */
	List			*coarse;  /* of char *: their events, roughly */
	List			*known;	  /* of MaSignal * that have a column, */
	List			*places;  /* and which, from 1 */
	List			*asked;	  /* of MaAsked * */
	List			*told;	  /* of char *: columns of these and others */
	int				 ntold;	  /* so many are of others */
	int				 rank;	  /* where they begin in the result */
	bool			 careful; /* without signals that may raise an error */
	TupleDesc		 desc;	  /* of the rows */
	Tuplestorestate *rows;
	int64			 nrows;
} MaReading;

/* Columns of it beside those of mautomate.contact. */
#define MA_READING_STORED	  "ma_stored"  /* lists that contacts are in, */
#define MA_READING_ENTERED	  "ma_entered" /* that they are in by hand, and */
#define MA_READING_DECIDED	  "ma_decided" /* all decided by hand: ids */
#define MA_READING_STATE	  "ma_state"   /* what the engine keeps of them */
#define MA_READING_AS_OF	  "ma_as_of"   /* and since when, */
#define MA_READING_GENERATION "ma_generation" /* under which definitions */
#define MA_READING_SIGNAL	  "ma_signal_" /* and place: what a signal says */

extern int	ma_reading_plan(MaReading *reading, MaChecked *checked, int n,
							TimestampTz now);
extern bool ma_reading_open(MaReading *reading);
extern void ma_reading_close(MaReading *reading);

extern void ma_verify_compare(ReturnSetInfo *result);

extern void ma_verify_signals(MaReading *reading, MaDefinitions *definitions,
							  ReturnSetInfo *result);

#endif /* MA_VERIFY_PRIVATE_H */
