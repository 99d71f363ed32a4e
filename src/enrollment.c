/*
 * enrollment.c
 *	  Contacts that enter or leave a workflow by hand.
 *
 * The same rules as for events hold (entry.c): the state of the contact is
 * locked first, then enrolments are written.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "enrollment.h"
#include "entry.h"
#include "json.h"
#include "refresh.h"
#include "sql.h"

PG_FUNCTION_INFO_V1(mautomate_enroll);
PG_FUNCTION_INFO_V1(mautomate_unenroll);

/* Members handled in one go. */
#define CHUNK 1000

/* A member of a list by which a workflow is entered. */
typedef struct Member
{
	int64 contact_id;
	char *list;
} Member;

/* Locks the contacts and enters those the workflow takes. */
static int64
enter_members(int workflow_id, const Member *members, int n)
{
	int64		 *ids = palloc(sizeof(int64) * n);
	MaContactSet *set;
	MaEntryBatch *batch;

	for (int i = 0; i < n; i++)
		ids[i] = members[i].contact_id;
	set = ma_refresh_load(ids, n, false);
	batch = ma_entry_begin(ma_definitions());
	for (int i = 0; i < n; i++)
	{
		MaEvent			 event = {.contact_id = members[i].contact_id,
								  .occurred_at = ma_now(),
								  .kind = "list_entered"};
		MaContact		*contact = ma_contact_find(set, members[i].contact_id);
		JsonbParseState *state = NULL;

		if (contact == NULL)
			continue;
		pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
		ma_json_text(&state, "list", members[i].list);
		event.properties =
			JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
		(void) ma_entry_offer(batch, workflow_id, contact, &event);
	}
	ma_entry_apply(batch);
	return ma_entry_accepted(batch);
}

/* Reads the members of the lists by which a workflow is entered. */
static Member *
read_members(int workflow_id, int *n, MemoryContext cxt)
{
	static MaStatement stmt = {
		"select distinct on (m.contact_id) m.contact_id, l.name"
		" from mautomate_internal.workflow w"
		" join mautomate_internal.workflow_version v"
		" on v.version_id = w.active_version"
		" cross join jsonb_array_elements(v.program -> 'entries') e (entry)"
		" join mautomate_internal.list l"
		" on l.name = e.entry -> 'match' ->> 'list'"
		" join mautomate_internal.list_member m using (list_id)"
		" where w.workflow_id = $1"
		" and e.entry ->> 'kind' = 'list_entered'"
		" order by m.contact_id",
		1,
		{INT4OID}};
	MaSqlScope scope;
	Datum	   values[1];
	Member	  *members;
	bool	   isnull;

	ma_sql_begin(&scope);
	values[0] = Int32GetDatum(workflow_id);
	*n = ma_sql_exec(&stmt, values, NULL, 0);
	members = MemoryContextAllocHuge(cxt, sizeof(Member) * Max(*n, 1));
	for (int i = 0; i < *n; i++)
	{
		MemoryContext caller = MemoryContextSwitchTo(cxt);

		members[i].contact_id = DatumGetInt64(ma_sql_datum(i, 1, &isnull));
		members[i].list = ma_sql_text(i, 2);
		MemoryContextSwitchTo(caller);
	}
	ma_sql_end(&scope);
	return members;
}

/*
 * Enters the present members of the lists a workflow is entered by, or tells
 * how many there are. Returns how many entered.
 */
int64
ma_enrollment_existing(int workflow_id, bool enter)
{
	int64	entered = 0;
	int		n;
	Member *members = read_members(workflow_id, &n, CurrentMemoryContext);
	MemoryContext chunk_cxt;

	if (n == 0)
		return 0;
	ereport(NOTICE,
			(errmsg_plural("%d contact is in its lists already",
						   "%d contacts are in its lists already", n, n),
			 enter ? 0 :
					 errhint("They do not enter; existing => true lets "
							 "them.")));
	if (!enter)
		return 0;
	chunk_cxt = AllocSetContextCreate(CurrentMemoryContext,
									  "mautomate enrollment chunk",
									  ALLOCSET_DEFAULT_SIZES);
	for (int first = 0; first < n; first += CHUNK)
	{
		MemoryContext caller = MemoryContextSwitchTo(chunk_cxt);

		entered +=
			enter_members(workflow_id, members + first, Min(CHUNK, n - first));
		MemoryContextSwitchTo(caller);
		MemoryContextReset(chunk_cxt);
		CHECK_FOR_INTERRUPTS();
	}
	MemoryContextDelete(chunk_cxt);
	return entered;
}

