/*
 * template_part.c
 *	  Templates that other templates render: {% render 'footer' %}.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "liquid.h"
#include "sql.h"
#include "template_store.h"

/* Is told each name of a part that stands in a template. */
typedef void (*Visitor)(const LqExpr *name, void *arg);

/* What check() has to know. */
typedef struct Check
{
	List		  *path; /* names, from the template being defined */
	MaTemplatePart part;
} Check;

static void walk(const LqBlock *block, Visitor visit, void *arg);
static void check(const LqExpr *name, void *arg);

/* Visits the names of parts in the branches of an if or case. */
static void
walk_branches(const LqBranch *branch, Visitor visit, void *arg)
{
	for (; branch != NULL; branch = branch->next)
		walk(&branch->body, visit, arg);
}

/* Visits the names of parts in a block; those that data give are unknown. */
static void
walk(const LqBlock *block, Visitor visit, void *arg)
{
	for (int i = 0; i < block->count; i++)
	{
		const LqNode *node = block->nodes[i];

		if (node->kind == LQ_PARTIAL && node->expr->kind == LQ_EXPR_LITERAL &&
			node->expr->literal.kind == LQ_STRING)
			visit(node->expr, arg);
		walk(&node->body, visit, arg);
		walk(&node->otherwise, visit, arg);
		walk_branches(node->branches, visit, arg);
	}
}

/* The name that an expression is. */
static char *
name_of(const LqExpr *expr)
{
	return pnstrdup(expr->literal.string.data, expr->literal.string.len);
}

/* Raises that templates render each other. */
static void
refuse_circle(List *path, const char *name)
{
	StringInfoData	text;
	const ListCell *cell;

	initStringInfo(&text);
	foreach (cell, path)
		appendStringInfo(&text, "%s -> ", (char *) lfirst(cell));
	appendStringInfoString(&text, name);
	ereport(ERROR, (errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
					errmsg("template \"%s\" would render itself",
						   (char *) linitial(path)),
					errdetail("%s", text.data)));
}

/* The part of a variant that stands where a template renders it. */
static const MaTemplate *
part_of(const MaTemplateVariant *variant, MaTemplatePart part)
{
	return part == MA_PART_HTML ? variant->html : variant->body;
}

/* Checks a part that is named, and those that it names. */
static void
check(const LqExpr *expr, void *arg)
{
	Check *so_far = arg;
	Check  deeper = *so_far;
	char  *name = name_of(expr);
	const MaStoredTemplate *template;

	if (strcmp(name, linitial(so_far->path)) == 0)
		refuse_circle(so_far->path, name);
	template = ma_template_lookup(name);
	if (template == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("template \"%s\" does not exist", name),
				 errhint("Create what is rendered first; with channel => "
						 "null if it is only a part.")));
	if (part_of(&template->variants[0], so_far->part) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("template \"%s\" has no %s", name,
						so_far->part == MA_PART_HTML ? "html" : "body")));
	deeper.path = lappend(list_copy(so_far->path), name);
	for (int i = 0; i < template->nvariants; i++)
	{
		const MaTemplate *part = part_of(&template->variants[i], deeper.part);

		if (part != NULL)
			walk(&part->body, check, &deeper);
	}
}

/*
 * Do the templates exist that this part of a template renders, and does none
 * of them render this one?
 */
void
ma_template_check_parts(const char *name, MaTemplatePart part,
						const MaTemplate *template)
{
	Check so_far = {list_make1(pstrdup(name)), part};

	ma_template_hold();
	PG_TRY();
	{
		walk(&template->body, check, &so_far);
	}
	PG_FINALLY();
	{
		ma_template_release();
	}
	PG_END_TRY();
}

/* Whether a name occurs. */
typedef struct Search
{
	const char *name;
	bool		found;
} Search;

static void
look(const LqExpr *expr, void *arg)
{
	Search *search = arg;

	search->found = search->found || strcmp(name_of(expr), search->name) == 0;
}

/* Does a template name a part? */
static bool
names_part(const MaTemplate *template, const char *name)
{
	Search search = {name, false};

	walk(&template->body, look, &search);
	return search.found;
}

/*
 * The templates that render this one, for a message: template "a", template
 * "b"; NULL if there is none.
 */
char *
ma_template_users(const char *name)
{
	static MaStatement sources = {
		"select t.name, p.source from mautomate_internal.template t"
		" join mautomate_internal.template_variant x"
		" using (template_id, version),"
		" lateral (values (x.subject), (x.html), (x.body)) p(source)"
		" where strpos(p.source, $1) > 0 and not t.dropped order by t.name",
		1,
		{TEXTOID}};
	Datum		   value = CStringGetTextDatum(name);
	const char	  *last = "";
	MaSqlScope	   scope;
	StringInfoData users;
	MemoryContext  caller = CurrentMemoryContext;

	initStringInfo(&users);
	ma_sql_begin(&scope);
	ma_sql_exec(&sources, &value, NULL, 0);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		char *user = ma_sql_text(i, 1);
		MaTemplate *template =
			ma_template_parse(ma_sql_text(i, 2), CurrentMemoryContext);

		if (strcmp(user, last) != 0 && names_part(template, name))
		{
			appendStringInfo(&users, "%stemplate \"%s\"",
							 users.len == 0 ? "" : ", ", user);
			last = user;
		}
		ma_template_free(template);
	}
	ma_sql_end(&scope);
	MemoryContextSwitchTo(caller);
	return users.len == 0 ? NULL : users.data;
}
