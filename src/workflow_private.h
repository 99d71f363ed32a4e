/*
 * workflow_private.h
 *	  What the two halves of the workflow compiler share: workflow.c reads
 *	  the top level of a document, workflow_step.c its steps.
 */
#ifndef MA_WORKFLOW_PRIVATE_H
#define MA_WORKFLOW_PRIVATE_H

#include "document.h"
#include "workflow.h"

/* One walk over a document. */
typedef struct MaCompiler
{
	MaDocument	   doc;		   /* errors found */
	const MaNames *names;	   /* who knows the database */
	bool		   storing;	   /* second walk: the document is right, its
								 * expressions get their numbers */
	const char	  *entry_kind; /* kind of the only entry event, or NULL */
	MaWorkflow	  *workflow;   /* what is built */
	int			   maxops;	   /* room in workflow->program.ops */
	List		  *ids;		   /* ids of steps seen, MaStepName */
	List		  *gotos;	   /* targets to resolve, MaStepName */
} MaCompiler;

/* A step's id, or the mention of one. */
typedef struct MaStepName
{
	const char *id;
	const char *path; /* where it is written */
	int			op;	  /* operation of the step or of the goto */
} MaStepName;

/* The names expressions in steps may use. */
#define MA_NAMES_STEP (MA_NAMES_PERSON | MA_NAMES_ENTRY | MA_NAMES_CONTEXT)

extern int ma_workflow_expression(MaCompiler *c, const MaNode *node, int names,
								  const char *kind);
extern int ma_workflow_value(MaCompiler *c, const MaNode *node);
extern int ma_workflow_object(MaCompiler *c, const MaNode *node,
							  MaObject object, const char *within);
extern char *ma_workflow_kind(MaCompiler *c, const MaNode *node);
extern void	 ma_workflow_steps(MaCompiler *c, const MaNode *steps);
extern void	 ma_workflow_end(MaCompiler *c);

#endif /* MA_WORKFLOW_PRIVATE_H */
