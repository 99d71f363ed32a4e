/*
 * predicate_store.c
 *	  Expressions in the catalog of definitions.
 *
 * An expression is stored once, whoever uses it; with it the cells that the
 * engine has to fold to answer it get their numbers.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type_d.h"
#include "utils/builtins.h"

#include "definition_private.h"
#include "guard.h"
#include "sql.h"

/* Gives a cell its number, if it has none. */
static void
register_cell(const char *kind, const char *filter, const char *property,
			  const char *form)
{
	static MaStatement stmt = {
		"insert into mautomate_internal.cell (kind, filter, property, form)"
		" select $1, $2, $3, $4 where not exists (select"
		" from mautomate_internal.cell where kind = $1 and filter = $2"
		" and hashtextextended(filter, 0) = hashtextextended($2, 0)"
		" and property = $3 and form = $4) on conflict do nothing",
		4,
		{TEXTOID, TEXTOID, TEXTOID, TEXTOID}};
	Datum values[4];

	values[0] = CStringGetTextDatum(kind);
	values[1] = CStringGetTextDatum(filter);
	values[2] = CStringGetTextDatum(property);
	values[3] = CStringGetTextDatum(form);
	ma_sql_exec(&stmt, values, NULL, 0);
}

/* Numbers all cells that an expression needs. */
static void
register_cells(const MaExprSource *source, const MaExpr *expr)
{
	MaSlot *slots;
	int		n = ma_expr_slots(expr, &slots);

	for (int i = 0; i < n; i++)
	{
		MaSignal *signal = slots[i].signal;

		if (signal != NULL)
			register_cell(signal->kind, signal->filter_text, signal->property,
						  signal->form);
		else if (slots[i].kind == MA_SLOT_EVENT_NTH &&
				 source->event_kind != NULL)
			register_cell(source->event_kind, "", "", "");
		else if (slots[i].kind == MA_SLOT_ENTRY &&
				 strcmp(slots[i].path[0], "nth") == 0 &&
				 source->entry_kind != NULL)
			register_cell(source->entry_kind, "", "", "");
	}
}

/*
 * Compiles an expression (an error, with its position, if it cannot be) and
 * returns its number in mautomate_internal.predicate. The same text with the
 * same meaning has one number.
 */
int
ma_predicate_register(const MaExprSource *source)
{
	static MaStatement find = {
		"select predicate_id from mautomate_internal.predicate"
		" where names = $1 and event_kind = $2 and entry_kind = $3"
		" and type = $4 and text = $5"
		" and hashtextextended(text, 0) = hashtextextended($5, 0)",
		5,
		{INT4OID, TEXTOID, TEXTOID, OIDOID, TEXTOID}};
	static MaStatement insert = {
		"insert into mautomate_internal.predicate"
		" (names, event_kind, entry_kind, type, text)"
		" values ($1, $2, $3, $4, $5) returning predicate_id",
		5,
		{INT4OID, TEXTOID, TEXTOID, OIDOID, TEXTOID}};
	MaExpr	  *expr = ma_expr_compile(source, CurrentMemoryContext);
	MaSqlScope scope;
	Datum	   values[5];
	bool	   isnull;
	int		   id;

	values[0] = Int32GetDatum(source->names);
	values[1] =
		CStringGetTextDatum(source->event_kind ? source->event_kind : "");
	values[2] =
		CStringGetTextDatum(source->entry_kind ? source->entry_kind : "");
	values[3] = ObjectIdGetDatum(source->type);
	values[4] = CStringGetTextDatum(source->text);
	ma_sql_begin(&scope);
	register_cells(source, expr);
	if (ma_sql_exec(&find, values, NULL, 1) == 0)
		ma_sql_exec(&insert, values, NULL, 1);
	id = DatumGetInt32(ma_sql_datum(0, 1, &isnull));
	ma_sql_end(&scope);
	return id;
}

static void
register_one(void *arg)
{
	(void) ma_predicate_register(arg);
}

/*
 * Numbers the cells of expressions that mean something else than when they
 * were stored, and has everybody looked at again.
 */
void
ma_definition_renew(void)
{
	static MaStatement stmts[] = {
		{"update mautomate_internal.list set generation = $1"
		 " where predicate_id is not null",
		 1,
		 {INT8OID}},
		{"update mautomate_internal.score set generation = $1", 1, {INT8OID}},
	};
	MaDefinitions *definitions = ma_definitions();
	MaSqlScope	   scope;
	Datum		   generation;

	if (!definitions->lacking || !ma_definition_try_lock())
		return;
	for (int i = 0; i < definitions->nexprs; i++)
		if (definitions->exprs[i].expr == NULL)
			(void) ma_guard(register_one, &definitions->exprs[i].source);
	generation = Int64GetDatum(ma_definition_generation());
	ma_sql_begin(&scope);
	for (int i = 0; i < lengthof(stmts); i++)
		ma_sql_exec(&stmts[i], &generation, NULL, 0);
	ma_sql_end(&scope);
}
