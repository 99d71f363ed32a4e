/*
 * outbox_read.c
 *	  The messages to be sent: rows found by their keys, without SQL.
 */
#include "postgres.h"

#include "utils/fmgroids.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "outbox_private.h"

/* Opens the outbox to read and write rows. */
void
ma_outbox_open(MaTable *outbox)
{
	static MaWatch watch = {"outbox"};

	ma_table_open(outbox, &watch);
}

/* The same for the lasting records. */
void
ma_outbox_open_records(MaTable *records)
{
	static MaWatch watch = {"message"};

	ma_table_open(records, &watch);
}

/* Is that the state of the row in the slot? */
bool
ma_outbox_is(MaTable *outbox, const char *state)
{
	bool  isnull;
	text *value =
		DatumGetTextPP(slot_getattr(outbox->slot, MA_OUTBOX_STATE, &isnull));

	return strlen(state) == VARSIZE_ANY_EXHDR(value) &&
		   memcmp(state, VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value)) == 0;
}

/* Finds the row of a message in the outbox. */
bool
ma_outbox_find(MaTable *outbox, int channel_id, int priority, int64 message_id)
{
	ScanKeyData keys[3];

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT4EQ,
				Int32GetDatum(channel_id));
	ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_INT2EQ,
				Int16GetDatum(priority));
	ScanKeyInit(&keys[2], 3, BTEqualStrategyNumber, F_INT8EQ,
				Int64GetDatum(message_id));
	return ma_table_find(outbox, keys, lengthof(keys));
}

/* Finds its lasting record. */
bool
ma_outbox_find_record(MaTable *records, int64 message_id)
{
	ScanKeyData key;

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT8EQ,
				Int64GetDatum(message_id));
	return ma_table_find(records, &key, 1);
}

/* Reads the record in the slot. */
static void
read_record(TupleTableSlot *slot, MaMessage *message)
{
	bool  isnull;
	Datum data;

	message->recorded = true;
	message->contact_id =
		DatumGetInt64(slot_getattr(slot, MA_MESSAGE_CONTACT_ID, &isnull));
	message->template_id =
		DatumGetInt32(slot_getattr(slot, MA_MESSAGE_TEMPLATE_ID, &isnull));
	message->version =
		DatumGetInt32(slot_getattr(slot, MA_MESSAGE_VERSION, &isnull));
	message->enqueued_at = DatumGetTimestampTz(
		slot_getattr(slot, MA_MESSAGE_ENQUEUED_AT, &isnull));
	data = slot_getattr(slot, MA_MESSAGE_DATA, &isnull);
	message->data = isnull ? NULL : DatumGetJsonbPCopy(data);
}

/*
 * Reads n claimed messages of a channel, in the current context; returns how
 * many are still there.
 */
int
ma_outbox_read(int channel_id, const MaClaim *claims, int n,
			   MaMessage *messages)
{
	MaTable outbox;
	MaTable records;
	int		count = 0;

	ma_outbox_open(&outbox);
	ma_outbox_open_records(&records);
	ma_table_push_snapshot();
	for (int i = 0; i < n; i++)
	{
		MaMessage *message = &messages[count];
		bool	   isnull;

		if (!ma_outbox_find(&outbox, channel_id, claims[i].priority,
							claims[i].message_id))
			continue;
		memset(message, 0, sizeof(MaMessage));
		message->claim = claims[i];
		message->attempt = DatumGetInt32(
			slot_getattr(outbox.slot, MA_OUTBOX_ATTEMPT, &isnull));
		message->first_tried_at = DatumGetTimestampTz(
			slot_getattr(outbox.slot, MA_OUTBOX_FIRST_TRIED_AT, &isnull));
		if (ma_outbox_find_record(&records, claims[i].message_id))
			read_record(records.slot, message);
		count++;
	}
	PopActiveSnapshot();
	ma_table_close(&records);
	ma_table_close(&outbox);
	return count;
}
