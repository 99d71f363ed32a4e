/*
 * refresh_room.c
 *	  Folding many events of a contact in little memory.
 *
 * What a window keeps of each event is needed only until it is summed up into
 * spans (signal_span.c), which happens as a state is stored. Where the events
 * of a contact are many, since all of them are read from the log or one
 * statement brings them, it happens every so many events: what is left then
 * moves to a new room, a memory context, and the old one goes with all the
 * values that are in sums.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "guc.h"
#include "refresh_private.h"

/* As many times the entries of a window are folded before they are summed. */
#define PATIENCE 64

/* So many events of a contact are folded before they are summed up. */
int
ma_room_events(void)
{
	return PATIENCE * ma_guc_window_entries;
}

/* Where the values go that are folded into its cells. */
MemoryContext
ma_room(const MaContact *contact)
{
	return contact->room != NULL ? contact->room : contact->set->cxt;
}

/* Moves what the cells hold to other memory; the room goes. */
static void
move(MaContact *contact, MemoryContext into)
{
	MaDefinitions *definitions = contact->set->definitions;
	MemoryContext  old = MemoryContextSwitchTo(into);

	for (int i = 0; i < definitions->ncells; i++)
		if (definitions->cells[i].def.keeps == MA_KEEPS_TOTALS)
			ma_cell_move(&contact->cells[i]);
	MemoryContextSwitchTo(old);
	if (contact->room != NULL)
		MemoryContextDelete(contact->room);
	contact->room = NULL;
}

/* An empty room for what is folded into the cells of a contact. */
static MemoryContext
new_room(const MaContact *contact)
{
	return AllocSetContextCreate(contact->set->cxt, "mautomate room",
								 ALLOCSET_SMALL_SIZES);
}

/* From here on the contact has a room, for as long as it is worked on. */
void
ma_room_enter(MaContact *contact)
{
	if (contact->room == NULL)
		contact->room = new_room(contact);
}

/* What the cells hold moves to a new room, and the rest goes. */
void
ma_room_renew(MaContact *contact)
{
	MemoryContext room = new_room(contact);

	move(contact, room);
	contact->room = room;
}

/*
 * Sums up what is many in cells (NULL: in all) of a contact, who is asked at
 * no instant but those from one to another until it is stored, and goes on in
 * a new room.
 */
void
ma_room_sum_up(MaContact *contact, const Bitmapset *cells, TimestampTz from,
			   TimestampTz to)
{
	MaDefinitions *definitions = contact->set->definitions;
	MemoryContext  old = MemoryContextSwitchTo(ma_room(contact));

	for (int i = 0; i < definitions->ncells; i++)
	{
		MaCellDef *def = &definitions->cells[i].def;
		MaCell	  *cell = &contact->cells[i];

		if (def->nedges == 0 || !cell->known ||
			(cells != NULL && !bms_is_member(i, cells)))
			continue;
		ma_cell_settle(def, cell);
		ma_cell_sum_up(def, cell, from, to);
		contact->summed |= cell->spans != NULL;
	}
	MemoryContextSwitchTo(old);
	ma_room_renew(contact);
}

/* What is left moves to where the contact is. */
void
ma_room_leave(MaContact *contact)
{
	if (contact->room != NULL)
		move(contact, contact->set->cxt);
}
