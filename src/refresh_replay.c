/*
 * refresh_replay.c
 *	  Catch up with what was noted under mautomate.refresh = deferred.
 *
 * The pass takes notes (deferred.c) out of the table, statement by statement
 * in their order, and does for each contact what the statements would have
 * done: one step each, as of the instant at which it was, silent where it
 * was. So lists, histories and entries are those of the immediate mode, as
 * long as nobody else brought the contact beyond that instant. Then the
 * contact is brought to the present.
 *
 * Notes that somebody else takes, and contacts that somebody else holds, are
 * never waited for: the notes of these contacts are written again. So any
 * number of sessions can do this at a time, and none waits for another. The
 * events are read once the states are locked: who deletes or changes one
 * later finds it folded. A contact is stored even if nothing about it
 * changed: a transaction with an older snapshot, to which the note is still
 * there, must not go on with the state.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type_d.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "arm.h"
#include "columns.h"
#include "deferred.h"
#include "refresh_private.h"
#include "sql.h"

/* Events that go through the engine together; and contacts. */
#define CHUNK_EVENTS   5000
#define CHUNK_CONTACTS 1000

/* Rows of notes looked at together. */
#define CHUNK_ROWS 5000

/* How an event is known: it may get another time, not another kind. */
typedef struct EventKey
{
	int64  contact_id;
	int64  event_id;
	uint64 kind_hash;
} EventKey;

/* Notes, in the order of what is to be done. */
typedef struct Notes
{
	int		n;
	int		max;
	MaNote *notes;
} Notes;

static void
add_note(Notes *notes, const MaNote *note)
{
	notes->notes =
		ma_run_grow(notes->notes, notes->n, &notes->max, sizeof(MaNote));
	notes->notes[notes->n] = *note;
	/* the row that it is read from will be gone */
	if (note->kind != NULL)
		notes->notes[notes->n].kind = pnstrdup(note->kind, note->kind_length);
	notes->n++;
}

/* By contact, then as it happened. */
static int
compare_notes(const void *a, const void *b)
{
	const MaNote *x = a;
	const MaNote *y = b;

	if (x->contact_id != y->contact_id)
		return x->contact_id < y->contact_id ? -1 : 1;
	if (x->head.statement != y->head.statement)
		return x->head.statement < y->head.statement ? -1 : 1;
	if (x->head.at != y->head.at)
		return x->head.at < y->head.at ? -1 : 1;
	return (x->event_id > y->event_id) - (x->event_id < y->event_id);
}

/* By statement: as they were written. */
static int
compare_statements(const void *a, const void *b)
{
	const MaNote *x = a;
	const MaNote *y = b;

	if (x->head.statement != y->head.statement)
		return x->head.statement < y->head.statement ? -1 : 1;
	if (x->head.silent != y->head.silent)
		return x->head.silent < y->head.silent ? -1 : 1;
	return (x->head.at > y->head.at) - (x->head.at < y->head.at);
}

/* Does a note go into the same step as the one before it? */
static bool
same_step(const MaNote *note, const MaNote *before)
{
	return note->contact_id == before->contact_id && note->event_id != 0 &&
		   before->event_id != 0 && compare_statements(note, before) == 0;
}

/* A step that does nothing yet. */
static void
init_step(MaWork *work, int64 contact_id)
{
	memset(work, 0, sizeof(MaWork));
	work->contact_id = contact_id;
	work->list_id = -1;
}

/* A step of its own for a note. */
static void
note_step(MaWork *work, const MaNote *note, MaEvent *event)
{
	init_step(work, note->contact_id);
	work->noted = true;
	work->at = note->head.at;
	work->silent = note->head.silent;
	work->events = event;
	work->wake_all = note->event_id == 0;
}

/*
 * What sorted notes ask to be done: a work for each contact, followed by
 * those after it, last by one that brings it to the present. Returns how many
 * contacts.
 */
static int
works_of(const Notes *notes, MaWork **works)
{
	MaEvent *events = palloc0((notes->n + 1) * sizeof(MaEvent));
	MaWork	*work = NULL;
	int		 n = 0;

	*works = palloc0((notes->n + 1) * sizeof(MaWork));
	for (int i = 0; i < notes->n; i++)
	{
		const MaNote *note = &notes->notes[i];
		bool first = i == 0 || note->contact_id != note[-1].contact_id;

		events[i].contact_id = note->contact_id;
		events[i].event_id = note->event_id;
		events[i].kind = note->kind;
		events[i].occurred_at = note->occurred_at;
		if (first)
			work = &(*works)[n++];
		else if (!same_step(note, note - 1))
			work = work->then = palloc(sizeof(MaWork));
		if (first || !same_step(note, note - 1))
			note_step(work, note, &events[i]);
		if (note->event_id != 0)
			work->nevents++;
		if (i + 1 == notes->n || note[1].contact_id != note->contact_id)
		{
			work->then = palloc(sizeof(MaWork));
			init_step(work->then, note->contact_id);
		}
	}
	return n;
}

