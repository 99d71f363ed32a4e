/*
 * definition.h
 *	  The cache of everything compiled.
 */
#ifndef MA_DEFINITION_H
#define MA_DEFINITION_H

#include "predicate.h"

/* All definitions of one generation, compiled. */
typedef struct MaDefinitions
{
	int64		generation;		/* of the definitions in here */
	MemoryContext cxt;			/* owns everything below */
	void	   *entries;		/* entry.c's part, NULL until it builds it */
	struct MaDefinitionsPrivate *p; /* definition.c's part */
} MaDefinitions;

extern MaDefinitions *ma_definitions(void);
extern MaExpr *ma_definition_expr(int predicate_id);
extern int	ma_predicate_register(const MaExprSource *source);

#endif							/* MA_DEFINITION_H */
