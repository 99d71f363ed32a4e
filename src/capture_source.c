/*
 * capture_source.c
 *	  The sources of a relation, compiled and cached.
 *
 * Expressions bind to the columns that had these names when the source was
 * attached: the names of then are stored by column number, and the row type
 * is given those names before compiling. So a renamed column stays what it
 * was, as in a view; a dropped one breaks the source, which is noted and
 * never raised.
 *
 * A backend compiles the sources of a relation when it first captures from
 * it, and again when a source or the relation's columns changed. What is in
 * use (a capture may set off another one of the same relation) is replaced
 * at once but freed only by its last user.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

#include "capture.h"
#include "clock.h"
#include "contact.h"
#include "inval.h"
#include "sql.h"
#include "zone.h"

/* Entry of the cache. */
typedef struct Entry
{
	Oid			relid; /* key */
	MaCaptured *captured;
} Entry;

static TupleDesc   named_as_then(TupleDesc desc, const MaSourceText *text);
static MaExpr	  *compile(const char *text, Oid type, TupleDesc desc,
						   const char *argument);
static void		   compile_time(MaSource *source, TupleDesc desc);
static void		   compile_fields(MaSource *source, TupleDesc desc);
static void		   compile_key(MaSource *source, TupleDesc desc);
static MaCaptured *load(Relation rel);
static void		   read_source(MaSourceText *words, uint64 row);
static void		   compile_softly(MaSource *source, TupleDesc desc);
static void		   forget(Entry *entry);

static MaWatch watch = {"source"};
static HTAB	  *cache = NULL;

/*
 * Compiles the expressions of a source against a relation's columns, in the
 * current context; what is wrong with them is an error.
 */
void
ma_source_compile(MaSource *source, TupleDesc desc)
{
	const MaSourceText *text = &source->text;
	TupleDesc			row = named_as_then(desc, text);

	source->object = psprintf("source \"%s\"", text->source);
	source->contact = compile(text->contact, TEXTOID, row,
							  text->kind ? "contact" : "external_id");
	source->email = compile(text->email, TEXTOID, row, "email");
	source->phone = compile(text->phone, TEXTOID, row, "phone");
	source->anonymous = compile(text->anonymous, TEXTOID, row, "anonymous");
	source->condition = compile(text->condition, BOOLOID, row, "condition");
	source->void_when = compile(text->void_when, BOOLOID, row, "void_when");
	if (text->on_update == NULL || strcmp(text->on_update, "ignore") == 0)
		source->on_update = MA_ON_UPDATE_IGNORE;
	else if (strcmp(text->on_update, "replace") == 0)
		source->on_update = MA_ON_UPDATE_REPLACE;
	else if (strcmp(text->on_update, "append") == 0)
		source->on_update = MA_ON_UPDATE_APPEND;
	else
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid on_update \"%s\"", text->on_update),
				 errhint("Valid values are ignore, replace and append.")));
	compile_time(source, row);
	compile_fields(source, row);
	compile_key(source, row);
}

/* The relation's columns with the names they had when it was attached. */
static TupleDesc
named_as_then(TupleDesc desc, const MaSourceText *text)
{
	TupleDesc row = CreateTupleDescCopy(desc);

	for (int i = 0; i < row->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(row, i);

		if (att->attisdropped)
			continue;
		if (i < text->ncolumns && text->columns[i] != NULL)
			namestrcpy(&att->attname, text->columns[i]);
		else
			/* newer than the source, under a name that may be taken */
			for (int j = 0; j < text->ncolumns; j++)
				if (text->columns[j] != NULL &&
					strcmp(text->columns[j], NameStr(att->attname)) == 0)
					namestrcpy(&att->attname, "");
	}
	return row;
}

/* Error context: which argument the expression is. */
static void
name_argument(void *arg)
{
	errcontext("%s", (const char *) arg);
}

