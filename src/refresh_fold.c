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
#include "storage/proc.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgrprotos.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "error.h"
#include "guard.h"
#include "refresh_private.h"
#include "signal_seen.h"
#include "sql.h"
#include "value.h"

/* Rows of the log read at a time. */
#define LOG_ROWS 5000

/* Events of a contact folded at a time: what is found in them is kept. */
#define FOLD_EVENTS 10000

/*
 * The transaction that last read the log here, and the first command whose
 * events it did not see.
 */
static LocalTransactionId read_in = InvalidLocalTransactionId;
static CommandId		  read_before;

/* Switchboards of a cell that need no memory. */
#define FEW_BOARDS 8

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

/* Does a filter hold? An error counts as no and is noted for the kind. */
static bool
holds(MaExpr *expr, MaInput *input, const char *kind)
{
	Question   question = {expr, input, false};
	ErrorData *edata;

	if (!ma_expr_can_raise(expr))
		return ma_expr_holds(expr, input);
	edata = ma_guard(ask, &question);
	if (edata == NULL)
		return question.answer;
	ma_error_note(psprintf("filter of \"%s\"", kind), input->event->contact_id,
				  edata);
	return false;
}

/* A property of one event, looked up once. */
typedef struct Found
{
	bool  known; /* looked up */
	bool  isnull;
	int	  place; /* among the constants of filters, if it is not null */
	Datum value;
} Found;

/* Looks a property of an event up, as the type that the kind says. */
static void
find_property(const MaKindDef *kind, int index, const MaEvent *event,
			  Found *found)
{
	MaProperty *property = &kind->properties[index];
	JsonbValue	value;

	found->known = true;
	found->isnull = !ma_value_lookup(event->properties, property->path,
									 property->npath, &value);
	if (!found->isnull)
		found->value =
			ma_value_from_json(&value, property->type, &found->isnull);
	if (!found->isnull && property->nconstants > 0)
		found->place = ma_property_place(property, found->value);
}

/*
 * Does an event count for cell number i of its kind: does it pass the filter,
 * and has it the number that the cell keeps?
 */
static bool
counts(const MaCellUse *cells, MaKindDef *kind, int i, MaEvent *event,
	   Found *found)
{
	const MaCellTest *test = &kind->tests[i];
	const MaCellUse	 *use = &cells[kind->cells[i]];

	if (test->property >= 0)
	{
		Found *property = found + test->property;
		int	   order;

		if (!property->known)
			find_property(kind, test->property, event, property);
		if (property->isnull)
			return false;
		order = (property->place > test->at) - (property->place < test->at);
		if ((test->accepts & MA_ACCEPTS(order)) == 0)
			return false;
	}
	else if (use->filter != NULL)
	{
		MaInput input = {.event = event};

		if (!holds(use->filter, &input, use->def.kind))
			return false;
	}
	if (use->value_of < 0)
		return true;
	if (!found[use->value_of].known)
		find_property(kind, use->value_of, event, &found[use->value_of]);
	return !found[use->value_of].isnull;
}

/* Wakes those whom every change of a cell concerns. */
static void
wake(MaContact *contact, Bitmapset *any)
{
	MemoryContext old;

	if (bms_is_subset(any, contact->woken))
		return;
	old = MemoryContextSwitchTo(contact->set->cxt);
	contact->woken = bms_add_members(contact->woken, any);
	MemoryContextSwitchTo(old);
}

/* Folds an event that counts into a cell. */
static void
fold_event(MaContact *contact, const MaCellUse *use, MaCell *cell,
		   const MaEvent *event, const Found *found)
{
	MemoryContext old = MemoryContextSwitchTo(contact->set->cxt);

	if (use->value_of >= 0)
		ma_cell_fold(
			&use->def, cell, event->occurred_at,
			DatumGetNumeric(datumCopy(found[use->value_of].value, false, -1)));
	else if (use->def.keeps == MA_KEEPS_TOTALS)
		ma_cell_fold(&use->def, cell, event->occurred_at, NULL);
	else
		ma_seen_fold(&use->def, cell, event);
	MemoryContextSwitchTo(old);
	wake(contact, use->any);
}

