/*
 * definition_link.c
 *	  Links what is loaded: cells, and whom they concern.
 *
 * Expressions say which signals they read. Signals about the same events
 * share a cell; a cell keeps what the most demanding of them needs. A count
 * that is only ever compared with constants goes to a switchboard: an event
 * that moves it from a to b wakes those with a constant from a to b, and no
 * one else.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "common/int.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "definition_private.h"
#include "sql.h"

static void link_expr(MaDefinitions *definitions, MaExpr *expr, int consumer);

/* Reads the numbers of the cells; called while the definitions are read. */
void
ma_definition_read_cells(MaDefinitions *definitions)
{
	static MaStatement stmt = {
		"select cell_id::bigint, kind, filter, property, form"
		" from mautomate_internal.cell order by cell_id",
		0};
	uint64 n = ma_sql_read(&stmt, NULL, NULL, 0);
	bool   isnull;

	definitions->ncells = n;
	definitions->cells =
		MemoryContextAllocZero(definitions->cxt, (n + 1) * sizeof(MaCellUse));
	for (uint64 i = 0; i < n; i++)
	{
		MaCellDef *def = &definitions->cells[i].def;

		def->id = DatumGetInt64(ma_sql_datum(i, 1, &isnull));
		def->kind = MemoryContextStrdup(definitions->cxt, ma_sql_text(i, 2));
		def->filter = MemoryContextStrdup(definitions->cxt, ma_sql_text(i, 3));
		def->property =
			MemoryContextStrdup(definitions->cxt, ma_sql_text(i, 4));
		def->form = MemoryContextStrdup(definitions->cxt, ma_sql_text(i, 5));
	}
}

/* The cell of that key; -1 if it has no number. */
static int
lookup_cell(MaDefinitions *definitions, const char *kind, const char *filter,
			const char *property, const char *form)
{
	for (int i = 0; i < definitions->ncells; i++)
	{
		MaCellDef *def = &definitions->cells[i].def;

		if (strcmp(def->kind, kind) == 0 && strcmp(def->filter, filter) == 0 &&
			strcmp(def->property, property) == 0 &&
			strcmp(def->form, form) == 0)
			return i;
	}
	return -1;
}

/* The same; an error if it has no number. */
static int
find_cell(MaDefinitions *definitions, const char *kind, const char *filter,
		  const char *property, const char *form)
{
	int cell = lookup_cell(definitions, kind, filter, property, form);

	if (cell < 0)
		elog(ERROR, "no cell for kind \"%s\", filter \"%s\", property \"%s\"",
			 kind, filter, property);
	return cell;
}

/*
 * Do all cells that an expression needs have numbers? Not so where it means
 * something else than when it was stored: the zone was set anew, or a
 * property was declared.
 */
bool
ma_definition_has_cells(MaDefinitions *definitions, const MaExpr *expr)
{
	MaSlot *slots;
	int		n = ma_expr_slots(expr, &slots);

	for (int i = 0; i < n; i++)
	{
		MaSignal *signal = slots[i].signal;

		if (signal != NULL &&
			lookup_cell(definitions, signal->kind, signal->filter_text,
						signal->property, signal->form) < 0)
			return false;
	}
	return true;
}

static bool
same_question(const MaSignal *a, const MaSignal *b)
{
	return a->cell == b->cell && a->function == b->function &&
		   a->windowed == b->windowed &&
		   (!a->windowed || ma_window_is_same(&a->window, &b->window));
}

/* Adds a constant of a count to the switchboard of its cell. */
static void
add_switch(MaDefinitions *definitions, MaSlot *slot, int consumer)
{
	MaCellUse	  *use = &definitions->cells[slot->signal->cell];
	MaSwitchboard *board = NULL;

	for (int i = 0; i < use->nboards && board == NULL; i++)
		if (same_question(use->boards[i].signal, slot->signal))
			board = &use->boards[i];
	if (board == NULL)
	{
		use->boards = use->boards == NULL ?
						  palloc(sizeof(MaSwitchboard)) :
						  repalloc(use->boards,
								   (use->nboards + 1) * sizeof(MaSwitchboard));
		board = &use->boards[use->nboards++];
		board->signal = slot->signal;
		board->nswitches = 0;
		board->switches = NULL;
	}
	if ((board->nswitches & (board->nswitches - 1)) == 0)
		board->switches = board->switches == NULL ?
							  palloc(sizeof(MaSwitch)) :
							  repalloc(board->switches, 2 * board->nswitches *
															sizeof(MaSwitch));
	board->switches[board->nswitches].constant = slot->constant;
	board->switches[board->nswitches].op = slot->op;
	board->switches[board->nswitches++].consumer = consumer;
}

