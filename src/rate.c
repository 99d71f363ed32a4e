/*
 * rate.c
 *	  How fast messages leave: buckets of tokens, shared by all senders.
 *
 * A bucket is one time: when all tokens that were taken so far have come, one
 * each interval (the generic cell rate algorithm, ITU-T I.371). It may lie in
 * the future by as many intervals as the burst allows. A sender locks the row,
 * takes as many tokens as it has use for, and commits with the claim; so the
 * senders of a channel wait for one another only as long as a claim lasts, and
 * only where there is a limit.
 *
 * Messages that get no token are put back to the time when theirs will
 * probably have come. Until when that was done is kept beside, so that each
 * has a time of its own: a million of them neither stand in the way of others
 * nor come all at once. It is a place in a queue and no promise: who comes
 * with a higher priority takes the token, and the other queues again.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "rate.h"
#include "sql.h"

/* A bucket of which nothing was taken for so long is empty of waiters. */
#define IDLE_AFTER (100 * 1000)

PG_FUNCTION_INFO_V1(mautomate_warm_up_limit);
PG_FUNCTION_INFO_V1(mautomate_today);
PG_FUNCTION_INFO_V1(mautomate_rate_due);

static TimestampTz empty_at(const MaBucket *bucket);
static bool		   find(MaBucket *bucket);
static void		   find_day(MaQuota *quota);

/* warm_up_limit(settings, day) -> int */
Datum
mautomate_warm_up_limit(PG_FUNCTION_ARGS)
{
	MaPace pace;
	int	   quota;

	ma_pace_read(&pace, "", PG_GETARG_JSONB_P(0));
	if (!ma_pace_warms_up(&pace))
		PG_RETURN_NULL();
	quota = ma_pace_quota(&pace, PG_GETARG_INT32(1));
	if (quota < 0)
		PG_RETURN_NULL();
	PG_RETURN_INT32(quota);
}

/* today() -> date */
Datum
mautomate_today(PG_FUNCTION_ARGS)
{
	MaQuota quota;

	find_day(&quota);
	PG_RETURN_DATEADT(quota.day);
}

/* rate_due(settings, next_at) -> timestamptz */
Datum
mautomate_rate_due(PG_FUNCTION_ARGS)
{
	MaPace	 pace;
	MaBucket bucket = {0};

	ma_pace_read(&pace, "", PG_GETARG_JSONB_P(0));
	bucket.rate = pace.rate;
	bucket.now = GetCurrentTimestamp();
	bucket.next_at = Min(PG_GETARG_TIMESTAMPTZ(1), empty_at(&bucket));
	if (ma_rate_tokens(&bucket, 1) > 0)
		PG_RETURN_NULL();
	PG_RETURN_TIMESTAMPTZ(ma_rate_next(&bucket));
}

/* The latest that the tokens of a bucket can have come: it is empty. */
static TimestampTz
empty_at(const MaBucket *bucket)
{
	return bucket->now +
		   (TimestampTz) (bucket->rate.burst * bucket->rate.interval);
}

/* Finds and locks a bucket, full if it is new. */
void
ma_rate_open(MaBucket *bucket, int channel_id, const char *domain,
			 const MaRate *rate)
{
	static MaStatement create = {
		"insert into mautomate_internal.bucket values ($1, $2, $3, $3)"
		" on conflict do nothing",
		3,
		{INT4OID, TEXTOID, TIMESTAMPTZOID}};

	bucket->channel_id = channel_id;
	bucket->domain = domain;
	bucket->rate = *rate;
	if (!find(bucket))
	{
		Datum values[3] = {Int32GetDatum(channel_id),
						   CStringGetTextDatum(domain),
						   TimestampTzGetDatum(GetCurrentTimestamp())};

		MaSqlScope scope;

		ma_sql_begin(&scope);
		ma_sql_exec(&create, values, NULL, 0);
		ma_sql_end(&scope);
		if (!find(bucket))
			elog(ERROR, "no bucket of channel %d", channel_id);
	}
	if (bucket->next_at > empty_at(bucket))
	{
		/* emptied at a lower rate: it fills at this one from now on */
		bucket->next_at = empty_at(bucket);
		ma_rate_close(bucket);
	}
}

/* Reads and locks its row, if there is one. */
static bool
find(MaBucket *bucket)
{
	static MaStatement stmt = {
		"select next_at, queue_at from mautomate_internal.bucket"
		" where channel_id = $1 and domain = $2 for update",
		2,
		{INT4OID, TEXTOID}};
	Datum	   values[2] = {Int32GetDatum(bucket->channel_id),
							CStringGetTextDatum(bucket->domain)};
	MaSqlScope scope;
	bool	   isnull;
	bool	   found;

	ma_sql_begin(&scope);
	found = ma_sql_exec(&stmt, values, NULL, 0) > 0;
	if (found)
	{
		bucket->next_at = DatumGetTimestampTz(ma_sql_datum(0, 1, &isnull));
		bucket->queue_at = DatumGetTimestampTz(ma_sql_datum(0, 2, &isnull));
	}
	ma_sql_end(&scope);
	bucket->now = GetCurrentTimestamp();
	return found;
}

/* How many tokens can be taken now, at most as many as wanted. */
int
ma_rate_tokens(const MaBucket *bucket, int wanted)
{
	double interval = bucket->rate.interval;
	double ahead = Max(bucket->next_at - bucket->now, 0);

	if (interval == 0)
		return wanted;
	/* a thousandth of a token is no reason to wait */
	return (int) Max(
		0, Min(wanted, floor(bucket->rate.burst - ahead / interval + 0.001)));
}

