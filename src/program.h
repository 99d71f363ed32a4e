/*
 * program.h
 *	  A workflow as a flat program, and its form as jsonb.
 */
#ifndef MA_PROGRAM_H
#define MA_PROGRAM_H

#include "datatype/timestamp.h"
#include "utils/jsonb.h"

#include "calendar.h"

/* What an operation does. Stored by name: see program.c. */
typedef enum MaVerb
{
	MA_OP_SEND,		  /* a message; other: nobody can be reached */
	MA_OP_WAIT,		  /* for a span */
	MA_OP_WAIT_EVENT, /* for an event; other: timed out */
	MA_OP_WAIT_AT,	  /* for a time of the day */
	MA_OP_WAIT_DATE,  /* for a date; predicate gives it, text: if past */
	MA_OP_IF,		  /* other: predicate not true */
	MA_OP_SWITCH,	  /* leads to a chain of MA_OP_CASE */
	MA_OP_CASE,		  /* like if, but no step of its own */
	MA_OP_ADD,		  /* to a list; for a span, or (predicate) to a date */
	MA_OP_REMOVE,	  /* from a list, likewise */
	MA_OP_SET,		  /* attributes of the contact */
	MA_OP_EMIT,		  /* an event */
	MA_OP_ENROLL,	  /* in another workflow */
	MA_OP_UNENROLL,	  /* from another workflow */
	MA_OP_GOTO,		  /* back or on, in a new pass */
	MA_OP_JUMP,		  /* on to next; no step of its own */
	MA_OP_EXIT,		  /* end with a reason */
	MA_OP_END,		  /* end of the steps */
	MA_OP_RESTART	  /* in the log only: started again by an event */
} MaVerb;

/* Added to a priority, so that 0 is none. */
#define MA_PRIORITY_BASE 100

/* One operation. Numbers of operations count from 0. */
typedef struct MaOp
{
	int		  verb;		 /* MaVerb */
	char	 *step;		 /* the step's id, or its path */
	int		  when;		 /* predicate_id: skipped unless true; 0 none */
	int		  skip;		 /* operation after the step, when skipped */
	int		  predicate; /* predicate_id decided on */
	int		  next;		 /* operation that follows */
	int		  other;	 /* operation of the other branch */
	int		  object;	 /* id of the template, list or workflow */
	char	 *text;		 /* reason, event kind, score */
	Interval *span;		 /* how long to wait; timeout; NULL: for ever */
	Jsonb	 *values;	 /* object; {"=": predicate_id} is computed */
	int		  days;		 /* of the week, as in calendar.h */
	int		  at;		 /* seconds after midnight; -1: none */
	int		  priority;	 /* of a message, and MA_PRIORITY_BASE; 0: the
						  * template's */
	char	 *zone;		 /* name of a zone; NULL: the contact's */
} MaOp;

/* An event that starts or ends an enrolment. */
typedef struct MaTrigger
{
	char  *kind;  /* of the event */
	Jsonb *match; /* properties it must have; NULL: any */
	int	   when;  /* predicate_id; 0: always */
	int	   nth;	  /* predicate_id that has the kind counted */
} MaTrigger;

/* When a contact may enter again. Stored by name. */
typedef enum MaReentry
{
	MA_REENTRY_AFTER_EXIT, /* when no instance is active */
	MA_REENTRY_NEVER,
	MA_REENTRY_AFTER,  /* some time after the last entry */
	MA_REENTRY_ALWAYS, /* any number of active instances */
	MA_REENTRY_RESTART /* the active instance starts again */
} MaReentry;

/* A version of a workflow. */
typedef struct MaProgram
{
	MaTrigger *entries;
	int		   nentries;
	MaTrigger *exits;
	int		   nexits;
	MaOp	  *ops;
	int		   nops;
	int		   key;			  /* expression of the key; 0: none */
	int		   reentry;		  /* MaReentry */
	Interval  *reentry_after; /* for MA_REENTRY_AFTER */
	Interval  *max_age;		  /* of an event that starts; NULL: the default */
	int		   zone;		  /* expression of the contact's zone; 0: unused */
	MaHours	   window;		  /* when people may be reached; no days: always */
	char	  *window_zone;	  /* likewise, NULL: the contact's */
	Jsonb	  *blocked;		  /* array of dates as numbers, for the window */
} MaProgram;

extern Jsonb	  *ma_program_write(const MaProgram *program);
extern MaProgram  *ma_program_read(Jsonb *json);
extern const char *ma_verb_name(int verb);

#endif /* MA_PROGRAM_H */
