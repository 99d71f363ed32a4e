/*
 * number.c
 *	  Arithmetic with values of type numeric.
 *
 * An event brings a few numbers, and each is compared with a dozen others:
 * constants of filters and switches, the least and the greatest so far. Almost
 * all of them are positive and in the short form that numerics have on disk,
 * where the weight and then the digits decide. The rest is left to
 * numeric_cmp() and numeric_add(), whose results these are.
 */
#include "postgres.h"

#include "utils/datum.h"
#include "utils/fmgrprotos.h"

#include "compat.h"
#include "number.h"

/*
 * The first two bytes of a numeric tell its form; the short one is below
 * 10^256. They hold the sign, the number of decimals that are shown and the
 * weight of the first digit, too. Then come the digits, to the base of 10,000,
 * without zeros at either end.
 */
#define FORM_MASK		0xC000
#define FORM_SHORT		0x8000
#define SIGN_NEGATIVE	0x2000
#define SCALE_MASK		0x1F80
#define WEIGHT_NEGATIVE 0x0040
#define WEIGHT_MASK		0x003F
#define BASE			10000

/* Sums of as many digits, at most, whose weight does not leave the form. */
#define SUM_DIGITS 24
#define SUM_WEIGHT (WEIGHT_NEGATIVE | WEIGHT_MASK)

typedef int16 Digit;

/* A number in the short form that is above 0. */
typedef struct Short
{
	uint16		 header;
	int			 weight; /* of the first digit, from 0 on */
	int			 n;
	const Digit *digits;
} Short;

/* The first two bytes. */
static uint16
header_of(Numeric number)
{
	return *(const uint16 *) VARDATA_ANY(number);
}

/* A copy in the current context; NULL of NULL. */
Numeric
ma_number_copy(Numeric number)
{
	if (number == NULL)
		return NULL;
	return DatumGetNumeric(datumCopy(NumericGetDatum(number), false, -1));
}

/* Is a number in the short form? */
bool
ma_number_is_short(Numeric number)
{
	return (header_of(number) & FORM_MASK) == FORM_SHORT;
}

/* Takes a number to pieces; false if it is not of the common kind. */
static inline bool
take(Numeric number, Short *taken)
{
	if (!VARATT_IS_4B_U(number))
		return false;
	taken->header = *(const uint16 *) VARDATA(number);
	/* the bit for below 0 turned round, so that they are in order */
	taken->weight =
		(taken->header & (WEIGHT_NEGATIVE | WEIGHT_MASK)) ^ WEIGHT_NEGATIVE;
	taken->n = (VARSIZE(number) - VARHDRSZ) / sizeof(Digit) - 1;
	taken->digits = (const Digit *) VARDATA(number) + 1;
	return (taken->header & (FORM_MASK | SIGN_NEGATIVE)) == FORM_SHORT &&
		   taken->n > 0;
}

/* Less than 0 if a < b, 0 if they are equal, more if a > b. */
int
ma_number_order(Numeric a, Numeric b)
{
	Short x;
	Short y;

	if (!take(a, &x) || !take(b, &y))
		return DatumGetInt32(DirectFunctionCall2(
			numeric_cmp, NumericGetDatum(a), NumericGetDatum(b)));
	if (x.weight != y.weight)
		return x.weight < y.weight ? -1 : 1;
	if (x.digits[0] != y.digits[0])
		return x.digits[0] < y.digits[0] ? -1 : 1;
	for (int i = 1; i < x.n && i < y.n; i++)
		if (x.digits[i] != y.digits[i])
			return x.digits[i] < y.digits[i] ? -1 : 1;
	return (x.n > y.n) - (x.n < y.n);
}

/* A number above 0 out of its digits, of which the first is of this weight. */
static Numeric
build(const Digit *digits, int n, int weight, int scale)
{
	Size	size = VARHDRSZ + sizeof(uint16) + n * sizeof(Digit);
	Numeric number = palloc(size);

	SET_VARSIZE(number, size);
	*(uint16 *) VARDATA(number) =
		FORM_SHORT | scale | (weight ^ WEIGHT_NEGATIVE);
	memcpy(VARDATA(number) + sizeof(uint16), digits, n * sizeof(Digit));
	return number;
}

/* a + b. Memory comes from the current context, here and below. */
Numeric
ma_number_add(Numeric a, Numeric b)
{
	Digit sum[SUM_DIGITS] = {0};
	Short x;
	Short y;
	bool  common = take(a, &x) && take(b, &y);
	int	  weight = common ? Max(x.weight, y.weight) + 1 : 0;
	int	  n = common ? weight - Min(x.weight - x.n, y.weight - y.n) : 0;
	int	  first;

	if (!common || n > SUM_DIGITS || weight > SUM_WEIGHT)
		return DatumGetNumeric(DirectFunctionCall2(
			numeric_add, NumericGetDatum(a), NumericGetDatum(b)));
	for (int i = 0; i < x.n; i++)
		sum[weight - x.weight + i] = x.digits[i];
	for (int i = 0; i < y.n; i++)
		sum[weight - y.weight + i] += y.digits[i];
	for (int i = n - 1; i > 0; i--)
		if (sum[i] >= BASE)
		{
			sum[i] -= BASE;
			sum[i - 1]++;
		}
	first = sum[0] == 0;
	while (sum[n - 1] == 0)
		n--;
	return build(sum + first, n - first, weight - first,
				 Max(x.header & SCALE_MASK, y.header & SCALE_MASK));
}

/* a / b */
Numeric
ma_number_divide(Numeric a, Numeric b)
{
	return DatumGetNumeric(DirectFunctionCall2(numeric_div, NumericGetDatum(a),
											   NumericGetDatum(b)));
}
