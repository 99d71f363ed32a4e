/*
 * state.c
 *	  Load, lock and store what the engine remembers of contacts.
 *
 * The row of contact_state is the lock that makes two transactions on one
 * contact safe: who has it reads everything the other one committed. Rows are
 * locked in the order of contact ids, whoever comes first. They are read and
 * written through the table access method directly, since SQL would cost more
 * than all the rest of a refresh.
 *
 * Under READ COMMITTED the newest version of a row is locked, wherever the
 * chain of updates leads. Under REPEATABLE READ and SERIALIZABLE a row that
 * changed since the snapshot is a serialization failure, as for any UPDATE:
 * lists are kept by statements that would not see what the other one wrote.
 * (state_fetch.c)
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/executor.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "sql.h"
#include "state_private.h"
#include "table.h"
#include "value.h"
#include "vocabulary.h"

static MaWatch watch = {"contact_state"};

static Datum		 contact_attribute(MaPerson *person, const MaSlot *slot,
									   bool *isnull);
static const MaCell *contact_cell(MaPerson *person, const MaSignal *signal);
static bool			 contact_tag(MaPerson *person, const MaSlot *slot);
static bool			 contact_in_list(MaPerson *person, const MaSlot *slot);
static Datum contact_score(MaPerson *person, const MaSlot *slot, bool *isnull);

/* What is known of a contact before its state is read: nothing. */
static void
init_contact(MaContact *contact, MaContactSet *set)
{
	MaDefinitions *definitions = set->definitions;

	*contact = (MaContact){.person = {.attribute = contact_attribute,
									  .cell = contact_cell,
									  .tag = contact_tag,
									  .in_list = contact_in_list,
									  .score = contact_score},
						   .set = set,
						   .cells = contact->cells,
						   .scores = contact->scores,
						   .member = contact->member};
	for (int i = 0; i < definitions->nscores; i++)
		contact->scores[i] = (MaScoreState){.tier = -1, .bucket = INT_MIN};
}

/*
 * A contact without anything known, in the current context: one piece of
 * memory, since there are many of them.
 */
MaContact *
ma_state_new(MaContactSet *set)
{
	MaDefinitions *definitions = set->definitions;
	Size		   cells = MAXALIGN(sizeof(MaContact));
	Size	   scores = cells + MAXALIGN(definitions->ncells * sizeof(MaCell));
	Size	   member = scores + definitions->nscores * sizeof(MaScoreState);
	char	  *all = palloc0(member + definitions->nlists);
	MaContact *contact = (MaContact *) all;

	contact->cells = (MaCell *) (all + cells);
	contact->scores = (MaScoreState *) (all + scores);
	contact->member = (bool *) (all + member);
	init_contact(contact, set);
	return contact;
}

/* Forgets a contact, so that it serves for another one. */
void
ma_state_wipe(MaContact *contact)
{
	MaDefinitions *definitions = contact->set->definitions;
	MaCell		  *cell = contact->cells;

	init_contact(contact, contact->set);
	memset(contact->member, false, definitions->nlists);
	for (int i = 0; i < definitions->ncells; i++, cell++)
	{
		/* of a plain cell nothing else is ever set */
		cell->known = false;
		cell->count = 0;
		if (definitions->codes[i].counted && !definitions->codes[i].plain)
			*cell = (MaCell){0};
	}
}

/*
 * Opens the states for reading and writing. Waits for those who hold them all,
 * since they change definitions, which are to be looked at after this.
 */
MaTable *
ma_state_open(void)
{
	MaTable *states = palloc(sizeof(MaTable));

	ma_table_open(states, &watch);
	return states;
}

/*
 * The snapshot under which rows are looked for, made the active one. Which
 * version is locked then is the newest, but for a transaction that keeps to
 * one snapshot.
 */
static void
push_snapshot(MaLock lock)
{
	if (lock == MA_LOCK_NONE)
		PushActiveSnapshot(GetActiveSnapshot());
	else
		ma_table_push_snapshot();
}

