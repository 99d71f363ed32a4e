/*
 * log_set.c
 *	  Who is in a list, by one grouped query over the log.
 *
 * log_sql.c asks the log anew for each contact. For everybody it is cheaper
 * to read it once and group it: each signal of the predicate becomes an
 * aggregate with its events as the filter. Beside the answer the query tells
 * whom time alone may change soon, and an instant before which it does not:
 * the oldest event in a window cannot leave it earlier than the shortest that
 * the window can last, and elapsed() and remaining() flip at their edges.
 *
 * Where an empty history is not in the list and nothing of the contact is
 * asked about, contacts without any of these events are passed over.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "log_set.h"
#include "log_sql.h"

/* Windows from this length on hold whatever there is, as far as a day goes. */
#define ENDLESS (INT64CONST(100000) * 366 * USECS_PER_DAY)

/* How a signal is written. */
typedef enum Form
{
	COLUMN, /* as the column of the grouped query */
	NOTHING /* as the answer for no events */
} Form;

/* A set query under way. */
typedef struct MaSet
{
	const MaExpr *expr;
	MaSlot		 *slots;
	int			  nslots;
	TimestampTz	  now;
	TimestampTz	  soon;
	MaWriting	  writing;
	Form		  form;
} MaSet;

static bool
has_signal(const MaSlot *slot)
{
	return slot->kind == MA_SLOT_SIGNAL || slot->kind == MA_SLOT_COMPARE;
}

/* Is the predicate one that the query says exactly, errors included? */
static bool
is_sayable(const MaSet *set)
{
	if (ma_expr_can_raise(set->expr))
		return false;
	for (int i = 0; i < set->nslots; i++)
	{
		const MaSlot *slot = &set->slots[i];

		switch (slot->kind)
		{
			case MA_SLOT_SIGNAL:
			case MA_SLOT_COMPARE:
				if (slot->signal->filter != NULL &&
					ma_expr_can_raise(slot->signal->filter))
					return false;
				break;
			case MA_SLOT_ATTRIBUTE:
			case MA_SLOT_ELAPSED:
			case MA_SLOT_REMAINING:
			case MA_SLOT_TIME:
			case MA_SLOT_TAG:
				break;
			default:
				return false;
		}
	}
	return true;
}

/* The answer of a signal for no events. */
static const char *
nothing_sql(const MaSignal *signal)
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

/* MaWriting.signal */
static const char *
signal_sql(const MaSignal *signal, void *arg)
{
	MaSet	   *set = arg;
	const char *nothing = nothing_sql(signal);
	int			i = 0;

	while (!has_signal(&set->slots[i]) || set->slots[i].signal != signal)
		i++;
	if (set->form == NOTHING)
		return nothing;
	return psprintf("coalesce(h.s%d, %s)", i, nothing);
}

/* An instant so long before another, as SQL; NULL: before all events. */
static char *
before(TimestampTz time, int64 span)
{
	if (span >= ENDLESS || !IS_VALID_TIMESTAMP(time - span))
		return NULL;
	return ma_log_sql_time(time - span);
}

/* The events that may be in the window of a signal, by a comparison. */
static char *
coarse_sql(const MaSet *set, const MaSignal *signal)
{
	char *kind = psprintf("e.kind = %s", quote_literal_cstr(signal->kind));
	char *after =
		signal->windowed ? before(set->now, signal->within_max) : NULL;

	if (after == NULL)
		return kind;
	return psprintf("%s and e.occurred_at > %s", kind, after);
}

/* The events that a signal is about; calendars are asked only at the edge. */
static char *
events_sql(MaSet *set, const MaSignal *signal)
{
	StringInfoData s;

	initStringInfo(&s);
	appendStringInfoString(&s, coarse_sql(set, signal));
	if (signal->windowed)
	{
		char *inside = before(set->now, signal->within_min);

		appendStringInfoString(&s, " and (");
		if (inside != NULL)
			appendStringInfo(&s, "e.occurred_at > %s or ", inside);
		appendStringInfo(&s, "%s)", ma_log_sql_window(signal, &set->writing));
	}
	if (signal->filter != NULL)
		appendStringInfo(&s, " and %s",
						 ma_log_sql_filter(signal, &set->writing));
	return s.data;
}

/* What a signal answers, as an aggregate over its events. */
static char *
aggregate_sql(const MaSignal *signal, const char *events)
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

/* The condition that the events of all signals have in common, or NULL. */
static char *
common_events(MaSet *set)
{
	char *common = NULL;

	for (int i = 0; i < set->nslots; i++)
	{
		char *events;

		if (!has_signal(&set->slots[i]))
			continue;
		events = events_sql(set, set->slots[i].signal);
		if (common != NULL && strcmp(common, events) != 0)
			return NULL;
		common = events;
	}
	return common;
}

