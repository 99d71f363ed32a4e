/*
 * known.c
 *	  Do the names in an expression name anything?
 *
 * Lists and scores that an expression reads must exist. Kinds of events,
 * attributes, properties and tiers may come later, so one that is not known
 * is worth a notice: it may be a slip of the pen. Both say where it is, and
 * which name is near.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "utils/builtins.h"

#include "known.h"
#include "nearest.h"
#include "sql.h"
#include "vocabulary.h"

/* What there is of each: is a name one, and which are there? */
static struct
{
	const char *noun;
	MaStatement exists;
	MaStatement names;
} objects[] = {
	[MA_KNOWN_LIST] = {"list",
					   {"select from mautomate_internal.list where name = $1",
						1,
						{TEXTOID}},
					   {"select name from mautomate_internal.list", 0}},
	[MA_KNOWN_SCORE] = {"score",
						{"select from mautomate_internal.score"
						 " where name = $1",
						 1,
						 {TEXTOID}},
						{"select name from mautomate_internal.score", 0}},
	[MA_KNOWN_KIND] = {"event kind",
					   {"select from mautomate_internal.event_kind"
						" where kind = $1"
						" union all select from mautomate.event"
						" where kind = $1 limit 1",
						1,
						{TEXTOID}},
					   {"select kind from mautomate_internal.event_kind"
						" union select kind from mautomate_internal.cell",
						0}},
	[MA_KNOWN_ATTRIBUTE] = {"attribute",
							{"select from mautomate.contact"
							 " where attributes ? $1 limit 1",
							 1,
							 {TEXTOID}},
							{"select attribute"
							 " from mautomate_internal.attribute"
							 " union select unnest(array['email', 'phone',"
							 " 'first_name', 'last_name', 'timezone',"
							 " 'locale', 'region', 'stage', 'owner',"
							 " 'created_at', 'external_id'])",
							 0}},
};

/* The nearest of the names a query returns, NULL if none is near. */
static const char *
nearest_of(MaStatement *stmt, Datum *values, const char *name)
{
	MaNearest  nearest;
	MaSqlScope scope;

	ma_nearest_begin(&nearest, name);
	ma_sql_begin(&scope);
	ma_sql_exec(stmt, values, NULL, 0);
	for (uint64 i = 0; i < SPI_processed; i++)
		ma_nearest_offer(&nearest, ma_sql_text(i, 1));
	if (nearest.best != NULL)
		nearest.best = MemoryContextStrdup(scope.cxt, nearest.best);
	ma_sql_end(&scope);
	return nearest.best;
}

/* Does a query with some texts find anything? */
static bool
finds(MaStatement *stmt, const char *name)
{
	Datum value = CStringGetTextDatum(name);

	return ma_sql_one(stmt, &value, NULL);
}

/* A hint for an error or a notice, if a name is near. */
static int
hint_nearest(const char *nearest)
{
	return nearest ? errhint("Perhaps you meant \"%s\".", nearest) : 0;
}

/* The same of a name in an expression, which may need quotes there. */
static int
hint_quoted(const char *scope, const char *nearest)
{
	if (nearest == NULL || quote_identifier(nearest) == nearest)
		return hint_nearest(nearest);
	return errhint("Perhaps you meant %s.%s, in double quotes.", scope,
				   quote_identifier(nearest));
}

/* Refuses a name that nothing has. */
void
ma_known_refuse(MaKnown what, const char *name)
{
	const char *nearest = nearest_of(&objects[what].names, NULL, name);

	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("%s \"%s\" does not exist", objects[what].noun, name),
			 nearest ?
				 hint_nearest(nearest) :
				 errhint("create_%s(name) creates it.", objects[what].noun)));
}

/* The same within an expression. */
static void
check_object(const MaExpr *expr, const MaSlot *slot, MaKnown what)
{
	const char *nearest;

	if (finds(&objects[what].exists, slot->object))
		return;
	nearest = nearest_of(&objects[what].names, NULL, slot->object);
	ereport(
		ERROR,
		(errcode(ERRCODE_UNDEFINED_OBJECT),
		 errmsg("%s \"%s\" does not exist", objects[what].noun, slot->object),
		 nearest ? hint_nearest(nearest) :
				   errhint("create_%s(name) creates it.", objects[what].noun),
		 ma_expr_report_at(expr, slot->location)));
}

/* A kind nobody declared nor ever used. */
static void
notice_kind(const MaExpr *expr, const MaSlot *slot)
{
	const char *kind = slot->signal->kind;
	const char *nearest;

	if (ma_vocabulary_reserved(kind) ||
		finds(&objects[MA_KNOWN_KIND].exists, kind))
		return;
	nearest = nearest_of(&objects[MA_KNOWN_KIND].names, NULL, kind);
	ereport(NOTICE,
			(errmsg("no event of kind \"%s\" was ever declared or seen", kind),
			 hint_nearest(nearest), ma_expr_report_at(expr, slot->location)));
}

