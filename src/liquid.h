/*
 * liquid.h
 *	  What the parts of the template engine share; see template.c.
 *
 * A template is parsed into a tree of LqNode that never changes again. A
 * value is an LqValue, handed around by value; what it points to lives in the
 * data, in the tree, or in one of the contexts of the rendering.
 */
#ifndef MA_LIQUID_H
#define MA_LIQUID_H

#include "lib/stringinfo.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

struct MaTemplateOptions;

/* ---- values ---- */

typedef enum LqKind
{
	LQ_NIL,
	LQ_BOOLEAN,
	LQ_INTEGER,
	LQ_DECIMAL, /* prints with a point, as a float does */
	LQ_STRING,
	LQ_RANGE, /* integers, both ends included */
	LQ_ARRAY,
	LQ_JSON_ARRAY, /* still in the data */
	LQ_OBJECT,	   /* always in the data */
	LQ_LOOP,	   /* forloop or tablerowloop */
	LQ_EMPTY,	   /* the word empty, for comparisons */
	LQ_BLANK	   /* the word blank, likewise */
} LqKind;

typedef struct LqValue
{
	LqKind kind;
	bool   safe; /* LQ_STRING: its outputs are escaped already */
	union
	{
		bool	boolean;
		int64	integer;
		Numeric decimal;
		struct
		{
			const char *data; /* not terminated */
			int			len;
		} string;
		struct
		{
			int64 from;
			int64 to;
		} range;
		struct
		{
			struct LqValue *items;
			int				count;
		} array;
		JsonbContainer *json; /* LQ_JSON_ARRAY, LQ_OBJECT */
		struct LqLoop  *loop;
	};
} LqValue;

/* The state of one running for or tablerow. */
typedef struct LqLoop
{
	const char	  *name; /* variable-collection, as written */
	int			   namelen;
	int64		   length;
	int64		   index0;
	int64		   cols;   /* tablerow: columns; 0 for a for */
	struct LqLoop *parent; /* the loop around it, NULL outside any */
} LqLoop;

/* The most items an array may get. */
#define LQ_MAX_ITEMS 1000000

/* ---- expressions ---- */

typedef struct LqExpr LqExpr;

/* One step of a path: .name or [expression]. */
typedef struct LqStep
{
	const char *name; /* NULL: it is index */
	int			len;
	LqExpr	   *index;
} LqStep;

typedef enum LqExprKind
{
	LQ_EXPR_LITERAL,
	LQ_EXPR_PATH,
	LQ_EXPR_RANGE
} LqExprKind;

struct LqExpr
{
	LqExprKind	kind;
	const char *text; /* as written */
	int			len;
	LqValue		literal;
	LqStep	   *steps; /* the first names the variable */
	int			nsteps;
	LqExpr	   *from; /* range */
	LqExpr	   *to;
};

struct LqRender;

typedef LqValue (*LqFilterFn)(struct LqRender *r, const LqValue *in,
							  const LqValue *args, int nargs);

/* A filter as the parser looks it up. */
typedef struct LqFilterDef
{
	const char *name;
	int			min_args;
	int			max_args;
	LqFilterFn	fn;
} LqFilterDef;

typedef struct LqFilter
{
	const LqFilterDef *def;
	LqExpr			 **args;
	int				   nargs;
} LqFilter;

/* The most arguments any filter takes. */
#define LQ_MAX_ARGS 2

/* An expression and the filters it goes through. */
typedef struct LqPipe
{
	LqExpr	 *expr; /* NULL: nothing */
	LqFilter *filters;
	int		  nfilters;
	bool	  escaped;	/* the last filter is raw or escapes itself */
	bool	  optional; /* the first filter is default: the variable
								 * may be unknown */
} LqPipe;

typedef enum LqOp
{
	LQ_OP_TRUE, /* no operator: is it true? */
	LQ_OP_EQ,
	LQ_OP_NE,
	LQ_OP_LT,
	LQ_OP_GT,
	LQ_OP_LE,
	LQ_OP_GE,
	LQ_OP_CONTAINS
} LqOp;

