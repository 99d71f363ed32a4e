/*
 * outbox_look.c
 *	  The messages to be sent: is there one, and the new ones claimed, without
 *	  SQL.
 *
 * A sender asks at each step, and for each priority: statements for that were
 * a good part of what a message cost. What waits for a time, and what may
 * have killed a process, is rare: here it is only found, and claimed by a
 * statement (outbox_claim.c).
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"

#include "clock.h"
#include "outbox_private.h"

/* Opens the outbox, its rows to be found by an index. */
static void
open_by(MaTable *outbox, MaWatch *index)
{
	ma_outbox_open(outbox);
	ma_table_use_index(outbox, index);
}

/* Opens the outbox to look for messages as they are now. */
void
ma_outbox_look(MaOutboxLook *look)
{
	static MaWatch due = {"outbox_due"};
	static MaWatch suspect = {"outbox_suspect"};

	ma_outbox_open(&look->fresh);
	open_by(&look->timed, &due);
	open_by(&look->suspect, &suspect);
	ma_table_push_snapshot();
}

/* Closes it. */
void
ma_outbox_look_away(MaOutboxLook *look)
{
	PopActiveSnapshot();
	ma_table_close(&look->suspect);
	ma_table_close(&look->timed);
	ma_table_close(&look->fresh);
}

/* Does the message in the slot wait to be sent? */
static bool
is_waiting(MaTable *outbox)
{
	return ma_outbox_is(outbox, "pending") || ma_outbox_is(outbox, "retry") ||
		   ma_outbox_is(outbox, "in_doubt");
}

/* Is there a message that may have killed a process, and is due? */
bool
ma_outbox_has_suspect(MaOutboxLook *look, const MaLane *lane)
{
	ScanKeyData keys[2];
	bool		found;

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT4EQ,
				Int32GetDatum(lane->channel_id));
	ScanKeyInit(&keys[1], 2, BTLessEqualStrategyNumber, F_TIMESTAMPTZ_LE,
				TimestampTzGetDatum(ma_now()));
	found = ma_table_find(&look->suspect, keys, lengthof(keys));
	while (found && !is_waiting(&look->suspect))
		found = ma_table_next(&look->suspect);
	return found;
}

/* The cursor of a priority. */
static const MaCursor *
cursor_of(const MaLane *lane, int priority)
{
	return &lane->cursors[priority - MA_PRIORITY_LEAST];
}

/* May the message in the slot be claimed by its time? Suspects may not. */
static bool
is_timed(MaTable *timed, const MaCursor *cursor)
{
	TupleTableSlot *slot = timed->slot;
	bool			isnull;
	TimestampTz		at =
		DatumGetTimestampTz(slot_getattr(slot, MA_OUTBOX_DUE_AT, &isnull));
	int64 id =
		DatumGetInt64(slot_getattr(slot, MA_OUTBOX_MESSAGE_ID, &isnull));

	return (at > cursor->due_at || id > cursor->due_id) &&
		   DatumGetInt32(slot_getattr(slot, MA_OUTBOX_DEATHS, &isnull)) == 0 &&
		   is_waiting(timed);
}

/* Is there a message of a priority whose time has come? */
bool
ma_outbox_has_timed(MaOutboxLook *look, const MaLane *lane, int priority)
{
	const MaCursor *cursor = cursor_of(lane, priority);
	ScanKeyData		keys[4];
	bool			found;

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT4EQ,
				Int32GetDatum(lane->channel_id));
	ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_INT2EQ,
				Int16GetDatum(priority));
	ScanKeyInit(&keys[2], 3, BTGreaterEqualStrategyNumber, F_TIMESTAMPTZ_GE,
				TimestampTzGetDatum(cursor->due_at));
	ScanKeyInit(&keys[3], 3, BTLessEqualStrategyNumber, F_TIMESTAMPTZ_LE,
				TimestampTzGetDatum(ma_now()));
	found = ma_table_find(&look->timed, keys, lengthof(keys));
	while (found && !is_timed(&look->timed, cursor))
		found = ma_table_next(&look->timed);
	return found;
}

/* Goes on to a new message, if the one in the slot is none. */
static bool
seek_new(MaTable *fresh, bool found)
{
	while (found && !(slot_attisnull(fresh->slot, MA_OUTBOX_DUE_AT) &&
					  ma_outbox_is(fresh, "pending")))
		found = ma_table_next(fresh);
	return found;
}

/* Finds the oldest new message of a priority; it is in the slot then. */
bool
ma_outbox_has_new(MaOutboxLook *look, const MaLane *lane, int priority)
{
	ScanKeyData keys[3];

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT4EQ,
				Int32GetDatum(lane->channel_id));
	ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_INT2EQ,
				Int16GetDatum(priority));
	ScanKeyInit(&keys[2], 3, BTGreaterStrategyNumber, F_INT8GT,
				Int64GetDatum(cursor_of(lane, priority)->id));
	return seek_new(&look->fresh,
					ma_table_find(&look->fresh, keys, lengthof(keys)));
}

/* Claims the message in the slot; false if another was faster, or has it. */
static bool
claim_one(MaTable *fresh, int64 lease, TimestampTz now)
{
	int				columns[] = {MA_OUTBOX_LEASE, MA_OUTBOX_FIRST_TRIED_AT,
								 MA_OUTBOX_ATTEMPT, MA_OUTBOX_STATE};
	Datum			values[] = {Int64GetDatum(lease), TimestampTzGetDatum(now),
								Int32GetDatum(1), CStringGetTextDatum("sending")};
	bool			nulls[lengthof(columns)] = {0};
	ItemPointerData tid = fresh->slot->tts_tid;

	if (!ma_table_try_lock(fresh))
		return false;
	ma_table_change(fresh, columns, values, nulls, lengthof(columns));
	return ma_table_update(fresh, &tid);
}

/*
 * Claims of a priority the oldest new messages, at most max, past those that
 * others have; returns how many.
 */
int
ma_outbox_claim_new(MaOutboxLook *look, const MaLane *lane, int64 lease,
					int max, int priority, MaClaim *claims)
{
	MaTable	   *fresh = &look->fresh;
	TimestampTz now = ma_now();
	bool		found = ma_outbox_has_new(look, lane, priority);
	int			n = 0;

	while (found && n < max)
	{
		bool isnull;

		claims[n].message_id = DatumGetInt64(
			slot_getattr(fresh->slot, MA_OUTBOX_MESSAGE_ID, &isnull));
		claims[n].priority = priority;
		n += claim_one(fresh, lease, now);
		found = n < max && seek_new(fresh, ma_table_next(fresh));
	}
	if (n > 0)
		CommandCounterIncrement();
	return n;
}
