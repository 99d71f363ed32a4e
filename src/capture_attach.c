/*
 * capture_attach.c
 *	  SQL functions that make a table of the application a source.
 *
 * attach_* compile the expressions, store the source, create the triggers and
 * read what is there already, in one transaction that holds the lock of
 * CREATE TRIGGER: no row is missed between reading and the first firing. The
 * caller needs TRIGGER on the table, and SELECT to read it.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "catalog/catalog.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/rls.h"

#include "argument.h"
#include "attribute.h"
#include "capture_private.h"
#include "event.h"
#include "sql.h"

PG_FUNCTION_INFO_V1(mautomate_attach_contacts);
PG_FUNCTION_INFO_V1(mautomate_attach_events);
PG_FUNCTION_INFO_V1(mautomate_detach);

static const char *attach(MaSourceText *text, bool backfill);
static char		  *default_name(Relation rel, const char *kind);
static void		   check_kind_of(Relation rel);
static void		   check_part_of(Relation rel);
static void		   check_rights(Relation rel, AclMode mode);
static void		   check_row_security(Relation rel);
static void	  refuse_relation(Relation rel, const char *why, const char *hint);
static void	  describe_key(Relation rel, MaSourceText *text);
static char **column_names(TupleDesc desc);
static void	  describe_via(MaSourceText *text, LOCKMODE lock);
static void	  take_identity(MaSourceText *text);
static void	  check_fields(const MaSource *source);
static void	  check_index(const MaSource *source, Relation rel);

/* attach_contacts(relation, external_id, email, phone, attributes, on_delete,
 * source, backfill) */
Datum
mautomate_attach_contacts(PG_FUNCTION_ARGS)
{
	MaSourceText text = {0};

	ma_argument_not_null(fcinfo, 0, "relation");
	text.relation = PG_GETARG_OID(0);
	text.contact = ma_argument_text_or_null(fcinfo, 1);
	text.email = ma_argument_text_or_null(fcinfo, 2);
	text.phone = ma_argument_text_or_null(fcinfo, 3);
	text.fields = ma_argument_text_or_null(fcinfo, 4);
	text.on_delete =
		PG_ARGISNULL(5) ? pstrdup("keep") : ma_argument_text(fcinfo, 5, "");
	text.source = ma_argument_text_or_null(fcinfo, 6);
	if (text.contact == NULL && text.email == NULL && text.phone == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("a contact needs external_id, email or phone")));
	PreventCommandIfReadOnly("attach_contacts()");
	PG_RETURN_TEXT_P(
		cstring_to_text(attach(&text, !PG_ARGISNULL(7) && PG_GETARG_BOOL(7))));
}

/* Reads the arguments that attach_events() and attach_preview() share. */
void
ma_capture_arguments(FunctionCallInfo fcinfo, MaSourceText *text)
{
	memset(text, 0, sizeof(MaSourceText));
	ma_argument_not_null(fcinfo, 0, "relation");
	text->relation = PG_GETARG_OID(0);
	text->kind = ma_argument_text_or_null(fcinfo, 1);
	ma_event_check_kind(text->kind);
	text->contact = ma_argument_text_or_null(fcinfo, 2);
	text->email = ma_argument_text_or_null(fcinfo, 3);
	text->anonymous = ma_argument_text_or_null(fcinfo, 4);
	text->via = PG_ARGISNULL(5) ? InvalidOid : PG_GETARG_OID(5);
	text->occurred_at = ma_argument_text_or_null(fcinfo, 6);
	text->fields = ma_argument_text_or_null(fcinfo, 7);
	text->condition = ma_argument_text_or_null(fcinfo, 8);
	text->void_when = ma_argument_text_or_null(fcinfo, 9);
	text->on_update = PG_ARGISNULL(10) ? pstrdup("ignore") :
										 ma_argument_text(fcinfo, 10, "");
	text->zone = ma_argument_text_or_null(fcinfo, 11);
	text->source = ma_argument_text_or_null(fcinfo, 12);
	text->via_key = ma_argument_text_or_null(fcinfo, 14);
	if (text->contact != NULL || text->email != NULL ||
		text->anonymous != NULL || OidIsValid(text->via))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
			 errmsg("an event needs contact, email, anonymous or via"),
			 errhint("Name the column that holds the external id or the "
					 "e-mail address of the person, such as "
					 "contact => 'customer_id'.")));
}

/*
 * attach_events(relation, kind, contact, email, anonymous, via, occurred_at,
 * properties, condition, void_when, on_update, zone, source, backfill,
 * via_key)
 */
