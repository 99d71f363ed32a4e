/*
 * verify_signal.c
 *	  What states answer, compared with what the log says.
 *
 * A state may be wrong before any list or score is: the next event would make
 * it one event short of a threshold. So each signal that has a column in what
 * verify_read.c read is asked of the state in the same row, as of the same
 * instant, and told where it differs. Nothing is locked: state and log are of
 * one snapshot.
 *
 * Not asked is what a state need not know: a cell it does not keep, one that
 * it may have kept while nobody asked (the state is older than the definition
 * that does), all of a state that is to be folded anew, and sums that the
 * engine would open before it asks (signal_span.c).
 */
#include "postgres.h"

#include "catalog/pg_collation_d.h"
#include "catalog/pg_type_d.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

#include "predicate.h"
#include "signal_span.h"
#include "state.h"
#include "verify_private.h"

/* Columns of a row that are read beside those of signals. */
typedef struct Places
{
	int contact_id;
	int external_id;
	int state;
	int as_of;
	int generation;
	int first; /* column of the first signal */
} Places;

/* A state and its row. */
typedef struct Row
{
	const MaReading *reading;
	Places			 places;
	TupleTableSlot	*slot;
	MaDefinitions	*definitions;
	MaContact		*contact;
} Row;

static int
place_of(TupleDesc desc, const char *name)
{
	int place = SPI_fnumber(desc, name);

	if (place <= 0)
		elog(ERROR, "there is no column %s", name);
	return place;
}

/* Where the columns are. */
static Places
find_places(TupleDesc desc)
{
	return (Places){.contact_id = place_of(desc, "contact_id"),
					.external_id = place_of(desc, "external_id"),
					.state = place_of(desc, MA_READING_STATE),
					.as_of = place_of(desc, MA_READING_AS_OF),
					.generation = place_of(desc, MA_READING_GENERATION),
					.first = place_of(desc, MA_READING_SIGNAL "1")};
}

/* How a signal is written. */
static char *
signal_text(const MaSignal *signal)
{
	StringInfoData s;

	initStringInfo(&s);
	appendStringInfo(&s, "signal %s(%s", ma_history_name(signal->function),
					 quote_literal_cstr(signal->kind));
	if (signal->property[0] != '\0')
		appendStringInfo(&s, ", %s", quote_literal_cstr(signal->property));
	if (signal->windowed)
		appendStringInfo(
			&s, ", within => '%s'",
			DatumGetCString(DirectFunctionCall1(
				interval_out, IntervalPGetDatum(unconstify(
								  Interval *, &signal->window.within)))));
	appendStringInfoString(&s, signal->arguments);
	return s.data;
}

/* A count as far as the state keeps it. */
static Datum
kept(const MaSignal *signal, Datum count)
{
	bool some = signal->function == MA_DISTINCT ||
				(signal->function == MA_COUNT && signal->windowed);

	if (!some || signal->capacity == MA_UNBOUNDED)
		return count;
	return Int64GetDatum(Min(DatumGetInt64(count), signal->capacity));
}

/* Do the state and the log say the same? */
static bool
is_same(const MaSignal *signal, const MaAnswer *answer, Datum value,
		bool isnull)
{
	TypeCacheEntry *type;

	if (answer->isnull || isnull)
		return answer->isnull && isnull;
	if (signal->type == INT8OID)
		return DatumGetInt64(kept(signal, answer->value)) ==
			   DatumGetInt64(kept(signal, value));
	type = lookup_type_cache(signal->type, TYPECACHE_EQ_OPR_FINFO);
	return DatumGetBool(FunctionCall2Coll(&type->eq_opr_finfo, C_COLLATION_OID,
										  answer->value, value));
}

/* A value as text; null stays null. */
static Datum
as_text(Datum value, bool isnull, Oid type)
{
	Oid	 output;
	bool varlena;

	if (isnull)
		return (Datum) 0;
	getTypeOutputInfo(type, &output, &varlena);
	return CStringGetTextDatum(OidOutputFunctionCall(output, value));
}

