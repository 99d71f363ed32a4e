/*
 * traffic.c
 *	  What the channels are doing: attempts counted.
 *
 * Each sender counts for itself, in memory, and adds it up about once a second
 * into a row of its own, so that nobody waits for another. Which of the last
 * attempts of a channel failed is one row for all senders: it decides whether
 * the channel is paused.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "sql.h"
#include "traffic.h"

/* Old counts are forgotten so often. */
#define TIDY_EVERY USECS_PER_MINUTE

/* Adds what was counted to the row of the last ten seconds. */
void
ma_traffic_store(MaTraffic *traffic, int channel_id, int64 lease)
{
	static MaStatement stmt = {
		"insert into mautomate_internal.traffic as t values ($1, $2,"
		"  date_bin('10 seconds', clock_timestamp(), '2000-01-01'), $3, $4,"
		"  $5)"
		" on conflict (channel_id, lease, slot) do update"
		" set sent = t.sent + excluded.sent,"
		"  failed = t.failed + excluded.failed,"
		"  tried_again = t.tried_again + excluded.tried_again",
		5,
		{INT4OID, INT8OID, INT4OID, INT4OID, INT4OID}};
	static MaStatement tidy = {
		"delete from mautomate_internal.traffic t using ("
		"  select channel_id, lease, slot from mautomate_internal.traffic"
		"  where channel_id = $1"
		"  and slot < clock_timestamp() - interval '5 minutes'"
		"  for update skip locked) old"
		" where t.channel_id = old.channel_id and t.lease = old.lease"
		" and t.slot = old.slot",
		1,
		{INT4OID}};
	Datum	   values[5] = {Int32GetDatum(channel_id), Int64GetDatum(lease),
							Int32GetDatum(traffic->sent),
							Int32GetDatum(traffic->failed),
							Int32GetDatum(traffic->tried_again)};
	MaSqlScope scope;

	traffic->stored_at = GetCurrentTimestamp();
	if (traffic->sent + traffic->failed + traffic->tried_again == 0)
		return;
	ma_sql_begin(&scope);
	ma_sql_exec(&stmt, values, NULL, 0);
	if (traffic->stored_at - traffic->tidied_at > TIDY_EVERY)
	{
		ma_sql_exec(&tidy, values, NULL, 0);
		traffic->tidied_at = traffic->stored_at;
	}
	ma_sql_end(&scope);
	traffic->sent = traffic->failed = traffic->tried_again = 0;
}

/*
 * Adds the last attempts to those of all senders; the share of failures among
 * the last so many, 0 while there are fewer.
 */
double
ma_traffic_failing(MaTraffic *traffic, int channel_id, int of)
{
	static MaStatement stmt = {
		"insert into mautomate_internal.recent as r values ($1, $2::varbit)"
		" on conflict (channel_id) do update set failures = substring("
		"  r.failures || excluded.failures from greatest(1, length("
		"   r.failures || excluded.failures) - $3 + 1))"
		" returning case when length(failures) >= $3"
		"  then bit_count(substring(failures from length(failures) - $3 + 1))"
		"  / $3::float8 else 0 end",
		3,
		{INT4OID, TEXTOID, INT4OID}};
	Datum	   values[3] = {Int32GetDatum(channel_id),
							CStringGetTextDatum(traffic->attempts.data),
							Int32GetDatum(of)};
	MaSqlScope scope;
	double	   share;
	bool	   isnull;

	ma_sql_begin(&scope);
	ma_sql_exec(&stmt, values, NULL, 0);
	share = DatumGetFloat8(ma_sql_datum(0, 1, &isnull));
	ma_sql_end(&scope);
	resetStringInfo(&traffic->attempts);
	return share;
}
