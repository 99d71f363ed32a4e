/*
 * workflow_store.c
 *	  Workflows as users handle them: created, activated, paused, dropped.
 *
 * Creating a workflow only stores a version. Activating one makes its
 * predicates part of what the engine folds (workflow_version.in_use) and lets
 * contacts enter. A version stays in use while enrolments may be on it: it is
 * given back by the activation after the one that superseded it, once nobody
 * is on it any more.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/rel.h"

#include "definition.h"
#include "enrollment.h"
#include "refresh.h"
#include "sql.h"
#include "use.h"
#include "wake.h"
#include "workflow.h"

PG_FUNCTION_INFO_V1(mautomate_create_workflow);
PG_FUNCTION_INFO_V1(mautomate_activate_workflow);
PG_FUNCTION_INFO_V1(mautomate_pause_workflow);
PG_FUNCTION_INFO_V1(mautomate_drop_workflow);
PG_FUNCTION_INFO_V1(mautomate_rename_workflow);
PG_FUNCTION_INFO_V1(mautomate_workflow_definition);
PG_FUNCTION_INFO_V1(mautomate_workflow_id);
PG_FUNCTION_INFO_V1(mautomate_workflow_guard);

/* The newest version of a workflow as stored. */
typedef struct Newest
{
	int	   workflow_id; /* 0: there is no such workflow */
	int	   version;
	Jsonb *definition;
} Newest;

/* How the number of an object is found by its name. */
static MaStatement object_statements[MA_OBJECTS] = {
	[MA_OBJECT_KIND] =
		{"select 1 where $1 in ('list_entered', 'list_left', 'tier_changed',"
		 " 'stage_changed', 'attribute_changed')"
		 " or exists (select from mautomate_internal.event_kind"
		 " where kind = $1)"
		 " or exists (select from mautomate.event where kind = $1)",
		 1,
		 {TEXTOID}},
	[MA_OBJECT_ATTRIBUTE] =
		{"select 1 where $1 in ('first_name', 'last_name',"
		 " 'timezone', 'locale', 'region', 'stage', 'owner')"
		 " or exists (select from mautomate_internal.attribute"
		 " where attribute = $1)",
		 1,
		 {TEXTOID}},
	[MA_OBJECT_LIST] =
		{"select list_id from mautomate_internal.list where name = $1",
		 1,
		 {TEXTOID}},
	[MA_OBJECT_STATIC_LIST] = {"select list_id from mautomate_internal.list"
							   " where name = $1 and predicate_id is null",
							   1,
							   {TEXTOID}},
	[MA_OBJECT_TEMPLATE] =
		{"select t.template_id from mautomate_internal.template t"
		 " join mautomate_internal.template_version v"
		 " using (template_id, version)"
		 " where t.name = $1 and not t.dropped and v.channel_id is not null",
		 1,
		 {TEXTOID}},
	[MA_OBJECT_WORKFLOW] =
		{"select workflow_id from mautomate_internal.workflow"
		 " where name = $1",
		 1,
		 {TEXTOID}},
	[MA_OBJECT_SCORE] =
		{"select score_id from mautomate_internal.score where name = $1",
		 1,
		 {TEXTOID}},
	[MA_OBJECT_TIER] = {
		"select s.score_id from mautomate_internal.score s"
		" join mautomate_internal.score_tier t using (score_id)"
		" where t.tier = $1 and s.name = $2",
		2,
		{TEXTOID, TEXTOID}}};

/* The number of an object, 0 if there is none of that name. */
static int
find_object(MaObject object, const char *name, const char *within)
{
	MaSqlScope scope;
	Datum	   values[2];
	bool	   isnull;
	int		   number = 0;

	values[0] = CStringGetTextDatum(name);
	values[1] = CStringGetTextDatum(within ? within : "");
	ma_sql_begin(&scope);
	if (ma_sql_exec(&object_statements[object], values, NULL, 1) > 0)
		number = DatumGetInt32(ma_sql_datum(0, 1, &isnull));
	ma_sql_end(&scope);
	return number;
}

static const MaNames names = {find_object, ma_predicate_register};

/* Raises that there is no such workflow. */
static void
raise_unknown(const char *name)
{
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
					errmsg("workflow \"%s\" does not exist", name),
					errhint("The view mautomate.workflows shows them.")));
}

