/*
 * template_call.c
 *	  Calls a function of the application for a template.
 *
 * It is called when a message is rendered, with the rights of the role that
 * wrote the template and not with those of the sender, reading only, and not
 * for longer than mautomate.data_timeout; template_result.c takes what it
 * returns.
 *
 * The plan of a call is kept with the version of the template it stands in,
 * and made anew when any function or schema has changed, or the table whose
 * rows it returns.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/regproc.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timeout.h"
#include "utils/typcache.h"

#include "compat.h"
#include "guc.h"
#include "json.h"
#include "sql.h"
#include "template_store.h"

struct MaTemplateCall
{
	const char *function; /* schema.name(types) */
	const char *owner;	  /* the role with whose rights it is called */
	bool		bytes;	  /* it makes a file */
	bool		set;	  /* it returns rows */
	int			nargs;
	SPIPlanPtr	plan;	  /* NULL: none yet */
	uint64		made_for; /* the functions as they were then */
	Oid			rows;	  /* of which table, or InvalidOid */
	uint64		columns;  /* its columns as they were then */
	int			running;  /* how often it is being called now */
};

/* Counts the changes of functions and schemas. */
static uint64 changes = 0;

static volatile sig_atomic_t expired;

/* The oid of a function as it is written, schema.name(types). */
static Oid
function_oid(const char *function)
{
	return DatumGetObjectId(
		DirectFunctionCall1(regprocedurein, CStringGetDatum(function)));
}

/* Raises that a function cannot be used. */
static void
refuse(const char *function, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_FUNCTION_DEFINITION),
			 errmsg("function %s cannot give data to a template", function),
			 errdetail_internal("%s", detail)));
}

/* May a function be called for a template? Its row is given. */
static void
check_shape(const char *function, Form_pg_proc proc)
{
	if (proc->prokind != PROKIND_FUNCTION)
		refuse(function, _("It is no plain function."));
	if (proc->provolatile == PROVOLATILE_VOLATILE)
		refuse(function, _("It is volatile; declare it stable if it only "
						   "reads."));
	if (proc->pronargs < 1 || proc->pronargs > 2 ||
		proc->proargtypes.values[0] != TEXTOID ||
		(proc->pronargs == 2 && proc->proargtypes.values[1] != JSONBOID))
		refuse(function, _("It must take the external id as text, and may "
						   "take the data of the template as jsonb."));
}

/*
 * The full name of a function that the current user may call for a template;
 * result is the type it has to return, or InvalidOid. Another function is the
 * user's error.
 */
char *
ma_template_check_function(const char *function, Oid result)
{
	Oid			 oid = function_oid(function);
	HeapTuple	 tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(oid));
	Form_pg_proc proc;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_FUNCTION),
						errmsg("function %s does not exist", function)));
	proc = (Form_pg_proc) GETSTRUCT(tuple);
	check_shape(function, proc);
	if (OidIsValid(result) && (proc->prorettype != result || proc->proretset))
		refuse(function, _("It must return one bytea."));
	ReleaseSysCache(tuple);
	if (ma_function_aclcheck(oid, GetUserId()) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_FUNCTION, function);
	return format_procedure_qualified(oid);
}

/* The time of a function is up: cancel what runs. */
static void
expire(void)
{
	expired = true;
	InterruptPending = true;
	QueryCancelPending = true;
	SetLatch(MyLatch);
}

/* A function or schema has changed. */
static void
note_change(Datum arg, int cacheid, uint32 hashvalue)
{
	changes++;
}

/* Frees the plan of a call with the memory that the call is in. */
static void
free_plan(void *arg)
{
	MaTemplateCall *call = arg;

	if (call->plan != NULL)
		SPI_freeplan(call->plan);
	call->plan = NULL;
}

/* A call of a checked function, in the current context; see its struct. */
MaTemplateCall *
ma_template_call_new(const char *function, const char *owner, bool bytes)
{
	static bool			   watching = false;
	MemoryContextCallback *callback = palloc0(sizeof(MemoryContextCallback));
	MaTemplateCall		  *call = palloc0(sizeof(MaTemplateCall));

	if (!watching)
	{
		CacheRegisterSyscacheCallback(PROCOID, note_change, (Datum) 0);
		CacheRegisterSyscacheCallback(NAMESPACEOID, note_change, (Datum) 0);
		watching = true;
	}
	call->function = pstrdup(function);
	call->owner = owner;
	call->bytes = bytes;
	callback->func = free_plan;
	callback->arg = call;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, callback);
	return call;
}

/* The statement that makes a call; its rows are jsonb or bytea. */
static char *
call_statement(MaTemplateCall *call)
{
	Oid			 oid = function_oid(call->function);
	HeapTuple	 tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(oid));
	Form_pg_proc proc;
	char		*name;
	const char	*arguments;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", oid);
	proc = (Form_pg_proc) GETSTRUCT(tuple);
	check_shape(call->function, proc);
	call->nargs = proc->pronargs;
	name = quote_qualified_identifier(get_namespace_name(proc->pronamespace),
									  NameStr(proc->proname));
	call->set = proc->proretset;
	call->rows = getBaseType(proc->prorettype);
	if (call->rows == RECORDOID || !type_is_rowtype(call->rows))
		call->rows = InvalidOid;
	ReleaseSysCache(tuple);
	arguments = call->nargs == 1 ? "$1" : "$1, $2";
	if (call->set)
		return psprintf("select to_jsonb(r) from %s(%s) r", name, arguments);
	return psprintf(call->bytes ? "select %s(%s)" : "select to_jsonb(%s(%s))",
					name, arguments);
}