/* Does any definition ask for a noted event? */
static bool
is_watched(MaRun *run, const MaWork *work, const MaEvent *event)
{
	return ma_definition_kind(run->definitions, event->kind) != NULL ||
		   (!run->silent && !work->silent &&
			ma_entry_watches(run->definitions, event->kind));
}

/* The events of a work that definitions ask for, as columns to be looked up. */
static void
collect_keys(MaRun *run, MaWork *work, MaColumns *columns, MaEvent **asked)
{
	for (int i = 0; i < work->nevents; i++)
	{
		MaEvent *event = &work->events[i];

		if (event->properties != NULL || !is_watched(run, work, event))
			continue;
		asked[ma_columns_rows(columns)] = event;
		ma_columns_add(columns, 0, Int64GetDatum(event->contact_id));
		ma_columns_add_text(columns, 1, event->kind);
		ma_columns_add(columns, 2, TimestampTzGetDatum(event->occurred_at));
		ma_columns_add(columns, 3, Int64GetDatum(event->event_id));
	}
}

/* Looks up the noted events of the loaded contacts that are not found yet. */
static void
look_up(MaRun *run, MaContactSet *set, MaStatement *stmt, int most)
{
	MaColumns *columns = ma_columns_new(
		most, 4, (const Oid[]){INT8OID, TEXTOID, TIMESTAMPTZOID, INT8OID});
	MaEvent	 **asked = palloc(most * sizeof(MaEvent *));
	MaSqlScope scope;

	for (int i = 0; i < run->nworks; i++)
		if (ma_contact_find(set, run->works[i].contact_id) != NULL)
			for (MaWork *work = &run->works[i]; work; work = work->then)
				collect_keys(run, work, columns, asked);
	if (ma_columns_rows(columns) == 0)
		return;
	ma_sql_begin(&scope);
	ma_columns_exec(stmt, columns);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool	 isnull;
		MaEvent *event = asked[DatumGetInt64(ma_sql_datum(i, 1, &isnull)) - 1];
		MemoryContext old = MemoryContextSwitchTo(run->cxt);

		event->occurred_at = DatumGetTimestampTz(ma_sql_datum(i, 2, &isnull));
		event->properties = DatumGetJsonbPCopy(ma_sql_datum(i, 3, &isnull));
		MemoryContextSwitchTo(old);
	}
	ma_sql_end(&scope);
}

/* Leaves out of a work what is not in the log, or not asked for. */
static void
drop_unknown(MaWork *work)
{
	int n = 0;

	for (int i = 0; i < work->nevents; i++)
		if (work->events[i].properties != NULL)
			work->events[n++] = work->events[i];
	work->nevents = n;
}

/*
 * Reads the noted events of the run from the log, once the states of their
 * contacts are locked. One that was given another time is found by its
 * number; one that is gone is left out.
 */
void
ma_replay_fetch(MaRun *run, MaContactSet *set)
{
	static MaStatement by_key = {
		"select k.i, e.occurred_at, e.properties from unnest($1, $2, $3, $4)"
		" with ordinality k (contact_id, kind, occurred_at, event_id, i)"
		" cross join lateral (select e.occurred_at, e.properties"
		" from mautomate.event e where e.contact_id = k.contact_id"
		" and e.kind = k.kind and e.occurred_at = k.occurred_at"
		" and e.event_id = k.event_id offset 0) e",
		4,
		{INT8ARRAYOID, TEXTARRAYOID, TIMESTAMPTZARRAYOID, INT8ARRAYOID}};
	static MaStatement by_number = {
		"select k.i, e.occurred_at, e.properties from unnest($1, $2, $3, $4)"
		" with ordinality k (contact_id, kind, occurred_at, event_id, i)"
		" cross join lateral (select e.occurred_at, e.properties"
		" from mautomate.event e where e.contact_id = k.contact_id"
		" and e.kind = k.kind and e.event_id = k.event_id offset 0) e",
		4,
		{INT8ARRAYOID, TEXTARRAYOID, TIMESTAMPTZARRAYOID, INT8ARRAYOID}};
	int most = 1;

	for (int i = 0; i < run->nworks; i++)
		for (MaWork *work = &run->works[i]; work; work = work->then)
			most += work->nevents;
	look_up(run, set, &by_key, most);
	look_up(run, set, &by_number, most);
	for (int i = 0; i < run->nworks; i++)
		for (MaWork *work = &run->works[i]; work; work = work->then)
			drop_unknown(work);
}

