/*
 * liquid_render.c
 *	  Liquid: from the tree and the data to text.
 *
 * Everything is allocated in the context of the rendering, except what is
 * needed for one output or condition only: that goes to a scratch context,
 * which is reset after it. All loops charge for what they do, so that no
 * template can run, write or allocate beyond the limits.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "liquid.h"
#include "template.h"

/* The most memory one rendering may take, in bytes. */
#define MAX_MEMORY (256 * 1024 * 1024)

/* So many bytes that are handled count as a step. */
#define BYTES_A_STEP 128

/* Reset the scratch context when it holds more than this. */
#define SCRATCH_KEEP (8 * 1024)

static LqJump	   render_block(LqRender *r, const LqBlock *block);
static LqJump	   render_node(LqRender *r, const LqNode *node);
static void		   render_output(LqRender *r, const LqNode *node);
static void		   put_value(LqRender *r, const LqValue *value, bool escaped);
static void		   put(LqRender *r, const char *s, int len);
static bool		   holds(LqRender *r, const LqCondition *condition);
static void		   leave_scratch(LqRender *r, MemoryContext old);
static void		   render_assign(LqRender *r, const LqNode *node);
static LqJump	   render_capture(LqRender *r, const LqNode *node);
static LqJump	   render_if(LqRender *r, const LqNode *node);
static LqJump	   render_case(LqRender *r, const LqNode *node);
static LqJump	   render_for(LqRender *r, const LqNode *node);
static void		   render_tablerow(LqRender *r, const LqNode *node);
static void		   slice(LqRender *r, const LqNode *node, const LqValue *items,
						 int64 *from, int64 *to);
static void		   render_cycle(LqRender *r, const LqNode *node);
static void		   render_counter(LqRender *r, const LqNode *node);
static LqJump	   render_ifchanged(LqRender *r, const LqNode *node);
static LqJump	   render_partial(LqRender *r, const LqNode *node);
static LqJump	   render_shared(LqRender *r, const LqNode *node,
								 const MaTemplate *partial, const LqValue *name);
static void		   render_isolated(LqRender *r, const LqNode *node,
								   const MaTemplate *partial, const LqValue *name);
static LqVariable *push_variable(LqRender *r, LqVariable **list,
								 const char *name, int len, LqValue value);
static LqVariable *find_kept(LqRender *r, LqVariable **list, char prefix,
							 const char *name, int len);

/*
 * Render a template into r->out.
 */
void
ma_liquid_render(LqRender *r, const LqBlock *body)
{
	render_block(r, body);
}

/*
 * Count one step, and more where many bytes are handled; complain when a
 * limit is reached.
 */
void
ma_liquid_charge(LqRender *r, int64 bytes)
{
	CHECK_FOR_INTERRUPTS();
	r->steps += 1 + bytes / BYTES_A_STEP;
	if (r->steps > r->max_steps)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("template does too much"),
				 errdetail("It has taken more than " INT64_FORMAT " steps.",
						   r->max_steps)));
	if (MemoryContextMemAllocated(r->cxt, true) > MAX_MEMORY)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("template needs too much memory")));
}

/*
 * Raise a mistake that shows itself only with the data at hand.
 */
void
ma_liquid_error(LqRender *r, const char *format, ...)
{
	StringInfoData message;

	initStringInfo(&message);
	for (;;)
	{
		va_list args;
		int		needed;

		va_start(args, format);
		needed = appendStringInfoVA(&message, format, args);
		va_end(args);
		if (needed == 0)
			break;
		enlargeStringInfo(&message, needed);
	}
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("template cannot be rendered: %s", message.data)));
}

/*
 * Append text to the result, or to what is captured.
 */
static void
put(LqRender *r, const char *s, int len)
{
	if (r->out->len + (int64) len > r->max_output)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("template writes too much"),
				 errdetail("It has written more than " INT64_FORMAT " bytes.",
						   r->max_output)));
	appendBinaryStringInfo(r->out, s, len);
}

/*
 * Render nodes until the end or a break.
 */
static LqJump
render_block(LqRender *r, const LqBlock *block)
{
	LqJump jump = LQ_JUMP_NONE;

	check_stack_depth();
	if (++r->depth > MA_TEMPLATE_DEPTH)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("templates are nested too deeply")));
	for (int i = 0; i < block->count && jump == LQ_JUMP_NONE; i++)
		jump = render_node(r, block->nodes[i]);
	r->depth--;
	return jump;
}

