/*
 * state_look.c
 *	  Contacts read without a lock, to be replaced at once.
 *
 * Where nothing follows from events but other numbers in the state, the lock
 * is saved: what was read is folded, and takes the place of what was read if
 * that is the newest version still. That is as good as a lock from the reading
 * on, as long as nothing else was read.
 *
 * One contact after the other passes through the same memory, which stays in
 * the caches of the processor; it is kept with the definitions that say how
 * much of it is needed.
 */
#include "postgres.h"

#include "executor/executor.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "state_private.h"

/* What serves for one contact after the other. */
typedef struct MaSpare
{
	MaContactSet set; /* of no contacts: it says where this one belongs */
	MaContact	*contact;
} MaSpare;

/* Contacts on their way. */
struct MaLook
{
	MaTable		  *states;
	MaDefinitions *definitions;
	MaFetch		  *fetch;
};

/* The contact that serves for all, with nothing known. */
static MaContact *
take_spare(MaTable *states, MaDefinitions *definitions)
{
	MaSpare *spare = definitions->spare;

	if (spare != NULL)
		ma_state_wipe(spare->contact);
	else
	{
		MemoryContext old = MemoryContextSwitchTo(definitions->cxt);

		spare = palloc0(sizeof(MaSpare));
		spare->set.definitions = definitions;
		spare->contact = ma_state_new(&spare->set);
		definitions->spare = spare;
		MemoryContextSwitchTo(old);
	}
	spare->set.cxt = CurrentMemoryContext;
	spare->set.states = states;
	return spare->contact;
}

/* Reads the row in the slot of the states, which is clear then. */
static MaContact *
read_row(MaTable *states, MaDefinitions *definitions)
{
	MaContact *contact = take_spare(states, definitions);

	ma_state_read(contact, states->slot);
	ExecClearTuple(states->slot);
	return contact;
}

/*
 * Reads the state of one contact as the active snapshot shows it. NULL if
 * there is none, or it is not the newest.
 */
MaContact *
ma_look_one(MaTable *states, MaDefinitions *definitions, int64 id)
{
	if (!ma_fetch_one(states, id, MA_LOCK_TRY, states->slot))
		return NULL;
	return read_row(states, definitions);
}

/* What an encoded state says, from wherever; it must not be replaced. */
MaContact *
ma_look_into(MaDefinitions *definitions, const char *in, const char *end)
{
	MaContact *contact = take_spare(NULL, definitions);

	ma_state_decode(contact, in, end);
	return contact;
}

/*
 * Starts to read states of contacts, ids ascending and distinct, as the
 * active snapshot shows them.
 */
MaLook *
ma_look_begin(MaTable *states, MaDefinitions *definitions, const int64 *ids,
			  int n)
{
	MaLook *look = palloc(sizeof(MaLook));

	look->states = states;
	look->definitions = definitions;
	look->fetch = ma_fetch_begin(states, ids, n, MA_LOCK_TRY);
	return look;
}

/*
 * Reads that of contact number i, after those before it. NULL if there is
 * none, or it is not the newest.
 */
MaContact *
ma_look_at(MaLook *look, int i)
{
	if (ma_fetch_row(look->fetch, i, look->states->slot) != MA_FETCHED)
		return NULL;
	return read_row(look->states, look->definitions);
}

/*
 * Stores the contact that was read last. Waits for another transaction that
 * holds it; false, and nothing is done, if its state was changed since.
 */
bool
ma_look_replace(MaContact *contact)
{
	MaTable *states = contact->set->states;

	ma_state_put(contact, states);
	return ma_table_try_update(states, &contact->tid);
}

/* Locks it instead, if nobody has changed or holds it: nobody is waited for. */
bool
ma_look_lock(MaLook *look)
{
	return ma_fetch_lock(look->fetch);
}

/* Ends it. */
void
ma_look_end(MaLook *look)
{
	ma_fetch_end(look->fetch);
	pfree(look);
}
