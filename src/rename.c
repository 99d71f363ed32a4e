/*
 * rename.c
 *	  Which derived events tell of what by its name.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "rename.h"

/* What of them tells of it: a property, and the kinds that have it. */
static const struct
{
	const char *property;
	const char *kinds[2];
} told[] = {
	[MA_NAMED_LIST] = {"list", {"list_entered", "list_left"}},
	[MA_NAMED_SCORE] = {"score", {"tier_changed"}},
	[MA_NAMED_KIND] = {NULL},
	[MA_NAMED_ATTRIBUTE] = {"attribute", {"attribute_changed"}},
	[MA_NAMED_TEMPLATE] = {NULL},
	[MA_NAMED_WORKFLOW] = {NULL},
};

/* See rename.h. */
const char *
ma_rename_property(MaNamed what)
{
	return told[what].property;
}

/* Do events of a kind tell of such things by their names? */
bool
ma_rename_is_told(MaNamed what, const char *kind)
{
	for (int i = 0; i < lengthof(told[what].kinds); i++)
		if (told[what].kinds[i] != NULL &&
			strcmp(told[what].kinds[i], kind) == 0)
			return true;
	return false;
}

/* The kinds of events that tell of such things by their names, as text[]. */
Datum
ma_rename_kinds(MaNamed what)
{
	Datum kinds[lengthof(told[0].kinds)];
	int	  n = 0;

	for (int i = 0; i < lengthof(told[what].kinds); i++)
		if (told[what].kinds[i] != NULL)
			kinds[n++] = CStringGetTextDatum(told[what].kinds[i]);
	return PointerGetDatum(
		construct_array(kinds, n, TEXTOID, -1, false, TYPALIGN_INT));
}
