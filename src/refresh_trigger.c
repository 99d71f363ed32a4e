/*
 * refresh_trigger.c
 *	  Statement triggers on events and contacts: from rows to work.
 *
 * The transition rows of a statement are sorted by contact and handed to the
 * engine in chunks of contacts. A small statement is sorted in memory, a
 * large one (COPY) by tuplesort, which spills to disk: memory stays flat.
 */
#include "postgres.h"

#include "access/tupconvert.h"
#include "access/xact.h"
#include "catalog/pg_operator_d.h"
#include "catalog/pg_type_d.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/tuplesort.h"

#include "batch.h"
#include "guc.h"
#include "refresh_private.h"
#include "sql.h"
#include "vocabulary.h"

PG_FUNCTION_INFO_V1(mautomate_event_changed);
PG_FUNCTION_INFO_V1(mautomate_contact_changed);

/* Contacts and rows that go through the engine together. */
#define CHUNK_CONTACTS 1000
#define CHUNK_ROWS	   20000

/* More rows than this are sorted by tuplesort. */
#define SORT_IN_MEMORY 10000

/* Rows of this many bytes likewise; and so much is taken in one chunk. */
#define CHUNK_BYTES (16 * 1024 * 1024)

/* Columns of mautomate.event. */
enum
{
	EVENT_CONTACT_ID,
	EVENT_KIND,
	EVENT_OCCURRED_AT,
	EVENT_EVENT_ID,
	EVENT_PROPERTIES
};

/* Events on their way to the engine, contact by contact. */
typedef struct EventStream
{
	MaDefinitions *definitions;
	Relation	   log; /* mautomate.event */
	MemoryContext  cxt; /* of the chunk under way */
	bool		   silent;
	bool		   rebuild; /* they may have been folded already */
	int			   nevents;
	int			   maxevents;
	MaEvent		  *events;
	Size		   bytes;			  /* of their properties */
	char		   kind[NAMEDATALEN]; /* the kind asked about last */
	bool		   watched;			  /* and the answer */
} EventStream;

/* Called as a trigger? Returns the data. */
static TriggerData *
trigger_data(FunctionCallInfo fcinfo, const char *name)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" must be called as a trigger", name)));
	return (TriggerData *) fcinfo->context;
}

/* Does the session leave the work to the background? */
static bool
is_deferred(void)
{
	return ma_guc_refresh == MA_REFRESH_DEFERRED;
}

/* Does the works about contacts, or notes them. */
static void
refresh_or_note(MaWork *works, int n)
{
	if (is_deferred())
		ma_note_contacts(works, n);
	else
		ma_refresh_chunks(works, n, ma_refresh_is_silent());
}

/* Is a text this string? */
static bool
is_same(const text *value, const char *name)
{
	size_t length = VARSIZE_ANY_EXHDR(value);

	return strncmp(name, VARDATA_ANY(value), length) == 0 &&
		   name[length] == '\0';
}

/*
 * Does any definition ask about events of this kind? Refuses it where it is
 * reserved, and not for this user.
 */
static bool
is_watched(EventStream *stream, text *kind)
{
	int length = VARSIZE_ANY_EXHDR(kind);

	if (length >= NAMEDATALEN || !is_same(kind, stream->kind))
	{
		char *name = stream->kind;

		if (length >= NAMEDATALEN)
			name = text_to_cstring(kind);
		else
		{
			memcpy(name, VARDATA_ANY(kind), length);
			name[length] = '\0';
		}
		stream->watched =
			ma_definition_kind(stream->definitions, name) != NULL ||
			(!stream->silent && ma_entry_watches(stream->definitions, name));
		if (ma_apply_is_inserting())
			stream->watched = stream->watched && !ma_vocabulary_reserved(name);
		else
			ma_reserved_check(stream->log, name, length);
		if (name != stream->kind)
		{
			stream->kind[0] = '\0';
			pfree(name);
		}
	}
	return stream->watched;
}

/* The kind of a new event: that of the one before, if it is the same. */
static const char *
kind_of(const EventStream *stream, Datum value)
{
	text *kind = DatumGetTextPP(value);

	if (stream->nevents > 0 &&
		is_same(kind, stream->events[stream->nevents - 1].kind))
		return stream->events[stream->nevents - 1].kind;
	return text_to_cstring(kind);
}