/* Remembers an event that is not to be folded from the log. */
static void
leave_out(HTAB *events, int64 contact_id, int64 event_id, const char *kind)
{
	EventKey key = {contact_id, event_id,
					hash_bytes((const unsigned char *) kind, strlen(kind))};

	(void) hash_search(events, &key, HASH_ENTER, NULL);
}

/*
 * The events of the loaded contacts that are noted, under the active
 * snapshot, or part of the run: a fold from the log leaves them out. NULL if
 * there are none.
 */
struct HTAB *
ma_replay_noted(MaRun *run, MaContactSet *set)
{
	HASHCTL ctl = {.keysize = sizeof(EventKey),
				   .entrysize = sizeof(EventKey),
				   .hcxt = CurrentMemoryContext};
	int64  *ids = palloc((set->n + 1) * sizeof(int64));
	int		n;
	MaNote *notes;
	HTAB   *events;

	for (int i = 0; i < set->n; i++)
		ids[i] = set->contacts[i]->id;
	notes = ma_deferred_find(ids, set->n, &n);
	if (n == 0 && (run->nworks == 0 || !run->works[0].noted))
		return NULL;
	events = hash_create("mautomate noted events", 256, &ctl,
						 HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	for (int i = 0; i < n; i++)
		if (notes[i].event_id != 0)
			leave_out(events, notes[i].contact_id, notes[i].event_id,
					  notes[i].kind);
	for (int i = 0; i < run->nworks; i++)
		for (MaWork *work = &run->works[i]; work; work = work->then)
			for (int j = 0; work->noted && j < work->nevents; j++)
				leave_out(events, work->contact_id, work->events[j].event_id,
						  work->events[j].kind);
	return events;
}

/* Is an event of the log among those that are noted? */
bool
ma_replay_is_noted(struct HTAB *noted, const MaEvent *event)
{
	EventKey key = {event->contact_id, event->event_id};

	if (noted == NULL)
		return false;
	key.kind_hash =
		hash_bytes((const unsigned char *) event->kind, strlen(event->kind));
	return hash_search(noted, &key, HASH_FIND, NULL) != NULL;
}

/*
 * Numbers for the events of a noted work as they would be had now, before
 * those of what follows from them: by its number workflows tell an event that
 * comes later. NULL where it does not matter.
 */
int64 *
ma_replay_number(MaRun *run, const MaWork *work)
{
	int64 *numbers = NULL;

	if (!work->noted || work->silent || run->entries == NULL)
		return NULL;
	for (int i = 0; i < work->nevents; i++)
	{
		if (!ma_entry_watches(run->definitions, work->events[i].kind))
			continue;
		if (numbers == NULL)
			numbers = palloc0(work->nevents * sizeof(int64));
		numbers[i] = ma_evaluate_number();
	}
	return numbers;
}

/* The events of a work with these numbers instead of their own. */
MaEvent *
ma_replay_numbered(const MaWork *work, const int64 *numbers)
{
	MaEvent *events;

	if (numbers == NULL)
		return work->events;
	events = palloc(work->nevents * sizeof(MaEvent));
	memcpy(events, work->events, work->nevents * sizeof(MaEvent));
	for (int i = 0; i < work->nevents; i++)
		if (numbers[i] != 0)
			events[i].event_id = numbers[i];
	return events;
}

/* Writes notes that were taken again. */
static void
write_again(Notes *notes)
{
	MaNoteWriter writer;

	qsort(notes->notes, notes->n, sizeof(MaNote), compare_statements);
	for (int i = 0; i < notes->n; i++)
	{
		MaNote *note = &notes->notes[i];

		if (i == 0 || compare_statements(note, note - 1) != 0)
			ma_deferred_begin(&writer, &note->head, false);
		ma_deferred_add(&writer, note);
		if (i + 1 == notes->n || compare_statements(note, note + 1) != 0)
			ma_deferred_end(&writer);
	}
}

/* Reads the rows that a statement took. */
static void
read_taken(Notes *notes, MemoryContext cxt)
{
	MemoryContext old = MemoryContextSwitchTo(cxt);

	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		 isnull;
		MaNoteHead	 head;
		MaNoteReader reader;
		MaNote		 note;
		Datum		 body;

		head.statement = DatumGetInt64(ma_sql_datum(i, 1, &isnull));
		head.at = DatumGetTimestampTz(ma_sql_datum(i, 2, &isnull));
		head.silent = DatumGetBool(ma_sql_datum(i, 3, &isnull));
		body = ma_sql_datum(i, 4, &isnull);
		if (isnull)
			break; /* nothing was taken */
		ma_deferred_read(&reader, &head, DatumGetByteaPP(body));
		while (ma_deferred_next(&reader, &note))
			add_note(notes, &note);
	}
	MemoryContextSwitchTo(old);
}

