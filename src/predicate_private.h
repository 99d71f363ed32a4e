/*
 * predicate_private.h
 *	  What the parts of the expression compiler share.
 */
#ifndef MA_PREDICATE_PRIVATE_H
#define MA_PREDICATE_PRIVATE_H

#include "nodes/execnodes.h"
#include "nodes/params.h"
#include "nodes/parsenodes.h"

#include "predicate.h"

/* One value an expression yields. */
typedef struct MaTarget
{
	const char *name; /* NULL where it has none */
	Expr	   *expr; /* analysed and simplified */
	Oid			type;
	ExprState  *state;
} MaTarget;

struct MaExpr
{
	MemoryContext cxt;	/* owns the rest */
	const char	 *text; /* what the user wrote */
	int			  ntargets;
	MaTarget	 *targets;
	int			  nslots;
	MaSlot		 *slots;	 /* Param n is slots[n - 1] */
	bool		  can_raise; /* evaluation may raise an error */
	bool		  is_timed;	 /* the result may change by time alone */
	bool		  zoned;	 /* depends on TimeZone or DateStyle */
	int			  direct;	 /* the slot that is all of it, if that depends
							  * on no setting; -1: evaluate it */
	ExprContext	 *econtext;
	ParamListInfo params;
	MaInput		 *input; /* while it is evaluated */
};

/* A compilation under way. */
typedef struct MaCompile
{
	const MaExprSource *source;
	MemoryContext		cxt; /* of the expression */
	int					nslots;
	int					maxslots;
	MaSlot			   *slots;
	List			   *words; /* locations of strings such as 'today' */
} MaCompile;

/* A token of a text. */
typedef struct MaToken
{
	int from;
	int to;
} MaToken;

/* predicate_scan.c: tokens */
extern bool		ma_token_is(const char *text, const MaToken *token,
							const char *word);
extern MaToken *ma_scan(const char *text, int *n);

/* predicate_hint.c: what may have been meant */
extern const char *ma_hint_syntax(const char *text, const char *at);
extern const char *ma_hint_name(const char *name);
extern const char *ma_hint_operator(const char *at);
extern const char *ma_hint_alias(const char *name);

/* predicate_eval.c: evaluation */
extern void ma_eval_init(MaExpr *expr);

/* predicate_raw.c: what raw nodes are */
extern const char *ma_raw_call(Node *node);
extern bool		   ma_raw_is_call(Node *node, const char *name);
extern bool		   ma_raw_is_plain(const FuncCall *call);
extern const char *ma_raw_string(Node *node);
extern const char *ma_raw_number(Node *node);
extern void		   ma_raw_set_string(A_Const *constant, char *text);
extern bool		   ma_raw_interval(Node *node, Interval *span);
extern char		  *ma_raw_interval_text(const Interval *span);
extern bool		   ma_raw_comparison(A_Expr *expr, MaOperator *op);
extern const char *ma_operator_text(MaOperator op);
extern MaOperator  ma_operator_commuted(MaOperator op);

/* predicate_names.c: raw tree with our names -> raw tree with parameters */
extern Node	  *ma_names_rewrite(MaCompile *compile, Node *node, Oid hint);
extern MaSlot *ma_names_add_slot(MaCompile *compile, Node **param,
								 int location);
extern char	  *ma_names_allowed(MaCompile *compile);
extern Oid	   ma_names_type(MaCompile *compile, Node *node);

/* predicate_history.c: calls about the history */
extern bool		   ma_history_is_name(Node *node);
extern const char *ma_history_nearest(const char *name);
extern const char *ma_history_usage(const FuncCall *call);
extern bool		   ma_history_is_call(Node *node);
extern Oid		   ma_history_type(Node *node);
extern Node *ma_history_call(MaCompile *compile, FuncCall *call, Oid hint);
extern Node *ma_history_comparison(MaCompile *compile, A_Expr *expr);

extern void ma_history_wrong_call(const char *usage, int location);

/* predicate_was.c: what an attribute was before */
extern Node *ma_was_call(MaCompile *compile, FuncCall *call);

/* predicate_time.c: times compared with the present */
extern TimestampTz ma_time_bound(Node *node, bool is_end, const char *usage);
extern Node		  *ma_time_anniversary(MaCompile *compile, FuncCall *call);
extern bool		   ma_time_is_compared(Node *node);
extern Node		  *ma_time_comparison(MaCompile *compile, A_Expr *expr,
									  MaOperator op);

/* predicate_check.c: what an analysed tree may contain */
extern void ma_check_tree(Node *node, const MaCompile *compile,
						  bool *can_raise, bool *zoned);

/* predicate_parse.c */
extern int	 ma_expr_at(int location);
extern void	 ma_expr_pinned(const char *text, void (*act)(void *arg),
							void	   *arg);
extern List *ma_expr_parse(const MaExprSource *source);

/* predicate.c */
extern const char *ma_expr_target_name(const ResTarget *target);
extern MaExpr	  *ma_expr_from_raw(const MaExprSource *source, List *targets,
									MemoryContext cxt);

#endif /* MA_PREDICATE_PRIVATE_H */