/* Copies a row into an event of the chunk. */
static void
add_event(EventStream *stream, TupleTableSlot *slot)
{
	MemoryContext old = MemoryContextSwitchTo(stream->cxt);
	MaEvent		 *event;

	stream->events = ma_run_grow(stream->events, stream->nevents,
								 &stream->maxevents, sizeof(MaEvent));
	event = &stream->events[stream->nevents];
	event->contact_id = DatumGetInt64(slot->tts_values[EVENT_CONTACT_ID]);
	event->kind = kind_of(stream, slot->tts_values[EVENT_KIND]);
	event->occurred_at =
		DatumGetTimestampTz(slot->tts_values[EVENT_OCCURRED_AT]);
	event->event_id = DatumGetInt64(slot->tts_values[EVENT_EVENT_ID]);
	event->properties = DatumGetJsonbPCopy(slot->tts_values[EVENT_PROPERTIES]);
	stream->bytes += VARSIZE(event->properties);
	event->nth = 0;
	stream->nevents++;
	MemoryContextSwitchTo(old);
}

static int
compare_events(const void *a, const void *b)
{
	const MaEvent *x = a;
	const MaEvent *y = b;

	if (x->contact_id != y->contact_id)
		return x->contact_id < y->contact_id ? -1 : 1;
	return (x->event_id > y->event_id) - (x->event_id < y->event_id);
}

/* Forgets the collected events. */
static void
forget_events(EventStream *stream)
{
	MemoryContextReset(stream->cxt);
	stream->events = NULL;
	stream->nevents = stream->maxevents = 0;
	stream->bytes = 0;
}

/* Hands the collected events, sorted, to the engine and forgets them. */
static void
flush_events(EventStream *stream)
{
	MemoryContext old = MemoryContextSwitchTo(stream->cxt);
	int			  most = Min(stream->nevents, SORT_IN_MEMORY);
	MaWork		 *works = palloc0((most + 1) * sizeof(MaWork));
	int			  n = 0;

	StaticAssertStmt(CHUNK_CONTACTS <= SORT_IN_MEMORY, "contacts of a chunk");
	for (int i = 0; i < stream->nevents; i++)
	{
		if (n == 0 || works[n - 1].contact_id != stream->events[i].contact_id)
		{
			works[n].contact_id = stream->events[i].contact_id;
			works[n].events = &stream->events[i];
			works[n].rebuild = stream->rebuild;
			works[n].news = !stream->rebuild;
			works[n++].list_id = -1;
		}
		works[n - 1].nevents++;
	}
	if (n > 0)
		ma_refresh_chunks(works, n, stream->silent);
	MemoryContextSwitchTo(old);
	forget_events(stream);
}

/* All rows of a small statement; false, and nothing done, if it is not. */
static bool
stream_in_memory(EventStream *stream, Tuplestorestate *rows,
				 TupleTableSlot *slot)
{
	if (tuplestore_tuple_count(rows) > SORT_IN_MEMORY)
		return false;
	while (tuplestore_gettupleslot(rows, true, false, slot))
	{
		slot_getallattrs(slot);
		if (is_watched(stream, DatumGetTextPP(slot->tts_values[EVENT_KIND])))
			add_event(stream, slot);
		if (stream->bytes > CHUNK_BYTES)
		{
			forget_events(stream);
			tuplestore_rescan(rows);
			return false;
		}
	}
	qsort(stream->events, stream->nevents, sizeof(MaEvent), compare_events);
	flush_events(stream);
	return true;
}

