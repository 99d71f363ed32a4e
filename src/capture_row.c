/*
 * capture_row.c
 *	  Rows of a source, becoming contacts and events.
 *
 * A chunk of rows is evaluated in one subtransaction, as the user whose
 * statement it is, by expressions that consist of built-in functions only.
 * Nothing a row contains is an error of the application's statement:
 * where an evaluation raises, the subtransaction is rolled back, this one row
 * is evaluated expression by expression, each in a subtransaction of its own,
 * and what failed is noted and taken as null, or the row is left out if it
 * cannot do without. So a statement in which every row fails costs more per
 * row, but no more than that.
 *
 * What goes into an index of ours is bounded here, because an index row that
 * is too long would be an error.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/md5.h"
#include "executor/tuptable.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datum.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

#include "attribute.h"
#include "capture_private.h"
#include "capture_value.h"
#include "clock.h"
#include "error.h"
#include "guard.h"
#include "setting.h"

#define KEY_MAX 1000 /* bytes of a dedupe key */

static bool	 evaluate_rows(MaCaptureRun *run);
static void	 evaluate_row(MaCaptureRun *run);
static bool	 read_row(MaCaptureRun *run, bool has_old);
static bool	 read_event(MaCaptureRun *run, bool has_old);
static bool	 read_contact(MaCaptureRun *run, bool has_old);
static bool	 identify_row(MaCaptureRun *run, bool before, MaProfile *profile);
static bool	 is_event(MaCaptureRun *run, bool before, MaProfile *profile);
static bool	 is_now(const MaCaptureRun *run, const TupleTableSlot *slot);
static char *text_value(MaCaptureRun *run, MaExpr *expr, TupleTableSlot *slot);
static bool	 time_value(MaCaptureRun *run, TupleTableSlot *slot,
						TimestampTz *result);
static bool	 read_id(MaCaptureRun *run, MaExpr *expr, TupleTableSlot *slot,
					 const char **id);
static void	 add_gone(MaCaptureRun *run, const MaProfile *profile);
static bool	 read_content(MaCaptureRun *run, TupleTableSlot *slot,
						  MaEventRow *event, const MaEventRow *other);
static bool	 is_void(MaCaptureRun *run, TupleTableSlot *slot);
static bool	 holds(MaCaptureRun *run, MaExpr *condition, TupleTableSlot *slot);
static void	 read_fields(MaCaptureRun *run, TupleTableSlot *slot,
						 JsonbValue *values);
static Jsonb *object_of_fields(MaCaptureRun *run, const JsonbValue *values,
							   const JsonbValue *old);
static Datum  value_of(MaCaptureRun *run, MaExpr *expr, int i,
					   TupleTableSlot *slot, bool *isnull);
static char	 *row_key(MaSourceKey *of, TupleTableSlot *slot);
static const char *dedupe_key(MaCaptureRun *run, TupleTableSlot *slot);
static const char *key_then(MaCaptureRun *run);
static const char *dedupe_key_of(MaCaptureRun *run, MaSourceKey *of,
								 TupleTableSlot *slot);
static void		   follow_row(MaCaptureRun *run, const MaProfile *was,
							  const MaProfile *is);
static void		   add_moved(MaCaptureRun *run, const MaProfile *from,
							 const MaProfile *to);
static void		   follow_key(MaCaptureRun *run, const MaProfile *is);
static void		   add_rekeyed(MaCaptureRun *run, const MaProfile *profile);
static bool		   same_key(MaCaptureRun *run);
static void		   note(MaCaptureRun *run, int person, ErrorData *problem);

