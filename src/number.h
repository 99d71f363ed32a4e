/*
 * number.h
 *	  Arithmetic with values of type numeric.
 */
#ifndef MA_NUMBER_H
#define MA_NUMBER_H

#include "utils/numeric.h"

extern bool	   ma_number_is_short(Numeric number);
extern int	   ma_number_order(Numeric a, Numeric b);
extern Numeric ma_number_copy(Numeric number);
extern Numeric ma_number_add(Numeric a, Numeric b);
extern Numeric ma_number_divide(Numeric a, Numeric b);

#endif /* MA_NUMBER_H */
