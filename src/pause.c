/*
 * pause.c
 *	  Channels that are paused, by hand or because too much fails.
 *
 * Senders ask before each claim, so the paused channels are cached in each
 * backend, and read again when the table has changed.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "argument.h"
#include "channel.h"
#include "clock.h"
#include "inval.h"
#include "pause.h"
#include "sql.h"
#include "wake.h"

PG_FUNCTION_INFO_V1(mautomate_pause_channel);
PG_FUNCTION_INFO_V1(mautomate_resume_channel);

static bool begin(int channel_id, const char *reason, bool automatic);
static void reload(void);

static MaWatch watch = {"channel_pause"};
static int	  *paused = NULL; /* ids of the channels */
static int	   paused_count = 0;

/* pause_channel(name, reason) -> boolean */
Datum
mautomate_pause_channel(PG_FUNCTION_ARGS)
{
	int id = ma_channel_named(ma_argument_text(fcinfo, 0, "name"))->channel_id;

	PG_RETURN_BOOL(begin(id, ma_argument_text_or_null(fcinfo, 1), false));
}

/* resume_channel(name) -> boolean */
Datum
mautomate_resume_channel(PG_FUNCTION_ARGS)
{
	static MaStatement stmt = {
		"with forgotten as (delete from mautomate_internal.recent"
		"  where channel_id = $1)"
		" delete from mautomate_internal.channel_pause where channel_id = $1",
		1,
		{INT4OID}};
	int id = ma_channel_named(ma_argument_text(fcinfo, 0, "name"))->channel_id;
	Datum	   values[1] = {Int32GetDatum(id)};
	MaSqlScope scope;
	bool	   found;

	ma_sql_begin(&scope);
	found = ma_sql_exec(&stmt, values, NULL, 0) > 0;
	ma_sql_end(&scope);
	ma_wake_senders_at_commit();
	PG_RETURN_BOOL(found);
}

/* Pauses a channel, if it is not. */
void
ma_pause_begin(int channel_id, const char *reason, bool automatic)
{
	(void) begin(channel_id, reason, automatic);
}

/* The same; was it not? */
static bool
begin(int channel_id, const char *reason, bool automatic)
{
	static MaStatement stmt = {
		"insert into mautomate_internal.channel_pause"
		" (channel_id, paused_at, automatic, reason) values ($1, $2, $3, $4)"
		" on conflict do nothing",
		4,
		{INT4OID, TIMESTAMPTZOID, BOOLOID, TEXTOID}};
	Datum	   values[4] = {Int32GetDatum(channel_id),
							TimestampTzGetDatum(ma_now()), BoolGetDatum(automatic)};
	MaSqlScope scope;
	bool	   found;

	if (reason != NULL)
		values[3] = CStringGetTextDatum(reason);
	ma_sql_begin(&scope);
	found = ma_sql_exec(&stmt, values, reason == NULL ? "   n" : NULL, 0) > 0;
	ma_sql_end(&scope);
	return found;
}

/* Is this channel paused? */
bool
ma_pause_holds(int channel_id)
{
	if (!ma_inval_watch(&watch))
		return false;
	if (watch.stale)
		reload();
	for (int i = 0; i < paused_count; i++)
		if (paused[i] == channel_id)
			return true;
	return false;
}

/* Reads them under the latest snapshot. */
static void
reload(void)
{
	static MaStatement stmt = {
		"select channel_id from mautomate_internal.channel_pause", 0};
	MaSqlScope scope;
	bool	   isnull;
	int		   n;

	ma_inval_load(&watch);
	ma_sql_begin(&scope);
	PushActiveSnapshot(GetLatestSnapshot());
	n = (int) ma_sql_read(&stmt, NULL, NULL, 0);
	paused_count = 0;
	if (paused == NULL)
		paused = MemoryContextAlloc(TopMemoryContext, (n + 1) * sizeof(int));
	else
		paused = repalloc(paused, (n + 1) * sizeof(int));
	for (int i = 0; i < n; i++)
		paused[paused_count++] = DatumGetInt32(ma_sql_datum(i, 1, &isnull));
	PopActiveSnapshot();
	ma_sql_end(&scope);
	ma_inval_loaded(&watch);
}