/* left op right, and/or the rest; groups to the right. */
typedef struct LqCondition
{
	LqExpr			   *left;
	LqExpr			   *right;
	LqOp				op;
	bool				conjunction; /* and (else or) between this and next */
	struct LqCondition *next;
} LqCondition;

/* ---- the tree ---- */

typedef enum LqNodeKind
{
	LQ_TEXT,
	LQ_OUTPUT, /* {{ }} and echo */
	LQ_ASSIGN,
	LQ_CAPTURE,
	LQ_IF, /* and unless */
	LQ_CASE,
	LQ_FOR,
	LQ_TABLEROW,
	LQ_BREAK,
	LQ_CONTINUE,
	LQ_CYCLE,
	LQ_COUNTER, /* increment and decrement */
	LQ_IFCHANGED,
	LQ_PARTIAL /* render and include */
} LqNodeKind;

/* What stands between a tag and its end. */
typedef struct LqBlock
{
	struct LqNode **nodes;
	int				count;
	int				allocated;
	bool			blank; /* puts out nothing but white space */
} LqBlock;

/* One alternative of if, unless or case. */
typedef struct LqBranch
{
	LqCondition		*condition; /* if; NULL: else */
	bool			 negate;	/* the first of unless */
	LqExpr		   **values;	/* case: when; NULL: else */
	int				 nvalues;
	LqBlock			 body;
	struct LqBranch *next;
} LqBranch;

/* A named argument of render or include. */
typedef struct LqArgument
{
	const char *name;
	int			len;
	LqExpr	   *value;
} LqArgument;

typedef struct LqNode
{
	LqNodeKind	kind;
	int			line;
	bool		blank; /* puts out nothing but white space */
	const char *name;  /* text, or the variable it sets */
	int			namelen;
	LqPipe		pipe;	   /* output, assign */
	LqExpr	   *expr;	   /* case, for: what; cycle: its name; partial:
								 * which */
	LqBlock		body;	   /* capture, for, tablerow, ifchanged */
	LqBlock		otherwise; /* for: else */
	LqBranch   *branches;  /* if, case */
	LqExpr	  **values;	   /* cycle */
	int			nvalues;
	const char *key; /* for, cycle: under which name its state is
								 * kept */
	int			keylen;
	LqExpr	   *limit; /* for, tablerow */
	LqExpr	   *offset;
	LqExpr	   *cols;
	bool		offset_continue;
	bool		reversed;
	int			delta;	  /* counter: 1 or -1 */
	bool		isolated; /* render: sees only its arguments and data */
	LqExpr	   *with;	  /* partial: with or for */
	bool		each;	  /* partial: for */
	const char *alias;	  /* partial: as */
	int			aliaslen;
	LqArgument *arguments;
	int			narguments;
} LqNode;

struct MaTemplate
{
	MemoryContext cxt;	  /* owns the tree and the source */
	const char	 *source; /* the tree points into it */
	LqBlock		  body;
};

/* ---- reading the source ---- */

typedef enum LqTokenKind
{
	LQ_TOKEN_END,
	LQ_TOKEN_TEXT,
	LQ_TOKEN_OUTPUT,
	LQ_TOKEN_TAG
} LqTokenKind;

/* A piece of a template. */
typedef struct LqToken
{
	LqTokenKind kind;
	int			line;
	const char *name; /* of a tag; NULL terminated by namelen */
	int			namelen;
	const char *text; /* the text, or the markup after the name */
	int			len;
} LqToken;

/* Where tokens come from: a template, or the lines of a liquid tag. */
typedef struct LqSource
{
	const char *p;
	const char *end;
	int			line;
	bool		lines; /* a liquid tag */
	bool		trim;  /* the last token asked to trim what follows */
} LqSource;

extern LqToken ma_liquid_next(LqSource *source);
extern LqToken ma_liquid_verbatim(LqSource *source, const char *end_tag);
extern _Noreturn void ma_liquid_syntax_error(int line, const char *format, ...)
	pg_attribute_printf(2, 3);

/* ---- reading markup ---- */

