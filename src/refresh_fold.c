/*
 * refresh_fold.c
 *	  Fold events into the cells of contacts.
 *
 * Folding wakes the consumers that a change concerns: those that ask for more
 * than a comparison with a constant at every change, the others only if the
 * answer passed their constant.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "error.h"
#include "guard.h"
#include "number.h"
#include "refresh_private.h"
#include "signal_seen.h"
#include "value.h"

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
	bool		  totals = use->def.keeps == MA_KEEPS_TOTALS;
	MemoryContext old =
		MemoryContextSwitchTo(totals ? ma_room(contact) : contact->set->cxt);

	if (use->value_of >= 0)
		ma_cell_fold(
			&use->def, cell, event->occurred_at,
			ma_number_copy(DatumGetNumeric(found[use->value_of].value)));
	else if (totals)
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
 * Folds any number of events of one kind, so many at a time: what is found in
 * them is kept, and what they leave is summed up in between.
 */
static void
fold_many(MaRun *run, MaContact *contact, MaKindDef *kind, MaEvent **events,
		  int n)
{
	int some = ma_room_events();

	for (int from = 0; from < n; from += some)
	{
		CHECK_FOR_INTERRUPTS();
		fold_kind(contact, kind, events + from, Min(some, n - from));
		if (n > some && !run->peek)
			ma_room_sum_up(contact, NULL,
						   Min(contact->as_of, contact->due_at - 1),
						   Max(contact->as_of, run->now));
	}
	if (n > some)
		ma_room_leave(contact);
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
		fold_many(run, contact, kind, same, count);
		for (int j = 0; j < count && kind->counter >= 0; j++)
			same[j]->nth = contact->cells[kind->counter].count - count + j + 1;
		contact->changed = true;
	}
	pfree(same);
	pfree(done);
}

/* Folds an event of the log into the cells of a contact that are read anew. */
void
ma_fold_read(MaContact *contact, MaEvent *event)
{
	MaCellUse *cells = contact->set->definitions->cells;
	MaKindDef *kind =
		ma_definition_kind(contact->set->definitions, event->kind);
	Found *found = palloc0((kind->nproperties + 1) * sizeof(Found));

	for (int i = 0; i < kind->ncells; i++)
	{
		int cell = kind->cells[i];

		if (bms_is_member(cell, contact->reading) &&
			counts(cells, kind, i, event, found))
			fold_event(contact, &cells[cell], &contact->cells[cell], event,
					   found);
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
	if (ma_fold_is_coming(contact, event->event_id) ||
		!counts(definitions->cells, kind, i, event, found))
		return false;
	old = MemoryContextSwitchTo(ma_room(contact));
	if (use->value_of >= 0)
		value = ma_number_copy(DatumGetNumeric(found[use->value_of].value));
	ma_cell_append(&contact->cells[cell], event->occurred_at, value);
	MemoryContextSwitchTo(old);
	return true;
}
