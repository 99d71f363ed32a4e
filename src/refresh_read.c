/*
 * refresh_read.c
 *	  Fold from the log what states lack.
 *
 * What a state does not know, since it is new, or asked about by new
 * definitions, is folded from all events of its contact, a contact after the
 * other. Where they are many they are summed up every so many (refresh_room.c).
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "batch.h"
#include "compat.h"
#include "guc.h"
#include "refresh_private.h"
#include "sql.h"

/* Rows of the log read at a time. */
#define LOG_ROWS 1000

/*
 * The transaction that last read the log here, and the first command whose
 * events it did not see.
 */
static LocalTransactionId read_in = InvalidLocalTransactionId;
static CommandId		  read_before;

/* Where the reading of the log is. */
typedef struct Reading
{
	MaRun	   *run;
	TimestampTz at;		 /* as of when the contacts are asked first */
	MaContact  *contact; /* whose row came last; or NULL */
	int64		rows;	 /* so many of them */
} Reading;

/* Which contacts lack cells, and of which kinds; empties these cells. */
static ArrayType *
contacts_to_read(MaContactSet *set, Bitmapset **kinds)
{
	MaDefinitions *definitions = set->definitions;
	Datum		  *ids = palloc((set->n + 1) * sizeof(Datum));
	int			   n = 0;

	for (int i = 0; i < set->n; i++)
	{
		MaContact *contact = set->contacts[i];
		bool	   lacks = false;

		if (!contact->lacking)
			continue;
		contact->lacking = false;
		for (int j = 0; j < definitions->nkinds; j++)
			for (int k = 0; k < definitions->kinds[j].ncells; k++)
			{
				int cell = definitions->kinds[j].cells[k];

				if (contact->cells[cell].known)
					continue;
				ma_cell_reset(&contact->cells[cell]);
				contact->reading = bms_add_member(contact->reading, cell);
				*kinds = bms_add_member(*kinds, j);
				lacks = true;
			}
		if (!lacks)
			continue;
		contact->rebuilt = bms_add_members(contact->rebuilt, contact->reading);
		contact->changed = true;
		contact->woken = bms_add_range(
			contact->woken, 0, definitions->nlists + definitions->nscores - 1);
		ids[n++] = Int64GetDatum(contact->id);
	}
	return construct_array(ids, n, INT8OID, sizeof(int64), true,
						   TYPALIGN_DOUBLE);
}

/* The names of kinds as a text array. */
static ArrayType *
kind_names(MaDefinitions *definitions, Bitmapset *kinds)
{
	Datum *names = palloc((bms_num_members(kinds) + 1) * sizeof(Datum));
	int	   n = 0;
	int	   kind = -1;

	while ((kind = bms_next_member(kinds, kind)) >= 0)
		names[n++] = CStringGetTextDatum(definitions->kinds[kind].kind);
	return construct_array(names, n, TEXTOID, -1, false, TYPALIGN_INT);
}

/* Is the event one that is about to be folded as news? */
bool
ma_fold_is_coming(const MaContact *contact, int64 event_id)
{
	int low = 0;
	int high = contact->ncoming - 1;

	while (low <= high)
	{
		int middle = (low + high) / 2;

		if (contact->coming[middle].event_id == event_id)
			return true;
		if (contact->coming[middle].event_id < event_id)
			low = middle + 1;
		else
			high = middle - 1;
	}
	return false;
}

/*
 * Folds a row of the log, unless it is noted, into the cells read anew.
 * Returns whose it is.
 */
static MaContact *
fold_row(MaContactSet *set, HTAB *noted, HeapTuple row, TupleDesc desc)
{
	bool	   isnull;
	MaEvent	   event = {0};
	MaContact *contact;

	event.contact_id = DatumGetInt64(SPI_getbinval(row, desc, 1, &isnull));
	event.kind = TextDatumGetCString(SPI_getbinval(row, desc, 2, &isnull));
	event.occurred_at =
		DatumGetTimestampTz(SPI_getbinval(row, desc, 3, &isnull));
	event.properties = DatumGetJsonbP(SPI_getbinval(row, desc, 4, &isnull));
	event.event_id = DatumGetInt64(SPI_getbinval(row, desc, 5, &isnull));
	contact = ma_contact_find(set, event.contact_id);
	if (ma_replay_is_noted(noted, &event) ||
		ma_fold_is_coming(contact, event.event_id))
		return contact;
	ma_fold_read(contact, &event);
	return contact;
}

