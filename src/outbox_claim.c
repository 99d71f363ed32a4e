/*
 * outbox_claim.c
 *	  The messages to be sent: which comes next.
 *
 * Messages of a channel are claimed by priority, and within one in two orders:
 * those that have a time (scheduled, to be retried, put back) by it, once it
 * has come, and the new ones by id. Each order has a cursor that moves up as
 * they are used, so that the index entries of a million messages sent before
 * are not looked at, even if an old snapshot keeps them.
 *
 * A cursor may pass only what no transaction can still bring. Who writes into
 * the outbox holds a lock on it before drawing an id or reading the clock
 * (ma_outbox_lock). So a sender looks around now and then: it reads the last
 * id and the clock, and then who holds such a lock. All others with lower ids
 * or earlier times have ended, and their messages are seen by the query that
 * moves the cursors, which comes after. Those who still write are remembered,
 * with the id and the time of the look around before, below which they have
 * nothing: they were not there then. When one has ended the cursors go back
 * to there, once. A transaction that runs for hours thus costs nothing.
 *
 * Should the clock be set back, everything is looked at anew; also every few
 * minutes, since the computer's clock can be set back without our noticing.
 *
 * A message whose process died while it was sent is a suspect: it is claimed
 * alone, so that nothing else is there should it happen again.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "batch.h"
#include "clock.h"
#include "outbox_private.h"
#include "sql.h"

/* After so many messages it is worth looking around. */
#define LOOK_AFTER 500

/* All is looked at anew after so long. */
#define RENEW_AFTER (5 * USECS_PER_MINUTE)

/* Those that have a time, as conditions of $1 channel and $2 now. */
#define HAS_TIME                                      \
	"i.channel_id = $1 and i.priority = l.priority"   \
	" and (i.due_at, i.message_id) > (l.at, l.at_id)" \
	" and i.due_at is not null"                       \
	" and i.state in ('pending', 'retry', 'in_doubt') and i.deaths = 0"
#define IS_NEW                                      \
	"i.channel_id = $1 and i.priority = l.priority" \
	" and i.message_id > l.id and i.state = 'pending' and i.due_at is null"

/* The cursors as a table. */
#define CURSORS "unnest($2, $3, $4, $5) as l(priority, id, at, at_id)"
#define CURSOR_TYPES \
	INT4ARRAYOID, INT8ARRAYOID, TIMESTAMPTZARRAYOID, INT8ARRAYOID

static void begin(MaLane *lane);
static void look_back(MaLane *lane);
static void look_around(MaLane *lane);
static void move_cursors(MaLane *lane);
static void remember(MaLane *lane, const VirtualTransactionId *id);
static void cursor_values(const MaLane *lane, Datum *values);
static int	claim_suspect(MaOutboxLook *look, MaLane *lane, int64 lease,
						  MaClaim *claims);
static int	claim_ready(MaOutboxLook *look, MaLane *lane, int64 lease, int max,
						MaClaim *claims);
static int	claim_timed(MaLane *lane, int64 lease, int max, int priority,
						MaClaim *claims);
static int	claim(MaStatement *stmt, const MaLane *lane, int64 lease,
				  Datum *values, MaClaim *claims);
static TimestampTz suspect_due(const MaLane *lane);

/*
 * Claims up to max messages of a channel that are due, stores them and returns
 * their number. The caller commits before it sends.
 */
int
ma_outbox_claim(MaLane *lane, int64 lease, int max, MaClaim *claims)
{
	MaOutboxLook look;
	bool		 turn;
	int			 n;

	begin(lane);
	look_back(lane);
	ma_outbox_look(&look);
	/* suspects in turns with the others: they are many after a crash */
	turn = !lane->alone;
	lane->alone = turn && claim_suspect(&look, lane, lease, claims) > 0;
	n = lane->alone ? 1 : claim_ready(&look, lane, lease, max, claims);
	if (n == 0 && !turn)
	{
		lane->alone = claim_suspect(&look, lane, lease, claims) > 0;
		n = lane->alone ? 1 : 0;
	}
	ma_outbox_look_away(&look);
	lane->suspects = lane->alone || (lane->suspects && !turn);
	lane->claimed += n;
	if (lane->claimed >= LOOK_AFTER)
		look_around(lane);
	return n;
}

