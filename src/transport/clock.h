/*
 * clock.h
 *	  The clock of all deadlines.
 */
#ifndef CLOCK_H
#define CLOCK_H

#include <stdint.h>

extern int64_t clock_ms(void);

#endif /* CLOCK_H */
