/*
 * deferred.c
 *	  Notes of what happened, for the engine to catch up with later.
 *
 * Under mautomate.refresh = deferred a statement on events or contacts only
 * appends notes to mautomate_internal.deferred: the keys of its events, the
 * contacts it changed, when it was, and whether it was silent. The scheduler
 * or run() take them out again and do what the statement left undone
 * (refresh_replay.c).
 *
 * What holds, for whoever has the lock on a contact's state: the state is the
 * fold of the events in the log but those that a note names. A note commits
 * together with its event, and goes in the transaction that folds the event
 * and stores the state. So a fold from the log leaves out what is noted under
 * the same snapshot, and each event is folded once, whoever comes first. An
 * event is known by its contact and number, so that it may be given another
 * time or kind meanwhile; one that was deleted leaves a note that finds
 * nothing, and that is all.
 *
 * A row holds the notes of one statement, as many as fit, one after the other
 * as differences, so COPY writes a row for some hundred events. There is no
 * index, and rows are inserted without SQL: a note costs the statement next to
 * nothing.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/hio.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "deferred.h"
#include "inval.h"
#include "signal.h"

PG_FUNCTION_INFO_V1(mautomate_deferred_contacts);

/* Bytes that a note needs besides its kind, at most. */
#define NOTE_MAX 40

/* How a note begins: with the length of a new kind, or with one of these. */
#define SAME_KIND 0
#define A_CONTACT 1
#define NEW_KIND  2

/* Columns of mautomate_internal.deferred. */
enum
{
	DEFERRED_STATEMENT,
	DEFERRED_AT,
	DEFERRED_N,
	DEFERRED_SILENT,
	DEFERRED_BODY,
	DEFERRED_COLUMNS
};

/*
 * A row as it is on a page: a header, and columns that are never null, the
 * last of them stored plain. Notes follow. Put together here, it needs no
 * look at what the columns are.
 */
typedef struct NoteRow
{
	char		header[MAXALIGN(SizeofHeapTupleHeader)];
	int64		statement;
	TimestampTz at;
	int32		n;
	bool		silent;
	char		padding[3];
	char		body[FLEXIBLE_ARRAY_MEMBER];
} NoteRow;

/* Where the notes begin. */
#define NOTES_AT (offsetof(NoteRow, body) + VARHDRSZ)

StaticAssertDecl(MAXIMUM_ALIGNOF == 8 &&
					 offsetof(NoteRow, body) ==
						 MAXALIGN(SizeofHeapTupleHeader) + 24,
				 "columns of deferred");

/* The table; where it is, is looked up once. */
static Oid
find_heap(void)
{
	static MaWatch watch = {"deferred"};

	if (!ma_inval_watch(&watch))
		elog(ERROR, "mautomate_internal.deferred is not there");
	watch.stale = false;
	return watch.relid;
}

/* Opens the table. */
static Relation
open_heap(LOCKMODE mode)
{
	return table_open(find_heap(), mode);
}

/* Opens it without a lock: see deferred_table.c. */
static Relation
open_unlocked(void)
{
	Relation heap = RelationIdGetRelation(find_heap());

	if (!RelationIsValid(heap))
		elog(ERROR, "mautomate_internal.deferred is not there");
	pgstat_init_relation(heap);
	return heap;
}

/* Signed numbers, small ones short. */
static void
put_signed(StringInfo out, int64 value)
{
	ma_varint_put(out, ((uint64) value << 1) ^ (uint64) (value >> 63));
}

static int64
get_signed(MaNoteReader *reader)
{
	uint64 value = ma_varint_get(&reader->in, reader->end);

	return (int64) (value >> 1) ^ -(int64) (value & 1);
}

/* So many bytes of the row as a string. */
static char *
get_bytes(MaNoteReader *reader, uint64 length)
{
	char *text;

	if (length > (uint64) (reader->end - reader->in))
		elog(ERROR, "notes of deferred events are corrupt");
	text = pnstrdup(reader->in, length);
	reader->in += length;
	return text;
}

/* What the first note of a row is told apart from. */
static void
first_note(MaNote *note, const MaNoteHead *head)
{
	memset(note, 0, sizeof(MaNote));
	note->head = *head;
	note->event_id = head->statement;
	note->occurred_at = head->at;
}

/* Begins the next row. */
static void
empty(MaNoteWriter *writer)
{
	first_note(&writer->last, &writer->head);
	writer->n = 0;
	memset(writer->body.data, 0, NOTES_AT);
	writer->body.len = NOTES_AT;
}

/*
 * Begins the notes of a statement. One that writes the log, and so has locked
 * it, needs no other lock.
 */
