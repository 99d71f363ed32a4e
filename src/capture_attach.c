/*
 * capture_attach.c
 *	  SQL functions that make a table of the application a source.
 *
 * attach_* compile the expressions, store the source, create the triggers and
 * read what is there already, in one transaction that holds the lock of
 * CREATE TRIGGER: no row is missed between reading and the first firing. The
 * caller needs what CREATE TRIGGER asks for (TRIGGER on the table), and
 * SELECT to read it; that mautomate's function is the one that is called is
 * our business, so the trigger itself is created as the superuser.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/catalog.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/resowner.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"

#include "attribute.h"
#include "batch.h"
#include "capture.h"
#include "event.h"
#include "refresh.h"
#include "sql.h"

PG_FUNCTION_INFO_V1(mautomate_attach_contacts);
PG_FUNCTION_INFO_V1(mautomate_attach_events);
PG_FUNCTION_INFO_V1(mautomate_detach);

/* Our two triggers on a relation. */
static const struct
{
	const char *name;
	int16		event; /* TRIGGER_TYPE_* */
} triggers[] = {
	{"mautomate_capture_insert", TRIGGER_TYPE_INSERT},
	{"mautomate_capture_update", TRIGGER_TYPE_UPDATE},
};

static const char *attach(Oid relid, MaSourceText *text, bool backfill);
static Relation	   open_relation(Oid relid, bool backfill);
static void refuse_relation(Relation rel, const char *why, const char *hint);
static void describe_relation(Relation rel, MaSourceText *text);
static void check_fields(const MaSource *source);
static const char *store(Oid relid, const MaSourceText *text);
static void		   create_triggers(Relation rel);
static void		   create_trigger(Relation rel, const char *name, int16 event);
static void		   drop_triggers(Oid relid);
static void		   read_existing(Relation rel, MaSource *source);

/* The argument as a C string; NULL for null. */
static char *
text_argument(FunctionCallInfo fcinfo, int i)
{
	return PG_ARGISNULL(i) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(i));
}

/* Refuses a null where something must be given. */
static void
check_given(FunctionCallInfo fcinfo, int i, const char *name)
{
	if (PG_ARGISNULL(i))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("argument %s must not be null", name)));
}

/* attach_contacts(relation, external_id, email, phone, attributes, source, backfill) */
Datum
mautomate_attach_contacts(PG_FUNCTION_ARGS)
{
	MaSourceText text = {0};

	check_given(fcinfo, 0, "relation");
	text.contact = text_argument(fcinfo, 1);
	text.email = text_argument(fcinfo, 2);
	text.phone = text_argument(fcinfo, 3);
	text.fields = text_argument(fcinfo, 4);
	text.source = text_argument(fcinfo, 5);
	if (text.contact == NULL && text.email == NULL && text.phone == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("a contact needs external_id, email or phone")));
	PG_RETURN_TEXT_P(cstring_to_text(attach(
		PG_GETARG_OID(0), &text, !PG_ARGISNULL(6) && PG_GETARG_BOOL(6))));
}

/*
 * attach_events(relation, kind, contact, email, anonymous, occurred_at, properties,
 * condition, void_when, on_update, zone, source, backfill)
 */
Datum
mautomate_attach_events(PG_FUNCTION_ARGS)
{
	MaSourceText text = {0};

	check_given(fcinfo, 0, "relation");
	text.kind = text_argument(fcinfo, 1);
	ma_event_check_kind(text.kind);
	text.contact = text_argument(fcinfo, 2);
	text.email = text_argument(fcinfo, 3);
	text.anonymous = text_argument(fcinfo, 4);
	text.occurred_at = text_argument(fcinfo, 5);
	text.fields = text_argument(fcinfo, 6);
	text.condition = text_argument(fcinfo, 7);
	text.void_when = text_argument(fcinfo, 8);
	text.on_update =
		PG_ARGISNULL(9) ? pstrdup("ignore") : text_argument(fcinfo, 9);
	text.zone = text_argument(fcinfo, 10);
	text.source = text_argument(fcinfo, 11);
	if (text.contact == NULL && text.email == NULL && text.anonymous == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("an event needs contact, email or anonymous"),
				 errhint("Name the column that holds the external id or the "
						 "e-mail address of the person, such as "
						 "contact => 'customer_id'.")));
	PG_RETURN_TEXT_P(cstring_to_text(attach(
		PG_GETARG_OID(0), &text, !PG_ARGISNULL(12) && PG_GETARG_BOOL(12))));
}