/* Loads the states of any number of contacts. */
static void
load_all(MaContactSet *set, const int64 *ids, int n, MaLock lock)
{
	TupleTableSlot *slot = set->states->slot;
	MaFetch		   *fetch;

	push_snapshot(lock);
	fetch = ma_fetch_begin(set->states, ids, n, lock);
	for (int i = 0; i < n; i++)
	{
		MaFetched result = ma_fetch_row(fetch, i, slot);

		if (result == MA_FETCHED)
			set->contacts[set->n++] = ma_state_read(ma_state_new(set), slot);
		else if (result == MA_FETCHED_NOTHING || lock == MA_LOCK_WAIT)
			set->missing[set->nmissing++] = ids[i];
		ExecClearTuple(slot);
	}
	ma_fetch_end(fetch);
	PopActiveSnapshot();
}

/* An empty set with room for n contacts, in the current context. */
static MaContactSet *
new_set(MaTable *states, MaDefinitions *definitions, int n)
{
	MaContactSet *set = palloc0(sizeof(MaContactSet));

	set->cxt = CurrentMemoryContext;
	set->definitions = definitions;
	set->contacts = palloc(n * sizeof(MaContact *));
	set->missing = palloc(n * sizeof(int64));
	set->states = states;
	return set;
}

/* Loads the state of one contact, if the active snapshot shows the newest. */
static bool
load_one(MaContactSet *set, int64 id, MaLock lock)
{
	TupleTableSlot *slot = set->states->slot;

	if (!ma_fetch_one(set->states, id, lock, slot))
		return false;
	set->contacts[set->n++] = ma_state_read(ma_state_new(set), slot);
	ExecClearTuple(slot);
	return true;
}

/*
 * Locks and loads the states of contacts, ids ascending and distinct. With
 * MA_LOCK_SKIP those that another transaction holds are left out, with
 * MA_LOCK_NONE they are only read and must not be stored. Ids without a state
 * are listed in the set as missing. The set lives in the current context.
 */
MaContactSet *
ma_state_load(MaTable *states, MaDefinitions *definitions, const int64 *ids,
			  int n, MaLock lock)
{
	MaContactSet *set = new_set(states, definitions, n);
	bool		  single =
		n == 1 && lock == MA_LOCK_WAIT && !IsolationUsesXactSnapshot();

	if (!single || !load_one(set, ids[0], lock))
		load_all(set, ids, n, lock);
	return set;
}

/*
 * Stores the changed contacts of a set. Later commands of the transaction
 * see what was stored.
 */
void
ma_state_store(MaContactSet *set)
{
	bool any = false;

	for (int i = 0; i < set->n; i++)
	{
		MaContact *contact = set->contacts[i];

		if (!contact->changed)
			continue;
		ma_state_put(contact, set->states);
		if (!ma_table_update(set->states, &contact->tid))
			elog(ERROR, "contact state changed although it was locked");
		contact->tid = set->states->slot->tts_tid;
		contact->changed = false;
		any = true;
	}
	if (any)
		CommandCounterIncrement();
}

/* A contact of the set; NULL if it is not in it. */
MaContact *
ma_contact_find(MaContactSet *set, int64 contact_id)
{
	int low = 0;
	int high = set->n - 1;

	while (low <= high)
	{
		int middle = (low + high) / 2;

		if (set->contacts[middle]->id == contact_id)
			return set->contacts[middle];
		if (set->contacts[middle]->id < contact_id)
			low = middle + 1;
		else
			high = middle - 1;
	}
	return NULL;
}

/*
 * Reads the contact's own row. The snapshot is taken after the lock, so an
 * attribute that another transaction changed under it is seen.
 */
