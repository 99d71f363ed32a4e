/*
 * refresh_private.h
 *	  What the parts of the engine share.
 */
#ifndef MA_REFRESH_PRIVATE_H
#define MA_REFRESH_PRIVATE_H

#include "entry.h"
#include "refresh.h"
#include "state.h"

/* What there is to do for one contact. */
typedef struct MaWork
{
	int64		contact_id;
	int			nevents; /* in order of arrival */
	MaEvent	   *events;
	Bitmapset  *woken;	  /* consumers to evaluate */
	bool		wake_all; /* evaluate all of them */
	bool		fresh;	  /* new: nothing happened before */
	bool		rebuild;  /* fold everything anew from the log */
	bool		news;	  /* events that came just now, and nothing else */
	int			list_id;  /* put into or out of this list by hand; or -1 */
	MaHand		hand;	  /* which */
	TimestampTz until;	  /* and until when; DT_NOEND: for good */
	bool		moved;	  /* out: the hand has changed something */
	const char *stage;	  /* the new stage; NULL: it did not change */
	const char *previous; /* and the one before, or NULL */
	int			nrecords; /* changes of attributes to remember */
	Jsonb	  **records;

	/* what was noted some time ago: a step, and those that follow */
	bool		   noted;  /* its events are to be fetched from the log */
	bool		   silent; /* the rule of silence held for it */
	TimestampTz	   at;	   /* when it was */
	struct MaWork *then;   /* what came after it, or NULL */
} MaWork;

/* A contact that entered or left a list. */
typedef struct MaListChange
{
	int64		contact_id;
	int			list; /* index in the definitions */
	TimestampTz at;
	bool		entered;
	bool		by_hand;
	bool		superseded; /* a later change of the same pair follows */
	bool		stayed;		/* was in it; only by whom has changed */
} MaListChange;

/* What a contact has, or no longer has, decided by hand against a list. */
typedef struct MaOverrideChange
{
	int64		contact_id;
	MaOverride	override;
	TimestampTz since;
	bool		gone;
} MaOverrideChange;

/* A contact whose score moved to another bucket. */
typedef struct MaBucketChange
{
	int64 contact_id;
	int	  score; /* index in the definitions */
	int	  bucket;
} MaBucketChange;

/* One chunk of contacts on its way through the engine. */
typedef struct MaRun
{
	struct MaTable	 *states; /* open as long as the run lasts */
	MaDefinitions	 *definitions;
	MemoryContext	  cxt;	   /* of everything in the chunk */
	TimestampTz		  now;	   /* read when all of them were locked */
	bool			  silent;  /* the rule of silence holds */
	bool			  patient; /* errors do not make us give up */
	bool			  peek;	   /* nothing is written, all is to be known */
	MaEntryBatch	 *entries; /* NULL if silent */
	int				  nchanges;
	int				  maxchanges;
	MaListChange	 *changes;
	int				  noverrides;
	int				  maxoverrides;
	MaOverrideChange *overrides;
	int				  nbuckets;
	int				  maxbuckets;
	MaBucketChange	 *buckets;
	int				  nderived; /* events the engine derived itself */
	int				  maxderived;
	MaEvent			 *derived;
	int				  ndirty; /* contacts to look at again later */
	int				  maxdirty;
	int64			 *dirty;

	MaWork *works; /* what is to be done */
	int		nworks;
} MaRun;

/* refresh.c */
extern MaContactSet *ma_refresh_run(MaWork *works, int n, bool silent,
									bool skip_locked);
extern TimestampTz	 ma_refresh_first_asked(const MaRun		*run,
											const MaContact *contact,
											const MaWork	*work);
extern int			 ma_refresh_chunks(MaWork *works, int n, bool silent);

/* refresh_quick.c */
extern bool ma_refresh_quick(MaEvent *event, bool silent);
extern int	ma_refresh_quick_some(MaWork *works, int n, bool silent);

struct TriggerData;

/* refresh_restore.c */
extern bool ma_restore_is_under_way(const struct TriggerData *trigdata);
extern void ma_restore_note(struct TriggerData *trigdata, bool events);

/* refresh_reserved.c */
struct RelationData;
extern void ma_reserved_check(struct RelationData *log, const char *kind,
							  int length);
extern void ma_reserved_check_update(struct TriggerData *trigdata);

/* refresh_note.c */
extern void ma_note_events(struct TriggerData *trigdata);
extern void ma_note_contacts(const MaWork *works, int n);
extern void ma_note_rebuild(const int64 *contact_ids, int n);
extern void ma_note_rebuild_all(void);

