/*
 * log_sql.c
 *	  Expressions as plain SQL over the contacts and the log.
 *
 * Everything is a function of the log: a predicate is written as a SQL
 * expression over mautomate.contact c, in which each name and call is a
 * subquery over mautomate.event. Nothing of the engine takes part but the
 * compiled tree and the conversion of JSON values. verify() compares with it,
 * explain_list() tells by it what decided, preview_list() counts with it.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "compat.h"
#include "log_sql.h"
#include "value.h"

PG_FUNCTION_INFO_V1(mautomate_value);

/* value_<type>(object, path): a JSON value as its type, null if it is none */
Datum
mautomate_value(PG_FUNCTION_ARGS)
{
	Jsonb	  *object = PG_GETARG_JSONB_P(0);
	ArrayType *array = PG_GETARG_ARRAYTYPE_P(1);
	Oid		   type = get_func_rettype(fcinfo->flinfo->fn_oid);
	Datum	  *keys;
	char	 **path;
	int		   n;
	JsonbValue value;
	bool	   isnull = true;
	Datum	   result = (Datum) 0;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &keys, NULL,
					  &n);
	path = palloc((n + 1) * sizeof(char *));
	for (int i = 0; i < n; i++)
		path[i] = TextDatumGetCString(keys[i]);
	if (n > 0 && ma_value_lookup(object, path, n, &value))
		result = ma_value_from_json(&value, type, &isnull);
	if (isnull)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(result);
}

/* A call of value_<type>() for a path in a JSON column. */
static char *
json_sql(const char *column, const MaSlot *slot)
{
	StringInfoData s;

	initStringInfo(&s);
	appendStringInfo(&s, "mautomate_internal.value_%s(%s, array[",
					 slot->type == NUMERICOID	  ? "numeric" :
					 slot->type == BOOLOID		  ? "boolean" :
					 slot->type == DATEOID		  ? "date" :
					 slot->type == TIMESTAMPOID	  ? "timestamp" :
					 slot->type == TIMESTAMPTZOID ? "timestamptz" :
					 slot->type == JSONBOID		  ? "jsonb" :
													"text",
					 column);
	for (int i = 0; i < slot->npath; i++)
		appendStringInfo(&s, "%s%s", i > 0 ? ", " : "",
						 quote_literal_cstr(slot->path[i]));
	appendStringInfoString(&s, "])");
	return s.data;
}

/* An instant as a literal, under the settings of the engine. */
char *
ma_log_sql_time(TimestampTz time)
{
	return psprintf("timestamptz '%s'",
					DatumGetCString(DirectFunctionCall1(
						timestamptz_out, TimestampTzGetDatum(time))));
}

/* Begins to write as of an instant. */
MaWriting
ma_log_sql_writing(TimestampTz now)
{
	return (MaWriting){.at = now, .now = ma_log_sql_time(now)};
}

/* An interval as a literal. */
char *
ma_log_sql_interval(const Interval *interval)
{
	return psprintf("interval '%s'",
					DatumGetCString(DirectFunctionCall1(
						interval_out,
						IntervalPGetDatum(unconstify(Interval *, interval)))));
}

/* Is the event in the window of a signal? */
char *
ma_log_sql_window(const MaSignal *signal, const MaWriting *writing)
{
	/* the sum may be beyond all times */
	return psprintf("(e.occurred_at > %s or e.occurred_at + %s > %s)",
					writing->now, ma_log_sql_interval(&signal->window.within),
					writing->now);
}

/* Does the event pass the filter of a signal, which has one? */
char *
ma_log_sql_filter(const MaSignal *signal, MaWriting *writing)
{
	return ma_expr_deparse_with(signal->filter, 0, ma_log_sql_slot, writing);
}

/* Which events a signal is about, as a condition. */
static char *
log_sql(const MaSignal *signal, MaWriting *writing)
{
	StringInfoData s;

	initStringInfo(&s);
	appendStringInfo(&s, "e.contact_id = c.contact_id and e.kind = %s",
					 quote_literal_cstr(signal->kind));
	if (signal->windowed)
		appendStringInfo(&s, " and %s", ma_log_sql_window(signal, writing));
	if (signal->filter != NULL)
		appendStringInfo(&s, " and %s", ma_log_sql_filter(signal, writing));
	return s.data;
}