/*
 * Locks a workflow's row against other changes of the workflow and returns
 * its number; unknown is an error.
 */
static int
lock_workflow(const char *name)
{
	static MaStatement stmt = {
		"select workflow_id from mautomate_internal.workflow"
		" where name = $1 for update",
		1,
		{TEXTOID}};
	Datum values[1];
	bool  isnull;

	ma_definition_lock();
	values[0] = CStringGetTextDatum(name);
	if (ma_sql_exec(&stmt, values, NULL, 1) == 0)
		raise_unknown(name);
	return DatumGetInt32(ma_sql_datum(0, 1, &isnull));
}

/*
 * The same for who is going to open or close a workflow. What happened before
 * and is only noted so far meets it as it was.
 */
static int
lock_entries(const char *name)
{
	int workflow_id = lock_workflow(name);

	(void) ma_refresh_deferred(PG_INT32_MAX);
	return workflow_id;
}

/* The number of a workflow; unknown is an error. */
static int
get_workflow_id(const char *name)
{
	int workflow_id = find_object(MA_OBJECT_WORKFLOW, name, NULL);

	if (workflow_id == 0)
		raise_unknown(name);
	return workflow_id;
}

/* workflow_id(name) -> int */
Datum
mautomate_workflow_id(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(get_workflow_id(text_to_cstring(PG_GETARG_TEXT_PP(0))));
}

/* The newest version of a workflow, in the given context. */
static Newest
find_newest(const char *name, MemoryContext cxt)
{
	static MaStatement stmt = {
		"select w.workflow_id, v.version, v.definition"
		" from mautomate_internal.workflow w"
		" join mautomate_internal.workflow_version v using (workflow_id)"
		" where w.name = $1 order by v.version desc limit 1",
		1,
		{TEXTOID}};
	Newest	   newest = {0};
	Datum	   values[1];
	bool	   isnull;
	MaSqlScope scope;

	ma_sql_begin(&scope);
	values[0] = CStringGetTextDatum(name);
	if (ma_sql_exec(&stmt, values, NULL, 1) > 0)
	{
		MemoryContext caller;

		newest.workflow_id = DatumGetInt32(ma_sql_datum(0, 1, &isnull));
		newest.version = DatumGetInt32(ma_sql_datum(0, 2, &isnull));
		caller = MemoryContextSwitchTo(cxt);
		newest.definition = DatumGetJsonbPCopy(ma_sql_datum(0, 3, &isnull));
		MemoryContextSwitchTo(caller);
	}
	ma_sql_end(&scope);
	return newest;
}

/* A list of numbers as int[]. */
static Datum
int_array(const List *numbers)
{
	Datum	 *values = palloc(sizeof(Datum) * (list_length(numbers) + 1));
	ListCell *lc;
	int		  n = 0;

	foreach (lc, numbers)
		values[n++] = Int32GetDatum(lfirst_int(lc));
	return PointerGetDatum(construct_array(values, n, INT4OID, sizeof(int32),
										   true, TYPALIGN_INT));
}

/* Inserts the next version of a workflow, and the workflow if it is new. */
static void
store_version(const char *name, Jsonb *definition, const MaWorkflow *workflow)
{
	static MaStatement insert_workflow = {
		"insert into mautomate_internal.workflow (name) values ($1)"
		" on conflict (name) do nothing",
		1,
		{TEXTOID}};
	static MaStatement insert_version = {
		"insert into mautomate_internal.workflow_version (workflow_id,"
		" version, definition, program, predicates, lists, templates,"
		" scores, workflows)"
		" select $1, 1 + coalesce((select max(v.version)"
		" from mautomate_internal.workflow_version v"
		" where v.workflow_id = $1), 0), $2, $3, $4, $5, $6, $7, $8",
		8,
		{INT4OID, JSONBOID, JSONBOID, INT4ARRAYOID, INT4ARRAYOID, INT4ARRAYOID,
		 INT4ARRAYOID, INT4ARRAYOID}};
	MaSqlScope scope;
	Datum	   values[8];

	ma_sql_begin(&scope);
	values[0] = CStringGetTextDatum(name);
	ma_sql_exec(&insert_workflow, values, NULL, 0);
	values[0] = Int32GetDatum(lock_workflow(name));
	values[1] = JsonbPGetDatum(definition);
	values[2] = JsonbPGetDatum(ma_program_write(&workflow->program));
	values[3] = int_array(workflow->predicates);
	values[4] =
		int_array(list_union_int(workflow->used[MA_OBJECT_LIST],
								 workflow->used[MA_OBJECT_STATIC_LIST]));
	values[5] = int_array(workflow->used[MA_OBJECT_TEMPLATE]);
	values[6] = int_array(list_union_int(workflow->used[MA_OBJECT_SCORE],
										 workflow->used[MA_OBJECT_TIER]));
	values[7] = int_array(workflow->used[MA_OBJECT_WORKFLOW]);
	ma_sql_exec(&insert_version, values, NULL, 0);
	ma_sql_end(&scope);
}