/* Sets the cursors to where everything is before them. */
static void
begin(MaLane *lane)
{
	TimestampTz now = GetCurrentTimestamp();

	if (lane->begun && ma_now() >= lane->seen_at &&
		now - lane->renewed_at < RENEW_AFTER)
		return;
	lane->renewed_at = now;
	lane->begun = true;
	lane->seen_id = 0;
	lane->seen_at = DT_NOBEGIN;
	lane->writer_count = 0;
	for (int i = 0; i < MA_PRIORITIES; i++)
	{
		lane->cursors[i].id = 0;
		lane->cursors[i].due_at = DT_NOBEGIN;
		lane->cursors[i].due_id = 0;
	}
	look_around(lane);
}

/* Goes back to what those may have brought who have ended. */
static void
look_back(MaLane *lane)
{
	for (int w = 0; w < lane->writer_count;)
	{
		MaWriter *writer = &lane->writers[w];

		if (!VirtualXactLock(writer->id, false))
		{
			w++;
			continue;
		}
		for (int i = 0; i < MA_PRIORITIES; i++)
		{
			MaCursor *cursor = &lane->cursors[i];

			cursor->id = Min(cursor->id, writer->low);
			if (cursor->due_at >= writer->low_at)
			{
				cursor->due_at = writer->low_at;
				cursor->due_id = 0;
			}
		}
		*writer = lane->writers[--lane->writer_count];
	}
}

/* Looks who writes now, and moves the cursors up. */
static void
look_around(MaLane *lane)
{
	static MaStatement stmt = {
		"select last_value - (not is_called)::int"
		" from mautomate_internal.message_message_id_seq",
		0};
	TimestampTz			  now = ma_now();
	VirtualTransactionId *writers;
	int					  known = lane->writer_count;
	MaSqlScope			  scope;
	LOCKTAG				  tag;
	bool				  isnull;
	int64				  last;
	int					  n;

	ma_sql_begin(&scope);
	ma_outbox_use_indexes();
	ma_sql_exec(&stmt, NULL, NULL, 0);
	last = DatumGetInt64(ma_sql_datum(0, 1, &isnull));
	SET_LOCKTAG_RELATION(
		tag, MyDatabaseId,
		get_relname_relid("outbox",
						  get_namespace_oid("mautomate_internal", false)));
	writers = GetLockConflicts(&tag, ShareLock, &n);
	for (int i = 0; i < n; i++)
	{
		bool found = false;

		for (int w = 0; w < known && !found; w++)
			found =
				VirtualTransactionIdEquals(lane->writers[w].id, writers[i]);
		if (!found)
			remember(lane, &writers[i]);
	}
	lane->seen_id = last;
	lane->seen_at = now;
	lane->claimed = 0;
	move_cursors(lane);
	ma_sql_end(&scope);
}

/* Adds one who writes, and was not there at the last look. */
static void
remember(MaLane *lane, const VirtualTransactionId *id)
{
	Size size = (lane->writer_count + 1) * sizeof(MaWriter);

	lane->writers = lane->writers == NULL ?
						MemoryContextAlloc(lane->cxt, size) :
						repalloc(lane->writers, size);
	lane->writers[lane->writer_count].id = *id;
	lane->writers[lane->writer_count].low = lane->seen_id;
	lane->writers[lane->writer_count].low_at = lane->seen_at;
	lane->writer_count++;
}