/* When the next token can be taken. */
TimestampTz
ma_rate_next(const MaBucket *bucket)
{
	TimestampTz at =
		bucket->next_at -
		(TimestampTz) ((bucket->rate.burst - 1) * bucket->rate.interval);

	return Max(at, bucket->now);
}

/* Takes tokens. */
void
ma_rate_take(MaBucket *bucket, int tokens)
{
	if (tokens == 0)
		return;
	/* where tokens lay about unused, nobody waits any more */
	if (bucket->now - bucket->next_at > 2 * bucket->rate.interval + IDLE_AFTER)
		bucket->queue_at = Min(bucket->queue_at, bucket->now);
	bucket->next_at = Max(bucket->next_at, bucket->now) +
					  (TimestampTz) rint(tokens * bucket->rate.interval);
}

/*
 * The time that a message without a token is put back to: the next free place
 * in the queue, whose places are a step apart.
 */
TimestampTz
ma_rate_queue(MaBucket *bucket, double step)
{
	TimestampTz at = Max(bucket->queue_at, ma_rate_next(bucket));

	bucket->queue_at = at + (TimestampTz) Max(rint(step), 1);
	return at;
}

/* Stores what was taken. */
void
ma_rate_close(const MaBucket *bucket)
{
	static MaStatement stmt = {
		"update mautomate_internal.bucket set next_at = $3, queue_at = $4"
		" where channel_id = $1 and domain = $2"
		" and (next_at, queue_at) is distinct from ($3, $4)",
		4,
		{INT4OID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID}};
	Datum	   values[4] = {Int32GetDatum(bucket->channel_id),
							CStringGetTextDatum(bucket->domain),
							TimestampTzGetDatum(bucket->next_at),
							TimestampTzGetDatum(bucket->queue_at)};
	MaSqlScope scope;

	ma_sql_begin(&scope);
	ma_sql_exec(&stmt, values, NULL, 0);
	ma_sql_end(&scope);
}

/* Forgets the buckets that have been full for an hour. */
void
ma_rate_tidy(void)
{
	static MaStatement stmt = {
		"delete from mautomate_internal.bucket b using ("
		"  select channel_id, domain from mautomate_internal.bucket"
		"  where greatest(next_at, queue_at)"
		"   < clock_timestamp() - interval '1 hour'"
		"  for update skip locked) old"
		" where b.channel_id = old.channel_id and b.domain = old.domain",
		0};
	MaSqlScope scope;

	ma_sql_begin(&scope);
	ma_sql_exec(&stmt, NULL, NULL, 0);
	ma_sql_end(&scope);
}

/* Which day it is, and when the next one begins. */
static void
find_day(MaQuota *quota)
{
	static MaStatement stmt = {
		"select day, (day + 1)::timestamp at time zone $1"
		" from (select (clock_timestamp() at time zone $1)::date) d(day)",
		1,
		{TEXTOID}};
	Datum values[1] = {
		CStringGetTextDatum(pg_get_timezone_name(ma_timezone()))};
	MaSqlScope scope;
	bool	   isnull;

	ma_sql_begin(&scope);
	ma_sql_exec(&stmt, values, NULL, 0);
	quota->day = DatumGetDateADT(ma_sql_datum(0, 1, &isnull));
	quota->tomorrow = DatumGetTimestampTz(ma_sql_datum(0, 2, &isnull));
	ma_sql_end(&scope);
}

/* Finds what is left of today's quota of a warm-up, and locks it. */
void
ma_rate_open_quota(MaQuota *quota, int channel_id, const MaPace *pace)
{
	static MaStatement stmt = {
		"select first_day, day, used from mautomate_internal.warm_up"
		" where channel_id = $1 for update",
		1,
		{INT4OID}};
	Datum	   values[1] = {Int32GetDatum(channel_id)};
	MaSqlScope scope;
	bool	   isnull;
	int		   number = 1;
	int		   sent = 0;

	quota->channel_id = channel_id;
	find_day(quota);
	ma_sql_begin(&scope);
	if (ma_sql_exec(&stmt, values, NULL, 0) > 0)
	{
		number = quota->day - DatumGetDateADT(ma_sql_datum(0, 1, &isnull)) + 1;
		if (DatumGetDateADT(ma_sql_datum(0, 2, &isnull)) == quota->day)
			sent = DatumGetInt32(ma_sql_datum(0, 3, &isnull));
	}
	ma_sql_end(&scope);
	quota->left = ma_pace_quota(pace, number);
	if (quota->left >= 0)
		quota->left = Max(quota->left - sent, 0);
}

/* Notes that so many messages have gone out of it. */
void
ma_rate_close_quota(const MaQuota *quota, int used)
{
	static MaStatement stmt = {
		"insert into mautomate_internal.warm_up as w values ($1, $2, $2, $3)"
		" on conflict (channel_id) do update set day = $2, used = $3"
		"  + case when w.day = $2 then w.used else 0 end",
		3,
		{INT4OID, DATEOID, INT4OID}};
	Datum	   values[3] = {Int32GetDatum(quota->channel_id),
							DateADTGetDatum(quota->day), Int32GetDatum(used)};
	MaSqlScope scope;

	if (used == 0)
		return;
	ma_sql_begin(&scope);
	ma_sql_exec(&stmt, values, NULL, 0);
	ma_sql_end(&scope);
}