/*
 * Render one node.
 */
static LqJump
render_node(LqRender *r, const LqNode *node)
{
	r->line = node->line;
	ma_liquid_charge(r, 0);
	switch (node->kind)
	{
		case LQ_TEXT:
			put(r, node->name, node->namelen);
			break;
		case LQ_OUTPUT:
			render_output(r, node);
			break;
		case LQ_ASSIGN:
			render_assign(r, node);
			break;
		case LQ_CAPTURE:
			return render_capture(r, node);
		case LQ_IF:
			return render_if(r, node);
		case LQ_CASE:
			return render_case(r, node);
		case LQ_FOR:
			return render_for(r, node);
		case LQ_TABLEROW:
			render_tablerow(r, node);
			break;
		case LQ_BREAK:
			return LQ_JUMP_BREAK;
		case LQ_CONTINUE:
			return LQ_JUMP_CONTINUE;
		case LQ_CYCLE:
			render_cycle(r, node);
			break;
		case LQ_COUNTER:
			render_counter(r, node);
			break;
		case LQ_IFCHANGED:
			return render_ifchanged(r, node);
		case LQ_PARTIAL:
			return render_partial(r, node);
	}
	return LQ_JUMP_NONE;
}

/*
 * Put out a value.
 */
static void
render_output(LqRender *r, const LqNode *node)
{
	MemoryContext old = MemoryContextSwitchTo(r->scratch);
	LqValue		  value = ma_liquid_eval_pipe(r, &node->pipe);

	put_value(r, &value, node->pipe.escaped);
	leave_scratch(r, old);
}

/*
 * Put out a value, escaped where the options want it and it is not yet.
 */
static void
put_value(LqRender *r, const LqValue *value, bool escaped)
{
	StringInfoData buffer;
	LqValue		   text = *value;

	if (value->kind == LQ_NIL)
		return;
	if (value->kind != LQ_STRING)
	{
		initStringInfo(&buffer);
		ma_liquid_append(&buffer, value);
		text = ma_liquid_buffer(r, &buffer);
	}
	if ((r->options->escape || r->options->url) && !escaped && !text.safe)
	{
		initStringInfo(&buffer);
		if (r->options->url)
			ma_liquid_append_url(&buffer, text.string.data, text.string.len,
								 "%20");
		else
			ma_liquid_append_escaped(&buffer, text.string.data,
									 text.string.len);
		text = ma_liquid_buffer(r, &buffer);
	}
	put(r, text.string.data, text.string.len);
}

/*
 * Go back to the context of before and forget what was needed for one thing.
 */
static void
leave_scratch(LqRender *r, MemoryContext old)
{
	MemoryContextSwitchTo(old);
	if (old != r->scratch &&
		MemoryContextMemAllocated(r->scratch, false) > SCRATCH_KEEP)
		MemoryContextReset(r->scratch);
}

/*
 * Does a condition hold?
 */
static bool
holds(LqRender *r, const LqCondition *condition)
{
	MemoryContext old = MemoryContextSwitchTo(r->scratch);
	bool		  result = ma_liquid_holds(r, condition);

	leave_scratch(r, old);
	return result;
}

/*
 * Set a variable of the template.
 */
static void
assign(LqRender *r, const LqNode *node, LqValue value)
{
	for (LqVariable *v = r->locals; v; v = v->next)
	{
		if (v->len == node->namelen &&
			memcmp(v->name, node->name, v->len) == 0)
		{
			v->value = value;
			return;
		}
	}
	push_variable(r, &r->locals, node->name, node->namelen, value);
}

/*
 * Render assign.
 */
static void
render_assign(LqRender *r, const LqNode *node)
{
	assign(r, node, ma_liquid_eval_pipe(r, &node->pipe));
}

/*
 * Render capture. Its outputs are escaped, so that it need not be.
 */
static LqJump
render_capture(LqRender *r, const LqNode *node)
{
	StringInfo	   outer = r->out;
	StringInfoData buffer;
	LqJump		   jump;
	LqValue		   value;

	initStringInfo(&buffer);
	r->out = &buffer;
	jump = render_block(r, &node->body);
	r->out = outer;
	value = ma_liquid_buffer(r, &buffer);
	value.safe = r->options->escape || r->options->url;
	assign(r, node, value);
	return jump;
}

