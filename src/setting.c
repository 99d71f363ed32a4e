/*
 * setting.c
 *	  The settings under which values mean the same in every session.
 *
 * What a session sets for the reading and writing of values, and of the SQL
 * that we make of expressions, must not change what we store or tell. The variables behind the settings are set directly, which
 * costs nothing, unlike set_config_option(); so whoever enters must leave
 * when an error passes, with PG_FINALLY.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "parser/parse_expr.h"
#include "parser/parser.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/bytea.h"
#include "utils/float.h"

#include "clock.h"
#include "setting.h"

/* Keeps what holds now, for ma_setting_leave(). */
void
ma_setting_save(MaSetting *own)
{
	own->zone = session_timezone;
	own->date_style = DateStyle;
	own->date_order = DateOrder;
	own->interval_style = IntervalStyle;
	own->float_digits = extra_float_digits;
	own->bytea_output = bytea_output;
	own->backslash_quote = backslash_quote;
	own->array_nulls = Array_nulls;
	own->conforming_strings = standard_conforming_strings;
	own->escape_warning = escape_string_warning;
	own->null_equals = Transform_null_equals;
	own->quote_all = quote_all_identifiers;
}

/* Means the same in every session from here on; keeps the session's own. */
void
ma_setting_enter(MaSetting *own)
{
	ma_setting_save(own);
	session_timezone = ma_timezone();
	DateStyle = USE_ISO_DATES;
	DateOrder = DATEORDER_YMD;
	IntervalStyle = INTSTYLE_POSTGRES;
	extra_float_digits = 1;
	bytea_output = BYTEA_OUTPUT_HEX;
	backslash_quote = BACKSLASH_QUOTE_SAFE_ENCODING;
	Array_nulls = true;
	standard_conforming_strings = true;
	escape_string_warning = true;
	Transform_null_equals = false;
	quote_all_identifiers = false;
}

/* Gives the session its own back. */
void
ma_setting_leave(const MaSetting *own)
{
	session_timezone = own->zone;
	DateStyle = own->date_style;
	DateOrder = own->date_order;
	IntervalStyle = own->interval_style;
	extra_float_digits = own->float_digits;
	bytea_output = own->bytea_output;
	backslash_quote = own->backslash_quote;
	Array_nulls = own->array_nulls;
	standard_conforming_strings = own->conforming_strings;
	escape_string_warning = own->escape_warning;
	Transform_null_equals = own->null_equals;
	quote_all_identifiers = own->quote_all;
}
