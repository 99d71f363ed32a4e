/*
 * capture_order.c
 *	  The contacts of a large statement, known and locked before anything is
 *	  written.
 *
 * A statement is written in chunks of rows. If each chunk made its contacts
 * known and locked their states by itself, two large statements over the same
 * contacts in different order would wait for each other in a circle. So the
 * rows of more than one chunk are read twice: first for the persons only, those
 * whose events are moved, withdrawn or merged among them. New ones are made
 * known in the order of their names, with what the first row tells of them;
 * then all contacts are held, and all states locked, each in the order of ids.
 * Names and ids are sorted outside memory, which stays flat. So is a single
 * chunk treated that does several things one after the other.
 *
 * Who was known by the address of somebody new only is merged into them here:
 * their own rows would not do it, since they are not new any more.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_collation_d.h"
#include "catalog/pg_operator_d.h"
#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/tuplesort.h"
#include "utils/tuplestore.h"

#include "batch.h"
#include "capture_private.h"
#include "merge.h"
#include "sql.h"

/* Columns of a person: names, the place in the statement, what is told. */
enum
{
	NAME_EXTERNAL_ID,
	NAME_EMAIL,
	NAME_PHONE,
	NAME_PLACE,
	NAME_MARKS,
	NAME_ATTRIBUTES,
	NAME_MORE, /* the columns of a contact but for e-mail and phone */
	NAME_COLUMNS = NAME_MORE + MA_CONTACT_COLUMNS - 2
};

/* What is marked of a person. */
#define MARK_ID		1 /* the external id is one, and never an address */
#define MARK_MAKE	2 /* to be made known */
#define MARK_CHANGE 4 /* its row may be changed */

/* Columns of a contact to lock. */
enum
{
	ID_CONTACT,
	ID_IS_CHANGED,
	ID_COLUMNS
};

/* The persons of a statement. */
struct MaCaptureOrder
{
	MemoryContext	 cxt; /* of a chunk of persons */
	Tuplesortstate	*names;
	TupleTableSlot	*name;
	int64			 place; /* of the next one */
	Tuplesortstate	*ids;
	TupleTableSlot	*noted;	 /* on its way there */
	TupleTableSlot	*id;	 /* and back */
	Tuplestorestate *merges; /* losers and survivors */
	TupleTableSlot	*merge;
};

static Tuplesortstate *sort_by(TupleDesc desc, int nkeys, int options);
static void take(MaCaptureOrder *order, const MaProfile *persons, int n,
				 int marks);
static void take_anonymous(MaCaptureOrder *order, MaCaptureRun *run);
static void describe(const MaProfile *person, TupleTableSlot *slot);
static int	read_names(MaCaptureOrder *order, MaProfile *persons, int *marks);
static bool read_name(MaCaptureOrder *order, MaProfile *person, int *marks);
static void resolve(MaCaptureOrder *order, MaProfile *persons,
					const int *marks, int n);
static void merge_all(MaCaptureOrder *order);
static void note_id(MaCaptureOrder *order, int64 id, bool changed);
static void make_known(MaProfile *persons, const int *marks, int n);
static void lock_states(const int64 *ids, const bool *changed, int n);
static void each_chunk(MaCaptureOrder *order,
					   void (*lock)(const int64 *ids, const bool *changed,
									int n));

/* The column of a contact that is column c of a person here. */
static int
contact_column(int c)
{
	return c == NAME_EMAIL ? MA_CONTACT_EMAIL :
		   c == NAME_PHONE ? MA_CONTACT_PHONE :
							 c - NAME_MORE + 2;
}

