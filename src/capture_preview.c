/*
 * capture_preview.c
 *	  What attaching a table would do, without doing it.
 *
 * The rows are read and evaluated as attach_events() would, and compared with
 * what is there; nothing is locked and nothing written.
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "batch.h"
#include "capture_private.h"
#include "sql.h"

PG_FUNCTION_INFO_V1(mautomate_attach_preview);

#define SAMPLE 10 /* rows shown of each sort */
#define SHOWN  8  /* columns of the result */

/* Names of newcomers that are the same in so many bytes count as one. */
#define NAME_MAX_BYTES 256

/* What is counted and shown. */
typedef struct Preview
{
	ReturnSetInfo *result;
	int64		   rows;
	int64		   events;
	int64		   known; /* events that are in the log */
	int64		   errors;
	int64		   shown_events;
	int64		   shown_errors;
	HTAB		  *newcomers; /* names of persons nobody knows */
} Preview;

static void	 take_chunk(MaCaptureRun *run, void *arg);
static void	 check_address(MaProfile *person);
static bool *find_known(MaCaptureRun *run);
static void	 show_event(Preview *preview, const MaProfile *person,
						const MaEventRow *event);
static void	 show_error(Preview *preview, ErrorData *problem);
static void	 note_newcomer(Preview *preview, const MaProfile *person);
static void	 show_count(Preview *preview, const char *what, int64 count);

/* attach_preview(...): the arguments of attach_events(). */
Datum
mautomate_attach_preview(PG_FUNCTION_ARGS)
{
	Preview		 preview = {0};
	HASHCTL		 ctl = {.keysize = NAME_MAX_BYTES,
						.entrysize = NAME_MAX_BYTES,
						.hcxt = CurrentMemoryContext};
	MaSource	 source = {0};
	MaSourceText text;
	Relation	 rel;
	MaCapture	*capture;

	ma_capture_arguments(fcinfo, &text);
	InitMaterializedSRF(fcinfo, 0);
	preview.result = (ReturnSetInfo *) fcinfo->resultinfo;
	preview.newcomers = hash_create("mautomate newcomers", 256, &ctl,
									HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	rel = relation_open(text.relation, AccessShareLock);
	ma_capture_describe(rel, &text, AccessShareLock);
	ma_capture_check_readable(rel);
	source.text = text;
	ma_capture_prepare(rel, &source);
	ma_source_compare_key(&source, rel);
	if (source.was_key.n > 0)
		source.key = source.was_key; /* only looked for */
	source.was_key.n = 0;
	capture =
		ma_capture_begin(&source, 1, RelationGetDescr(rel), MA_CAPTURE_ROWS);
	ma_capture_watch(capture, take_chunk, &preview);
	ma_capture_scan(rel, capture);
	ma_capture_end(capture);
	relation_close(rel, NoLock);
	show_count(&preview, "rows read", preview.rows);
	show_count(&preview, "new events", preview.events);
	show_count(&preview, "events already in the log", preview.known);
	show_count(&preview, "new contacts",
			   hash_get_num_entries(preview.newcomers));
	show_count(&preview, "errors", preview.errors);
	return (Datum) 0;
}

/* Counts what the rows of a chunk would become. */
static void
take_chunk(MaCaptureRun *run, void *arg)
{
	Preview	 *preview = arg;
	bool	 *known;
	ListCell *lc;

	preview->rows += run->nrows;
	ma_capture_find_events(run, false);
	ma_contact_resolve_all(run->profiles, run->n, false);
	for (int i = 0; i < run->n; i++)
		check_address(&run->profiles[i]);
	known = find_known(run);
	for (int i = 0; i < run->n; i++)
	{
		MaProfile *person = &run->profiles[i];

		if (person->problem != NULL)
			show_error(preview, person->problem);
		else if (known[i])
			preview->known++;
		else
		{
			if (person->contact_id == 0)
				note_newcomer(preview, person);
			show_event(preview, person, &run->events[i]);
		}
	}
	foreach (lc, run->notes)
		show_error(preview, ((MaCaptureNote *) lfirst(lc))->problem);
}

/* Who would be made known by an address that is none is an error. */
static void
check_address(MaProfile *person)
{
	MaProfile	try = {0};
	const char *reason = NULL;

	if (person->contact_id != 0 || person->problem != NULL || person->is_id ||
		person->external_id == NULL ||
		strchr(person->external_id, '@') == NULL)
		return;
	if (!ma_profile_set_email(&try, person->external_id, &reason))
		person->problem = ma_contact_bad_email(person->external_id, reason);
}

/* Which events of a chunk are in the log already? */
static bool *
find_known(MaCaptureRun *run)
{
	static MaStatement stmt = {
		"select u.i from unnest($1, $2, $3) u (i, contact_id, dedupe_key)"
		" join mautomate_internal.dedupe d on d.contact_id = u.contact_id"
		" and d.dedupe_key = u.dedupe_key",
		3,
		{INT4ARRAYOID, INT8ARRAYOID, TEXTARRAYOID}};
	bool	  *known = palloc0(sizeof(bool) * (run->n + 1));
	MaColumn   columns[3];
	Datum	   values[3];
	MaSqlScope scope;

	ma_column_init(&columns[0], INT4OID, run->n);
	ma_column_init(&columns[1], INT8OID, run->n);
	ma_column_init(&columns[2], TEXTOID, run->n);
	for (int i = 0; i < run->n; i++)
	{
		ma_column_add(&columns[0], Int32GetDatum(i), false);
		ma_column_add(&columns[1], Int64GetDatum(run->profiles[i].contact_id),
					  false);
		ma_column_add_text(&columns[2], run->events[i].dedupe_key);
	}
	for (int i = 0; i < lengthof(columns); i++)
		values[i] = ma_column_array(&columns[i]);
	ma_sql_begin(&scope);
	ma_sql_read(&stmt, values, NULL, 0);
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		bool isnull;

		known[DatumGetInt32(ma_sql_datum(row, 1, &isnull))] = true;
	}
	ma_sql_end(&scope);
	return known;
}

