/*
 * journey.c
 *	  The runner: moves enrolments through their programs.
 *
 * A pass works in batches. Each batch locks the states of its contacts (those
 * another session holds are left for later), then their enrolments, runs the
 * steps in memory up to the next wait or the end, and writes everything with
 * one statement per table: messages, log, enrolments. All steps there are
 * today are SQL, so a batch is one unit: the log row of a step, its message
 * and the next wake time commit together, with the transaction of the caller
 * (one per pass in the scheduler). The unique keys of the log and of the
 * messages make a second execution of a step an error, not a second mail.
 *
 * A batch runs in a subtransaction. If it fails, its enrolments run one by
 * one, each in its own, so that a failing one blocks nobody; it is tried
 * again later, and given up after ATTEMPTS tries. One that only could not get
 * a lock is simply left for the next pass.
 *
 * Time: a wait counts from the instant the step was due, not from when the
 * runner came to it, and what is due runs in the order it was due. So a clock
 * set a year ahead replays the year. A runner that is more than an hour late
 * on the real clock counts from now: after an outage the mails of a chain
 * must not all go at once.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "error.h"
#include "guard.h"
#include "journey.h"
#include "journey_private.h"
#include "sql.h"

/* Enrolments in a batch, and tries before one is given up. */
#define BATCH	 1000
#define ATTEMPTS 5

/* Where a sweep over what is due stands. */
typedef struct Cursor
{
	bool  signalled; /* first those an event concerns, then those
								 * whose time has come */
	MaDue last;		 /* the last one seen */
} Cursor;

/* A batch to be tried. */
typedef struct Trial
{
	const MaDue *due;
	int			 n;
	TimestampTz	 bound;
	int			 done; /* out: enrolments run */
} Trial;

/* Reads the next enrolments that events concern; not all may go on now. */
static uint64
read_signalled(const Cursor *cursor, TimestampTz now, int max)
{
	static MaStatement stmt = {
		"select u.contact_id, u.enrollment_id, $1, exists (select"
		" from mautomate_internal.enrollment e"
		" join mautomate_internal.workflow w using (workflow_id)"
		" where e.contact_id = u.contact_id"
		" and e.enrollment_id = u.enrollment_id and e.ended_at is null"
		" and w.state = 'active' and (e.attempts = 0 or e.wake_at <= $1))"
		" from (select distinct contact_id, enrollment_id"
		" from mautomate_internal.wakeup"
		" where (contact_id, enrollment_id) > ($2, $3)"
		" order by contact_id, enrollment_id limit $4) u"
		" order by 1, 2",
		4,
		{TIMESTAMPTZOID, INT8OID, INT8OID, INT4OID}};
	Datum values[4];

	values[0] = TimestampTzGetDatum(now);
	values[1] = Int64GetDatum(cursor->last.contact_id);
	values[2] = Int64GetDatum(cursor->last.enrollment_id);
	values[3] = Int32GetDatum(max);
	return ma_sql_exec(&stmt, values, NULL, 0);
}

/* Reads the next enrolments whose time has come. */
static uint64
read_timed(const Cursor *cursor, TimestampTz now, int max)
{
	static MaStatement stmt = {
		"select d.contact_id, d.enrollment_id, d.wake_at, true"
		" from mautomate_internal.workflow w cross join lateral ("
		" select e.contact_id, e.enrollment_id, e.wake_at"
		" from mautomate_internal.enrollment e"
		" where e.workflow_id = w.workflow_id and e.state = 'active'"
		" and e.wake_at <= $1 and (e.wake_at, e.enrollment_id) > ($2, $3)"
		" order by e.wake_at, e.enrollment_id limit $4) d"
		" where w.state = 'active'"
		" order by d.wake_at, d.enrollment_id limit $4",
		4,
		{TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID, INT4OID}};
	Datum values[4];

	values[0] = TimestampTzGetDatum(now);
	values[1] = TimestampTzGetDatum(cursor->last.wake_at);
	values[2] = Int64GetDatum(cursor->last.enrollment_id);
	values[3] = Int32GetDatum(max);
	return ma_sql_exec(&stmt, values, NULL, 0);
}

/*
 * Reads the next page of what may be due and moves the cursor behind it.
 * Returns how many there are of it, in *n those that really are.
 */
static int
read_due(Cursor *cursor, TimestampTz now, MaDue *due, int max, int *n)
{
	MaSqlScope scope;
	int		   size;

	*n = 0;
	ma_sql_begin(&scope);
	size = cursor->signalled ? read_signalled(cursor, now, max) :
							   read_timed(cursor, now, max);
	for (int i = 0; i < size; i++)
	{
		MaDue *last = &cursor->last;
		bool   isnull;

		last->contact_id = DatumGetInt64(ma_sql_datum(i, 1, &isnull));
		last->enrollment_id = DatumGetInt64(ma_sql_datum(i, 2, &isnull));
		last->wake_at = DatumGetTimestampTz(ma_sql_datum(i, 3, &isnull));
		if (DatumGetBool(ma_sql_datum(i, 4, &isnull)))
			due[(*n)++] = *last;
	}
	ma_sql_end(&scope);
	return size;
}

/* Reads, runs and writes a batch; raises what fails. */
static void
try_batch(void *arg)
{
	Trial	  *trial = arg;
	MaJourney *journey = ma_journey_read(trial->due, trial->n);

	journey->bound = trial->bound;
	ma_journey_run(journey);
	ma_journey_write(journey);
	trial->done = journey->ntravellers;
}

