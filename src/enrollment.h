/*
 * enrollment.h
 *	  Contacts that enter or leave a workflow by hand.
 */
#ifndef MA_ENROLLMENT_H
#define MA_ENROLLMENT_H

#include "state.h"

extern int64  ma_enrollment_existing(int workflow_id, bool enter);
extern uint64 ma_enrollment_end(int64 contact_id, int workflow_id,
								const char *reason);

#endif /* MA_ENROLLMENT_H */