/* refresh_replay.c */
struct HTAB;
extern void			ma_replay_fetch(MaRun *run, MaContactSet *set);
extern struct HTAB *ma_replay_noted(MaRun *run, MaContactSet *set);
extern bool		ma_replay_is_noted(struct HTAB *noted, const MaEvent *event);
extern int64   *ma_replay_number(MaRun *run, const MaWork *work);
extern MaEvent *ma_replay_numbered(const MaWork *work, const int64 *numbers);
extern MaWork  *ma_replay_works(int64 contact_id);
extern bool		ma_replay_is_dirty(int64 contact_id);
extern void		ma_replay_forget(void);
extern void		ma_replay_deleted(const int64 *ids, int n);

/* refresh_build.c */
extern int ma_build_begin(void);
extern int ma_build_step(int max);

/* refresh_follow.c */
extern void ma_follow_check(MaContactSet *set);
extern void ma_follow_load(MaContactSet *set);
extern void ma_follow_time(MaRun *run, MaContact *contact, TimestampTz now);

/* refresh_adopt.c */
extern void ma_adopt_blank(MaContactSet *set);
extern bool ma_adopt_missing(MaContactSet *set, MaWork *works, int n);

/* refresh_open.c */
extern void ma_open_first(MaRun *run, MaContactSet *set);
extern void ma_open_next(MaRun *run, MaContact *contact, TimestampTz from,
						 TimestampTz to);

/* refresh_room.c */
extern int			 ma_room_events(void);
extern MemoryContext ma_room(const MaContact *contact);
extern void			 ma_room_enter(MaContact *contact);
extern void			 ma_room_renew(MaContact *contact);
extern void			 ma_room_sum_up(MaContact *contact, const Bitmapset *cells,
									TimestampTz from, TimestampTz to);
extern void			 ma_room_leave(MaContact *contact);

/* refresh_fold.c */
extern bool ma_fold_again(MaContact *contact, int cell, MaEvent *event);
extern void ma_fold_read(MaContact *contact, MaEvent *event);
extern void ma_fold_events(MaRun *run, MaContact *contact, MaEvent *events,
						   int n);

/* refresh_read.c */
extern void ma_fold_from_log(MaRun *run, MaContactSet *set, TimestampTz at);
extern bool ma_fold_is_coming(const MaContact *contact, int64 event_id);
extern bool ma_fold_has_read(void);
extern bool ma_fold_has_read_command(CommandId command);

/* refresh_evaluate.c */
extern int64 ma_evaluate_number(void);

extern void ma_evaluate_woken(MaRun *run, MaContact *contact, TimestampTz at);
extern void ma_evaluate_time(MaRun *run, MaContact *contact, TimestampTz now);
extern void ma_evaluate_list(MaRun *run, MaContact *contact, int list,
							 TimestampTz at);
extern void ma_evaluate_until(MaContact *contact, TimestampTz until);
extern void ma_change_list(MaRun *run, MaContact *contact, int list,
						   TimestampTz at, bool entered, bool by_hand);
extern void ma_change_hand(MaRun *run, MaContact *contact, int list,
						   bool by_hand);
extern void ma_evaluate_horizon(MaRun *run, MaContact *contact, int list,
								TimestampTz at);
extern void ma_evaluate_forget_errors(void);
extern void ma_derive_stage(MaRun *run, MaContact *contact, const char *stage,
							const char *previous, TimestampTz at);
extern void ma_derive_record(MaRun *run, MaContact *contact, Jsonb *record,
							 TimestampTz at);

/* refresh_record.c */
extern void ma_record_changes(MaDefinitions	 *definitions,
							  TupleTableSlot *before, TupleTableSlot *after,
							  MaWork *work);

/* refresh_override.c */
extern void ma_override_hand(MaRun *run, MaContact *contact, MaWork *work,
							 TimestampTz at);
extern bool ma_override_decides(MaRun *run, MaContact *contact, int list,
								TimestampTz at);
extern void ma_override_wake(MaContact *contact);
extern void ma_override_read(MaContactSet *set, Datum ids);

/* refresh_apply.c */
extern void *ma_run_grow(void *array, int n, int *max, Size size);
extern void	 ma_apply(MaRun *run, MaContactSet *set);
extern bool	 ma_apply_is_inserting(void);

#endif /* MA_REFRESH_PRIVATE_H */