/* Likewise an attribute. */
static void
notice_attribute(const MaExpr *expr, const MaSlot *slot)
{
	const char *name = slot->path[0];
	const char *nearest;

	if (strcmp(name, "tags") == 0 ||
		OidIsValid(ma_vocabulary_attribute(name)) ||
		finds(&objects[MA_KNOWN_ATTRIBUTE].exists, name))
		return;
	nearest = nearest_of(&objects[MA_KNOWN_ATTRIBUTE].names, NULL, name);
	ereport(NOTICE,
			(errmsg("no attribute \"%s\" was ever declared or seen", name),
			 hint_quoted("contact", nearest),
			 ma_expr_report_at(expr, slot->location)));
}

/* A property that is not among the declared ones of a kind, if there are. */
static void
notice_property(const MaExpr *expr, const char *kind, const char *property,
				int location, bool in_quotes)
{
	static MaStatement names = {
		"select jsonb_object_keys(properties)"
		" from mautomate_internal.event_kind where kind = $1",
		1,
		{TEXTOID}};
	Datum		value = CStringGetTextDatum(kind);
	const char *nearest;

	if (OidIsValid(ma_vocabulary_property(kind, property)))
		return;
	nearest = nearest_of(&names, &value, property);
	if (nearest != NULL)
		ereport(NOTICE, (errmsg("property \"%s\" of \"%s\" was never declared",
								property, kind),
						 in_quotes ? hint_nearest(nearest) :
									 hint_quoted("event", nearest),
						 ma_expr_report_at(expr, location)));
}

/* Numbers are expected of a property that is declared as something else. */
static void
notice_number(const MaExpr *expr, const MaSlot *slot)
{
	const MaSignal *signal = slot->signal;
	Oid				type;

	if (signal->function != MA_SUM && signal->function != MA_AVG &&
		signal->function != MA_MIN && signal->function != MA_MAX)
		return;
	type = ma_vocabulary_property(signal->kind, signal->property);
	if (!OidIsValid(type) || type == NUMERICOID)
		return;
	ereport(NOTICE,
			(errmsg("property \"%s\" of \"%s\" is declared as %s",
					signal->property, signal->kind, format_type_be(type)),
			 errhint("Numbers are what sum, avg, min and max look at; "
					 "other values are left out."),
			 ma_expr_report_at(expr, slot->location)));
}

/* What a call about the history names. */
static void
check_signal(const MaExpr *expr, const MaSlot *slot)
{
	const MaSignal *signal = slot->signal;
	MaSlot		   *slots;
	int				n = 0;

	notice_kind(expr, slot);
	if (signal->property[0] != '\0')
	{
		notice_property(expr, signal->kind, signal->property, slot->location,
						true);
		notice_number(expr, slot);
	}
	if (signal->filter != NULL)
		n = ma_expr_slots(signal->filter, &slots);
	for (int i = 0; i < n; i++)
		if (slots[i].kind == MA_SLOT_EVENT &&
			!ma_vocabulary_reserved(signal->kind))
			notice_property(expr, signal->kind, slots[i].path[0],
							slots[i].location, false);
}

/* A tier that the score does not have. */
static void
check_tiers(const MaExpr *expr, const MaSlot *slot, int index)
{
	static MaStatement names = {
		"select t.tier from mautomate_internal.score_tier t"
		" join mautomate_internal.score s using (score_id)"
		" where s.name = $1",
		1,
		{TEXTOID}};
	static MaStatement exists = {
		"select from mautomate_internal.score_tier t"
		" join mautomate_internal.score s using (score_id)"
		" where s.name = $1 and t.tier = $2",
		2,
		{TEXTOID, TEXTOID}};
	ListCell *lc;

	foreach (lc, ma_expr_compared(expr, index))
	{
		MaTextAt   *tier = lfirst(lc);
		Datum		values[2] = {CStringGetTextDatum(slot->object),
								 CStringGetTextDatum(tier->text)};
		const char *nearest;
		MaSqlScope	scope;
		bool		known;

		ma_sql_begin(&scope);
		known = ma_sql_exec(&exists, values, NULL, 1) > 0;
		ma_sql_end(&scope);
		if (known)
			continue;
		nearest = nearest_of(&names, values, tier->text);
		ereport(NOTICE, (errmsg("score \"%s\" has no tier \"%s\"",
								slot->object, tier->text),
						 hint_nearest(nearest),
						 ma_expr_report_at(expr, tier->location >= 0 ?
													 tier->location :
													 slot->location)));
	}
}

/*
 * Checks the names in an expression that is being defined: lists and scores
 * must exist; what else is not known is worth a NOTICE.
 */
void
ma_known_check(const MaExpr *expr)
{
	MaSlot *slots;
	int		n = ma_expr_slots(expr, &slots);

	for (int i = 0; i < n; i++)
		switch (slots[i].kind)
		{
			case MA_SLOT_IN_LIST:
				check_object(expr, &slots[i], MA_KNOWN_LIST);
				break;
			case MA_SLOT_SCORE:
				check_object(expr, &slots[i], MA_KNOWN_SCORE);
				break;
			case MA_SLOT_TIER:
				check_object(expr, &slots[i], MA_KNOWN_SCORE);
				check_tiers(expr, &slots[i], i);
				break;
			case MA_SLOT_SIGNAL:
			case MA_SLOT_COMPARE:
				check_signal(expr, &slots[i]);
				break;
			case MA_SLOT_ATTRIBUTE:
				notice_attribute(expr, &slots[i]);
				break;
			default:
				break;
		}
}
