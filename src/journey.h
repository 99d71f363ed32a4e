/*
 * journey.h
 *	  The runner: moves enrolments through their programs.
 */
#ifndef MA_JOURNEY_H
#define MA_JOURNEY_H

#include "datatype/timestamp.h"

extern int		   ma_journey_pass(int max);
extern TimestampTz ma_journey_next_due(void);

#endif /* MA_JOURNEY_H */