/* Adds a consumer to those of an attribute. */
static void
add_attribute(MaDefinitions *definitions, const char *name, int consumer)
{
	MaAttributeUse *use;

	for (int i = 0; i < definitions->nattributes; i++)
		if (strcmp(definitions->attributes[i].name, name) == 0)
		{
			use = &definitions->attributes[i];
			use->consumers = bms_add_member(use->consumers, consumer);
			return;
		}
	definitions->attributes =
		definitions->attributes == NULL ?
			palloc(sizeof(MaAttributeUse)) :
			repalloc(definitions->attributes,
					 (definitions->nattributes + 1) * sizeof(MaAttributeUse));
	use = &definitions->attributes[definitions->nattributes++];
	use->name = name;
	use->consumers = bms_make_singleton(consumer);
}

/* Adds an attribute to those whose changes are remembered. */
static void
add_recorded(MaDefinitions *definitions, const char *name)
{
	for (int i = 0; i < definitions->nrecorded; i++)
		if (strcmp(definitions->recorded[i], name) == 0)
			return;
	definitions->recorded =
		definitions->recorded == NULL ?
			palloc(sizeof(char *)) :
			repalloc(definitions->recorded,
					 (definitions->nrecorded + 1) * sizeof(char *));
	definitions->recorded[definitions->nrecorded++] = name;
}

/* Is an answer cheap enough to be asked before and after every event? */
static bool
has_board(const MaSignal *signal)
{
	switch (signal->function)
	{
		case MA_COUNT:
			return true;
		case MA_SUM:
		case MA_AVG:
		case MA_MIN:
		case MA_MAX:
			return !signal->windowed;
		default:
			return false;
	}
}

/*
 * How long ago the last event must be, at least, for an expression to be
 * concerned by another one, in microseconds: all it does with the slot is to
 * ask elapsed(...) <op> span. False if it does anything else with it.
 */
static bool
asks_elapsed(const MaExpr *expr, int index, int64 *least)
{
	MaSlot *slots;
	int		n = ma_expr_slots(expr, &slots);

	*least = PG_INT64_MAX;
	if (slots[index].kind != MA_SLOT_SIGNAL ||
		slots[index].signal->function != MA_LAST_AT ||
		slots[index].signal->windowed || ma_expr_count(expr) != 1 ||
		bms_is_member(index, ma_expr_target_slots(expr, 0)))
		return false;
	for (int i = 0; i < n; i++)
	{
		MaWindow span;

		if ((slots[i].kind != MA_SLOT_ELAPSED &&
			 slots[i].kind != MA_SLOT_REMAINING &&
			 slots[i].kind != MA_SLOT_ANNIVERSARY) ||
			slots[i].time != index)
			continue;
		if (slots[i].kind != MA_SLOT_ELAPSED)
			return false;
		ma_window_set(&span, &slots[i].span);
		*least = Min(*least, span.min);
	}
	return *least != PG_INT64_MAX;
}

/* Adds a consumer to those who wait for time to pass since the last event. */
static void
add_elapsed(MaCellUse *use, int64 least, int consumer)
{
	use->elapsed =
		use->elapsed == NULL ?
			palloc(sizeof(MaElapsed)) :
			repalloc(use->elapsed, (use->nelapsed + 1) * sizeof(MaElapsed));
	use->elapsed[use->nelapsed].least = least;
	use->elapsed[use->nelapsed++].consumer = consumer;
}