/* The rows of a large one, sorted outside memory. */
static void
stream_sorted(EventStream *stream, Tuplestorestate *rows, TupleTableSlot *slot,
			  TupleDesc desc)
{
	AttrNumber		columns[] = {EVENT_CONTACT_ID + 1, EVENT_EVENT_ID + 1};
	Oid				operators[] = {Int8LessOperator, Int8LessOperator};
	Oid				collations[] = {InvalidOid, InvalidOid};
	bool			nulls_first[] = {false, false};
	Tuplesortstate *sort =
		tuplesort_begin_heap(desc, 2, columns, operators, collations,
							 nulls_first, work_mem, NULL, TUPLESORT_NONE);
	int64 last = 0;
	int	  contacts = 0;

	while (tuplestore_gettupleslot(rows, true, false, slot))
	{
		CHECK_FOR_INTERRUPTS();
		slot_getallattrs(slot);
		if (is_watched(stream, DatumGetTextPP(slot->tts_values[EVENT_KIND])))
			tuplesort_puttupleslot(sort, slot);
	}
	tuplesort_performsort(sort);
	while (tuplesort_gettupleslot(sort, true, false, slot, NULL))
	{
		int64 id;

		CHECK_FOR_INTERRUPTS();
		slot_getallattrs(slot);
		id = DatumGetInt64(slot->tts_values[EVENT_CONTACT_ID]);
		if (id != last &&
			(contacts >= CHUNK_CONTACTS || stream->nevents >= CHUNK_ROWS ||
			 stream->bytes >= CHUNK_BYTES))
		{
			flush_events(stream);
			contacts = 0;
		}
		if (id != last)
			contacts++;
		last = id;
		add_event(stream, slot);
	}
	tuplesort_end(sort);
	flush_events(stream);
}

/* The rows of a statement, in memory of their own. */
static void
stream_many(EventStream *stream, Tuplestorestate *rows, TupleTableSlot *slot,
			TupleDesc desc)
{
	stream->cxt = AllocSetContextCreate(
		CurrentMemoryContext, "mautomate events", ALLOCSET_DEFAULT_SIZES);
	if (!stream_in_memory(stream, rows, slot))
		stream_sorted(stream, rows, slot, desc);
	MemoryContextDelete(stream->cxt);
}

/*
 * Has the log been read between the statement that inserted these rows and
 * this trigger, by another trigger of the statement or by one that came
 * first? Then they are folded, who knows into which contacts.
 */
static bool
were_read(Tuplestorestate *rows, TupleTableSlot *slot)
{
	static MaStatement stmt = {
		"select cmin from mautomate.event where contact_id = $1"
		" and kind = $2 and occurred_at = $3 and event_id = $4",
		4,
		{INT8OID, TEXTOID, TIMESTAMPTZOID, INT8OID}};
	MaSqlScope scope;
	CommandId  command = 0; /* a row that is gone: long ago */
	bool	   isnull;

	if (!ma_fold_has_read() ||
		!tuplestore_gettupleslot(rows, true, false, slot))
		return false;
	slot_getallattrs(slot);
	ma_sql_begin(&scope);
	if (ma_sql_exec(&stmt, slot->tts_values, NULL, 1) > 0)
		command = DatumGetCommandId(ma_sql_datum(0, 1, &isnull));
	ma_sql_end(&scope);
	ExecClearTuple(slot);
	tuplestore_rescan(rows);
	return ma_fold_has_read_command(command);
}

/* The one row of a statement: the memory of the trigger will do. */
static void
stream_one(EventStream *stream, Tuplestorestate *rows, TupleTableSlot *slot)
{
	MaWork work = {.nevents = 1, .rebuild = stream->rebuild, .list_id = -1};

	if (!tuplestore_gettupleslot(rows, true, false, slot))
		return;
	slot_getallattrs(slot);
	if (!is_watched(stream, DatumGetTextPP(slot->tts_values[EVENT_KIND])))
		return;
	stream->cxt = CurrentMemoryContext;
	add_event(stream, slot);
	if (!stream->rebuild && ma_refresh_quick(stream->events, stream->silent))
		return;
	work.contact_id = stream->events->contact_id;
	work.events = stream->events;
	(void) ma_refresh_run(&work, 1, stream->silent, false);
}

/* Events were inserted. */
static void
events_inserted(TriggerData *trigdata)
{
	TupleDesc		desc = RelationGetDescr(trigdata->tg_relation);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	EventStream		stream = {.log = trigdata->tg_relation};

	stream.definitions = ma_definitions();
	stream.silent = ma_refresh_is_silent();
	stream.rebuild = were_read(trigdata->tg_newtable, slot);
	if (tuplestore_tuple_count(trigdata->tg_newtable) == 1)
		stream_one(&stream, trigdata->tg_newtable, slot);
	else
		stream_many(&stream, trigdata->tg_newtable, slot, desc);
	ExecDropSingleTupleTableSlot(slot);
}