/* What a look at the table found, from a statement on. */
typedef struct Look
{
	int64 from;	  /* this one */
	int64 last;	  /* up to this one */
	int64 looked; /* so many notes, whoever takes them */
	Notes taken;  /* those that nobody else takes */
} Look;

/*
 * Takes the first notes that nobody else takes, about max of them. The log is
 * locked first: who truncates it waits for us before he waits for the notes.
 */
static void
take(Look *look, int max)
{
	static MaStatement lock = {
		"lock table mautomate.event in access share mode", 0};
	static MaStatement stmt = {
		"with first as materialized (select * from (select *,"
		" sum(n) over (order by statement, id) - n as before from"
		" (select ctid as id, statement, n from mautomate_internal.deferred"
		" where statement >= $3"
		" order by statement, ctid limit $2) x) x where before < $1),"
		" free as materialized (select ctid from mautomate_internal.deferred"
		" where ctid = any (array(select id from first))"
		" for update skip locked),"
		" gone as (delete from mautomate_internal.deferred"
		" where ctid = any (array(select ctid from free))"
		" returning statement, at, silent, body)"
		" select g.*, f.last, f.looked from (select max(statement) as last,"
		" sum(n) as looked from first) f left join gone g on true"
		" where f.looked > 0",
		3,
		{INT8OID, INT8OID, INT8OID}};
	Datum	   values[3] = {Int64GetDatum(max), Int64GetDatum(CHUNK_ROWS),
							Int64GetDatum(look->from)};
	MaSqlScope scope;
	bool	   isnull;

	memset(&look->taken, 0, sizeof(Notes));
	look->looked = 0;
	ma_sql_begin(&scope);
	ma_sql_exec(&lock, NULL, NULL, 0);
	if (ma_sql_exec(&stmt, values, NULL, 0) > 0)
	{
		look->last = DatumGetInt64(ma_sql_datum(0, 5, &isnull));
		look->looked = DatumGetInt64(ma_sql_datum(0, 6, &isnull));
		read_taken(&look->taken, scope.cxt);
	}
	ma_sql_end(&scope);
	qsort(look->taken.notes, look->taken.n, sizeof(MaNote), compare_notes);
}

/* Is a contact of works that were run held by somebody else? */
static bool
is_held(MaContactSet *set, int64 contact_id)
{
	if (ma_contact_find(set, contact_id) != NULL)
		return false;
	for (int i = 0; i < set->nmissing; i++)
		if (set->missing[i] == contact_id)
			return false;
	return true;
}

/*
 * Runs works, and puts the notes of contacts that others hold among those to
 * be written again. Returns how many notes are done.
 */
static int
replay(Notes *notes, bool silent)
{
	MaWork *works;
	int		n = works_of(notes, &works);
	Notes	again = {0};
	int		next = 0;

	for (int start = 0; start < n; start += CHUNK_CONTACTS)
	{
		int			  some = Min(CHUNK_CONTACTS, n - start);
		MaContactSet *set = ma_refresh_run(works + start, some, silent, true);

		for (int i = start; i < start + some; i++)
		{
			bool held = is_held(set, works[i].contact_id);

			for (; next < notes->n &&
				   notes->notes[next].contact_id == works[i].contact_id;
				 next++)
				if (held)
					add_note(&again, &notes->notes[next]);
		}
	}
	write_again(&again);
	return notes->n - again.n;
}

/*
 * Catches up with notes, about max of them; returns how many are done. Those
 * that others take or whose contacts they hold stay, and keep nobody else
 * waiting: it goes on behind them.
 */
