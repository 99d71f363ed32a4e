/*
 * zone.c
 *	  Time zones by name; beneath settings and clock, which both need it.
 */
#include "postgres.h"

#include "zone.h"

/* A zone by name, in any case; NULL where there is none. */
pg_tz *
ma_zone(const char *name)
{
	pg_tz *zone = pg_tzset(name);

	return (zone != NULL && pg_tz_acceptable(zone)) ? zone : NULL;
}
