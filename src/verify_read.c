/*
 * verify_read.c
 *	  What the log says of many contacts, read once for all definitions.
 *
 * The signals of lists and scores are often the same: each different one is a
 * column of one query that groups the log by contact. With the contact's own
 * columns and with what is stored of it, its rows are the relation c, which
 * queries of this SPI connection see and expressions are written over. It
 * goes to disk beyond work_mem, and so do the groups.
 *
 * A signal whose filter may raise an error is read ahead only where nobody's
 * events let it. A careful reading leaves it a subquery in the expressions that
 * ask it, so that only these fail.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "optimizer/cost.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "guard.h"
#include "log_signal.h"
#include "verify_private.h"

/* Rows fetched at a time. */
#define ROWS 1000

/* Signals from which on no further definition is taken in, and of all. */
#define COLUMNS		500
#define COLUMNS_MAX 1500

/* The place of a text in a list, from 1, where it is appended if missing. */
static int
place_of(List **texts, char *text)
{
	ListCell *cell;

	foreach (cell, *texts)
		if (strcmp(lfirst(cell), text) == 0)
			return foreach_current_index (cell) + 1;
	*texts = lappend(*texts, text);
	return list_length(*texts);
}

/* Does one question need more of a cell than another one, the same? */
static bool
needs_more(const MaSignal *signal, const MaSignal *than)
{
	return than->capacity != MA_UNBOUNDED &&
		   (signal->capacity == MA_UNBOUNDED ||
			signal->capacity > than->capacity);
}

/* Has the state compared with a column, for each cell that answers it. */
static void
ask_state(MaReading *reading, const MaSignal *signal, int place,
		  int64 generation)
{
	char	 *column = list_nth(reading->columns, place - 1);
	int		  at = place_of(&reading->told, column);
	MaAsked	 *asked;
	ListCell *cell;

	foreach (cell, reading->asked)
	{
		asked = lfirst(cell);
		if (asked->place != place || asked->signal->cell != signal->cell)
			continue;
		if (needs_more(signal, asked->signal))
			asked->signal = signal;
		asked->generation = Min(asked->generation, generation);
		return;
	}
	if (at <= reading->ntold)
		return; /* another reading has it */
	asked = palloc(sizeof(MaAsked));
	*asked = (MaAsked){signal, place, reading->rank + at, generation};
	reading->asked = lappend(reading->asked, asked);
}

/* Gives a signal its column, if it may have one. */
static void
add_signal(MaReading *reading, MaSignal *signal, int64 generation)
{
	char *events;
	char *column;
	int	  place;

	if (list_length(reading->columns) >= COLUMNS_MAX)
		return;
	events = ma_log_signal_events(signal, &reading->writing);
	column =
		psprintf("coalesce(%s, %s)", ma_log_signal_aggregate(signal, events),
				 ma_log_signal_nothing(signal));
	if (reading->careful && signal->filter != NULL &&
		ma_expr_can_raise(signal->filter))
	{
		(void) place_of(&reading->told, column);
		return;
	}
	place = place_of(&reading->columns, column);
	(void) place_of(&reading->coarse,
					ma_log_signal_coarse(signal, &reading->writing));
	reading->known = lappend(reading->known, signal);
	reading->places = lappend_int(reading->places, place);
	ask_state(reading, signal, place, generation);
}

static void
add_expr(MaReading *reading, const MaExpr *expr, int64 generation)
{
	MaSlot *slots;
	int		n = ma_expr_slots(expr, &slots);

	for (int i = 0; i < n; i++)
		if (slots[i].signal != NULL)
			add_signal(reading, slots[i].signal, generation);
}

static void
add_checked(MaReading *reading, const MaChecked *checked)
{
	if (checked->list != NULL)
		add_expr(reading, checked->list->expr, checked->list->generation);
	else
		for (int i = 0; i < checked->score->nrules; i++)
			add_expr(reading, checked->score->rules[i].expr,
					 checked->score->generation);
}