/*
 * Render the first branch whose condition holds.
 */
static LqJump
render_if(LqRender *r, const LqNode *node)
{
	for (const LqBranch *branch = node->branches; branch;
		 branch = branch->next)
	{
		if (branch->condition == NULL ||
			holds(r, branch->condition) != branch->negate)
			return render_block(r, &branch->body);
	}
	return LQ_JUMP_NONE;
}

/*
 * Render each branch once for each of its values that is the one; an else
 * where none was so far.
 */
static LqJump
render_case(LqRender *r, const LqNode *node)
{
	LqValue value = ma_liquid_eval(r, node->expr);
	bool	otherwise = true;
	LqJump	jump = LQ_JUMP_NONE;

	for (const LqBranch *branch = node->branches; branch;
		 branch = branch->next)
	{
		if (branch->nvalues == 0 && otherwise)
			jump = render_block(r, &branch->body);
		for (int i = 0; i < branch->nvalues && jump == LQ_JUMP_NONE; i++)
		{
			LqValue when = ma_liquid_eval(r, branch->values[i]);

			if (!ma_liquid_equal(r, &value, &when))
				continue;
			otherwise = false;
			jump = render_block(r, &branch->body);
		}
		if (jump != LQ_JUMP_NONE)
			break;
	}
	return jump;
}

/*
 * Render for.
 */
static LqJump
render_for(LqRender *r, const LqNode *node)
{
	LqValue		collection = ma_liquid_eval(r, node->expr);
	LqValue		items = ma_liquid_items(r, &collection);
	LqVariable *outer_scope = r->scope;
	LqVariable *variable;
	LqLoop		loop = {
			 .name = node->key, .namelen = node->keylen, .parent = r->loop};
	LqValue forloop = {.kind = LQ_LOOP, .loop = &loop};
	int64	from;
	int64	to;

	slice(r, node, &items, &from, &to);
	if (from >= to)
		return render_block(r, &node->otherwise);

	loop.length = to - from;
	variable = push_variable(r, &r->scope, node->name, node->namelen,
							 ma_liquid_nil());
	push_variable(r, &r->scope, "forloop", strlen("forloop"), forloop);
	r->loop = &loop;
	for (; loop.index0 < loop.length; loop.index0++)
	{
		int64 i = node->reversed ? to - 1 - loop.index0 : from + loop.index0;

		ma_liquid_charge(r, 0);
		variable->value = ma_liquid_item(&items, i);
		if (render_block(r, &node->body) == LQ_JUMP_BREAK)
			break;
	}
	r->loop = loop.parent;
	r->scope = outer_scope;
	return LQ_JUMP_NONE;
}

/*
 * The part of the items that limit and offset leave: from (included) to to
 * (not). It is remembered for offset: continue.
 */
static void
slice(LqRender *r, const LqNode *node, const LqValue *items, int64 *from,
	  int64 *to)
{
	int64		count = ma_liquid_count(items);
	LqVariable *kept = find_kept(r, &r->kept, 'f', node->key, node->keylen);
	LqValue		value = ma_liquid_nil();

	*from = 0;
	if (node->offset_continue)
		value = kept->value;
	else if (node->offset)
		value = ma_liquid_eval(r, node->offset);
	if (value.kind != LQ_NIL)
		*from = ma_liquid_to_integer(r, &value);
	*from = Min(Max(*from, 0), count);

	*to = count;
	value = ma_liquid_nil();
	if (node->limit)
		value = ma_liquid_eval(r, node->limit);
	if (value.kind != LQ_NIL)
		*to = *from +
			  Min(Max(ma_liquid_to_integer(r, &value), 0), count - *from);
	kept->value = ma_liquid_integer(*to);
}

/*
 * Render tablerow: the items in the cells of an HTML table.
 */