/* create_workflow(name, definition) -> text */
Datum
mautomate_create_workflow(PG_FUNCTION_ARGS)
{
	char  *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	Jsonb *definition = PG_GETARG_JSONB_P(1);
	Newest newest;

	if (name[0] == '\0')
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("a workflow needs a name")));
	ma_definition_lock();
	newest = find_newest(name, CurrentMemoryContext);
	if (newest.workflow_id != 0 &&
		compareJsonbContainers(&newest.definition->root, &definition->root) ==
			0)
		PG_RETURN_TEXT_P(cstring_to_text("unchanged"));
	store_version(name, definition,
				  ma_workflow_compile(definition, name, &names));
	PG_RETURN_TEXT_P(
		cstring_to_text(newest.workflow_id == 0 ? "created" : "changed"));
}

/* Finds the version_id of a version, the newest where version is 0. */
static int
find_version(const char *name, int workflow_id, int version)
{
	static MaStatement stmt = {
		"select version_id from mautomate_internal.workflow_version"
		" where workflow_id = $1 and ($2 = 0 or version = $2)"
		" order by version desc limit 1",
		2,
		{INT4OID, INT4OID}};
	Datum values[2];
	bool  isnull;

	values[0] = Int32GetDatum(workflow_id);
	values[1] = Int32GetDatum(version);
	if (ma_sql_exec(&stmt, values, NULL, 1) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("workflow \"%s\" has no version %d", name, version)));
	return DatumGetInt32(ma_sql_datum(0, 1, &isnull));
}

/* Makes a version the active one and gives back versions nobody is on. */
static void
activate_version(int workflow_id, int version_id)
{
	static MaStatement release = {
		"update mautomate_internal.workflow_version v set in_use = false"
		" where v.workflow_id = $1 and v.in_use and v.version_id <> $2"
		" and v.version_id <> (select w.active_version"
		" from mautomate_internal.workflow w where w.workflow_id = $1)"
		" and not exists (select from mautomate_internal.enrollment e"
		" where e.workflow_id = $1 and e.state = 'active'"
		" and e.version_id = v.version_id)",
		2,
		{INT4OID, INT4OID}};
	static MaStatement use = {
		"update mautomate_internal.workflow_version set in_use = true"
		" where version_id = $2 and not in_use and workflow_id = $1",
		2,
		{INT4OID, INT4OID}};
	static MaStatement activate = {
		"update mautomate_internal.workflow set state = 'active',"
		" active_version = $2 where workflow_id = $1",
		2,
		{INT4OID, INT4OID}};
	Datum values[2];

	values[0] = Int32GetDatum(workflow_id);
	values[1] = Int32GetDatum(version_id);
	ma_sql_exec(&release, values, NULL, 0);
	ma_sql_exec(&use, values, NULL, 0);
	ma_sql_exec(&activate, values, NULL, 0);
}

/* activate_workflow(name, version, existing) -> bigint */
Datum
mautomate_activate_workflow(PG_FUNCTION_ARGS)
{
	char	  *name;
	int		   version = PG_ARGISNULL(1) ? 0 : PG_GETARG_INT32(1);
	bool	   existing = !PG_ARGISNULL(2) && PG_GETARG_BOOL(2);
	int		   workflow_id;
	MaSqlScope scope;

	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("a workflow needs a name")));
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	ma_sql_begin(&scope);
	workflow_id = lock_entries(name);
	activate_version(workflow_id, find_version(name, workflow_id, version));
	ma_sql_end(&scope);
	ma_wake_scheduler_at_commit();
	PG_RETURN_INT64(ma_enrollment_existing(workflow_id, existing));
}

