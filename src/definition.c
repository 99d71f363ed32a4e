/*
 * definition.c
 *	  The cache of everything compiled.
 */
#include "postgres.h"

#include "commands/trigger.h"
#include "fmgr.h"

#include "sql.h"

PG_FUNCTION_INFO_V1(mautomate_definition_changed);

/* Statement trigger on each definition table: raises the generation. */
Datum
mautomate_definition_changed(PG_FUNCTION_ARGS)
{
	static MaStatement stmt = {
		"update mautomate_internal.generation set value = value + 1", 0
	};
	MaSqlScope	scope;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" must be called as a trigger",
						"definition_changed")));
	ma_sql_begin(&scope);
	ma_sql_exec(&stmt, NULL, NULL, 0);
	ma_sql_end(&scope);
	return PointerGetDatum(NULL);
}
