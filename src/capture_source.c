/*
 * capture_source.c
 *	  The sources of a relation, compiled and cached.
 *
 * Expressions bind to the columns that had these names when the source was
 * attached: the names of then are stored by column number, and the row type
 * is given those names before compiling. So a renamed column stays what it
 * was, as in a view; a dropped one breaks the source, which is noted and
 * never raised. After a restore numbers mean nothing (dropped columns are not
 * dumped): then columns are found by name, and a renamed one breaks it too.
 *
 * What is written into a partition or a child by its own name fires triggers
 * of its own; it counts as rows of the parents that are attached.
 *
 * A backend compiles the sources of a relation when it first captures from
 * it, and again when a source or the relation's columns changed. What is in
 * use (a capture may set off another one of the same relation) is replaced
 * at once but freed only by its last user.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/tupconvert.h"
#include "access/xact.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
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

static TupleDesc   named_as_then(TupleDesc desc, char **names, int n);
static void		   read_options(MaSource *source);
static MaExpr	  *compile(const char *text, Oid type, TupleDesc desc,
						   const char *argument);
static void		   compile_time(MaSource *source, TupleDesc desc);
static void		   compile_fields(MaSource *source, TupleDesc desc);
static bool		   compile_key(MaSourceKey *key, const MaSourceText *text,
							   Relation rel);
static int		   column_named(TupleDesc desc, const char *name);
static MaCaptured *load(Relation rel);
static void		   load_group(MaCaptured *captured, MaCaptureGroup *group);
static void		   compile_softly(MaSource *source, Relation rel);
static bool		   is_current(const MaCaptured *captured, Relation rel);
static void		   forget(Entry *entry);

static MaWatch watch = {"source"};
static HTAB	  *cache = NULL;

/*
 * Compiles the expressions of a source against a relation's columns, in the
 * current context; what is wrong with them is an error.
 */
void
ma_source_compile(MaSource *source, Relation rel)
{
	const MaSourceText *text = &source->text;
	bool				restored = text->relation_was != RelationGetRelid(rel);
	TupleDesc row = named_as_then(RelationGetDescr(rel), text->columns,
								  restored ? 0 : text->ncolumns);
	TupleDesc who = row;

	source->object = psprintf("source \"%s\"", text->source);
	source->desc = CreateTupleDescCopyConstr(RelationGetDescr(rel));
	if (OidIsValid(text->via))
	{
		ma_via_resolve(source, rel, row);
		who = named_as_then(source->via->desc, text->via_columns,
							restored ? 0 : text->nvia_columns);
	}
	source->contact = compile(text->contact, TEXTOID, who,
							  text->kind ? "contact" : "external_id");
	source->email = compile(text->email, TEXTOID, who, "email");
	source->phone = compile(text->phone, TEXTOID, who, "phone");
	source->anonymous = compile(text->anonymous, TEXTOID, who, "anonymous");
	source->condition = compile(text->condition, BOOLOID, row, "condition");
	source->void_when = compile(text->void_when, BOOLOID, row, "void_when");
	read_options(source);
	compile_time(source, row);
	compile_fields(source, row);
	if (!compile_key(&source->key, text, rel))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
						errmsg("a column of the primary key has been dropped"),
						errhint("Detach the source and attach it again.")));
}

/* What updates and deletes of rows do. */
static void
read_options(MaSource *source)
{
	const char *on_update = source->text.on_update;
	const char *on_delete = source->text.on_delete;

	if (on_update == NULL || strcmp(on_update, "ignore") == 0)
		source->on_update = MA_ON_UPDATE_IGNORE;
	else if (strcmp(on_update, "replace") == 0)
		source->on_update = MA_ON_UPDATE_REPLACE;
	else if (strcmp(on_update, "append") == 0)
		source->on_update = MA_ON_UPDATE_APPEND;
	else
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid on_update \"%s\"", on_update),
				 errhint("Valid values are ignore, replace and append.")));
	source->erases = on_delete != NULL && strcmp(on_delete, "erase") == 0;
	if (on_delete != NULL && !source->erases && strcmp(on_delete, "keep") != 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("invalid on_delete \"%s\"", on_delete),
						errhint("Valid values are keep and erase.")));
}

