/*
 * definition_count.c
 *	  For which cells an event counts.
 *
 * A filter that compares a property with a constant needs no expression. The
 * constants of all filters over a property are in one order, so one search
 * says which filters a value passes; and where a cell only counts the events
 * that pass, those it counts for follow each other.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"

#include "definition_private.h"
#include "value.h"

/* The number of a property as a type among those of a kind. */
static int
add_property(MaKindDef *kind, char **path, int npath, Oid type)
{
	MaProperty *property;

	for (int i = 0; i < kind->nproperties; i++)
	{
		bool same;

		property = &kind->properties[i];
		same = property->type == type && property->npath == npath;
		for (int j = 0; same && j < npath; j++)
			same = strcmp(property->path[j], path[j]) == 0;
		if (same)
			return i;
	}
	kind->properties = kind->properties == NULL ?
						   palloc(sizeof(MaProperty)) :
						   repalloc(kind->properties, (kind->nproperties + 1) *
														  sizeof(MaProperty));
	property = &kind->properties[kind->nproperties];
	memset(property, 0, sizeof(MaProperty));
	property->path = path;
	property->npath = npath;
	property->type = type;
	return kind->nproperties++;
}

/*
 * The place of a value among the constants that a property is compared with:
 * one search serves all filters.
 */
int
ma_property_place(const MaProperty *property, Datum value)
{
	int low = 0;
	int high = property->nconstants;

	while (low < high)
	{
		int middle = (low + high) / 2;
		int order =
			ma_value_order(value, property->constants[middle], property->type);

		if (order == 0)
			return 2 * middle + 1;
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return 2 * low;
}

/* Adds a constant of a filter to those of its property. */
static void
add_constant(MaProperty *property, Datum constant)
{
	int place = ma_property_place(property, constant);
	int at = place / 2;

	if (place % 2 == 1)
		return;
	property->constants =
		property->constants == NULL ?
			palloc(sizeof(Datum)) :
			repalloc(property->constants,
					 (property->nconstants + 1) * sizeof(Datum));
	memmove(property->constants + at + 1, property->constants + at,
			(property->nconstants - at) * sizeof(Datum));
	property->constants[at] = constant;
	property->nconstants++;
}

/* Notes at which properties of its events a cell looks. */
void
ma_definition_look(MaKindDef *kind, MaCellUse *use)
{
	use->simple_on = use->value_of = -1;
	if (use->filter != NULL && ma_expr_filter(use->filter, &use->simple))
	{
		use->simple_on = add_property(kind, use->simple.path,
									  use->simple.npath, use->simple.type);
		add_constant(&kind->properties[use->simple_on], use->simple.constant);
	}
	if (use->def.keeps == MA_KEEPS_TOTALS && use->def.property[0] != '\0')
	{
		char **path = palloc(sizeof(char *));

		path[0] = pstrdup(use->def.property);
		use->value_of = add_property(kind, path, 1, NUMERICOID);
	}
}

/* Adds a tally. */
static void
add_tally(MaTallies *tallies, int place, int cell, Bitmapset *any)
{
	MaTally *tally;

	if ((tallies->n & (tallies->n - 1)) == 0)
		tallies->tallies =
			tallies->tallies == NULL ?
				palloc(sizeof(MaTally)) :
				repalloc(tallies->tallies, 2 * tallies->n * sizeof(MaTally));
	tally = &tallies->tallies[tallies->n++];
	tally->place = place;
	tally->cell = cell;
	tally->any = any;
}

/* Orders tallies by place. */
static int
compare_tallies(const void *a, const void *b)
{
	int x = ((const MaTally *) a)->place;
	int y = ((const MaTally *) b)->place;

	return (x > y) - (x < y);
}

/* Enters a cell for which all there is to do is to count certain values. */
static void
link_tally(MaProperty *property, const MaCellTest *test, int cell,
		   Bitmapset *any)
{
	bool less = (test->accepts & MA_ACCEPTS_LESS) != 0;
	bool equal = (test->accepts & MA_ACCEPTS_EQUAL) != 0;
	bool greater = (test->accepts & MA_ACCEPTS_GREATER) != 0;

	if (greater)
		add_tally(&property->from, test->at + !equal, cell, any);
	if (less)
		add_tally(&property->up_to, test->at - !equal, cell, any);
	if (equal && !less && !greater)
		add_tally(&property->at, test->at, cell, any);
}

/* Brings tallies in order. */
static void
sort_tallies(MaTallies *tallies)
{
	if (tallies->n > 1)
		qsort(tallies->tallies, tallies->n, sizeof(MaTally), compare_tallies);
}

/*
 * Parts the cells of a kind: those where all that is done is to count certain
 * values of a property go with it, in the order of their constants.
 */
static void
link_tallies(MaDefinitions *definitions, MaKindDef *kind)
{
	Bitmapset *any = NULL;

	kind->others = palloc(kind->ncells * sizeof(int));
	for (int i = 0; i < kind->ncells; i++)
	{
		MaCellUse  *use = &definitions->cells[kind->cells[i]];
		MaCellTest *test = &kind->tests[i];

		if (test->property < 0 || !use->def.plain || use->nboards > 0 ||
			use->nelapsed > 0)
		{
			kind->others[kind->nothers++] = i;
			continue;
		}
		if (!bms_equal(use->any, any))
			any = use->any;
		link_tally(&kind->properties[test->property], test, kind->cells[i],
				   any);
	}
	for (int i = 0; i < kind->nproperties; i++)
	{
		sort_tallies(&kind->properties[i].from);
		sort_tallies(&kind->properties[i].up_to);
		sort_tallies(&kind->properties[i].at);
	}
}

/* Prepares for each cell of a kind whether events count for it. */
static void
link_tests(MaDefinitions *definitions, MaKindDef *kind)
{
	kind->tests = palloc0(kind->ncells * sizeof(MaCellTest));
	for (int i = 0; i < kind->ncells; i++)
	{
		MaCellUse  *use = &definitions->cells[kind->cells[i]];
		MaCellTest *test = &kind->tests[i];

		test->property = use->simple_on;
		if (use->simple_on < 0)
			continue;
		test->at = ma_property_place(&kind->properties[use->simple_on],
									 use->simple.constant);
		for (int order = -1; order <= 1; order++)
			if (ma_signal_test(use->simple.op, order))
				test->accepts |= MA_ACCEPTS(order);
	}
}

/* Does nothing follow from most events of a kind, and nothing fail? */
static bool
is_quick(const MaDefinitions *definitions, const MaKindDef *kind)
{
	for (int i = 0; i < kind->ncells; i++)
	{
		const MaCellUse *use = &definitions->cells[kind->cells[i]];

		if (!bms_is_subset(use->any, definitions->tallied) ||
			(kind->tests[i].property < 0 && use->filter != NULL &&
			 ma_expr_can_raise(use->filter)))
			return false;
	}
	return true;
}

/* Prepares the cells of a kind, all of which have been looked at. */
void
ma_definition_count(MaDefinitions *definitions, MaKindDef *kind)
{
	link_tests(definitions, kind);
	link_tallies(definitions, kind);
	kind->quick = is_quick(definitions, kind);
}
