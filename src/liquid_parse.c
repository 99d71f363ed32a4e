/*
 * liquid_parse.c
 *	  Liquid: from tokens to the tree.
 *
 * One function per tag, in a table. A tag with a body reads nodes until one
 * of the tags that may end or divide the body, which it then looks at.
 */
#include "postgres.h"

#include <ctype.h>

#include "miscadmin.h"

#include "liquid.h"
#include "template.h"

typedef struct LqParser
{
	LqSource *source;
	LqToken	  token; /* the tag that ended the last block */
	int		  depth; /* blocks in one another */
} LqParser;

/* Parses a tag; returns NULL if it puts out and does nothing. */
typedef LqNode *(*LqTagFn)(LqParser *parser, LqToken tag, LqBlock *block);

typedef struct LqTagDef
{
	const char *name;
	LqTagFn		fn;
} LqTagDef;

static LqBlock parse_block(LqParser *parser, const char *const *ends);
static void	   parse_tag(LqParser *parser, LqToken tag, LqBlock *block);
static void	   add_node(LqBlock *block, LqNode *node);
static void	   strip_blank(LqBlock *block);
static LqNode *new_node(LqNodeKind kind, LqToken tag);
static bool	   token_is(LqToken token, const char *name);
static LqLexer lex_tag(LqToken tag);
static void	   expect_nothing(LqToken tag);
static LqToken parse_name(LqToken tag, LqNode *node);
static void	   finish_branches(LqNode *node);
static void	   parse_loop(LqToken tag, LqNode *node);
static void	   parse_loop_option(LqLexer *lexer, LqNode *node);
static void	   add_value(LqExpr ***values, int *n, LqExpr *value);
static void	   parse_argument(LqLexer *lexer, LqNode *node);

static LqNode *tag_assign(LqParser *parser, LqToken tag, LqBlock *block);
static LqNode *tag_break(LqParser *parser, LqToken tag, LqBlock *block);
static LqNode *tag_capture(LqParser *parser, LqToken tag, LqBlock *block);
static LqNode *tag_case(LqParser *parser, LqToken tag, LqBlock *block);
static LqNode *tag_comment(LqParser *parser, LqToken tag, LqBlock *block);
static LqNode *tag_counter(LqParser *parser, LqToken tag, LqBlock *block);
static LqNode *tag_cycle(LqParser *parser, LqToken tag, LqBlock *block);
static LqNode *tag_doc(LqParser *parser, LqToken tag, LqBlock *block);
static LqNode *tag_echo(LqParser *parser, LqToken tag, LqBlock *block);
static LqNode *tag_for(LqParser *parser, LqToken tag, LqBlock *block);
static LqNode *tag_if(LqParser *parser, LqToken tag, LqBlock *block);
static LqNode *tag_ifchanged(LqParser *parser, LqToken tag, LqBlock *block);
static LqNode *tag_inline(LqParser *parser, LqToken tag, LqBlock *block);
static LqNode *tag_liquid(LqParser *parser, LqToken tag, LqBlock *block);
static LqNode *tag_partial(LqParser *parser, LqToken tag, LqBlock *block);
static LqNode *tag_raw(LqParser *parser, LqToken tag, LqBlock *block);
static LqNode *tag_tablerow(LqParser *parser, LqToken tag, LqBlock *block);

static const LqTagDef tags[] = {
	{"#", tag_inline},
	{"assign", tag_assign},
	{"break", tag_break},
	{"capture", tag_capture},
	{"case", tag_case},
	{"comment", tag_comment},
	{"continue", tag_break},
	{"cycle", tag_cycle},
	{"decrement", tag_counter},
	{"doc", tag_doc},
	{"echo", tag_echo},
	{"for", tag_for},
	{"if", tag_if},
	{"ifchanged", tag_ifchanged},
	{"include", tag_partial},
	{"increment", tag_counter},
	{"liquid", tag_liquid},
	{"raw", tag_raw},
	{"render", tag_partial},
	{"tablerow", tag_tablerow},
	{"unless", tag_if},
};