typedef enum LqLexKind
{
	LQ_LEX_END,
	LQ_LEX_NAME,
	LQ_LEX_NUMBER,
	LQ_LEX_STRING,
	LQ_LEX_COMPARE, /* == and the like; op is set */
	LQ_LEX_DOTS,	/* .. */
	LQ_LEX_CHAR		/* any of . : , | [ ] ( ) = */
} LqLexKind;

/* A reader of markup with one token of look-ahead. */
typedef struct LqLexer
{
	const char *p; /* behind the token */
	const char *end;
	const char *last; /* end of the token before this one */
	int			line;
	int			depth; /* of nested expressions */
	LqLexKind	kind;  /* the token */
	LqOp		op;
	const char *text;
	int			len;
} LqLexer;

extern void ma_liquid_lex(LqLexer *lexer, const char *text, int len, int line);
extern void ma_liquid_advance(LqLexer *lexer);
extern bool ma_liquid_is(const LqLexer *lexer, char c);
extern bool ma_liquid_accept(LqLexer *lexer, char c);
extern void ma_liquid_expect(LqLexer *lexer, char c);
extern bool ma_liquid_word(const LqLexer *lexer, const char *word);
extern bool ma_liquid_accept_word(LqLexer *lexer, const char *word);
extern void ma_liquid_expect_end(LqLexer *lexer);
extern LqExpr	   *ma_liquid_expr(LqLexer *lexer);
extern LqPipe		ma_liquid_pipe(LqLexer *lexer);
extern LqCondition *ma_liquid_condition(LqLexer *lexer);

/* ---- parsing ---- */

extern LqBlock			  ma_liquid_parse(const char *source, int len);
extern const LqFilterDef *ma_liquid_filter(const char *name, int len);

/* ---- rendering ---- */

/* A variable, or a kept state, in a list. */
typedef struct LqVariable
{
	const char		  *name;
	int				   len;
	LqValue			   value;
	struct LqVariable *next;
} LqVariable;

/* What a break or continue on its way out makes the blocks do. */
typedef enum LqJump
{
	LQ_JUMP_NONE,
	LQ_JUMP_BREAK,
	LQ_JUMP_CONTINUE
} LqJump;

/* One rendering. */
typedef struct LqRender
{
	const struct MaTemplateOptions *options;
	Jsonb						   *data; /* NULL: empty */
	MemoryContext					cxt;  /* lives until the end */
	MemoryContext scratch;				  /* reset after each tag and output */
	StringInfo	  out;		/* where text goes: the result or a capture */
	LqVariable	 *scope;	/* loop variables and arguments, newest first */
	LqVariable	 *locals;	/* assigned */
	LqVariable	 *counters; /* increment and decrement */
	LqVariable	 *kept;		/* states of cycle, offset: continue and
								 * ifchanged */
	LqLoop		 *loop;		/* the innermost */
	int			  line;		/* where we are, for errors */
	int			  depth;	/* blocks and partials in one another */
	int64		  steps;	/* done */
	int64		  max_steps;
	int64		  max_output;
} LqRender;

extern void			  ma_liquid_render(LqRender *r, const LqBlock *body);
extern void			  ma_liquid_charge(LqRender *r, int64 bytes);
extern _Noreturn void ma_liquid_error(LqRender *r, const char *format, ...)
	pg_attribute_printf(2, 3);
extern LqValue ma_liquid_eval(LqRender *r, const LqExpr *expr);
extern LqValue ma_liquid_eval_pipe(LqRender *r, const LqPipe *pipe);
extern bool	   ma_liquid_holds(LqRender *r, const LqCondition *condition);

/* ---- values ---- */

extern LqValue ma_liquid_nil(void);
extern LqValue ma_liquid_boolean(bool value);
extern LqValue ma_liquid_integer(int64 value);
extern LqValue ma_liquid_decimal(Numeric value);
extern LqValue ma_liquid_string(const char *data, int len);
extern LqValue ma_liquid_buffer(LqRender *r, StringInfo buffer);
extern void	   ma_liquid_add(LqRender *r, StringInfo buffer, const char *s,
							 int len);
