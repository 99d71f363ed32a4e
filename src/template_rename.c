/*
 * template_rename.c
 *	  Templates follow what gets another name.
 *
 * Every version does, in place: a message that waits says what it would have
 * said. Sources are rewritten where they name it (liquid_rename.c), and so
 * are the texts of payloads and attachments, and those of http channels.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "document.h"
#include "sql.h"
#include "template_store.h"

/* The columns of a variant that are Liquid, and those with Liquid in them. */
#define COLUMNS 5
#define IS_JSON 3 /* from this one on */

/* Settings of a channel that are Liquid, or have Liquid in them. */
static const char *const liquid_settings[] = {"url", "headers", "form",
											  "body"};

/* A row that is looked through. */
typedef struct Variant
{
	const MaRename *rename;
	bool			told; /* a workflow sends it that waits for such events */
	List		   *doubts; /* of places, char * */
	bool			changed;
} Variant;

/* Locks the table of templates until the end of the transaction. */
static void
lock_templates(LOCKMODE mode)
{
	LockRelationOid(
		get_relname_relid("template",
						  get_namespace_oid("mautomate_internal", false)),
		mode);
}

/*
 * Makes whoever renders messages wait, who would say what was read of a
 * contact before by a text of afterwards, and whoever defines templates.
 */
void
ma_template_lock(void)
{
	lock_templates(ExclusiveLock);
}

/*
 * Makes whoever renames something wait: from before the contacts are read
 * until what is said to them is rendered.
 */
void
ma_template_lock_names(void)
{
	lock_templates(RowShareLock);
}

/* The text of a source afterwards; NULL if nothing changes. */
static char *
rename_source(Variant *variant, const char *source)
{
	char *text = ma_template_rename(source, variant->rename, variant->told,
									&variant->doubts);

	variant->changed |= text != NULL;
	return text;
}

/* The path of a value, {"=": "contact.x"}, afterwards; NULL likewise. */
static char *
rename_path(Variant *variant, char *path)
{
	const MaRename *rename = variant->rename;
	char		   *name = path + strlen("contact.");
	int				len;

	if (rename->what != MA_NAMED_ATTRIBUTE ||
		strncmp(path, "contact.", strlen("contact.")) != 0)
		return NULL;
	len = strcspn(name, ".");
	if (len != strlen(rename->old_name) ||
		strncmp(name, rename->old_name, len) != 0)
		return NULL;
	if (strchr(rename->new_name, '.') != NULL)
		ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_NAME),
			 errmsg("\"%s\" cannot be written in a payload", rename->new_name),
			 errdetail("A path such as \"%s\" is split at its points.",
					   path)));
	variant->changed = true;
	return psprintf("contact.%s%s", rename->new_name, name + len);
}

/* A string of JSON whose texts are Liquid, but for paths. */
static const char *
rename_text(const MaNode *node, const MaNode *object, void *arg)
{
	MaNode value;

	if (object != NULL && ma_doc_length(object) == 1 &&
		ma_doc_get(object, "=", &value))
		return rename_path(arg, ma_doc_text(node));
	return rename_source(arg, ma_doc_text(node));
}

/* Is a value of a channel's settings Liquid? */
static bool
is_liquid(const MaNode *node)
{
	int len = strcspn(node->path, ".[");

	for (int i = 0; i < lengthof(liquid_settings); i++)
		if (len == strlen(liquid_settings[i]) &&
			strncmp(node->path, liquid_settings[i], len) == 0)
			return true;
	return false;
}

/* A string of the settings of a channel; "to" names an attribute. */
static const char *
rename_setting(const MaNode *node, const MaNode *object, void *arg)
{
	Variant		   *variant = arg;
	const MaRename *rename = variant->rename;

	if (is_liquid(node))
		return rename_text(node, object, arg);
	if (rename->what != MA_NAMED_ATTRIBUTE || strcmp(node->path, "to") != 0 ||
		strcmp(ma_doc_text(node), rename->old_name) != 0 ||
		strcmp(rename->old_name, "none") == 0) /* it goes elsewhere */
		return NULL;
	variant->changed = true;
	return rename->new_name;
}

/* A column of a variant afterwards. */
static Datum
rename_column(Variant *variant, Datum value, bool is_json)
{
	MaDocCopy how = {.text = rename_text, .arg = variant};
	char	 *source;

	if (is_json)
		return JsonbPGetDatum(ma_doc_copy(DatumGetJsonbPCopy(value), &how));
	source = rename_source(variant, TextDatumGetCString(value));
	return source ? CStringGetTextDatum(source) : value;
}

/* Tells of what is left as it is. */
static void
notice_doubts(const Variant *variant, const char *what, const char *name)
{
	const char *place = linitial(variant->doubts);

	ereport(NOTICE,
			(errmsg("%s \"%s\": \"%s\" may be meant here too, and stays "
					"as it is",
					what, name, variant->rename->old_name),
			 errdetail("%.*s", (int) strcspn(place, "\n"), place),
			 errhint("Look at it, and change it where it has to follow.")));
}

