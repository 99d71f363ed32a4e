/*
 * liquid_number.c
 *	  Liquid: filters on numbers.
 *
 * Integers stay integers. Anything else is computed in decimals, so that 10.1
 * + 2.2 is 12.3, and shown as the shortest float that is the same.
 */
#include "postgres.h"

#include <math.h>

#include "common/int.h"
#include "common/shortest_dec.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

#include "liquid.h"

typedef bool (*IntegerOp)(int64 a, int64 b, int64 *result);

static LqValue calculate(const LqValue *a, const LqValue *b, IntegerOp op,
						 PGFunction numeric_op);
static LqValue as_float(Numeric number);
static LqValue as_integer(Datum number);
static LqValue extreme(LqRender *r, const LqValue *in, const LqValue *limit,
					   int sign);
static void	   check_divisor(LqRender *r, const LqValue *divisor);

/*
 * a op b, in integers if both are; then a result that does not fit 64 bits is
 * a decimal without a point.
 */
static LqValue
calculate(const LqValue *a, const LqValue *b, IntegerOp op,
		  PGFunction numeric_op)
{
	LqValue x = ma_liquid_number(a);
	LqValue y = ma_liquid_number(b);
	bool	integers = x.kind == LQ_INTEGER && y.kind == LQ_INTEGER;
	int64	integer;
	Datum	result;

	if (integers && !op(x.integer, y.integer, &integer))
		return ma_liquid_integer(integer);
	result =
		DirectFunctionCall2(numeric_op, NumericGetDatum(ma_liquid_numeric(&x)),
							NumericGetDatum(ma_liquid_numeric(&y)));
	if (!integers)
		return as_float(DatumGetNumeric(result));
	result = DirectFunctionCall2(numeric_trunc, result, Int32GetDatum(0));
	return ma_liquid_decimal(DatumGetNumeric(result));
}

/*
 * A decimal as a float would be written: no more than 17 digits, at least one
 * behind the point. What is beyond floats stays as it is.
 */
static LqValue
as_float(Numeric number)
{
	char   buffer[DOUBLE_SHORTEST_DECIMAL_LEN + 2];
	float8 f;

	f = DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow,
										   NumericGetDatum(number)));
	if (isinf(f))
		return ma_liquid_decimal(number);
	double_to_shortest_decimal_buf(f, buffer);
	if (strspn(buffer, "-0123456789") == strlen(buffer))
		strcat(buffer, ".0");
	return ma_liquid_decimal(DatumGetNumeric(
		DirectFunctionCall3(numeric_in, CStringGetDatum(buffer),
							ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1))));
}

/*
 * A numeric without a fraction as an integer, if it fits 64 bits.
 */
static LqValue
as_integer(Datum number)
{
	LqValue value = ma_liquid_decimal(DatumGetNumeric(
		DirectFunctionCall2(numeric_trunc, number, Int32GetDatum(0))));
	int64	integer;

	if (ma_liquid_is_integer(value.decimal, &integer))
		return ma_liquid_integer(integer);
	return value;
}

LqValue
ma_liquid_filter_plus(LqRender *r, const LqValue *in, const LqValue *args,
					  int nargs)
{
	return calculate(in, &args[0], pg_add_s64_overflow, numeric_add);
}

LqValue
ma_liquid_filter_minus(LqRender *r, const LqValue *in, const LqValue *args,
					   int nargs)
{
	return calculate(in, &args[0], pg_sub_s64_overflow, numeric_sub);
}

LqValue
ma_liquid_filter_times(LqRender *r, const LqValue *in, const LqValue *args,
					   int nargs)
{
	return calculate(in, &args[0], pg_mul_s64_overflow, numeric_mul);
}

/*
 * Complain about a division by 0.
 */
static void
check_divisor(LqRender *r, const LqValue *divisor)
{
	LqValue y = ma_liquid_number(divisor);
	LqValue zero = ma_liquid_integer(0);

	if (ma_liquid_equal(r, &y, &zero))
		ma_liquid_error(r, "division by 0");
}

/*
 * Integer division, towards minus infinity. True if it cannot be done.
 */
static bool
divide(int64 a, int64 b, int64 *result)
{
	if (a == PG_INT64_MIN && b == -1)
		return true;
	*result = a / b;
	if (a % b != 0 && (a < 0) != (b < 0))
		(*result)--;
	return false;
}

/*
 * The rest of that division: it has the sign of b.
 */
