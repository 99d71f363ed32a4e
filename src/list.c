/*
 * list.c
 *	  Lists: their definitions.
 *
 * A change of definitions takes the row lock on the generation first, so two
 * of them never interleave. A new or changed predicate is evaluated for
 * everybody before the call returns, like CREATE INDEX: whoever writes
 * contacts or events meanwhile waits. Or it is built while others write
 * (refresh_build.c).
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type_d.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "argument.h"
#include "clock.h"
#include "contact.h"
#include "known.h"
#include "list.h"
#include "refresh.h"
#include "sql.h"
#include "use.h"
#include "wake.h"

PG_FUNCTION_INFO_V1(mautomate_create_list);
PG_FUNCTION_INFO_V1(mautomate_create_static_list);
PG_FUNCTION_INFO_V1(mautomate_drop_list);
PG_FUNCTION_INFO_V1(mautomate_rename_list);

/* What is stored of a list. */
typedef struct StoredList
{
	int	  list_id;
	char *predicate; /* NULL: static */
	bool  ready;	 /* not one that is still built */
} StoredList;

/* Finds a list by name; false if there is none. */
static bool
find_list(const char *name, StoredList *list)
{
	static MaStatement stmt = {
		"select list_id, predicate, state in ('ready', 'following')"
		" from mautomate_internal.list where name = $1",
		1,
		{TEXTOID}};
	MaSqlScope scope;
	Datum	   value = CStringGetTextDatum(name);
	bool	   found;
	bool	   isnull;

	ma_sql_begin(&scope);
	found = ma_sql_exec(&stmt, &value, NULL, 1) > 0;
	if (found)
	{
		char *predicate = ma_sql_text(0, 2);

		list->list_id = DatumGetInt32(ma_sql_datum(0, 1, &isnull));
		list->ready = DatumGetBool(ma_sql_datum(0, 3, &isnull));
		list->predicate =
			predicate ? MemoryContextStrdup(scope.cxt, predicate) : NULL;
	}
	ma_sql_end(&scope);
	return found;
}

/* The number of a list; an error if there is none of that name. */
int
ma_list_id(const char *name, bool *is_static)
{
	StoredList list;

	if (!find_list(name, &list))
		ma_known_refuse(MA_KNOWN_LIST, name);
	*is_static = list.predicate == NULL;
	return list.list_id;
}

/* The same; it is not dropped before the transaction ends. */
int
ma_list_hold(const char *name)
{
	static MaStatement stmt = {
		"select list_id from mautomate_internal.list where name = $1"
		" for key share",
		1,
		{TEXTOID}};
	Datum value = CStringGetTextDatum(name);
	Datum list_id;

	if (!ma_sql_one(&stmt, &value, &list_id))
		ma_known_refuse(MA_KNOWN_LIST, name);
	return DatumGetInt32(list_id);
}

/*
 * Stores a list of a predicate, or a static one; an existing one is changed.
 * It was filled at that instant, or is to be built. Returns its number.
 */
static int
store_list(const char *name, const char *predicate, int predicate_id,
		   int64 generation, TimestampTz filled_at)
{
	static MaStatement stmt = {
		"insert into mautomate_internal.list"
		" (name, predicate, predicate_id, generation, built_at, state)"
		" values ($1, $2, $3, $4, $5,"
		" case when $5 is null then 'building' else 'ready' end)"
		" on conflict (name) do update set predicate = excluded.predicate,"
		" predicate_id = excluded.predicate_id,"
		" generation = excluded.generation, built_at = excluded.built_at,"
		" state = excluded.state, wait_for = null, started_at = null"
		" returning list_id",
		5,
		{TEXTOID, TEXTOID, INT4OID, INT8OID, TIMESTAMPTZOID}};
	MaSqlScope scope;
	Datum	   values[5];
	char	   nulls[6] = "     ";
	bool	   isnull;
	int		   list_id;

	values[0] = CStringGetTextDatum(name);
	values[1] = CStringGetTextDatum(predicate ? predicate : "");
	values[2] = Int32GetDatum(predicate_id);
	values[3] = Int64GetDatum(generation);
	values[4] = TimestampTzGetDatum(filled_at);
	if (predicate == NULL)
		nulls[1] = nulls[2] = 'n';
	if (filled_at == DT_NOEND)
		nulls[4] = 'n';
	ma_sql_begin(&scope);
	ma_sql_exec(&stmt, values, nulls, 0);
	list_id = DatumGetInt32(ma_sql_datum(0, 1, &isnull));
	ma_sql_end(&scope);
	return list_id;
}

/* The states of the contacts follow a list that a query has filled. */
static void
set_following(int list_id)
{
	static MaStatement stmt = {
		"update mautomate_internal.list set state = 'following',"
		" started_at = clock_timestamp() where list_id = $1",
		1,
		{INT4OID}};
	MaSqlScope scope;
	Datum	   value = Int32GetDatum(list_id);

	ma_sql_begin(&scope);
	ma_sql_exec(&stmt, &value, NULL, 0);
	ma_sql_end(&scope);
}

