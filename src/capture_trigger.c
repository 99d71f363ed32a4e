/*
 * capture_trigger.c
 *	  Our triggers on the application's tables.
 *
 * A table has those that its sources need: INSERT and UPDATE, DELETE where
 * deleted rows erase; where it is only pointed to, UPDATE, and INSERT if the
 * foreign key is checked late. So have all
 * its partitions and children, since a statement that names one of them fires
 * no trigger of the parent. PostgreSQL does not hand statement triggers on to
 * partitions that come later: an event trigger does it after CREATE TABLE and
 * ALTER TABLE.
 *
 * The caller needs what CREATE TRIGGER asks for (TRIGGER on the table); that
 * mautomate's function is the one that is called is our business, so the
 * trigger itself is created as the superuser.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/event_trigger.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "capture.h"
#include "inval.h"
#include "sql.h"

PG_FUNCTION_INFO_V1(mautomate_table_changed);

/* Our triggers on a relation. */
static const struct
{
	const char *name;
	int16		event; /* TRIGGER_TYPE_* */
} triggers[] = {
	{"mautomate_capture_insert", TRIGGER_TYPE_INSERT},
	{"mautomate_capture_update", TRIGGER_TYPE_UPDATE},
	{"mautomate_capture_delete", TRIGGER_TYPE_DELETE},
};

static int16 needed_triggers(Oid relid);
static void	 sync_all(List *relids, LOCKMODE lock);
static void	 sync_one(Oid relid, LOCKMODE lock);
static void	 create_trigger(Relation rel, const char *name, int16 event);
static bool	 changes_family(Node *command);
static List *find_incomplete(void);

static MaWatch watch = {"source"};

/*
 * Gives a relation, its partitions and its children the triggers that its
 * sources need, and takes away the others.
 */
void
ma_capture_sync(Oid relid)
{
	LOCKMODE lock =
		needed_triggers(relid) ? ShareRowExclusiveLock : AccessExclusiveLock;

	LockRelationOid(relid, lock); /* find_all_inheritors() locks the others */
	sync_all(find_all_inheritors(relid, lock, NULL), lock);
}

/* The same for each of these relations, but not for what is below them. */
static void
sync_all(List *relids, LOCKMODE lock)
{
	ListCell *lc;
	Oid		  userid;
	int		  context;

	GetUserIdAndSecContext(&userid, &context);
	SetUserIdAndSecContext(BOOTSTRAP_SUPERUSERID,
						   context | SECURITY_LOCAL_USERID_CHANGE);
	foreach (lc, relids)
		sync_one(lfirst_oid(lc), lock);
	SetUserIdAndSecContext(userid, context);
	CommandCounterIncrement();
}

/* The events that the sources of a relation look at, or'ed. */
static int16
needed_triggers(Oid relid)
{
	static MaStatement stmt = {
		"select count(*) > 0,"
		" coalesce(bool_or(relation = $1 or exists ("
		"select from pg_catalog.pg_constraint k where k.confrelid = $1"
		" and k.conrelid = s.relation and k.contype = 'f'"
		" and k.condeferrable)), false),"
		" coalesce(bool_or(relation = $1 and on_delete = 'erase'), false)"
		" from mautomate_internal.source s where relation = $1 or via = $1",
		1,
		{REGCLASSOID}};
	Datum	   value = ObjectIdGetDatum(relid);
	MaSqlScope scope;
	bool	   isnull;
	int16	   needed = 0;

	ma_sql_begin(&scope);
	ma_sql_exec(&stmt, &value, NULL, 0);
	if (DatumGetBool(ma_sql_datum(0, 1, &isnull)))
		needed |= TRIGGER_TYPE_UPDATE;
	if (DatumGetBool(ma_sql_datum(0, 2, &isnull)))
		needed |= TRIGGER_TYPE_INSERT;
	if (DatumGetBool(ma_sql_datum(0, 3, &isnull)))
		needed |= TRIGGER_TYPE_DELETE;
	ma_sql_end(&scope);
	return needed;
}

