/*
 * workflow.h
 *	  Compiles a workflow document into a flat program.
 */
#ifndef MA_WORKFLOW_H
#define MA_WORKFLOW_H

#include "nodes/pg_list.h"
#include "predicate.h"
#include "program.h"

/* What a name in a document may stand for. */
typedef enum MaObject
{
	MA_OBJECT_KIND,		 /* of events */
	MA_OBJECT_ATTRIBUTE, /* of contacts, or a column */
	MA_OBJECT_LIST,
	MA_OBJECT_STATIC_LIST,
	MA_OBJECT_TEMPLATE,
	MA_OBJECT_WORKFLOW,
	MA_OBJECT_SCORE,
	MA_OBJECT_TIER, /* "within" is its score */
	MA_OBJECTS		/* how many there are */
} MaObject;

/* Answers the compiler's questions about the database. */
typedef struct MaNames
{
	/* the number of an object, not 0; 0 if there is none of that name */
	int (*object)(MaObject object, const char *name, const char *within);
	/* stores an expression that compiles, returns its predicate_id */
	int (*predicate)(const MaExprSource *source);
} MaNames;

/* A compiled document. */
typedef struct MaWorkflow
{
	MaProgram program;
	List	 *predicates;		/* predicate ids it uses, ints */
	List	 *used[MA_OBJECTS]; /* numbers of the objects it uses, ints */
} MaWorkflow;

extern MaWorkflow *ma_workflow_compile(Jsonb *definition, const char *name,
									   const MaNames *names);

/* workflow_rename.c */
extern Jsonb *ma_workflow_rename(Jsonb *definition, const MaRename *rename);
extern Jsonb *ma_workflow_rename_program(Jsonb			*program,
										 const MaRename *rename);

#endif /* MA_WORKFLOW_H */