/* Starts collecting. */
MaCaptureOrder *
ma_capture_order_begin(void)
{
	MaCaptureOrder *order = palloc0(sizeof(MaCaptureOrder));
	TupleDesc		names = CreateTemplateTupleDesc(NAME_COLUMNS);
	TupleDesc		ids = CreateTemplateTupleDesc(ID_COLUMNS);
	TupleDesc		pairs = CreateTemplateTupleDesc(2);

	StaticAssertStmt(MA_CONTACT_EMAIL == 0 && MA_CONTACT_PHONE == 1,
					 "columns of a contact begin with its addresses");
	for (int i = 0; i < NAME_COLUMNS; i++)
		TupleDescInitEntry(names, i + 1, NULL,
						   i == NAME_PLACE		? INT8OID :
						   i == NAME_MARKS		? INT4OID :
						   i == NAME_ATTRIBUTES ? JSONBOID :
												  TEXTOID,
						   -1, 0);
	TupleDescInitEntry(ids, ID_CONTACT + 1, NULL, INT8OID, -1, 0);
	TupleDescInitEntry(ids, ID_IS_CHANGED + 1, NULL, BOOLOID, -1, 0);
	order->cxt = AllocSetContextCreate(CurrentMemoryContext, "mautomate order",
									   ALLOCSET_DEFAULT_SIZES);
	order->names = sort_by(names, NAME_PLACE + 1, TUPLESORT_NONE);
	order->name = MakeSingleTupleTableSlot(names, &TTSOpsMinimalTuple);
	order->ids = sort_by(ids, 1, TUPLESORT_RANDOMACCESS);
	for (int i = 0; i < 2; i++)
		TupleDescInitEntry(pairs, i + 1, NULL, INT8OID, -1, 0);
	order->merges = tuplestore_begin_heap(false, false, work_mem);
	order->merge = MakeSingleTupleTableSlot(pairs, &TTSOpsMinimalTuple);
	order->noted = MakeSingleTupleTableSlot(ids, &TTSOpsVirtual);
	order->id = MakeSingleTupleTableSlot(ids, &TTSOpsMinimalTuple);
	return order;
}

/* A sort by the first columns, nulls last. */
static Tuplesortstate *
sort_by(TupleDesc desc, int nkeys, int options)
{
	AttrNumber columns[NAME_COLUMNS];
	Oid		   operators[NAME_COLUMNS];
	Oid		   collations[NAME_COLUMNS];
	bool	   nulls_first[NAME_COLUMNS] = {0};

	for (int i = 0; i < nkeys; i++)
	{
		bool is_text = TupleDescAttr(desc, i)->atttypid == TEXTOID;

		columns[i] = i + 1;
		operators[i] = is_text ? TextLessOperator : Int8LessOperator;
		collations[i] = is_text ? C_COLLATION_OID : InvalidOid;
	}
	return tuplesort_begin_heap(desc, nkeys, columns, operators, collations,
								nulls_first, work_mem, NULL, options);
}

/*
 * Takes whom a chunk of rows is about. Made known is who gets an event; of
 * what is to be done only if it is in the log nobody is.
 */
void
ma_capture_order_take(MaCaptureRun *run, void *arg)
{
	MaCaptureOrder *order = arg;
	bool			sure = run->naming || run->nrekeyed == 0;

	/* until keys have followed their rows not all events are found */
	ma_capture_find_events(run, true);
	ma_capture_find_known(run);
	ma_capture_find_gone(run);
	take(order, run->profiles, run->n,
		 run->source->text.kind == NULL ? MARK_MAKE | MARK_CHANGE :
		 sure							? MARK_MAKE :
										  0);
	if (run->naming)
		ma_capture_find_moved(run);
	take(order, run->moved_profiles, run->nmoved, 0);
	take(order, run->mover_profiles, run->nmoved, run->naming ? MARK_MAKE : 0);
	take(order, run->gone_profiles, run->ngone, 0);
	take_anonymous(order, run);
}

/* Takes persons, with these marks. */
static void
take(MaCaptureOrder *order, const MaProfile *persons, int n, int marks)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(
		order->name->tts_tupleDescriptor, &TTSOpsVirtual);

	for (int i = 0; i < n; i++)
	{
		const MaProfile *person = &persons[i];

		/* rows of one person often follow each other */
		if (i > 0 && ma_profile_same_name(person, person - 1) &&
			person->contact_id == person[-1].contact_id)
			continue;
		if (person->is_found)
		{
			note_id(order, person->contact_id, marks & MARK_CHANGE);
			continue;
		}
		ExecClearTuple(slot);
		describe(person, slot);
		slot->tts_values[NAME_PLACE] = Int64GetDatum(order->place++);
		slot->tts_values[NAME_MARKS] =
			Int32GetDatum(marks | (person->is_id ? MARK_ID : 0));
		ExecStoreVirtualTuple(slot);
		tuplesort_puttupleslot(order->names, slot);
	}
	ExecDropSingleTupleTableSlot(slot);
}