/*
 * The columns of a relation with the names they had when it was attached; n
 * is how many are known of then.
 */
static TupleDesc
named_as_then(TupleDesc desc, char **names, int n)
{
	TupleDesc row = CreateTupleDescCopy(desc);

	for (int i = 0; n > 0 && i < row->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(row, i);

		if (att->attisdropped)
			continue;
		if (i < n && names[i] != NULL)
			namestrcpy(&att->attname, names[i]);
		else
			/* newer than the source, under a name that may be taken */
			for (int j = 0; j < n; j++)
				if (names[j] != NULL &&
					strcmp(names[j], NameStr(att->attname)) == 0)
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
				ereport(ERROR,
						(errcode(ERRCODE_DUPLICATE_COLUMN),
						 errmsg("name \"%s\" is given twice", name),
						 errhint("Write \"<expression> as <other name>\".")));
		for (int c = 0; source->text.kind == NULL && c < MA_CONTACT_COLUMNS;
			 c++)
			if (strcmp(name, ma_contact_column_name(c)) == 0)
				source->as_text[i] = true;
	}
}

/*
 * Finds the columns of a primary key and their output functions; false if one
 * has been dropped.
 */
static bool
compile_key(MaSourceKey *key, const MaSourceText *text, Relation rel)
{
	TupleDesc desc = RelationGetDescr(rel);

	key->columns = palloc(sizeof(int16) * Max(text->nkey, 1));
	key->output = palloc(sizeof(FmgrInfo) * Max(text->nkey, 1));
	for (int i = 0; i < text->nkey; i++)
	{
		int	 column = text->key[i];
		Oid	 output;
		bool varlena;

		if (text->relation_was != RelationGetRelid(rel))
			column = column_named(desc, text->columns[column - 1]);
		if (column == 0 || column > desc->natts ||
			TupleDescAttr(desc, column - 1)->attisdropped)
			return false;
		key->columns[i] = column;
		getTypeOutputInfo(TupleDescAttr(desc, column - 1)->atttypid, &output,
						  &varlena);
		fmgr_info_cxt(output, &key->output[i], CurrentMemoryContext);
	}
	key->n = text->nkey;
	return true;
}

/*
 * A source that is attached again: where its rows had another primary key,
 * their events are known by that.
 */
void
ma_source_compare_key(MaSource *source, Relation rel)
{
	MaSourceText was = {0};
	MaSourceKey	 key;

	if (source->text.kind != NULL &&
		ma_source_find(source->text.source, source->text.kind, &was) &&
		compile_key(&key, &was, rel) &&
		(key.n != source->key.n ||
		 memcmp(key.columns, source->key.columns, sizeof(int16) * key.n) != 0))
		source->was_key = key;
}

/* The number of a column by its name, 0 if there is none. */
static int
column_named(TupleDesc desc, const char *name)
{
	for (int i = 0; i < desc->natts; i++)
		if (!TupleDescAttr(desc, i)->attisdropped &&
			strcmp(NameStr(TupleDescAttr(desc, i)->attname), name) == 0)
			return i + 1;
	return 0;
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
	if (entry->captured != NULL && !is_current(entry->captured, rel))
		forget(entry);
	if (entry->captured == NULL)
		entry->captured = load(rel);
	entry->captured->users++;
	return entry->captured;
}

/* Is the way to the person of a source's rows still what it was? */
static bool
is_via_current(const MaSource *source)
{
	if (!OidIsValid(source->text.via))
		return true;
	return source->via != NULL && ma_via_is_current(source->via);
}