int
ma_refresh_deferred(int max)
{
	MemoryContext cxt = AllocSetContextCreate(
		CurrentMemoryContext, "mautomate replay", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	Look		  look = {.from = PG_INT64_MIN};
	int			  done = 0;

	ma_evaluate_forget_errors();
	while (done < max)
	{
		int asked = Min(max - done, CHUNK_EVENTS);
		int some = 0;

		CHECK_FOR_INTERRUPTS();
		take(&look, asked);
		if (look.taken.n > 0)
			some = replay(&look.taken, !ma_armed_ever());
		done += some;
		if (look.looked < asked || look.last == PG_INT64_MAX)
			break; /* that was all */
		look.from = some > 0 ? look.last : look.last + 1;
		MemoryContextReset(cxt);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
	return done;
}

/* The rows of the table in which notes are, each once. */
static Datum
rows_of(MaNote *notes, int n)
{
	MaColumn column;

	ma_column_init(&column, TIDOID, n);
	for (int i = 0; i < n; i++)
		if (i == 0 || !ItemPointerEquals(&notes[i].row, &notes[i - 1].row))
			ma_column_add(&column, PointerGetDatum(&notes[i].row), false);
	return ma_column_array(&column);
}

/* Takes the rows of notes, and waits for who else takes them. */
static void
take_rows(Notes *taken, Datum rows)
{
	static MaStatement stmt = {
		"delete from mautomate_internal.deferred where ctid = any ($1)"
		" returning statement, at, silent, body",
		1,
		{TIDARRAYOID}};
	MaSqlScope scope;

	ma_sql_begin(&scope);
	ma_sql_exec(&stmt, &rows, NULL, 0);
	read_taken(taken, scope.cxt);
	ma_sql_end(&scope);
}

/* What is noted about contacts under a new snapshot. */
static MaNote *
find_notes(const int64 *ids, int n, int *found)
{
	MaNote *notes;

	PushActiveSnapshot(IsolationUsesXactSnapshot() ? GetTransactionSnapshot() :
													 GetLatestSnapshot());
	notes = ma_deferred_find(ids, n, found);
	PopActiveSnapshot();
	return notes;
}

/*
 * Catches up with everything that is noted about a contact, whose state the
 * caller has locked.
 */
void
ma_refresh_catch_up(int64 contact_id)
{
	MaNote *notes;
	int		n;

	while ((notes = find_notes(&contact_id, 1, &n)) != NULL)
	{
		Notes	taken = {0};
		Notes	own = {0};
		Notes	others = {0};
		MaWork *works;

		take_rows(&taken, rows_of(notes, n));
		for (int i = 0; i < taken.n; i++)
			add_note(taken.notes[i].contact_id == contact_id ? &own : &others,
					 &taken.notes[i]);
		write_again(&others);
		qsort(own.notes, own.n, sizeof(MaNote), compare_notes);
		if (works_of(&own, &works) > 0)
			(void) ma_refresh_run(works, 1, !ma_armed_ever(), false);
	}
}

/* The log is empty: notes of its events are none any more. */
void
ma_replay_forget(void)
{
	static MaStatement stmt = {"delete from mautomate_internal.deferred"
							   " returning statement, at, silent, body",
							   0};
	Notes			   taken = {0};
	Notes			   contacts = {0};
	MaSqlScope		   scope;

	ma_sql_begin(&scope);
	ma_sql_exec(&stmt, NULL, NULL, 0);
	read_taken(&taken, scope.cxt);
	ma_sql_end(&scope);
	for (int i = 0; i < taken.n; i++)
		if (taken.notes[i].event_id == 0)
			add_note(&contacts, &taken.notes[i]);
	write_again(&contacts);
}

/*
 * Events of contacts were deleted. If one of them was noted, and comes again
 * under its number before the note is gone, it would be folded twice: so such
 * contacts are looked at once more after that.
 */
void
ma_replay_deleted(const int64 *ids, int n)
{
	int found;

	if (find_notes(ids, n, &found) != NULL)
		ma_note_rebuild(ids, n);
}

/* Is a contact marked to be folded anew from the log? */
bool
ma_replay_is_dirty(int64 contact_id)
{
	static MaStatement stmt = {"select from mautomate_internal.dirty"
							   " where contact_id = $1 and rebuild",
							   1,
							   {INT8OID}};
	Datum			   value = Int64GetDatum(contact_id);
	MaSqlScope		   scope;
	bool			   dirty;

	ma_sql_begin(&scope);
	dirty = ma_sql_read(&stmt, &value, NULL, 1) > 0;
	ma_sql_end(&scope);
	return dirty;
}

/* The works for what is noted about a contact, under the active snapshot. */
MaWork *
ma_replay_works(int64 contact_id)
{
	Notes	notes = {0};
	MaWork *works;

	notes.notes = ma_deferred_find(&contact_id, 1, &notes.n);
	qsort(notes.notes, notes.n, sizeof(MaNote), compare_notes);
	return works_of(&notes, &works) > 0 ? works : NULL;
}
