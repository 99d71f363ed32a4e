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

/* Whether a name occurs, and where. */
typedef struct Search
{
	const char *name;
	List	   *places; /* of LqExpr, from the end of the source */
} Search;

static void
collect(const LqExpr *expr, void *arg)
{
	Search *search = arg;

	if (strcmp(name_of(expr), search->name) == 0)
		search->places = lappend(search->places, unconstify(LqExpr *, expr));
}

/* Where a source names a part. */
static List *
places_in(const MaTemplate *template, const char *name)
{
	Search search = {name, NIL};

	walk(&template->body, collect, &search);
	return search.places;
}

/* Sources of templates that contain a text; $2: also those of the past. */
static MaStatement sources = {
	"select x.template_id, x.version, x.locale, p.part, t.name, p.source"
	" from mautomate_internal.template t"
	" join mautomate_internal.template_variant x using (template_id),"
	" lateral (values ('subject', x.subject), ('html', x.html),"
	"  ('body', x.body)) p(part, source)"
	" where strpos(p.source, $1) > 0"
	" and ($2 or (x.version = t.version and not t.dropped))"
	" order by t.name, x.version, x.locale, p.part",
	2,
	{TEXTOID, BOOLOID}};

/*
 * The templates that render this one, for a message: template "a", template
 * "b"; NULL if there is none.
 */
char *
ma_template_users(const char *name)
{
	Datum		values[2] = {CStringGetTextDatum(name), BoolGetDatum(false)};
	const char *last = "";
	MaSqlScope	scope;
	StringInfoData users;
	MemoryContext  caller = CurrentMemoryContext;

	initStringInfo(&users);
	ma_sql_begin(&scope);
	ma_sql_exec(&sources, values, NULL, 0);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		char *user = ma_sql_text(i, 5);
		MaTemplate *template =
			ma_template_parse(ma_sql_text(i, 6), CurrentMemoryContext);

		if (strcmp(user, last) != 0 && places_in(template, name) != NIL)
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

/* How a name is written in Liquid. */
static char *
quoted(const char *name)
{
	if (strchr(name, '\'') == NULL)
		return psprintf("'%s'", name);
	if (strchr(name, '"') == NULL)
		return psprintf("\"%s\"", name);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_NAME),
			 errmsg("\"%s\" cannot be the name of a part", name),
			 errdetail("Liquid has no way to write both quotes in a name.")));
}

/* A source in which places have another name. */
static char *
replaced(const MaTemplate *template, const List *places, const char *name)
{
	StringInfoData	source;
	const char	   *rest = template->source;
	const ListCell *cell;

	initStringInfo(&source);
	foreach (cell, places)
	{
		const LqValue *old = &((const LqExpr *) lfirst(cell))->literal;

		/* with its quotes */
		appendBinaryStringInfo(&source, rest, old->string.data - 1 - rest);
		appendStringInfoString(&source, name);
		rest = old->string.data + old->string.len + 1;
	}
	appendStringInfoString(&source, rest);
	return source.data;
}

static int
compare_places(const ListCell *a, const ListCell *b)
{
	const LqExpr *x = lfirst(a);
	const LqExpr *y = lfirst(b);

	return (x->literal.string.data > y->literal.string.data) -
		   (x->literal.string.data < y->literal.string.data);
}

/*
 * Rewrites the templates that render this one, those of messages that wait
 * as well: what they mean stays as it is.
 */
void
ma_template_rename_part(const char *name, const char *new_name)
{
	static MaStatement rewrite = {
		"update mautomate_internal.template_variant set"
		" subject = case $4 when 'subject' then $5 else subject end,"
		" html = case $4 when 'html' then $5 else html end,"
		" body = case $4 when 'body' then $5 else body end"
		" where template_id = $1 and version = $2 and locale = $3",
		5,
		{INT4OID, INT4OID, TEXTOID, TEXTOID, TEXTOID}};
	Datum		   values[5] = {CStringGetTextDatum(name), BoolGetDatum(true)};
	MaSqlScope	   scope;
	SPITupleTable *found;
	uint64		   n;

	ma_sql_begin(&scope);
	n = ma_sql_exec(&sources, values, NULL, 0);
	found = SPI_tuptable;
	for (uint64 i = 0; i < n; i++)
	{
		HeapTuple row = found->vals[i];
		bool	  isnull;
		MaTemplate *template = ma_template_parse(
			SPI_getvalue(row, found->tupdesc, 6), CurrentMemoryContext);
		List *places = places_in(template, name);

		list_sort(places, compare_places);
		for (int c = 1; c <= 4; c++)
			values[c - 1] = SPI_getbinval(row, found->tupdesc, c, &isnull);
		values[4] =
			CStringGetTextDatum(replaced(template, places, quoted(new_name)));
		if (places != NIL)
			ma_sql_exec(&rewrite, values, NULL, 0);
		ma_template_free(template);
	}
	ma_sql_end(&scope);
}