static const char *const no_ends[] = {NULL};

/*
 * Parse a whole template. The source must live as long as the result.
 */
LqBlock
ma_liquid_parse(const char *source, int len)
{
	LqSource from = {source, source + len, 1, false, false};
	LqParser parser = {.source = &from};

	return parse_block(&parser, no_ends);
}

/*
 * Parse nodes up to one of the tags in ends (ended by NULL), which is left in
 * parser->token; if there are none, to the end of the source.
 */
static LqBlock
parse_block(LqParser *parser, const char *const *ends)
{
	LqBlock block = {.blank = true};
	int		line = parser->source->line;

	check_stack_depth();
	if (++parser->depth > MA_TEMPLATE_DEPTH)
		ma_liquid_syntax_error(line, "blocks are nested too deeply");

	for (;;)
	{
		LqToken token = ma_liquid_next(parser->source);

		if (token.kind == LQ_TOKEN_END)
		{
			if (ends[0] != NULL)
				ma_liquid_syntax_error(line, "block without its \"%s\"",
									   ends[0]);
			break;
		}
		if (token.kind == LQ_TOKEN_TAG)
		{
			int i;

			for (i = 0; ends[i] && !token_is(token, ends[i]); i++)
				;
			if (ends[i])
			{
				parser->token = token;
				break;
			}
		}
		parse_tag(parser, token, &block);
	}
	parser->depth--;
	return block;
}

/*
 * Add what a token stands for to a block.
 */
static void
parse_tag(LqParser *parser, LqToken token, LqBlock *block)
{
	LqNode *node = NULL;
	int		i;

	if (token.kind == LQ_TOKEN_TEXT)
	{
		node = new_node(LQ_TEXT, token);
		node->name = token.text;
		node->namelen = token.len;
		node->blank = true;
		for (i = 0; i < token.len && node->blank; i++)
			node->blank = isspace((unsigned char) token.text[i]);
	}
	else if (token.kind == LQ_TOKEN_OUTPUT)
		node = tag_echo(parser, token, block);
	else
	{
		for (i = 0; i < lengthof(tags); i++)
		{
			if (token_is(token, tags[i].name))
				break;
		}
		if (i == lengthof(tags))
			ma_liquid_syntax_error(token.line, "unknown tag \"%.*s\"",
								   token.namelen, token.name);
		node = tags[i].fn(parser, token, block);
	}
	if (node)
		add_node(block, node);
}

/*
 * Append a node to a block.
 */
static void
add_node(LqBlock *block, LqNode *node)
{
	if (block->count == block->allocated)
	{
		block->allocated = Max(4, block->allocated * 2);
		if (block->nodes == NULL)
			block->nodes = palloc(block->allocated * sizeof(LqNode *));
		else
			block->nodes =
				repalloc(block->nodes, block->allocated * sizeof(LqNode *));
	}
	block->nodes[block->count++] = node;
	block->blank &= node->blank;
}

/*
 * Take the text out of a block that puts out nothing but white space.
 */
static void
strip_blank(LqBlock *block)
{
	int kept = 0;

	for (int i = 0; i < block->count; i++)
	{
		if (block->nodes[i]->kind != LQ_TEXT)
			block->nodes[kept++] = block->nodes[i];
	}
	block->count = kept;
}

/*
 * Make a node for what starts at a token.
 */
static LqNode *
new_node(LqNodeKind kind, LqToken tag)
{
	LqNode *node = palloc0(sizeof(LqNode));

	node->kind = kind;
	node->line = tag.line;
	return node;
}

/*
 * Is this tag the named one?
 */
static bool
token_is(LqToken token, const char *name)
{
	return token.namelen == strlen(name) &&
		   strncmp(token.name, name, token.namelen) == 0;
}

