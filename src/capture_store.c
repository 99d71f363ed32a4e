/*
 * capture_store.c
 *	  Definitions of sources: writing and reading them.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "batch.h"
#include "capture.h"
#include "sql.h"

static Datum  text_array(char **texts, int n);
static Datum  key_array(const MaSourceText *text);
static void	  read_text(MaSourceText *text, uint64 row);
static char **read_names(uint64 row, int column, int *n);

#define COLUMNS                                                        \
	"source, kind, contact, email, phone, anonymous, occurred_at,"     \
	" condition, void_when, on_update, on_delete, fields, zone,"       \
	" key_prefix, via_key, relation, via, relation_was, key, columns," \
	" via_columns"
#define PARAMETERS                                                      \
	"$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15," \
	" $16, $17, $18, $19, $20, $21"
#define TYPES                                                               \
	TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, \
		TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID,      \
		REGCLASSOID, REGCLASSOID, OIDOID, INT2ARRAYOID, TEXTARRAYOID,       \
		TEXTARRAYOID
/* A table that was dropped and is there again is the same source. */
#define IS_THERE \
	"exists (select from pg_catalog.pg_class c where c.oid = relation)"
#define NTEXTS	 15
#define NCOLUMNS 21

/* The words of a definition, in the order of the columns. */
#define WORDS(t)                                                             \
	{                                                                        \
		&(t)->source, &(t)->kind, &(t)->contact, &(t)->email, &(t)->phone,   \
			&(t)->anonymous, &(t)->occurred_at, &(t)->condition,             \
			&(t)->void_when, &(t)->on_update, &(t)->on_delete, &(t)->fields, \
			&(t)->zone, &(t)->key_prefix, &(t)->via_key                      \
	}

/* Stores a definition: created, changed or unchanged. */
const char *
ma_source_store(const MaSourceText *text)
{
	static MaStatement other = {
		"select case when kind is distinct from $3"
		" then coalesce('events of kind ' || kind, 'contacts')"
		" else relation::text end"
		" from mautomate_internal.source where source = $1"
		" and (relation <> $2 and " IS_THERE " or kind is distinct from $3)",
		3,
		{TEXTOID, REGCLASSOID, TEXTOID}};
	static MaStatement same = {
		"select from mautomate_internal.source where source = $1"
		" and row(" COLUMNS ") is not distinct from row(" PARAMETERS ")",
		NCOLUMNS,
		{TYPES}};
	static MaStatement upsert = {
		"insert into mautomate_internal.source as s (" COLUMNS ")"
		" values (" PARAMETERS ")"
		" on conflict (source) do update set (" COLUMNS ") = (" PARAMETERS ")"
		" returning s.xmax = 0",
		NCOLUMNS,
		{TYPES}};
	char *const *const words[] = WORDS(text);
	MaSqlScope		   scope;
	Datum			   values[NCOLUMNS];
	Datum			   name[3];
	char			   nulls[NCOLUMNS + 1];
	const char		  *result = "unchanged";
	bool			   isnull;

	memset(nulls, ' ', sizeof(nulls));
	for (int i = 0; i < NTEXTS; i++)
	{
		values[i] = *words[i] ? CStringGetTextDatum(*words[i]) : (Datum) 0;
		nulls[i] = *words[i] ? ' ' : 'n';
	}
	values[NTEXTS] = ObjectIdGetDatum(text->relation);
	values[NTEXTS + 1] = ObjectIdGetDatum(text->via);
	nulls[NTEXTS + 1] = OidIsValid(text->via) ? ' ' : 'n';
	values[NTEXTS + 2] = ObjectIdGetDatum(text->relation_was);
	values[NTEXTS + 3] = key_array(text);
	values[NTEXTS + 4] = text_array(text->columns, text->ncolumns);
	values[NTEXTS + 5] = text_array(text->via_columns, text->nvia_columns);
	nulls[NTEXTS + 5] = nulls[NTEXTS + 1];
	name[0] = values[0];
	name[1] = values[NTEXTS];
	name[2] = values[1];
	ma_sql_begin(&scope);
	if (ma_sql_exec(&other, name, text->kind ? "   " : "  n", 1) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("source \"%s\" already captures %s", text->source,
						ma_sql_text(0, 1)),
				 errhint("Give this one another name: source => '...'.")));
	if (ma_sql_exec(&same, values, nulls, 1) == 0)
	{
		ma_sql_exec(&upsert, values, nulls, 0);
		result =
			DatumGetBool(ma_sql_datum(0, 1, &isnull)) ? "created" : "changed";
	}
	ma_sql_end(&scope);
	return result;
}

/* Names as text[]. */
static Datum
text_array(char **texts, int n)
{
	MaColumn column;

	ma_column_init(&column, TEXTOID, n);
	for (int i = 0; i < n; i++)
		ma_column_add_text(&column, texts[i]);
	return ma_column_array(&column);
}

/* The numbers of the key's columns as int2[]. */
static Datum
key_array(const MaSourceText *text)
{
	MaColumn column;

	ma_column_init(&column, INT2OID, text->nkey);
	for (int i = 0; i < text->nkey; i++)
		ma_column_add(&column, Int16GetDatum(text->key[i]), false);
	return ma_column_array(&column);
}

/*
 * Reads, in the current context, the definitions of sources of relations, or
 * of those whose rows point to them: by relation, contacts first. Looks with
 * the latest snapshot.
 */