/* The value of an event that a signal takes. */
char *
ma_log_sql_value(const MaSignal *signal)
{
	const char *property = quote_literal_cstr(signal->property);
	MaSlot		slot = {.type = NUMERICOID, .npath = 1};
	char	   *path[] = {unconstify(char *, signal->property)};

	if (signal->property[0] == '\0')
		return "null";
	if (signal->function == MA_DISTINCT)
		return psprintf("case when jsonb_typeof(e.properties -> %s) in"
						" ('string', 'number', 'boolean')"
						" then e.properties -> %s end",
						property, property);
	if (signal->function == MA_LAST_VALUE)
		slot.type = signal->type;
	slot.path = path;
	return json_sql("e.properties", &slot);
}

/* What a signal answers, as a subquery over the log. */
static const char *
signal_sql(const MaSignal *signal, MaWriting *writing)
{
	static const char *const aggregates[] = {
		[MA_COUNT] = "count(*)",
		[MA_SUM] = "sum(v)",
		[MA_AVG] = "avg(v)",
		[MA_MIN] = "min(v)",
		[MA_MAX] = "max(v)",
		[MA_FIRST_AT] = "min(occurred_at)",
		[MA_LAST_AT] = "max(occurred_at)",
		[MA_EVER] = "count(*) > 0",
		[MA_DISTINCT] = "count(distinct v)",
		[MA_LAST_VALUE] = "(array_agg(v order by occurred_at desc,"
						  " event_id desc) filter (where there))[1]"};
	const char *there = "";
	const char *known =
		writing->signal ? writing->signal(signal, writing->arg) : NULL;

	if (known != NULL)
		return known;
	if (signal->function == MA_LAST_VALUE)
		there = psprintf(", mautomate_internal.value_text(e.properties,"
						 " array[%s]) is not null as there",
						 quote_literal_cstr(signal->property));
	return psprintf("(select %s from (select e.occurred_at, e.event_id,"
					" %s as v%s from mautomate.event e where %s) as log)",
					aggregates[signal->function], ma_log_sql_value(signal),
					there, log_sql(signal, writing));
}

/* A query for what a signal answers for a contact, as text. */
char *
ma_log_sql_answer(const MaSignal *signal, int64 contact_id, TimestampTz now)
{
	MaWriting writing = ma_log_sql_writing(now);

	return psprintf("select (%s)::text from mautomate.contact c"
					" where c.contact_id = " INT64_FORMAT,
					signal_sql(signal, &writing), contact_id);
}

/*
 * A query for the events that decided what a signal answers: when, the value
 * as text, and how many there are in all.
 */
char *
ma_log_sql_events(const MaSignal *signal, int64 contact_id, TimestampTz now,
				  int limit)
{
	static const char *const orders[] = {
		[MA_COUNT] = "e.occurred_at desc",
		[MA_SUM] = "e.occurred_at desc",
		[MA_AVG] = "e.occurred_at desc",
		[MA_MIN] = "v.v, e.occurred_at desc",
		[MA_MAX] = "v.v desc, e.occurred_at desc",
		[MA_FIRST_AT] = "e.occurred_at",
		[MA_LAST_AT] = "e.occurred_at desc",
		[MA_EVER] = "e.occurred_at desc",
		[MA_DISTINCT] = "e.occurred_at desc",
		[MA_LAST_VALUE] = "e.occurred_at desc"};
	MaWriting writing = ma_log_sql_writing(now);
	char	 *value = ma_log_sql_value(signal);
	char	 *there = "";

	if (signal->function == MA_LAST_VALUE)
		value = psprintf("mautomate_internal.value_text(e.properties,"
						 " array[%s])",
						 quote_literal_cstr(signal->property));
	if (signal->property[0] != '\0')
		there = " and v.v is not null";
	return psprintf("select e.occurred_at, v.v::text, count(*) over ()"
					" from mautomate.contact c join mautomate.event e on %s"
					" cross join lateral (select %s as v) v"
					" where c.contact_id = " INT64_FORMAT "%s"
					" order by %s, e.event_id desc limit %d",
					log_sql(signal, &writing), value, contact_id, there,
					orders[signal->function], limit);
}

static const char *
operator_sql(MaOperator op)
{
	static const char *const names[] = {"<", "<=", "=", "<>", ">=", ">"};

	return names[op];
}

/* time + span or time - span: where elapsed() or remaining() flips. */
char *
ma_log_sql_edge(const MaExpr *expr, const MaSlot *slot, MaWriting *writing)
{
	MaSlot *slots;

	ma_expr_slots(expr, &slots);
	return psprintf("%s %s %s",
					ma_log_sql_slot(expr, &slots[slot->time], writing),
					slot->kind == MA_SLOT_ELAPSED ? "+" : "-",
					ma_log_sql_interval(&slot->span));
}