Datum
mautomate_attach_events(PG_FUNCTION_ARGS)
{
	MaSourceText text;

	ma_capture_arguments(fcinfo, &text);
	PreventCommandIfReadOnly("attach_events()");
	PG_RETURN_TEXT_P(cstring_to_text(
		attach(&text, !PG_ARGISNULL(13) && PG_GETARG_BOOL(13))));
}

/* Makes a relation a source; tells what became of the definition. */
static const char *
attach(MaSourceText *text, bool backfill)
{
	Relation	rel = relation_open(text->relation, ShareRowExclusiveLock);
	MaSource	source = {0};
	Oid			via = text->via;
	const char *result;

	(void) find_all_inheritors(text->relation, ShareRowExclusiveLock, NULL);
	ma_capture_describe(rel, text, ShareRowExclusiveLock);
	check_rights(rel, ACL_TRIGGER);
	if (backfill)
	{
		check_rights(rel, ACL_SELECT);
		check_row_security(rel);
	}
	source.text = *text;
	ma_capture_prepare(rel, &source);
	if (backfill)
		ma_source_compare_key(&source, rel);
	/* by its columns: what they are called is followed, a constraint not */
	if (OidIsValid(via))
		text->via_key = ma_via_columns(&source);
	result = ma_source_store(text);
	ma_capture_sync(text->relation);
	if (OidIsValid(via))
	{
		check_index(&source, rel);
		ma_capture_sync(via);
	}
	if (backfill)
		ma_capture_backfill(rel, &source);
	relation_close(rel, NoLock);
	return result;
}

/* Compiles a source that has been described. */
void
ma_capture_prepare(Relation rel, MaSource *source)
{
	ma_source_compile(source, rel);
	check_fields(source);
}

/*
 * Completes the words of a source, or tells why it cannot be one; takes this
 * lock on the table that it points to.
 */
void
ma_capture_describe(Relation rel, MaSourceText *text, LOCKMODE lock)
{
	check_kind_of(rel);
	check_part_of(rel);
	if (text->source == NULL)
		text->source = default_name(rel, text->kind);
	if (*text->source == '\0' || strlen(text->source) > 2 * NAMEDATALEN)
		ereport(ERROR, (errcode(ERRCODE_INVALID_NAME),
						errmsg("the name of a source has 1 to %d bytes",
							   2 * NAMEDATALEN)));
	text->relation_was = text->relation;
	describe_key(rel, text);
	text->ncolumns = RelationGetDescr(rel)->natts;
	text->columns = column_names(RelationGetDescr(rel));
	if (OidIsValid(text->via))
		describe_via(text, lock);
}

/*
 * The name of a source that has been given none: schema.relation(.kind); but
 * one whose table has another name since keeps its own.
 */
static char *
default_name(Relation rel, const char *kind)
{
	static MaStatement renamed = {
		"select source from mautomate_internal.source s,"
		" left(source, length(source) - coalesce(length(kind) + 1, 0)) name"
		" where relation = $1 and kind is not distinct from $2"
		" and (kind is null or source = name || '.' || kind)"
		" and position('.' in name) > 0 order by source <> $3, source",
		3,
		{REGCLASSOID, TEXTOID, TEXTOID}};
	char *name =
		psprintf("%s.%s", get_namespace_name(RelationGetNamespace(rel)),
				 RelationGetRelationName(rel));
	Datum	   values[3] = {ObjectIdGetDatum(RelationGetRelid(rel))};
	MaSqlScope scope;

	if (kind != NULL)
	{
		name = psprintf("%s.%s", name, kind);
		values[1] = CStringGetTextDatum(kind);
	}
	if (strlen(name) > 2 * NAMEDATALEN)
		name[2 * NAMEDATALEN] = '\0';
	values[2] = CStringGetTextDatum(name);
	ma_sql_begin(&scope);
	if (ma_sql_exec(&renamed, values, kind ? "   " : " n ", 1) > 0)
	{
		MemoryContextSwitchTo(scope.cxt);
		name = ma_sql_text(0, 1);
	}
	ma_sql_end(&scope);
	return name;
}

