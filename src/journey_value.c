/*
 * journey_value.c
 *	  Computes the values that steps of a workflow give to messages, events and
 *	  attributes.
 *
 * In the document of a workflow {"=": n} stands for expression n, evaluated
 * for the traveller when the step is run; everything else is taken as it is.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"

#include "definition.h"
#include "journey_private.h"

static void push_computed(MaJourney *journey, MaTraveller *t,
						  JsonbParseState **state, JsonbIteratorToken token,
						  JsonbValue *value);

/* What an expression of a traveller is evaluated against. */
MaInput
ma_journey_input(MaJourney *journey, MaTraveller *t, MaExpr *expr)
{
	MaInput input = {0};
	MaSlot *slots;
	int		nslots = ma_expr_slots(expr, &slots);

	input.contact = t->visited->contact;
	input.entry = t->entry;
	input.context = t->context;
	input.now = Max(journey->now, input.contact->as_of);
	for (int i = 0; i < nslots && input.steps == NULL; i++)
		if (slots[i].kind == MA_SLOT_STEPS)
			input.steps = ma_journey_steps(journey, t);
	return input;
}

/* Pushes a string as key, value or element. */
static void
push_string(JsonbParseState **state, JsonbIteratorToken token, char *text,
			int length)
{
	JsonbValue v;

	v.type = jbvString;
	v.val.string.val = text;
	v.val.string.len = length;
	pushJsonbValue(state, token, &v);
}

/* Pushes a value of any SQL type as the JSON that fits it best. */
static void
push_datum(JsonbParseState **state, JsonbIteratorToken token, Datum value,
		   Oid type)
{
	char	   time[MAXDATELEN + 1];
	JsonbValue v;
	Oid		   output;
	bool	   is_varlena;
	char	  *text;
	int		   utc = 0;

	getTypeOutputInfo(type, &output, &is_varlena);
	switch (type)
	{
		case BOOLOID:
			v.type = jbvBool;
			v.val.boolean = DatumGetBool(value);
			pushJsonbValue(state, token, &v);
			break;
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case FLOAT4OID:
		case FLOAT8OID:
		case NUMERICOID:
			text = OidOutputFunctionCall(output, value);
			v.type = jbvNumeric;
			v.val.numeric = DatumGetNumeric(DirectFunctionCall3(
				numeric_in, CStringGetDatum(text),
				ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
			if (numeric_is_nan(v.val.numeric) || numeric_is_inf(v.val.numeric))
				push_string(state, token, text, strlen(text));
			else
				pushJsonbValue(state, token, &v);
			break;
		case JSONBOID:
			if (!JsonbExtractScalar(&DatumGetJsonbP(value)->root, &v))
				JsonbToJsonbValue(DatumGetJsonbP(value), &v);
			pushJsonbValue(state, token, &v);
			break;
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			JsonEncodeDateTime(time, value, type, &utc);
			push_string(state, token, time, strlen(time));
			break;
		default:
			text = OidOutputFunctionCall(output, value);
			push_string(state, token, text, strlen(text));
			break;
	}
}

/* Pushes the value of an expression. */
static void
push_expression(MaJourney *journey, MaTraveller *t, JsonbParseState **state,
				JsonbIteratorToken token, int predicate_id)
{
	MaExpr	  *expr = ma_definition_expr(predicate_id);
	MaInput	   input = ma_journey_input(journey, t, expr);
	Oid		   type = ma_expr_type(expr, 0);
	bool	   isnull;
	Datum	   value = ma_expr_eval(expr, 0, &input, &isnull);
	JsonbValue v;

	if (!isnull)
	{
		push_datum(state, token, value, type);
		return;
	}
	v.type = jbvNull;
	pushJsonbValue(state, token, &v);
}

/* Pushes the pairs of an object, computed. */
static void
push_pairs(MaJourney *journey, MaTraveller *t, JsonbParseState **state,
		   JsonbContainer *object)
{
	JsonbIterator	  *it = JsonbIteratorInit(object);
	JsonbIteratorToken token;
	JsonbValue		   v;

	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			pushJsonbValue(state, WJB_KEY, &v);
		else if (token == WJB_VALUE)
			push_computed(journey, t, state, WJB_VALUE, &v);
	}
}

/* Pushes a value of a document; {"=": n} becomes what expression n says. */
static void
push_computed(MaJourney *journey, MaTraveller *t, JsonbParseState **state,
			  JsonbIteratorToken token, JsonbValue *value)
{
	JsonbContainer *container = value->val.binary.data;
	JsonbValue		v;

	if (value->type != jbvBinary)
		pushJsonbValue(state, token, value);
	else if (JsonContainerIsArray(container))
	{
		pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
		for (int i = 0; i < JsonContainerSize(container); i++)
			push_computed(journey, t, state, WJB_ELEM,
						  getIthJsonbValueFromContainer(container, i));
		pushJsonbValue(state, WJB_END_ARRAY, NULL);
	}
	else if (getKeyJsonValueFromContainer(container, "=", 1, &v) != NULL)
		push_expression(journey, t, state, token,
						DatumGetInt32(DirectFunctionCall1(
							numeric_int4, NumericGetDatum(v.val.numeric))));
	else
	{
		pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
		push_pairs(journey, t, state, container);
		pushJsonbValue(state, WJB_END_OBJECT, NULL);
	}
}

/* The values of an operation, computed, on top of those of base (or NULL). */
Jsonb *
ma_journey_values(MaJourney *journey, MaTraveller *t, Jsonb *base,
				  const MaOp *op)
{
	JsonbParseState	  *state = NULL;
	JsonbIterator	  *it;
	JsonbIteratorToken token;
	JsonbValue		   v;

	if (op->values == NULL)
		return base;
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	if (base != NULL)
	{
		it = JsonbIteratorInit(&base->root);
		while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
			if (token == WJB_KEY || token == WJB_VALUE)
				pushJsonbValue(&state, token, &v);
	}
	push_pairs(journey, t, &state, &op->values->root);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}
