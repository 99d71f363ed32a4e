/*
 * capture_holder.c
 *	  With whom the events of rows are.
 *
 * An address names who has it. What a row said when it became an event stays
 * true when that person gets another address and somebody else this one: so
 * an event whose row named its person by an address is found by the row's key
 * and that address, and only where there is none the address is asked. A row
 * that names another address is somebody else's.
 */
#include "postgres.h"

#include "port/pg_bswap.h"

#include "address.h"
#include "capture_private.h"

/* The hash of the address by which a person is named; 0: by none. */
int64
ma_capture_address(const MaProfile *person)
{
	const char *address = ma_profile_address(person);
	uint64		hash;

	if (address == NULL)
		return 0;
	memcpy(&hash, VARDATA_ANY(ma_address_hash(address)), sizeof(hash));
	hash = pg_ntoh64(hash);
	return hash == 0 ? 1 : (int64) hash;
}

/*
 * Finds out with whom events are by keys and addresses; with any, by the key
 * if there is none by the address. Others are left to be found by name.
 * Returns the hashes of the addresses. What is found is locked, if wanted.
 */
static int64 *
find(MaProfile *persons, const char *const *keys, int n, bool any, bool locked)
{
	int64		  *addresses = palloc(sizeof(int64) * (n + 1));
	MaEventHolder *holders = palloc(sizeof(MaEventHolder) * (n + 1));
	MaProfile	 **named = palloc(sizeof(MaProfile *) * (n + 1));
	int			   count = 0;

	for (int i = 0; i < n; i++)
	{
		addresses[i] = ma_capture_address(&persons[i]);
		if (addresses[i] == 0 || keys[i] == NULL)
			continue;
		named[count] = &persons[i];
		holders[count].dedupe_key = keys[i];
		holders[count++].address = addresses[i];
	}
	ma_event_find_holders(holders, count, any, locked);
	for (int i = 0; i < count; i++)
	{
		named[i]->contact_id = holders[i].contact_id;
		named[i]->is_found = holders[i].contact_id != 0;
	}
	pfree(named);
	pfree(holders);
	return addresses;
}

/* With whom are those that rows are, and by which address? */
void
ma_capture_find_events(MaCaptureRun *run, bool locked)
{
	const char **keys = palloc(sizeof(char *) * (run->n + 1));
	int64		*addresses;

	if (run->source->text.kind == NULL)
		return;
	for (int i = 0; i < run->n; i++)
		keys[i] = run->events[i].dedupe_key;
	addresses = find(run->profiles, keys, run->n, false, locked);
	for (int i = 0; i < run->n; i++)
		run->events[i].address = addresses[i];
}

/* The same of rows that tell an anonymous id. */
void
ma_capture_find_known(MaCaptureRun *run)
{
	(void) find(run->known, run->known_keys, run->nknown, false, true);
}

/* The same of those to be withdrawn, whatever their rows say since. */
void
ma_capture_find_gone(MaCaptureRun *run)
{
	const char **keys = palloc(sizeof(char *) * (run->ngone + 1));

	for (int i = 0; i < run->ngone; i++)
		keys[i] = run->gone_events[i].dedupe_key;
	(void) find(run->gone_profiles, keys, run->ngone, true, true);
}

/* The same of those whose rows have another key. */
void
ma_capture_find_rekeyed(MaCaptureRun *run)
{
	const char **keys = palloc(sizeof(char *) * (run->nrekeyed + 1));

	for (int i = 0; i < run->nrekeyed; i++)
		keys[i] = run->rekeyed[i].from;
	(void) find(run->rekeyed_profiles, keys, run->nrekeyed, true, true);
}

/* Leaves those of the rows that are somebody else's now that have an event. */
void
ma_capture_find_moved(MaCaptureRun *run)
{
	const char **keys = palloc(sizeof(char *) * (run->nmoved + 1));
	int			 known = 0;

	if (run->nmoved == 0)
		return;
	for (int i = 0; i < run->nmoved; i++)
		keys[i] = run->moved[i].dedupe_key;
	(void) find(run->moved_profiles, keys, run->nmoved, true, true);
	ma_contact_resolve_all(run->moved_profiles, run->nmoved, false);
	for (int i = 0; i < run->nmoved; i++)
		run->moved[i].from = run->moved_profiles[i].contact_id;
	ma_event_movable(run->moved, run->nmoved);
	for (int i = 0; i < run->nmoved; i++)
		if (run->moved[i].from != 0)
		{
			keys[known] = keys[i];
			run->moved_profiles[known] = run->moved_profiles[i];
			run->mover_profiles[known] = run->mover_profiles[i];
			run->moved[known++] = run->moved[i];
		}
	run->nmoved = known;
	/* it may name again whose the event has been all the time */
	(void) find(run->mover_profiles, keys, known, false, true);
}
