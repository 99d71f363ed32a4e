/*
 * state_row.c
 *	  A row of contact_state and what the engine makes of it.
 *
 * A row is read and written with almost every event. Its columns are never
 * null and all but the last one have a fixed length, so where it is of a heap
 * it is read as it lies there, and the new one is put together in the place
 * where the state is encoded.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/tableam.h"
#include "executor/executor.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "state_private.h"

/* So much memory is kept from one state to the next. */
#define ENCODED_MAX (64 * 1024)

/* Columns of contact_state. */
enum
{
	STATE_CONTACT_ID,
	STATE_AS_OF,
	STATE_DUE_AT,
	STATE_GENERATION,
	STATE_STATE,
	STATE_COLUMNS
};

/* The same as they lie in a row. */
typedef struct Row
{
	int64		contact_id;
	TimestampTz as_of;
	TimestampTz due_at;
	int64		generation;
	char		state[FLEXIBLE_ARRAY_MEMBER];
} Row;

/* Where they begin, and the state. */
#define ROW_AT	 MAXALIGN(SizeofHeapTupleHeader)
#define STATE_AT (ROW_AT + offsetof(Row, state))

/* A new row with its encoded state; kept, since every event needs one. */
static StringInfoData encoded;

/* The row in a slot as it lies in a heap; NULL if it does not. */
static const Row *
row_in_place(TupleTableSlot *slot)
{
	HeapTuple tuple;

	if (!TTS_IS_BUFFERTUPLE(slot))
		return NULL;
	tuple = ((BufferHeapTupleTableSlot *) slot)->base.tuple;
	if (tuple == NULL || HeapTupleHasNulls(tuple) ||
		HeapTupleHeaderGetNatts(tuple->t_data) != STATE_COLUMNS)
		return NULL;
	return (const Row *) GETSTRUCT(tuple);
}

/* Reads the row in the slot into a contact of which nothing is known. */
MaContact *
ma_state_read(MaContact *contact, TupleTableSlot *slot)
{
	const Row *row = row_in_place(slot);
	bytea	  *state;

	contact->tid = slot->tts_tid;
	if (row != NULL)
	{
		contact->id = row->contact_id;
		contact->as_of = row->as_of;
		contact->due_at = row->due_at;
		contact->generation = row->generation;
		state = DatumGetByteaPP(PointerGetDatum(row->state));
	}
	else
	{
		slot_getallattrs(slot);
		contact->id = DatumGetInt64(slot->tts_values[STATE_CONTACT_ID]);
		contact->as_of = DatumGetTimestampTz(slot->tts_values[STATE_AS_OF]);
		contact->due_at = DatumGetTimestampTz(slot->tts_values[STATE_DUE_AT]);
		contact->generation =
			DatumGetInt64(slot->tts_values[STATE_GENERATION]);
		state = DatumGetByteaPP(slot->tts_values[STATE_STATE]);
	}
	ma_state_decode(contact, VARDATA_ANY(state),
					VARDATA_ANY(state) + VARSIZE_ANY_EXHDR(state));
	return contact;
}

/* Encodes the state of a contact, with room for the rest before it. */
static void
encode(MaContact *contact)
{
	if (encoded.maxlen > ENCODED_MAX)
	{
		pfree(encoded.data);
		encoded.data = NULL;
	}
	if (encoded.data == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		initStringInfo(&encoded);
		MemoryContextSwitchTo(old);
	}
	resetStringInfo(&encoded);
	StaticAssertStmt(STATE_AT + VARHDRSZ < 1024, "it fits a new string");
	encoded.len = STATE_AT + VARHDRSZ;
	ma_state_encode(contact, &encoded);
	SET_VARSIZE(encoded.data + STATE_AT, encoded.len - STATE_AT);
}

/* Completes the row that was begun with the encoded state. */
static void
form_row(const MaContact *contact, HeapTuple tuple)
{
	HeapTupleHeader header = (HeapTupleHeader) encoded.data;
	Row			   *row = (Row *) (encoded.data + ROW_AT);
	Size			length = VARSIZE(row->state);

	memset(header, 0, ROW_AT);
	HeapTupleHeaderSetNatts(header, STATE_COLUMNS);
	header->t_infomask = HEAP_HASVARWIDTH;
	header->t_hoff = ROW_AT;
	row->contact_id = contact->id;
	row->as_of = contact->as_of;
	row->due_at = contact->due_at;
	row->generation = contact->generation;
	if (VARATT_CAN_MAKE_SHORT(row->state))
	{
		length = VARATT_CONVERTED_SHORT_SIZE(row->state);
		memmove(row->state + VARHDRSZ_SHORT, row->state + VARHDRSZ,
				length - VARHDRSZ_SHORT);
		SET_VARSIZE_SHORT(row->state, length);
	}
	tuple->t_data = header;
	tuple->t_len = STATE_AT + length;
}

/*
 * Makes the row of a contact the next one that is written; it stays there
 * until the next.
 */
void
ma_state_put(MaContact *contact, MaTable *states)
{
	TupleTableSlot *slot = states->slot;

	encode(contact);
	ExecClearTuple(slot);
	if (slot->tts_tupleDescriptor->natts == STATE_COLUMNS &&
		ma_table_is_heap(states))
	{
		form_row(contact, &states->formed);
		return;
	}
	memset(slot->tts_isnull, false, STATE_COLUMNS * sizeof(bool));
	slot->tts_values[STATE_CONTACT_ID] = Int64GetDatum(contact->id);
	slot->tts_values[STATE_AS_OF] = TimestampTzGetDatum(contact->as_of);
	slot->tts_values[STATE_DUE_AT] = TimestampTzGetDatum(contact->due_at);
	slot->tts_values[STATE_GENERATION] = Int64GetDatum(contact->generation);
	slot->tts_values[STATE_STATE] = PointerGetDatum(encoded.data + STATE_AT);
	ExecStoreVirtualTuple(slot);
}