/* Stores a list and fills it, while those who write contacts wait. */
static void
build_list(const char *name, const MaExprSource *source, const MaExpr *expr,
		   bool existed)
{
	int			predicate_id = ma_predicate_register(source);
	int64		generation = ma_definition_generation();
	TimestampTz now;
	int			list_id;

	ma_follow_lock();
	now = ma_now();
	list_id = store_list(name, source->text, predicate_id, generation, now);
	(void) ma_definitions(); /* a cycle is found now */
	if (ma_follow_fill(list_id, expr, existed, now))
		set_following(list_id);
	else
		ma_refresh_everybody(false);
}

/* create_list(name, predicate, wait) */
Datum
mautomate_create_list(PG_FUNCTION_ARGS)
{
	char		*name = ma_argument_name(fcinfo, 0, "name");
	char		*predicate = ma_argument_text(fcinfo, 1, "predicate");
	bool		 wait = PG_ARGISNULL(2) || PG_GETARG_BOOL(2);
	MaExprSource source = {
		.text = predicate, .names = MA_NAMES_PERSON, .type = BOOLOID};
	MaExpr	  *expr = ma_expr_compile(&source, CurrentMemoryContext);
	StoredList list;
	bool	   existed;
	bool	   same;

	ma_definition_lock();
	existed = find_list(name, &list);
	if (existed && list.predicate == NULL)
		ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT),
						errmsg("\"%s\" is a static list", name),
						errhint("Drop it first, or choose another name.")));
	same = existed && strcmp(list.predicate, predicate) == 0;
	if (same && (list.ready || !wait))
		PG_RETURN_TEXT_P(cstring_to_text("unchanged"));
	ma_known_check(expr);
	if (wait)
		build_list(name, &source, expr, existed);
	else
	{
		int predicate_id = ma_predicate_register(&source);

		(void) store_list(name, predicate, predicate_id,
						  ma_definition_generation(), DT_NOEND);
		(void) ma_definitions(); /* a cycle is found now */
		ma_wake_scheduler_at_commit();
	}
	PG_RETURN_TEXT_P(cstring_to_text(same	 ? "unchanged" :
									 existed ? "changed" :
											   "created"));
}

/* create_static_list(name) */
Datum
mautomate_create_static_list(PG_FUNCTION_ARGS)
{
	char	  *name = ma_argument_name(fcinfo, 0, "name");
	StoredList list;

	ma_definition_lock();
	if (find_list(name, &list))
	{
		if (list.predicate != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_OBJECT),
					 errmsg("list \"%s\" has a predicate", name),
					 errhint("Drop it first, or choose another name.")));
		PG_RETURN_TEXT_P(cstring_to_text("unchanged"));
	}
	(void) store_list(name, NULL, 0, ma_definition_generation(), ma_now());
	PG_RETURN_TEXT_P(cstring_to_text("created"));
}

/* drop_list(name) */
Datum
mautomate_drop_list(PG_FUNCTION_ARGS)
{
	/*
	 * The list first: who has put somebody into it is waited for. Its history
	 * is cleared away in the background (list_forget.c).
	 */
	static MaStatement stmts[] = {
		{"delete from mautomate_internal.list where list_id = $1",
		 1,
		 {INT4OID}},
		{"delete from mautomate_internal.list_member where list_id = $1",
		 1,
		 {INT4OID}},
		{"delete from mautomate_internal.list_override where list_id = $1",
		 1,
		 {INT4OID}},
		{"insert into mautomate_internal.list_dropped (list_id) values ($1)",
		 1,
		 {INT4OID}},
	};
	char *name = ma_argument_name(fcinfo, 0, "name");
	bool  is_static;
	int	  id;

	ma_definition_lock();
	id = ma_list_id(name, &is_static);
	ma_use_check_drop("list", name);
	ma_use_drop(Int32GetDatum(id), stmts, lengthof(stmts));
	ma_wake_scheduler_at_commit();
	PG_RETURN_VOID();
}

/* rename_list(name, new_name): whoever uses it follows. */
Datum
mautomate_rename_list(PG_FUNCTION_ARGS)
{
	static MaStatement stmt = {
		"update mautomate_internal.list set name = $2 where list_id = $1",
		2,
		{INT4OID, TEXTOID}};
	MaRename   rename = {MA_NAMED_LIST, ma_argument_name(fcinfo, 0, "name"),
						 ma_argument_name(fcinfo, 1, "new_name")};
	bool	   is_static;
	StoredList other;
	Datum	   values[2];

	ma_definition_lock();
	values[0] = Int32GetDatum(ma_list_id(rename.old_name, &is_static));
	values[1] = CStringGetTextDatum(rename.new_name);
	if (find_list(rename.new_name, &other))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("list \"%s\" already exists", rename.new_name)));
	ma_use_rename(&rename, &stmt, values);
	PG_RETURN_VOID();
}
