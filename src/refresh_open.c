/*
 * refresh_open.c
 *	  Open the spans that time will divide: read their events again.
 *
 * A cell keeps many events of a window in sum (signal_span.c). Before time
 * passes for a contact, the spans that something leaves meanwhile are
 * replaced by their events, read from the log by the index, under a snapshot
 * taken after the lock. What is about to be folded as news, or is noted only,
 * is passed over: it is not in the sum. As time goes from instant to instant,
 * what leaves at the next one is opened, and what is left of it is summed
 * again: so much time may pass at once. If the log has more or fewer
 * events there than the span, it is ahead of the state, or behind: the cell
 * is folded from the log as a whole, by the rules for that (refresh_read.c).
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "columns.h"
#include "refresh_private.h"
#include "signal_span.h"
#include "sql.h"

/* Rows of the log read at a time. */
#define LOG_ROWS 5000

/* A span that is opened. */
typedef struct Opening
{
	MaContact *contact;
	int		   cell;
	MaSpan	   span;
	int64	   found; /* so many of its events */
} Opening;

/* What is opened for the instants after `from` up to `to`. */
typedef struct Openings
{
	TimestampTz from;
	TimestampTz to;
	bool		all; /* whatever time does */
	int			n;
	int			max;
	Opening	   *each;
} Openings;

/* Takes the spans out of a cell that may not stay. */
static void
take_unclear(MaContact *contact, int cell, Openings *openings)
{
	const MaCellDef *def = &contact->set->definitions->cells[cell].def;
	MaCell			*spanned = &contact->cells[cell];
	TimestampTz		 from = openings->from;
	int				 i = 0;

	if (bms_is_member(cell, contact->clear))
		from = Max(from, contact->clear_at);

	while (i < spanned->spans->n)
	{
		Opening *opening;

		if (!openings->all)
			i = ma_span_unclear(def, spanned, i, from, openings->to);
		if (i < 0)
			break;
		openings->each = ma_run_grow(openings->each, openings->n,
									 &openings->max, sizeof(Opening));
		opening = &openings->each[openings->n++];
		opening->contact = contact;
		opening->cell = cell;
		opening->span = ma_span_take(spanned, i);
		opening->found = 0;
		contact->changed = true;
	}
}

/* What is to be opened of a contact. */
static void
find_openings(MaContact *contact, Openings *openings)
{
	for (int i = 0; i < contact->set->definitions->ncells; i++)
		if (contact->cells[i].known && contact->cells[i].spans != NULL)
			take_unclear(contact, i, openings);
}

/* The ranges of the log to read: contact, kind, first and last time. */
static void
get_ranges(const Openings *openings, Datum *values)
{
	static const Oid types[] = {INT8OID, TEXTOID, TIMESTAMPTZOID,
								TIMESTAMPTZOID};
	MaColumns *columns = ma_columns_new(openings->n, lengthof(types), types);

	for (int i = 0; i < openings->n; i++)
	{
		const Opening *opening = &openings->each[i];
		MaContact	  *contact = opening->contact;

		ma_columns_add(columns, 0, Int64GetDatum(contact->id));
		ma_columns_add_text(
			columns, 1,
			contact->set->definitions->cells[opening->cell].def.kind);
		ma_columns_add(columns, 2, TimestampTzGetDatum(opening->span.first));
		ma_columns_add(columns, 3, TimestampTzGetDatum(opening->span.last));
	}
	for (int i = 0; i < lengthof(types); i++)
		values[i] = ma_column_array(&columns->columns[i]);
}

/* Makes a row of the log an entry of the cell whose span it was in. */
static void
enter_row(const Openings *openings, HTAB *noted, HeapTuple row, TupleDesc desc)
{
	bool	 isnull;
	MaEvent	 event = {0};
	Opening *opening =
		&openings
			 ->each[DatumGetInt64(SPI_getbinval(row, desc, 1, &isnull)) - 1];
	MaContact *contact = opening->contact;

	event.contact_id = contact->id;
	event.kind = contact->set->definitions->cells[opening->cell].def.kind;
	event.occurred_at =
		DatumGetTimestampTz(SPI_getbinval(row, desc, 2, &isnull));
	event.properties = DatumGetJsonbP(SPI_getbinval(row, desc, 3, &isnull));
	event.event_id = DatumGetInt64(SPI_getbinval(row, desc, 4, &isnull));
	if (!ma_replay_is_noted(noted, &event))
		opening->found += ma_fold_again(contact, opening->cell, &event);
}