/* Compiles one expression; NULL for none. */
static MaExpr *
compile(const char *text, Oid type, TupleDesc desc, const char *argument)
{
	MaExprSource		 source = {.text = text,
								   .names = MA_NAMES_ROW,
								   .row = desc,
								   .type = type,
								   .select_list =
									   strcmp(argument, "attributes") == 0 ||
									   strcmp(argument, "properties") == 0};
	ErrorContextCallback callback = {
		.previous = error_context_stack,
		.callback = name_argument,
		.arg = psprintf("%s of the source", argument)};
	MaExpr *expr;

	if (text == NULL)
		return NULL;
	error_context_stack = &callback;
	expr = ma_expr_compile(&source, CurrentMemoryContext);
	error_context_stack = callback.previous;
	return expr;
}

/* Compiles occurred_at and finds the zone. */
static void
compile_time(MaSource *source, TupleDesc desc)
{
	const MaSourceText *text = &source->text;
	Oid					type;

	source->zone = text->zone ? ma_zone(text->zone) : NULL;
	if (text->zone != NULL && source->zone == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("time zone \"%s\" not recognized", text->zone),
				 errhint("The view pg_timezone_names lists the zones.")));
	source->occurred_at =
		compile(text->occurred_at, InvalidOid, desc, "occurred_at");
	if (source->occurred_at == NULL)
		return;
	type = ma_expr_type(source->occurred_at, 0);
	if (type != TIMESTAMPTZOID && type != TIMESTAMPOID && type != DATEOID)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("occurred_at must be a time, not of type %s",
						format_type_be(type)),
				 errhint("Write (%s)::timestamptz, ::timestamp or ::date.",
						 text->occurred_at)));
}

/* Compiles the select list. */
static void
compile_fields(MaSource *source, TupleDesc desc)
{
	int n;

	source->fields = compile(source->text.fields, InvalidOid, desc,
							 source->text.kind ? "properties" : "attributes");
	if (source->fields == NULL)
		return;
	n = ma_expr_count(source->fields);
	source->as_text = palloc0(sizeof(bool) * n);
	for (int i = 0; i < n; i++)
	{
		const char *name = ma_expr_name(source->fields, i);

		for (int j = 0; j < i; j++)
			if (strcmp(name, ma_expr_name(source->fields, j)) == 0)
				ereport(ERROR, (errcode(ERRCODE_DUPLICATE_COLUMN),
								errmsg("name \"%s\" is given twice", name)));
		for (int c = 0; source->text.kind == NULL && c < MA_CONTACT_COLUMNS;
			 c++)
			if (strcmp(name, ma_contact_column_name(c)) == 0)
				source->as_text[i] = true;
	}
}

/* Finds the output functions of the primary key's columns. */
static void
compile_key(MaSource *source, TupleDesc desc)
{
	source->key_output = palloc(sizeof(FmgrInfo) * Max(source->text.nkey, 1));
	for (int i = 0; i < source->text.nkey; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, source->text.key[i] - 1);
		Oid				  output;
		bool			  varlena;

		if (att->attisdropped)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("a column of the primary key has been dropped"),
					 errhint("Detach the source and attach it again.")));
		getTypeOutputInfo(att->atttypid, &output, &varlena);
		fmgr_info_cxt(output, &source->key_output[i], CurrentMemoryContext);
	}
}

/*
 * The sources of a relation, compiled; give them back with
 * ma_captured_release(), when an error passes too.
 */
MaCaptured *
ma_captured_acquire(Relation rel)
{
	Oid	   relid = RelationGetRelid(rel);
	Entry *entry;
	bool   found;

	if (cache == NULL)
	{
		HASHCTL ctl = {.keysize = sizeof(Oid), .entrysize = sizeof(Entry)};

		cache =
			hash_create("mautomate sources", 16, &ctl, HASH_ELEM | HASH_BLOBS);
	}
	if (ma_inval_watch(&watch) && watch.stale)
	{
		HASH_SEQ_STATUS seq;

		watch.stale = false;
		hash_seq_init(&seq, cache);
		while ((entry = hash_seq_search(&seq)) != NULL)
			forget(entry);
	}
	entry = hash_search(cache, &relid, HASH_ENTER, &found);
	if (!found)
		entry->captured = NULL;
	if (entry->captured != NULL &&
		!equalTupleDescs(entry->captured->desc, RelationGetDescr(rel)))
		forget(entry);
	if (entry->captured == NULL)
		entry->captured = load(rel);
	entry->captured->users++;
	return entry->captured;
}

