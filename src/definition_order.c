/*
 * definition_order.c
 *	  In which order lists and scores are evaluated.
 *
 * Each comes after those it reads by name (in_list, score, tier) and those
 * whose events it counts (list_entered, list_left, tier_changed). A cycle is
 * refused with its path.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "definition_private.h"

/* What a consumer is called in an error message. */
static const char *
consumer_name(MaDefinitions *definitions, int consumer)
{
	if (consumer < definitions->nlists)
		return psprintf("list \"%s\"", definitions->lists[consumer].name);
	return psprintf("score \"%s\"",
					definitions->scores[consumer - definitions->nlists].name);
}

/* A depth-first search: the path under way, and what is done. */
typedef struct Visit
{
	MaDefinitions *definitions;
	int			  *path;
	int			   depth;
	bool		  *done;
	int			   ordered; /* filled from the end of order[] */
} Visit;

/* Who reads a consumer by name, */
static Bitmapset *
users_of(MaDefinitions *definitions, int consumer)
{
	int score = consumer - definitions->nlists;

	return score < 0 ? definitions->list_users[consumer] :
					   definitions->score_users[score];
}

/* and who counts the events it derives. */
static Bitmapset *
counters_of(MaDefinitions *definitions, int consumer)
{
	int score = consumer - definitions->nlists;

	return score < 0 ? definitions->list_counters[consumer] :
					   definitions->score_counters[score];
}

/* Refuses a cycle, naming its path. */
static void
refuse_cycle(Visit *visit, int consumer)
{
	MaDefinitions *definitions = visit->definitions;
	StringInfoData path;
	bool		   counts_all = false;
	int			   start = 0;

	while (visit->path[start] != consumer)
		start++;
	initStringInfo(&path);
	for (int i = start; i < visit->depth; i++)
	{
		int	 user = i + 1 < visit->depth ? visit->path[i + 1] : consumer;
		bool reads =
			bms_is_member(user, users_of(definitions, visit->path[i]));

		counts_all = counts_all ||
					 (!reads && bms_is_member(user, definitions->count_all));
		appendStringInfo(&path, "%s %s ",
						 consumer_name(definitions, visit->path[i]),
						 reads ? "is used by" : "makes events counted by");
	}
	appendStringInfoString(&path, consumer_name(definitions, consumer));
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
			 errmsg("definitions depend on each other in a cycle"),
			 errdetail("%s.", path.data),
			 counts_all ? errhint("Say of which list or score the events are: "
								  "filter (where event.list = '<list>').") :
						  0));
}

/* Orders a consumer before all that use it. */
static void
visit_consumer(Visit *visit, int consumer)
{
	MaDefinitions *definitions = visit->definitions;
	Bitmapset	  *users = bms_union(users_of(definitions, consumer),
									 counters_of(definitions, consumer));
	int			   user = -1;

	check_stack_depth();
	for (int i = 0; i < visit->depth; i++)
		if (visit->path[i] == consumer)
			refuse_cycle(visit, consumer);
	if (visit->done[consumer])
		return;
	visit->path[visit->depth++] = consumer;
	while ((user = bms_next_member(users, user)) >= 0)
		visit_consumer(visit, user);
	visit->depth--;
	visit->done[consumer] = true;
	definitions->order[--visit->ordered] = consumer;
}

/* Finds the order of evaluation; an error names a cycle. */
void
ma_definition_order(MaDefinitions *definitions)
{
	int	  consumers = definitions->nlists + definitions->nscores;
	Visit visit = {.definitions = definitions, .ordered = consumers};

	definitions->order = palloc((consumers + 1) * sizeof(int));
	visit.path = palloc((consumers + 1) * sizeof(int));
	visit.done = palloc0((consumers + 1) * sizeof(bool));
	for (int i = consumers - 1; i >= 0; i--)
		visit_consumer(&visit, i);
	definitions->rank = palloc((consumers + 1) * sizeof(int));
	for (int i = 0; i < consumers; i++)
		definitions->rank[definitions->order[i]] = i;
}
