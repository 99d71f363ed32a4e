/*
 * workflow_private.h
 *	  What the parts of the workflow compiler share: workflow.c reads
 *	  the top level of a document, workflow_step.c its steps, workflow_wait.c
 *	  what has to do with the calendar.
 */
#ifndef MA_WORKFLOW_PRIVATE_H
#define MA_WORKFLOW_PRIVATE_H

#include "document.h"
#include "workflow.h"

/* One walk over a document. */
typedef struct MaCompiler
{
	MaDocument			doc;		/* errors found */
	const MaNames	   *names;		/* who knows the database */
	bool				storing;	/* second walk: the document is right, its
								 * expressions get their numbers */
	const char		   *entry_kind; /* kind of the only entry event, or NULL */
	MaWorkflow		   *workflow;	/* what is built */
	int					maxops;		/* room in workflow->program.ops */
	List			   *ids;		/* ids of steps seen, MaStepName */
	List			   *gotos;		/* targets to resolve, MaStepName */
	struct MaDocRename *rename; /* NULL, or nothing is compiled: the document
								 * is looked through for a name */
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
extern char		*ma_workflow_kind(MaCompiler *c, const MaNode *node);
extern int		 ma_workflow_add_op(MaCompiler *c, MaVerb verb);
extern MaOp		*ma_workflow_op(MaCompiler *c, int op);
extern int		 ma_workflow_here(MaCompiler *c);
extern bool		 ma_workflow_branch(MaCompiler *c, const MaNode *object,
									const char *key);
extern void		 ma_workflow_wait(MaCompiler *c, const MaNode *step,
								  const MaNode *value, int op);
extern void		 ma_workflow_until(MaCompiler *c, const MaNode *until, int op);
extern Interval *ma_workflow_length(MaCompiler *c, const MaNode *node);
extern void		 ma_workflow_window(MaCompiler *c, const MaNode *window);
extern int		 ma_workflow_date(MaCompiler *c, const MaNode *node);
extern int		 ma_workflow_fixed(MaCompiler *c, MaExprSource *source);
extern void		 ma_workflow_steps(MaCompiler *c, const MaNode *steps);
extern void		 ma_workflow_end(MaCompiler *c);
extern void		 ma_workflow_walk(const MaNames *names, Jsonb *definition,
								  struct MaDocRename *rename);

/* workflow_rename.c: what the walk meets */
extern void ma_workflow_names(MaCompiler *c, const MaNode *node, MaNamed what);
extern void ma_workflow_names_key(MaCompiler *c, const MaNode *object,
								  const char *key, MaNamed what);
extern void ma_workflow_names_in(MaCompiler *c, const MaNode *node,
								 const MaExprSource *source);

#endif /* MA_WORKFLOW_PRIVATE_H */
