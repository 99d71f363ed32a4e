/*
 * list_hand.c
 *	  Membership in lists by hand: for good, or until an instant.
 *
 * A static list has no other members. Against a predicate the hand wins until
 * it ends or is cleared. The engine does it (refresh_override.c), under the
 * lock of the contact's state like everything else.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "argument.h"
#include "clock.h"
#include "contact.h"
#include "list.h"
#include "refresh.h"
#include "sql.h"

PG_FUNCTION_INFO_V1(mautomate_add_to_list);
PG_FUNCTION_INFO_V1(mautomate_remove_from_list);
PG_FUNCTION_INFO_V1(mautomate_clear_override);

/* Contacts cleared at a time. */
#define CHUNK 1000

/* The instant at which it ends; none means never. */
static TimestampTz
until_argument(FunctionCallInfo fcinfo)
{
	TimestampTz until = PG_ARGISNULL(2) ? DT_NOEND : PG_GETARG_TIMESTAMPTZ(2);

	if (until <= ma_now())
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("until must be later than now"),
						errdetail("It is %s.", timestamptz_to_str(ma_now())),
						errhint("Leave until out to decide for good, or use "
								"clear_override().")));
	return until;
}

/* Puts somebody into a list, or takes them out. */
static Datum
change_by_hand(FunctionCallInfo fcinfo, MaHand hand)
{
	char	   *name = ma_argument_name(fcinfo, 0, "list");
	char	   *who = ma_argument_text(fcinfo, 1, "who");
	TimestampTz until = until_argument(fcinfo);
	int			list_id = ma_list_hold(name);
	int64		contact_id;
	bool		moved;

	/* who is merged or erased by others meanwhile is looked up again */
	do
		contact_id = ma_contact_resolve(who, false);
	while (ma_refresh_hand(list_id, &contact_id, 1, hand, until, &moved) == 0);
	PG_RETURN_BOOL(moved);
}

/* add_to_list(list, who, until) */
Datum
mautomate_add_to_list(PG_FUNCTION_ARGS)
{
	return change_by_hand(fcinfo, MA_HAND_IN);
}

/* remove_from_list(list, who, until) */
Datum
mautomate_remove_from_list(PG_FUNCTION_ARGS)
{
	return change_by_hand(fcinfo, MA_HAND_OUT);
}

/* Clears what was decided about a list for those who are seen; how many. */
static int64
clear_some(int list_id)
{
	static MaStatement page = {
		"select contact_id from mautomate_internal.list_override"
		" where list_id = $1 and contact_id > $2 order by contact_id limit $3",
		3,
		{INT4OID, INT8OID, INT8OID}};
	int64 *ids = palloc(CHUNK * sizeof(int64));
	bool  *moved = palloc(CHUNK * sizeof(bool));
	Datum  values[3] = {Int32GetDatum(list_id), Int64GetDatum(PG_INT64_MIN),
						Int64GetDatum(CHUNK)};
	int64  cleared = 0;
	int	   n;

	do
	{
		MaSqlScope scope;
		bool	   isnull;

		CHECK_FOR_INTERRUPTS();
		ma_sql_begin(&scope);
		n = (int) ma_sql_exec(&page, values, NULL, 0);
		for (int i = 0; i < n; i++)
			ids[i] = DatumGetInt64(ma_sql_datum(i, 1, &isnull));
		ma_sql_end(&scope);
		if (n > 0)
		{
			values[1] = Int64GetDatum(ids[n - 1]);
			(void) ma_refresh_hand(list_id, ids, n, MA_HAND_CLEAR, DT_NOEND,
								   moved);
		}
		for (int i = 0; i < n; i++)
			cleared += moved[i];
	} while (n == CHUNK);
	return cleared;
}

/* Clears it for all: what merges move meanwhile is seen the next time. */
static int64
clear_all(int list_id)
{
	int64 cleared = 0;
	int64 some;

	while ((some = clear_some(list_id)) > 0)
		cleared += some;
	return cleared;
}

/* Clears it for one contact. */
static int64
clear_one(int list_id, const char *who)
{
	int64 contact_id;
	bool  moved;

	do
		contact_id = ma_contact_resolve(who, false);
	while (ma_refresh_hand(list_id, &contact_id, 1, MA_HAND_CLEAR, DT_NOEND,
						   &moved) == 0);
	return moved;
}

/* clear_override(list, who) */
Datum
mautomate_clear_override(PG_FUNCTION_ARGS)
{
	int list_id = ma_list_hold(ma_argument_name(fcinfo, 0, "list"));

	if (PG_ARGISNULL(1))
		PG_RETURN_INT64(clear_all(list_id));
	PG_RETURN_INT64(clear_one(list_id, ma_argument_text(fcinfo, 1, "who")));
}