/*
 * Start to read the markup of a tag.
 */
static LqLexer
lex_tag(LqToken tag)
{
	LqLexer lexer;

	ma_liquid_lex(&lexer, tag.text, tag.len, tag.line);
	return lexer;
}

/*
 * Complain if a tag that takes no markup has some.
 */
static void
expect_nothing(LqToken tag)
{
	LqLexer lexer = lex_tag(tag);

	ma_liquid_expect_end(&lexer);
}

/*
 * {{ pipe }}, {% echo pipe %}
 */
static LqNode *
tag_echo(LqParser *parser, LqToken tag, LqBlock *block)
{
	LqNode *node = new_node(LQ_OUTPUT, tag);
	LqLexer lexer = lex_tag(tag);

	node->pipe = ma_liquid_pipe(&lexer);
	return node;
}

/*
 * Read the variable a tag sets: letters, digits, _ and -, which unlike names
 * in expressions may start with a digit. Returns the markup after it.
 */
static LqToken
parse_name(LqToken tag, LqNode *node)
{
	const char *p = tag.text;
	const char *end = p + tag.len;

	while (p < end && isspace((unsigned char) *p))
		p++;
	node->name = p;
	while (p < end && (isalnum((unsigned char) *p) || *p == '_' ||
					   IS_HIGHBIT_SET(*p) || (*p == '-' && p > node->name)))
		p++;
	node->namelen = p - node->name;
	if (node->namelen == 0)
		ma_liquid_syntax_error(tag.line, "expected the name of a variable");
	tag.text = p;
	tag.len = end - p;
	return tag;
}

/*
 * {% assign name = pipe %}
 */
static LqNode *
tag_assign(LqParser *parser, LqToken tag, LqBlock *block)
{
	LqNode *node = new_node(LQ_ASSIGN, tag);
	LqLexer lexer = lex_tag(parse_name(tag, node));

	ma_liquid_expect(&lexer, '=');
	node->pipe = ma_liquid_pipe(&lexer);
	if (node->pipe.expr == NULL)
		ma_liquid_syntax_error(tag.line, "expected a value after \"=\"");
	node->blank = true;
	return node;
}

/*
 * {% capture name %} ... {% endcapture %}
 */
static LqNode *
tag_capture(LqParser *parser, LqToken tag, LqBlock *block)
{
	static const char *const ends[] = {"endcapture", NULL};
	LqNode					*node = new_node(LQ_CAPTURE, tag);

	expect_nothing(parse_name(tag, node));
	node->body = parse_block(parser, ends);
	node->blank = true;
	return node;
}

/*
 * {% if condition %} ... {% elsif condition %} ... {% else %} ... {% endif %},
 * {% unless condition %} likewise
 */
static LqNode *
tag_if(LqParser *parser, LqToken tag, LqBlock *block)
{
	static const char *const if_ends[] = {"endif", "elsif", "else", NULL};
	static const char *const unless_ends[] = {"endunless", "elsif", "else",
											  NULL};
	bool					 unless = token_is(tag, "unless");
	const char *const		*ends = unless ? unless_ends : if_ends;
	LqNode					*node = new_node(LQ_IF, tag);
	LqBranch			   **last = &node->branches;

	do
	{
		LqBranch *branch = palloc0(sizeof(LqBranch));

		if (!token_is(tag, "else"))
		{
			LqLexer lexer = lex_tag(tag);

			branch->condition = ma_liquid_condition(&lexer);
			branch->negate = unless && last == &node->branches;
		}
		branch->body = parse_block(parser, ends);
		*last = branch;
		last = &branch->next;
		tag = parser->token;
	} while (!token_is(tag, ends[0]));
	finish_branches(node);
	return node;
}

/*
 * {% case expression %}{% when value, value or value %} ... {% else %} ...
 * {% endcase %}. What stands before the first when is dropped.
 */