int
ma_source_read(const Oid *relids, int n, bool followers, MaSource **sources)
{
	static MaStatement stmts[] = {
		{"select " COLUMNS " from mautomate_internal.source"
		 " where relation::oid = any ($1)"
		 " order by relation, kind is not null, source",
		 1,
		 {OIDARRAYOID}},
		{"select " COLUMNS " from mautomate_internal.source"
		 " where via::oid = any ($1) order by via, source",
		 1,
		 {OIDARRAYOID}}};
	MemoryContext cxt = CurrentMemoryContext;
	MaColumn	  column;
	Datum		  value;
	MaSqlScope	  scope;
	int			  count;

	ma_column_init(&column, OIDOID, n);
	for (int i = 0; i < n; i++)
		ma_column_add(&column, ObjectIdGetDatum(relids[i]), false);
	value = ma_column_array(&column);
	ma_sql_begin(&scope);
	PushActiveSnapshot(GetLatestSnapshot());
	ma_sql_read(&stmts[followers], &value, NULL, 0);
	MemoryContextSwitchTo(cxt);
	count = SPI_processed;
	*sources = palloc0(sizeof(MaSource) * Max(count, 1));
	for (int row = 0; row < count; row++)
		read_text(&(*sources)[row].text, row);
	PopActiveSnapshot();
	ma_sql_end(&scope);
	MemoryContextSwitchTo(cxt);
	return count;
}

/* Reads, in the current context, the definition of a source of events. */
bool
ma_source_find(const char *source, const char *kind, MaSourceText *text)
{
	static MaStatement stmt = {"select " COLUMNS
							   " from mautomate_internal.source"
							   " where source = $1 and kind = $2",
							   2,
							   {TEXTOID, TEXTOID}};
	MemoryContext	   cxt = CurrentMemoryContext;
	Datum values[2] = {CStringGetTextDatum(source), CStringGetTextDatum(kind)};
	MaSqlScope scope;
	bool	   found;

	ma_sql_begin(&scope);
	found = ma_sql_exec(&stmt, values, NULL, 1) > 0;
	MemoryContextSwitchTo(cxt);
	if (found)
		read_text(text, 0);
	ma_sql_end(&scope);
	MemoryContextSwitchTo(cxt);
	return found;
}

/* Reads one definition. */
static void
read_text(MaSourceText *text, uint64 row)
{
	char **const words[] = WORDS(text);
	Datum		*values;
	bool		*nulls;
	bool		 isnull;

	for (int i = 0; i < NTEXTS; i++)
		*words[i] = ma_sql_text(row, i + 1);
	text->relation = DatumGetObjectId(ma_sql_datum(row, NTEXTS + 1, &isnull));
	text->via = DatumGetObjectId(ma_sql_datum(row, NTEXTS + 2, &isnull));
	if (isnull)
		text->via = InvalidOid;
	text->relation_was =
		DatumGetObjectId(ma_sql_datum(row, NTEXTS + 3, &isnull));
	deconstruct_array(
		DatumGetArrayTypeP(ma_sql_datum(row, NTEXTS + 4, &isnull)), INT2OID,
		sizeof(int16), true, TYPALIGN_SHORT, &values, &nulls, &text->nkey);
	text->key = palloc(sizeof(int16) * Max(text->nkey, 1));
	for (int i = 0; i < text->nkey; i++)
		text->key[i] = DatumGetInt16(values[i]);
	text->columns = read_names(row, NTEXTS + 5, &text->ncolumns);
	text->via_columns = read_names(row, NTEXTS + 6, &text->nvia_columns);
}

/* Reads names of columns; NULL stands for one that was dropped. */
static char **
read_names(uint64 row, int column, int *n)
{
	bool   isnull;
	Datum  array = ma_sql_datum(row, column, &isnull);
	Datum *values;
	bool  *nulls;
	char **names;

	*n = 0;
	if (isnull)
		return NULL;
	deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false,
					  TYPALIGN_INT, &values, &nulls, n);
	names = palloc0(sizeof(char *) * Max(*n, 1));
	for (int i = 0; i < *n; i++)
		if (!nulls[i])
			names[i] = TextDatumGetCString(values[i]);
	return names;
}

/*
 * What the dedupe keys of a source begin with: what they did, where it is
 * known, even if its kind has been renamed since.
 */
char *
ma_source_key_prefix(const MaSourceText *text, char *otherwise)
{
	static MaStatement stmt = {
		"select key_prefix from mautomate_internal.source"
		" where source = $1 and (relation = $2 or not " IS_THERE ")"
		" and kind = $3",
		3,
		{TEXTOID, REGCLASSOID, TEXTOID}};
	Datum	   values[3] = {CStringGetTextDatum(text->source),
							ObjectIdGetDatum(text->relation),
							CStringGetTextDatum(text->kind)};
	MaSqlScope scope;

	ma_sql_begin(&scope);
	if (ma_sql_exec(&stmt, values, NULL, 1) > 0)
	{
		MemoryContextSwitchTo(scope.cxt);
		otherwise = ma_sql_text(0, 1);
	}
	ma_sql_end(&scope);
	return otherwise;
}

/* Are two strings the same, or both NULL? */
static bool
same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* Do two sources tell in the same way whose a row is? */
bool
ma_source_same_person(const MaSourceText *a, const MaSourceText *b)
{
	return same_text(a->contact, b->contact) &&
		   same_text(a->email, b->email) &&
		   same_text(a->anonymous, b->anonymous);
}