/* Counts an event, and shows the first ones. */
static void
show_event(Preview *preview, const MaProfile *person, const MaEventRow *event)
{
	const char *email = person->columns[MA_CONTACT_EMAIL];
	Datum		values[SHOWN] = {0};
	bool		nulls[SHOWN];

	preview->events++;
	if (preview->shown_events++ >= SAMPLE)
		return;
	memset(nulls, true, sizeof(nulls));
	values[0] = CStringGetTextDatum("event");
	nulls[0] = false;
	if (person->external_id != NULL)
		values[2] = CStringGetTextDatum(person->external_id);
	nulls[2] = person->external_id == NULL;
	if (email != NULL)
		values[3] = CStringGetTextDatum(email);
	nulls[3] = email == NULL;
	values[4] = CStringGetTextDatum(event->kind);
	nulls[4] = false;
	values[5] = TimestampTzGetDatum(event->occurred_at);
	nulls[5] = false;
	if (event->properties != NULL)
		values[6] = JsonbPGetDatum(event->properties);
	nulls[6] = event->properties == NULL;
	tuplestore_putvalues(preview->result->setResult, preview->result->setDesc,
						 values, nulls);
}

/* Counts an error, and shows the first ones. */
static void
show_error(Preview *preview, ErrorData *problem)
{
	Datum values[SHOWN] = {0};
	bool  nulls[SHOWN];

	preview->errors++;
	if (preview->shown_errors++ >= SAMPLE)
		return;
	memset(nulls, true, sizeof(nulls));
	values[0] = CStringGetTextDatum("error");
	nulls[0] = false;
	values[7] = CStringGetTextDatum(
		problem->detail == NULL ?
			problem->message :
			psprintf("%s: %s", problem->message, problem->detail));
	nulls[7] = false;
	tuplestore_putvalues(preview->result->setResult, preview->result->setDesc,
						 values, nulls);
}

/* Remembers the name of a person nobody knows. */
static void
note_newcomer(Preview *preview, const MaProfile *person)
{
	const char *name = person->external_id ? person->external_id :
											 person->columns[MA_CONTACT_EMAIL];

	(void) hash_search(preview->newcomers, name, HASH_ENTER, NULL);
}

/* Shows a count. */
static void
show_count(Preview *preview, const char *what, int64 count)
{
	Datum values[SHOWN] = {0};
	bool  nulls[SHOWN];

	memset(nulls, true, sizeof(nulls));
	values[0] = CStringGetTextDatum(what);
	values[1] = Int64GetDatum(count);
	nulls[0] = nulls[1] = false;
	tuplestore_putvalues(preview->result->setResult, preview->result->setDesc,
						 values, nulls);
}