/* Refuses what is no table of the application. */
static void
check_kind_of(Relation rel)
{
	const char *schema = get_namespace_name(RelationGetNamespace(rel));

	if (rel->rd_rel->relkind == RELKIND_VIEW ||
		rel->rd_rel->relkind == RELKIND_MATVIEW)
		refuse_relation(rel, "It is a view.",
						"Attach the table behind it, with a condition.");
	if (rel->rd_rel->relkind == RELKIND_FOREIGN_TABLE)
		refuse_relation(rel, "It is a foreign table.",
						"Copy its rows into a table and attach that.");
	if (rel->rd_rel->relkind != RELKIND_RELATION &&
		rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		refuse_relation(rel, "It is not a table.", NULL);
	if (rel->rd_rel->relpersistence == RELPERSISTENCE_TEMP)
		refuse_relation(rel, "It is a temporary table.",
						"Use mautomate.track_batch() for rows of a session.");
	if (IsSystemRelation(rel) || strcmp(schema, "information_schema") == 0)
		refuse_relation(rel, "It is a system table.", NULL);
	if (strcmp(schema, "mautomate") == 0 ||
		strcmp(schema, "mautomate_internal") == 0)
		refuse_relation(rel, "It belongs to mautomate.", NULL);
}

/* Refuses a part of a table, and a table with parts that we cannot see. */
static void
check_part_of(Relation rel)
{
	ListCell *lc;

	if (rel->rd_rel->relispartition)
		refuse_relation(
			rel, "It is a partition: rows also come through its parent.",
			psprintf("Attach \"%s\", with a condition if only this part is "
					 "meant.",
					 get_rel_name(llast_oid(
						 get_partition_ancestors(RelationGetRelid(rel))))));
	foreach (lc,
			 find_all_inheritors(RelationGetRelid(rel), AccessShareLock, NULL))
		if (get_rel_relkind(lfirst_oid(lc)) == RELKIND_FOREIGN_TABLE)
			refuse_relation(
				rel,
				psprintf("Part of it is foreign table \"%s\", whose rows "
						 "triggers cannot see.",
						 get_rel_name(lfirst_oid(lc))),
				"Detach that part first.");
}

/* Refuses a caller who may not do this with a relation. */
static void
check_rights(Relation rel, AclMode mode)
{
	AclResult acl =
		pg_class_aclcheck(RelationGetRelid(rel), GetUserId(), mode);

	if (acl != ACLCHECK_OK)
		aclcheck_error(acl, OBJECT_TABLE, RelationGetRelationName(rel));
}

/* Refuses a caller who would see a part of the rows only. */
static void
check_row_security(Relation rel)
{
	if (check_enable_rls(RelationGetRelid(rel), InvalidOid, true) ==
		RLS_ENABLED)
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("cannot read all rows of \"%s\"",
							   RelationGetRelationName(rel)),
						errdetail("Row-level security is enabled on it."),
						errhint("Attach it as its owner, or with backfill => "
								"false.")));
}

/* May the caller read all rows of a relation? An error if not. */
void
ma_capture_check_readable(Relation rel)
{
	check_rights(rel, ACL_SELECT);
	check_row_security(rel);
}

/* The relation cannot be attached. */
static void
refuse_relation(Relation rel, const char *why, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_WRONG_OBJECT_TYPE),
			 errmsg("cannot attach \"%s\"", RelationGetRelationName(rel)),
			 errdetail("%s", why), hint ? errhint("%s", hint) : 0));
}

/* Fills in the primary key and, for events, what their keys begin with. */
static void
describe_key(Relation rel, MaSourceText *text)
{
	Bitmapset *key =
		RelationGetIndexAttrBitmap(rel, INDEX_ATTR_BITMAP_PRIMARY_KEY);
	int	   attnum = -1;
	size_t tail;

	text->key = palloc(sizeof(int16) * (bms_num_members(key) + 1));
	while ((attnum = bms_next_member(key, attnum)) >= 0)
		text->key[text->nkey++] = attnum + FirstLowInvalidHeapAttributeNumber;
	if (text->kind == NULL)
		return;
	if (text->nkey == 0)
		refuse_relation(rel, "It has no primary key, or a deferrable one.",
						"Events are told apart by the primary key of "
						"their row: ALTER TABLE ... ADD PRIMARY KEY "
						"(...).");
	tail = strlen(text->source) - strlen(text->kind);
	if (strlen(text->source) > strlen(text->kind) &&
		text->source[tail - 1] == '.' &&
		strcmp(&text->source[tail], text->kind) == 0)
		text->key_prefix = ma_source_key_prefix(text, text->source);
	else
		text->key_prefix = ma_source_key_prefix(
			text, psprintf("%s.%s", text->source, text->kind));
}

/* The names of columns by number, NULL for dropped ones. */
static char **
column_names(TupleDesc desc)
{
	char **names = palloc0(sizeof(char *) * desc->natts);

	for (int i = 0; i < desc->natts; i++)
		if (!TupleDescAttr(desc, i)->attisdropped)
			names[i] = pstrdup(NameStr(TupleDescAttr(desc, i)->attname));
	return names;
}