/* Rewrites the channels that name something. */
static void
rename_channels(const MaRename *rename)
{
	static MaStatement channels = {
		"select channel_id, settings, name, not dropped"
		" from mautomate_internal.channel where transport = 'http'"
		" order by name",
		0};
	static MaStatement rewrite = {
		"update mautomate_internal.channel set settings = $2,"
		" recipient = coalesce($2 ->> 'to', recipient) where channel_id = $1",
		2,
		{INT4OID, JSONBOID}};
	uint64		   n = ma_sql_exec(&channels, NULL, NULL, 0);
	SPITupleTable *found = SPI_tuptable;

	for (uint64 i = 0; i < n; i++)
	{
		HeapTuple row = found->vals[i];
		Variant	  variant = {rename};
		MaDocCopy how = {.text = rename_setting, .arg = &variant};
		Datum	  values[2];
		bool	  isnull;

		values[0] = SPI_getbinval(row, found->tupdesc, 1, &isnull);
		values[1] = SPI_getbinval(row, found->tupdesc, 2, &isnull);
		values[1] =
			JsonbPGetDatum(ma_doc_copy(DatumGetJsonbPCopy(values[1]), &how));
		if (variant.changed)
			ma_sql_exec(&rewrite, values, NULL, 0);
		if (variant.doubts != NIL &&
			DatumGetBool(SPI_getbinval(row, found->tupdesc, 4, &isnull)))
			notice_doubts(&variant, "channel",
						  SPI_getvalue(row, found->tupdesc, 3));
	}
}

/*
 * Rewrites the templates that name something, also those of the past, and
 * the channels. What may name it in the newest version of one is told.
 */
void
ma_template_rename_all(const MaRename *rename)
{
	static MaStatement variants = {
		"select x.template_id, x.version, x.locale, x.subject, x.html,"
		" x.body, x.payload, x.attachments, t.name,"
		" x.version = t.version and not t.dropped,"
		" exists (select from mautomate_internal.workflow_version v"
		" where x.template_id = any (v.templates)"
		" and (v.program -> 'entries' @> jsonb_build_array("
		" jsonb_build_object('match', jsonb_build_object($1, $2)))"
		" or exists (select from jsonb_path_query(v.definition, '$.**.event') e"
		" where e #>> '{}' = any ($3))))"
		" from mautomate_internal.template_variant x"
		" join mautomate_internal.template t using (template_id)"
		" where concat_ws(' ', x.subject, x.html, x.body, x.payload,"
		" x.attachments) ~ '[{][{%]|\"=\"'"
		" order by t.name, x.version, x.locale",
		3,
		{TEXTOID, TEXTOID, TEXTARRAYOID}};
	static MaStatement rewrite = {
		"update mautomate_internal.template_variant set subject = $4,"
		" html = $5, body = $6, payload = $7, attachments = $8"
		" where template_id = $1 and version = $2 and locale = $3",
		3 + COLUMNS,
		{INT4OID, INT4OID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, JSONBOID,
		 JSONBOID}};
	const char	  *property = ma_rename_property(rename->what);
	Datum		   told[3] = {CStringGetTextDatum(property ? property : ""),
							  CStringGetTextDatum(rename->old_name),
							  ma_rename_kinds(rename->what)};
	MaSqlScope	   scope;
	SPITupleTable *found;
	uint64		   n;

	ma_sql_begin(&scope);
	n = ma_sql_exec(&variants, told, NULL, 0);
	found = SPI_tuptable;
	for (uint64 i = 0; i < n; i++)
	{
		HeapTuple row = found->vals[i];
		Variant	  variant = {rename};
		Datum	  values[3 + COLUMNS];
		char	  nulls[3 + COLUMNS + 1] = "";
		bool	  isnull;

		variant.told =
			DatumGetBool(SPI_getbinval(row, found->tupdesc, 11, &isnull));
		for (int c = 0; c < 3 + COLUMNS; c++)
		{
			values[c] = SPI_getbinval(row, found->tupdesc, c + 1, &isnull);
			nulls[c] = isnull ? 'n' : ' ';
			if (c >= 3 && !isnull)
				values[c] =
					rename_column(&variant, values[c], c >= 3 + IS_JSON);
		}
		if (variant.changed)
			ma_sql_exec(&rewrite, values, nulls, 0);
		if (variant.doubts != NIL &&
			DatumGetBool(SPI_getbinval(row, found->tupdesc, 10, &isnull)))
			notice_doubts(&variant, "template",
						  SPI_getvalue(row, found->tupdesc, 9));
	}
	rename_channels(rename);
	ma_sql_end(&scope);
}