extern LqValue ma_liquid_array(LqRender *r, int64 room);
extern void	   ma_liquid_push(LqValue *array, LqValue item);
extern LqValue ma_liquid_json(JsonbValue *json);
extern bool	   ma_liquid_true(const LqValue *value);
extern bool	   ma_liquid_empty(const LqValue *value);
extern bool	 ma_liquid_equal(LqRender *r, const LqValue *a, const LqValue *b);
extern bool	 ma_liquid_compare(LqRender *r, const LqValue *a, const LqValue *b,
							   int *result);
extern bool	 ma_liquid_contains(LqRender *r, const LqValue *a,
								const LqValue *b);
extern bool	 ma_liquid_listable(const LqValue *value);
extern int64 ma_liquid_count(const LqValue *value);
extern LqValue ma_liquid_item(const LqValue *value, int64 i);
extern LqValue ma_liquid_end(const LqValue *value, bool last);
extern LqValue ma_liquid_items(LqRender *r, const LqValue *value);
extern bool ma_liquid_property(const LqValue *value, const char *name, int len,
							   LqValue *result);
extern LqValue ma_liquid_text(LqRender *r, const LqValue *value);
extern void	   ma_liquid_append(StringInfo out, const LqValue *value);
extern void ma_liquid_append_escaped(StringInfo out, const char *s, int len);
extern void ma_liquid_append_url(StringInfo out, const char *s, int len,
								 const char *space);
extern LqValue ma_liquid_number(const LqValue *value);
extern bool	   ma_liquid_is_integer(Numeric number, int64 *integer);
extern Numeric ma_liquid_numeric(const LqValue *value);
extern int64   ma_liquid_to_integer(LqRender *r, const LqValue *value);
extern int64   ma_liquid_truncated(const LqValue *value);

/* ---- filters, by family ---- */

#define LQ_FILTER(name)                                                    \
	extern LqValue ma_liquid_filter_##name(LqRender *r, const LqValue *in, \
										   const LqValue *args, int nargs)

/* strings */
LQ_FILTER(append);
LQ_FILTER(base64_decode);
LQ_FILTER(base64_encode);
LQ_FILTER(base64_url_decode);
LQ_FILTER(base64_url_encode);
LQ_FILTER(capitalize);
LQ_FILTER(downcase);
LQ_FILTER(escape);
LQ_FILTER(escape_once);
LQ_FILTER(lstrip);
LQ_FILTER(newline_to_br);
LQ_FILTER(prepend);
LQ_FILTER(raw);
LQ_FILTER(remove);
LQ_FILTER(remove_first);
LQ_FILTER(remove_last);
LQ_FILTER(replace);
LQ_FILTER(replace_first);
LQ_FILTER(replace_last);
LQ_FILTER(rstrip);
LQ_FILTER(split);
LQ_FILTER(strip);
LQ_FILTER(strip_html);
LQ_FILTER(strip_newlines);
LQ_FILTER(truncate);
LQ_FILTER(truncatewords);
LQ_FILTER(upcase);
LQ_FILTER(url_decode);
LQ_FILTER(url_encode);

/* numbers */
LQ_FILTER(abs);
LQ_FILTER(at_least);
LQ_FILTER(at_most);
LQ_FILTER(ceil);
LQ_FILTER(divided_by);
LQ_FILTER(floor);
LQ_FILTER(minus);
LQ_FILTER(modulo);
LQ_FILTER(plus);
LQ_FILTER(round);
LQ_FILTER(sum);
LQ_FILTER(times);

/* arrays */
LQ_FILTER(compact);
LQ_FILTER(concat);
LQ_FILTER(find);
LQ_FILTER(find_index);
LQ_FILTER(first);
LQ_FILTER(has);
LQ_FILTER(join);
LQ_FILTER(last);
LQ_FILTER(map);
LQ_FILTER(reject);
LQ_FILTER(reverse);
LQ_FILTER(size);
LQ_FILTER(slice);
LQ_FILTER(sort);
LQ_FILTER(sort_natural);
LQ_FILTER(uniq);
LQ_FILTER(where);

/* dates, and anything */
LQ_FILTER(date);
LQ_FILTER(default);

extern LqValue ma_liquid_list(LqRender *r, const LqValue *value);

#endif /* MA_LIQUID_H */
