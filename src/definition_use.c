/*
 * definition_use.c
 *	  What expressions use by its name.
 */
#include "postgres.h"

#include "funcapi.h"
#include "utils/builtins.h"

#include "compat.h"
#include "definition_private.h"

PG_FUNCTION_INFO_V1(mautomate_name_uses);

/* Where rows of name_uses() go, and of whose expression they are. */
typedef struct Uses
{
	ReturnSetInfo *result;
	int			   predicate_id;
} Uses;

/* One row. */
static void
put_use(Uses *uses, const char *object, const char *name)
{
	Datum values[3] = {CStringGetTextDatum(object), CStringGetTextDatum(name),
					   Int32GetDatum(uses->predicate_id)};
	bool  nulls[3] = {false};

	tuplestore_putvalues(uses->result->setResult, uses->result->setDesc,
						 values, nulls);
}

/* What a slot that tells of something by its name is compared with. */
static void
put_told(Uses *uses, const MaExpr *expr, int slot, const char *object)
{
	ListCell *lc;

	foreach (lc, ma_expr_compared(expr, slot))
		put_use(uses, object, ((MaTextAt *) lfirst(lc))->text);
}

/* What a property of an event or of an entry tells of. */
static void
put_property(Uses *uses, const MaExpr *expr, int slot, const char *kind,
			 const char *property)
{
	static const struct
	{
		MaNamed		what;
		const char *object;
	} named[] = {{MA_NAMED_LIST, "list"},
				 {MA_NAMED_SCORE, "score"},
				 {MA_NAMED_ATTRIBUTE, "attribute"}};

	for (int i = 0; i < lengthof(named); i++)
		if (kind != NULL && ma_rename_is_told(named[i].what, kind) &&
			strcmp(property, ma_rename_property(named[i].what)) == 0)
			put_told(uses, expr, slot, named[i].object);
}

/* What the slots of an expression over events of a kind name. */
static void
put_uses(Uses *uses, const MaExpr *expr, const MaExprSource *source)
{
	MaSlot *slots;
	int		n = ma_expr_slots(expr, &slots);

	for (int i = 0; i < n; i++)
	{
		const MaSlot *slot = &slots[i];
		MaExprSource  filter;

		switch (slot->kind)
		{
			case MA_SLOT_IN_LIST:
				put_use(uses, "list", slot->object);
				break;
			case MA_SLOT_SCORE:
			case MA_SLOT_TIER:
				put_use(uses, "score", slot->object);
				break;
			case MA_SLOT_SIGNAL:
			case MA_SLOT_COMPARE:
				put_use(uses, "event", slot->signal->kind);
				filter.event_kind = slot->signal->kind;
				if (slot->signal->filter != NULL)
					put_uses(uses, slot->signal->filter, &filter);
				if (slot->signal->property[0] != '\0')
					put_property(uses, expr, i, slot->signal->kind,
								 slot->signal->property);
				break;
			case MA_SLOT_ATTRIBUTE:
				put_use(uses, "attribute", slot->path[0]);
				break;
			case MA_SLOT_EVENT:
				put_property(uses, expr, i, source->event_kind, slot->path[0]);
				break;
			case MA_SLOT_EVENT_KIND:
				put_told(uses, expr, i, "event");
				break;
			default:
				break;
		}
	}
}

/* name_uses(): what expressions read by name */
Datum
mautomate_name_uses(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	MaDefinitions *definitions = ma_definitions();

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < definitions->nexprs; i++)
	{
		MaExprUse *use = &definitions->exprs[i];
		Uses	   uses = {result, use->predicate_id};

		if (use->expr != NULL)
			put_uses(&uses, use->expr, &use->source);
	}
	return (Datum) 0;
}
