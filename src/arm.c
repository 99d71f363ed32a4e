/*
 * arm.c
 *	  Whether this database may send, and to whom.
 *
 * One row says it, and it is not dumped: a copy of a database, restored
 * somewhere to look at, must not write to anybody. Until the first arm() of a
 * database the engine holds the rule of silence for every row (refresh.c) and
 * the senders claim nothing; disarm() stops the senders only.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "address.h"
#include "argument.h"
#include "arm.h"
#include "inval.h"
#include "sql.h"
#include "wake.h"

PG_FUNCTION_INFO_V1(mautomate_arm);
PG_FUNCTION_INFO_V1(mautomate_disarm);
PG_FUNCTION_INFO_V1(mautomate_address_checked);

static char		 *normal_address(const char *argument, const char *address);
static ArrayType *check_only(ArrayType *only);
static void		  reload(void);
static void		  copy_only(MaArm *into, ArrayType *only);

static MaWatch		 watch = {"arm"};
static MemoryContext cache_cxt = NULL; /* owns what current points to */
static MaArm		 current = {false, false, -1, NULL, NULL};

/* arm(only, redirect) */
Datum
mautomate_arm(PG_FUNCTION_ARGS)
{
	/* What a dump caught in flight may have been sent, and nobody sends it. */
	static MaStatement first = {
		"update mautomate_internal.outbox set state = 'in_doubt',"
		" lease = null, due_at = '-infinity'"
		" where state = 'sending' and exists ("
		"  select from mautomate_internal.arm where not ever)",
		0};
	static MaStatement arm = {
		"update mautomate_internal.arm set ever = true, armed = true,"
		" only_addresses = $1, redirect = $2",
		2,
		{TEXTARRAYOID, TEXTOID}};
	MaSqlScope scope;
	Datum	   values[2] = {0};
	char	   nulls[3] = "  ";
	char	  *redirect = ma_argument_text_or_null(fcinfo, 1);

	if (PG_ARGISNULL(0))
		nulls[0] = 'n';
	else
		values[0] = PointerGetDatum(check_only(PG_GETARG_ARRAYTYPE_P(0)));
	if (redirect == NULL)
		nulls[1] = 'n';
	else
	{
		values[1] = CStringGetTextDatum(normal_address("redirect", redirect));
	}
	ma_sql_begin(&scope);
	ma_sql_exec(&first, NULL, NULL, 0);
	ma_sql_exec(&arm, values, nulls, 0);
	ma_sql_end(&scope);
	ma_wake_all_at_commit();
	PG_RETURN_VOID();
}

/* disarm() */
Datum
mautomate_disarm(PG_FUNCTION_ARGS)
{
	static MaStatement disarm = {
		"update mautomate_internal.arm set armed = false", 0};
	MaSqlScope scope;

	ma_sql_begin(&scope);
	ma_sql_exec(&disarm, NULL, NULL, 0);
	ma_sql_end(&scope);
	ma_wake_all_at_commit();
	PG_RETURN_VOID();
}

/* address_checked(text) -> text */
Datum
mautomate_address_checked(PG_FUNCTION_ARGS)
{
	char *address = ma_argument_text(fcinfo, 0, "address");

	(void) normal_address("address", address);
	PG_RETURN_TEXT_P(cstring_to_text(address));
}

/* What arm() and disarm() last said; valid until the next call. */
const MaArm *
ma_arm(void)
{
	if (ma_inval_watch(&watch) && watch.stale)
		reload();
	return &current;
}

/* Has this database ever been armed? Cheap enough to be asked per row. */
bool
ma_armed_ever(void)
{
	return ma_arm()->ever;
}

/* An address in its one spelling; an error if it is none. */
static char *
normal_address(const char *argument, const char *address)
{
	bool		is_email = strchr(address, '@') != NULL;
	const char *reason = NULL;
	char	   *normal = is_email ? ma_address_normalise(address, &reason) :
									ma_phone_normalise(address, &reason);

	if (normal == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s: \"%s\" is neither an e-mail address nor a phone "
						"number",
						argument, address),
				 reason != NULL ? errdetail("%s", reason) : 0));
	return normal;
}

/* The addresses in one spelling. */
static ArrayType *
check_only(ArrayType *only)
{
	Datum *elements;
	bool  *nulls;
	int	   n;

	deconstruct_array(only, TEXTOID, -1, false, TYPALIGN_INT, &elements,
					  &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		char *address;

		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("argument \"%s\" must not hold a null", "only")));
		address = normal_address("only", TextDatumGetCString(elements[i]));
		elements[i] = CStringGetTextDatum(address);
	}
	return construct_array(elements, n, TEXTOID, -1, false, TYPALIGN_INT);
}

/* Reads the row under the latest snapshot. */
static void
reload(void)
{
	static MaStatement stmt = {"select ever, armed, only_addresses, redirect"
							   " from mautomate_internal.arm",
							   0};
	MaArm			   fresh = {false, false, -1, NULL, NULL};
	MemoryContext	   old;
	MaSqlScope		   scope;
	bool			   isnull;
	uint64			   n;

	if (cache_cxt == NULL)
		cache_cxt = AllocSetContextCreate(TopMemoryContext, "mautomate arm",
										  ALLOCSET_SMALL_SIZES);
	current = fresh;
	MemoryContextReset(cache_cxt);
	ma_inval_load(&watch);
	ma_sql_begin(&scope);
	PushActiveSnapshot(GetLatestSnapshot());
	n = ma_sql_read(&stmt, NULL, NULL, 1);
	/* executing has switched contexts */
	old = MemoryContextSwitchTo(cache_cxt);
	if (n == 1)
	{
		Datum only;

		fresh.ever = DatumGetBool(ma_sql_datum(0, 1, &isnull));
		fresh.armed = DatumGetBool(ma_sql_datum(0, 2, &isnull));
		only = ma_sql_datum(0, 3, &isnull);
		if (!isnull)
			copy_only(&fresh, DatumGetArrayTypeP(only));
		fresh.redirect = ma_sql_text(0, 4);
	}
	MemoryContextSwitchTo(old);
	PopActiveSnapshot();
	ma_sql_end(&scope);
	current = fresh;
	ma_inval_loaded(&watch);
}

/* Copies the allowed addresses into the current context. */
static void
copy_only(MaArm *into, ArrayType *only)
{
	Datum *elements;
	bool  *nulls;

	deconstruct_array(only, TEXTOID, -1, false, TYPALIGN_INT, &elements,
					  &nulls, &into->only_count);
	into->only = palloc((into->only_count + 1) * sizeof(char *));
	for (int i = 0; i < into->only_count; i++)
		into->only[i] = TextDatumGetCString(elements[i]);
}
