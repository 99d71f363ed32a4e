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
#include "log_signal.h"

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

/* MaWriting.signal */
static const char *
signal_sql(const MaSignal *signal, void *arg)
{
	MaSet	   *set = arg;
	const char *nothing = ma_log_signal_nothing(signal);
	int			i = 0;

	while (!has_signal(&set->slots[i]) || set->slots[i].signal != signal)
		i++;
	if (set->form == NOTHING)
		return nothing;
	return psprintf("coalesce(h.s%d, %s)", i, nothing);
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
		events = ma_log_signal_events(set->slots[i].signal, &set->writing);
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
		events = common ? "true" : ma_log_signal_events(signal, &set->writing);
		appendStringInfo(&columns, ", %s as s%d",
						 ma_log_signal_aggregate(signal, events), i);
		if (signal->windowed)
			appendStringInfo(&columns,
							 ", min(e.occurred_at) filter (where %s) as t%d",
							 events, i);
		appendStringInfo(&where, "%s%s", where.len > 0 ? " or " : "",
						 ma_log_signal_coarse(signal, &set->writing));
	}
	return psprintf("select e.contact_id%s from mautomate.event e where %s"
					" group by e.contact_id",
					columns.data, common ? common : where.data);
}

/*
 * An instant before which no event leaves the window of slot i. Where the
 * calendar may turn their order round it is that of one that happened so long
 * before the oldest that it cannot, which is some days too early.
 */
static char *
leaving_sql(const MaSet *set, int i)
{
	const MaWindow *window = &set->slots[i].signal->window;

	if (window->disorder == 0)
		return psprintf("least(h.t%d, %s) + interval '" INT64_FORMAT
						" microseconds'",
						i, set->writing.now, window->min);
	return psprintf("least(h.t%d, %s) - interval '" INT64_FORMAT
					" microseconds' + %s",
					i, set->writing.now, window->disorder,
					ma_log_sql_interval(&window->within));
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
		char *limit =
			ma_log_signal_before(set->soon, slot->signal->window.min);
		char *leaving = leaving_sql(set, i);

		if (limit == NULL)
			return;
		appendStringInfo(soon, " or coalesce(h.t%d < %s and %s < %s, false)",
						 i, limit, leaving, ma_log_sql_time(set->soon));
		appendStringInfo(due, ", %s", leaving);
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
	set->soon = now + MA_LOG_SET_SOON;
	set->writing = ma_log_sql_writing(now);
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
