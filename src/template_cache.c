/*
 * template_cache.c
 *	  Versions of templates, parsed once and rendered many times.
 *
 * A version changes only where what it names is renamed, and a message that
 * waits keeps the one it was made with. What is parsed is kept per backend, by
 * template and version. Since a version that was rolled back may come back
 * with another text, a change of the tables empties the cache, at a look-up
 * while nothing is held; a caller that does not hold it keeps what it found
 * until the next look-up only.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "document.h"
#include "inval.h"
#include "sql.h"
#include "template_store.h"

/* With more versions than this in use the cache starts anew. */
#define CACHE_SIZE 500

/* Room for a name: 100 characters. */
#define NAME_BYTES (100 * MAX_MULTIBYTE_CHAR_LEN + 1)

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

/* The template that has a name. */
typedef struct NameEntry
{
	char name[NAME_BYTES];
	int	 template_id; /* 0: none */
} NameEntry;

static void		   renew_cache(void);
static void		   reset_cache(void);
static void		   load_version(MaStoredTemplate *stored);
static void		   load_variant(MaTemplateVariant *variant, uint64 row);
static void		   load_data(MaTemplateVariant *variant, Jsonb *data,
							 const char *owner);
static int		   find_name(const char *name);
static MaTemplate *parse(const char *source);

static MaWatch		 watch = {"template"};
static MaWatch		 variants = {"template_variant"};
static MemoryContext cache_cxt = NULL;
static HTAB			*cache = NULL; /* of VersionEntry, in cache_cxt */
static HTAB			*names = NULL; /* of NameEntry, likewise */
static int			 holders = 0;

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

	renew_cache();
	entry = hash_search(cache, &key, HASH_FIND, NULL);
	if (entry != NULL)
		return &entry->stored;
	load_version(&stored);
	entry = hash_search(cache, &key, HASH_ENTER, &found);
	entry->stored = stored;
	return &entry->stored;
}

/*
 * The newest version of the template of a name, NULL if there is none; valid
 * until the next look-up.
 */
const MaStoredTemplate *
ma_template_lookup(const char *name)
{
	NameEntry *entry;
	bool	   found;
	int		   id;

	renew_cache();
	if (strlen(name) >= NAME_BYTES)
		return NULL;
	entry = hash_search(names, name, HASH_FIND, NULL);
	if (entry == NULL)
	{
		id = find_name(name);
		entry = hash_search(names, name, HASH_ENTER, &found);
		entry->template_id = id;
	}
	return entry->template_id == 0 ? NULL :
									 ma_template_find(entry->template_id, 0);
}

/* From here to the release what is found stays valid. */
void
ma_template_hold(void)
{
	renew_cache();
	holders++;
}

void
ma_template_release(void)
{
	holders--;
}

