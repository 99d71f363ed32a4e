/*
 * setting.h
 *	  The settings under which values mean the same in every session.
 */
#ifndef MA_SETTING_H
#define MA_SETTING_H

#include "pgtime.h"

/* What ma_setting_leave() gives back. */
typedef struct MaSetting
{
	pg_tz *zone;
	int	   date_style;
	int	   date_order;
	int	   interval_style;
	int	   float_digits;
	int	   bytea_output;
	int	   backslash_quote;
	bool   array_nulls;
	bool   conforming_strings;
	bool   escape_warning;
	bool   null_equals;
	bool   quote_all;
} MaSetting;

extern void ma_setting_save(MaSetting *own);
extern void ma_setting_enter(MaSetting *own);
extern void ma_setting_leave(const MaSetting *own);

#endif /* MA_SETTING_H */