/* The first column (contact_id) of all rows, appended to ids. */
static int
collect_ids(Tuplestorestate *rows, TupleDesc desc, int64 **ids, int n)
{
	TupleTableSlot *slot;
	int				max = n;
	bool			isnull;

	if (rows == NULL)
		return n;
	slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	while (tuplestore_gettupleslot(rows, true, false, slot))
	{
		CHECK_FOR_INTERRUPTS();
		*ids = ma_run_grow(*ids, n, &max, sizeof(int64));
		(*ids)[n++] = DatumGetInt64(slot_getattr(slot, 1, &isnull));
	}
	ExecDropSingleTupleTableSlot(slot);
	return n;
}

/* Events were inserted, to be folded later. */
static void
events_deferred(TriggerData *trigdata)
{
	TupleDesc desc = RelationGetDescr(trigdata->tg_relation);
	int64	 *ids = NULL;

	if (ma_fold_has_read())
	{
		TupleTableSlot *slot =
			MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);

		if (were_read(trigdata->tg_newtable, slot))
		{
			int n = collect_ids(trigdata->tg_newtable, desc, &ids, 0);

			ma_note_rebuild(ids, ma_batch_sort_ids(ids, n));
			tuplestore_rescan(trigdata->tg_newtable);
		}
		ExecDropSingleTupleTableSlot(slot);
	}
	ma_note_events(trigdata);
}

/*
 * Statement trigger on mautomate.event. Inserted rows are folded; after an
 * UPDATE or DELETE the contacts concerned are folded anew from the log, after
 * a TRUNCATE all of them, under the rule of silence. Or all that is noted.
 * Events of reserved kinds are refused from ordinary users.
 */
Datum
mautomate_event_changed(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = trigger_data(fcinfo, "event_changed");
	TupleDesc	 desc = RelationGetDescr(trigdata->tg_relation);
	int64		*ids = NULL;
	int			 n;

	if (ma_refresh_looks_away())
		return PointerGetDatum(NULL);
	if (!ma_apply_is_inserting())
		ma_evaluate_forget_errors(); /* a statement of its own */
	if (TRIGGER_FIRED_BY_INSERT(trigdata->tg_event))
	{
		if (ma_restore_is_under_way(trigdata))
			ma_restore_note(trigdata, true);
		else if (!is_deferred())
			events_inserted(trigdata);
		else if (!ma_apply_is_inserting())
			events_deferred(trigdata);
	}
	else if (TRIGGER_FIRED_BY_TRUNCATE(trigdata->tg_event))
	{
		ma_replay_forget();
		if (is_deferred())
			ma_note_rebuild_all();
		else
			ma_refresh_everybody(true);
	}
	else
	{
		if (TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event))
			ma_reserved_check_update(trigdata);
		n = collect_ids(trigdata->tg_oldtable, desc, &ids, 0);
		n = collect_ids(trigdata->tg_newtable, desc, &ids, n);
		n = ma_batch_sort_ids(ids, n);
		if (n > 0 && is_deferred())
			ma_note_rebuild(ids, n);
		else if (n > 0)
		{
			ma_refresh_contacts(ids, n, true);
			if (TRIGGER_FIRED_BY_DELETE(trigdata->tg_event))
				ma_replay_deleted(ids, n);
		}
	}
	return PointerGetDatum(NULL);
}

/* Some new contacts get a state, and the lists they are in from the start. */
static void
begin_contacts(const int64 *ids, int n)
{
	static MaStatement stmt = {
		"insert into mautomate_internal.contact_state (contact_id)"
		" select * from unnest($1) order by 1 on conflict do nothing",
		1,
		{INT8ARRAYOID}};
	Datum	  *values = palloc(n * sizeof(Datum));
	MaWork	  *works = palloc0(n * sizeof(MaWork));
	MaSqlScope scope;
	Datum	   array;

	for (int i = 0; i < n; i++)
	{
		values[i] = Int64GetDatum(ids[i]);
		works[i].contact_id = ids[i];
		works[i].fresh = true;
		works[i].list_id = -1;
	}
	array = PointerGetDatum(construct_array(values, n, INT8OID, sizeof(int64),
											true, TYPALIGN_DOUBLE));
	ma_sql_begin(&scope);
	ma_sql_exec(&stmt, &array, NULL, 0);
	ma_sql_end(&scope);
	refresh_or_note(works, n);
	pfree(DatumGetPointer(array));
	pfree(values);
	pfree(works);
}

