/*
 * zone.h
 *	  Time zones by name.
 */
#ifndef MA_ZONE_H
#define MA_ZONE_H

#include "pgtime.h"

extern pg_tz *ma_zone(const char *name);

#endif /* MA_ZONE_H */