/* Binds a signal to its cell; who uses it is woken by its changes. */
static void
link_signal(MaDefinitions *definitions, const MaExpr *expr, int index,
			int consumer)
{
	MaSlot	  *slots;
	MaSlot	  *slot;
	MaSignal  *signal;
	int64	   least;
	MaCellUse *use;

	(void) ma_expr_slots(expr, &slots);
	slot = &slots[index];
	signal = slot->signal;
	signal->cell = find_cell(definitions, signal->kind, signal->filter_text,
							 signal->property, signal->form);
	use = &definitions->cells[signal->cell];
	if (use->filter == NULL)
		use->filter = signal->filter;
	ma_signal_require(&use->def, signal);
	if (consumer < 0)
		return;
	if (slot->kind == MA_SLOT_COMPARE && has_board(signal))
		add_switch(definitions, slot, consumer);
	else if (asks_elapsed(expr, index, &least))
		add_elapsed(use, least, consumer);
	else
		use->any = bms_add_member(use->any, consumer);
}

static int
find_list(MaDefinitions *definitions, const char *name)
{
	for (int i = 0; i < definitions->nlists; i++)
		if (strcmp(definitions->lists[i].name, name) == 0)
			return i;
	return -1;
}

static int
find_score_index(MaDefinitions *definitions, const char *name)
{
	for (int i = 0; i < definitions->nscores; i++)
		if (strcmp(definitions->scores[i].name, name) == 0)
			return i;
	return -1;
}

/*
 * Who counts the events that lists and scores derive depends on them: on
 * those that its filter names, or on all.
 */
static void
link_derived(MaDefinitions *definitions, const MaSignal *signal, int consumer)
{
	bool lists = strcmp(signal->kind, "list_entered") == 0 ||
				 strcmp(signal->kind, "list_left") == 0;
	Bitmapset **counters =
		lists ? definitions->list_counters : definitions->score_counters;
	int		  n = lists ? definitions->nlists : definitions->nscores;
	List	 *names = NIL;
	ListCell *lc;

	if (!lists && strcmp(signal->kind, "tier_changed") != 0)
		return;
	if (!ma_expr_restricts(signal->filter, lists ? "list" : "score", &names))
	{
		definitions->count_all =
			bms_add_member(definitions->count_all, consumer);
		for (int i = 0; i < n; i++)
			counters[i] = bms_add_member(counters[i], consumer);
		return;
	}
	foreach (lc, names)
	{
		const char *name = ((MaTextAt *) lfirst(lc))->text;
		int			i = lists ? find_list(definitions, name) :
								find_score_index(definitions, name);

		if (i >= 0)
			counters[i] = bms_add_member(counters[i], consumer);
	}
}

/*
 * What a list is, if all it asks is whether a count in a window is below a
 * constant or not.
 */
static bool
is_turn(const MaExpr *expr, MaTurn *turn)
{
	const MaSlot *slot = ma_expr_only_slot(expr);
	int64		  constant;

	if (slot == NULL || slot->kind != MA_SLOT_COMPARE ||
		slot->signal->function != MA_COUNT || !slot->signal->windowed ||
		slot->op == MA_EQ || slot->op == MA_NE || ma_expr_can_raise(expr))
		return false;
	constant = DatumGetInt64(slot->constant);
	turn->above = slot->op == MA_GE || slot->op == MA_GT;
	turn->least = constant;
	return slot->op == MA_GE || slot->op == MA_LT ||
		   !pg_add_s64_overflow(constant, 1, &turn->least);
}

/* The countdown of a signal, which is bound to its cell. */
static MaCountdown *
find_countdown(MaDefinitions *definitions, MaSignal *signal)
{
	MaCountdown *countdown;

	for (int i = 0; i < definitions->ncountdowns; i++)
		if (same_question(definitions->countdowns[i].signal, signal))
			return &definitions->countdowns[i];
	definitions->countdowns =
		definitions->countdowns == NULL ?
			palloc(sizeof(MaCountdown)) :
			repalloc(definitions->countdowns,
					 (definitions->ncountdowns + 1) * sizeof(MaCountdown));
	countdown = &definitions->countdowns[definitions->ncountdowns++];
	countdown->signal = signal;
	countdown->nturns = 0;
	countdown->turns = NULL;
	return countdown;
}