/* pause_workflow(name, entries) */
Datum
mautomate_pause_workflow(PG_FUNCTION_ARGS)
{
	static MaStatement stmt = {
		"update mautomate_internal.workflow set state = 'paused',"
		" entries = $2 where workflow_id = $1 and state <> 'draft'",
		2,
		{INT4OID, TEXTOID}};
	char	  *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char	  *entries = text_to_cstring(PG_GETARG_TEXT_PP(1));
	Datum	   values[2];
	MaSqlScope scope;

	if (strcmp(entries, "drop") != 0 && strcmp(entries, "queue") != 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("unknown value \"%s\" for entries", entries),
						errhint("Valid values are \"drop\" and \"queue\".")));
	ma_sql_begin(&scope);
	values[0] = Int32GetDatum(lock_entries(name));
	values[1] = CStringGetTextDatum(entries);
	if (ma_sql_exec(&stmt, values, NULL, 0) == 0)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("workflow \"%s\" was never activated", name),
						errhint("Use mautomate.activate_workflow.")));
	ma_sql_end(&scope);
	PG_RETURN_VOID();
}

/* Refuses to do something to an object that (other) workflows name. */
static void
refuse_if_named(const char *object, int object_id, const char *name,
				const char *but)
{
	static MaStatement stmt = {
		"select string_agg(workflow, ', ' order by workflow)"
		" from mautomate_internal.workflow_user"
		" where object = $1 and object_id = $2 and workflow <> $3",
		3,
		{TEXTOID, INT4OID, TEXTOID}};
	Datum values[3];
	char *users;

	values[0] = CStringGetTextDatum(object);
	values[1] = Int32GetDatum(object_id);
	values[2] = CStringGetTextDatum(but);
	ma_sql_exec(&stmt, values, NULL, 1);
	users = ma_sql_text(0, 1);
	if (users != NULL)
		ereport(ERROR, (errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
						errmsg("%s \"%s\" is used", object, name),
						errdetail("Workflows name it: %s.", users),
						errhint("Create versions of them without it first.")));
}

/* Refuses to drop a workflow that is active or named by another one. */
static void
check_droppable(const char *name, int workflow_id)
{
	static MaStatement active = {
		"select 1 from mautomate_internal.workflow"
		" where workflow_id = $1 and state = 'active'",
		1,
		{INT4OID}};
	Datum values[1];

	values[0] = Int32GetDatum(workflow_id);
	if (ma_sql_exec(&active, values, NULL, 1) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("workflow \"%s\" is active", name),
				 errhint("Pause it first with mautomate.pause_workflow.")));
	refuse_if_named("workflow", workflow_id, name, name);
}

/* drop_workflow(name) */
Datum
mautomate_drop_workflow(PG_FUNCTION_ARGS)
{
	static MaStatement statements[] = {
		{"delete from mautomate_internal.wakeup u"
		 " using mautomate_internal.enrollment e"
		 " where e.workflow_id = $1 and u.contact_id = e.contact_id"
		 " and u.enrollment_id = e.enrollment_id",
		 1,
		 {INT4OID}},
		{"delete from mautomate_internal.enrollment_log l"
		 " using mautomate_internal.enrollment e"
		 " where e.workflow_id = $1 and l.contact_id = e.contact_id"
		 " and l.enrollment_id = e.enrollment_id",
		 1,
		 {INT4OID}},
		{"delete from mautomate_internal.enrollment"
		 " where workflow_id = $1",
		 1,
		 {INT4OID}},
		{"delete from mautomate_internal.entry_refused"
		 " where workflow_id = $1",
		 1,
		 {INT4OID}},
		{"delete from mautomate_internal.workflow_version"
		 " where workflow_id = $1",
		 1,
		 {INT4OID}},
		{"delete from mautomate_internal.workflow"
		 " where workflow_id = $1",
		 1,
		 {INT4OID}}};
	char	  *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	int		   workflow_id;
	Datum	   values[1];
	MaSqlScope scope;

	ma_sql_begin(&scope);
	workflow_id = lock_workflow(name);
	check_droppable(name, workflow_id);
	values[0] = Int32GetDatum(workflow_id);
	for (int i = 0; i < lengthof(statements); i++)
		ma_sql_exec(&statements[i], values, NULL, 0);
	ma_sql_end(&scope);
	PG_RETURN_VOID();
}