static bool
modulo(int64 a, int64 b, int64 *result)
{
	*result = b == -1 ? 0 : a % b;
	if (*result != 0 && (*result < 0) != (b < 0))
		*result += b;
	return false;
}

/*
 * The same of decimals.
 */
static Datum
numeric_modulo(PG_FUNCTION_ARGS)
{
	Datum a = PG_GETARG_DATUM(0);
	Datum b = PG_GETARG_DATUM(1);
	Datum quotient = DirectFunctionCall1(
		numeric_floor, DirectFunctionCall2(numeric_div, a, b));

	return DirectFunctionCall2(numeric_sub, a,
							   DirectFunctionCall2(numeric_mul, quotient, b));
}

LqValue
ma_liquid_filter_divided_by(LqRender *r, const LqValue *in,
							const LqValue *args, int nargs)
{
	check_divisor(r, &args[0]);
	return calculate(in, &args[0], divide, numeric_div);
}

LqValue
ma_liquid_filter_modulo(LqRender *r, const LqValue *in, const LqValue *args,
						int nargs)
{
	check_divisor(r, &args[0]);
	return calculate(in, &args[0], modulo, numeric_modulo);
}

LqValue
ma_liquid_filter_abs(LqRender *r, const LqValue *in, const LqValue *args,
					 int nargs)
{
	LqValue number = ma_liquid_number(in);
	LqValue zero = ma_liquid_integer(0);
	int		order;

	ma_liquid_compare(r, &number, &zero, &order);
	if (order >= 0)
		return number;
	return calculate(&zero, &number, pg_sub_s64_overflow, numeric_sub);
}

/*
 * The value, but no less (sign 1) or no more (-1) than a limit.
 */
static LqValue
extreme(LqRender *r, const LqValue *in, const LqValue *limit, int sign)
{
	LqValue a = ma_liquid_number(in);
	LqValue b = ma_liquid_number(limit);
	int		order;

	ma_liquid_compare(r, &a, &b, &order);
	return order * sign < 0 ? b : a;
}

LqValue
ma_liquid_filter_at_least(LqRender *r, const LqValue *in, const LqValue *args,
						  int nargs)
{
	return extreme(r, in, &args[0], 1);
}

LqValue
ma_liquid_filter_at_most(LqRender *r, const LqValue *in, const LqValue *args,
						 int nargs)
{
	return extreme(r, in, &args[0], -1);
}

LqValue
ma_liquid_filter_ceil(LqRender *r, const LqValue *in, const LqValue *args,
					  int nargs)
{
	LqValue number = ma_liquid_number(in);

	if (number.kind == LQ_INTEGER)
		return number;
	return as_integer(
		DirectFunctionCall1(numeric_ceil, NumericGetDatum(number.decimal)));
}

LqValue
ma_liquid_filter_floor(LqRender *r, const LqValue *in, const LqValue *args,
					   int nargs)
{
	LqValue number = ma_liquid_number(in);

	if (number.kind == LQ_INTEGER)
		return number;
	return as_integer(
		DirectFunctionCall1(numeric_floor, NumericGetDatum(number.decimal)));
}

/*
 * Rounded to so many digits behind the point, halves away from 0; to an
 * integer for none.
 */
LqValue
ma_liquid_filter_round(LqRender *r, const LqValue *in, const LqValue *args,
					   int nargs)
{
	LqValue number = ma_liquid_number(in);
	int64	digits = 0;
	Datum	rounded;

	if (nargs > 0)
		digits = Max(Min(ma_liquid_truncated(&args[0]), 20), -20);
	if (number.kind == LQ_INTEGER && digits >= 0)
		return number;
	rounded = DirectFunctionCall2(numeric_round,
								  NumericGetDatum(ma_liquid_numeric(&number)),
								  Int32GetDatum((int32) digits));
	if (digits <= 0)
		return as_integer(rounded);
	return as_float(DatumGetNumeric(rounded));
}

/*
 * The sum of the items, or of a property of each.
 */
LqValue
ma_liquid_filter_sum(LqRender *r, const LqValue *in, const LqValue *args,
					 int nargs)
{
	LqValue values = *in;
	LqValue list;
	LqValue sum = ma_liquid_integer(0);

	if (nargs > 0 && args[0].kind != LQ_NIL)
		values = ma_liquid_filter_map(r, in, args, 1);
	list = ma_liquid_list(r, &values);
	for (int i = 0; i < list.array.count; i++)
		sum = calculate(&sum, &list.array.items[i], pg_add_s64_overflow,
						numeric_add);
	return sum;
}
