/*
 * refresh_fold.c
 *	  Fold events into the cells of contacts, as they come or from the log.
 *
 * Folding wakes the consumers that a change concerns: those that ask for more
 * than a comparison with a constant at every change, the others only if the
 * answer passed their constant.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "error.h"
#include "guard.h"
#include "refresh_private.h"
#include "seen.h"
#include "sql.h"
#include "value.h"

/* Rows of the log read at a time. */
#define LOG_ROWS 5000

/* A filter to ask, for the guard. */
typedef struct Question
{
	MaExpr	*expr;
	MaInput *input;
	bool	 answer;
} Question;

static void
ask(void *arg)
{
	Question *question = arg;

	question->answer = ma_expr_holds(question->expr, question->input);
}

/*
 * Does an expression hold? An error counts as no and is noted for the
 * object.
 */
bool
ma_fold_holds(MaExpr *expr, MaInput *input, const char *object)
{
	Question   question = {expr, input, false};
	ErrorData *edata;

	if (!ma_expr_can_raise(expr))
		return ma_expr_holds(expr, input);
	edata = ma_guard(ask, &question);
	if (edata == NULL)
		return question.answer;
	ma_error_note(object, input->event ? input->event->contact_id : 0, edata);
	return false;
}

/* The numeric value of an event's property, NULL if it has none. */
static Numeric
property_value(MemoryContext cxt, const MaEvent *event, const char *property)
{
	char		 *path = unconstify(char *, property);
	JsonbValue	  value;
	MemoryContext old;
	Datum		  number;
	bool		  isnull;

	if (!ma_value_lookup(event->properties, &path, 1, &value))
		return NULL;
	number = ma_value_from_json(&value, NUMERICOID, &isnull);
	if (isnull)
		return NULL;
	old = MemoryContextSwitchTo(cxt);
	number = datumCopy(number, false, -1);
	MemoryContextSwitchTo(old);
	return DatumGetNumeric(number);
}

/* Folds one event into one cell, if it passes the filter. */
static void
fold_event(MaContact *contact, int index, MaEvent *event)
{
	MaCellUse	 *use = &contact->set->definitions->cells[index];
	MaInput		  input = {.event = event};
	Numeric		  value = NULL;
	MemoryContext old;

	if (use->filter != NULL &&
		!ma_fold_holds(use->filter, &input,
					   psprintf("filter of \"%s\"", use->def.kind)))
		return;
	if (use->def.keeps == MA_KEEPS_TOTALS && use->def.property[0] != '\0')
	{
		value = property_value(contact->set->cxt, event, use->def.property);
		if (value == NULL)
			return;
	}
	old = MemoryContextSwitchTo(contact->set->cxt);
	if (use->def.keeps == MA_KEEPS_TOTALS)
		ma_cell_fold(&use->def, &contact->cells[index], event->occurred_at,
					 value);
	else
		ma_seen_fold(&use->def, &contact->cells[index], event);
	contact->woken = bms_add_members(contact->woken, use->any);
	MemoryContextSwitchTo(old);
}

/* What a switchboard's count is now. */
static int64
board_count(const MaSwitchboard *board, const MaContact *contact, int cell)
{
	MaAnswer answer;

	ma_signal_answer(board->signal, &contact->cells[cell], contact->as_of,
					 &answer);
	return DatumGetInt64(answer.value);
}

/* Wakes those whose constant a count reached or left between two values. */
static void
wake_crossed(MaContact *contact, const MaSwitchboard *board, int64 before,
			 int64 after)
{
	int64		  low = Min(before, after);
	int64		  high = Max(before, after);
	int			  start = 0;
	int			  end = board->nswitches;
	MemoryContext old;

	if (low == high)
		return;
	while (start < end)
	{
		int middle = (start + end) / 2;

		if (board->switches[middle].constant < low)
			start = middle + 1;
		else
			end = middle;
	}
	old = MemoryContextSwitchTo(contact->set->cxt);
	for (int i = start;
		 i < board->nswitches && board->switches[i].constant <= high; i++)
		contact->woken =
			bms_add_member(contact->woken, board->switches[i].consumer);
	MemoryContextSwitchTo(old);
}

/* Folds events of one kind into the cells of that kind. */
static void
fold_kind(MaContact *contact, MaKindDef *kind, MaEvent **events, int n)
{
	for (int i = 0; i < kind->ncells; i++)
	{
		int		   index = kind->cells[i];
		MaCellUse *use = &contact->set->definitions->cells[index];
		int64	  *before;

		if (bms_is_member(index, contact->rebuilt))
			continue; /* the log had them already */
		before = palloc(Max(use->nboards, 1) * sizeof(int64));
		for (int j = 0; j < use->nboards; j++)
			before[j] = board_count(&use->boards[j], contact, index);
		for (int j = 0; j < n; j++)
			fold_event(contact, index, events[j]);
		for (int j = 0; j < use->nboards; j++)
			wake_crossed(contact, &use->boards[j], before[j],
						 board_count(&use->boards[j], contact, index));
		pfree(before);
	}
}

/*
 * Folds events of a contact, in order of arrival, and tells each which of its
 * kind it is. The contact's as_of is the present.
 */
