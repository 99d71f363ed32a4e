/*
 * template_data.c
 *	  What functions of the application add to the data of a template.
 *
 * They are called when a message is rendered, with the rights of the role
 * that wrote the template and not with those of the sender, reading only, and
 * not for longer than mautomate.data_timeout. What a variant takes over from
 * another version or from the default keeps its role: nobody's functions get
 * more rights because somebody else changes the template.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "compat.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timeout.h"

#include "document.h"
#include "guc.h"
#include "json.h"
#include "sql.h"
#include "template_store.h"

/* What templates have anyway. */
static const char *const reserved[] = {"account", "contact", "context",
									   "entry",	  "event",	 "links",
									   "message", "forloop"};

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

/* Is it a name that templates can write, and none of ours? */
static void
check_variable(MaDocument *doc, const char *name, const char *path)
{
	bool good = strlen(name) < NAMEDATALEN &&
				strspn(name, "abcdefghijklmnopqrstuvwxyz_0123456789") ==
					strlen(name) &&
				strcspn(name, "0123456789") > 0 && name[0] != '\0';

	if (!good)
		ma_doc_refuse(doc, path,
					  "a variable is named with small letters, digits and _");
	for (int i = 0; i < lengthof(reserved); i++)
		if (strcmp(name, reserved[i]) == 0)
			ma_doc_refuse(doc, path, "\"%s\" has another meaning", name);
}

/*
 * Checks {"variable": "function"}; returns it with the functions' full names.
 */
Jsonb *
ma_template_check_data(Jsonb *data)
{
	MaNode			 root = ma_doc_root(data);
	MaDocument		 doc;
	JsonbParseState *state = NULL;
	char		   **keys;
	int				 n = 0;

	ma_doc_init(&doc);
	if (!ma_doc_is(&doc, &root, MA_DOC_OBJECT))
		ma_doc_raise(&doc, "data");
	keys = ma_doc_keys(&root, &n);
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < n; i++)
	{
		MaNode node;

		ma_doc_get(&root, keys[i], &node);
		check_variable(&doc, keys[i], node.path);
		if (!ma_doc_is(&doc, &node, MA_DOC_TEXT))
			continue;
		ma_json_text(
			&state, keys[i],
			ma_template_check_function(ma_doc_text(&node), InvalidOid));
	}
	if (doc.nerrors > 0)
		ma_doc_raise(&doc, "data");
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
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

/* The statement that calls a function; result is one jsonb or bytea. */
static char *
call_statement(const char *function, bool bytes, int *nargs)
{
	Oid			 oid = function_oid(function);
	HeapTuple	 tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(oid));
	Form_pg_proc proc;
	bool		 set;
	char		*name;
	const char	*arguments;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", oid);
	proc = (Form_pg_proc) GETSTRUCT(tuple);
	check_shape(function, proc);
	*nargs = proc->pronargs;
	name = quote_qualified_identifier(get_namespace_name(proc->pronamespace),
									  NameStr(proc->proname));
	set = proc->proretset;
	ReleaseSysCache(tuple);
	arguments = *nargs == 1 ? "$1" : "$1, $2";
	if (set)
		return psprintf("select coalesce(jsonb_agg(to_jsonb(r)), '[]')"
						" from %s(%s) r",
						name, arguments);
	return psprintf(bytes ? "select %s(%s)" : "select to_jsonb(%s(%s))", name,
					arguments);
}

/* Runs the statement of a function, not for longer than allowed. */
static void
run_in_time(const char *function, const char *statement, int nargs,
			Datum *values, const char *nulls)
{
	static TimeoutId timeout = MAX_TIMEOUTS;
	static Oid		 types[2] = {TEXTOID, JSONBOID};
	volatile bool	 failed = false;

	if (timeout == MAX_TIMEOUTS)
		timeout = RegisterTimeout(USER_TIMEOUT, expire);
	expired = false;
	enable_timeout_after(timeout, ma_guc_data_timeout);
	PG_TRY();
	{
		if (SPI_execute_with_args(statement, nargs, types, values, nulls, true,
								  1) != SPI_OK_SELECT)
			elog(ERROR, "could not execute \"%s\"", statement);
	}
	PG_CATCH();
	{
		disable_timeout(timeout, false);
		if (!expired || geterrcode() != ERRCODE_QUERY_CANCELED)
			PG_RE_THROW();
		FlushErrorState();
		failed = true;
	}
	PG_END_TRY();
	disable_timeout(timeout, false);
	if (expired)
		QueryCancelPending = false;
	if (failed || expired)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("function %s took longer than %d ms", function,
							   ma_guc_data_timeout),
						errhint("Make it faster, or raise "
								"mautomate.data_timeout.")));
}

/*
 * Calls a function as its user in the template; returns its result in the
 * current context.
 */
static Datum
call(const char *owner, const char *function, bool bytes, Jsonb *data,
	 bool *isnull)
{
	MemoryContext caller = CurrentMemoryContext;
	char		 *id = ma_json_text_of(data, "contact", "external_id");
	Datum		  values[2];
	char		  nulls[] = {id == NULL ? 'n' : ' ', ' '};
	Datum		  result;
	MaSqlScope	  scope;
	Oid			  user;
	int			  context;
	char		 *statement;
	int			  nargs;

	values[0] = id == NULL ? (Datum) 0 : CStringGetTextDatum(id);
	values[1] = JsonbPGetDatum(data);
	ma_sql_begin(&scope);
	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(get_role_oid(owner, false),
						   context | SECURITY_LOCAL_USERID_CHANGE |
							   SECURITY_RESTRICTED_OPERATION);
	PushActiveSnapshot(ActiveSnapshotSet() ? GetActiveSnapshot() :
											 GetTransactionSnapshot());
	statement = call_statement(function, bytes, &nargs);
	run_in_time(function, statement, nargs, values, nulls);
	result = ma_sql_datum(0, 1, isnull);
	if (!*isnull)
	{
		MemoryContext spi = MemoryContextSwitchTo(caller);

		result = PointerGetDatum(PG_DETOAST_DATUM_COPY(result));
		MemoryContextSwitchTo(spi);
	}
	PopActiveSnapshot();
	SetUserIdAndSecContext(user, context);
	ma_sql_end(&scope);
	return result;
}

/* The data of a template with what its functions say. */
Jsonb *
ma_template_add_data(const MaTemplateVariant *variant, Jsonb *data)
{
	JsonbParseState *state = NULL;
	JsonbValue		*added;

	if (variant->ndata == 0)
		return data;
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < variant->ndata; i++)
	{
		bool  isnull;
		Datum value = call(variant->data[i].owner, variant->data[i].function,
						   false, data, &isnull);

		ma_json_value(&state, variant->data[i].name,
					  isnull ? NULL : DatumGetJsonbP(value));
	}
	added = pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	return DatumGetJsonbP(
		DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(data),
							JsonbPGetDatum(JsonbValueToJsonb(added))));
}

/* The bytes that the function of a file makes; NULL for none. */
bytea *
ma_template_file_content(const MaTemplateFile *file, Jsonb *data)
{
	bool  isnull;
	Datum value = call(file->owner, file->function, true, data, &isnull);

	return isnull ? NULL : DatumGetByteaP(value);
}