/* Makes a relation a source; tells what became of the definition. */
static const char *
attach(Oid relid, MaSourceText *text, bool backfill)
{
	Relation	rel = open_relation(relid, backfill);
	MaSource	source = {.text = *text};
	const char *result;

	describe_relation(rel, &source.text);
	ma_source_compile(&source, RelationGetDescr(rel));
	check_fields(&source);
	result = store(relid, &source.text);
	create_triggers(rel);
	CommandCounterIncrement();
	if (backfill)
		read_existing(rel, &source);
	relation_close(rel, NoLock);
	return result;
}

/* Opens and locks a relation, or tells why it cannot be a source. */
static Relation
open_relation(Oid relid, bool backfill)
{
	Relation rel = relation_open(relid, ShareRowExclusiveLock);
	Oid namespace = RelationGetNamespace(rel);
	const char *schema = get_namespace_name(namespace);
	AclResult	acl;

	if (rel->rd_rel->relkind == RELKIND_VIEW ||
		rel->rd_rel->relkind == RELKIND_MATVIEW)
		refuse_relation(rel, "It is a view.",
						"Attach the table behind it, with a condition.");
	if (rel->rd_rel->relkind == RELKIND_FOREIGN_TABLE)
		refuse_relation(rel, "It is a foreign table.",
						"Copy its rows into a table and attach that.");
	if (rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE ||
		rel->rd_rel->relispartition)
		refuse_relation(rel, "It is a partitioned table, or part of one.",
						NULL);
	if (rel->rd_rel->relkind != RELKIND_RELATION)
		refuse_relation(rel, "It is not a table.", NULL);
	if (rel->rd_rel->relpersistence == RELPERSISTENCE_TEMP)
		refuse_relation(rel, "It is a temporary table.",
						"Use mautomate.track_batch() for rows of a session.");
	if (IsSystemRelation(rel) || strcmp(schema, "information_schema") == 0)
		refuse_relation(rel, "It is a system table.", NULL);
	if (strcmp(schema, "mautomate") == 0 ||
		strcmp(schema, "mautomate_internal") == 0)
		refuse_relation(rel, "It belongs to mautomate.", NULL);
	acl = pg_class_aclcheck(relid, GetUserId(), ACL_TRIGGER);
	if (acl == ACLCHECK_OK && backfill)
		acl = pg_class_aclcheck(relid, GetUserId(), ACL_SELECT);
	if (acl != ACLCHECK_OK)
		aclcheck_error(acl, OBJECT_TABLE, RelationGetRelationName(rel));
	if (backfill && check_enable_rls(relid, InvalidOid, true) == RLS_ENABLED)
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("cannot read all rows of \"%s\"",
							   RelationGetRelationName(rel)),
						errdetail("Row-level security is enabled on it."),
						errhint("Attach it as its owner, or with backfill => "
								"false.")));
	return rel;
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

