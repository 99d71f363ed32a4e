/*
 * definition_use.c
 *	  Who uses an object by name in an expression, and renaming it there.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "funcapi.h"
#include "utils/builtins.h"

#include "compat.h"
#include "definition_private.h"
#include "guard.h"
#include "sql.h"

PG_FUNCTION_INFO_V1(mautomate_name_uses);

/* The slots of an expression that name an object; n is how many. */
static int
slots_naming(MaExpr *expr, MaSlotKind kind, MaSlotKind other, const char *name,
			 MaSlot ***found)
{
	MaSlot *slots;
	int		all = expr == NULL ? 0 : ma_expr_slots(expr, &slots);
	int		n = 0;

	*found = palloc((all + 1) * sizeof(MaSlot *));
	for (int i = 0; i < all; i++)
		if ((slots[i].kind == kind || slots[i].kind == other) &&
			strcmp(slots[i].object, name) == 0)
			(*found)[n++] = &slots[i];
	return n;
}

/* One row of name_uses(), if a slot reads something by its name. */
static void
put_use(ReturnSetInfo *result, const MaExprUse *use, const MaSlot *slot)
{
	const char *object;
	const char *name = slot->object;
	Datum		values[3];
	bool		nulls[3] = {false};

	switch (slot->kind)
	{
		case MA_SLOT_IN_LIST:
			object = "list";
			break;
		case MA_SLOT_SCORE:
		case MA_SLOT_TIER:
			object = "score";
			break;
		case MA_SLOT_SIGNAL:
		case MA_SLOT_COMPARE:
			object = "event";
			name = slot->signal->kind;
			break;
		case MA_SLOT_ATTRIBUTE:
			object = "attribute";
			name = slot->path[0];
			break;
		default:
			return;
	}
	values[0] = CStringGetTextDatum(object);
	values[1] = CStringGetTextDatum(name);
	values[2] = Int32GetDatum(use->predicate_id);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* name_uses(): what expressions read by name */
Datum
mautomate_name_uses(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	MaDefinitions *definitions = ma_definitions();

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < definitions->nexprs; i++)
	{
		MaExprUse *use = &definitions->exprs[i];
		MaSlot	  *slots;
		int		   n = use->expr ? ma_expr_slots(use->expr, &slots) : 0;

		for (int j = 0; j < n; j++)
			put_use(result, use, &slots[j]);
	}
	return (Datum) 0;
}

/* The end of the string literal that starts at `start`. */
static const char *
literal_end(const char *start)
{
	const char *c = strchr(start, '\'');

	for (c++; *c != '\0'; c++)
		if (*c == '\'')
		{
			if (c[1] != '\'')
				return c + 1;
			c++;
		}
	return c;
}

/* The text of an expression with another name at some places. */
static char *
renamed_text(const char *text, MaSlot **slots, int n, const char *new_name)
{
	StringInfoData s;
	const char	  *rest = text;

	initStringInfo(&s);
	for (int i = 0; i < n; i++)
	{
		MaSlot *next = NULL;

		/* the leftmost that is still to the right of what is copied */
		for (int j = 0; j < n; j++)
			if (text + slots[j]->location >= rest &&
				(next == NULL || slots[j]->location < next->location))
				next = slots[j];
		appendBinaryStringInfo(&s, rest, text + next->location - rest);
		appendStringInfoString(&s, quote_literal_cstr(new_name));
		rest = literal_end(text + next->location);
	}
	appendStringInfoString(&s, rest);
	return s.data;
}

/* A stored expression to compile, for the guard. */
typedef struct Stored
{
	int			 predicate_id;
	MaExprSource source;
	MaExpr		*expr;
} Stored;

static void
compile_stored(void *arg)
{
	Stored *stored = arg;

	stored->expr = ma_expr_compile(&stored->source, CurrentMemoryContext);
}