/* now <op> time + span, or time - span <op> now */
static char *
elapsed_sql(const MaExpr *expr, const MaSlot *slot, MaWriting *writing)
{
	char *edge = ma_log_sql_edge(expr, slot, writing);

	if (slot->kind == MA_SLOT_ELAPSED)
		return psprintf("(%s %s %s)", writing->now, operator_sql(slot->op),
						edge);
	return psprintf("(%s %s %s)", edge, operator_sql(slot->op), writing->now);
}

/* anniversary(date) in the contact's zone, by month and day in words. */
static char *
anniversary_sql(const MaExpr *expr, const MaSlot *slot, MaWriting *writing)
{
	MaSlot	   *slots;
	const char *date;

	ma_expr_slots(expr, &slots);
	date = ma_log_sql_slot(expr, &slots[slot->time], writing);
	if (slots[slot->time].type == TIMESTAMPTZOID)
		date = psprintf("mautomate_internal.local_day(%s, c.timezone)", date);
	return psprintf("(select to_char(a.at, 'MMDD') = to_char(b.today, 'MMDD')"
					" or to_char(a.at, 'MMDD') = '0229'"
					" and to_char(b.today, 'MMDD') = '0228'"
					" and to_char(b.today + 1, 'MMDD') = '0301'"
					" from (values (%s)) a (at),"
					" (values (mautomate_internal.local_day(%s, c.timezone)))"
					" b (today))",
					date, writing->now);
}

/* score('x') or tier('x'): as stored, since each is verified by itself. */
static char *
score_sql(const MaSlot *slot)
{
	return psprintf("(select x.%s from mautomate.scores x"
					" where x.contact_id = c.contact_id and x.score = %s)",
					slot->kind == MA_SLOT_SCORE ? "value" : "tier",
					quote_literal_cstr(slot->object));
}

/* A constant that a signal is compared with. */
static char *
constant_sql(const MaSlot *slot)
{
	if (slot->signal->type == INT8OID)
		return psprintf(INT64_FORMAT, DatumGetInt64(slot->constant));
	return DatumGetCString(DirectFunctionCall1(numeric_out, slot->constant));
}

/* MaSlotText: a slot as SQL over contact c and, in filters, event e. */
const char *
ma_log_sql_slot(const MaExpr *expr, const MaSlot *slot, void *arg)
{
	MaWriting *writing = arg;

	switch (slot->kind)
	{
		case MA_SLOT_ATTRIBUTE:
			return slot->column >= 0 ?
					   psprintf("c.%s", quote_identifier(slot->path[0])) :
					   json_sql("c.attributes", slot);
		case MA_SLOT_EVENT:
			return json_sql("e.properties", slot);
		case MA_SLOT_EVENT_KIND:
			return "e.kind";
		case MA_SLOT_EVENT_TIME:
			return "e.occurred_at";
		case MA_SLOT_SIGNAL:
			return signal_sql(slot->signal, writing);
		case MA_SLOT_COMPARE:
			return psprintf("(%s %s %s)", signal_sql(slot->signal, writing),
							operator_sql(slot->op), constant_sql(slot));
		case MA_SLOT_ELAPSED:
		case MA_SLOT_REMAINING:
			return elapsed_sql(expr, slot, writing);
		case MA_SLOT_TIME:
			return psprintf("timestamptz %s",
							quote_literal_cstr(timestamptz_to_str(
								DatumGetTimestampTz(slot->constant))));
		case MA_SLOT_ANNIVERSARY:
			return anniversary_sql(expr, slot, writing);
		case MA_SLOT_TAG:
			return psprintf("coalesce(jsonb_typeof(c.attributes -> 'tags') ="
							" 'array' and c.attributes -> 'tags' ? %s, false)",
							quote_literal_cstr(slot->object));
		case MA_SLOT_IN_LIST:
			return psprintf("exists (select from mautomate.list_members m"
							" where m.contact_id = c.contact_id"
							" and m.list = %s)",
							quote_literal_cstr(slot->object));
		case MA_SLOT_SCORE:
		case MA_SLOT_TIER:
			return score_sql(slot);
		default:
			elog(ERROR, "name %s cannot be written as SQL", slot->text);
	}
}

/* Target i of an expression over contact c, as of now. */
char *
ma_log_sql_expr(const MaExpr *expr, int i, TimestampTz now)
{
	MaWriting writing = ma_log_sql_writing(now);

	return ma_expr_deparse_with(expr, i, ma_log_sql_slot, &writing);
}