static void
read_attributes(MaContact *contact)
{
	static MaStatement stmt = {
		"select external_id, email, phone, first_name, last_name, timezone,"
		" locale, region, stage, owner, created_at, attributes"
		" from mautomate.contact where contact_id = $1",
		1,
		{INT8OID}};
	MemoryContext cxt = contact->set->cxt;
	MaSqlScope	  scope;
	Datum		  id = Int64GetDatum(contact->id);
	int			  n;

	contact->attributes_read = true;
	ma_sql_begin(&scope);
	if (!IsolationUsesXactSnapshot())
		PushActiveSnapshot(GetLatestSnapshot());
	else
		PushActiveSnapshot(GetTransactionSnapshot());
	if (ma_sql_read(&stmt, &id, NULL, 1) == 1)
	{
		MemoryContext old = MemoryContextSwitchTo(cxt);
		TupleDesc	  desc = SPI_tuptable->tupdesc;

		n = desc->natts - 1;
		contact->columns = palloc(n * sizeof(Datum));
		contact->nulls = palloc(n * sizeof(bool));
		for (int i = 0; i < n; i++)
		{
			Datum value = ma_sql_datum(0, i + 1, &contact->nulls[i]);
			Form_pg_attribute att = TupleDescAttr(desc, i);

			contact->columns[i] =
				contact->nulls[i] ?
					(Datum) 0 :
					datumCopy(value, att->attbyval, att->attlen);
		}
		contact->attributes =
			DatumGetJsonbPCopy(ma_sql_datum(0, n + 1, &contact->nulls[0]));
		contact->nulls[0] = contact->columns[0] == (Datum) 0;
		MemoryContextSwitchTo(old);
	}
	PopActiveSnapshot();
	ma_sql_end(&scope);
}

/* MaPerson: contact.<column> or contact.<attribute>. */
static Datum
contact_attribute(MaPerson *person, const MaSlot *slot, bool *isnull)
{
	MaContact *contact = (MaContact *) person;
	JsonbValue value;

	if (!contact->attributes_read)
		read_attributes(contact);
	*isnull = true;
	if (contact->columns == NULL)
		return (Datum) 0;
	if (slot->column >= 0)
	{
		*isnull = contact->nulls[slot->column];
		return contact->columns[slot->column];
	}
	if (!ma_value_lookup(contact->attributes, slot->path, slot->npath, &value))
		return (Datum) 0;
	return ma_value_from_json(&value, slot->type, isnull);
}

/* MaPerson: the folded cell behind a signal. */
static const MaCell *
contact_cell(MaPerson *person, const MaSignal *signal)
{
	MaContact *contact = (MaContact *) person;

	Assert(contact->cells[signal->cell].known);
	return &contact->cells[signal->cell];
}

/* MaPerson: has_tag('x'); tags are an array of strings. */
static bool
contact_tag(MaPerson *person, const MaSlot *slot)
{
	static char *const path[] = {"tags"};
	MaContact		  *contact = (MaContact *) person;
	JsonbValue		   tags;
	JsonbValue		   tag = {.type = jbvString};

	if (!contact->attributes_read)
		read_attributes(contact);
	if (contact->columns == NULL ||
		!ma_value_lookup(contact->attributes, path, 1, &tags) ||
		tags.type != jbvBinary || !JsonContainerIsArray(tags.val.binary.data))
		return false;
	tag.val.string.val = unconstify(char *, slot->object);
	tag.val.string.len = strlen(slot->object);
	return findJsonbValueFromContainer(tags.val.binary.data, JB_FARRAY,
									   &tag) != NULL;
}

/* MaPerson: in_list('x'); false for a list that is gone. */
static bool
contact_in_list(MaPerson *person, const MaSlot *slot)
{
	MaContact *contact = (MaContact *) person;

	return slot->index >= 0 && contact->member[slot->index];
}

/* MaPerson: score('x') or tier('x'). */
static Datum
contact_score(MaPerson *person, const MaSlot *slot, bool *isnull)
{
	MaContact	 *contact = (MaContact *) person;
	MaScoreState *state;

	*isnull = slot->index < 0;
	if (*isnull)
		return (Datum) 0;
	state = &contact->scores[slot->index];
	if (slot->kind == MA_SLOT_SCORE)
		return Float8GetDatum(state->value);
	*isnull = state->tier < 0;
	if (*isnull)
		return (Datum) 0;
	return CStringGetTextDatum(contact->set->definitions->scores[slot->index]
								   .tiers[state->tier]
								   .name);
}