/* The number that one of our functions gives for a name. */
static int64
find_number(MaStatement *stmt, text *name)
{
	Datum value = PointerGetDatum(name);
	Datum number;

	(void) ma_sql_one(stmt, &value, &number);
	return DatumGetInt64(number);
}

/* The contact somebody names; unknown is an error. */
static int64
find_contact(text *who)
{
	static MaStatement stmt = {
		"select mautomate_internal.contact_of($1)", 1, {TEXTOID}};

	return find_number(&stmt, who);
}

/* The workflow of a name; unknown is an error. */
static int
find_workflow(text *name)
{
	static MaStatement stmt = {
		"select mautomate_internal.workflow_id($1)::int8", 1, {TEXTOID}};

	return find_number(&stmt, name);
}

/* The number of the contact's newest active enrolment in a workflow. */
static int64
newest_enrollment(int64 contact_id, int workflow_id)
{
	static MaStatement stmt = {
		"select max(enrollment_id) from mautomate_internal.enrollment"
		" where contact_id = $1 and workflow_id = $2 and ended_at is null",
		2,
		{INT8OID, INT4OID}};
	Datum values[2] = {Int64GetDatum(contact_id), Int32GetDatum(workflow_id)};
	Datum newest;

	(void) ma_sql_one(&stmt, values, &newest);
	return DatumGetInt64(newest);
}

/* enroll(workflow, who, context) -> bigint */
Datum
mautomate_enroll(PG_FUNCTION_ARGS)
{
	char		 *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	int			  workflow_id = find_workflow(PG_GETARG_TEXT_PP(0));
	int64		  contact_id = find_contact(PG_GETARG_TEXT_PP(1));
	Jsonb		 *context = PG_GETARG_JSONB_P(2);
	MaContactSet *set;
	MaEntryBatch *batch;

	if (!JB_ROOT_IS_OBJECT(context))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("context must be a JSON object")));
	PreventCommandIfReadOnly("enroll()");
	set = ma_refresh_load(&contact_id, 1, false);
	batch = ma_entry_begin(ma_definitions());
	if (!ma_entry_enroll(batch, workflow_id, ma_contact_find(set, contact_id),
						 contact_id, context))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("workflow \"%s\" is not active", name),
						errhint("Use mautomate.activate_workflow.")));
	ma_entry_apply(batch);
	if (ma_entry_refusal(batch) != NULL)
	{
		ereport(NOTICE,
				(errmsg("the contact does not enter workflow \"%s\": %s", name,
						ma_entry_refusal(batch))));
		PG_RETURN_NULL();
	}
	PG_RETURN_INT64(newest_enrollment(contact_id, workflow_id));
}

/* Ends the active enrolments of a contact; its state is locked. */
uint64
ma_enrollment_end(int64 contact_id, int workflow_id, const char *reason)
{
	static MaStatement stmt = {
		"with ended as ("
		" update mautomate_internal.enrollment set state = 'exited',"
		" reason = $3, ended_at = $4"
		" where contact_id = $1 and workflow_id = $2 and ended_at is null"
		" returning contact_id, enrollment_id),"
		" unwoken as (delete from mautomate_internal.wakeup u using ended e"
		" where u.contact_id = e.contact_id"
		" and u.enrollment_id = e.enrollment_id)"
		" select count(*) from ended",
		4,
		{INT8OID, INT4OID, TEXTOID, TIMESTAMPTZOID}};
	Datum values[4];
	Datum ended;

	values[0] = Int64GetDatum(contact_id);
	values[1] = Int32GetDatum(workflow_id);
	values[2] = CStringGetTextDatum(reason);
	values[3] = TimestampTzGetDatum(ma_now());
	(void) ma_sql_one(&stmt, values, &ended);
	return DatumGetInt64(ended);
}

/* unenroll(workflow, who) -> bigint */
Datum
mautomate_unenroll(PG_FUNCTION_ARGS)
{
	int	  workflow_id = find_workflow(PG_GETARG_TEXT_PP(0));
	int64 contact_id = find_contact(PG_GETARG_TEXT_PP(1));

	PreventCommandIfReadOnly("unenroll()");
	(void) ma_refresh_load(&contact_id, 1, false);
	PG_RETURN_INT64(ma_enrollment_end(contact_id, workflow_id, "unenrolled"));
}
