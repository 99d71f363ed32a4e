/*
 * predicate.h
 *	  SQL expressions of definitions: compiled once, evaluated many times.
 */
#ifndef MA_PREDICATE_H
#define MA_PREDICATE_H

#include "access/tupdesc.h"
#include "executor/tuptable.h"
#include "nodes/bitmapset.h"
#include "nodes/pg_list.h"
#include "utils/jsonb.h"

#include "rename.h"
#include "signal.h"

/* The names an expression may use; or them together. */
#define MA_NAMES_CONTACT 0x01 /* contact.<column or attribute> */
#define MA_NAMES_HISTORY 0x02 /* count(...), ever(...), in_list(...) */
#define MA_NAMES_EVENT	 0x04 /* event.<property>, .kind, .occurred_at */
#define MA_NAMES_NTH	 0x08 /* event.nth; with MA_NAMES_EVENT */
#define MA_NAMES_ENTRY	 0x10 /* entry.<property>, entry.nth */
#define MA_NAMES_CONTEXT 0x20 /* context.<name>, steps.<id>.<name> */
#define MA_NAMES_ROW	 0x40 /* plain columns of a relation */

/* The usual predicate over a contact. */
#define MA_NAMES_PERSON (MA_NAMES_CONTACT | MA_NAMES_HISTORY)

/* An expression to compile. */
typedef struct MaExprSource
{
	const char *text;		 /* what the user wrote */
	int			names;		 /* MA_NAMES_* */
	const char *event_kind;	 /* what event.x belongs to; NULL: any */
	const char *entry_kind;	 /* what entry.x belongs to; NULL: any */
	TupleDesc	row;		 /* for MA_NAMES_ROW, else NULL */
	Oid			type;		 /* coerce to; InvalidOid: whatever it is */
	bool		select_list; /* several targets with names ("a as b") */
} MaExprSource;

/* What a name or call in an expression stands for. */
typedef enum MaSlotKind
{
	MA_SLOT_ATTRIBUTE,	 /* contact.<path> */
	MA_SLOT_EVENT,		 /* event.<path> */
	MA_SLOT_EVENT_KIND,	 /* event.kind */
	MA_SLOT_EVENT_TIME,	 /* event.occurred_at */
	MA_SLOT_EVENT_NTH,	 /* event.nth */
	MA_SLOT_ENTRY,		 /* entry.<path> */
	MA_SLOT_CONTEXT,	 /* context.<path> */
	MA_SLOT_STEPS,		 /* steps.<path> */
	MA_SLOT_COLUMN,		 /* a column of the row */
	MA_SLOT_SIGNAL,		 /* an answer from the history */
	MA_SLOT_COMPARE,	 /* signal <op> constant */
	MA_SLOT_ELAPSED,	 /* elapsed(time) <op> span */
	MA_SLOT_REMAINING,	 /* remaining(time) <op> span */
	MA_SLOT_TIME,		 /* a constant time */
	MA_SLOT_ANNIVERSARY, /* anniversary(date) */
	MA_SLOT_TAG,		 /* has_tag('name') */
	MA_SLOT_IN_LIST,	 /* in_list('name') */
	MA_SLOT_SCORE,		 /* score('name') */
	MA_SLOT_TIER		 /* tier('name') */
} MaSlotKind;

/* One such thing. */
typedef struct MaSlot
{
	MaSlotKind	kind;
	Oid			type; /* of its value */
	const char *text; /* how it is written, canonically */
	char	  **path; /* keys, for names */
	int			npath;
	int			column;	  /* of the row, or of a contact (-1: none) */
	MaSignal   *signal;	  /* SIGNAL, COMPARE */
	MaOperator	op;		  /* COMPARE, ELAPSED, REMAINING */
	Datum		constant; /* COMPARE, TIME */
	Interval	span;	  /* ELAPSED, REMAINING */
	int			time;	  /* slot of the time; ANNIVERSARY too */
	int			zone;	  /* slot of the contact's zone; ANNIVERSARY */
	const char *object;	  /* IN_LIST, SCORE, TIER, TAG: its name */
	int			location; /* of that name in the text */
	int			index;	  /* and where the definitions have it */
} MaSlot;

