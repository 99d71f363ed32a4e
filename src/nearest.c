/*
 * nearest.c
 *	  Which of some names did somebody mean?
 */
#include "postgres.h"

#include "utils/varlena.h"

#include "nearest.h"

/* Longer names are not compared: varstr_levenshtein() takes no more. */
#define COMPARED_MAX 255

/* Begins to look for the name nearest to one that does not exist. */
void
ma_nearest_begin(MaNearest *nearest, const char *name)
{
	nearest->name = name;
	/* never another name altogether */
	nearest->distance =
		Min(1 + (int) strlen(name) / 3, (int) strlen(name) - 1);
	nearest->best = NULL;
}

/* Compares with a name that exists; it must live as long as the search. */
void
ma_nearest_offer(MaNearest *nearest, const char *known)
{
	int distance;

	if (nearest->distance < 1 || strlen(nearest->name) > COMPARED_MAX ||
		strlen(known) > COMPARED_MAX || strcmp(nearest->name, known) == 0)
		return;
	distance = varstr_levenshtein_less_equal(
		nearest->name, strlen(nearest->name), known, strlen(known), 1, 1, 1,
		nearest->distance, true);
	if (distance > nearest->distance ||
		(distance == nearest->distance && nearest->best != NULL))
		return;
	nearest->distance = distance;
	nearest->best = known;
}