/* Brings the cells that were read anew in order. */
static void
settle_read(MaContactSet *set)
{
	for (int i = 0; i < set->n; i++)
	{
		MaContact *contact = set->contacts[i];
		int		   cell = -1;

		while ((cell = bms_next_member(contact->reading, cell)) >= 0)
			ma_cell_settle(&set->definitions->cells[cell].def,
						   &contact->cells[cell]);
		contact->reading = NULL;
	}
}

/*
 * Sums up what was read so far of a contact who is asked first at an instant,
 * or, if there is none, at what its work says. Who is asked at instants that
 * time alone does not lead to, is asked up to now.
 */
static void
sum_up_read(MaRun *run, MaContact *contact, TimestampTz at)
{
	MemoryContext old;
	MaWork		 *work = bsearch(&contact->id, run->works, run->nworks,
								 sizeof(MaWork), ma_batch_compare_ids);
	TimestampTz	  to;

	if (run->peek)
		return;
	if (at == DT_NOBEGIN)
		at = ma_refresh_first_asked(run, contact, work);
	to = work->noted || contact->followed != NULL ?
			 Max(contact->as_of, run->now) :
			 at;
	ma_room_sum_up(contact, contact->reading, at, to);
	contact->clear_at = at;
	old = MemoryContextSwitchTo(contact->set->cxt);
	contact->clear = bms_add_members(contact->clear, contact->reading);
	MemoryContextSwitchTo(old);
}

/* Has this transaction read the log? */
bool
ma_fold_has_read(void)
{
	return read_in == ma_local_transaction();
}

/* Has it, since this command of its own? */
bool
ma_fold_has_read_command(CommandId command)
{
	return ma_fold_has_read() && command < read_before;
}

/* Notes that a row of a contact has been read; NULL: the last one was. */
static void
pass_row(Reading *reading, MaContact *contact)
{
	if (contact != reading->contact)
	{
		if (reading->contact != NULL && reading->contact->room != NULL)
			sum_up_read(reading->run, reading->contact, reading->at);
		reading->contact = contact;
		reading->rows = 0;
	}
	if (contact == NULL)
		return;
	if (++reading->rows == ma_guc_window_entries)
		ma_room_enter(contact); /* the others may be many */
	else if (reading->rows % ma_room_events() == 0)
		sum_up_read(reading->run, contact, reading->at);
}

/*
 * Folds from the log what the loaded contacts lack, but for what is noted
 * (deferred.c), under a fresh snapshot: it is taken after the locks, so what
 * others committed is in it. The events of the work are passed over, unless
 * all is rebuilt: time passes up to now before they are folded. They are asked
 * first at an instant, or, if it is the beginning, at what their works say.
 */
void
ma_fold_from_log(MaRun *run, MaContactSet *set, TimestampTz at)
{
	static MaStatement stmt = {
		"select e.contact_id, e.kind, e.occurred_at, e.properties, e.event_id"
		" from unnest($1) as id cross join lateral (select *"
		" from mautomate.event where contact_id = id and kind = any ($2)"
		" offset 0) e",
		2,
		{INT8ARRAYOID, TEXTARRAYOID}};
	MaSqlScope	  scope;
	Bitmapset	 *kinds = NULL;
	Datum		  values[2];
	Portal		  portal;
	HTAB		 *noted;
	Reading		  reading = {.run = run, .at = at};
	MemoryContext cxt;

	values[0] = PointerGetDatum(contacts_to_read(set, &kinds));
	if (kinds == NULL)
		return;
	values[1] = PointerGetDatum(kind_names(run->definitions, kinds));
	PushActiveSnapshot(IsolationUsesXactSnapshot() ? GetTransactionSnapshot() :
													 GetLatestSnapshot());
	noted = ma_replay_noted(run, set);
	ma_sql_begin(&scope);
	portal = ma_sql_open(&stmt, values);
	read_in = ma_local_transaction();
	read_before = GetCurrentCommandId(false);
	cxt = AllocSetContextCreate(CurrentMemoryContext, "mautomate log",
								ALLOCSET_DEFAULT_SIZES);
	do
	{
		MemoryContext old;

		SPI_cursor_fetch(portal, true, LOG_ROWS);
		old = MemoryContextSwitchTo(cxt);
		for (uint64 i = 0; i < SPI_processed; i++)
		{
			CHECK_FOR_INTERRUPTS();
			pass_row(&reading, fold_row(set, noted, SPI_tuptable->vals[i],
										SPI_tuptable->tupdesc));
		}
		MemoryContextSwitchTo(old);
		MemoryContextReset(cxt);
		SPI_freetuptable(SPI_tuptable);
	} while (SPI_processed > 0);
	SPI_cursor_close(portal);
	ma_sql_end(&scope);
	PopActiveSnapshot();
	pass_row(&reading, NULL);
	settle_read(set);
}