/* Gives it back. */
void
ma_captured_release(MaCaptured *captured)
{
	if (--captured->users == 0 && captured->stale)
		MemoryContextDelete(captured->cxt);
}

/* Takes what is cached out of the cache. */
static void
forget(Entry *entry)
{
	MaCaptured *captured = entry->captured;

	entry->captured = NULL;
	if (captured == NULL)
		return;
	captured->stale = true;
	if (captured->users == 0)
		MemoryContextDelete(captured->cxt);
}

/* Reads and compiles the sources of a relation. */
static MaCaptured *
load(Relation rel)
{
	static MaStatement stmt = {
		"select source, kind, contact, email, phone, anonymous, occurred_at, condition,"
		" void_when, on_update, fields, zone, key_prefix, key, columns"
		" from mautomate_internal.source where relation = $1"
		" order by kind is not null, source",
		1,
		{REGCLASSOID}};
	MemoryContext cxt = AllocSetContextCreate(
		CurrentMemoryContext, "mautomate sources", ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	MaCaptured	 *captured = palloc0(sizeof(MaCaptured));
	Datum		  value = ObjectIdGetDatum(RelationGetRelid(rel));
	MaSqlScope	  scope;

	captured->cxt = cxt;
	captured->relid = RelationGetRelid(rel);
	captured->desc = CreateTupleDescCopyConstr(RelationGetDescr(rel));
	ma_sql_begin(&scope);
	PushActiveSnapshot(GetLatestSnapshot());
	ma_sql_read(&stmt, &value, NULL, 0);
	MemoryContextSwitchTo(cxt);
	captured->nsources = SPI_processed;
	captured->sources = palloc0(sizeof(MaSource) * Max(SPI_processed, 1));
	for (uint64 row = 0; row < SPI_processed; row++)
		read_source(&captured->sources[row].text, row);
	PopActiveSnapshot();
	ma_sql_end(&scope);
	MemoryContextSwitchTo(cxt);
	for (int i = 0; i < captured->nsources; i++)
		compile_softly(&captured->sources[i], RelationGetDescr(rel));
	MemoryContextSwitchTo(old);
	MemoryContextSetParent(cxt, TopMemoryContext);
	return captured;
}

/* Reads one row of the definition. */
static void
read_source(MaSourceText *words, uint64 row)
{
	char **const texts[] = {
		&words->source,		 &words->kind,		&words->contact,
		&words->email,		 &words->phone,		&words->anonymous,
		&words->occurred_at, &words->condition, &words->void_when,
		&words->on_update,	 &words->fields,	&words->zone,
		&words->key_prefix};
	Datum *values;
	bool  *nulls;
	bool   isnull;

	for (int i = 0; i < lengthof(texts); i++)
		*texts[i] = ma_sql_text(row, i + 1);
	deconstruct_array(DatumGetArrayTypeP(ma_sql_datum(row, 14, &isnull)),
					  INT2OID, sizeof(int16), true, TYPALIGN_SHORT, &values,
					  &nulls, &words->nkey);
	words->key = palloc(sizeof(int16) * Max(words->nkey, 1));
	for (int i = 0; i < words->nkey; i++)
		words->key[i] = DatumGetInt16(values[i]);
	deconstruct_array(DatumGetArrayTypeP(ma_sql_datum(row, 15, &isnull)),
					  TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls,
					  &words->ncolumns);
	words->columns = palloc0(sizeof(char *) * Max(words->ncolumns, 1));
	for (int i = 0; i < words->ncolumns; i++)
		if (!nulls[i])
			words->columns[i] = TextDatumGetCString(values[i]);
}

/* Compiles a source; what is wrong is kept in source->broken. */
static void
compile_softly(MaSource *source, TupleDesc desc)
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(caller);
	PG_TRY();
	{
		ma_source_compile(source, desc);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		source->broken = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = owner;
	if (source->broken == NULL)
		return;
	if (source->broken->sqlerrcode == ERRCODE_QUERY_CANCELED)
		ReThrowError(source->broken);
	source->broken->hint = psprintf(
		"Attach the table as it is now with mautomate.attach_%s(); that reads "
		"what was missed meanwhile.",
		source->text.kind == NULL ? "contacts" : "events");
}
