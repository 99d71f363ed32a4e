/*
 * inval.c
 *	  Notices changes of our small tables through relcache invalidation.
 *
 * Ordinary tables send no invalidation when their rows change. Ours have a
 * statement trigger, mautomate_internal.invalidate(), that sends one for the
 * table; it reaches every backend with the commit. Here is the one callback
 * that receives them all (a backend has only ten slots): it marks, and does
 * nothing else, since it may be called anywhere. Who caches the contents of
 * such a table owns a MaWatch and reloads when it finds it stale.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "commands/trigger.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "inval.h"

PG_FUNCTION_INFO_V1(mautomate_invalidate);

static MaWatch *watches = NULL;

/* Marks the caches that depend on relid; InvalidOid means all of them. */
static void
relation_changed(Datum arg, Oid relid)
{
	for (MaWatch *watch = watches; watch != NULL; watch = watch->next)
		if (relid == InvalidOid || relid == watch->relid)
			watch->stale = true;
}

/*
 * Registers a watch on first use and resolves its table. Returns false where
 * the table does not exist, that is, where the extension is not installed;
 * then there is nothing to cache. Call it before looking at watch->stale.
 */
bool
ma_inval_watch(MaWatch *watch)
{
	if (!watch->registered)
	{
		if (watches == NULL)
			CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
		watch->next = watches;
		watch->stale = true;
		watch->registered = true;
		watches = watch;
	}
	if (watch->loading)
	{
		/* an error came in between, such as a timeout */
		watch->loading = false;
		watch->stale = true;
	}
	if (watch->stale || watch->relid == InvalidOid)
	{
		Oid schema = get_namespace_oid(
			watch->schema != NULL ? watch->schema : "mautomate_internal",
			true);

		watch->relid = OidIsValid(schema) ?
						   get_relname_relid(watch->relation, schema) :
						   InvalidOid;
	}
	return OidIsValid(watch->relid);
}

/*
 * The owner begins to read the table. A change that arrives from here on
 * leaves the watch stale, and so does an error.
 */
void
ma_inval_load(MaWatch *watch)
{
	watch->stale = false;
	watch->loading = true;
}

/* What the owner has read, it keeps. */
void
ma_inval_loaded(MaWatch *watch)
{
	watch->loading = false;
}

/* Statement trigger: tells all backends that the table's rows changed. */
Datum
mautomate_invalidate(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("function \"%s\" must be called as a trigger",
							   "invalidate")));
	CacheInvalidateRelcacheByRelid(RelationGetRelid(trigdata->tg_relation));
	return PointerGetDatum(NULL);
}
