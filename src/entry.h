/*
 * entry.h
 *	  Which workflows an event starts, wakes or ends.
 *
 * Called by the engine for rows that are not silent. Derived events
 * (list_entered, list_left, tier_changed, stage_changed) come as events of
 * these kinds.
 */
#ifndef MA_ENTRY_H
#define MA_ENTRY_H

#include "definition.h"
#include "state.h"

typedef struct MaEntryBatch MaEntryBatch;

extern bool	  ma_entry_watches(MaDefinitions *definitions, const char *kind);
extern Jsonb *ma_entry_of_event(const MaEvent *event);
extern MaEntryBatch *ma_entry_begin(MaDefinitions *definitions);
extern void			 ma_entry_collect(MaEntryBatch *batch, MaContact *contact,
									  TimestampTz now, MaEvent *events, int n);
extern void			 ma_entry_apply(MaEntryBatch *batch);

/* For contacts that enter one workflow without an event of theirs. */
extern bool		   ma_entry_offer(MaEntryBatch *batch, int workflow_id,
								  MaContact *contact, const MaEvent *event);
extern bool		   ma_entry_enroll(MaEntryBatch *batch, int workflow_id,
								   MaContact *contact, int64 contact_id,
								   Jsonb *context);
extern int		   ma_entry_accepted(const MaEntryBatch *batch);
extern const char *ma_entry_refusal(const MaEntryBatch *batch);

#endif /* MA_ENTRY_H */