/* Fills in names, the primary key and the columns. */
static void
describe_relation(Relation rel, MaSourceText *text)
{
	TupleDesc  desc = RelationGetDescr(rel);
	Bitmapset *key =
		RelationGetIndexAttrBitmap(rel, INDEX_ATTR_BITMAP_PRIMARY_KEY);
	int attnum = -1;

	if (text->source == NULL)
	{
		text->source =
			psprintf("%s.%s", get_namespace_name(RelationGetNamespace(rel)),
					 RelationGetRelationName(rel));
		if (text->kind != NULL)
			text->source = psprintf("%s.%s", text->source, text->kind);
		if (strlen(text->source) > 2 * NAMEDATALEN)
			text->source[2 * NAMEDATALEN] = '\0';
	}
	if (*text->source == '\0' || strlen(text->source) > 2 * NAMEDATALEN)
		ereport(ERROR, (errcode(ERRCODE_INVALID_NAME),
						errmsg("the name of a source has 1 to %d bytes",
							   2 * NAMEDATALEN)));
	text->key = palloc(sizeof(int16) * (bms_num_members(key) + 1));
	while ((attnum = bms_next_member(key, attnum)) >= 0)
		text->key[text->nkey++] = attnum + FirstLowInvalidHeapAttributeNumber;
	if (text->kind != NULL)
	{
		size_t tail = strlen(text->source) - strlen(text->kind);

		if (text->nkey == 0)
			refuse_relation(rel, "It has no primary key.",
							"Events are told apart by the primary key of "
							"their row: ALTER TABLE ... ADD PRIMARY KEY "
							"(...).");
		if (strlen(text->source) > strlen(text->kind) &&
			text->source[tail - 1] == '.' &&
			strcmp(&text->source[tail], text->kind) == 0)
			text->key_prefix = text->source;
		else
			text->key_prefix = psprintf("%s.%s", text->source, text->kind);
	}
	text->ncolumns = desc->natts;
	text->columns = palloc0(sizeof(char *) * desc->natts);
	for (int i = 0; i < desc->natts; i++)
		if (!TupleDescAttr(desc, i)->attisdropped)
			text->columns[i] = NameStr(TupleDescAttr(desc, i)->attname);
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

/* Stores the definition: created, changed or unchanged. */
static const char *
store(Oid relid, const MaSourceText *text)
{
#define COLUMNS                                                       \
	"kind, contact, email, phone, anonymous, occurred_at, condition," \
	" void_when, on_update, fields, zone, key_prefix, key, columns"
	static MaStatement other = {
		"select case when relation <> $2 then relation::text"
		" else coalesce('events of kind ' || kind, 'contacts') end"
		" from mautomate_internal.source where source = $1"
		" and (relation <> $2 or kind is distinct from $3)",
		3,
		{TEXTOID, REGCLASSOID, TEXTOID}};
	static MaStatement same = {
		"select from mautomate_internal.source s where source = $1"
		" and relation = $2 and row(" COLUMNS ") is not distinct from"
		" row($3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
		16,
		{TEXTOID, REGCLASSOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID,
		 TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID,
		 INT2ARRAYOID, TEXTARRAYOID}};
	static MaStatement upsert = {
		"insert into mautomate_internal.source as s"
		" (source, relation, " COLUMNS ") values"
		" ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)"
		" on conflict (source) do update set (relation, " COLUMNS ") ="
		" ($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)"
		" returning s.xmax = 0",
		16,
		{TEXTOID, REGCLASSOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID,
		 TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID,
		 INT2ARRAYOID, TEXTARRAYOID}};
	const char *const texts[] = {
		text->kind,		 text->contact,		text->email,	 text->phone,
		text->anonymous, text->occurred_at, text->condition, text->void_when,
		text->on_update, text->fields,		text->zone,		 text->key_prefix};
	MaColumn	key;
	MaColumn	columns;
	MaSqlScope	scope;
	Datum		values[16];
	char		nulls[17] = "                ";
	const char *result = "unchanged";
	bool		isnull;

	values[0] = CStringGetTextDatum(text->source);
	values[1] = ObjectIdGetDatum(relid);
	for (int i = 0; i < lengthof(texts); i++)
	{
		values[i + 2] = texts[i] ? CStringGetTextDatum(texts[i]) : (Datum) 0;
		nulls[i + 2] = texts[i] ? ' ' : 'n';
	}
	ma_column_init(&key, INT2OID, text->nkey);
	for (int i = 0; i < text->nkey; i++)
		ma_column_add(&key, Int16GetDatum(text->key[i]), false);
	values[14] = ma_column_array(&key);
	ma_column_init(&columns, TEXTOID, text->ncolumns);
	for (int i = 0; i < text->ncolumns; i++)
		ma_column_add_text(&columns, text->columns[i]);
	values[15] = ma_column_array(&columns);
	ma_sql_begin(&scope);
	if (ma_sql_exec(&other, values, nulls, 1) > 0)
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

/* Creates those of our triggers that the relation does not have. */
static void
create_triggers(Relation rel)
{
	Oid userid;
	int context;

	GetUserIdAndSecContext(&userid, &context);
	SetUserIdAndSecContext(BOOTSTRAP_SUPERUSERID,
						   context | SECURITY_LOCAL_USERID_CHANGE);
	for (int i = 0; i < lengthof(triggers); i++)
		if (!OidIsValid(get_trigger_oid(RelationGetRelid(rel),
										triggers[i].name, true)))
			create_trigger(rel, triggers[i].name, triggers[i].event);
	SetUserIdAndSecContext(userid, context);
}

/* Creates one. */
static void
create_trigger(Relation rel, const char *name, int16 event)
{
	CreateTrigStmt	  *stmt = makeNode(CreateTrigStmt);
	TriggerTransition *rows = makeNode(TriggerTransition);

	rows->name = "mautomate_new_rows";
	rows->isNew = true;
	rows->isTable = true;
	stmt->transitionRels = list_make1(rows);
	if (event == TRIGGER_TYPE_UPDATE)
	{
		rows = makeNode(TriggerTransition);
		rows->name = "mautomate_old_rows";
		rows->isTable = true;
		stmt->transitionRels = lappend(stmt->transitionRels, rows);
	}
	stmt->trigname = pstrdup(name);
	stmt->relation =
		makeRangeVar(get_namespace_name(RelationGetNamespace(rel)),
					 pstrdup(RelationGetRelationName(rel)), -1);
	stmt->funcname =
		list_make2(makeString("mautomate_internal"), makeString("capture"));
	stmt->timing = TRIGGER_TYPE_AFTER;
	stmt->events = event;
	(void) CreateTrigger(stmt, NULL, RelationGetRelid(rel), InvalidOid,
						 InvalidOid, InvalidOid, InvalidOid, InvalidOid, NULL,
						 false, false);
}

/* detach(source) */
Datum
mautomate_detach(PG_FUNCTION_ARGS)
{
	static MaStatement find = {
		"select relation from mautomate_internal.source where source = $1",
		1,
		{TEXTOID}};
	static MaStatement delete = {
		"delete from mautomate_internal.source where source = $1",
		1,
		{TEXTOID}};
	static MaStatement others = {
		"select from mautomate_internal.source where relation = $1",
		1,
		{REGCLASSOID}};
	Datum	   value = PG_GETARG_DATUM(0);
	MaSqlScope scope;
	Oid		   relid;
	bool	   isnull;
	bool	   last;

	ma_sql_begin(&scope);
	if (ma_sql_exec(&find, &value, NULL, 1) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("source \"%s\" does not exist",
						TextDatumGetCString(value)),
				 errhint("The view mautomate.sources lists the sources.")));
	relid = DatumGetObjectId(ma_sql_datum(0, 1, &isnull));
	ma_sql_end(&scope);
	if (get_rel_name(relid) != NULL)
	{
		AclResult acl;

		LockRelationOid(relid, AccessExclusiveLock);
		acl = pg_class_aclcheck(relid, GetUserId(), ACL_TRIGGER);
		if (acl != ACLCHECK_OK)
			aclcheck_error(acl, OBJECT_TABLE, get_rel_name(relid));
	}
	ma_sql_begin(&scope);
	ma_sql_exec(&delete, &value, NULL, 0);
	value = ObjectIdGetDatum(relid);
	last = ma_sql_exec(&others, &value, NULL, 1) == 0;
	ma_sql_end(&scope);
	if (last)
		drop_triggers(relid);
	PG_RETURN_VOID();
}

/* Drops our triggers of a relation, if it is still there. */
static void
drop_triggers(Oid relid)
{
	if (get_rel_name(relid) == NULL)
		return;
	for (int i = 0; i < lengthof(triggers); i++)
	{
		ObjectAddress address = {.classId = TriggerRelationId};

		address.objectId = get_trigger_oid(relid, triggers[i].name, true);
		if (OidIsValid(address.objectId))
			performDeletion(&address, DROP_RESTRICT, 0);
	}
}

/*
 * Captures the rows that are there, under the rule of silence, which lasts
 * as long as the subtransaction in here.
 */
static void
read_existing(Relation rel, MaSource *source)
{
	MemoryContext	caller = CurrentMemoryContext;
	ResourceOwner	owner = CurrentResourceOwner;
	MaCapture	   *capture;
	Snapshot		snapshot;
	TableScanDesc	scan;
	TupleTableSlot *slot;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(caller);
	ma_refresh_silence();
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	scan = table_beginscan(rel, snapshot, 0, NULL);
	slot = table_slot_create(rel, NULL);
	capture = ma_capture_begin(source, 1, RelationGetDescr(rel));
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		MinimalTuple row;

		CHECK_FOR_INTERRUPTS();
		MemoryContextSwitchTo(ma_capture_context(capture));
		row = ExecCopySlotMinimalTuple(slot);
		MemoryContextSwitchTo(caller);
		if (!ma_capture_add(capture, row, NULL))
			break;
	}
	ma_capture_end(capture);
	ExecDropSingleTupleTableSlot(slot);
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
	ReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = owner;
}
