/*
 * definition_private.h
 *	  What the parts of the definitions cache share.
 */
#ifndef MA_DEFINITION_PRIVATE_H
#define MA_DEFINITION_PRIVATE_H

#include "definition.h"

/* An expression in use. */
typedef struct MaExprUse
{
	int			 predicate_id;
	MaExprSource source;
	MaExpr		*expr; /* NULL: does not compile any more */
} MaExprUse;

extern void ma_definition_read_source(uint64 row, int column,
									  MaExprSource *source);
extern bool ma_definition_has_cells(MaDefinitions *definitions,
									const MaExpr  *expr);
extern void ma_definition_read_cells(MaDefinitions *definitions);
extern void ma_definition_link(MaDefinitions *definitions);
extern void ma_definition_order(MaDefinitions *definitions);

/* definition_count.c */
extern void ma_definition_look(MaKindDef *kind, MaCellUse *use);
extern void ma_definition_count(MaDefinitions *definitions, MaKindDef *kind);

#endif /* MA_DEFINITION_PRIVATE_H */
