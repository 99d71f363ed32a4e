/*
 * pool.h
 *	  The connections and who uses which.
 */
#ifndef POOL_H
#define POOL_H

#include <stdbool.h>

#include "config.h"
#include "job.h"

extern bool pool_start(const Config *config, int input);
extern bool pool_turn(void);
extern void pool_send(Job *job);
extern bool pool_ack(int64_t id);
extern bool pool_finish(void);

#endif /* POOL_H */
