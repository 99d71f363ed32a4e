/*
 * definition_use.c
 *	  Who uses an object by name in an expression, and renaming it there.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "definition_private.h"
#include "sql.h"

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

/* The ids of the expressions that name an object, as an int4 array. */
Datum
ma_definition_users(MaDefinitions *definitions, MaSlotKind kind,
					MaSlotKind other, const char *name)
{
	Datum	*ids = palloc((definitions->nexprs + 1) * sizeof(Datum));
	MaSlot **slots;
	int		 n = 0;

	for (int i = 0; i < definitions->nexprs; i++)
		if (slots_naming(definitions->exprs[i].expr, kind, other, name,
						 &slots) > 0)
			ids[n++] = Int32GetDatum(definitions->exprs[i].predicate_id);
	return PointerGetDatum(
		construct_array(ids, n, INT4OID, sizeof(int32), true, TYPALIGN_INT));
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

/*
 * Rewrites the expressions that name an object, and the texts of the lists
 * and rules made of them.
 */
void
ma_definition_rename(MaSlotKind kind, MaSlotKind other, const char *name,
					 const char *new_name)
{
	static MaStatement stmts[] = {
		{"update mautomate_internal.predicate set text = $2"
		 " where predicate_id = $1",
		 2,
		 {INT4OID, TEXTOID}},
		{"update mautomate_internal.list set predicate = $2"
		 " where predicate_id = $1",
		 2,
		 {INT4OID, TEXTOID}},
		{"update mautomate_internal.score_rule set condition = $2"
		 " where predicate_id = $1 and event is null",
		 2,
		 {INT4OID, TEXTOID}},
	};
	MaDefinitions *definitions = ma_definitions();
	MaSqlScope	   scope;

	ma_sql_begin(&scope);
	for (int i = 0; i < definitions->nexprs; i++)
	{
		MaExprUse *use = &definitions->exprs[i];
		MaSlot	 **slots;
		int		   n = slots_naming(use->expr, kind, other, name, &slots);
		Datum	   values[2];

		if (n == 0)
			continue;
		values[0] = Int32GetDatum(use->predicate_id);
		values[1] = CStringGetTextDatum(
			renamed_text(use->source.text, slots, n, new_name));
		for (int j = 0; j < lengthof(stmts); j++)
			ma_sql_exec(&stmts[j], values, NULL, 0);
	}
	ma_sql_end(&scope);
}