/* Reads the events of what is opened. */
static void
read_events(const Openings *openings, HTAB *noted)
{
	static MaStatement stmt = {
		"select k.i, e.occurred_at, e.properties, e.event_id"
		" from unnest($1, $2, $3, $4)"
		" with ordinality k (contact_id, kind, first, last, i)"
		" cross join lateral (select * from mautomate.event e"
		" where e.contact_id = k.contact_id and e.kind = k.kind"
		" and e.occurred_at between k.first and k.last offset 0) e",
		4,
		{INT8ARRAYOID, TEXTARRAYOID, TIMESTAMPTZARRAYOID,
		 TIMESTAMPTZARRAYOID}};
	MemoryContext cxt = AllocSetContextCreate(
		CurrentMemoryContext, "mautomate spans", ALLOCSET_DEFAULT_SIZES);
	Datum	   values[4];
	MaSqlScope scope;
	Portal	   portal;

	get_ranges(openings, values);
	ma_sql_begin(&scope);
	portal = ma_sql_open(&stmt, values);
	do
	{
		MemoryContext old;

		SPI_cursor_fetch(portal, true, LOG_ROWS);
		old = MemoryContextSwitchTo(cxt);
		for (uint64 i = 0; i < SPI_processed; i++)
		{
			CHECK_FOR_INTERRUPTS();
			enter_row(openings, noted, SPI_tuptable->vals[i],
					  SPI_tuptable->tupdesc);
		}
		MemoryContextSwitchTo(old);
		MemoryContextReset(cxt);
		SPI_freetuptable(SPI_tuptable);
	} while (SPI_processed > 0);
	SPI_cursor_close(portal);
	ma_sql_end(&scope);
	MemoryContextDelete(cxt);
}

/* Brings opened cells in order; those that do not agree with the log go. */
static void
settle_opened(const Openings *openings)
{
	for (int i = 0; i < openings->n; i++)
	{
		const Opening *opening = &openings->each[i];
		MaContact	  *contact = opening->contact;
		MaCell		  *cell = &contact->cells[opening->cell];

		ma_cell_settle(&contact->set->definitions->cells[opening->cell].def,
					   cell);
		if (opening->found == opening->span.count)
			continue;
		cell->known = false;
		contact->lacking = true;
	}
}

/* Opens what was found in a set. */
static void
open_found(MaRun *run, MaContactSet *set, const Openings *openings)
{
	PushActiveSnapshot(IsolationUsesXactSnapshot() ? GetTransactionSnapshot() :
													 GetLatestSnapshot());
	read_events(openings, ma_replay_noted(run, set));
	PopActiveSnapshot();
	settle_opened(openings);
}

/*
 * Opens, before a run folds anything, the spans of contacts for whom steps
 * in between are to be done as of instants of their own, and all that
 * something leaves up to now; with run->peek all. What does not agree with
 * the log is not known any more: ma_fold_from_log() has to follow.
 */
void
ma_open_first(MaRun *run, MaContactSet *set)
{
	Openings openings = {.all = run->peek};

	for (int i = 0; i < set->n; i++)
	{
		MaContact *contact = set->contacts[i];

		if (!contact->summed ||
			(!run->peek && !run->works[0].noted && contact->followed == NULL))
			continue;
		openings.from = contact->as_of;
		openings.to = Max(contact->as_of, run->now);
		find_openings(contact, &openings);
	}
	if (openings.n > 0)
		open_found(run, set, &openings);
}

/* Makes spans of what is many and leaves later; asked next at `now`. */
static void
compact(MaContact *contact, TimestampTz now)
{
	MaDefinitions *definitions = contact->set->definitions;
	MemoryContext  old = MemoryContextSwitchTo(ma_room(contact));

	for (int i = 0; i < definitions->ncells; i++)
	{
		MaCell *cell = &contact->cells[i];

		if (!cell->known || definitions->cells[i].def.nedges == 0)
			continue;
		ma_cell_prune(&definitions->cells[i].def, cell, now);
		contact->summed |= cell->spans != NULL;
	}
	MemoryContextSwitchTo(old);
}

/*
 * Opens the spans of a contact that something leaves after `from` up to `to`,
 * which is the next instant at which it is asked. Nothing of the run is
 * folded yet, but what was read anew.
 */
void
ma_open_next(MaRun *run, MaContact *contact, TimestampTz from, TimestampTz to)
{
	Openings	 openings = {.from = from, .to = to};
	MaContactSet one = *contact->set;

	if (run->peek)
		return;
	if (!contact->summed)
	{
		compact(contact, to);
		return;
	}
	find_openings(contact, &openings);
	if (openings.n == 0)
		return;
	one.n = 1;
	one.contacts = &contact;
	ma_room_enter(contact);
	open_found(run, &one, &openings);
	ma_fold_from_log(run, &one, to);
	compact(contact, to);
	ma_room_renew(contact);
}