static LqNode *
tag_case(LqParser *parser, LqToken tag, LqBlock *block)
{
	static const char *const ends[] = {"endcase", "when", "else", NULL};
	LqNode					*node = new_node(LQ_CASE, tag);
	LqBranch			   **last = &node->branches;
	LqLexer					 lexer = lex_tag(tag);

	node->expr = ma_liquid_expr(&lexer);
	ma_liquid_expect_end(&lexer);
	parse_block(parser, ends);
	while (!token_is(parser->token, "endcase"))
	{
		LqBranch *branch = palloc0(sizeof(LqBranch));

		if (token_is(parser->token, "when"))
		{
			lexer = lex_tag(parser->token);
			do
				add_value(&branch->values, &branch->nvalues,
						  ma_liquid_expr(&lexer));
			while (ma_liquid_accept(&lexer, ',') ||
				   ma_liquid_accept_word(&lexer, "or"));
			ma_liquid_expect_end(&lexer);
		}
		branch->body = parse_block(parser, ends);
		*last = branch;
		last = &branch->next;
	}
	finish_branches(node);
	return node;
}

/*
 * A tag whose branches are all blank puts out nothing at all.
 */
static void
finish_branches(LqNode *node)
{
	node->blank = true;
	for (LqBranch *branch = node->branches; branch; branch = branch->next)
		node->blank &= branch->body.blank;
	if (!node->blank)
		return;
	for (LqBranch *branch = node->branches; branch; branch = branch->next)
		strip_blank(&branch->body);
}

/*
 * {% for name in expression options %} ... {% else %} ... {% endfor %}
 */
static LqNode *
tag_for(LqParser *parser, LqToken tag, LqBlock *block)
{
	static const char *const ends[] = {"endfor", "else", NULL};
	LqNode					*node = new_node(LQ_FOR, tag);

	parse_loop(tag, node);
	node->body = parse_block(parser, ends);
	node->otherwise.blank = true;
	if (token_is(parser->token, "else"))
		node->otherwise = parse_block(parser, ends);
	if (token_is(parser->token, "else"))
		ma_liquid_syntax_error(parser->token.line, "second \"else\" of a for");
	node->blank = node->body.blank && node->otherwise.blank;
	if (node->blank)
	{
		strip_blank(&node->body);
		strip_blank(&node->otherwise);
	}
	return node;
}

/*
 * {% tablerow name in expression options %} ... {% endtablerow %}
 */
static LqNode *
tag_tablerow(LqParser *parser, LqToken tag, LqBlock *block)
{
	static const char *const ends[] = {"endtablerow", NULL};
	LqNode					*node = new_node(LQ_TABLEROW, tag);

	parse_loop(tag, node);
	node->body = parse_block(parser, ends);
	return node;
}

/*
 * Parse what for and tablerow have in common. The key is what offset:
 * continue goes by.
 */
static void
parse_loop(LqToken tag, LqNode *node)
{
	LqLexer lexer = lex_tag(tag);

	if (lexer.kind != LQ_LEX_NAME)
		ma_liquid_syntax_error(lexer.line, "expected the name of a variable");
	node->name = lexer.text;
	node->namelen = lexer.len;
	ma_liquid_advance(&lexer);
	if (!ma_liquid_accept_word(&lexer, "in"))
		ma_liquid_syntax_error(lexer.line, "expected \"in\"");
	node->expr = ma_liquid_expr(&lexer);
	node->key = psprintf("%.*s-%.*s", node->namelen, node->name,
						 node->expr->len, node->expr->text);
	node->keylen = strlen(node->key);
	while (lexer.kind != LQ_LEX_END)
	{
		if (!ma_liquid_accept(&lexer, ','))
			parse_loop_option(&lexer, node);
	}
}

/*
 * Parse one of reversed, limit: n, offset: n, offset: continue, cols: n.
 */