/* Moves each cursor up to before what is left, but not beyond what is seen. */
static void
move_cursors(MaLane *lane)
{
	static MaStatement stmt = {
		"select l.priority, n.message_id, t.due_at, t.message_id from " CURSORS
		" left join lateral (select i.message_id"
		"  from mautomate_internal.outbox i where " IS_NEW
		"  order by i.message_id limit 1) n on true"
		" left join lateral (select i.due_at, i.message_id"
		"  from mautomate_internal.outbox i where " HAS_TIME
		"  order by i.due_at, i.message_id limit 1) t on true",
		5,
		{INT4OID, CURSOR_TYPES}};
	Datum  values[5];
	uint64 n;

	cursor_values(lane, values);
	n = ma_sql_exec(&stmt, values, NULL, 0);
	for (uint64 row = 0; row < n; row++)
	{
		bool		isnull;
		int			priority = DatumGetInt32(ma_sql_datum(row, 1, &isnull));
		MaCursor   *cursor = &lane->cursors[priority - MA_PRIORITY_LEAST];
		Datum		id = ma_sql_datum(row, 2, &isnull);
		TimestampTz left_at;

		cursor->id = Max(cursor->id, lane->seen_id);
		if (!isnull)
			cursor->id = Min(cursor->id, DatumGetInt64(id) - 1);
		left_at = DatumGetTimestampTz(ma_sql_datum(row, 3, &isnull));
		if (isnull || left_at >= lane->seen_at)
		{
			/* at the very instant something may come yet */
			if (cursor->due_at < lane->seen_at - 1)
			{
				cursor->due_at = lane->seen_at - 1;
				cursor->due_id = PG_INT64_MAX;
			}
		}
		else
		{
			cursor->due_at = left_at;
			cursor->due_id = DatumGetInt64(ma_sql_datum(row, 4, &isnull)) - 1;
		}
	}
}

/* The channel, and the cursors as four arrays, the highest priority first. */
static void
cursor_values(const MaLane *lane, Datum *values)
{
	static const Oid types[] = {INT4OID, INT8OID, TIMESTAMPTZOID, INT8OID};
	MaColumn		 columns[lengthof(types)];

	for (int c = 0; c < lengthof(types); c++)
		ma_column_init(&columns[c], types[c], MA_PRIORITIES);
	for (int i = MA_PRIORITIES - 1; i >= 0; i--)
	{
		const MaCursor *cursor = &lane->cursors[i];

		ma_column_add(&columns[0], Int32GetDatum(i + MA_PRIORITY_LEAST),
					  false);
		ma_column_add(&columns[1], Int64GetDatum(cursor->id), false);
		ma_column_add(&columns[2], TimestampTzGetDatum(cursor->due_at), false);
		ma_column_add(&columns[3], Int64GetDatum(cursor->due_id), false);
	}
	values[0] = Int32GetDatum(lane->channel_id);
	for (int c = 0; c < lengthof(types); c++)
		values[c + 1] = ma_column_array(&columns[c]);
}

/* Claims one message that may have killed a process, if one is due. */
static int
claim_suspect(MaOutboxLook *look, MaLane *lane, int64 lease, MaClaim *claims)
{
	static MaStatement stmt = {
		"update mautomate_internal.outbox o set state = 'sending',"
		" lease = $1, attempt = o.attempt + 1, waits = null,"
		" first_tried_at = coalesce(o.first_tried_at, $2),"
		" deaths = abs(o.deaths)"
		" where o.ctid = any(array("
		"  select i.ctid from mautomate_internal.outbox i"
		"  where i.channel_id = $3 and i.deaths <> 0 and i.due_at <= $2"
		"  and i.state in ('pending', 'retry', 'in_doubt')"
		"  order by i.due_at limit 1 for update skip locked))"
		" returning o.message_id, o.priority::int",
		3,
		{INT8OID, TIMESTAMPTZOID, INT4OID}};
	Datum values[3];

	if (!ma_outbox_has_suspect(look, lane))
		return 0;
	return claim(&stmt, lane, lease, values, claims);
}

/*
 * Claims from the priorities that have something, the highest first: of each
 * those whose time has come before the new ones.
 */
static int
claim_ready(MaOutboxLook *look, MaLane *lane, int64 lease, int max,
			MaClaim *claims)
{
	int n = 0;

	for (int p = MA_PRIORITY_MOST; p >= MA_PRIORITY_LEAST && n < max; p--)
	{
		if (ma_outbox_has_timed(look, lane, p))
			n += claim_timed(lane, lease, max - n, p, claims + n);
		if (n < max)
			n +=
				ma_outbox_claim_new(look, lane, lease, max - n, p, claims + n);
	}
	return n;
}

