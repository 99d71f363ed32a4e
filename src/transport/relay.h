/*
 * relay.h
 *	  Which relay a new connection goes to.
 */
#ifndef RELAY_H
#define RELAY_H

#include "config.h"

extern int	relay_choose(const Config *config, unsigned tried);
extern void relay_leave(int relay);
extern void relay_works(int relay);
extern void relay_failed(int relay);

#endif /* RELAY_H */
