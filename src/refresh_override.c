/*
 * refresh_override.c
 *	  What is decided by hand about a contact and a list.
 *
 * An override says that a contact is in a list, or out of it, until an
 * instant; the predicate is not asked meanwhile. It stands in a table, which
 * is dumped, and in the contact's state, so that evaluating a list costs no
 * look-up. That it ends is a change by time like any other: at the very
 * instant. A static list, which has no predicate, goes back to what it was.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "utils/timestamp.h"

#include "refresh_private.h"
#include "sql.h"

/* What was decided about a list; NULL if nothing was. */
static MaOverride *
find(MaContact *contact, int list)
{
	for (int i = 0; i < contact->noverrides; i++)
		if (contact->overrides[i].list == list)
			return &contact->overrides[i];
	return NULL;
}

/* Notes what is to be written of an override. */
static void
note(MaRun *run, MaContact *contact, const MaOverride *override,
	 TimestampTz since, bool gone)
{
	MaOverrideChange *change;

	run->overrides = ma_run_grow(run->overrides, run->noverrides,
								 &run->maxoverrides, sizeof(MaOverrideChange));
	change = &run->overrides[run->noverrides++];
	change->contact_id = contact->id;
	change->override = *override;
	change->since = since;
	change->gone = gone;
	contact->changed = true;
}

/* Takes an override away. */
static void
drop(MaRun *run, MaContact *contact, MaOverride *override)
{
	note(run, contact, override, 0, true);
	*override = contact->overrides[--contact->noverrides];
}

/* In the list or out of it, by hand or no longer. */
static void
set_member(MaRun *run, MaContact *contact, int list, bool member, bool by_hand,
		   TimestampTz at)
{
	if (contact->member[list] != member)
		ma_change_list(run, contact, list, at, member, by_hand);
	else if (member)
		ma_change_hand(run, contact, list, by_hand);
}

/* An override has ended, or is cleared: what holds without it? */
static void
end(MaRun *run, MaContact *contact, MaOverride *override, TimestampTz at)
{
	int	 list = override->list;
	bool after = override->after;

	drop(run, contact, override);
	if (run->definitions->lists[list].is_static)
	{
		set_member(run, contact, list, after, true, at);
		return;
	}
	if (contact->member[list])
		ma_change_hand(run, contact, list, false);
	ma_evaluate_list(run, contact, list, at);
}

/* Does what a work says about a list. */
void
ma_override_hand(MaRun *run, MaContact *contact, MaWork *work, TimestampTz at)
{
	int	 list = ma_state_list(run->definitions, work->list_id);
	bool is_static = list >= 0 && run->definitions->lists[list].is_static;
	MaOverride *old = find(contact, list);
	MaOverride	fresh = {.list = list,
						 .entered = work->hand != MA_HAND_OUT,
						 .until = work->until};

	if (list < 0)
		return;
	if (work->hand == MA_HAND_CLEAR)
	{
		work->moved = old != NULL;
		if (old != NULL)
			end(run, contact, old, at);
		return;
	}
	if (work->hand == MA_HAND_JOIN && old != NULL)
	{
		old->after = is_static;
		note(run, contact, old, at, false);
		return;
	}
	if (work->until <= at)
		return; /* over by now */
	work->moved = contact->member[list] != fresh.entered;
	fresh.after = is_static && (old ? old->after : contact->member[list]);
	if (old != NULL)
		drop(run, contact, old);
	if (!is_static || work->until != DT_NOEND)
	{
		ma_state_override(contact, &fresh);
		note(run, contact, &fresh, at, false);
		ma_evaluate_until(contact, work->until);
	}
	set_member(run, contact, list, fresh.entered, true, at);
}

/*
 * Does an override decide about a list as of an instant? One that has ended
 * is dropped, and what is in its place is found out.
 */
bool
ma_override_decides(MaRun *run, MaContact *contact, int list, TimestampTz at)
{
	MaOverride *override = find(contact, list);

	if (override == NULL)
		return false;
	if (override->until <= at)
	{
		end(run, contact, override, at);
		return true;
	}
	ma_evaluate_until(contact, override->until);
	if (contact->member[list] != override->entered)
		set_member(run, contact, list, override->entered, true, at);
	return true;
}

/* Wakes the lists about which something is decided: it may end. */
void
ma_override_wake(MaContact *contact)
{
	for (int i = 0; i < contact->noverrides; i++)
		contact->woken =
			bms_add_member(contact->woken, contact->overrides[i].list);
	contact->changed = true;
}

/* Reads the rows of those contacts of a set whose ids are given. */
void
ma_override_read(MaContactSet *set, Datum ids)
{
	static MaStatement stmt = {
		"select contact_id, list_id, entered, after, until"
		" from mautomate_internal.list_override where contact_id = any ($1)",
		1,
		{INT8ARRAYOID}};

	ma_sql_exec(&stmt, &ids, NULL, 0);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool	   isnull;
		MaContact *contact =
			ma_contact_find(set, DatumGetInt64(ma_sql_datum(i, 1, &isnull)));
		MaOverride override;

		override.list = ma_state_list(
			set->definitions, DatumGetInt32(ma_sql_datum(i, 2, &isnull)));
		override.entered = DatumGetBool(ma_sql_datum(i, 3, &isnull));
		override.after = DatumGetBool(ma_sql_datum(i, 4, &isnull));
		override.until = DatumGetTimestampTz(ma_sql_datum(i, 5, &isnull));
		if (override.list >= 0)
			ma_state_override(contact, &override);
	}
}