/* Contacts were inserted. */
static void
contacts_inserted(TriggerData *trigdata)
{
	int64 *ids = NULL;
	int	   n = collect_ids(trigdata->tg_newtable,
						   RelationGetDescr(trigdata->tg_relation), &ids, 0);

	n = ma_batch_sort_ids(ids, n);
	for (int start = 0; start < n; start += CHUNK_CONTACTS)
		begin_contacts(ids + start, Min(CHUNK_CONTACTS, n - start));
}

/* Is a column the same in two rows? */
static bool
same_column(TupleTableSlot *a, TupleTableSlot *b, int attnum)
{
	Form_pg_attribute att = TupleDescAttr(a->tts_tupleDescriptor, attnum - 1);
	bool			  anull;
	bool			  bnull;
	Datum			  x = slot_getattr(a, attnum, &anull);
	Datum			  y = slot_getattr(b, attnum, &bnull);

	if (anull || bnull)
		return anull == bnull;
	return datumIsEqual(x, y, att->attbyval, att->attlen);
}

/* The consumers that read an attribute in which two rows differ. */
static Bitmapset *
consumers_of_change(MaDefinitions *definitions, TupleDesc desc,
					TupleTableSlot *before, TupleTableSlot *after)
{
	Bitmapset *consumers = NULL;

	for (int i = 0; i < definitions->nattributes; i++)
	{
		MaAttributeUse *use = &definitions->attributes[i];
		const char	   *column =
			ma_vocabulary_column(use->name) >= 0 ? use->name : "attributes";

		if (!same_column(before, after, SPI_fnumber(desc, column)))
			consumers = bms_add_members(consumers, use->consumers);
	}
	return consumers;
}

static char *
text_column(TupleTableSlot *slot, TupleDesc desc, const char *column)
{
	bool  isnull;
	Datum value = slot_getattr(slot, SPI_fnumber(desc, column), &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

/* What an UPDATE of a contact asks the engine to do; false if nothing. */
static bool
work_of_update(MaDefinitions *definitions, TupleDesc desc,
			   TupleTableSlot *before, TupleTableSlot *after, MaWork *work)
{
	bool isnull;

	memset(work, 0, sizeof(MaWork));
	work->contact_id = DatumGetInt64(slot_getattr(after, 1, &isnull));
	work->list_id = -1;
	if (DatumGetInt64(slot_getattr(before, 1, &isnull)) != work->contact_id)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("contact_id of a contact cannot be updated"),
						errhint("alias() merges two contacts.")));
	work->woken = consumers_of_change(definitions, desc, before, after);
	if (!same_column(before, after, SPI_fnumber(desc, "stage")))
	{
		work->stage = text_column(after, desc, "stage");
		work->previous = text_column(before, desc, "stage");
	}
	ma_record_changes(definitions, before, after, work);
	return work->woken != NULL || work->stage != NULL || work->nrecords > 0;
}

static int
compare_works(const void *a, const void *b)
{
	return ma_batch_compare_ids(&((const MaWork *) a)->contact_id,
								&((const MaWork *) b)->contact_id);
}

/*
 * Drops what the engine keeps of contacts that are gone. Their timers find
 * nobody when they are due, and end.
 */
