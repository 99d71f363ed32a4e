/*
 * log_signal.c
 *	  What signals answer, as aggregates over the log.
 *
 * log_sql.c asks the log anew for each contact. For everybody it is cheaper
 * to read it once, e, and to group it by contact: each signal is an aggregate
 * with its events as the filter.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "log_signal.h"

/* Windows from this length on hold whatever there is, as far as a day goes. */
#define ENDLESS (INT64CONST(100000) * 366 * USECS_PER_DAY)

/* The answer of a signal for no events. */
const char *
ma_log_signal_nothing(const MaSignal *signal)
{
	switch (signal->function)
	{
		case MA_COUNT:
		case MA_DISTINCT:
			return "0::bigint";
		case MA_EVER:
			return "false";
		default:
			return psprintf("null::%s", format_type_be(signal->type));
	}
}

/* An instant so long before another, as SQL; NULL: before all events. */
char *
ma_log_signal_before(TimestampTz time, int64 span)
{
	if (span >= ENDLESS || !IS_VALID_TIMESTAMP(time - span))
		return NULL;
	return ma_log_sql_time(time - span);
}

/* The events that may be in the window of a signal, by a comparison. */
char *
ma_log_signal_coarse(const MaSignal *signal, const MaWriting *writing)
{
	char *kind = psprintf("e.kind = %s", quote_literal_cstr(signal->kind));
	char *after = signal->windowed ?
					  ma_log_signal_before(writing->at, signal->window.max) :
					  NULL;

	if (after == NULL)
		return kind;
	return psprintf("%s and e.occurred_at > %s", kind, after);
}

/* The events that a signal is about; calendars are asked only at the edge. */
char *
ma_log_signal_events(const MaSignal *signal, MaWriting *writing)
{
	StringInfoData s;

	initStringInfo(&s);
	appendStringInfoString(&s, ma_log_signal_coarse(signal, writing));
	if (signal->windowed)
	{
		char *inside = ma_log_signal_before(writing->at, signal->window.min);

		appendStringInfoString(&s, " and (");
		if (inside != NULL)
			appendStringInfo(&s, "e.occurred_at > %s or ", inside);
		appendStringInfo(&s, "%s)", ma_log_sql_window(signal, writing));
	}
	if (signal->filter != NULL)
		appendStringInfo(&s, " and %s", ma_log_sql_filter(signal, writing));
	return s.data;
}

/* What a signal answers, as an aggregate over its events. */
char *
ma_log_signal_aggregate(const MaSignal *signal, const char *events)
{
	static const char *const functions[] = {
		[MA_SUM] = "sum", [MA_AVG] = "avg",		 [MA_MIN] = "min",
		[MA_MAX] = "max", [MA_FIRST_AT] = "min", [MA_LAST_AT] = "max"};
	const char *value = ma_log_sql_value(signal);

	switch (signal->function)
	{
		case MA_COUNT:
			return psprintf("count(*) filter (where %s)", events);
		case MA_EVER:
			return psprintf("count(*) filter (where %s) > 0", events);
		case MA_FIRST_AT:
		case MA_LAST_AT:
			return psprintf("%s(e.occurred_at) filter (where %s)",
							functions[signal->function], events);
		case MA_DISTINCT:
			return psprintf("count(distinct %s) filter (where %s)", value,
							events);
		case MA_LAST_VALUE:
			return psprintf(
				"(array_agg(%s order by e.occurred_at desc, e.event_id desc)"
				" filter (where %s and mautomate_internal.value_text("
				"e.properties, array[%s]) is not null))[1]",
				value, events, quote_literal_cstr(signal->property));
		default:
			return psprintf("%s(%s) filter (where %s)",
							functions[signal->function], value, events);
	}
}
