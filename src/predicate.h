/*
 * predicate.h
 *	  SQL expressions of definitions: compiled once, evaluated many times.
 */
#ifndef MA_PREDICATE_H
#define MA_PREDICATE_H

#include "access/tupdesc.h"
#include "datatype/timestamp.h"
#include "executor/tuptable.h"
#include "utils/jsonb.h"

/* The names an expression may use; or them together. */
#define MA_NAMES_CONTACT	0x01	/* contact.<column or attribute> */
#define MA_NAMES_HISTORY	0x02	/* count(...), ever(...), in_list(...) */
#define MA_NAMES_EVENT		0x04	/* event.<property>, .kind, .occurred_at */
#define MA_NAMES_NTH		0x08	/* event.nth; with MA_NAMES_EVENT */
#define MA_NAMES_ENTRY		0x10	/* entry.<property>, entry.nth */
#define MA_NAMES_CONTEXT	0x20	/* context.<name>, steps.<id>.<name> */
#define MA_NAMES_ROW		0x40	/* plain columns of a relation */

/* The usual predicate over a contact. */
#define MA_NAMES_PERSON		(MA_NAMES_CONTACT | MA_NAMES_HISTORY)

/* An expression to compile. */
typedef struct MaExprSource
{
	const char *text;			/* what the user wrote */
	int			names;			/* MA_NAMES_* */
	const char *event_kind;		/* what event.x belongs to; NULL: any */
	const char *entry_kind;		/* what entry.x belongs to; NULL: any */
	TupleDesc	row;			/* for MA_NAMES_ROW, else NULL */
	Oid			type;			/* coerce to; InvalidOid: whatever it is */
	bool		select_list;	/* several targets with names ("a as b") */
} MaExprSource;

typedef struct MaExpr MaExpr;

struct MaContact;

/* What an expression is evaluated against; parts not in scope stay NULL. */
typedef struct MaInput
{
	struct MaContact *contact;	/* contact.x and history */
	struct MaEvent *event;		/* event.x */
	Jsonb	   *entry;			/* entry.x: properties of the entry event,
								 * with nth, kind, occurred_at among them */
	Jsonb	   *context;		/* context.x */
	Jsonb	   *steps;			/* steps.<id>.x: object of objects */
	TupleTableSlot *row;		/* columns */
	TimestampTz now;			/* the instant it is evaluated for */
	TimestampTz horizon;		/* out: the result holds until then unless
								 * something happens */
} MaInput;

extern MaExpr *ma_expr_compile(const MaExprSource *source, MemoryContext cxt);
extern int	ma_expr_count(const MaExpr *expr);
extern const char *ma_expr_name(const MaExpr *expr, int i);
extern Oid	ma_expr_type(const MaExpr *expr, int i);
extern Datum ma_expr_eval(MaExpr *expr, int i, MaInput *input, bool *isnull);
extern bool ma_expr_holds(MaExpr *expr, MaInput *input);

#endif							/* MA_PREDICATE_H */