/* Claims of a priority those whose time has come. */
static int
claim_timed(MaLane *lane, int64 lease, int max, int priority, MaClaim *claims)
{
	static MaStatement stmt = {
		"update mautomate_internal.outbox o set state = 'sending',"
		" lease = $1, attempt = o.attempt + 1, waits = null,"
		" first_tried_at = coalesce(o.first_tried_at, $2)"
		" where o.ctid = any(array("
		"  select i.ctid from mautomate_internal.outbox i"
		"  where i.channel_id = $3 and i.priority = $5"
		"  and (i.due_at, i.message_id) > ($6, $7) and i.due_at <= $2"
		"  and i.state in ('pending', 'retry', 'in_doubt') and i.deaths = 0"
		"  order by i.due_at, i.message_id limit $4 for update skip locked))"
		" returning o.message_id, o.priority::int",
		7,
		{INT8OID, TIMESTAMPTZOID, INT4OID, INT4OID, INT4OID, TIMESTAMPTZOID,
		 INT8OID}};
	const MaCursor *cursor = &lane->cursors[priority - MA_PRIORITY_LEAST];
	Datum			values[7];

	values[3] = Int32GetDatum(max);
	values[4] = Int32GetDatum(priority);
	values[5] = TimestampTzGetDatum(cursor->due_at);
	values[6] = Int64GetDatum(cursor->due_id);
	return claim(&stmt, lane, lease, values, claims);
}

/* Runs one of the claims; the first three values are filled in here. */
static int
claim(MaStatement *stmt, const MaLane *lane, int64 lease, Datum *values,
	  MaClaim *claims)
{
	MaSqlScope scope;
	bool	   isnull;
	int		   n;

	ma_sql_begin(&scope);
	ma_outbox_use_indexes();
	values[0] = Int64GetDatum(lease);
	values[1] = TimestampTzGetDatum(ma_now());
	values[2] = Int32GetDatum(lane->channel_id);
	n = (int) ma_sql_exec(stmt, values, NULL, 0);
	for (int i = 0; i < n; i++)
	{
		claims[i].message_id = DatumGetInt64(ma_sql_datum(i, 1, &isnull));
		claims[i].priority = DatumGetInt32(ma_sql_datum(i, 2, &isnull));
	}
	ma_sql_end(&scope);
	return n;
}

/* Is there anything to claim on this lane? */
bool
ma_outbox_has_due(MaLane *lane)
{
	MaOutboxLook look;
	bool		 due;

	begin(lane);
	look_back(lane);
	ma_outbox_look(&look);
	due = ma_outbox_has_suspect(&look, lane);
	for (int p = MA_PRIORITY_MOST; p >= MA_PRIORITY_LEAST && !due; p--)
		due = ma_outbox_has_timed(&look, lane, p) ||
			  ma_outbox_has_new(&look, lane, p);
	ma_outbox_look_away(&look);
	return due;
}

/* When the next suspect may be claimed; DT_NOEND if there is none. */
static TimestampTz
suspect_due(const MaLane *lane)
{
	static MaStatement stmt = {
		"select due_at from mautomate_internal.outbox"
		" where channel_id = $1 and deaths <> 0"
		" and due_at is not null and state in ('pending', 'retry', 'in_doubt')"
		" order by due_at limit 1",
		1,
		{INT4OID}};
	Datum values[1] = {Int32GetDatum(lane->channel_id)};
	bool  isnull;

	if (ma_sql_exec(&stmt, values, NULL, 1) == 0)
		return DT_NOEND;
	return DatumGetTimestampTz(ma_sql_datum(0, 1, &isnull));
}

/*
 * When the next message of the lane is due that is not yet; DT_NOEND if there
 * is none. New ones (due at once) are not looked at: they wake the senders.
 */
TimestampTz
ma_outbox_next_due(MaLane *lane)
{
	static MaStatement stmt = {
		"select min(t.due_at) from " CURSORS
		", lateral (select i.due_at from mautomate_internal.outbox i"
		"  where " HAS_TIME " order by i.due_at, i.message_id limit 1) t",
		5,
		{INT4OID, CURSOR_TYPES}};
	Datum		values[5];
	MaSqlScope	scope;
	TimestampTz next;
	bool		isnull;

	ma_sql_begin(&scope);
	ma_outbox_use_indexes();
	begin(lane);
	look_back(lane);
	next = suspect_due(lane);
	cursor_values(lane, values);
	ma_sql_exec(&stmt, values, NULL, 0);
	values[0] = ma_sql_datum(0, 1, &isnull);
	if (!isnull)
		next = Min(next, DatumGetTimestampTz(values[0]));
	ma_sql_end(&scope);
	return next;
}
