/*
 * capture_order.c
 *	  The contacts of a large statement, known and locked before anything is
 *	  written.
 *
 * A statement is written in chunks of rows. If each chunk made its contacts
 * known and locked their states by itself, two large statements over the same
 * contacts in different order would wait for each other in a circle. So the
 * rows of more than one chunk are read twice: first for the persons only. New
 * ones are made known in the order of their names; then all contacts are held,
 * and all states locked, each in the order of ids. Names and ids are sorted
 * outside memory, which stays flat.
 *
 * Rows of a contacts source make nobody known here: they do that with all that
 * they tell, chunk by chunk.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_collation_d.h"
#include "catalog/pg_operator_d.h"
#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/tuplesort.h"

#include "batch.h"
#include "capture_private.h"
#include "sql.h"

/* Columns that name a person, and whether to make it known. */
enum
{
	NAME_EXTERNAL_ID,
	NAME_EMAIL,
	NAME_PHONE,
	NAME_IS_ID,
	NAME_IS_NEW,
	NAME_COLUMNS
};

/* The persons of a statement. */
struct MaCaptureOrder
{
	MemoryContext	cxt; /* of a chunk of persons */
	Tuplesortstate *names;
	TupleTableSlot *name;
	Tuplesortstate *ids;
	TupleTableSlot *id;
};

static Tuplesortstate *sort_by(TupleDesc desc, int nkeys, Oid operator,
							   Oid collation, int options);
static int	read_names(MaCaptureOrder *order, MaProfile *persons, bool *make);
static void resolve(MaCaptureOrder *order, MaProfile *persons,
					const bool *make, int n);
static void lock_states(const int64 *ids, int n);
static void each_chunk(MaCaptureOrder *order,
					   void (*lock)(const int64 *ids, int n));

/* Starts collecting. */
MaCaptureOrder *
ma_capture_order_begin(void)
{
	MaCaptureOrder *order = palloc0(sizeof(MaCaptureOrder));
	TupleDesc		names = CreateTemplateTupleDesc(NAME_COLUMNS);
	TupleDesc		ids = CreateTemplateTupleDesc(1);

	for (int i = 0; i < NAME_COLUMNS; i++)
		TupleDescInitEntry(names, i + 1, NULL,
						   i < NAME_IS_ID ? TEXTOID : BOOLOID, -1, 0);
	TupleDescInitEntry(ids, 1, NULL, INT8OID, -1, 0);
	order->cxt = AllocSetContextCreate(CurrentMemoryContext, "mautomate order",
									   ALLOCSET_DEFAULT_SIZES);
	order->names = sort_by(names, NAME_IS_ID, TextLessOperator,
						   C_COLLATION_OID, TUPLESORT_NONE);
	order->name = MakeSingleTupleTableSlot(names, &TTSOpsMinimalTuple);
	order->ids =
		sort_by(ids, 1, Int8LessOperator, InvalidOid, TUPLESORT_RANDOMACCESS);
	order->id = MakeSingleTupleTableSlot(ids, &TTSOpsMinimalTuple);
	return order;
}

/* A sort by the first columns, nulls last. */
static Tuplesortstate *
sort_by(TupleDesc desc, int nkeys, Oid operator, Oid collation, int options)
{
	AttrNumber columns[NAME_COLUMNS];
	Oid		   operators[NAME_COLUMNS];
	Oid		   collations[NAME_COLUMNS];
	bool	   nulls_first[NAME_COLUMNS] = {0};

	for (int i = 0; i < nkeys; i++)
	{
		columns[i] = i + 1;
		operators[i] = operator;
		collations[i] = collation;
	}
	return tuplesort_begin_heap(desc, nkeys, columns, operators, collations,
								nulls_first, work_mem, NULL, options);
}

/* Takes the persons of a chunk of rows. */
void
ma_capture_order_take(MaCaptureRun *run, void *arg)
{
	MaCaptureOrder *order = arg;
	TupleTableSlot *slot = MakeSingleTupleTableSlot(
		order->name->tts_tupleDescriptor, &TTSOpsVirtual);

	for (int i = 0; i < run->n; i++)
	{
		const MaProfile	 *person = &run->profiles[i];
		const char *const names[] = {person->external_id,
									 person->columns[MA_CONTACT_EMAIL],
									 person->columns[MA_CONTACT_PHONE]};

		/* rows of one person often follow each other */
		if (i > 0 && ma_profile_same_name(person, person - 1))
			continue;
		ExecClearTuple(slot);
		for (int c = 0; c < lengthof(names); c++)
		{
			slot->tts_isnull[c] = names[c] == NULL;
			if (names[c] != NULL)
				slot->tts_values[c] = CStringGetTextDatum(names[c]);
		}
		slot->tts_values[NAME_IS_ID] = BoolGetDatum(person->is_id);
		slot->tts_values[NAME_IS_NEW] =
			BoolGetDatum(run->source->text.kind != NULL);
		slot->tts_isnull[NAME_IS_ID] = slot->tts_isnull[NAME_IS_NEW] = false;
		ExecStoreVirtualTuple(slot);
		tuplesort_puttupleslot(order->names, slot);
	}
	ExecDropSingleTupleTableSlot(slot);
}

