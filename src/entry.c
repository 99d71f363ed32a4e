/*
 * entry.c
 *	  Which workflows an event starts, wakes or ends.
 *
 * There are no workflows yet, so no kind of event is watched for them.
 */
#include "postgres.h"

#include "entry.h"

bool
ma_entry_watches(MaDefinitions *definitions, const char *kind)
{
	return false;
}

MaEntryBatch *
ma_entry_begin(MaDefinitions *definitions)
{
	return NULL;
}

void
ma_entry_collect(MaEntryBatch *batch, MaContact *contact, MaEvent *events,
				 int n)
{
}

void
ma_entry_apply(MaEntryBatch *batch)
{
}