/* Notes that time alone can change a consumer; its signals are bound. */
static void
link_timed(MaDefinitions *definitions, const MaExpr *expr, int consumer)
{
	MaCountdown *countdown;
	MaTurn		 turn = {.list = consumer};

	if (consumer >= definitions->nlists || !is_turn(expr, &turn))
	{
		definitions->timed = bms_add_member(definitions->timed, consumer);
		return;
	}
	countdown = find_countdown(definitions, ma_expr_only_slot(expr)->signal);
	if ((countdown->nturns & (countdown->nturns - 1)) == 0)
		countdown->turns =
			countdown->turns == NULL ?
				palloc(sizeof(MaTurn)) :
				repalloc(countdown->turns,
						 2 * countdown->nturns * sizeof(MaTurn));
	countdown->turns[countdown->nturns++] = turn;
}

/* Links what an expression reads; consumer is -1 for one of a workflow. */
static void
link_expr(MaDefinitions *definitions, MaExpr *expr, int consumer)
{
	MaSlot *slots;
	int		n;

	if (expr == NULL)
		return;
	n = ma_expr_slots(expr, &slots);
	for (int i = 0; i < n; i++)
	{
		MaSlot *slot = &slots[i];

		switch (slot->kind)
		{
			case MA_SLOT_SIGNAL:
			case MA_SLOT_COMPARE:
				link_signal(definitions, expr, i, consumer);
				if (consumer >= 0)
					link_derived(definitions, slot->signal, consumer);
				if (slot->signal->recorded != NULL)
					add_recorded(definitions, slot->signal->recorded);
				break;
			case MA_SLOT_ATTRIBUTE:
				if (consumer >= 0)
					add_attribute(definitions, slot->path[0], consumer);
				break;
			case MA_SLOT_TAG:
				if (consumer >= 0)
					add_attribute(definitions, "tags", consumer);
				break;
			case MA_SLOT_IN_LIST:
				slot->index = find_list(definitions, slot->object);
				if (slot->index >= 0 && consumer >= 0)
					definitions->list_users[slot->index] = bms_add_member(
						definitions->list_users[slot->index], consumer);
				break;
			case MA_SLOT_SCORE:
			case MA_SLOT_TIER:
				slot->index = find_score_index(definitions, slot->object);
				if (slot->index >= 0 && consumer >= 0)
					definitions->score_users[slot->index] = bms_add_member(
						definitions->score_users[slot->index], consumer);
				break;
			default:
				break;
		}
	}
	if (consumer >= 0 && ma_expr_is_timed(expr))
		link_timed(definitions, expr, consumer);
}

/* event.nth and entry.nth need the count of all events of their kind. */
static void
link_nth(MaDefinitions *definitions, MaExprUse *use)
{
	MaSlot *slots;
	int		n;

	if (use->expr == NULL)
		return;
	n = ma_expr_slots(use->expr, &slots);
	for (int i = 0; i < n; i++)
	{
		const char *kind = NULL;

		if (slots[i].kind == MA_SLOT_EVENT_NTH)
			kind = use->source.event_kind;
		else if (slots[i].kind == MA_SLOT_ENTRY &&
				 strcmp(slots[i].path[0], "nth") == 0)
			kind = use->source.entry_kind;
		if (kind != NULL)
			definitions->cells[find_cell(definitions, kind, "", "", "")]
				.def.counted = true;
	}
}

/* Orders switches of a board by their constants. */
static int
compare_switches(const void *a, const void *b, void *arg)
{
	return ma_signal_order(arg, ((const MaSwitch *) a)->constant,
						   ((const MaSwitch *) b)->constant);
}

static int
compare_kinds(const void *a, const void *b)
{
	return strcmp(((const MaKindDef *) a)->kind,
				  ((const MaKindDef *) b)->kind);
}

/* Notes how cells are stored. */
static void
code_cells(MaDefinitions *definitions)
{
	int			n = definitions->ncells;
	MaCellCode *codes = palloc0((n + 1) * sizeof(MaCellCode));

	for (int i = 0; i < n; i++)
	{
		const MaCellDef *def = &definitions->cells[i].def;

		codes[i].id = def->id;
		codes[i].counted = def->counted;
		codes[i].plain = def->plain;
	}
	codes[n].id = INT_MAX;
	definitions->codes = codes;
}