/* Makes all persons known, holds them, locks their states, and is done. */
void
ma_capture_order_end(MaCaptureOrder *order)
{
	MemoryContext caller = CurrentMemoryContext;
	MaProfile	 *persons = palloc(sizeof(MaProfile) * MA_CHUNK);
	bool		 *make = palloc(sizeof(bool) * MA_CHUNK);
	int			  n;

	tuplesort_performsort(order->names);
	do
	{
		MemoryContextSwitchTo(order->cxt);
		n = read_names(order, persons, make);
		resolve(order, persons, make, n);
		MemoryContextSwitchTo(caller);
		MemoryContextReset(order->cxt);
	} while (n == MA_CHUNK);
	tuplesort_end(order->names);
	tuplesort_performsort(order->ids);
	each_chunk(order, ma_contact_hold);
	tuplesort_rescan(order->ids);
	each_chunk(order, lock_states);
	tuplesort_end(order->ids);
	ExecDropSingleTupleTableSlot(order->name);
	ExecDropSingleTupleTableSlot(order->id);
	MemoryContextDelete(order->cxt);
	pfree(make);
	pfree(persons);
	pfree(order);
}

/* The next persons in the order of names, each once; returns how many. */
static int
read_names(MaCaptureOrder *order, MaProfile *persons, bool *make)
{
	int n = 0;

	while (n < MA_CHUNK && tuplesort_gettupleslot(order->names, true, false,
												  order->name, NULL))
	{
		TupleTableSlot *slot = order->name;
		MaProfile	   *person = &persons[n];
		const char	   *texts[NAME_IS_ID];

		slot_getallattrs(slot);
		for (int c = 0; c < NAME_IS_ID; c++)
			texts[c] = slot->tts_isnull[c] ?
						   NULL :
						   TextDatumGetCString(slot->tts_values[c]);
		memset(person, 0, sizeof(MaProfile));
		person->external_id = texts[NAME_EXTERNAL_ID];
		if (texts[NAME_EMAIL] != NULL)
			ma_profile_set(person, MA_CONTACT_EMAIL, texts[NAME_EMAIL]);
		if (texts[NAME_PHONE] != NULL)
			ma_profile_set(person, MA_CONTACT_PHONE, texts[NAME_PHONE]);
		person->is_id = DatumGetBool(slot->tts_values[NAME_IS_ID]);
		make[n] = DatumGetBool(slot->tts_values[NAME_IS_NEW]);
		if (n > 0 && make[n] == make[n - 1] &&
			ma_profile_same_name(person, person - 1))
			continue;
		n++;
	}
	return n;
}

/* Finds out who they are, makes those known who are to be, notes the ids. */
static void
resolve(MaCaptureOrder *order, MaProfile *persons, const bool *make, int n)
{
	MaProfile	   *some = palloc(sizeof(MaProfile) * (n + 1));
	TupleTableSlot *slot = MakeSingleTupleTableSlot(
		order->id->tts_tupleDescriptor, &TTSOpsVirtual);

	for (int create = 0; create < 2; create++)
	{
		int count = 0;

		for (int i = 0; i < n; i++)
			if (make[i] == (create == 1))
				some[count++] = persons[i];
		ma_contact_resolve_all(some, count, create == 1);
		for (int i = 0; i < count; i++)
		{
			if (some[i].contact_id == 0)
				continue;
			ExecClearTuple(slot);
			slot->tts_values[0] = Int64GetDatum(some[i].contact_id);
			slot->tts_isnull[0] = false;
			ExecStoreVirtualTuple(slot);
			tuplesort_puttupleslot(order->ids, slot);
		}
	}
	ExecDropSingleTupleTableSlot(slot);
}

/* Does something with all contacts, in chunks in the order of ids. */
static void
each_chunk(MaCaptureOrder *order, void (*lock)(const int64 *ids, int n))
{
	int64 *ids = palloc(sizeof(int64) * MA_CHUNK);
	int	   n = 0;

	while (tuplesort_gettupleslot(order->ids, true, false, order->id, NULL))
	{
		bool  isnull;
		int64 id = DatumGetInt64(slot_getattr(order->id, 1, &isnull));

		if (n > 0 && ids[n - 1] == id)
			continue;
		if (n == MA_CHUNK)
		{
			CHECK_FOR_INTERRUPTS();
			lock(ids, n);
			n = 0;
		}
		ids[n++] = id;
	}
	if (n > 0)
		lock(ids, n);
	pfree(ids);
}

/* Locks states; ids ascend. */
static void
lock_states(const int64 *ids, int n)
{
	static MaStatement stmt = {
		"select from mautomate_internal.contact_state"
		" where contact_id = any ($1) order by contact_id for no key update",
		1,
		{INT8ARRAYOID}};
	MaColumn   column;
	MaSqlScope scope;
	Datum	   value;

	ma_column_init(&column, INT8OID, n);
	for (int i = 0; i < n; i++)
		ma_column_add(&column, Int64GetDatum(ids[i]), false);
	value = ma_column_array(&column);
	ma_sql_begin(&scope);
	ma_sql_exec(&stmt, &value, NULL, 0);
	ma_sql_end(&scope);
	pfree(DatumGetPointer(value));
}
