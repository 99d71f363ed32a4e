/*
 * template_cache.c
 *	  Versions of templates, parsed once and rendered many times.
 *
 * A version never changes, and a message that waits keeps the one it was made
 * with. What is parsed is kept per backend, by template and version. Since a
 * version that was rolled back may come back with another text, a change of
 * the table empties the cache, at a look-up; a caller keeps what it found
 * until the next look-up only.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "clock.h"
#include "inval.h"
#include "sql.h"
#include "template_store.h"

/* With more versions than this in use the cache starts anew. */
#define CACHE_SIZE 500

/* The key of a cached version. */
typedef struct VersionKey
{
	int template_id;
	int version;
} VersionKey;

/* A cached version. */
typedef struct VersionEntry
{
	VersionKey		 key;
	MaStoredTemplate stored;
} VersionEntry;

static void		   reset_cache(void);
static void		   load_version(MaStoredTemplate *stored);
static MaTemplate *parse(const char *source);

static MaWatch		 watch = {"template"};
static MemoryContext cache_cxt = NULL;
static HTAB			*cache = NULL; /* of VersionEntry, in cache_cxt */

/*
 * A version of a template, 0 meaning the newest; valid until the next
 * look-up.
 */
const MaStoredTemplate *
ma_template_find(int template_id, int version)
{
	MaStoredTemplate stored = {template_id, version};
	VersionKey		 key = {template_id, version};
	VersionEntry	*entry;
	bool			 found;

	if (!ma_inval_watch(&watch))
		elog(ERROR, "mautomate is not installed");
	if (cache == NULL || watch.stale ||
		hash_get_num_entries(cache) >= CACHE_SIZE)
		reset_cache();
	entry = hash_search(cache, &key, HASH_FIND, NULL);
	if (entry != NULL)
		return &entry->stored;
	load_version(&stored);
	entry = hash_search(cache, &key, HASH_ENTER, &found);
	entry->stored = stored;
	return &entry->stored;
}

/*
 * Renders the parts in the current context. strict: an unknown variable is
 * an error. What a mistake belongs to is told in the error's context.
 */
void
ma_template_say(const MaStoredTemplate *template, Jsonb *data, bool strict,
				MaRendered *rendered)
{
	MaTemplateOptions options = {0};

	options.strict = strict;
	options.zone = ma_timezone();
	options.now = ma_now();
	memset(rendered, 0, sizeof(*rendered));
	if (template->subject != NULL)
		rendered->subject =
			ma_template_render(template->subject, data, &options);
	if (template->body != NULL)
		rendered->body = ma_template_render(template->body, data, &options);
	options.escape = true;
	if (template->html != NULL)
		rendered->html = ma_template_render(template->html, data, &options);
}

/* Forgets all versions. */
static void
reset_cache(void)
{
	HASHCTL control = {0};

	if (cache_cxt != NULL)
		MemoryContextReset(cache_cxt);
	else
		cache_cxt = AllocSetContextCreate(
			TopMemoryContext, "mautomate templates", ALLOCSET_DEFAULT_SIZES);
	cache = NULL;
	watch.stale = false;
	control.keysize = sizeof(VersionKey);
	control.entrysize = sizeof(VersionEntry);
	control.hcxt = cache_cxt;
	cache = hash_create("mautomate templates", 64, &control,
						HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/* Reads and parses the version named in stored under the latest snapshot. */
static void
load_version(MaStoredTemplate *stored)
{
	static MaStatement stmt = {
		"select v.version, v.channel_id, v.transactional, v.subject, v.html,"
		" v.body"
		" from mautomate_internal.template_version v"
		" join mautomate_internal.template t using (template_id)"
		" where template_id = $1"
		" and v.version = coalesce(nullif($2, 0), t.version)",
		2,
		{INT4OID, INT4OID}};
	Datum	   values[2] = {Int32GetDatum(stored->template_id),
							Int32GetDatum(stored->version)};
	MaSqlScope scope;
	bool	   isnull;

	ma_sql_begin(&scope);
	PushActiveSnapshot(GetLatestSnapshot());
	if (ma_sql_read(&stmt, values, NULL, 1) == 0)
		elog(ERROR, "version %d of template %d not found", stored->version,
			 stored->template_id);
	stored->version = DatumGetInt32(ma_sql_datum(0, 1, &isnull));
	stored->channel_id = DatumGetInt32(ma_sql_datum(0, 2, &isnull));
	stored->transactional = DatumGetBool(ma_sql_datum(0, 3, &isnull));
	stored->subject = parse(ma_sql_text(0, 4));
	stored->html = parse(ma_sql_text(0, 5));
	stored->body = parse(ma_sql_text(0, 6));
	PopActiveSnapshot();
	ma_sql_end(&scope);
}

/* Parses one part into the cache. */
static MaTemplate *
parse(const char *source)
{
	return source == NULL ? NULL : ma_template_parse(source, cache_cxt);
}