/* The log grouped by contact: each signal, the oldest event in a window. */
static char *
grouped_sql(MaSet *set)
{
	const char	  *common = common_events(set);
	StringInfoData columns;
	StringInfoData where;

	initStringInfo(&columns);
	initStringInfo(&where);
	for (int i = 0; i < set->nslots; i++)
	{
		const MaSignal *signal = set->slots[i].signal;
		const char	   *events;

		if (!has_signal(&set->slots[i]))
			continue;
		events = common ? "true" : events_sql(set, signal);
		appendStringInfo(&columns, ", %s as s%d",
						 aggregate_sql(signal, events), i);
		if (signal->windowed)
			appendStringInfo(&columns,
							 ", min(e.occurred_at) filter (where %s) as t%d",
							 events, i);
		appendStringInfo(&where, "%s%s", where.len > 0 ? " or " : "",
						 coarse_sql(set, signal));
	}
	return psprintf("select e.contact_id%s from mautomate.event e where %s"
					" group by e.contact_id",
					columns.data, common ? common : where.data);
}

/*
 * When time may change the answer of slot i, as terms: a condition for that
 * it is soon, and a bound of the instant.
 */
static void
add_instant(MaSet *set, int i, StringInfo soon, StringInfo due)
{
	const MaSlot *slot = &set->slots[i];

	if (has_signal(slot) && slot->signal->windowed)
	{
		char *limit = before(set->soon, slot->signal->within_min);

		if (limit == NULL)
			return;
		appendStringInfo(soon, " or coalesce(h.t%d < %s, false)", i, limit);
		appendStringInfo(due,
						 ", least(h.t%d, %s) + interval '" INT64_FORMAT
						 " microseconds'",
						 i, set->writing.now, slot->signal->within_min);
	}
	if (slot->kind == MA_SLOT_ELAPSED || slot->kind == MA_SLOT_REMAINING)
	{
		char *edge = ma_log_sql_edge(set->expr, slot, &set->writing);

		appendStringInfo(soon, " or coalesce(%s >= %s and %s < %s, false)",
						 edge, set->writing.now, edge,
						 ma_log_sql_time(set->soon));
		appendStringInfo(due, ", case when %s >= %s then %s end", edge,
						 set->writing.now, edge);
	}
}

/* Does the predicate ask about anything but events? */
static bool
asks_contact(const MaSet *set)
{
	for (int i = 0; i < set->nslots; i++)
		if (set->slots[i].kind == MA_SLOT_ATTRIBUTE ||
			set->slots[i].kind == MA_SLOT_TAG)
			return true;
	return false;
}

static bool
asks_history(const MaSet *set)
{
	for (int i = 0; i < set->nslots; i++)
		if (has_signal(&set->slots[i]))
			return true;
	return false;
}

/* Begins a query; false if the predicate cannot be said by one. */
static bool
begin(MaSet *set, const MaExpr *expr, TimestampTz now)
{
	memset(set, 0, sizeof(MaSet));
	set->expr = expr;
	set->nslots = ma_expr_slots(expr, &set->slots);
	set->now = now;
	set->soon = now + USECS_PER_DAY;
	set->writing.now = ma_log_sql_time(now);
	set->writing.signal = signal_sql;
	set->writing.arg = set;
	return is_sayable(set);
}

/* The predicate, true or not. */
static char *
predicate_sql(MaSet *set)
{
	return psprintf(
		"coalesce(%s, false)",
		ma_expr_deparse_with(set->expr, 0, ma_log_sql_slot, &set->writing));
}

/*
 * An expression for whether an empty history is in the list; NULL if that
 * depends on the contact, or if the predicate is not one for a set query.
 */
char *
ma_log_set_empty(const MaExpr *expr, TimestampTz now)
{
	MaSet set;

	if (!begin(&set, expr, now) || asks_contact(&set) || !asks_history(&set))
		return NULL;
	set.form = NOTHING;
	return predicate_sql(&set);
}

/*
 * A query for (contact_id, member, soon, due): who is in the list at `now`,
 * and whom time alone may change within a day, not before the instant `due`.
 * With `some` only those who have any of the events asked about are looked
 * at. NULL: the predicate cannot be said this way.
 */
char *
ma_log_set_members(const MaExpr *expr, TimestampTz now, bool some)
{
	MaSet		   set;
	const char	  *history = "";
	StringInfoData soon;
	StringInfoData due;

	if (!begin(&set, expr, now))
		return NULL;
	initStringInfo(&soon);
	initStringInfo(&due);
	for (int i = 0; i < set.nslots; i++)
		add_instant(&set, i, &soon, &due);
	if (asks_history(&set))
		history = psprintf("%s (%s) h using (contact_id)",
						   some ? "join" : "left join", grouped_sql(&set));
	return psprintf("select contact_id, %s as member, false%s as soon,"
					" least(null::timestamptz%s) as due"
					" from mautomate.contact c %s where c.merged_into is null"
					" and (%s%s)",
					predicate_sql(&set), soon.data, due.data, history,
					predicate_sql(&set), soon.data);
}