/* Are the tables still what they were compiled for? */
static bool
is_current(const MaCaptured *captured, Relation rel)
{
	if (!equalTupleDescs(captured->desc, RelationGetDescr(rel)) ||
		captured->is_partition != rel->rd_rel->relispartition)
		return false;
	for (int i = 0; i < captured->ngroups; i++)
	{
		MaCaptureGroup *group = &captured->groups[i];

		for (int j = 0; j < group->nsources; j++)
			if (!is_via_current(&group->sources[j]))
				return false;
		for (int j = 0; j < group->nfollowers; j++)
			if (!is_via_current(&group->followers[j]))
				return false;
	}
	return true;
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

/* Reads and compiles the sources of a relation and of its parents. */
static MaCaptured *
load(Relation rel)
{
	MemoryContext cxt = AllocSetContextCreate(
		CurrentMemoryContext, "mautomate sources", ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	MaCaptured	 *captured = palloc0(sizeof(MaCaptured));
	List		 *family = ma_captured_as(RelationGetRelid(rel));
	ListCell	 *lc;

	captured->cxt = cxt;
	captured->relid = RelationGetRelid(rel);
	captured->desc = CreateTupleDescCopyConstr(RelationGetDescr(rel));
	captured->is_partition = rel->rd_rel->relispartition;
	captured->groups = palloc0(sizeof(MaCaptureGroup) * list_length(family));
	foreach (lc, family)
	{
		MaCaptureGroup *group = &captured->groups[captured->ngroups];

		group->relid = lfirst_oid(lc);
		group->nsources =
			ma_source_read(&group->relid, 1, false, &group->sources);
		group->nfollowers =
			ma_source_read(&group->relid, 1, true, &group->followers);
		if (group->nsources + group->nfollowers == 0)
			continue;
		captured->ngroups++;
		load_group(captured, group);
	}
	MemoryContextSwitchTo(old);
	MemoryContextSetParent(cxt, TopMemoryContext);
	return captured;
}

/* A relation, its parents, their parents and so on, each once. */
List *
ma_captured_as(Oid relid)
{
	List	*family = list_make1_oid(relid);
	Relation inherits = table_open(InheritsRelationId, AccessShareLock);

	for (int i = 0; i < list_length(family); i++)
	{
		SysScanDesc scan;
		ScanKeyData key;
		HeapTuple	tuple;

		ScanKeyInit(&key, Anum_pg_inherits_inhrelid, BTEqualStrategyNumber,
					F_OIDEQ, ObjectIdGetDatum(list_nth_oid(family, i)));
		scan = systable_beginscan(inherits, InheritsRelidSeqnoIndexId, true,
								  NULL, 1, &key);
		while (HeapTupleIsValid(tuple = systable_getnext(scan)))
			family = list_append_unique_oid(
				family, ((Form_pg_inherits) GETSTRUCT(tuple))->inhparent);
		systable_endscan(scan);
	}
	table_close(inherits, AccessShareLock);
	return family;
}

/* Compiles what is captured as rows of one relation. */
static void
load_group(MaCaptured *captured, MaCaptureGroup *group)
{
	Relation rel = table_open(group->relid, AccessShareLock);
	int		 left = 0;

	group->desc = CreateTupleDescCopyConstr(RelationGetDescr(rel));
	if (group->relid != captured->relid)
		group->map = convert_tuples_by_name(captured->desc, group->desc);
	for (int i = 0; i < group->nsources; i++)
		compile_softly(&group->sources[i], rel);
	table_close(rel, NoLock);
	for (int i = 0; i < group->nfollowers; i++)
	{
		MaSource *source = &group->followers[i];

		rel = try_relation_open(source->text.relation, AccessShareLock);
		if (rel == NULL)
			continue;
		compile_softly(source, rel);
		relation_close(rel, NoLock);
		group->followers[left++] = *source;
	}
	group->nfollowers = left;
}

/* Compiles a source; what is wrong is kept in source->broken. */
static void
compile_softly(MaSource *source, Relation rel)
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(caller);
	PG_TRY();
	{
		ma_source_compile(source, rel);
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
