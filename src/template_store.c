/*
 * template_store.c
 *	  The names of templates: find, drop, rename.
 *
 * A dropped template stays, without a claim to its name, for the messages
 * that were made of it.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "argument.h"
#include "sql.h"
#include "template_store.h"

PG_FUNCTION_INFO_V1(mautomate_drop_template);
PG_FUNCTION_INFO_V1(mautomate_rename_template);

/* drop_template(name) */
Datum
mautomate_drop_template(PG_FUNCTION_ARGS)
{
	static MaStatement users = {
		"select count(*)::int from mautomate_internal.outbox"
		" join mautomate_internal.message using (message_id)"
		" where template_id = $1",
		1,
		{INT4OID}};
	static MaStatement drop = {
		"update mautomate_internal.template set dropped = true"
		" where template_id = $1",
		1,
		{INT4OID}};
	char	  *name = ma_argument_text(fcinfo, 0, "name");
	Datum	   values[1] = {Int32GetDatum(ma_template_named(name))};
	MaSqlScope scope;
	bool	   isnull;
	int		   waiting;

	ma_sql_begin(&scope);
	ma_sql_exec(&users, values, NULL, 0);
	waiting = DatumGetInt32(ma_sql_datum(0, 1, &isnull));
	if (waiting > 0)
		ereport(
			ERROR,
			(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
			 errmsg("cannot drop template \"%s\" because it is used", name),
			 errdetail_plural("%d message made of it waits to be sent.",
							  "%d messages made of it wait to be sent.",
							  waiting, waiting),
			 errhint("Send them, or take them back with "
					 "cancel_message().")));
	ma_sql_exec(&drop, values, NULL, 0);
	ma_sql_end(&scope);
	PG_RETURN_VOID();
}

/* rename_template(name, new_name) */
Datum
mautomate_rename_template(PG_FUNCTION_ARGS)
{
	static MaStatement rename = {
		"update mautomate_internal.template set name = $2"
		" where template_id = $1 and not exists ("
		"  select from mautomate_internal.template"
		"  where name = $2 and not dropped)",
		2,
		{INT4OID, TEXTOID}};
	char	  *name = ma_argument_text(fcinfo, 0, "name");
	char	  *new_name = ma_argument_name(fcinfo, 1, "new_name");
	Datum	   values[2];
	MaSqlScope scope;

	values[0] = Int32GetDatum(ma_template_named(name));
	values[1] = CStringGetTextDatum(new_name);
	ma_sql_begin(&scope);
	if (ma_sql_exec(&rename, values, NULL, 0) == 0)
		ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT),
						errmsg("template \"%s\" already exists", new_name)));
	ma_sql_end(&scope);
	PG_RETURN_VOID();
}

/* The id of the living template of this name; unknown is the user's error. */
int
ma_template_named(const char *name)
{
	static MaStatement find = {
		"select template_id from mautomate_internal.template"
		" where name = $1 and not dropped",
		1,
		{TEXTOID}};
	Datum	   values[1] = {CStringGetTextDatum(name)};
	MaSqlScope scope;
	bool	   isnull;
	int		   id = 0;

	ma_sql_begin(&scope);
	if (ma_sql_exec(&find, values, NULL, 0) > 0)
		id = DatumGetInt32(ma_sql_datum(0, 1, &isnull));
	ma_sql_end(&scope);
	if (id == 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("template \"%s\" does not exist", name),
						errhint("The view mautomate.templates lists the "
								"templates; create_template() makes one.")));
	return id;
}