/* A switchboard while events are folded. */
typedef struct Watched
{
	bool	 asked; /* before */
	MaAnswer before;
} Watched;

/* What the answer on a switchboard is now. */
static MaAnswer
board_answer(const MaSwitchboard *board, const MaContact *contact,
			 const MaCell *cell)
{
	MaAnswer answer;

	ma_signal_answer(board->signal, cell, contact->as_of, &answer);
	return answer;
}

/* May n more events bring an answer to any of the constants? */
static bool
may_reach(const MaSwitchboard *board, const MaCell *cell, int n)
{
	const MaSignal *signal = board->signal;
	int64 most = (signal->windowed ? ma_cell_kept(cell) : cell->count) + n;

	return signal->function != MA_COUNT || board->nswitches == 0 ||
		   most >= DatumGetInt64(board->switches[0].constant);
}

/* Does `value <op> constant` hold, as a switch says? */
static bool
is_on(const MaSignal *signal, const MaSwitch *one, Datum value)
{
	return ma_signal_test(one->op,
						  ma_signal_order(signal, value, one->constant));
}

/* The first switch of a board whose constant is not below a value. */
static int
first_switch(const MaSwitchboard *board, Datum value)
{
	int low = 0;
	int high = board->nswitches;

	while (low < high)
	{
		int middle = (low + high) / 2;

		if (ma_signal_order(board->signal, board->switches[middle].constant,
							value) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Wakes all whose constants an answer is compared with. */
static void
wake_board(MaContact *contact, const MaSwitchboard *board)
{
	MemoryContext old = MemoryContextSwitchTo(contact->set->cxt);

	for (int i = 0; i < board->nswitches; i++)
		contact->woken =
			bms_add_member(contact->woken, board->switches[i].consumer);
	MemoryContextSwitchTo(old);
}

/*
 * Does it make a difference to a comparison that its constant was reached,
 * left or passed? What is equal to neither value will be to a later one, if a
 * window lets it fall back.
 */
static bool
is_turned(const MaSignal *signal, const MaSwitch *one, Datum low, Datum high)
{
	if (signal->windowed && (one->op == MA_EQ || one->op == MA_NE))
		return true;
	return is_on(signal, one, low) != is_on(signal, one, high);
}

/*
 * Wakes those who compare an answer with a constant that it reached, left or
 * passed on its way from one value to another, and for whom that made a
 * difference; all, if there was none or is none.
 */
static void
wake_crossed(MaContact *contact, const MaSwitchboard *board,
			 const MaAnswer *before, const MaAnswer *after)
{
	const MaSignal *signal = board->signal;
	Datum			low = before->value;
	Datum			high = after->value;
	int				order;
	MemoryContext	old;

	if (before->isnull || after->isnull)
	{
		if (before->isnull != after->isnull)
			wake_board(contact, board);
		return;
	}
	order = ma_signal_order(signal, low, high);
	if (order == 0)
		return;
	if (order > 0)
	{
		low = after->value;
		high = before->value;
	}
	old = MemoryContextSwitchTo(contact->set->cxt);
	for (int i = first_switch(board, low); i < board->nswitches; i++)
	{
		const MaSwitch *one = &board->switches[i];

		if (ma_signal_order(signal, one->constant, high) > 0)
			break;
		if (is_turned(signal, one, low, high))
			contact->woken = bms_add_member(contact->woken, one->consumer);
	}
	MemoryContextSwitchTo(old);
}

/* The time of the newest event in a cell that keeps it. */
static TimestampTz
last_time(const MaCell *cell)
{
	return cell->ntimes > 0 ? cell->times[cell->ntimes - 1] : DT_NOBEGIN;
}

/* Wakes those for whom so much time had passed before the last event came. */
static void
wake_elapsed(MaContact *contact, const MaCellUse *use, TimestampTz before)
{
	MemoryContext old = MemoryContextSwitchTo(contact->set->cxt);

	for (int i = 0; i < use->nelapsed; i++)
		if (before == DT_NOBEGIN ||
			before + use->elapsed[i].least <= contact->as_of)
			contact->woken =
				bms_add_member(contact->woken, use->elapsed[i].consumer);
	MemoryContextSwitchTo(old);
}

/* Folds those of n events that count into cell number i of their kind. */
static void
fold_cell(MaContact *contact, MaKindDef *kind, int i, MaEvent **events, int n,
		  Found *found)
{
	MaCellUse  *cells = contact->set->definitions->cells;
	MaCellUse  *use = &cells[kind->cells[i]];
	MaCell	   *cell = &contact->cells[kind->cells[i]];
	TimestampTz last = last_time(cell);
	Watched		few[FEW_BOARDS];
	Watched	   *watched = use->nboards <= FEW_BOARDS ?
							  few :
							  palloc(use->nboards * sizeof(Watched));

	for (int j = 0; j < use->nboards; j++)
	{
		watched[j].asked = may_reach(&use->boards[j], cell, n);
		if (watched[j].asked)
			watched[j].before = board_answer(&use->boards[j], contact, cell);
	}
	for (int j = 0; j < n; j++, found += kind->nproperties)
		if (counts(cells, kind, i, events[j], found))
			fold_event(contact, use, cell, events[j], found);
	ma_cell_settle(&use->def, cell);
	for (int j = 0; j < use->nboards; j++)
		if (watched[j].asked)
		{
			MaAnswer after = board_answer(&use->boards[j], contact, cell);

			wake_crossed(contact, &use->boards[j], &watched[j].before, &after);
		}
	if (last_time(cell) != last)
		wake_elapsed(contact, use, last);
	if (watched != few)
		pfree(watched);
}

/* Is a cell to be passed over, since the log had these events already? */
static bool
had(const MaContact *contact, int cell)
{
	return contact->logged && bms_is_member(cell, contact->rebuilt);
}

/* Counts a value for some tallies that follow each other. */
static void
count_tallies(MaContact *contact, const MaTally *tally, int n,
			  Bitmapset **woken)
{
	for (const MaTally *end = tally + n; tally < end; tally++)
	{
		if (had(contact, tally->cell))
			continue;
		contact->cells[tally->cell].count++;
		if (tally->any != *woken)
			wake(contact, *woken = tally->any);
	}
}

/* How many of the tallies are below a place. */
static int
tallies_below(const MaTallies *tallies, int place)
{
	int low = 0;
	int high = tallies->n;

	while (low < high)
	{
		int middle = (low + high) / 2;

		if (tallies->tallies[middle].place < place)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Counts an event where to count the values of a property is all there is. */
static void
fold_tallies(MaContact *contact, MaKindDef *kind, int index,
			 const MaEvent *event, Found *found)
{
	const MaProperty *property = &kind->properties[index];
	Bitmapset		 *woken = NULL;
	int				  from;

	if (property->from.n == 0 && property->up_to.n == 0 && property->at.n == 0)
		return;
	if (!found->known)
		find_property(kind, index, event, found);
	if (found->isnull)
		return;
	count_tallies(contact, property->from.tallies,
				  tallies_below(&property->from, found->place + 1), &woken);
	from = tallies_below(&property->up_to, found->place);
	count_tallies(contact, property->up_to.tallies + from,
				  property->up_to.n - from, &woken);
	from = tallies_below(&property->at, found->place);
	count_tallies(contact, property->at.tallies + from,
				  tallies_below(&property->at, found->place + 1) - from,
				  &woken);
}

/* Does any of these events count for cell number i, as far as that is simple? */
static bool
any_counts(const MaCellUse *cells, MaKindDef *kind, int i, MaEvent **events,
		   int n, Found *found)
{
	for (int j = 0; j < n; j++, found += kind->nproperties)
		if (counts(cells, kind, i, events[j], found))
			return true;
	return false;
}

/* Folds events of one kind into the cells of that kind. */
static void
fold_kind(MaContact *contact, MaKindDef *kind, MaEvent **events, int n)
{
	MaCellUse *cells = contact->set->definitions->cells;
	Found	  *found = palloc0((n * kind->nproperties + 1) * sizeof(Found));

	for (int i = 0; i < n; i++)
		for (int j = 0; j < kind->nproperties; j++)
			fold_tallies(contact, kind, j, events[i],
						 &found[i * kind->nproperties + j]);
	for (int j = 0; j < kind->nothers; j++)
	{
		int i = kind->others[j];

		if (had(contact, kind->cells[i]))
			continue;
		if (kind->tests[i].property < 0 ||
			any_counts(cells, kind, i, events, n, found))
			fold_cell(contact, kind, i, events, n, found);
	}
	pfree(found);
}

/* Folds a single event. */
static void
fold_one(MaRun *run, MaContact *contact, MaEvent *event)
{
	MaKindDef *kind = ma_definition_kind(run->definitions, event->kind);

	if (kind == NULL)
		return;
	fold_kind(contact, kind, &event, 1);
	if (kind->counter >= 0)
		event->nth = contact->cells[kind->counter].count;
	contact->changed = true;
}

/*
 * Folds events of a contact, in order of arrival, and tells each which of its
 * kind it is. The contact's as_of is the present.
 */
void
ma_fold_events(MaRun *run, MaContact *contact, MaEvent *events, int n)
{
	MaEvent **same;
	bool	 *done;

	if (n == 1)
	{
		fold_one(run, contact, events);
		return;
	}
	same = palloc(n * sizeof(MaEvent *));
	done = palloc0(n * sizeof(bool));
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
		for (int from = 0; from < count; from += FOLD_EVENTS)
		{
			CHECK_FOR_INTERRUPTS();
			fold_kind(contact, kind, same + from,
					  Min(FOLD_EVENTS, count - from));
		}
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

		if (!contact->lacking)
			continue;
		contact->lacking = false;
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

/* Is the event one that is about to be folded as news? */
static bool
is_coming(const MaContact *contact, int64 event_id)
{
	int low = 0;
	int high = contact->ncoming - 1;

	while (low <= high)
	{
		int middle = (low + high) / 2;

		if (contact->coming[middle].event_id == event_id)
			return true;
		if (contact->coming[middle].event_id < event_id)
			low = middle + 1;
		else
			high = middle - 1;
	}
	return false;
}

/* Folds a row of the log, unless it is noted, into the cells read anew. */
static void
fold_row(MaContactSet *set, HTAB *noted, HeapTuple row, TupleDesc desc)
{
	bool	   isnull;
	MaEvent	   event = {0};
	MaContact *contact;
	MaKindDef *kind;
	Found	  *found;

	event.contact_id = DatumGetInt64(SPI_getbinval(row, desc, 1, &isnull));
	event.kind = TextDatumGetCString(SPI_getbinval(row, desc, 2, &isnull));
	event.occurred_at =
		DatumGetTimestampTz(SPI_getbinval(row, desc, 3, &isnull));
	event.properties = DatumGetJsonbP(SPI_getbinval(row, desc, 4, &isnull));
	event.event_id = DatumGetInt64(SPI_getbinval(row, desc, 5, &isnull));
	if (ma_replay_is_noted(noted, &event))
		return;
	contact = ma_contact_find(set, event.contact_id);
	if (is_coming(contact, event.event_id))
		return;
	kind = ma_definition_kind(set->definitions, event.kind);
	found = palloc0((kind->nproperties + 1) * sizeof(Found));
	for (int i = 0; i < kind->ncells; i++)
	{
		int cell = kind->cells[i];

		if (bms_is_member(cell, contact->rebuilt) &&
			counts(set->definitions->cells, kind, i, &event, found))
			fold_event(contact, &set->definitions->cells[cell],
					   &contact->cells[cell], &event, found);
	}
}

/*
 * Makes an event of the log an entry of a cell that knows it only as part of
 * a sum; false if it does not count there, or is about to be folded as news.
 */
bool
ma_fold_again(MaContact *contact, int cell, MaEvent *event)
{
	MaDefinitions	*definitions = contact->set->definitions;
	const MaCellUse *use = &definitions->cells[cell];
	MaKindDef		*kind = ma_definition_kind(definitions, use->def.kind);
	Found			*found = palloc0((kind->nproperties + 1) * sizeof(Found));
	Numeric			 value = NULL;
	MemoryContext	 old;
	int				 i = 0;

	while (kind->cells[i] != cell)
		i++;
	if (is_coming(contact, event->event_id) ||
		!counts(definitions->cells, kind, i, event, found))
		return false;
	old = MemoryContextSwitchTo(contact->set->cxt);
	if (use->value_of >= 0)
		value =
			DatumGetNumeric(datumCopy(found[use->value_of].value, false, -1));
	ma_cell_append(&contact->cells[cell], event->occurred_at, value);
	MemoryContextSwitchTo(old);
	return true;
}

/* Brings the cells that were read anew in order. */
static void
settle_rebuilt(MaContactSet *set)
{
	for (int i = 0; i < set->n; i++)
	{
		MaContact *contact = set->contacts[i];
		int		   cell = -1;

		while ((cell = bms_next_member(contact->rebuilt, cell)) >= 0)
			ma_cell_settle(&set->definitions->cells[cell].def,
						   &contact->cells[cell]);
	}
}

/* Has this transaction read the log? */
bool
ma_fold_has_read(void)
{
	return read_in == ma_local_transaction();
}

/* Has it, since this command of its own? */
bool
ma_fold_has_read_command(CommandId command)
{
	return ma_fold_has_read() && command < read_before;
}

/*
 * Folds from the log what the loaded contacts lack, but for what is noted
 * (deferred.c), under a fresh snapshot: it is taken after the locks, so what
 * others committed is in it. The events of the work are passed over, unless
 * all is rebuilt: time passes up to now before they are folded.
 */
void
ma_fold_from_log(MaRun *run, MaContactSet *set)
{
	static MaStatement stmt = {
		"select e.contact_id, e.kind, e.occurred_at, e.properties, e.event_id"
		" from unnest($1) as id cross join lateral (select *"
		" from mautomate.event where contact_id = id and kind = any ($2)"
		" offset 0) e",
		2,
		{INT8ARRAYOID, TEXTARRAYOID}};
	MaSqlScope scope;
	Bitmapset *kinds = NULL;
	Datum	   values[2];
	Portal	   portal;
	HTAB	  *noted;

	values[0] = PointerGetDatum(contacts_to_read(set, &kinds));
	if (kinds == NULL)
		return;
	values[1] = PointerGetDatum(kind_names(run->definitions, kinds));
	PushActiveSnapshot(IsolationUsesXactSnapshot() ? GetTransactionSnapshot() :
													 GetLatestSnapshot());
	noted = ma_replay_noted(run, set);
	ma_sql_begin(&scope);
	portal = ma_sql_open(&stmt, values);
	read_in = ma_local_transaction();
	read_before = GetCurrentCommandId(false);
	do
	{
		SPI_cursor_fetch(portal, true, LOG_ROWS);
		for (uint64 i = 0; i < SPI_processed; i++)
		{
			CHECK_FOR_INTERRUPTS();
			fold_row(set, noted, SPI_tuptable->vals[i], SPI_tuptable->tupdesc);
		}
		SPI_freetuptable(SPI_tuptable);
	} while (SPI_processed > 0);
	SPI_cursor_close(portal);
	ma_sql_end(&scope);
	PopActiveSnapshot();
	settle_rebuilt(set);
}
