/*
 * sql.c
 *	  Runs fixed SQL texts as the owner of our tables.
 *
 * Everything the engine does in SQL happens between ma_sql_begin() and
 * ma_sql_end(): the current user is mautomate_owner, so a role without any
 * grant of ours can set it off; the security context forbids what could
 * outlive the call; search_path is pinned, so no operator planted in a schema
 * of the caller's can be meant. An error restores all three by itself: user
 * and context at the end of the (sub)transaction, settings likewise.
 *
 * Plans are prepared on first use in a backend and kept. They hold no
 * reference to the role, so a plan made under one caller serves all.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_namespace.h"
#include "jit/jit.h"
#include "miscadmin.h"
#include "optimizer/cost.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/plancache.h"
#include "utils/syscache.h"

#include "sql.h"

static void	  prepare(MaStatement *stmt);
static uint64 execute(MaStatement *stmt, Datum *values, const char *nulls,
					  bool read_only, long count);

/* Refuses a function that writes where nobody can write. */
void
ma_sql_require_primary(const char *function)
{
	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				 errmsg("%s() does not work on a standby", function),
				 errdetail("The primary does the work, and the standby "
						   "follows."),
				 errhint("Call it on the primary, or here after promotion.")));
}

/*
 * The role that the engine is: the owner of our schema, and of all in it.
 * That is mautomate_owner, until REASSIGN OWNED gives it all to another role;
 * by its name alone we would be somebody without any rights then.
 */
Oid
ma_owner(void)
{
	HeapTuple schema =
		SearchSysCache1(NAMESPACENAME, CStringGetDatum("mautomate_internal"));
	Oid owner;

	if (!HeapTupleIsValid(schema))
		return get_role_oid("mautomate_owner", false);
	owner = ((Form_pg_namespace) GETSTRUCT(schema))->nspowner;
	ReleaseSysCache(schema);
	return owner;
}

/* Becomes the owner with a pinned search_path. */
static void
become_owner(MaSqlScope *scope)
{
	GetUserIdAndSecContext(&scope->userid, &scope->secctx);
	SetUserIdAndSecContext(ma_owner(), scope->secctx |
										   SECURITY_LOCAL_USERID_CHANGE |
										   SECURITY_RESTRICTED_OPERATION);
	scope->guc_level = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

/* Becomes the caller again. */
static void
become_caller(MaSqlScope *scope)
{
	AtEOXact_GUC(false, scope->guc_level);
	SetUserIdAndSecContext(scope->userid, scope->secctx);
}

/* Opens a stretch of fixed SQL: owner, search_path, SPI. */
void
ma_sql_begin(MaSqlScope *scope)
{
	become_owner(scope);
	scope->cxt = CurrentMemoryContext;
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
}

/* Closes it. */
void
ma_sql_end(MaSqlScope *scope)
{
	SPI_finish();
	become_caller(scope);
}

/*
 * Runs a statement under a fresh snapshot (in READ COMMITTED) and returns the
 * number of rows it processed; rows it returns are in SPI_tuptable. count
 * limits the rows, 0 means all.
 */
uint64
ma_sql_exec(MaStatement *stmt, Datum *values, const char *nulls, long count)
{
	return execute(stmt, values, nulls, false, count);
}

/* The same for a query that is to see what the calling statement sees. */
uint64
ma_sql_read(MaStatement *stmt, Datum *values, const char *nulls, long count)
{
	return execute(stmt, values, nulls, true, count);
}

/*
 * Runs a statement that is all that is to be done, up to its first row: in a
 * stretch of its own. False if there is no row; else value, unless it is NULL,
 * is the first column, of a type that is passed by value; 0 for null.
 */
bool
ma_sql_one(MaStatement *stmt, Datum *values, Datum *value)
{
	MaSqlScope scope;
	bool	   found;
	bool	   isnull = true;

	ma_sql_begin(&scope);
	found = ma_sql_exec(stmt, values, NULL, 1) > 0;
	if (value != NULL)
		*value = found ? ma_sql_datum(0, 1, &isnull) : (Datum) 0;
	if (value != NULL && isnull)
		*value = (Datum) 0;
	ma_sql_end(&scope);
	return found;
}

/* Opens a cursor on a query that is to see what the active snapshot shows. */
Portal
ma_sql_open(MaStatement *stmt, Datum *values)
{
	prepare(stmt);
	return SPI_cursor_open(NULL, stmt->plan, values, NULL, true);
}

/*
 * Makes the generic plan of a statement while the planner may not believe
 * that scanning or hashing a whole table is cheap. All our statements look up
 * rows by keys; a plan made while a table is small would be kept when it is
 * not, until the next ANALYZE.
 */
static void
plan_by_keys(SPIPlanPtr plan)
{
	bool hashjoin = enable_hashjoin;
	bool mergejoin = enable_mergejoin;
	bool seqscan = enable_seqscan;
	bool jit = jit_enabled;

	PG_TRY();
	{
		CachedPlan *generic;

		enable_hashjoin = enable_mergejoin = enable_seqscan = false;
		jit_enabled = false; /* what is discouraged looks expensive */
		generic = SPI_plan_get_cached_plan(plan);
		if (generic != NULL)
			ReleaseCachedPlan(generic, CurrentResourceOwner);
	}
	PG_FINALLY();
	{
		enable_hashjoin = hashjoin;
		enable_mergejoin = mergejoin;
		enable_seqscan = seqscan;
		jit_enabled = jit;
	}
	PG_END_TRY();
}

/*
 * Plans a statement on its first use in this backend: once, for whatever
 * values come. (Otherwise one with an array would be planned at each call.)
 */
static void
prepare(MaStatement *stmt)
{
	SPIPlanPtr plan;

	if (stmt->plan != NULL)
		return;
	plan = SPI_prepare_cursor(stmt->text, stmt->nargs, stmt->argtypes,
							  CURSOR_OPT_GENERIC_PLAN);
	if (plan == NULL)
		elog(ERROR, "could not prepare \"%s\": %s", stmt->text,
			 SPI_result_code_string(SPI_result));
	SPI_keepplan(plan);
	plan_by_keys(plan);
	stmt->plan = plan;
}

/*
 * A plan that something has made invalid is made anew by what executes it, as
 * the planner likes, but not to be compiled either.
 */
static void
plan_again(SPIPlanPtr plan)
{
	bool jit = jit_enabled;

	PG_TRY();
	{
		CachedPlan *generic;

		jit_enabled = false;
		generic = SPI_plan_get_cached_plan(plan);
		if (generic != NULL)
			ReleaseCachedPlan(generic, CurrentResourceOwner);
	}
	PG_FINALLY();
	{
		jit_enabled = jit;
	}
	PG_END_TRY();
}

static uint64
execute(MaStatement *stmt, Datum *values, const char *nulls, bool read_only,
		long count)
{
	int rc;

	prepare(stmt);
	if (!SPI_plan_is_valid(stmt->plan))
		plan_again(stmt->plan);
	rc = SPI_execute_plan(stmt->plan, values, nulls, read_only, count);
	if (rc < 0)
		elog(ERROR, "could not execute \"%s\": %s", stmt->text,
			 SPI_result_code_string(rc));
	return SPI_processed;
}

/* The value at (row, column) of the last result; columns count from 1. */
Datum
ma_sql_datum(uint64 row, int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc,
						 column, isnull);
}

/*
 * A text value of the last result as a C string in the current context, NULL
 * for null. (In the SPI context: copy what must outlive ma_sql_end().)
 */
char *
ma_sql_text(uint64 row, int column)
{
	bool  isnull;
	Datum value = ma_sql_datum(row, column, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}