static void
forget(int64 *ids, int n)
{
	static MaStatement stmts[] = {
		{"delete from mautomate_internal.list_member"
		 " where ctid = any (array(select x.ctid"
		 " from mautomate_internal.list l, unnest($1) as id,"
		 " lateral (select m.ctid from mautomate_internal.list_member m"
		 " where m.list_id = l.list_id and m.contact_id = id offset 0) x))",
		 1,
		 {INT8ARRAYOID}},
		{"delete from mautomate_internal.list_override"
		 " where contact_id = any ($1)",
		 1,
		 {INT8ARRAYOID}},
		{"delete from mautomate_internal.contact_score"
		 " where ctid = any (array(select x.ctid from unnest($1) as id,"
		 " lateral (select s.ctid from mautomate_internal.contact_score s"
		 " where s.contact_id = id offset 0) x))",
		 1,
		 {INT8ARRAYOID}},
		{"delete from mautomate_internal.contact_state"
		 " where ctid = any (array(select x.ctid from unnest($1) as id,"
		 " lateral (select s.ctid from mautomate_internal.contact_state s"
		 " where s.contact_id = id offset 0) x))",
		 1,
		 {INT8ARRAYOID}},
	};
	Datum	  *values = palloc((n + 1) * sizeof(Datum));
	MaSqlScope scope;
	Datum	   array;

	if (n == 0)
		return;
	for (int i = 0; i < n; i++)
		values[i] = Int64GetDatum(ids[i]);
	array = PointerGetDatum(construct_array(values, n, INT8OID, sizeof(int64),
											true, TYPALIGN_DOUBLE));
	ma_sql_begin(&scope);
	for (int i = 0; i < lengthof(stmts); i++)
		ma_sql_exec(&stmts[i], &array, NULL, 0);
	ma_sql_end(&scope);
}

/* Contacts were changed: their attributes, stage, or that they are merged. */
static void
contacts_updated(TriggerData *trigdata)
{
	TupleDesc		desc = RelationGetDescr(trigdata->tg_relation);
	MaDefinitions  *definitions = ma_definitions();
	TupleTableSlot *before =
		MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	TupleTableSlot *after =
		MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	AttrNumber merged = SPI_fnumber(desc, "merged_into");
	MaWork	  *works = NULL;
	int		   nworks = 0;
	int		   maxworks = 0;
	int64	  *gone = NULL;
	int		   ngone = 0;
	int		   maxgone = 0;

	while (
		tuplestore_gettupleslot(trigdata->tg_oldtable, true, false, before) &&
		tuplestore_gettupleslot(trigdata->tg_newtable, true, false, after))
	{
		bool isnull;

		works = ma_run_grow(works, nworks, &maxworks, sizeof(MaWork));
		(void) slot_getattr(after, merged, &isnull);
		if (!isnull)
		{
			gone = ma_run_grow(gone, ngone, &maxgone, sizeof(int64));
			gone[ngone++] = DatumGetInt64(slot_getattr(after, 1, &isnull));
		}
		else if (work_of_update(definitions, desc, before, after,
								&works[nworks]))
			nworks++;
	}
	ExecDropSingleTupleTableSlot(before);
	ExecDropSingleTupleTableSlot(after);
	qsort(works, nworks, sizeof(MaWork), compare_works);
	refresh_or_note(works, nworks);
	forget(gone, ngone);
}

/* All contacts are gone, and with them what the engine keeps. */
static void
contacts_truncated(void)
{
	static MaStatement stmt = {
		"truncate mautomate_internal.contact_state, mautomate_internal.timer,"
		" mautomate_internal.list_member, mautomate_internal.list_override,"
		" mautomate_internal.contact_score",
		0};
	MaSqlScope scope;

	ma_sql_begin(&scope);
	ma_sql_exec(&stmt, NULL, NULL, 0);
	ma_sql_end(&scope);
}

/*
 * Statement trigger on mautomate.contact: new contacts get a state, changed
 * attributes wake who reads them, deleted and merged ones leave everything.
 */
Datum
mautomate_contact_changed(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = trigger_data(fcinfo, "contact_changed");
	int64		*ids = NULL;
	int			 n;

	if (ma_refresh_looks_away())
		return PointerGetDatum(NULL);
	if (!ma_apply_is_inserting())
		ma_evaluate_forget_errors(); /* a statement of its own */
	if (TRIGGER_FIRED_BY_INSERT(trigdata->tg_event) &&
		ma_restore_is_under_way(trigdata))
		ma_restore_note(trigdata, false);
	else if (TRIGGER_FIRED_BY_INSERT(trigdata->tg_event))
		contacts_inserted(trigdata);
	else if (TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event))
		contacts_updated(trigdata);
	else if (TRIGGER_FIRED_BY_TRUNCATE(trigdata->tg_event))
		contacts_truncated();
	else
	{
		n = collect_ids(trigdata->tg_oldtable,
						RelationGetDescr(trigdata->tg_relation), &ids, 0);
		forget(ids, ma_batch_sort_ids(ids, n));
	}
	return PointerGetDatum(NULL);
}