void
ma_fold_events(MaRun *run, MaContact *contact, MaEvent *events, int n)
{
	MaEvent **same = palloc(n * sizeof(MaEvent *));
	bool	 *done = palloc0(n * sizeof(bool));

	for (int i = 0; i < n; i++)
	{
		MaKindDef *kind;
		int		   count = 0;

		if (done[i])
			continue;
		kind = ma_definition_kind(run->definitions, events[i].kind);
		if (kind == NULL)
			continue;
		for (int j = i; j < n; j++)
			if (!done[j] && strcmp(events[j].kind, events[i].kind) == 0)
			{
				done[j] = true;
				same[count++] = &events[j];
			}
		fold_kind(contact, kind, same, count);
		for (int j = 0; j < count && kind->counter >= 0; j++)
			same[j]->nth = contact->cells[kind->counter].count - count + j + 1;
		contact->changed = true;
	}
	pfree(same);
	pfree(done);
}

/* Which contacts lack cells, and of which kinds; empties these cells. */
static ArrayType *
contacts_to_read(MaContactSet *set, Bitmapset **kinds)
{
	MaDefinitions *definitions = set->definitions;
	Datum		  *ids = palloc((set->n + 1) * sizeof(Datum));
	int			   n = 0;

	for (int i = 0; i < set->n; i++)
	{
		MaContact *contact = set->contacts[i];
		bool	   lacks = false;

		for (int j = 0; j < definitions->nkinds; j++)
			for (int k = 0; k < definitions->kinds[j].ncells; k++)
			{
				int cell = definitions->kinds[j].cells[k];

				if (contact->cells[cell].known)
					continue;
				ma_cell_reset(&contact->cells[cell]);
				contact->rebuilt = bms_add_member(contact->rebuilt, cell);
				*kinds = bms_add_member(*kinds, j);
				lacks = true;
			}
		if (!lacks)
			continue;
		contact->changed = true;
		contact->woken = bms_add_range(
			contact->woken, 0, definitions->nlists + definitions->nscores - 1);
		ids[n++] = Int64GetDatum(contact->id);
	}
	return construct_array(ids, n, INT8OID, sizeof(int64), true,
						   TYPALIGN_DOUBLE);
}

/* The names of kinds as a text array. */
static ArrayType *
kind_names(MaDefinitions *definitions, Bitmapset *kinds)
{
	Datum *names = palloc((bms_num_members(kinds) + 1) * sizeof(Datum));
	int	   n = 0;
	int	   kind = -1;

	while ((kind = bms_next_member(kinds, kind)) >= 0)
		names[n++] = CStringGetTextDatum(definitions->kinds[kind].kind);
	return construct_array(names, n, TEXTOID, -1, false, TYPALIGN_INT);
}

/* Folds a row of the log into the cells that are read anew. */
static void
fold_row(MaContactSet *set, HeapTuple row, TupleDesc desc)
{
	bool	   isnull;
	MaEvent	   event = {0};
	MaContact *contact;
	MaKindDef *kind;

	event.contact_id = DatumGetInt64(SPI_getbinval(row, desc, 1, &isnull));
	event.kind = TextDatumGetCString(SPI_getbinval(row, desc, 2, &isnull));
	event.occurred_at =
		DatumGetTimestampTz(SPI_getbinval(row, desc, 3, &isnull));
	event.properties = DatumGetJsonbP(SPI_getbinval(row, desc, 4, &isnull));
	event.event_id = DatumGetInt64(SPI_getbinval(row, desc, 5, &isnull));
	contact = ma_contact_find(set, event.contact_id);
	kind = ma_definition_kind(set->definitions, event.kind);
	for (int i = 0; i < kind->ncells; i++)
		if (bms_is_member(kind->cells[i], contact->rebuilt))
			fold_event(contact, kind->cells[i], &event);
}

/*
 * Folds from the log what the loaded contacts lack, under a fresh snapshot:
 * it is taken after the locks, so what others committed is in it.
 */
void
ma_fold_from_log(MaRun *run, MaContactSet *set)
{
	static MaStatement stmt = {
		"select contact_id, kind, occurred_at, properties, event_id"
		" from mautomate.event"
		" where contact_id = any ($1) and kind = any ($2)",
		2,
		{INT8ARRAYOID, TEXTARRAYOID}};
	MaSqlScope scope;
	Bitmapset *kinds = NULL;
	Datum	   values[2];
	Portal	   portal;

	values[0] = PointerGetDatum(contacts_to_read(set, &kinds));
	if (kinds == NULL)
		return;
	values[1] = PointerGetDatum(kind_names(run->definitions, kinds));
	ma_sql_begin(&scope);
	portal = ma_sql_open(&stmt, values);
	do
	{
		SPI_cursor_fetch(portal, true, LOG_ROWS);
		for (uint64 i = 0; i < SPI_processed; i++)
		{
			CHECK_FOR_INTERRUPTS();
			fold_row(set, SPI_tuptable->vals[i], SPI_tuptable->tupdesc);
		}
		SPI_freetuptable(SPI_tuptable);
	} while (SPI_processed > 0);
	SPI_cursor_close(portal);
	ma_sql_end(&scope);
}