void
ma_deferred_begin(MaNoteWriter *writer, const MaNoteHead *head,
				  bool writes_log)
{
	writer->heap = NULL;
	writer->writes_log = writes_log;
	writer->head = *head;
	writer->body.data = (char *) writer->bytes;
	writer->body.maxlen = sizeof(writer->bytes);
	writer->body.cursor = 0;
	empty(writer);
}

/*
 * Inserts a row. The page where the last one went is most likely in its
 * buffer still and has room: then it is not looked up.
 */
static void
insert(Relation heap, HeapTuple row)
{
	static Buffer		last = InvalidBuffer;
	static BlockNumber	block;
	BulkInsertStateData place = MA_NO_BULK_INSERT;

	if (BufferIsValid(last) && ma_read_recent_buffer(heap, block, last))
		place.current_buf = last;
	heap_insert(heap, row, GetCurrentCommandId(true), 0, &place);
	last = place.current_buf;
	block = BufferGetBlockNumber(last);
	ReleaseBuffer(last);
}

/* Appends the row. */
static void
flush(MaNoteWriter *writer)
{
	NoteRow		   *row = (NoteRow *) writer->body.data;
	HeapTupleHeader header = (HeapTupleHeader) row->header;
	HeapTupleData	tuple = {.t_len = writer->body.len, .t_data = header};

	if (writer->heap == NULL)
		writer->heap =
			writer->writes_log ? open_unlocked() : open_heap(RowExclusiveLock);
	Assert(RelationGetNumberOfAttributes(writer->heap) == DEFERRED_COLUMNS);
	HeapTupleHeaderSetNatts(header, DEFERRED_COLUMNS);
	header->t_infomask = HEAP_HASVARWIDTH;
	header->t_hoff = sizeof(row->header);
	row->statement = writer->head.statement;
	row->at = writer->head.at;
	row->n = writer->n;
	row->silent = writer->head.silent;
	SET_VARSIZE(row->body, writer->body.len - offsetof(NoteRow, body));
	insert(writer->heap, &tuple);
}

/* Notes one more thing of the statement. */
void
ma_deferred_add(MaNoteWriter *writer, const MaNote *note)
{
	MaNote	  *last = &writer->last;
	StringInfo body = &writer->body;

	Assert(NOTES_AT + note->kind_length + NOTE_MAX < body->maxlen);
	if (body->len + note->kind_length + NOTE_MAX >= body->maxlen)
	{
		flush(writer);
		empty(writer);
	}
	if (note->event_id == 0)
		ma_varint_put(body, A_CONTACT);
	else if (note->kind_length == last->kind_length &&
			 memcmp(note->kind, body->data + writer->kind_at,
					note->kind_length) == 0)
		ma_varint_put(body, SAME_KIND);
	else
	{
		ma_varint_put(body, NEW_KIND + note->kind_length);
		writer->kind_at = body->len;
		last->kind_length = note->kind_length;
		appendBinaryStringInfo(body, note->kind, note->kind_length);
	}
	put_signed(body, note->contact_id - last->contact_id);
	last->contact_id = note->contact_id;
	if (note->event_id != 0)
	{
		put_signed(body, note->event_id - last->event_id);
		put_signed(body, note->occurred_at - last->occurred_at);
		last->event_id = note->event_id;
		last->occurred_at = note->occurred_at;
	}
	writer->n++;
}

/* Writes what is left. */
void
ma_deferred_end(MaNoteWriter *writer)
{
	if (writer->n > 0)
		flush(writer);
	if (writer->heap != NULL)
		table_close(writer->heap, NoLock);
}

/* Begins to read a row. */
void
ma_deferred_read(MaNoteReader *reader, const MaNoteHead *head, bytea *body)
{
	first_note(&reader->last, head);
	reader->in = VARDATA_ANY(body);
	reader->end = reader->in + VARSIZE_ANY_EXHDR(body);
}

/* The next note of the row; texts are in the current memory context. */
bool
ma_deferred_next(MaNoteReader *reader, MaNote *note)
{
	MaNote *last = &reader->last;
	uint64	what;

	if (reader->in == reader->end)
		return false;
	what = ma_varint_get(&reader->in, reader->end);
	if (what >= NEW_KIND)
	{
		last->kind = get_bytes(reader, what - NEW_KIND);
		last->kind_length = what - NEW_KIND;
	}
	last->contact_id += get_signed(reader);
	if (what == A_CONTACT)
	{
		*note = (MaNote){.head = last->head, .contact_id = last->contact_id};
		return true;
	}
	last->event_id += get_signed(reader);
	last->occurred_at += get_signed(reader);
	*note = *last;
	return true;
}