/* Creates and drops triggers of one relation, as far as it is needed. */
static void
sync_one(Oid relid, LOCKMODE lock)
{
	Relation  rel = try_relation_open(relid, lock);
	int16	  needed = 0;
	ListCell *lc;

	if (rel == NULL)
		return; /* dropped meanwhile */
	foreach (lc, ma_captured_as(relid))
		needed |= needed_triggers(lfirst_oid(lc));
	for (int i = 0; i < lengthof(triggers); i++)
	{
		ObjectAddress address = {.classId = TriggerRelationId};

		address.objectId = get_trigger_oid(relid, triggers[i].name, true);
		if ((needed & triggers[i].event) && !OidIsValid(address.objectId))
			create_trigger(rel, triggers[i].name, triggers[i].event);
		else if (!(needed & triggers[i].event) && OidIsValid(address.objectId))
			performDeletion(&address, DROP_RESTRICT, 0);
	}
	relation_close(rel, NoLock);
}

/* A name for the rows of a statement. */
static TriggerTransition *
transition(const char *name, bool is_new)
{
	TriggerTransition *rows = makeNode(TriggerTransition);

	rows->name = pstrdup(name);
	rows->isNew = is_new;
	rows->isTable = true;
	return rows;
}

/* Creates one. */
static void
create_trigger(Relation rel, const char *name, int16 event)
{
	CreateTrigStmt *stmt = makeNode(CreateTrigStmt);

	if (rel->rd_rel->relkind == RELKIND_FOREIGN_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("foreign table \"%s\" cannot be part of a table that "
						"is attached",
						RelationGetRelationName(rel)),
				 errdetail("Statements on the table would fail: triggers "
						   "cannot see rows of foreign tables."),
				 errhint("Detach the sources of the table first, see view "
						 "mautomate.sources.")));
	if (event != TRIGGER_TYPE_DELETE)
		stmt->transitionRels = lappend(stmt->transitionRels,
									   transition("mautomate_new_rows", true));
	if (event != TRIGGER_TYPE_INSERT)
		stmt->transitionRels = lappend(
			stmt->transitionRels, transition("mautomate_old_rows", false));
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

/*
 * Event trigger: tables may have become partitions or children of those that
 * are attached.
 */
Datum
mautomate_table_changed(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("function \"%s\" must be called as a trigger",
							   "table_changed")));
	if (!changes_family(((EventTriggerData *) fcinfo->context)->parsetree) ||
		!ma_inval_watch(&watch))
		PG_RETURN_NULL();
	/* no others: writers of the tables that have theirs must not wait */
	sync_all(find_incomplete(), ShareRowExclusiveLock);
	/* whose rows a table's are is cached with its sources */
	CacheInvalidateRelcacheByRelid(watch.relid);
	PG_RETURN_NULL();
}

/*
 * Can a command make a table a partition or child of another one, or end
 * that? (In a restore no other one may create triggers: it brings its own.)
 */
static bool
changes_family(Node *command)
{
	ListCell *lc;

	if (IsA(command, CreateStmt))
		return castNode(CreateStmt, command)->inhRelations != NIL;
	if (!IsA(command, AlterTableStmt))
		return IsA(command, CreateSchemaStmt);
	foreach (lc, castNode(AlterTableStmt, command)->cmds)
		switch (lfirst_node(AlterTableCmd, lc)->subtype)
		{
			case AT_AddInherit:
			case AT_DropInherit:
			case AT_AttachPartition:
			case AT_DetachPartition:
			case AT_DetachPartitionFinalize:
				return true;
			default:
				break;
		}
	return false;
}

/* Partitions and children of attached tables that have no trigger yet. */
static List *
find_incomplete(void)
{
	static MaStatement stmt = {
		"with recursive family (relid) as ("
		" select s.relation::oid from mautomate_internal.source s"
		" join pg_catalog.pg_class c on c.oid = s.relation"
		" where c.relhassubclass"
		" union select i.inhrelid from family f"
		" join pg_catalog.pg_inherits i on i.inhparent = f.relid)"
		" select f.relid from family f where not exists ("
		" select from pg_catalog.pg_trigger t where t.tgrelid = f.relid"
		" and t.tgname = 'mautomate_capture_insert') order by 1",
		0};
	MemoryContext cxt = CurrentMemoryContext;
	List		 *relids = NIL;
	MaSqlScope	  scope;
	bool		  isnull;

	ma_sql_begin(&scope);
	ma_sql_exec(&stmt, NULL, NULL, 0);
	MemoryContextSwitchTo(cxt);
	for (uint64 row = 0; row < SPI_processed; row++)
		relids = lappend_oid(relids,
							 DatumGetObjectId(ma_sql_datum(row, 1, &isnull)));
	ma_sql_end(&scope);
	return relids;
}