/* A condition event.<path> <op> constant, for those who ask many of them. */
typedef struct MaFilter
{
	char	 **path;
	int		   npath;
	Oid		   type; /* text or numeric; of the constant too */
	MaOperator op;
	Datum	   constant;
} MaFilter;

/* A text in an expression. */
typedef struct MaTextAt
{
	const char *text;
	int			location; /* -1: not known */
} MaTextAt;

typedef struct MaExpr MaExpr;

/* How an expression reads the person it is about; state.c provides it. */
typedef struct MaPerson
{
	Datum (*attribute)(struct MaPerson *person, const MaSlot *slot,
					   bool *isnull);
	const MaCell *(*cell)(struct MaPerson *person, const MaSignal *signal);
	bool (*tag)(struct MaPerson *person, const MaSlot *slot);
	bool (*in_list)(struct MaPerson *person, const MaSlot *slot);
	Datum (*score)(struct MaPerson *person, const MaSlot *slot, bool *isnull);
} MaPerson;

struct MaContact;
struct MaEvent;

/* What an expression is evaluated against; parts not in scope stay NULL. */
typedef struct MaInput
{
	struct MaContact *contact; /* contact.x and history; is a MaPerson */
	struct MaEvent	 *event;   /* event.x */
	Jsonb			 *entry;   /* entry.x: properties of the entry event,
								 * with nth, kind, occurred_at among them */
	Jsonb			 *context; /* context.x */
	Jsonb			 *steps;   /* steps.<id>.x: object of objects */
	TupleTableSlot	 *row;	   /* columns */
	TimestampTz		  now;	   /* the instant it is evaluated for */
	TimestampTz		  horizon; /* out: the result holds until then unless
								 * something happens */
} MaInput;

extern MaExpr *ma_expr_compile(const MaExprSource *source, MemoryContext cxt);
extern int	   ma_expr_count(const MaExpr *expr);
extern const char *ma_expr_name(const MaExpr *expr, int i);
extern Oid		   ma_expr_type(const MaExpr *expr, int i);
extern Datum ma_expr_eval(MaExpr *expr, int i, MaInput *input, bool *isnull);
extern bool	 ma_expr_holds(MaExpr *expr, MaInput *input);

extern int	 ma_expr_report_at(const MaExpr *expr, int location);
extern int	 ma_expr_slots(const MaExpr *expr, MaSlot **slots);
extern bool	 ma_expr_filter(const MaExpr *expr, MaFilter *filter);
extern bool	 ma_expr_restricts(const MaExpr *filter, const char *property,
							   List **texts);
extern List *ma_expr_compared(const MaExpr *expr, int slot);
extern const MaSlot *ma_expr_only_slot(const MaExpr *expr);
extern bool			 ma_expr_can_raise(const MaExpr *expr);
extern bool			 ma_expr_is_timed(const MaExpr *expr);
extern char			*ma_expr_deparse(const MaExpr *expr, int i);

/* Writes what stands for a slot in a deparsed text. */
typedef const char *(*MaSlotText)(const MaExpr *expr, const MaSlot *slot,
								  void *arg);

extern char *ma_expr_deparse_with(const MaExpr *expr, int i, MaSlotText write,
								  void *arg);
/* What gets another name in an expression. */
typedef struct MaExprRename
{
	MaRename rename;
	bool	 entries; /* entry.x, if of no certain kind, may tell of it */
} MaExprRename;

extern char *ma_expr_rename(const MaExprSource *source,
							const MaExprRename *rename, List **doubts);
extern char *ma_expr_rename_target(const char *text, const MaRename *rename);

extern const char *ma_history_name(MaSignalFunction function);
extern MaExpr	  *ma_expr_conditions(const MaExpr *expr, MemoryContext cxt);
extern Bitmapset  *ma_expr_target_slots(const MaExpr *expr, int i);

#endif /* MA_PREDICATE_H */