/* Groups the used cells by kind and sorts the switchboards. */
static void
group_cells(MaDefinitions *definitions)
{
	definitions->kinds =
		palloc0((definitions->ncells + 1) * sizeof(MaKindDef));
	for (int i = 0; i < definitions->ncells; i++)
	{
		MaCellUse *use = &definitions->cells[i];
		MaKindDef *kind = NULL;

		for (int j = 0; j < use->nboards; j++)
			qsort_arg(use->boards[j].switches, use->boards[j].nswitches,
					  sizeof(MaSwitch), compare_switches,
					  use->boards[j].signal);
		if (!use->def.counted)
			continue;
		definitions->ncounted++;
		use->def.plain = ma_cell_is_plain(&use->def);
		for (int j = 0; j < definitions->nkinds && kind == NULL; j++)
			if (strcmp(definitions->kinds[j].kind, use->def.kind) == 0)
				kind = &definitions->kinds[j];
		if (kind == NULL)
		{
			kind = &definitions->kinds[definitions->nkinds++];
			kind->kind = use->def.kind;
			kind->cells = palloc(definitions->ncells * sizeof(int));
			kind->counter = -1;
		}
		kind->cells[kind->ncells++] = i;
		ma_definition_look(kind, use);
		if (use->def.filter[0] == '\0' && use->def.property[0] == '\0')
			kind->counter = i;
	}
	code_cells(definitions);
	for (int i = 0; i < definitions->nkinds; i++)
		ma_definition_count(definitions, &definitions->kinds[i]);
	qsort(definitions->kinds, definitions->nkinds, sizeof(MaKindDef),
		  compare_kinds);
}

/* The cell whose count is all that a rule asks for, or -1. */
static int
count_cell(const MaRuleDef *rule)
{
	const MaSlot *slot =
		rule->expr && rule->counts ? ma_expr_only_slot(rule->expr) : NULL;

	return slot != NULL && slot->kind == MA_SLOT_SIGNAL &&
				   slot->signal->function == MA_COUNT &&
				   !slot->signal->windowed ?
			   slot->signal->cell :
			   -1;
}

/* Finds the scores that follow from counts alone and wake nobody. */
static void
find_tallied(MaDefinitions *definitions)
{
	for (int i = 0; i < definitions->nscores; i++)
	{
		const MaScoreDef *score = &definitions->scores[i];
		bool			  tallied = definitions->score_users[i] == NULL;

		for (int j = 0; j < score->nrules; j++)
			tallied = tallied && score->rules[j].cell >= 0;
		if (tallied)
			definitions->tallied =
				bms_add_member(definitions->tallied, definitions->nlists + i);
	}
}

/* Links everything that was loaded. */
void
ma_definition_link(MaDefinitions *definitions)
{
	MemoryContext old = MemoryContextSwitchTo(definitions->cxt);

	definitions->list_users =
		palloc0((definitions->nlists + 1) * sizeof(Bitmapset *));
	definitions->score_users =
		palloc0((definitions->nscores + 1) * sizeof(Bitmapset *));
	definitions->list_counters =
		palloc0((definitions->nlists + 1) * sizeof(Bitmapset *));
	definitions->score_counters =
		palloc0((definitions->nscores + 1) * sizeof(Bitmapset *));
	for (int i = 0; i < definitions->nlists; i++)
		link_expr(definitions, definitions->lists[i].expr, i);
	for (int i = 0; i < definitions->nscores; i++)
		for (int j = 0; j < definitions->scores[i].nrules; j++)
		{
			MaRuleDef *rule = &definitions->scores[i].rules[j];

			link_expr(definitions, rule->expr, definitions->nlists + i);
			rule->cell = count_cell(rule);
		}
	for (int i = 0; i < definitions->nexprs; i++)
	{
		link_expr(definitions, definitions->exprs[i].expr, -1);
		link_nth(definitions, &definitions->exprs[i]);
	}
	find_tallied(definitions);
	group_cells(definitions);
	ma_definition_order(definitions);
	MemoryContextSwitchTo(old);
}