/* MaWriting.signal: the column of a signal that has one. */
static const char *
signal_sql(const MaSignal *signal, void *arg)
{
	MaReading *reading = arg;
	ListCell  *known;
	ListCell  *place;

	forboth (known, reading->known, place, reading->places)
		if (lfirst(known) == signal)
			return psprintf("c." MA_READING_SIGNAL "%d", lfirst_int(place));
	return NULL;
}

/*
 * Begins to read for as many of `checked` as there is room for the signals
 * of, at least one; returns how many. The caller has set the range.
 */
int
ma_reading_plan(MaReading *reading, MaChecked *checked, int n, TimestampTz now)
{
	reading->columns = reading->coarse = NIL;
	reading->known = reading->places = reading->asked = NIL;
	reading->ntold = list_length(reading->told);
	reading->checked = checked;
	reading->writing = ma_log_sql_writing(now);
	reading->n = 0;
	while (reading->n < n && list_length(reading->columns) < COLUMNS)
		add_checked(reading, &checked[reading->n++]);
	reading->writing.signal = signal_sql;
	reading->writing.arg = reading;
	return reading->n;
}

/* The range, as a condition on the contact_id of a table. */
static char *
range_sql(const MaReading *reading, const char *table)
{
	return psprintf("%s.contact_id between " INT64_FORMAT " and " INT64_FORMAT,
					table, reading->low, reading->high);
}

/* The log, grouped by contact. */
static char *
log_sql(const MaReading *reading)
{
	StringInfoData s;
	ListCell	  *cell;

	if (reading->columns == NIL)
		return "";
	initStringInfo(&s);
	appendStringInfoString(&s, " left join (select e.contact_id");
	foreach (cell, reading->columns)
		appendStringInfo(&s, ", %s as ma_signal_%d", (char *) lfirst(cell),
						 foreach_current_index (cell) + 1);
	appendStringInfo(&s, " from mautomate.event e where %s and (false",
					 range_sql(reading, "e"));
	foreach (cell, reading->coarse)
		appendStringInfo(&s, " or %s", (char *) lfirst(cell));
	appendStringInfoString(&s, ") group by e.contact_id) h"
							   " on h.contact_id = c.contact_id");
	return s.data;
}

/* Its columns; who has no such events is in no group. */
static char *
columns_sql(const MaReading *reading)
{
	StringInfoData s;
	char		  *done = palloc0(list_length(reading->columns) + 2);
	ListCell	  *known;
	ListCell	  *place;

	initStringInfo(&s);
	forboth (known, reading->known, place, reading->places)
	{
		int i = lfirst_int(place);

		if (!done[i])
			appendStringInfo(&s,
							 ", coalesce(h.ma_signal_%d, %s)"
							 " as ma_signal_%d",
							 i, ma_log_signal_nothing(lfirst(known)), i);
		done[i] = true;
	}
	return s.data;
}

/* The ids of the lists to compare, as an array. */
static char *
lists_sql(const MaReading *reading)
{
	StringInfoData s;
	const char	  *comma = "";

	initStringInfo(&s);
	appendStringInfoString(&s, "'{");
	for (int i = 0; i < reading->n; i++)
		if (reading->checked[i].list != NULL)
		{
			appendStringInfo(&s, "%s%d", comma,
							 reading->checked[i].list->list_id);
			comma = ",";
		}
	appendStringInfoString(&s, "}'::int[]");
	return s.data;
}

/* Who is up to date, as far as anybody knows. */
static char *
up_to_date_sql(const MaReading *reading)
{
	return psprintf("%s and c.merged_into is null and not exists (select"
					" from mautomate_internal.timer t"
					" where t.contact_id = c.contact_id and t.due_at <= %s"
					" and t.due_at > coalesce(cs.as_of, '-infinity'))"
					" and not exists (select from mautomate_internal.dirty d"
					" where d.contact_id = c.contact_id)"
					" and not exists (select"
					" from mautomate_internal.deferred_contacts() d"
					" where d.contact_id = c.contact_id)",
					range_sql(reading, "c"), reading->writing.now);
}