static void
render_tablerow(LqRender *r, const LqNode *node)
{
	LqValue		collection = ma_liquid_eval(r, node->expr);
	LqValue		items = ma_liquid_items(r, &collection);
	LqVariable *outer_scope = r->scope;
	LqVariable *variable;
	LqLoop		loop = {.parent = NULL};
	LqValue		tablerowloop = {.kind = LQ_LOOP, .loop = &loop};
	LqJump		jump = LQ_JUMP_NONE;
	int64		from;
	int64		to;
	char	   *tag;

	slice(r, node, &items, &from, &to);
	loop.length = loop.cols = to - from;
	if (node->cols)
	{
		LqValue cols = ma_liquid_eval(r, node->cols);

		if (cols.kind != LQ_NIL)
			loop.cols = Max(ma_liquid_to_integer(r, &cols), 1);
	}
	variable = push_variable(r, &r->scope, node->name, node->namelen,
							 ma_liquid_nil());
	push_variable(r, &r->scope, "tablerowloop", strlen("tablerowloop"),
				  tablerowloop);
	put(r, "<tr class=\"row1\">\n", 18);
	for (; loop.index0 < loop.length && jump != LQ_JUMP_BREAK; loop.index0++)
	{
		int64 col = loop.index0 % loop.cols;

		ma_liquid_charge(r, 0);
		if (col == 0 && loop.index0 > 0)
		{
			tag = psprintf("</tr>\n<tr class=\"row" INT64_FORMAT "\">",
						   loop.index0 / loop.cols + 1);
			put(r, tag, strlen(tag));
		}
		tag = psprintf("<td class=\"col" INT64_FORMAT "\">", col + 1);
		put(r, tag, strlen(tag));
		variable->value = ma_liquid_item(&items, from + loop.index0);
		jump = render_block(r, &node->body);
		put(r, "</td>", 5);
	}
	put(r, "</tr>\n", 6);
	r->scope = outer_scope;
}

/*
 * Render the next value of a cycle.
 */
static void
render_cycle(LqRender *r, const LqNode *node)
{
	LqValue		name = ma_liquid_string(node->key, node->keylen);
	LqVariable *kept;
	LqValue		value;
	int64		i;

	if (node->expr)
	{
		value = ma_liquid_eval(r, node->expr);
		name = ma_liquid_text(r, &value);
	}
	kept = find_kept(r, &r->kept, node->expr ? 'n' : 'c', name.string.data,
					 name.string.len);
	i = kept->value.kind == LQ_INTEGER ? kept->value.integer : 0;
	kept->value = ma_liquid_integer(i + 1 < node->nvalues ? i + 1 : 0);
	if (i < node->nvalues)
	{
		value = ma_liquid_eval(r, node->values[i]);
		put_value(r, &value, false);
	}
}

/*
 * Render increment, which shows the counter and then adds 1, or decrement,
 * which first takes 1 away.
 */
static void
render_counter(LqRender *r, const LqNode *node)
{
	LqVariable *counter =
		find_kept(r, &r->counters, '\0', node->name, node->namelen);
	LqValue shown;

	if (counter->value.kind != LQ_INTEGER)
		counter->value = ma_liquid_integer(0);
	shown = counter->value;
	counter->value.integer += node->delta;
	if (node->delta < 0)
		shown = counter->value;
	put_value(r, &shown, false);
}

/*
 * Render a block if it comes out other than the last one did.
 */
static LqJump
render_ifchanged(LqRender *r, const LqNode *node)
{
	LqVariable	  *last = find_kept(r, &r->kept, 'i', "", 0);
	StringInfo	   outer = r->out;
	StringInfoData buffer;
	LqJump		   jump;
	LqValue		   text;

	initStringInfo(&buffer);
	r->out = &buffer;
	jump = render_block(r, &node->body);
	r->out = outer;
	text = ma_liquid_buffer(r, &buffer);
	if (!ma_liquid_equal(r, &text, &last->value))
	{
		last->value = text;
		put(r, text.string.data, text.string.len);
	}
	return jump;
}

/*
 * Render another template.
 */
static LqJump
render_partial(LqRender *r, const LqNode *node)
{
	LqValue			  name = ma_liquid_eval(r, node->expr);
	const MaTemplate *partial = NULL;
	LqJump			  jump = LQ_JUMP_NONE;
	int				  line = r->line;
	char			 *text;

	name = ma_liquid_text(r, &name);
	text = pnstrdup(name.string.data, name.string.len);
	if (r->options->fetch)
		partial = r->options->fetch(text, r->options->fetch_arg);
	if (partial == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("template \"%s\" does not exist", text)));
	if (node->isolated)
		render_isolated(r, node, partial, &name);
	else
		jump = render_shared(r, node, partial, &name);
	r->line = line;
	return jump;
}

