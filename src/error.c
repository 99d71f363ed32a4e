/*
 * error.c
 *	  Errors of definitions, noted instead of raised.
 *
 * A definition that fails on some row must not fail the application's own
 * statement. What it would have raised is appended to a table without any
 * unique key, in the caller's transaction (a unique key would make a second
 * session wait for the first one's commit), and at most NOTES_PER_OBJECT
 * times per object and statement, so that a million failing rows cost ten.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/elog.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "error.h"
#include "sql.h"

#define NOTES_PER_OBJECT 10
#define OBJECTS			 64
#define NOTE_BYTES		 2000 /* of a text of a note */

/* How often an object has been noted in the current statement. */
typedef struct NoteCount
{
	uint32 object_hash; /* of its name */
	int	   count;		/* notes so far */
} NoteCount;

static NoteCount   counts[OBJECTS];
static TimestampTz counts_of = 0; /* start of the statement counted */

/* The counter of an object: its own, a free one, or somebody else's. */
static NoteCount *
find_count(uint32 hash)
{
	for (int i = 0; i < OBJECTS; i++)
	{
		NoteCount *slot = &counts[(hash + i) % OBJECTS];

		if (slot->object_hash == hash || slot->count == 0)
			return slot;
	}
	return &counts[hash % OBJECTS];
}

/* May this object be noted once more in this statement? Counts it. */
static bool
may_note(const char *object)
{
	uint32	   hash = string_hash(object, strlen(object) + 1);
	NoteCount *slot;

	if (counts_of != GetCurrentStatementStartTimestamp())
	{
		memset(counts, 0, sizeof(counts));
		counts_of = GetCurrentStatementStartTimestamp();
	}
	slot = find_count(hash);
	if (slot->object_hash != hash)
	{
		slot->object_hash = hash;
		slot->count = 0;
	}
	return slot->count++ < NOTES_PER_OBJECT;
}

/* A text of a note: what it quotes may be as long as any value. */
static Datum
clip(const char *text)
{
	return PointerGetDatum(cstring_to_text_with_len(
		text, pg_mbcliplen(text, strlen(text), NOTE_BYTES)));
}

/*
 * Notes an error of an object ('list "loyal"') for a contact (0: none) in the
 * caller's transaction. The edata is a copy (CopyErrorData), its fields
 * detail and hint may be NULL.
 */
void
ma_error_note(const char *object, int64 contact_id, ErrorData *edata)
{
	static MaStatement stmt = {
		"insert into mautomate_internal.error"
		" (occurred_at, object, contact_id, sqlstate, message, detail, hint)"
		" values ($1, $2, $3, $4, $5, $6, $7)",
		7,
		{TIMESTAMPTZOID, TEXTOID, INT8OID, TEXTOID, TEXTOID, TEXTOID,
		 TEXTOID}};
	MaSqlScope scope;
	Datum	   values[7];
	char	   nulls[8] = "       ";

	/* who only reads has nowhere to note it */
	if (XactReadOnly || !may_note(object))
		return;
	values[0] = TimestampTzGetDatum(ma_now());
	values[1] = CStringGetTextDatum(object);
	values[2] = Int64GetDatum(contact_id);
	if (contact_id == 0)
		nulls[2] = 'n';
	values[3] = CStringGetTextDatum(unpack_sql_state(edata->sqlerrcode));
	values[4] = clip(edata->message);
	values[5] = clip(edata->detail ? edata->detail : "");
	if (edata->detail == NULL)
		nulls[5] = 'n';
	values[6] = clip(edata->hint ? edata->hint : "");
	if (edata->hint == NULL)
		nulls[6] = 'n';
	ma_sql_begin(&scope);
	ma_sql_exec(&stmt, values, nulls, 0);
	ma_sql_end(&scope);
}