/* Checks and describes the table that tells who it is. */
static void
describe_via(MaSourceText *text, LOCKMODE lock)
{
	Relation to = relation_open(text->via, lock);

	check_kind_of(to);
	if (to->rd_rel->relkind == RELKIND_PARTITIONED_TABLE ||
		to->rd_rel->relispartition)
		refuse_relation(to,
						"A table given as via cannot be partitioned, nor be "
						"a partition.",
						"Keep the id of the person in the row itself.");
	check_rights(to, ACL_TRIGGER);
	check_rights(to, ACL_SELECT);
	text->nvia_columns = RelationGetDescr(to)->natts;
	text->via_columns = column_names(RelationGetDescr(to));
	if (text->contact == NULL && text->email == NULL &&
		text->anonymous == NULL)
		take_identity(text);
	relation_close(to, NoLock);
}

/*
 * Takes over how the sources of `via` itself tell who its rows are: its
 * contacts, else its events if they agree.
 */
static void
take_identity(MaSourceText *text)
{
	MaSource	 *sources;
	int			  n = ma_source_read(&text->via, 1, false, &sources);
	MaSourceText *found = NULL;

	for (int i = 0; i < n; i++)
	{
		MaSourceText *other = &sources[i].text;

		if (OidIsValid(other->via))
			continue;
		if (found == NULL)
			found = other;
		if (found->kind == NULL)
			break;
		if (!ma_source_same_person(found, other))
			ereport(ERROR,
					(errcode(ERRCODE_AMBIGUOUS_PARAMETER),
					 errmsg("the sources of \"%s\" do not agree who its rows "
							"are",
							get_rel_name(text->via)),
					 errdetail("They are \"%s\" and \"%s\".", found->source,
							   other->source),
					 errhint("Give contact, email or anonymous, as an "
							 "expression over its columns.")));
	}
	if (found == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("it is not known who the rows of \"%s\" are",
						get_rel_name(text->via)),
				 errhint("Give contact, email or anonymous, as an expression "
						 "over its columns, or attach that table first.")));
	text->contact = found->contact;
	text->email = found->email;
	text->anonymous = found->anonymous;
}

/* Refuses names of attributes that attributes cannot have. */
static void
check_fields(const MaSource *source)
{
	if (source->text.kind != NULL || source->fields == NULL)
		return;
	for (int i = 0; i < ma_expr_count(source->fields); i++)
		ma_attribute_check_given(ma_expr_name(source->fields, i));
}

/* Says so where finding the rows that point to another one will be slow. */
static void
check_index(const MaSource *source, Relation rel)
{
	if (!ma_via_has_index(source->via, rel))
		ereport(NOTICE,
				(errmsg("no index on the foreign key of \"%s\"",
						RelationGetRelationName(rel)),
				 errdetail("Each time a row of \"%s\" comes to be somebody "
						   "else's, all its rows are read.",
						   get_rel_name(source->text.via))));
}

/* Locks a table, if it is still there, for taking a source away. */
static void
lock_for_detach(Oid relid)
{
	AclResult acl;

	if (get_rel_name(relid) == NULL)
		return;
	LockRelationOid(relid, AccessExclusiveLock);
	acl = pg_class_aclcheck(relid, GetUserId(), ACL_TRIGGER);
	if (acl != ACLCHECK_OK && acl != ACLCHECK_NO_PRIV)
		return; /* dropped meanwhile */
	if (acl != ACLCHECK_OK)
		aclcheck_error(acl, OBJECT_TABLE, get_rel_name(relid));
}

/* detach(source) */
Datum
mautomate_detach(PG_FUNCTION_ARGS)
{
	static MaStatement find = {"select relation, via"
							   " from mautomate_internal.source"
							   " where source = $1",
							   1,
							   {TEXTOID}};
	static MaStatement delete = {
		"delete from mautomate_internal.source where source = $1",
		1,
		{TEXTOID}};
	Datum	   value = PG_GETARG_DATUM(0);
	MaSqlScope scope;
	Oid		   relids[2];
	bool	   isnull;

	ma_sql_begin(&scope);
	if (ma_sql_exec(&find, &value, NULL, 1) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("source \"%s\" does not exist",
						TextDatumGetCString(value)),
				 errhint("The view mautomate.sources lists the sources.")));
	relids[0] = DatumGetObjectId(ma_sql_datum(0, 1, &isnull));
	relids[1] = DatumGetObjectId(ma_sql_datum(0, 2, &isnull));
	if (isnull)
		relids[1] = InvalidOid;
	ma_sql_end(&scope);
	lock_for_detach(relids[0]);
	ma_sql_begin(&scope);
	ma_sql_exec(&delete, &value, NULL, 0);
	ma_sql_end(&scope);
	for (int i = 0; i < lengthof(relids); i++)
		if (OidIsValid(relids[i]) && get_rel_name(relids[i]) != NULL)
			ma_capture_sync(relids[i]);
	PG_RETURN_VOID();
}