/* Evaluates a chunk, under our settings. */
void
ma_capture_evaluate(MaCaptureRun *run)
{
	MaSetting own;

	run->profiles = palloc0(sizeof(MaProfile) * run->nrows);
	run->events = palloc0(sizeof(MaEventRow) * run->nrows);
	run->again = palloc0(sizeof(MaOnUpdate) * run->nrows);
	run->gone_profiles = palloc0(sizeof(MaProfile) * run->nrows);
	run->gone_events = palloc0(sizeof(MaEventRow) * run->nrows);
	run->rekeyed_profiles = palloc0(sizeof(MaProfile) * run->nrows);
	run->rekeyed = palloc0(sizeof(MaEventKey) * run->nrows);
	run->moved_profiles = palloc0(sizeof(MaProfile) * run->nrows);
	run->mover_profiles = palloc0(sizeof(MaProfile) * run->nrows);
	run->moved = palloc0(sizeof(MaEventMove) * run->nrows);
	run->known = palloc0(sizeof(MaProfile) * run->nrows);
	run->anonymous = palloc0(sizeof(char *) * run->nrows);
	run->known_keys = palloc0(sizeof(char *) * run->nrows);
	run->next = 0;
	ma_setting_enter(&own);
	PG_TRY();
	{
		while (!evaluate_rows(run))
		{
			run->careful = true;
			evaluate_row(run);
			run->careful = false;
		}
	}
	PG_FINALLY();
	{
		ma_setting_leave(&own);
	}
	PG_END_TRY();
}

/*
 * Evaluates the rows from run->next on in one subtransaction. Returns false
 * if the row now at run->next raised an error.
 */