/* Takes persons whose anonymous ids rows tell, and these, to be merged. */
static void
take_anonymous(MaCaptureOrder *order, MaCaptureRun *run)
{
	MaProfile *persons = palloc0(sizeof(MaProfile) * (2 * run->nknown + 1));
	MaProfile *ids = persons + run->nknown;
	int		   n = 0;

	if (run->nknown == 0)
		return;
	for (int i = 0; i < run->nknown; i++)
	{
		persons[i] = run->known[i];
		ids[i].external_id = run->anonymous[i];
		ids[i].is_id = true;
	}
	ma_contact_resolve_all(persons, 2 * run->nknown, false);
	for (int i = 0; i < run->nknown; i++)
		if (persons[i].contact_id == 0 ||
			persons[i].contact_id != ids[i].contact_id)
		{
			persons[n] = persons[i];
			ids[n++] = ids[i];
		}
	take(order, persons, n, MARK_MAKE | MARK_CHANGE);
	take(order, ids, n, MARK_MAKE | MARK_CHANGE);
}

/* What is told of a person, as columns. */
static void
describe(const MaProfile *person, TupleTableSlot *slot)
{
	memset(slot->tts_isnull, 0, sizeof(bool) * NAME_COLUMNS);
	for (int c = 0; c < NAME_COLUMNS; c++)
	{
		const char *text;

		if (c >= NAME_PLACE && c < NAME_MORE)
			continue;
		text = c == NAME_EXTERNAL_ID ? person->external_id :
									   person->columns[contact_column(c)];
		slot->tts_isnull[c] = text == NULL;
		if (text != NULL)
			slot->tts_values[c] = CStringGetTextDatum(text);
	}
	slot->tts_isnull[NAME_ATTRIBUTES] = person->attributes == NULL;
	slot->tts_values[NAME_ATTRIBUTES] = JsonbPGetDatum(person->attributes);
}

/*
 * Makes all persons known, holds them, locks their states, merges who belongs
 * together, and is done.
 */
void
ma_capture_order_end(MaCaptureOrder *order)
{
	MemoryContext caller = CurrentMemoryContext;
	MaProfile	 *persons = palloc(sizeof(MaProfile) * MA_CHUNK);
	int			 *marks = palloc(sizeof(int) * MA_CHUNK);
	int			  n;

	tuplesort_performsort(order->names);
	do
	{
		CHECK_FOR_INTERRUPTS();
		MemoryContextSwitchTo(order->cxt);
		n = read_names(order, persons, marks);
		resolve(order, persons, marks, n);
		MemoryContextSwitchTo(caller);
		MemoryContextReset(order->cxt);
	} while (n == MA_CHUNK);
	tuplesort_end(order->names);
	tuplesort_performsort(order->ids);
	each_chunk(order, ma_contact_hold);
	tuplesort_rescan(order->ids);
	each_chunk(order, lock_states);
	tuplesort_end(order->ids);
	merge_all(order);
	tuplestore_end(order->merges);
	ExecDropSingleTupleTableSlot(order->merge);
	ExecDropSingleTupleTableSlot(order->name);
	ExecDropSingleTupleTableSlot(order->noted);
	ExecDropSingleTupleTableSlot(order->id);
	MemoryContextDelete(order->cxt);
	pfree(marks);
	pfree(persons);
	pfree(order);
}

/* The next persons in the order of names, each once; returns how many. */
static int
read_names(MaCaptureOrder *order, MaProfile *persons, int *marks)
{
	int n = 0;

	while (n < MA_CHUNK && read_name(order, &persons[n], &marks[n]))
		if (n == 0 || marks[n] != marks[n - 1] ||
			!ma_profile_same_name(&persons[n], &persons[n - 1]))
			n++;
	return n;
}

/* The next of them; false at the end. */
static bool
read_name(MaCaptureOrder *order, MaProfile *person, int *marks)
{
	TupleTableSlot *slot = order->name;

	if (!tuplesort_gettupleslot(order->names, true, false, slot, NULL))
		return false;
	slot_getallattrs(slot);
	memset(person, 0, sizeof(MaProfile));
	for (int c = 0; c < NAME_COLUMNS; c++)
	{
		char *told;

		if (slot->tts_isnull[c] || (c >= NAME_PLACE && c < NAME_MORE))
			continue;
		told = TextDatumGetCString(slot->tts_values[c]);
		if (c == NAME_EXTERNAL_ID)
			person->external_id = told;
		else
			ma_profile_set(person, contact_column(c), told);
	}
	if (!slot->tts_isnull[NAME_ATTRIBUTES])
		person->attributes =
			DatumGetJsonbPCopy(slot->tts_values[NAME_ATTRIBUTES]);
	*marks = DatumGetInt32(slot->tts_values[NAME_MARKS]);
	person->is_id = (*marks & MARK_ID) != 0;
	return true;
}

/*
 * Finds out who they are, makes those known who are not, notes the ids, and
 * who is known by an address only that somebody gets who is new or changed.
 */