static void
parse_loop_option(LqLexer *lexer, LqNode *node)
{
	LqExpr **target;

	if (node->kind == LQ_FOR && ma_liquid_accept_word(lexer, "reversed"))
	{
		node->reversed = true;
		return;
	}
	if (ma_liquid_word(lexer, "limit"))
		target = &node->limit;
	else if (ma_liquid_word(lexer, "offset"))
		target = &node->offset;
	else if (ma_liquid_word(lexer, "cols") && node->kind == LQ_TABLEROW)
		target = &node->cols;
	else
		ma_liquid_syntax_error(lexer->line, "unexpected \"%.*s\" in a loop",
							   lexer->len, lexer->text);
	ma_liquid_advance(lexer);
	ma_liquid_expect(lexer, ':');
	if (target == &node->offset && ma_liquid_accept_word(lexer, "continue"))
		node->offset_continue = true;
	else
		*target = ma_liquid_expr(lexer);
}

/*
 * {% break %}, {% continue %}
 */
static LqNode *
tag_break(LqParser *parser, LqToken tag, LqBlock *block)
{
	expect_nothing(tag);
	return new_node(token_is(tag, "break") ? LQ_BREAK : LQ_CONTINUE, tag);
}

/*
 * {% cycle value, value %}, {% cycle name: value, value %}. Without a name
 * the values as written are the name.
 */
static LqNode *
tag_cycle(LqParser *parser, LqToken tag, LqBlock *block)
{
	LqNode *node = new_node(LQ_CYCLE, tag);
	LqLexer lexer = lex_tag(tag);
	LqExpr *first = ma_liquid_expr(&lexer);

	if (ma_liquid_accept(&lexer, ':'))
	{
		node->expr = first;
		first = ma_liquid_expr(&lexer);
	}
	node->key = tag.text;
	node->keylen = tag.len;
	add_value(&node->values, &node->nvalues, first);
	while (ma_liquid_accept(&lexer, ','))
		add_value(&node->values, &node->nvalues, ma_liquid_expr(&lexer));
	ma_liquid_expect_end(&lexer);
	return node;
}

/*
 * Append an expression to an array.
 */
static void
add_value(LqExpr ***values, int *n, LqExpr *value)
{
	if (*n == 0)
		*values = palloc(sizeof(LqExpr *));
	else
		*values = repalloc(*values, (*n + 1) * sizeof(LqExpr *));
	(*values)[(*n)++] = value;
}

/*
 * {% increment name %}, {% decrement name %}
 */
static LqNode *
tag_counter(LqParser *parser, LqToken tag, LqBlock *block)
{
	LqNode *node = new_node(LQ_COUNTER, tag);

	expect_nothing(parse_name(tag, node));
	node->delta = token_is(tag, "increment") ? 1 : -1;
	return node;
}

/*
 * {% ifchanged %} ... {% endifchanged %}
 */
static LqNode *
tag_ifchanged(LqParser *parser, LqToken tag, LqBlock *block)
{
	static const char *const ends[] = {"endifchanged", NULL};
	LqNode					*node = new_node(LQ_IFCHANGED, tag);

	expect_nothing(tag);
	node->body = parse_block(parser, ends);
	node->blank = node->body.blank;
	return node;
}

/*
 * {% render 'name' options %}, {% include expression options %}
 */
static LqNode *
tag_partial(LqParser *parser, LqToken tag, LqBlock *block)
{
	LqNode *node = new_node(LQ_PARTIAL, tag);
	LqLexer lexer = lex_tag(tag);

	node->isolated = token_is(tag, "render");
	if (node->isolated && lexer.kind != LQ_LEX_STRING)
		ma_liquid_syntax_error(tag.line,
							   "expected the quoted name of a template");
	node->expr = ma_liquid_expr(&lexer);
	if (ma_liquid_word(&lexer, "with") || ma_liquid_word(&lexer, "for"))
	{
		node->each = ma_liquid_word(&lexer, "for");
		ma_liquid_advance(&lexer);
		node->with = ma_liquid_expr(&lexer);
	}
	if (ma_liquid_accept_word(&lexer, "as"))
	{
		if (lexer.kind != LQ_LEX_NAME)
			ma_liquid_syntax_error(tag.line, "expected a name after \"as\"");
		node->alias = lexer.text;
		node->aliaslen = lexer.len;
		ma_liquid_advance(&lexer);
	}
	while (lexer.kind != LQ_LEX_END)
	{
		if (!ma_liquid_accept(&lexer, ','))
			parse_argument(&lexer, node);
	}
	return node;
}