static bool
evaluate_rows(MaCaptureRun *run)
{
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool done = false;

	if (run->next == run->nrows)
		return true;
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(run->cxt);
	PG_TRY();
	{
		while (run->next < run->nrows)
			evaluate_row(run);
		ReleaseCurrentSubTransaction();
		done = true;
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(run->cxt);
		if (!ma_capture_may_note(geterrcode()))
			ma_guard_rethrow(run->cxt, owner);
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		run->ngone = run->sure_gone;
		run->nrekeyed = run->sure_rekeyed;
		run->nmoved = run->sure_moved;
		run->nknown = run->sure_known;
		run->notes = list_truncate(run->notes, run->sure_notes);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(run->cxt);
	CurrentResourceOwner = owner;
	return done;
}

/* Evaluates the row at run->next and steps over it. */
static void
evaluate_row(MaCaptureRun *run)
{
	MaCaptureRow *row = &run->rows[run->next];
	bool		  has_old = row->old != NULL;

	ExecForceStoreMinimalTuple(row->row, run->row, false);
	if (has_old)
		ExecForceStoreMinimalTuple(row->old, run->old, false);
	if (run->source->via != NULL)
	{
		ExecClearTuple(run->pointed);
		ExecClearTuple(run->old_pointed);
		if (row->pointed != NULL)
			ExecForceStoreMinimalTuple(row->pointed, run->pointed, false);
		if (row->old_pointed != NULL)
			ExecForceStoreMinimalTuple(row->old_pointed, run->old_pointed,
									   false);
	}
	run->failed = false;
	run->again[run->n] = MA_ON_UPDATE_IGNORE;
	run->sure_gone = run->ngone;
	run->sure_rekeyed = run->nrekeyed;
	run->sure_moved = run->nmoved;
	run->sure_known = run->nknown;
	run->sure_notes = list_length(run->notes);
	memset(&run->profiles[run->n], 0, sizeof(MaProfile));
	memset(&run->events[run->n], 0, sizeof(MaEventRow));
	if (read_row(run, has_old))
		run->n++;
	run->next++;
}

/* Does the row at hand become the next one of the run? */
static bool
read_row(MaCaptureRun *run, bool has_old)
{
	bool is_contact = run->source->text.kind == NULL;

	if (run->erasing)
		return identify_row(run, false, &run->profiles[run->n]);
	return is_contact ? read_contact(run, has_old) : read_event(run, has_old);
}

/*
 * Does the row count as an event now, and did it not before, or differently?
 * Then it becomes the next one of the run. What it no longer is goes to those
 * to be withdrawn.
 */
static bool
read_event(MaCaptureRun *run, bool has_old)
{
	MaSource   *source = run->source;
	MaProfile  *profile = &run->profiles[run->n];
	MaEventRow *event = &run->events[run->n];
	MaProfile	before = {0};
	bool		is = is_event(run, false, profile);
	bool		was = is && has_old && is_event(run, true, &before);

	if (has_old)
		follow_row(run, was ? &before : NULL, is ? profile : NULL);
	else if (run->source->was_key.n > 0)
		follow_key(run, is ? profile : NULL);
	if (!is)
	{
		if (!run->failed && is_void(run, run->row) &&
			!(has_old && is_void(run, run->old)) &&
			identify_row(run, has_old, &before))
			add_gone(run, &before);
		return false;
	}
	if (was && source->on_update == MA_ON_UPDATE_IGNORE)
		return false;
	if (run->naming)
	{
		if (ma_profile_address(profile) != NULL)
			event->dedupe_key = key_then(run);
		return true;
	}
	run->failed = false;
	event->kind = source->text.kind;
	if (!read_content(run, run->row, event, NULL))
		return false;
	event->dedupe_key = dedupe_key(run, run->row);
	/* one that is inserted has been there before only if it is read again */
	if (source->on_update == MA_ON_UPDATE_REPLACE || (has_old && !was))
		run->again[run->n] = source->on_update;
	if (!was)
		return true;
	if (ma_profile_same_name(profile, &before))
	{
		MaEventRow old = {0};

		if (read_content(run, run->old, &old, event))
			return false;
	}
	event->is_more = source->on_update == MA_ON_UPDATE_APPEND;
	return true;
}

/*
 * The event that the row at hand has become once, whether it is one now or
 * not, follows the row's primary key and, if it is to be replaced, its person.
 * The caller knows whose the row was and is, or not (NULL).
 */
static void
follow_row(MaCaptureRun *run, const MaProfile *was, const MaProfile *is)
{
	bool	  same = same_key(run);
	bool	  failed = run->failed;
	int		  nknown = run->nknown;
	int		  nnotes = list_length(run->notes);
	MaProfile before = {0};
	MaProfile now = {0};

	if (same && run->source->on_update != MA_ON_UPDATE_REPLACE)
		return;
	if (was == NULL && identify_row(run, true, &before))
		was = &before;
	if (was != NULL && !same)
		add_rekeyed(run, was);
	if (was != NULL && run->source->on_update == MA_ON_UPDATE_REPLACE)
	{
		if (is == NULL && identify_row(run, false, &now) &&
			!is_void(run, run->row))
			is = &now;
		if (is != NULL && !ma_profile_same_name(was, is))
			add_moved(run, was, is);
	}
	/* of a row that is no event nothing is told */
	run->failed = failed;
	if (is == NULL || is == &now)
	{
		run->nknown = nknown;
		run->notes = list_truncate(run->notes, nnotes);
	}
}

/*
 * The event that the row at hand has become once is known by the primary key
 * that the table had; the caller knows whose it is, or that it is none (NULL).
 */
static void
follow_key(MaCaptureRun *run, const MaProfile *is)
{
	bool	  failed = run->failed;
	int		  nknown = run->nknown;
	int		  nnotes = list_length(run->notes);
	MaProfile now = {0};

	if (is != NULL)
	{
		add_rekeyed(run, is);
		return;
	}
	if (identify_row(run, false, &now))
		add_rekeyed(run, &now);
	/* of a row that is no event nothing is told */
	run->failed = failed;
	run->nknown = nknown;
	run->notes = list_truncate(run->notes, nnotes);
}

/* The event of the row at hand, as this person's, is to be another one's. */
static void
add_moved(MaCaptureRun *run, const MaProfile *from, const MaProfile *to)
{
	run->moved_profiles[run->nmoved] = *from;
	run->mover_profiles[run->nmoved] = *to;
	run->moved[run->nmoved++].dedupe_key = key_then(run);
}

/* The event of the row at hand, as this person's, is to be withdrawn. */
static void
add_gone(MaCaptureRun *run, const MaProfile *profile)
{
	MaEventRow *event = &run->gone_events[run->ngone];

	run->gone_profiles[run->ngone++] = *profile;
	event->kind = run->source->text.kind;
	event->dedupe_key = key_then(run);
}

/* The event of the row at hand, as this person's, gets the row's new key. */
static void
add_rekeyed(MaCaptureRun *run, const MaProfile *profile)
{
	MaEventKey *key = &run->rekeyed[run->nrekeyed];

	run->rekeyed_profiles[run->nrekeyed++] = *profile;
	key->from = run->source->was_key.n > 0 ?
					dedupe_key_of(run, &run->source->was_key, run->row) :
					dedupe_key(run, run->old);
	key->to = dedupe_key(run, run->row);
}

/* Has the row at hand the primary key that it had before? */
static bool
same_key(MaCaptureRun *run)
{
	for (int i = 0; i < run->source->key.n; i++)
	{
		int				  column = run->source->key.columns[i];
		Form_pg_attribute att =
			TupleDescAttr(run->row->tts_tupleDescriptor, column - 1);
		bool  isnull;
		Datum now = slot_getattr(run->row, column, &isnull);
		Datum then = slot_getattr(run->old, column, &isnull);

		if (!isnull && !datum_image_eq(now, then, att->attbyval, att->attlen))
			return false;
	}
	return true;
}

/*
 * Reads time and properties of a row into an event; false if it cannot be
 * one. Compared with another event: false also unless they are the same.
 */
static bool
read_content(MaCaptureRun *run, TupleTableSlot *slot, MaEventRow *event,
			 const MaEventRow *other)
{
	MaExpr *fields = run->source->fields;

	if (!time_value(run, slot, &event->occurred_at))
		return false;
	if (fields != NULL)
	{
		JsonbValue *values =
			palloc(sizeof(JsonbValue) * ma_expr_count(fields));

		read_fields(run, slot, values);
		event->properties = object_of_fields(run, values, NULL);
	}
	if (other == NULL)
		return true;
	return (run->source->occurred_at == NULL ||
			event->occurred_at == other->occurred_at) &&
		   (fields == NULL ||
			(VARSIZE(event->properties) == VARSIZE(other->properties) &&
			 memcmp(event->properties, other->properties,
					VARSIZE(event->properties)) == 0));
}

/* Does a row satisfy the condition, and is it somebody's, and not void? */
static bool
is_event(MaCaptureRun *run, bool before, MaProfile *profile)
{
	TupleTableSlot *slot = before ? run->old : run->row;

	run->failed = false;
	if (run->source->condition != NULL &&
		!holds(run, run->source->condition, slot))
		return false;
	if (is_void(run, slot) || run->failed)
		return false;
	return identify_row(run, before, profile) && !run->failed;
}

/* Is the row void? */
static bool
is_void(MaCaptureRun *run, TupleTableSlot *slot)
{
	return run->source->void_when != NULL &&
		   holds(run, run->source->void_when, slot);
}

/* Does a condition hold for a row? */
static bool
holds(MaCaptureRun *run, MaExpr *condition, TupleTableSlot *slot)
{
	bool  isnull;
	Datum value = value_of(run, condition, 0, slot, &isnull);

	return !isnull && DatumGetBool(value);
}

/* Is it what the row says now, and not what it said before? */
static bool
is_now(const MaCaptureRun *run, const TupleTableSlot *slot)
{
	return slot == run->row || slot == run->pointed;
}

/* Whose row is (was) it? False if nobody's, or if that cannot be told. */
static bool
identify_row(MaCaptureRun *run, bool before, MaProfile *profile)
{
	MaSource	   *source = run->source;
	TupleTableSlot *slot = before ? run->old : run->row;
	const char	   *reason = NULL;
	const char	   *anonymous;
	char		   *text;

	if (source->via != NULL)
		slot = before ? run->old_pointed : run->pointed;
	if (TTS_EMPTY(slot))
		return false;
	if (!read_id(run, source->contact, slot, &profile->external_id))
		return false;
	text = text_value(run, source->email, slot);
	if (text != NULL && !ma_profile_set_email(profile, text, &reason) &&
		is_now(run, slot))
		note(run, run->n, ma_contact_bad_email(text, reason));
	text = text_value(run, source->phone, slot);
	if (text != NULL && !ma_profile_set_phone(profile, text, &reason) &&
		is_now(run, slot))
		note(run, run->n, ma_contact_bad_phone(text, reason));
	run->failed = false;
	if (source->anonymous == NULL ||
		!read_id(run, source->anonymous, slot, &anonymous) ||
		anonymous == NULL)
		return ma_profile_is_named(profile);
	if (!ma_profile_is_named(profile))
	{
		profile->external_id = anonymous;
		profile->is_id = true;
	}
	else if (is_now(run, slot))
	{
		run->known[run->nknown] = *profile;
		run->known_keys[run->nknown] =
			source->text.kind != NULL && ma_profile_address(profile) != NULL ?
				key_then(run) :
				NULL;
		run->anonymous[run->nknown++] = anonymous;
	}
	return true;
}

/* Reads an external id; false if it cannot be one. */
static bool
read_id(MaCaptureRun *run, MaExpr *expr, TupleTableSlot *slot, const char **id)
{
	*id = text_value(run, expr, slot);
	if (*id == NULL || strlen(*id) <= MA_ID_MAX)
		return !run->failed;
	if (is_now(run, slot))
		note(run, -1, ma_contact_long_id());
	return false;
}

/*
 * What does the row say of a person, or say anew? It becomes the next one of
 * the run if there is something to say.
 */
static bool
read_contact(MaCaptureRun *run, bool has_old)
{
	MaSource   *source = run->source;
	MaProfile  *profile = &run->profiles[run->n];
	MaProfile	before = {0};
	int			n = source->fields ? ma_expr_count(source->fields) : 0;
	JsonbValue *values = palloc(sizeof(JsonbValue) * (n + 1));
	JsonbValue *olds = NULL;

	if (!identify_row(run, false, profile))
		return false;
	profile->is_id = true;
	/* another id, or none before: as good as a new row */
	has_old = has_old && identify_row(run, true, &before) &&
			  profile->external_id != NULL && before.external_id != NULL &&
			  strcmp(profile->external_id, before.external_id) == 0;
	if (has_old)
		ma_profile_keep_changes(profile, &before);
	if (n > 0)
	{
		ErrorData *problem;
		Jsonb	  *object;

		read_fields(run, run->row, values);
		if (has_old)
		{
			olds = palloc(sizeof(JsonbValue) * n);
			read_fields(run, run->old, olds);
		}
		object = object_of_fields(run, values, olds);
		problem = ma_profile_describe(profile, object, true);
		if (problem != NULL)
			note(run, run->n, problem);
	}
	return !has_old || profile->given != 0 || profile->attributes != NULL;
}

/* The value of an expression as a text; NULL for null and for empty. */
static char *
text_value(MaCaptureRun *run, MaExpr *expr, TupleTableSlot *slot)
{
	bool  isnull;
	Datum value;
	char *string;

	if (expr == NULL)
		return NULL;
	value = value_of(run, expr, 0, slot, &isnull);
	if (isnull)
		return NULL;
	string = TextDatumGetCString(value);
	return *string == '\0' ? NULL : string;
}

/* When it happened; now where nothing says. False if that makes no sense. */
static bool
time_value(MaCaptureRun *run, TupleTableSlot *slot, TimestampTz *result)
{
	MaSource *source = run->source;
	bool	  isnull = true;
	Datum	  value = (Datum) 0;

	if (source->occurred_at != NULL)
		value = value_of(run, source->occurred_at, 0, slot, &isnull);
	if (run->failed)
		return false;
	if (isnull)
	{
		*result = ma_now();
		return true;
	}
	if (ma_capture_time(value, ma_expr_type(source->occurred_at, 0),
						source->zone ? source->zone : ma_timezone(), result))
		return true;
	if (is_now(run, slot))
		note(run, -1,
			 ma_problem(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE,
						"occurred_at is out of range", NULL, NULL));
	return false;
}

/* Reads the fields of a row as JSON values. */
static void
read_fields(MaCaptureRun *run, TupleTableSlot *slot, JsonbValue *values)
{
	MaExpr *fields = run->source->fields;

	for (int i = 0; i < ma_expr_count(fields); i++)
	{
		bool  isnull;
		Datum value = value_of(run, fields, i, slot, &isnull);

		if (isnull)
			values[i].type = jbvNull;
		else
			ma_capture_json(value, ma_expr_type(fields, i),
							run->source->as_text[i], &values[i]);
	}
}

/*
 * The fields as an object. Nulls are left out; compared with old values, what
 * did not change is left out, and a null that is new stays.
 */
static Jsonb *
object_of_fields(MaCaptureRun *run, const JsonbValue *values,
				 const JsonbValue *old)
{
	MaExpr			*fields = run->source->fields;
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < ma_expr_count(fields); i++)
	{
		JsonbValue key;
		JsonbValue value = values[i];

		if (old != NULL ? ma_capture_same(&value, &old[i]) :
						  value.type == jbvNull)
			continue;
		key.type = jbvString;
		key.val.string.val = unconstify(char *, ma_expr_name(fields, i));
		key.val.string.len = strlen(key.val.string.val);
		pushJsonbValue(&state, WJB_KEY, &key);
		pushJsonbValue(&state, WJB_VALUE, &value);
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/*
 * The value of a target for a row, valid until the expression is evaluated
 * again. In a careful run an error is noted, sets run->failed, and the value
 * is null.
 */
static Datum
value_of(MaCaptureRun *run, MaExpr *expr, int i, TupleTableSlot *slot,
		 bool *isnull)
{
	MaInput		   input = {.row = slot};
	ResourceOwner  owner = CurrentResourceOwner;
	volatile Datum value = (Datum) 0;
	ErrorData	  *problem;

	if (!run->careful)
		return ma_expr_eval(expr, i, &input, isnull);
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(run->cxt);
	PG_TRY();
	{
		value = ma_expr_eval(expr, i, &input, isnull);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(run->cxt);
		if (!ma_capture_may_note(geterrcode()))
			ma_guard_rethrow(run->cxt, owner);
		problem = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		run->failed = true;
		*isnull = true;
		if (is_now(run, slot))
			note(run, -1, problem);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(run->cxt);
	CurrentResourceOwner = owner;
	return value;
}

/* A primary key of a row as text. */
static char *
row_key(MaSourceKey *of, TupleTableSlot *slot)
{
	StringInfoData key;

	initStringInfo(&key);
	for (int i = 0; i < of->n; i++)
	{
		bool  isnull;
		Datum value = slot_getattr(slot, of->columns[i], &isnull);
		char *part = isnull ? "" : OutputFunctionCall(&of->output[i], value);

		if (i > 0)
			appendStringInfoChar(&key, ',');
		if (of->n == 1)
			appendStringInfoString(&key, part);
		else
			for (; *part != '\0'; part++)
			{
				if (*part == ',' || *part == '\\')
					appendStringInfoChar(&key, '\\');
				appendStringInfoChar(&key, *part);
			}
	}
	return key.data;
}

/* Source, kind and primary key: the same row never counts twice. */
static const char *
dedupe_key(MaCaptureRun *run, TupleTableSlot *slot)
{
	return dedupe_key_of(run, &run->source->key, slot);
}

/*
 * By what the event of the row at hand is known when we come to it: if the row
 * has another key now, the event has it once we come to write.
 */
static const char *
key_then(MaCaptureRun *run)
{
	bool has_old = run->rows[run->next].old != NULL;

	return dedupe_key(run, run->naming && has_old ? run->old : run->row);
}

/* The same by one of the primary keys that its table has had. */
static const char *
dedupe_key_of(MaCaptureRun *run, MaSourceKey *of, TupleTableSlot *slot)
{
	const char *prefix = run->source->text.key_prefix;
	char	   *key = row_key(of, slot);

	if (strlen(key) > KEY_MAX || strchr(key, '\001') != NULL)
	{
		const char *error = NULL;
		char		hash[33];

		if (!pg_md5_hash(key, strlen(key), hash, &error))
			elog(ERROR, "could not hash a key: %s", error);
		key = pstrdup(hash);
	}
	return psprintf("%s:%s", prefix, key);
}

/* Remembers a problem of the row at hand. */
static void
note(MaCaptureRun *run, int person, ErrorData *problem)
{
	MaCaptureNote *entry = palloc(sizeof(MaCaptureNote));

	if (problem->detail == NULL && run->source->key.n > 0)
		problem->detail = psprintf("Primary key of the row: %s.",
								   row_key(&run->source->key, run->row));
	entry->person = person;
	entry->problem = problem;
	run->notes = lappend(run->notes, entry);
}

/* Writes the notes of a chunk, and the problems of its persons. */
void
ma_capture_write_notes(MaCaptureRun *run)
{
	ListCell *lc;

	foreach (lc, run->notes)
	{
		MaCaptureNote *entry = lfirst(lc);

		ma_error_note(run->source->object,
					  entry->person >= 0 && entry->person < run->n ?
						  run->profiles[entry->person].contact_id :
						  0,
					  entry->problem);
	}
	for (int i = 0; i < run->n; i++)
		if (run->profiles[i].problem != NULL)
			ma_error_note(run->source->object, 0, run->profiles[i].problem);
}
