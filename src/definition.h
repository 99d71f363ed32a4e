/*
 * definition.h
 *	  The cache of everything compiled.
 *
 * A consumer is what the engine evaluates for each contact: a list or a score.
 * Lists come first, then scores; order[] names them so that each comes after
 * those it depends on.
 */
#ifndef MA_DEFINITION_H
#define MA_DEFINITION_H

#include "nodes/bitmapset.h"

#include "predicate.h"

/* A list. */
typedef struct MaListDef
{
	int			list_id;
	const char *name;
	MaExpr	   *expr; /* NULL: static, or broken */
	bool		is_static;
	int64		generation; /* at which its predicate last changed */
	bool		building;	/* not ready: who enters it does so silently */
	bool		following;	/* states older than it do not know it yet, */
	TimestampTz filled_at;	/* its members are right since then */
} MaListDef;

/* A rule of a score. */
typedef struct MaRuleDef
{
	const char *name;
	double		points;
	bool		counts; /* the expression is a number of events */
	MaExpr	   *expr;	/* NULL: broken */
	int			cell;	/* it is the count of this cell; -1: anything else */
} MaRuleDef;

/* A tier of a score. */
typedef struct MaTierDef
{
	int			tier_id;
	const char *name;
	double		at_least;
	double		leave_below;
} MaTierDef;

/* A score. */
typedef struct MaScoreDef
{
	int			score_id;
	const char *name;
	double		minimum; /* -infinity: none */
	double		maximum; /* infinity: none */
	int64		generation;
	int			nrules;
	MaRuleDef  *rules;
	int			ntiers;
	MaTierDef  *tiers; /* ascending */
} MaScoreDef;

/* A constant that an answer is compared with, how, and by whom. */
typedef struct MaSwitch
{
	Datum	   constant;
	MaOperator op;
	int		   consumer;
} MaSwitch;

/* Comparisons of one answer, a number, with constants. */
typedef struct MaSwitchboard
{
	MaSignal *signal;
	int		  nswitches;
	MaSwitch *switches; /* by constant */
} MaSwitchboard;

/* Who asks whether at least so long has passed since the last event. */
typedef struct MaElapsed
{
	int64 least; /* a lower bound, in microseconds */
	int	  consumer;
} MaElapsed;

/* A list that is only whether a count is at least so high, or is not. */
typedef struct MaTurn
{
	int64 least;
	bool  above; /* in it from there on up; false: below */
	int	  list;
} MaTurn;

/* A count in a window, and what is only that: time moves it down past them. */
typedef struct MaCountdown
{
	MaSignal *signal;
	int		  nturns;
	MaTurn	 *turns;
} MaCountdown;

/* A cell, and whom a change of it concerns. */
typedef struct MaCellUse
{
	MaCellDef	   def;
	MaExpr		  *filter;	  /* NULL: every event of the kind */
	int			   simple_on; /* the filter is `simple` over this property */
	MaFilter	   simple;	  /* of the kind; -1: it is more than that */
	int			   value_of;  /* the property whose values are kept, or -1 */
	Bitmapset	  *any;		  /* consumers to wake at every change */
	int			   nboards;
	MaSwitchboard *boards; /* consumers to wake at a crossing */
	int			   nelapsed;
	MaElapsed	  *elapsed; /* consumers to wake after so long a time */
} MaCellUse;

/*
 * How a cell is stored: apart from all else about it, since each state passes
 * all cells.
 */
typedef struct MaCellCode
{
	int	 id;
	bool counted; /* it is stored */
	bool plain;	  /* as a count */
} MaCellCode;

/* A cell for which nothing but counting is to be done, if a value is there. */
typedef struct MaTally
{
	int		   place; /* the bound, see MaProperty */
	int		   cell;
	Bitmapset *any; /* the cell's; the same set is often the same pointer */
} MaTally;

/* Tallies, by place. */
typedef struct MaTallies
{
	int		 n;
	MaTally *tallies;
} MaTallies;

/*
 * A property of events as a type. Constants that filters compare it with are
 * in the order of ma_value_order(); number i of them is at place 2 * i + 1, a
 * value between it and the next one at 2 * i + 2.
 */
typedef struct MaProperty
{
	char	**path;
	int		  npath;
	Oid		  type;
	int		  nconstants;
	Datum	 *constants;
	MaTallies from;	 /* values at this place and above count */
	MaTallies up_to; /* at this place and below */
	MaTallies at;	 /* at this place */
} MaProperty;

