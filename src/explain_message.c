/*
 * explain_message.c
 *	  What explain_message() is asked about, and what the gate says.
 *
 * The chain itself is one query (sql/install/explain.sql).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "gate.h"
#include "sql.h"

PG_FUNCTION_INFO_V1(mautomate_explain_target);
PG_FUNCTION_INFO_V1(mautomate_gate);

/* explain_target(what) -> bigint[] */
Datum
mautomate_explain_target(PG_FUNCTION_ARGS)
{
	static MaStatement stmt = {
		"select (select workflow_id::bigint from mautomate_internal.workflow"
		"  where name = regexp_replace($1, '^workflow:', '')"
		"  and $1 !~ '^template:'),"
		" (select template_id::bigint from mautomate_internal.template"
		"  where name = regexp_replace($1, '^template:', '')"
		"  and not dropped and $1 !~ '^workflow:'),"
		" (select message_id from mautomate_internal.message"
		"  where $1 ~ '^[0-9]{1,18}$'"
		"  and message_id = case when $1 ~ '^[0-9]{1,18}$'"
		"   then $1::bigint end)",
		1,
		{TEXTOID}};
	MemoryContext caller = CurrentMemoryContext;
	Datum		  values[1] = {PG_GETARG_DATUM(0)};
	Datum		  ids[3];
	bool		  nulls[3];
	int			  dims[1] = {3};
	int			  lower[1] = {1};
	MaSqlScope	  scope;
	int			  found = 0;

	ma_sql_begin(&scope);
	ma_sql_exec(&stmt, values, NULL, 0);
	for (int i = 0; i < 3; i++)
	{
		ids[i] = ma_sql_datum(0, i + 1, &nulls[i]);
		found += !nulls[i];
	}
	ma_sql_end(&scope);
	if (found == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("no workflow, template or message is called \"%s\"",
						text_to_cstring(PG_GETARG_TEXT_PP(0))),
				 errhint("The views mautomate.workflows, mautomate.templates "
						 "and mautomate.messages list them.")));
	if (found > 1)
		ereport(ERROR, (errcode(ERRCODE_AMBIGUOUS_FUNCTION),
						errmsg("\"%s\" is the name of more than one thing",
							   text_to_cstring(PG_GETARG_TEXT_PP(0))),
						errhint("Write workflow:name or template:name.")));
	MemoryContextSwitchTo(caller);
	PG_RETURN_ARRAYTYPE_P(construct_md_array(ids, nulls, 1, dims, lower,
											 INT8OID, sizeof(int64), true,
											 TYPALIGN_DOUBLE));
}

/* gate(contact_id, template_id) -> text */
Datum
mautomate_gate(PG_FUNCTION_ARGS)
{
	const char *refusal =
		ma_gate_reachable(PG_GETARG_INT64(0), PG_GETARG_INT32(1));

	if (refusal == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(refusal));
}
