/*
 * alloc.c
 *	  Memory that is there or ends the program.
 *
 * The sender knows from our frames what may be in doubt, so ending is always
 * safe; going on half-way is not.
 */
#include <stdlib.h>
#include <unistd.h>

#include "frame.h"
#include "alloc.h"

/* There is no memory: says so and ends. */
_Noreturn void
alloc_give_up(void)
{
	frame_add_broken(STDOUT_FILENO, "out of memory");
	frame_flush(STDOUT_FILENO);
	_exit(1);
}

/* Never NULL. Freed with free(). */
void *
alloc_get(size_t size)
{
	void *memory = malloc(size > 0 ? size : 1);

	if (memory == NULL)
		alloc_give_up();
	return memory;
}

/* The same, all zero. */
void *
alloc_zero(size_t size)
{
	void *memory = calloc(1, size);

	if (memory == NULL)
		alloc_give_up();
	return memory;
}