/* Changes with the columns of the rows that a call returns. */
static uint64
columns_of(const MaTemplateCall *call)
{
	return OidIsValid(call->rows) ?
			   assign_record_type_identifier(call->rows, -1) :
			   0;
}

/* The plan of a call; one that runs keeps its own. */
static SPIPlanPtr
plan_of(MaTemplateCall *call)
{
	Oid		   types[2] = {TEXTOID, JSONBOID};
	uint64	   now;
	char	  *statement;
	SPIPlanPtr plan;

	if (call->plan != NULL && call->made_for == changes &&
		call->columns == columns_of(call))
		return call->plan;
	if (call->running == 0)
		free_plan(call);
	now = changes;
	statement = call_statement(call);
	plan = SPI_prepare(statement, call->nargs, types);
	if (plan == NULL)
		elog(ERROR, "could not prepare \"%s\": %s", statement,
			 SPI_result_code_string(SPI_result));
	if (call->running > 0)
		return plan;
	SPI_keepplan(plan);
	call->plan = plan;
	call->made_for = now;
	call->columns = columns_of(call);
	return plan;
}

/* Raises that a function takes too long; it may be faster another time. */
static void
refuse_slow(const char *function)
{
	ereport(ERROR, (errcode(ERRCODE_OPERATOR_INTERVENTION),
					errmsg("function %s took longer than %d ms", function,
						   ma_guc_data_timeout),
					errhint("Make it faster, or raise "
							"mautomate.data_timeout.")));
}

/* The arguments of a call: who it is about, and the data. */
static ParamListInfo
arguments_of(const MaTemplateCall *call, Jsonb *data)
{
	char		 *id = ma_json_text_of(data, "contact", "external_id");
	ParamListInfo params = makeParamList(call->nargs);

	params->params[0].value = id == NULL ? (Datum) 0 : CStringGetTextDatum(id);
	params->params[0].isnull = id == NULL;
	params->params[0].pflags = PARAM_FLAG_CONST;
	params->params[0].ptype = TEXTOID;
	if (call->nargs == 1)
		return params;
	params->params[1].value = JsonbPGetDatum(data);
	params->params[1].isnull = false;
	params->params[1].pflags = PARAM_FLAG_CONST;
	params->params[1].ptype = JSONBOID;
	return params;
}

/* Error context: which function. */
static void
name_function(void *arg)
{
	const MaTemplateCall *call = arg;

	errcontext("function %s", call->function);
}

/* Runs the plan of a call, not for longer than allowed. */
static void
run_in_time(MaTemplateCall *call, SPIPlanPtr plan,
			const SPIExecuteOptions *options)
{
	static TimeoutId	 timeout = MAX_TIMEOUTS;
	ErrorContextCallback context = {.callback = name_function, .arg = call};
	volatile bool		 failed = false;

	if (timeout == MAX_TIMEOUTS)
		timeout = RegisterTimeout(USER_TIMEOUT, expire);
	expired = false;
	enable_timeout_after(timeout, ma_guc_data_timeout);
	call->running++;
	PG_TRY();
	{
		context.previous = error_context_stack;
		error_context_stack = &context;
		if (SPI_execute_plan_extended(plan, options) != SPI_OK_SELECT)
			elog(ERROR, "could not call %s", call->function);
		error_context_stack = context.previous;
	}
	PG_CATCH();
	{
		call->running--;
		disable_timeout(timeout, false);
		if (!expired || geterrcode() != ERRCODE_QUERY_CANCELED)
			PG_RE_THROW();
		FlushErrorState();
		failed = true;
	}
	PG_END_TRY();
	if (!failed)
		call->running--;
	disable_timeout(timeout, false);
	if (expired)
		QueryCancelPending = false;
	if (failed || expired)
		refuse_slow(call->function);
}

/*
 * Calls a function for a template with this data; returns its result, one
 * jsonb or bytea, in the current context.
 */
Datum
ma_template_call(MaTemplateCall *call, Jsonb *data, bool *isnull)
{
	MemoryContext	  caller = CurrentMemoryContext;
	MemoryContext	  inner;
	SPIExecuteOptions options = {.read_only = true};
	MaSqlScope		  scope;
	SPIPlanPtr		  plan;
	Oid				  user;
	int				  context;

	ma_sql_begin(&scope);
	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(get_role_oid(call->owner, false),
						   context | SECURITY_LOCAL_USERID_CHANGE |
							   SECURITY_RESTRICTED_OPERATION);
	PushActiveSnapshot(ActiveSnapshotSet() ? GetActiveSnapshot() :
											 GetTransactionSnapshot());
	plan = plan_of(call);
	options.params = arguments_of(call, data);
	inner = MemoryContextSwitchTo(caller);
	options.dest =
		ma_template_result_new(call->function, call->set, call->bytes);
	MemoryContextSwitchTo(inner);
	run_in_time(call, plan, &options);
	PopActiveSnapshot();
	SetUserIdAndSecContext(user, context);
	ma_sql_end(&scope);
	return ma_template_result(options.dest, isnull);
}
