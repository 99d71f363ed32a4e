/*
 * state.h
 *	  Load, lock and store what the engine remembers of contacts.
 */
#ifndef MA_STATE_H
#define MA_STATE_H

#include "storage/itemptr.h"

#include "definition.h"

/* What a contact has of a score. */
typedef struct MaScoreState
{
	double value;
	int	   tier;   /* index into the tiers, -1: none */
	int	   bucket; /* as written to contact_score; INT_MIN: not */
} MaScoreState;

/* In a list, or out of it, by hand. */
typedef struct MaOverride
{
	int			list; /* index in the definitions */
	bool		entered;
	bool		after; /* static: in it, when this has ended */
	TimestampTz until; /* DT_NOEND: for good */
} MaOverride;

/* A score as it is stored. */
typedef struct MaStoredScore
{
	int	   score_id;
	int	   tier_id; /* 0: none */
	int	   bucket;
	double value;
} MaStoredScore;

/* A contact while the engine works on it. */
typedef struct MaContact
{
	MaPerson			 person; /* how expressions read it; first */
	struct MaContactSet *set;
	int64				 id;
	ItemPointerData		 tid;	 /* of its state row, locked by us */
	TimestampTz			 as_of;	 /* folded up to here */
	TimestampTz			 due_at; /* a timer is written for this instant */
	int64		  generation;	 /* of the consumers it was evaluated under */
	bool		  blank;		 /* the state says nothing, not even lists */
	bool		  lacking;		 /* some cell is not known */
	bool		  summed;		 /* some cell has spans */
	bool		  reset;   /* the clock was set back since it was folded */
	bool		  quiet;   /* what is found before the work is not news */
	bool		  changed; /* has to be stored */
	bool		  timer_needed;	   /* due_at came nearer: write a timer */
	bool		  attributes_read; /* columns and attributes are loaded */
	Datum		 *columns;		   /* as ma_vocabulary_column() counts */
	bool		 *nulls;
	Jsonb		 *attributes;
	MaCell		 *cells;  /* by cell of the definitions */
	bool		 *member; /* by list */
	int			  noverrides;
	int			  maxoverrides;
	MaOverride	 *overrides; /* in no order */
	MaScoreState *scores;	 /* by score */
	MemoryContext room;		 /* of what many events are folded into, or NULL */
	Bitmapset	 *reading;	 /* cells that are being folded from the log */
	Bitmapset	 *clear;	/* cells whose spans were made for what is asked */
	TimestampTz	  clear_at; /* at this instant first */
	Bitmapset	 *rebuilt;	/* cells just folded from the log, without */
	MaEvent		 *coming;	/* events to be folded now, by event_id */
	int			  ncoming;
	bool		  logged;	/* these were read from the log after all */
	Bitmapset	 *woken;	/* consumers to evaluate */
	Bitmapset	 *followed; /* lists filled since; refresh_follow.c */
} MaContact;

/* How the rows of a set are taken. */
typedef enum MaLock
{
	MA_LOCK_WAIT, /* locked, whoever holds them */
	MA_LOCK_SKIP, /* locked, but for those that others hold */
	MA_LOCK_TRY,  /* only read, to be replaced or locked at once */
	MA_LOCK_NONE  /* read as the snapshot shows them */
} MaLock;

/* Some contacts, locked until the end of the transaction. */
typedef struct MaContactSet
{
	MemoryContext	cxt;
	MaDefinitions  *definitions;
	int				n;
	MaContact	  **contacts; /* by id */
	int				nmissing; /* ids that have no state */
	int64		   *missing;
	struct MaTable *states; /* where they are from */
} MaContactSet;

extern struct MaTable *ma_state_open(void);
extern MaContactSet	  *ma_state_load(struct MaTable *states,
									 MaDefinitions	*definitions,
									 const int64 *ids, int n, MaLock lock);
extern void			   ma_state_store(MaContactSet *set);
extern MaContact	  *ma_contact_find(MaContactSet *set, int64 contact_id);
extern void ma_state_override(MaContact *contact, const MaOverride *override);
extern int	ma_state_list(const MaDefinitions *definitions, int list_id);
extern int	ma_state_scores(const char *in, const char *end,
							MaStoredScore **scores);

/* state_look.c: contacts one after the other, each forgotten with the next */
typedef struct MaLook MaLook;

extern MaContact *ma_look_one(struct MaTable *states,
							  MaDefinitions *definitions, int64 id);
extern MaContact *ma_look_into(MaDefinitions *definitions, const char *in,
							   const char *end);
extern bool		  ma_look_replace(MaContact *contact);
extern MaLook	 *ma_look_begin(struct MaTable *states,
								MaDefinitions *definitions, const int64 *ids,
								int n);
extern MaContact *ma_look_at(MaLook *look, int i);
extern bool		  ma_look_lock(MaLook *look);
extern void		  ma_look_end(MaLook *look);

#endif /* MA_STATE_H */
