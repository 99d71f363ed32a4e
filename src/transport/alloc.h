/*
 * alloc.h
 *	  Memory that is there or ends the program.
 */
#ifndef ALLOC_H
#define ALLOC_H

#include <stddef.h>

extern void			 *alloc_get(size_t size);
extern void			 *alloc_zero(size_t size);
extern _Noreturn void alloc_give_up(void);

#endif /* ALLOC_H */