/* rename_workflow(name, new_name) */
Datum
mautomate_rename_workflow(PG_FUNCTION_ARGS)
{
	static MaStatement stmt = {
		"update mautomate_internal.workflow set name = $2"
		" where workflow_id = $1",
		2,
		{INT4OID, TEXTOID}};
	char	  *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char	  *new_name = text_to_cstring(PG_GETARG_TEXT_PP(1));
	MaRename   rename = {MA_NAMED_WORKFLOW, name, new_name};
	int		   workflow_id;
	Datum	   values[2];
	MaSqlScope scope;

	ma_sql_begin(&scope);
	workflow_id = lock_workflow(name);
	if (new_name[0] == '\0' ||
		find_object(MA_OBJECT_WORKFLOW, new_name, NULL) != 0)
		ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT),
						errmsg("workflow \"%s\" cannot be named \"%s\"", name,
							   new_name),
						errdetail("A name must be given, and be free.")));
	values[0] = Int32GetDatum(workflow_id);
	values[1] = CStringGetTextDatum(new_name);
	ma_sql_exec(&stmt, values, NULL, 0);
	ma_use_rename_workflows(&rename);
	ma_sql_end(&scope);
	PG_RETURN_VOID();
}

/* workflow_definition(name, version) -> jsonb */
Datum
mautomate_workflow_definition(PG_FUNCTION_ARGS)
{
	static MaStatement stmt = {
		"select definition from mautomate_internal.workflow_version"
		" where version_id = $1",
		1,
		{INT4OID}};
	char		 *name;
	MemoryContext caller = CurrentMemoryContext;
	Jsonb		 *definition;
	Datum		  values[1];
	bool		  isnull;
	MaSqlScope	  scope;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	ma_sql_begin(&scope);
	values[0] =
		Int32GetDatum(find_version(name, get_workflow_id(name),
								   PG_ARGISNULL(1) ? 0 : PG_GETARG_INT32(1)));
	ma_sql_exec(&stmt, values, NULL, 1);
	MemoryContextSwitchTo(caller);
	definition = DatumGetJsonbPCopy(ma_sql_datum(0, 1, &isnull));
	ma_sql_end(&scope);
	PG_RETURN_JSONB_P(definition);
}

/* A column of a row as text, NULL where it is null. */
static char *
row_text(HeapTuple row, TupleDesc desc, const char *column)
{
	return SPI_getvalue(row, desc, SPI_fnumber(desc, column));
}

/*
 * Row trigger, before, of a table whose objects workflows name: its argument
 * says what they are. Definitions follow a template's name here, and a list's
 * or score's where it is renamed (use.c).
 */
Datum
mautomate_workflow_guard(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	const char	*object;
	TupleDesc	 desc;
	HeapTuple	 result;
	char		*name;
	char		*new_name;
	int			 id;
	bool		 gone;
	MaSqlScope	 scope;

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("function \"%s\" must be called as a row "
							   "trigger",
							   "workflow_guard")));
	object = trigger->tg_trigger->tgargs[0];
	desc = RelationGetDescr(trigger->tg_relation);
	gone = TRIGGER_FIRED_BY_DELETE(trigger->tg_event);
	result = gone ? trigger->tg_trigtuple : trigger->tg_newtuple;
	ma_sql_begin(&scope);
	id =
		atoi(row_text(trigger->tg_trigtuple, desc, psprintf("%s_id", object)));
	name = row_text(trigger->tg_trigtuple, desc, "name");
	new_name = row_text(result, desc, "name");
	if (!gone && strcmp(object, "template") == 0)
		gone = row_text(result, desc, "dropped")[0] == 't' &&
			   row_text(trigger->tg_trigtuple, desc, "dropped")[0] == 'f';
	if (gone)
	{
		ma_definition_lock();
		refuse_if_named(object, id, name, "");
	}
	else if (strcmp(name, new_name) != 0 && strcmp(object, "template") == 0)
		ma_use_rename_workflows(
			&(MaRename){MA_NAMED_TEMPLATE, name, new_name});
	ma_sql_end(&scope);
	return PointerGetDatum(result);
}