/* Counts a failure and puts the next try off, or gives the enrolment up. */
static void
record_failure(const MaDue *due, ErrorData *error)
{
	static MaStatement stmt = {
		"update mautomate_internal.enrollment e"
		" set attempts = e.attempts + 1, reason = $3,"
		" wake_at = $4 + interval '1 minute' * power(2, e.attempts),"
		" state = case when e.attempts + 1 >= $5 then 'failed'"
		" else e.state end,"
		" ended_at = case when e.attempts + 1 >= $5 then $4 end"
		" from mautomate_internal.workflow w"
		" where e.contact_id = $1 and e.enrollment_id = $2"
		" and e.ended_at is null and w.workflow_id = e.workflow_id"
		" returning w.name",
		5,
		{INT8OID, INT8OID, TEXTOID, TIMESTAMPTZOID, INT4OID}};
	MaSqlScope scope;
	Datum	   values[5];
	char	  *name = NULL;

	ma_sql_begin(&scope);
	values[0] = Int64GetDatum(due->contact_id);
	values[1] = Int64GetDatum(due->enrollment_id);
	values[2] = CStringGetTextDatum(error->message);
	values[3] = TimestampTzGetDatum(ma_now());
	values[4] = Int32GetDatum(ATTEMPTS);
	if (ma_sql_exec(&stmt, values, NULL, 0) > 0)
		name = ma_sql_text(0, 1);
	if (name != NULL)
		ma_error_note(psprintf("workflow \"%s\"", name), due->contact_id,
					  error);
	ma_sql_end(&scope);
}

/* Runs a batch, or its enrolments one by one. Returns how many it ran. */
static int
run_batch(const MaDue *due, int n, TimestampTz bound)
{
	Trial trial = {.due = due, .n = n, .bound = bound};
	int	  done = 0;

	if (ma_guard(try_batch, &trial) == NULL)
		return trial.done;
	for (int i = 0; i < n; i++)
	{
		Trial	   single = {.due = &due[i], .n = 1, .bound = bound};
		ErrorData *error;

		CHECK_FOR_INTERRUPTS();
		error = ma_guard(try_batch, &single);
		if (error == NULL)
			done += single.done;
		else if (error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE)
		{
			record_failure(&due[i], error);
			done++;
		}
	}
	return done;
}

/* One sweep over everything due. Returns how many enrolments it ran. */
static int
sweep(int max)
{
	Cursor		  cursor = {.signalled = true};
	TimestampTz	  now = ma_now();
	MaDue		 *due = palloc(sizeof(MaDue) * BATCH);
	MemoryContext cxt =
		AllocSetContextCreate(CurrentMemoryContext, "mautomate journey batch",
							  ALLOCSET_DEFAULT_SIZES);
	int done = 0;

	while (done < max)
	{
		int			  limit = Min(BATCH, max - done);
		int			  n;
		int			  size = read_due(&cursor, now, due, limit, &n);
		MemoryContext caller;

		if (size == 0 && !cursor.signalled)
			break;
		if (size == 0)
		{
			cursor.signalled = false;
			cursor.last = (MaDue){.wake_at = DT_NOBEGIN};
			continue;
		}
		if (n == 0)
			continue;
		caller = MemoryContextSwitchTo(cxt);
		done += run_batch(due, n, size < limit ? now : due[n - 1].wake_at);
		MemoryContextSwitchTo(caller);
		MemoryContextReset(cxt);
		CHECK_FOR_INTERRUPTS();
	}
	MemoryContextDelete(cxt);
	pfree(due);
	return done;
}

/*
 * Runs what is due, at most max enrolments, until nothing is or all that is
 * left is held by other sessions. Returns how many were run.
 */
int
ma_journey_pass(int max)
{
	int total = 0;
	int done;

	do
	{
		done = sweep(max - total);
		total += done;
	} while (done > 0 && total < max);
	return total;
}

/* When something is due next: now or earlier if it is; DT_NOEND for never. */
TimestampTz
ma_journey_next_due(void)
{
	static MaStatement stmt = {
		"select min(d.wake_at)"
		" from mautomate_internal.workflow w cross join lateral ("
		" select e.wake_at from mautomate_internal.enrollment e"
		" where e.workflow_id = w.workflow_id and e.state = 'active'"
		" order by e.wake_at limit 1) d"
		" where w.state = 'active'"
		" union all"
		" select $1 where exists (select"
		" from mautomate_internal.wakeup u"
		" join mautomate_internal.enrollment e"
		" using (contact_id, enrollment_id)"
		" join mautomate_internal.workflow w using (workflow_id)"
		" where e.ended_at is null and w.state = 'active'"
		" and e.attempts = 0)",
		1,
		{TIMESTAMPTZOID}};
	MaSqlScope	scope;
	Datum		values[1];
	TimestampTz due = DT_NOEND;

	ma_sql_begin(&scope);
	values[0] = TimestampTzGetDatum(ma_now());
	ma_sql_exec(&stmt, values, NULL, 0);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool  isnull;
		Datum value = ma_sql_datum(i, 1, &isnull);

		if (!isnull)
			due = Min(due, DatumGetTimestampTz(value));
	}
	ma_sql_end(&scope);
	return due;
}