/* Reads every expression, in use or not, in which a text occurs. */
static Stored *
read_stored(const char *text, int *n)
{
	static MaStatement stmt = {
		"select predicate_id, names, event_kind, entry_kind, type, text"
		" from mautomate_internal.predicate where strpos(text, $1) > 0",
		1,
		{TEXTOID}};
	Datum	value = CStringGetTextDatum(quote_literal_cstr(text));
	Stored *stored;

	*n = (int) ma_sql_exec(&stmt, &value, NULL, 0);
	stored = palloc0((*n + 1) * sizeof(Stored));
	for (int i = 0; i < *n; i++)
	{
		MaExprSource *source = &stored[i].source;
		bool		  isnull;

		stored[i].predicate_id = DatumGetInt32(ma_sql_datum(i, 1, &isnull));
		source->names = DatumGetInt32(ma_sql_datum(i, 2, &isnull));
		source->event_kind = ma_sql_text(i, 3);
		source->entry_kind = ma_sql_text(i, 4);
		source->type = DatumGetObjectId(ma_sql_datum(i, 5, &isnull));
		source->text = ma_sql_text(i, 6);
		if (source->event_kind[0] == '\0')
			source->event_kind = NULL;
		if (source->entry_kind[0] == '\0')
			source->entry_kind = NULL;
	}
	return stored;
}

/* Gives an expression another text, wherever it stands. */
static void
rewrite(int predicate_id, const char *old, const char *new)
{
	static MaStatement stmts[] = {
		/* what is left of definitions that are gone makes room */
		{"update mautomate_internal.predicate p set text = p.text || ' '"
		 " from mautomate_internal.predicate q where q.predicate_id = $1"
		 " and p.text = $3 and $2 <> $3 and (p.names, p.event_kind,"
		 " p.entry_kind, p.type) = (q.names, q.event_kind, q.entry_kind,"
		 " q.type)",
		 3,
		 {INT4OID, TEXTOID, TEXTOID}},
		{"update mautomate_internal.predicate set text = $3"
		 " where predicate_id = $1 and text = $2",
		 3,
		 {INT4OID, TEXTOID, TEXTOID}},
		{"update mautomate_internal.list set predicate = $3"
		 " where predicate_id = $1 and predicate = $2",
		 3,
		 {INT4OID, TEXTOID, TEXTOID}},
		{"update mautomate_internal.score_rule set condition = $3"
		 " where predicate_id = $1 and event is null and condition = $2",
		 3,
		 {INT4OID, TEXTOID, TEXTOID}},
		/* a string of a document is found by its quotes */
		{"update mautomate_internal.workflow_version"
		 " set definition = replace(definition::text, to_jsonb($2)::text,"
		 " to_jsonb($3)::text)::jsonb where $1 = any (predicates)",
		 3,
		 {INT4OID, TEXTOID, TEXTOID}},
	};
	Datum values[3] = {Int32GetDatum(predicate_id), CStringGetTextDatum(old),
					   CStringGetTextDatum(new)};

	for (int i = 0; i < lengthof(stmts); i++)
		ma_sql_exec(&stmts[i], values, NULL, 0);
}

/*
 * Rewrites the expressions that name an object, and the texts of the lists,
 * rules and workflows made of them.
 */
void
ma_definition_rename(MaSlotKind kind, MaSlotKind other, const char *name,
					 const char *new_name)
{
	MaSqlScope scope;
	Stored	  *stored;
	int		   n;

	ma_sql_begin(&scope);
	stored = read_stored(name, &n);
	for (int i = 0; i < n; i++)
	{
		MaSlot **slots;
		int		 nslots;

		if (ma_guard(compile_stored, &stored[i]) != NULL)
			continue; /* broken before */
		nslots = slots_naming(stored[i].expr, kind, other, name, &slots);
		if (nslots > 0)
			rewrite(
				stored[i].predicate_id, stored[i].source.text,
				renamed_text(stored[i].source.text, slots, nslots, new_name));
	}
	ma_sql_end(&scope);
}

/*
 * Does a live expression count events of this name: of a list, or of the
 * tiers of a score? The log tells of them by the name they had.
 */
bool
ma_definition_counts(const char *property, const char *name)
{
	MaDefinitions *definitions = ma_definitions();

	for (int i = 0; i < definitions->nexprs; i++)
	{
		MaExpr *expr = definitions->exprs[i].expr;
		MaSlot *slots;
		int		n = expr == NULL ? 0 : ma_expr_slots(expr, &slots);

		for (int j = 0; j < n; j++)
		{
			List	 *texts = NIL;
			ListCell *lc;

			if (slots[j].signal != NULL)
				(void) ma_expr_restricts(slots[j].signal->filter, property,
										 &texts);
			foreach (lc, texts)
				if (strcmp(((MaTextAt *) lfirst(lc))->text, name) == 0)
					return true;
		}
	}
	return false;
}