/* One row of the result. */
static void
tell(const Row *row, const MaAsked *asked, const MaAnswer *answer,
	 ReturnSetInfo *result)
{
	Datum *columns = row->slot->tts_values;
	bool  *nulls = row->slot->tts_isnull;
	int	   external_id = row->places.external_id - 1;
	int	   value = row->places.first + asked->place - 2;
	Oid	   type = asked->signal->type;
	Datum  id = columns[row->places.contact_id - 1];
	Datum  values[] = {CStringGetTextDatum(signal_text(asked->signal)),
					   columns[external_id],
					   as_text(answer->value, answer->isnull, type),
					   as_text(columns[value], nulls[value], type),
					   id,
					   Int32GetDatum(asked->rank),
					   id};
	bool   isnull[] = {
		  false, nulls[external_id], answer->isnull, nulls[value], false, false,
		  false};

	tuplestore_putvalues(result->setResult, result->setDesc, values, isnull);
}

/* Does the state keep what a signal asks for, as it is? */
static bool
is_kept(const Row *row, const MaAsked *asked)
{
	int			  i = asked->signal->cell;
	const MaCell *cell = &row->contact->cells[i];

	return cell->known && row->contact->generation >= asked->generation &&
		   (cell->spans == NULL ||
			ma_span_unclear(&row->definitions->cells[i].def, cell, 0,
							row->reading->writing.at,
							row->reading->writing.at) < 0);
}

/* Asks the state of a row all signals. */
static void
compare_row(const Row *row, ReturnSetInfo *result)
{
	Bitmapset *told = NULL;
	ListCell  *cell;

	foreach (cell, row->reading->asked)
	{
		MaAsked *asked = lfirst(cell);
		int		 value = row->places.first + asked->place - 2;
		MaAnswer answer;

		if (bms_is_member(asked->place, told) || !is_kept(row, asked))
			continue;
		ma_signal_answer(asked->signal,
						 &row->contact->cells[asked->signal->cell],
						 row->reading->writing.at, &answer);
		if (is_same(asked->signal, &answer, row->slot->tts_values[value],
					row->slot->tts_isnull[value]))
			continue;
		tell(row, asked, &answer, result);
		told = bms_add_member(told, asked->place);
	}
}

/* Reads the state in a row; false if it is to be folded anew, or is none. */
static bool
read_state(Row *row)
{
	MaDefinitions  *definitions = row->definitions;
	TupleTableSlot *slot = row->slot;
	TimestampTz		as_of;
	int64			generation;
	bytea		   *state;

	slot_getallattrs(slot);
	if (slot->tts_isnull[row->places.state - 1])
		return false;
	as_of = DatumGetTimestampTz(slot->tts_values[row->places.as_of - 1]);
	generation = DatumGetInt64(slot->tts_values[row->places.generation - 1]);
	if (as_of == DT_NOBEGIN || as_of > row->reading->writing.at ||
		generation < definitions->rebuild_at ||
		generation < definitions->zone_at)
		return false;
	state = DatumGetByteaPP(slot->tts_values[row->places.state - 1]);
	row->contact = ma_look_into(definitions, VARDATA_ANY(state),
								VARDATA_ANY(state) + VARSIZE_ANY_EXHDR(state));
	row->contact->as_of = as_of;
	row->contact->generation = generation;
	return !row->contact->blank;
}

/* Compares the signals of a reading that is open. */
void
ma_verify_signals(MaReading *reading, MaDefinitions *definitions,
				  ReturnSetInfo *result)
{
	Row			  row = {.reading = reading, .definitions = definitions};
	MemoryContext cxt;

	if (reading->columns == NIL || definitions->other_zone)
		return;
	row.places = find_places(reading->desc);
	row.slot = MakeSingleTupleTableSlot(reading->desc, &TTSOpsMinimalTuple);
	cxt = AllocSetContextCreate(CurrentMemoryContext, "mautomate signals",
								ALLOCSET_DEFAULT_SIZES);
	tuplestore_select_read_pointer(reading->rows, 0);
	tuplestore_rescan(reading->rows);
	while (tuplestore_gettupleslot(reading->rows, true, false, row.slot))
	{
		MemoryContext caller = MemoryContextSwitchTo(cxt);

		CHECK_FOR_INTERRUPTS();
		if (read_state(&row))
			compare_row(&row, result);
		MemoryContextSwitchTo(caller);
		MemoryContextReset(cxt);
	}
	MemoryContextDelete(cxt);
	ExecDropSingleTupleTableSlot(row.slot);
}
