/*
 * setting.c
 *	  The settings under which values mean the same in every session.
 *
 * What a session sets for the reading and writing of values must not change
 * what we store. A setting is touched only where it differs: comparing costs
 * nothing, setting one costs microseconds.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/bytea.h"
#include "utils/float.h"
#include "utils/guc.h"

#include "clock.h"
#include "guc.h"
#include "setting.h"

/* Sets what differs; returns what ma_setting_leave() wants. */
int
ma_setting_enter(void)
{
	int level = NewGUCNestLevel();

	if (DateStyle != USE_ISO_DATES || DateOrder != DATEORDER_YMD)
		(void) set_config_option("DateStyle", "ISO, YMD", PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
								 false);
	if (IntervalStyle != INTSTYLE_POSTGRES)
		(void) set_config_option("IntervalStyle", "postgres", PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
								 false);
	if (session_timezone != ma_timezone())
		(void) set_config_option("TimeZone", ma_guc_timezone, PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
								 false);
	if (extra_float_digits != 1)
		(void) set_config_option("extra_float_digits", "1", PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
								 false);
	if (bytea_output != BYTEA_OUTPUT_HEX)
		(void) set_config_option("bytea_output", "hex", PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
								 false);
	return level;
}

/* Gives the session its own settings back; an error does so by itself. */
void
ma_setting_leave(int level)
{
	AtEOXact_GUC(false, level);
}
