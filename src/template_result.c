/*
 * template_result.c
 *	  Takes what a function of the application gives to a template.
 *
 * Row by row as the query makes them, and not more than a message can use:
 * what a function returns by mistake, such as a whole table, must not fill the
 * memory of the sender. What the function needs itself is not ours to limit.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "executor/tuptable.h"
#include "utils/memutils.h"

#include "compat.h"
#include "mime.h"
#include "template.h"
#include "template_store.h"

typedef struct Taker
{
	DestReceiver	 receiver;
	const char		*function;
	MemoryContext	 context; /* of the result */
	bool			 set;	  /* its rows become one array */
	int64			 max;	  /* bytes */
	int64			 bytes;	  /* so far */
	Datum			 value;	  /* the only row; or NULL */
	JsonbParseState *rows;	  /* those of a set */
} Taker;

/* The query begins; its only column is known. */
static void
start(DestReceiver *self, int operation, TupleDesc columns)
{
}

/* Raises that a function returns too much. */
static void
refuse_large(const Taker *taker)
{
	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("function %s returned more than %d MB", taker->function,
					(int) (taker->max / (1024 * 1024))),
			 errhint("Let it return only what the message shows.")));
}

/* Takes one row, if it is not too much. */
static bool
take(TupleTableSlot *slot, DestReceiver *self)
{
	Taker		 *taker = (Taker *) self;
	MemoryContext query;
	bool		  isnull;
	Datum		  value = slot_getattr(slot, 1, &isnull);
	JsonbValue	  element = {.type = jbvNull};

	/* also of what is compressed or elsewhere, before it is fetched */
	if (!isnull)
		taker->bytes += (int64) toast_raw_datum_size(value);
	if (taker->bytes > taker->max)
		refuse_large(taker);
	query = MemoryContextSwitchTo(taker->context);
	if (!isnull)
		value = PointerGetDatum(PG_DETOAST_DATUM_COPY(value));
	if (taker->set)
	{
		if (!isnull)
			JsonbToJsonbValue(DatumGetJsonbP(value), &element);
		pushJsonbValue(&taker->rows, WJB_ELEM, &element);
	}
	else if (!isnull)
		taker->value = value;
	MemoryContextSwitchTo(query);
	return true;
}

/* The query has ended. */
static void
shut_down(DestReceiver *self)
{
}

/*
 * For one call of a function, in the current context, where its result will
 * be: a set becomes an array.
 */
DestReceiver *
ma_template_result_new(const char *function, bool set, bool bytes)
{
	Taker *taker = palloc0(sizeof(Taker));

	taker->receiver.receiveSlot = take;
	taker->receiver.rStartup = start;
	taker->receiver.rShutdown = shut_down;
	taker->receiver.rDestroy = shut_down;
	taker->receiver.mydest = DestTuplestore;
	taker->function = function;
	taker->context = CurrentMemoryContext;
	taker->set = set;
	taker->max = bytes ? MA_MAIL_MAX : MA_TEMPLATE_OUTPUT;
	if (set)
		pushJsonbValue(&taker->rows, WJB_BEGIN_ARRAY, NULL);
	return &taker->receiver;
}

/* What it has taken: one jsonb or bytea, or NULL. */
Datum
ma_template_result(DestReceiver *receiver, bool *isnull)
{
	Taker *taker = (Taker *) receiver;

	if (taker->set)
		taker->value = JsonbPGetDatum(JsonbValueToJsonb(
			pushJsonbValue(&taker->rows, WJB_END_ARRAY, NULL)));
	*isnull = taker->value == (Datum) 0;
	return taker->value;
}