/*
 * Put the arguments of a partial in scope.
 */
static void
push_arguments(LqRender *r, const LqNode *node, const LqValue *values)
{
	for (int i = 0; i < node->narguments; i++)
		push_variable(r, &r->scope, node->arguments[i].name,
					  node->arguments[i].len, values[i]);
}

/*
 * Evaluate the arguments of a partial.
 */
static LqValue *
eval_arguments(LqRender *r, const LqNode *node)
{
	LqValue *values = palloc((node->narguments + 1) * sizeof(LqValue));

	for (int i = 0; i < node->narguments; i++)
		values[i] = ma_liquid_eval(r, node->arguments[i].value);
	return values;
}

/*
 * Render a partial as if its text stood here: include.
 */
static LqJump
render_shared(LqRender *r, const LqNode *node, const MaTemplate *partial,
			  const LqValue *name)
{
	LqVariable *outer_scope = r->scope;
	LqValue		with =
		node->with ? ma_liquid_eval(r, node->with) : ma_liquid_nil();
	bool		each = ma_liquid_listable(&with);
	int64		count = each ? ma_liquid_count(&with) : 1;
	LqVariable *variable = NULL;
	LqJump		jump = LQ_JUMP_NONE;

	push_arguments(r, node, eval_arguments(r, node));
	if (node->with)
		variable = push_variable(
			r, &r->scope, node->alias ? node->alias : name->string.data,
			node->alias ? node->aliaslen : name->string.len, with);
	for (int64 i = 0; i < count && jump == LQ_JUMP_NONE; i++)
	{
		ma_liquid_charge(r, 0);
		if (each)
			variable->value = ma_liquid_item(&with, i);
		jump = render_block(r, &partial->body);
	}
	r->scope = outer_scope;
	return jump;
}

/*
 * Render a partial that sees only its arguments and the data: render.
 */
static void
render_isolated(LqRender *r, const LqNode *node, const MaTemplate *partial,
				const LqValue *name)
{
	LqRender outer = *r;
	LqValue *values = eval_arguments(r, node);
	LqValue	 with =
		 node->with ? ma_liquid_eval(r, node->with) : ma_liquid_nil();
	bool	each = node->each && ma_liquid_listable(&with);
	LqLoop	loop = {.name = "", .length = each ? ma_liquid_count(&with) : 1};
	LqValue forloop = {.kind = LQ_LOOP, .loop = &loop};

	for (; loop.index0 < loop.length; loop.index0++)
	{
		ma_liquid_charge(r, 0);
		r->scope = r->locals = r->counters = r->kept = NULL;
		r->loop = NULL;
		push_arguments(r, node, values);
		if (node->with)
			push_variable(r, &r->scope,
						  node->alias ? node->alias : name->string.data,
						  node->alias ? node->aliaslen : name->string.len,
						  each ? ma_liquid_item(&with, loop.index0) : with);
		if (each)
			push_variable(r, &r->scope, "forloop", strlen("forloop"), forloop);
		render_block(r, &partial->body);
	}
	r->scope = outer.scope;
	r->locals = outer.locals;
	r->counters = outer.counters;
	r->kept = outer.kept;
	r->loop = outer.loop;
}

/*
 * Put a variable in front of a list.
 */
static LqVariable *
push_variable(LqRender *r, LqVariable **list, const char *name, int len,
			  LqValue value)
{
	LqVariable *variable = MemoryContextAlloc(r->cxt, sizeof(LqVariable));

	variable->name = name;
	variable->len = len;
	variable->value = value;
	variable->next = *list;
	*list = variable;
	return variable;
}

/*
 * Find a state by its name, made unlike other kinds of state by a prefix
 * (none for '\0'); new ones are nil.
 */
static LqVariable *
find_kept(LqRender *r, LqVariable **list, char prefix, const char *name,
		  int len)
{
	char *key = MemoryContextAlloc(r->cxt, len + 2);
	int	  n = 0;

	if (prefix != '\0')
		key[n++] = prefix;
	memcpy(key + n, name, len);
	n += len;
	for (LqVariable *v = *list; v; v = v->next)
	{
		if (v->len == n && memcmp(v->name, key, n) == 0)
		{
			pfree(key);
			return v;
		}
	}
	return push_variable(r, list, key, n, ma_liquid_nil());
}
