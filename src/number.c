/*
 * number.c
 *	  Arithmetic with values of type numeric.
 */
#include "postgres.h"

#include "utils/fmgrprotos.h"

#include "number.h"

/* a + b. Memory comes from the current context, here and below. */
Numeric
ma_number_add(Numeric a, Numeric b)
{
	return DatumGetNumeric(DirectFunctionCall2(numeric_add, NumericGetDatum(a),
											   NumericGetDatum(b)));
}

/* a / b */
Numeric
ma_number_divide(Numeric a, Numeric b)
{
	return DatumGetNumeric(DirectFunctionCall2(numeric_div, NumericGetDatum(a),
											   NumericGetDatum(b)));
}

/* Less than 0 if a < b, 0 if they are equal, more if a > b. */
int
ma_number_order(Numeric a, Numeric b)
{
	return DatumGetInt32(DirectFunctionCall2(numeric_cmp, NumericGetDatum(a),
											 NumericGetDatum(b)));
}