/* That a value which compares so with a constant counts. */
#define MA_ACCEPTS(order)  (1 << ((order) + 1))
#define MA_ACCEPTS_LESS	   MA_ACCEPTS(-1)
#define MA_ACCEPTS_EQUAL   MA_ACCEPTS(0)
#define MA_ACCEPTS_GREATER MA_ACCEPTS(1)

/* Whether an event counts for a cell, as far as that is simple. */
typedef struct MaCellTest
{
	int	  property; /* of the kind; -1: the cell's filter, if any, decides */
	int	  at;		/* place of the constant, see MaProperty */
	uint8 accepts;	/* MA_ACCEPTS_*, or them together */
} MaCellTest;

/* A kind of event and its cells. */
typedef struct MaKindDef
{
	const char *kind;
	int			nproperties; /* that cells look at */
	MaProperty *properties;
	int			ncells;
	int		   *cells;	 /* indexes into MaDefinitions.cells */
	MaCellTest *tests;	 /* by cell */
	int			nothers; /* cells that are no tallies of a property */
	int		   *others;	 /* where they are in `cells` */
	int			counter; /* the one that counts all events, or -1 */
	bool		quick;	 /* most events only count; see refresh_quick.c */
} MaKindDef;

/* An attribute that consumers read. */
typedef struct MaAttributeUse
{
	const char *name;
	Bitmapset  *consumers;
} MaAttributeUse;

/* All definitions of one generation, compiled. */
typedef struct MaDefinitions
{
	int64		  generation;	/* of all definitions in here */
	int64		  counter;		/* raised by each change of any */
	int64		  consumers_at; /* at which a consumer last changed */
	int64		  settled_at;	/* the same of those everybody knows */
	int64		  rebuild_at;	/* older states are folded anew */
	int64		  follow_at;	/* older states are swept; 0: none */
	int64		  zone_at;		/* older states are of another time zone */
	bool		  other_zone;	/* all are */
	const char	 *timezone;		/* that they were compiled under */
	MemoryContext cxt;			/* owns everything below */
	int			  nlists;
	MaListDef	 *lists;
	int			  nscores;
	MaScoreDef	 *scores;
	int			 *order;		 /* consumers, each after what it needs */
	int			 *rank;			 /* where a consumer is in it */
	Bitmapset	**list_users;	 /* by list: consumers that ask in_list */
	Bitmapset	**score_users;	 /* by score: consumers that ask score, tier */
	Bitmapset	**list_counters; /* by list: consumers that count its events */
	Bitmapset	**score_counters; /* by score: likewise, of its tiers */
	Bitmapset	 *count_all;   /* consumers that count them of whatever list */
	Bitmapset	 *timed;	   /* consumers that time alone can change, but */
	int			  ncountdowns; /* for those of these */
	MaCountdown	 *countdowns;
	Bitmapset	 *tallied; /* scores of counts that nobody reads by name */
	int			  ncells;
	int			  ncounted; /* cells that somebody asks for */
	MaCellUse	 *cells;
	MaCellCode	 *codes; /* of them, and one more whose id is INT_MAX */
	int			  nkinds;
	MaKindDef	 *kinds; /* by name */
	int			  nattributes;
	MaAttributeUse	 *attributes;
	int				  nrecorded;
	const char		**recorded; /* attributes whose changes are remembered */
	int				  nexprs;
	struct MaExprUse *exprs; /* by predicate_id; private */
	bool  lacking; /* some expression waits for ma_definition_renew() */
	void *entries; /* entry.c's part, NULL until it builds it */
	struct MaSpare *spare; /* state_look.c's, likewise */
} MaDefinitions;

extern MaDefinitions *ma_definitions(void);
extern MaDefinitions *ma_definitions_reload(void);
extern bool			  ma_definition_is_shown(const MaDefinitions *definitions);
extern MaKindDef	 *ma_definition_kind(MaDefinitions *definitions,
										 const char	   *kind);
extern MaExpr		 *ma_definition_expr(int predicate_id);
extern void			  ma_definition_lock(void);
extern bool			  ma_definition_try_lock(void);
extern int64		  ma_definition_generation(void);
extern void			  ma_definition_check_zone(void);
extern void			  ma_definition_renew(void);
extern int			  ma_predicate_register(const MaExprSource *source);
extern int ma_property_place(const MaProperty *property, Datum value);

/* Expressions that follow what gets another name (definition_rename.c). */
typedef struct MaRenaming MaRenaming;

extern MaRenaming *ma_definition_rename_begin(const MaRename *rename);
extern void		   ma_definition_rename_end(MaRenaming *renaming);

#endif /* MA_DEFINITION_H */