/* Is a number among ascending ones? */
static bool
is_among(int64 id, const int64 *ids, int n)
{
	int low = 0;
	int high = n - 1;

	while (low <= high)
	{
		int middle = (low + high) / 2;

		if (ids[middle] == id)
			return true;
		if (ids[middle] < id)
			low = middle + 1;
		else
			high = middle - 1;
	}
	return false;
}

/* Begins to read the row in a slot. */
static void
read_slot(MaNoteReader *reader, TupleTableSlot *slot)
{
	MaNoteHead head;

	slot_getallattrs(slot);
	head.statement = DatumGetInt64(slot->tts_values[DEFERRED_STATEMENT]);
	head.at = DatumGetTimestampTz(slot->tts_values[DEFERRED_AT]);
	head.silent = DatumGetBool(slot->tts_values[DEFERRED_SILENT]);
	ma_deferred_read(reader, &head,
					 DatumGetByteaPP(slot->tts_values[DEFERRED_BODY]));
}

/* The contacts in the row of a slot, but for one twice in a row. */
static void
put_contacts(TupleTableSlot *slot, ReturnSetInfo *result)
{
	MaNoteReader reader;
	MaNote		 note;
	int64		 last = 0;
	bool		 isnull = false;

	read_slot(&reader, slot);
	while (ma_deferred_next(&reader, &note))
	{
		Datum value = Int64GetDatum(note.contact_id);

		if (note.contact_id != last)
			tuplestore_putvalues(result->setResult, result->setDesc, &value,
								 &isnull);
		last = note.contact_id;
	}
}

/* Appends a note, with texts of its own. */
static void
keep(MaNote **notes, int *found, const MaNote *note)
{
	MaNote *kept;

	/* full at a power of two */
	if (*found == 0)
		*notes = palloc(sizeof(MaNote));
	else if ((*found & (*found - 1)) == 0)
		*notes = repalloc_huge(*notes, 2 * *found * sizeof(MaNote));
	kept = &(*notes)[(*found)++];
	*kept = *note;
	if (note->kind != NULL)
		kept->kind = pnstrdup(note->kind, note->kind_length);
}

/* The notes of contacts in the row of a slot, kept in a memory context. */
static void
find_in_row(TupleTableSlot *slot, const int64 *ids, int n, MaNote **notes,
			int *found, MemoryContext cxt)
{
	MaNoteReader reader;
	MaNote		 note;

	read_slot(&reader, slot);
	while (ma_deferred_next(&reader, &note))
	{
		MemoryContext old;

		if (!is_among(note.contact_id, ids, n))
			continue;
		note.row = slot->tts_tid;
		old = MemoryContextSwitchTo(cxt);
		keep(notes, found, &note);
		MemoryContextSwitchTo(old);
	}
}

/* Looks through the table, row by row. */
static void
find_in_table(Relation heap, const int64 *ids, int n, MaNote **notes,
			  int *found)
{
	MemoryContext row = AllocSetContextCreate(
		CurrentMemoryContext, "mautomate notes", ALLOCSET_DEFAULT_SIZES);
	TupleTableSlot *slot = table_slot_create(heap, NULL);
	TableScanDesc	scan = table_beginscan(heap, GetActiveSnapshot(), 0, NULL);

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		MemoryContext cxt = MemoryContextSwitchTo(row);

		CHECK_FOR_INTERRUPTS();
		find_in_row(slot, ids, n, notes, found, cxt);
		MemoryContextSwitchTo(cxt);
		MemoryContextReset(row);
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	MemoryContextDelete(row);
}

/* deferred_contacts(): who has notes, some more than once */
Datum
mautomate_deferred_contacts(PG_FUNCTION_ARGS)
{
	ReturnSetInfo  *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Relation		heap = open_heap(AccessShareLock);
	TupleTableSlot *slot = table_slot_create(heap, NULL);
	TableScanDesc	scan = table_beginscan(heap, GetActiveSnapshot(), 0, NULL);

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
		put_contacts(slot, result);
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	table_close(heap, AccessShareLock);
	return (Datum) 0;
}

/*
 * What is noted about contacts (ids ascending) under the active snapshot, in
 * no order, in the current memory context. Costs a system call where nothing
 * is noted.
 */
MaNote *
ma_deferred_find(const int64 *ids, int n, int *found)
{
	Relation heap = open_heap(AccessShareLock);
	MaNote	*notes = NULL;

	*found = 0;
	if (RelationGetNumberOfBlocks(heap) > 0)
		find_in_table(heap, ids, n, &notes, found);
	table_close(heap, AccessShareLock);
	return notes;
}
