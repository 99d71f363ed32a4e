/*
 * outbox_final.c
 *	  The messages to be sent: those that have reached their end.
 *
 * Nearly every attempt ends so, and SQL for it cost more than all the rest of
 * a step of the sender. The rows are ours: nobody else touches one that is
 * being sent, except to erase a person, and its record is touched by a merge,
 * an erasure or a renaming. Who meets one of these waits for it, and goes on
 * with what it has left.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "clock.h"
#include "outbox_private.h"

/* Is the row in the slot being sent under this lease? */
static bool
is_ours(MaTable *outbox, int64 lease)
{
	bool  isnull;
	Datum holder = slot_getattr(outbox->slot, MA_OUTBOX_LEASE, &isnull);

	return !isnull && DatumGetInt64(holder) == lease &&
		   ma_outbox_is(outbox, "sending");
}

/*
 * Takes a message out of the outbox, if the lease still stands, and stores
 * how often it was tried.
 */
static bool
take_out(MaTable *outbox, int64 lease, const MaFinish *result, int *attempt)
{
	bool isnull;

	if (!ma_outbox_find(outbox, result->channel_id, result->priority,
						result->message_id))
		return false;
	while (is_ours(outbox, lease))
	{
		*attempt = DatumGetInt32(
			slot_getattr(outbox->slot, MA_OUTBOX_ATTEMPT, &isnull));
		if (ma_table_delete(outbox, &outbox->slot->tts_tid))
			return true;
		if (!ma_table_lock(outbox))
			return false;
	}
	return false;
}

/* Puts a text into a column, or null. */
static void
put_text(Datum *value, bool *isnull, const char *text)
{
	*isnull = text == NULL;
	*value = text == NULL ? (Datum) 0 : CStringGetTextDatum(text);
}

/* Writes into the record how a message ended. */
static void
write_record(MaTable *record, const MaFinish *result, int attempt,
			 TimestampTz now)
{
	static const char *const states[] = {"sent", "failed", "refused"};
	int	  columns[] = {MA_MESSAGE_ATTEMPTS,	  MA_MESSAGE_SENT_AT,
					   MA_MESSAGE_STATE,	  MA_MESSAGE_ADDRESS,
					   MA_MESSAGE_REASON,	  MA_MESSAGE_REPLY,
					   MA_MESSAGE_PROVIDER_ID};
	Datum values[lengthof(columns)];
	bool  nulls[lengthof(columns)] = {0};
	int	  count = lengthof(columns);

	if (!ma_outbox_find_record(record, result->message_id))
		return;
	values[0] = Int32GetDatum(attempt);
	values[1] = TimestampTzGetDatum(now);
	nulls[1] = result->state != MA_FINISH_SENT;
	put_text(&values[2], &nulls[2], states[result->state]);
	put_text(&values[3], &nulls[3], result->address);
	put_text(&values[4], &nulls[4], result->reason);
	put_text(&values[5], &nulls[5], result->reply);
	put_text(&values[6], &nulls[6], result->provided);
	if (result->provided == NULL)
		count--; /* it stays */
	do
	{
		ItemPointerData tid = record->slot->tts_tid;

		ma_table_change(record, columns, values, nulls, count);
		if (ma_table_update(record, &tid))
			return;
	} while (ma_table_lock(record));
}

/*
 * Records the results that are final, where the lease still stands: out of
 * the outbox, and into the lasting record.
 */
void
ma_outbox_end(int64 lease, const MaFinish *results, int n)
{
	TimestampTz now = ma_now();
	MaTable		outbox;
	MaTable		record;

	ma_outbox_open(&outbox);
	ma_outbox_open_records(&record);
	ma_table_push_snapshot();
	for (int i = 0; i < n; i++)
	{
		int attempt;

		if (results[i].state <= MA_FINISH_REFUSED &&
			take_out(&outbox, lease, &results[i], &attempt))
			write_record(&record, &results[i], attempt, now);
	}
	PopActiveSnapshot();
	ma_table_close(&record);
	ma_table_close(&outbox);
	CommandCounterIncrement();
}