/*
 * Parse name: expression of a partial.
 */
static void
parse_argument(LqLexer *lexer, LqNode *node)
{
	LqArgument *argument;
	int			n = node->narguments++;

	if (lexer->kind != LQ_LEX_NAME)
		ma_liquid_syntax_error(lexer->line, "unexpected \"%.*s\"", lexer->len,
							   lexer->text);
	if (n == 0)
		node->arguments = palloc(sizeof(LqArgument));
	else
		node->arguments =
			repalloc(node->arguments, (n + 1) * sizeof(LqArgument));
	argument = &node->arguments[n];
	argument->name = lexer->text;
	argument->len = lexer->len;
	ma_liquid_advance(lexer);
	ma_liquid_expect(lexer, ':');
	argument->value = ma_liquid_expr(lexer);
}

/*
 * {% liquid %}: each line a tag. They become part of the block around it.
 */
static LqNode *
tag_liquid(LqParser *parser, LqToken tag, LqBlock *block)
{
	LqSource lines = {tag.text, tag.text + tag.len, tag.line, true, false};
	LqParser inner = {.source = &lines, .depth = parser->depth};
	LqBlock	 body = parse_block(&inner, no_ends);

	for (int i = 0; i < body.count; i++)
		add_node(block, body.nodes[i]);
	return NULL;
}

/*
 * {% raw %} ... {% endraw %}
 */
static LqNode *
tag_raw(LqParser *parser, LqToken tag, LqBlock *block)
{
	LqToken text;
	LqNode *node;

	expect_nothing(tag);
	text = ma_liquid_verbatim(parser->source, "endraw");
	node = new_node(LQ_TEXT, text);
	node->name = text.text;
	node->namelen = text.len;
	return node;
}

/*
 * {% doc %} ... {% enddoc %}: what is in between is not even looked at.
 */
static LqNode *
tag_doc(LqParser *parser, LqToken tag, LqBlock *block)
{
	expect_nothing(tag);
	ma_liquid_verbatim(parser->source, "enddoc");
	return NULL;
}

/*
 * {% comment %} ... {% endcomment %}, which nest; tags inside are not parsed.
 */
static LqNode *
tag_comment(LqParser *parser, LqToken tag, LqBlock *block)
{
	int depth = 1;

	while (depth > 0)
	{
		LqToken token = ma_liquid_next(parser->source);

		if (token.kind == LQ_TOKEN_END)
			ma_liquid_syntax_error(tag.line,
								   "block without its \"endcomment\"");
		if (token.kind != LQ_TOKEN_TAG)
			continue;
		if (token_is(token, "comment"))
			depth++;
		else if (token_is(token, "endcomment"))
			depth--;
		else if (token_is(token, "raw") && !parser->source->lines)
			ma_liquid_verbatim(parser->source, "endraw");
	}
	return NULL;
}

/*
 * {% # comment %}, each line of which starts with #
 */
static LqNode *
tag_inline(LqParser *parser, LqToken tag, LqBlock *block)
{
	const char *p = tag.text;
	const char *end = p + tag.len;

	while (p < end && (p = memchr(p, '\n', end - p)) != NULL)
	{
		while (p < end && isspace((unsigned char) *p))
			p++;
		if (p < end && *p != '#')
			ma_liquid_syntax_error(tag.line,
								   "each line of a comment must start with #");
	}
	return NULL;
}