/* Empties the cache if that has to be and can be. */
static void
renew_cache(void)
{
	if (!ma_inval_watch(&watch) || !ma_inval_watch(&variants))
		elog(ERROR, "mautomate is not installed");
	if (cache == NULL ||
		(holders == 0 && (watch.stale || variants.stale ||
						  hash_get_num_entries(cache) >= CACHE_SIZE ||
						  hash_get_num_entries(names) >= CACHE_SIZE)))
		reset_cache();
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
	cache = names = NULL;
	watch.stale = variants.stale = false;
	control.keysize = sizeof(VersionKey);
	control.entrysize = sizeof(VersionEntry);
	control.hcxt = cache_cxt;
	cache = hash_create("mautomate templates", 64, &control,
						HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	control.keysize = NAME_BYTES;
	control.entrysize = sizeof(NameEntry);
	names = hash_create("mautomate names of templates", 64, &control,
						HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
}

/* The id of the living template of a name, 0 if there is none. */
static int
find_name(const char *name)
{
	static MaStatement stmt = {
		"select template_id from mautomate_internal.template"
		" where name = $1 and not dropped",
		1,
		{TEXTOID}};
	Datum	   values[1] = {CStringGetTextDatum(name)};
	MaSqlScope scope;
	bool	   isnull;
	int		   id = 0;

	ma_sql_begin(&scope);
	PushActiveSnapshot(GetLatestSnapshot());
	if (ma_sql_read(&stmt, values, NULL, 1) > 0)
		id = DatumGetInt32(ma_sql_datum(0, 1, &isnull));
	PopActiveSnapshot();
	ma_sql_end(&scope);
	return id;
}

/* Reads and parses the version named in stored under the latest snapshot. */
static void
load_version(MaStoredTemplate *stored)
{
	static MaStatement stmt = {
		"select v.version, coalesce(v.channel_id, 0), v.transactional,"
		" t.name, x.locale, x.subject, x.html, x.body, x.data,"
		" x.attachments, x.owner, x.payload"
		" from mautomate_internal.template t"
		" join mautomate_internal.template_version v"
		"  on v.template_id = t.template_id"
		"  and v.version = coalesce(nullif($2, 0), t.version)"
		" join mautomate_internal.template_variant x"
		"  on x.template_id = v.template_id and x.version = v.version"
		" where t.template_id = $1 order by x.locale <> '', x.locale",
		2,
		{INT4OID, INT4OID}};
	Datum		  values[2] = {Int32GetDatum(stored->template_id),
							   Int32GetDatum(stored->version)};
	MemoryContext spi;
	MaSqlScope	  scope;
	bool		  isnull;

	ma_sql_begin(&scope);
	PushActiveSnapshot(GetLatestSnapshot());
	stored->nvariants = (int) ma_sql_read(&stmt, values, NULL, 0);
	if (stored->nvariants == 0)
		elog(ERROR, "version %d of template %d not found", stored->version,
			 stored->template_id);
	spi = MemoryContextSwitchTo(cache_cxt);
	stored->version = DatumGetInt32(ma_sql_datum(0, 1, &isnull));
	stored->channel_id = DatumGetInt32(ma_sql_datum(0, 2, &isnull));
	stored->transactional = DatumGetBool(ma_sql_datum(0, 3, &isnull));
	stored->name = ma_sql_text(0, 4);
	stored->variants = palloc0(stored->nvariants * sizeof(MaTemplateVariant));
	for (int i = 0; i < stored->nvariants; i++)
		load_variant(&stored->variants[i], i);
	MemoryContextSwitchTo(spi);
	PopActiveSnapshot();
	ma_sql_end(&scope);
}

/* Reads a variant from a row; what it lacks is that of the default. */
static void
load_variant(MaTemplateVariant *variant, uint64 row)
{
	MaTemplateVariant *base = variant - row;
	bool			   isnull;
	Datum			   value;
	char			  *owner;

	owner = ma_sql_text(row, 11);
	variant->locale = ma_sql_text(row, 5);
	variant->subject = parse(ma_sql_text(row, 6));
	variant->html = parse(ma_sql_text(row, 7));
	variant->body = parse(ma_sql_text(row, 8));
	value = ma_sql_datum(row, 9, &isnull);
	if (!isnull)
		load_data(variant, DatumGetJsonbP(value), owner);
	else
	{
		variant->ndata = base->ndata;
		variant->data = base->data;
	}
	value = ma_sql_datum(row, 12, &isnull);
	variant->payload =
		isnull ? base->payload : ma_payload_parse(DatumGetJsonbP(value));
	value = ma_sql_datum(row, 10, &isnull);
	if (!isnull)
		ma_template_load_files(DatumGetJsonbPCopy(value), owner, variant);
	else
	{
		variant->nfiles = base->nfiles;
		variant->files = base->files;
	}
}

/* Reads {"variable": "function"}. */
static void
load_data(MaTemplateVariant *variant, Jsonb *data, const char *owner)
{
	MaNode root = ma_doc_root(data);
	char **keys = ma_doc_keys(&root, &variant->ndata);

	variant->data = palloc0((variant->ndata + 1) * sizeof(MaTemplateData));
	for (int i = 0; i < variant->ndata; i++)
	{
		MaNode node;

		ma_doc_get(&root, keys[i], &node);
		variant->data[i].name = keys[i];
		variant->data[i].call =
			ma_template_call_new(ma_doc_text(&node), owner, false);
	}
}

/* Parses one part into the cache. */
static MaTemplate *
parse(const char *source)
{
	return source == NULL ? NULL : ma_template_parse(source, cache_cxt);
}