static void
resolve(MaCaptureOrder *order, MaProfile *persons, const int *marks, int n)
{
	MaProfile *changed = palloc(sizeof(MaProfile) * (n + 1));
	int64	  *losers;
	int64	  *survivors;
	int		   count = 0;

	ma_contact_resolve_all(persons, n, false);
	make_known(persons, marks, n);
	for (int i = 0; i < n; i++)
		if (persons[i].contact_id != 0)
		{
			note_id(order, persons[i].contact_id, marks[i] & MARK_CHANGE);
			if (persons[i].created || (marks[i] & MARK_CHANGE))
				changed[count++] = persons[i];
		}
	count = ma_contact_absorbed(changed, count, &losers, &survivors);
	for (int i = 0; i < count; i++)
	{
		Datum values[] = {Int64GetDatum(losers[i]),
						  Int64GetDatum(survivors[i])};
		bool  nulls[] = {false, false};

		note_id(order, losers[i], true);
		note_id(order, survivors[i], true);
		tuplestore_putvalues(order->merges, order->merge->tts_tupleDescriptor,
							 values, nulls);
	}
}

/* Merges them, who are locked now. */
static void
merge_all(MaCaptureOrder *order)
{
	MemoryContext caller = MemoryContextSwitchTo(order->cxt);

	while (tuplestore_gettupleslot(order->merges, true, false, order->merge))
	{
		slot_getallattrs(order->merge);
		(void) ma_contact_merge(DatumGetInt64(order->merge->tts_values[0]),
								DatumGetInt64(order->merge->tts_values[1]));
		MemoryContextReset(order->cxt);
	}
	MemoryContextSwitchTo(caller);
}

/* Notes a contact that is to be locked. */
static void
note_id(MaCaptureOrder *order, int64 id, bool changed)
{
	TupleTableSlot *slot = order->noted;

	ExecClearTuple(slot);
	slot->tts_isnull[ID_CONTACT] = slot->tts_isnull[ID_IS_CHANGED] = false;
	slot->tts_values[ID_CONTACT] = Int64GetDatum(id);
	slot->tts_values[ID_IS_CHANGED] = BoolGetDatum(changed);
	ExecStoreVirtualTuple(slot);
	tuplesort_puttupleslot(order->ids, slot);
}

/* Makes those known who are not, but for who cannot be. */
static void
make_known(MaProfile *persons, const int *marks, int n)
{
	MaProfile *some = palloc(sizeof(MaProfile) * (n + 1));
	int		  *place = palloc(sizeof(int) * (n + 1));
	int		   count = 0;

	for (int i = 0; i < n; i++)
	{
		const char *id = persons[i].external_id;

		if ((marks[i] & MARK_MAKE) == 0 || persons[i].contact_id != 0 ||
			persons[i].problem != NULL || !ma_profile_is_named(&persons[i]) ||
			(id != NULL && !persons[i].is_id && strchr(id, '@') != NULL))
			continue;
		place[count] = i;
		some[count++] = persons[i];
	}
	ma_contact_reserve(some, count);
	for (int i = 0; i < count; i++)
	{
		persons[place[i]].contact_id = some[i].contact_id;
		persons[place[i]].created = some[i].created;
	}
}

/* Does something with all contacts, in chunks in the order of ids. */
static void
each_chunk(MaCaptureOrder *order,
		   void (*lock)(const int64 *ids, const bool *changed, int n))
{
	int64 *ids = palloc(sizeof(int64) * MA_CHUNK);
	bool  *changed = palloc(sizeof(bool) * MA_CHUNK);
	int	   n = 0;

	while (tuplesort_gettupleslot(order->ids, true, false, order->id, NULL))
	{
		bool  isnull;
		int64 id =
			DatumGetInt64(slot_getattr(order->id, ID_CONTACT + 1, &isnull));
		bool change =
			DatumGetBool(slot_getattr(order->id, ID_IS_CHANGED + 1, &isnull));

		if (n > 0 && ids[n - 1] == id)
		{
			changed[n - 1] = changed[n - 1] || change;
			continue;
		}
		if (n == MA_CHUNK)
		{
			CHECK_FOR_INTERRUPTS();
			lock(ids, changed, n);
			n = 0;
		}
		ids[n] = id;
		changed[n++] = change;
	}
	if (n > 0)
		lock(ids, changed, n);
	pfree(changed);
	pfree(ids);
}

/* Locks states; ids ascend. */
static void
lock_states(const int64 *ids, const bool *changed, int n)
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
