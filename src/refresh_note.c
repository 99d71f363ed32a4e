/*
 * refresh_note.c
 *	  Statement triggers under mautomate.refresh = deferred: from rows to
 *	  notes.
 *
 * States are not looked at, and for events no definitions either: what it all
 * means is found out when the notes are replayed (refresh_replay.c). What
 * cannot be told then, because the rows of contacts do not say what they
 * were, becomes events at once: a new stage, and an attribute that was.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/tupmacs.h"
#include "catalog/pg_type_d.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "columns.h"
#include "deferred.h"
#include "refresh_private.h"
#include "sql.h"
#include "wake.h"

/*
 * A slot for rows of the log, kept from statement to statement: to make one
 * costs as much as to read a row. An error may have left it full, with a row
 * that is gone.
 */
static TupleTableSlot *
kept_slot(TupleDesc desc)
{
	static TupleTableSlot *slot = NULL;

	if (slot == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		slot = MakeSingleTupleTableSlot(CreateTupleDescCopy(desc),
										&TTSOpsMinimalTuple);
		MemoryContextSwitchTo(old);
	}
	slot->tts_flags = TTS_FLAG_EMPTY | TTS_FLAG_FIXED;
	return slot;
}

/*
 * The note of a row of the log. What an event is known by is never null and
 * stands first, so it is read from where it is: contact_id, kind,
 * occurred_at, event_id.
 */
static void
read_event(TupleTableSlot *slot, MaNote *note)
{
	HeapTupleHeader row = ((MinimalTupleTableSlot *) slot)->tuple->t_data;
	char		   *at = (char *) row + row->t_hoff;
	text		   *kind;

	note->contact_id = *(int64 *) at;
	at = (char *) att_align_pointer(at + sizeof(int64), TYPALIGN_INT, -1,
									at + sizeof(int64));
	kind = DatumGetTextPP(PointerGetDatum(at));
	note->kind = VARDATA_ANY(kind);
	note->kind_length = VARSIZE_ANY_EXHDR(kind);
	at = (char *) DOUBLEALIGN(at + VARSIZE_ANY(at));
	note->occurred_at = *(TimestampTz *) at;
	note->event_id = *(int64 *) (at + sizeof(TimestampTz));
}

/* Events were inserted; reserved kinds are refused as ever. */
void
ma_note_events(TriggerData *trigdata)
{
	TupleTableSlot	*slot = kept_slot(RelationGetDescr(trigdata->tg_relation));
	Tuplestorestate *rows = trigdata->tg_newtable;
	int64			 n = tuplestore_tuple_count(rows);
	MaNoteHead		 head = {.at = ma_now(), .silent = ma_refresh_is_silent()};
	MaNoteWriter	 writer;
	MaNote			 note = {0};

	for (int64 i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		(void) tuplestore_gettupleslot(rows, true, false, slot);
		read_event(slot, &note);
		ma_reserved_check(trigdata->tg_relation, note.kind, note.kind_length);
		if (i == 0)
		{
			head.statement = note.event_id;
			ma_deferred_begin(&writer, &head, true);
		}
		ma_deferred_add(&writer, &note);
	}
	if (n > 0)
	{
		ma_deferred_end(&writer);
		ma_wake_scheduler_soon();
	}
	ExecClearTuple(slot);
}

/* Writes events about contacts that changed; the trigger notes them. */
static void
write_events(const MaWork *works, int n, int nevents)
{
	static MaStatement stmt = {
		"insert into mautomate.event (contact_id, kind, properties)"
		" select contact_id, case when record is null then 'stage_changed'"
		" else 'attribute_changed' end, coalesce(record,"
		" jsonb_build_object('stage', stage, 'previous', previous))"
		" from unnest($1, $2, $3, $4) u (contact_id, record, stage, previous)",
		4,
		{INT8ARRAYOID, JSONBARRAYOID, TEXTARRAYOID, TEXTARRAYOID}};
	bool	   silent = ma_refresh_is_silent();
	MaColumns *columns = ma_columns_new(
		nevents, 4, (const Oid[]){INT8OID, JSONBOID, TEXTOID, TEXTOID});
	MaSqlScope scope;

	for (int i = 0; i < n; i++)
		for (int j = -1; j < works[i].nrecords; j++)
		{
			if (j < 0 && (silent || works[i].stage == NULL))
				continue;
			ma_columns_add(columns, 0, Int64GetDatum(works[i].contact_id));
			ma_columns_add_json(columns, 1,
								j < 0 ? NULL : works[i].records[j]);
			ma_columns_add_text(columns, 2, j < 0 ? works[i].stage : NULL);
			ma_columns_add_text(columns, 3, j < 0 ? works[i].previous : NULL);
		}
	if (ma_columns_rows(columns) == 0)
		return;
	ma_sql_begin(&scope);
	ma_columns_exec(&stmt, columns);
	ma_sql_end(&scope);
}

/* Contacts are new or were changed. */
void
ma_note_contacts(const MaWork *works, int n)
{
	MaNoteHead	 head = {.at = ma_now(), .silent = ma_refresh_is_silent()};
	MaNoteWriter writer;
	MaNote		 note = {0};
	int			 nevents = 0;

	if (n == 0)
		return;
	for (int i = 0; i < n; i++)
		nevents += works[i].nrecords + (works[i].stage != NULL);
	/* first what they were: what they are is seen by now */
	if (nevents > 0)
		write_events(works, n, nevents);
	head.statement = ma_evaluate_number();
	ma_deferred_begin(&writer, &head, false);
	for (int i = 0; i < n; i++)
	{
		note.contact_id = works[i].contact_id;
		ma_deferred_add(&writer, &note);
	}
	ma_deferred_end(&writer);
	ma_wake_scheduler_soon();
}

/* Contacts are to be folded anew from the log. */
void
ma_note_rebuild(const int64 *contact_ids, int n)
{
	static MaStatement stmt = {
		"insert into mautomate_internal.dirty (contact_id, rebuild)"
		" select *, true from unnest($1)",
		1,
		{INT8ARRAYOID}};
	MaColumns *columns = ma_columns_new(n, 1, (const Oid[]){INT8OID});
	MaSqlScope scope;

	for (int i = 0; i < n; i++)
		ma_columns_add(columns, 0, Int64GetDatum(contact_ids[i]));
	ma_sql_begin(&scope);
	ma_columns_exec(&stmt, columns);
	ma_sql_end(&scope);
	ma_wake_scheduler_soon();
}

/* All of them are. */
void
ma_note_rebuild_all(void)
{
	static MaStatement stmt = {
		"insert into mautomate_internal.dirty (contact_id, rebuild)"
		" select contact_id, true from mautomate_internal.contact_state",
		0};
	MaSqlScope scope;

	ma_sql_begin(&scope);
	ma_sql_exec(&stmt, NULL, NULL, 0);
	ma_sql_end(&scope);
	ma_wake_scheduler_soon();
}