/* The query for the rows of c. */
static char *
reading_sql(const MaReading *reading)
{
	char *lists = lists_sql(reading);

	return psprintf(
		"select c.*, cs.state as " MA_READING_STATE
		", cs.as_of as " MA_READING_AS_OF
		", cs.generation as " MA_READING_GENERATION
		", coalesce(m.ids, '{}') as " MA_READING_STORED
		", o.entered as " MA_READING_ENTERED ", o.ids as " MA_READING_DECIDED
		"%s from mautomate.contact c"
		" left join mautomate_internal.contact_state cs"
		" on cs.contact_id = c.contact_id"
		" left join (select m.contact_id,"
		" array_agg(m.list_id order by m.list_id) as ids"
		" from mautomate_internal.list_member m"
		" where %s and m.list_id = any (%s) group by m.contact_id) m"
		" on m.contact_id = c.contact_id"
		" left join (select o.contact_id, array_agg(o.list_id) as ids,"
		" array_agg(o.list_id) filter (where o.entered) as entered"
		" from mautomate_internal.list_override o"
		" where %s and o.until > %s and o.list_id = any (%s)"
		" group by o.contact_id) o on o.contact_id = c.contact_id"
		"%s where %s",
		columns_sql(reading), range_sql(reading, "m"), lists,
		range_sql(reading, "o"), reading->writing.now, lists, log_sql(reading),
		up_to_date_sql(reading));
}

/*
 * Opens the query. Never by nested loops: after growth without ANALYZE both
 * sides of a join may look like one row, and the log would be grouped anew
 * for each contact.
 */
static Portal
open_query(const char *query)
{
	bool nestloop = enable_nestloop;
	Portal volatile portal = NULL;

	PG_TRY();
	{
		enable_nestloop = false;
		portal = SPI_cursor_open_with_args(NULL, query, 0, NULL, NULL, NULL,
										   true, CURSOR_OPT_NO_SCROLL);
	}
	PG_FINALLY();
	{
		enable_nestloop = nestloop;
	}
	PG_END_TRY();
	return portal;
}

/* Keeps the rows of the query; returns how many there are. */
static int64
keep_rows(MaReading *reading, Portal portal)
{
	int64 n = 0;

	do
	{
		SPI_cursor_fetch(portal, true, ROWS);
		for (uint64 i = 0; i < SPI_processed; i++)
			tuplestore_puttuple(reading->rows, SPI_tuptable->vals[i]);
		n += SPI_processed;
		SPI_freetuptable(SPI_tuptable);
	} while (SPI_processed > 0);
	return n;
}

/* Reads the log, for the guard. */
static void
read_log(void *arg)
{
	MaReading *reading = arg;
	Portal	   portal = open_query(reading_sql(reading));

	reading->desc = CreateTupleDescCopy(portal->tupDesc);
	reading->nrows = keep_rows(reading, portal);
	SPI_cursor_close(portal);
}

/*
 * Reads the log and makes its answers known as c, under the active snapshot.
 * False, and nothing is open, if somebody's events raise an error.
 */
bool
ma_reading_open(MaReading *reading)
{
	EphemeralNamedRelation c;
	ErrorData			  *edata;

	reading->rows = tuplestore_begin_heap(false, false, work_mem);
	edata = ma_guard(read_log, reading);
	if (edata != NULL)
	{
		tuplestore_end(reading->rows);
		if (reading->careful)
			ThrowErrorData(edata);
		FreeErrorData(edata);
		return false;
	}
	c = palloc0(sizeof(EphemeralNamedRelationData));
	c->md.name = "c";
	c->md.reliddesc = InvalidOid;
	c->md.tupdesc = reading->desc;
	c->md.enrtype = ENR_NAMED_TUPLESTORE;
	c->md.enrtuples = reading->nrows;
	c->reldata = reading->rows;
	if (SPI_register_relation(c) != SPI_OK_REL_REGISTER)
		elog(ERROR, "could not register a relation");
	return true;
}

/* Forgets it again. */
void
ma_reading_close(MaReading *reading)
{
	if (SPI_unregister_relation("c") != SPI_OK_REL_UNREGISTER)
		elog(ERROR, "could not unregister a relation");
	tuplestore_end(reading->rows);
}
