/*
 * state_code.c
 *	  The encoded state of a contact.
 *
 * A format version; the ids of the lists the contact is in; what was decided
 * by hand against them; its scores with tier and bucket; its cells by
 * ascending id. Most cells are a count and nothing else, or of events that
 * never happened: these take two bytes, the distance of the id and the count.
 * The others describe themselves (cell.c). What a state holds of definitions
 * that are gone is dropped when it is written next: nobody folds it on.
 */
#include "postgres.h"

#include <limits.h>

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "state_private.h"

#define FORMAT_VERSION 4

/* Of an override, as stored. */
#define OVERRIDE_ENTERED 1
#define OVERRIDE_AFTER	 2

/* Bytes that a cell which is a count takes, at most. */
#define PLAIN_MAX 20

/* The next number; almost all of them are a single byte. */
static inline uint64
get_number(const char **in, const char *end)
{
	const char *rest = *in;
	uint64		value;

	if (likely(rest < end && *(const signed char *) rest >= 0))
	{
		*in = rest + 1;
		return (uint8) *rest;
	}
	/* a copy, so that the caller's can stay in a register */
	value = ma_varint_get(&rest, end);
	*in = rest;
	return value;
}

/* Writes a number where there is room for it; returns what follows. */
static inline char *
put_number(char *at, uint64 value)
{
	for (; value >= 0x80; value >>= 7)
		*at++ = (char) (value | 0x80);
	*at++ = (char) value;
	return at;
}

/* Index of a list by its id, -1 if it is gone; lists are in this order. */
int
ma_state_list(const MaDefinitions *definitions, int id)
{
	int low = 0;
	int high = definitions->nlists - 1;

	while (low <= high)
	{
		int middle = (low + high) / 2;

		if (definitions->lists[middle].list_id == id)
			return middle;
		if (definitions->lists[middle].list_id < id)
			low = middle + 1;
		else
			high = middle - 1;
	}
	return -1;
}

/* The same of a score. */
static int
score_index(const MaDefinitions *definitions, int id)
{
	for (int i = 0; i < definitions->nscores; i++)
		if (definitions->scores[i].score_id == id)
			return i;
	return -1;
}

/* Index of a tier by its id, -1 if it is gone or none. */
static int
tier_index(const MaScoreDef *score, int tier_id)
{
	for (int i = 0; i < score->ntiers; i++)
		if (score->tiers[i].tier_id == tier_id)
			return i;
	return -1;
}

/* Adds what was decided by hand for a list; there must be nothing of it. */
void
ma_state_override(MaContact *contact, const MaOverride *override)
{
	if (contact->noverrides == contact->maxoverrides)
	{
		MemoryContext old = MemoryContextSwitchTo(contact->set->cxt);

		contact->maxoverrides = Max(4, 2 * contact->maxoverrides);
		contact->overrides =
			contact->overrides == NULL ?
				palloc(contact->maxoverrides * sizeof(MaOverride)) :
				repalloc(contact->overrides,
						 contact->maxoverrides * sizeof(MaOverride));
		MemoryContextSwitchTo(old);
	}
	contact->overrides[contact->noverrides++] = *override;
}

/* Reads one of an encoded state; returns the id of its list. */
static int
get_override(const char **in, const char *end, MaOverride *override)
{
	int	   list_id = (int) ma_varint_get(in, end);
	uint64 flags = ma_varint_get(in, end);

	override->entered = (flags & OVERRIDE_ENTERED) != 0;
	override->after = (flags & OVERRIDE_AFTER) != 0;
	override->until = DT_NOEND;
	if (end - *in >= sizeof(TimestampTz))
		memcpy(&override->until, *in, sizeof(TimestampTz));
	*in += Min(sizeof(TimestampTz), end - *in);
	return list_id;
}

/* Reads those of a contact (NULL: passes over them). */
static void
get_overrides(MaContact *contact, const char **in, const char *end)
{
	uint64 n = ma_varint_get(in, end);

	for (uint64 i = 0; i < n && *in < end; i++)
	{
		MaOverride override;
		int		   list_id = get_override(in, end, &override);

		if (contact == NULL)
			continue;
		override.list = ma_state_list(contact->set->definitions, list_id);
		if (override.list >= 0)
			ma_state_override(contact, &override);
	}
}

/* Writes them. */
static void
put_overrides(const MaContact *contact, StringInfo out)
{
	ma_varint_put(out, contact->noverrides);
	for (int i = 0; i < contact->noverrides; i++)
	{
		const MaOverride *override = &contact->overrides[i];

		ma_varint_put(
			out, contact->set->definitions->lists[override->list].list_id);
		ma_varint_put(out, (override->entered ? OVERRIDE_ENTERED : 0) |
							   (override->after ? OVERRIDE_AFTER : 0));
		appendBinaryStringInfo(out, (const char *) &override->until,
							   sizeof(TimestampTz));
	}
}

/* Reads the scores of an encoded state; returns how many. */
static int
get_scores(const char **in, const char *end, MaStoredScore **scores)
{
	uint64 n = ma_varint_get(in, end);

	n = Min(n, (uint64) (end - *in)); /* each takes a byte at least */
	*scores = palloc0((n + 1) * sizeof(MaStoredScore));
	for (uint64 i = 0; i < n; i++)
	{
		MaStoredScore *score = &(*scores)[i];
		int			   bucket;

		score->score_id = (int) ma_varint_get(in, end);
		score->tier_id = (int) ma_varint_get(in, end);
		bucket = (int) ma_varint_get(in, end);
		score->bucket = (bucket >> 1) ^ -(bucket & 1);
		if (end - *in >= sizeof(double))
			memcpy(&score->value, *in, sizeof(double));
		*in += Min(sizeof(double), end - *in);
	}
	return (int) n;
}

/* The scores of an encoded state, whatever definitions there are. */
int
ma_state_scores(const char *in, const char *end, MaStoredScore **scores)
{
	uint64 n;

	if (in == end || *in != FORMAT_VERSION)
		return 0;
	in++;
	n = ma_varint_get(&in, end);
	for (uint64 i = 0; i < n; i++)
		(void) ma_varint_get(&in, end);
	get_overrides(NULL, &in, end);
	return get_scores(&in, end, scores);
}

/* Reads a cell that is not stored as a count; returns what follows. */
static const char *
decode_whole(MaContact *contact, int i, const char *in, const char *end)
{
	MaCell			*cell = &contact->cells[i];
	const MaCellDef *def = &contact->set->definitions->cells[i].def;

	if (def->plain)
	{
		MaCell whole = {0};

		/* more was kept once; of a plain cell nothing else is set */
		ma_cell_decode(def, &whole, &in, end);
		cell->count = whole.count;
		cell->known = whole.known;
		return in;
	}
	ma_cell_decode(def, cell, &in, end);
	contact->summed |= cell->spans != NULL;
	return in;
}

/* Passes over one that nobody asks for; returns what follows. */
static const char *
skip_whole(const char *in, const char *end)
{
	ma_cell_skip(&in, end);
	return in;
}

/* Reads the cells of an encoded state. */
static void
decode_cells(MaContact *contact, const char *in, const char *end)
{
	const MaDefinitions *definitions = contact->set->definitions;
	const MaCellCode	*first = definitions->codes;
	const MaCellCode	*code = first;
	MaCell				*cell = contact->cells;
	const char			*at = in;
	int					 id = 0;
	int					 known = 0;

	while (at < end)
	{
		uint64 key = get_number(&at, end);

		id += (int) (key >> 1);
		for (; code->id < id; cell++)
			code++;
		if (likely((key & 1) && code->id == id && code->plain))
		{
			cell->count = get_number(&at, end);
			cell->known = true;
			known++;
		}
		else if (code->id != id || !code->counted)
		{
			if (key & 1)
				(void) get_number(&at, end);
			else
				at = skip_whole(at, end);
		}
		else
		{
			if (key & 1)
				ma_cell_set_count(&definitions->cells[code - first].def, cell,
								  get_number(&at, end));
			else
				at = decode_whole(contact, code - first, at, end);
			known += cell->known;
		}
	}
	contact->lacking = known < definitions->ncounted;
}

/* Reads an encoded state; an empty one says nothing. */
void
ma_state_decode(MaContact *contact, const char *in, const char *end)
{
	MaDefinitions *definitions = contact->set->definitions;
	MaStoredScore *scores;
	int			   nscores;
	uint64		   n;
	int			   id = 0;

	contact->lacking = definitions->nkinds > 0;
	contact->blank = in == end || *in != FORMAT_VERSION;
	if (contact->blank)
		return; /* never folded, or by another version */
	in++;
	n = get_number(&in, end);
	for (uint64 i = 0; i < n; i++)
	{
		int index = ma_state_list(definitions, id += get_number(&in, end));

		if (index >= 0)
			contact->member[index] = true;
	}
	get_overrides(contact, &in, end);
	nscores = get_scores(&in, end, &scores);
	for (int i = 0; i < nscores; i++)
	{
		int			  index = score_index(definitions, scores[i].score_id);
		MaScoreState *score;

		if (index < 0)
			continue;
		score = &contact->scores[index];
		score->value = scores[i].value;
		score->bucket = scores[i].bucket;
		score->tier =
			tier_index(&definitions->scores[index], scores[i].tier_id);
	}
	decode_cells(contact, in, end);
}

/* The next list from `at` on that a contact is in; NULL if there is none. */
static const bool *
next_list(const MaContact *contact, const bool *at)
{
	const bool *end = contact->member + contact->set->definitions->nlists;

	return memchr(at, true, end - at);
}

/* Encodes the lists that a contact is in: of a thousand a few. */
static void
encode_lists(const MaContact *contact, StringInfo out)
{
	MaListDef  *lists = contact->set->definitions->lists;
	const bool *at;
	int			n = 0;
	int			id = 0;

	for (at = contact->member; (at = next_list(contact, at)) != NULL; at++)
		n++;
	ma_varint_put(out, n);
	for (at = contact->member; (at = next_list(contact, at)) != NULL; at++)
	{
		MaListDef *list = &lists[at - contact->member];

		ma_varint_put(out, list->list_id - id);
		id = list->list_id;
	}
}

/* Encodes its scores. */
static void
encode_scores(const MaContact *contact, StringInfo out)
{
	MaDefinitions *definitions = contact->set->definitions;
	int			   n = 0;

	for (int i = 0; i < definitions->nscores; i++)
		n += contact->scores[i].bucket != INT_MIN;
	ma_varint_put(out, n);
	for (int i = 0; i < definitions->nscores; i++)
	{
		const MaScoreDef   *score = &definitions->scores[i];
		const MaScoreState *state = &contact->scores[i];
		int					bucket = state->bucket;

		if (bucket == INT_MIN)
			continue;
		ma_varint_put(out, score->score_id);
		ma_varint_put(out,
					  state->tier < 0 ? 0 : score->tiers[state->tier].tier_id);
		ma_varint_put(out, (uint32) ((bucket << 1) ^ (bucket >> 31)));
		appendBinaryStringInfo(out, (char *) &state->value, sizeof(double));
	}
}

/* Encodes a cell that is more than a count. */
static void
encode_whole(const MaContact *contact, int i, StringInfo out)
{
	const MaCellDef *def = &contact->set->definitions->cells[i].def;

	ma_cell_prune(def, &contact->cells[i], contact->as_of);
	ma_cell_encode(def, &contact->cells[i], out);
}

/* Encodes its cells, where somebody asks for them. */
static void
encode_cells(MaContact *contact, StringInfo out)
{
	const MaCellCode *first = contact->set->definitions->codes;
	const MaCellCode *end = first + contact->set->definitions->ncells;
	const MaCell	 *cell = contact->cells;
	char			 *at = out->data + out->len;
	char			 *limit = out->data + out->maxlen - PLAIN_MAX;
	int				  id = 0;

	for (const MaCellCode *code = first; code < end; code++, cell++)
	{
		bool is_count;

		if (!code->counted || !cell->known)
			continue;
		if (unlikely(at >= limit))
		{
			out->len = at - out->data;
			enlargeStringInfo(out, PLAIN_MAX);
			at = out->data + out->len;
			limit = out->data + out->maxlen - PLAIN_MAX;
		}
		is_count = code->plain || ma_cell_is_empty(cell);
		at = put_number(at, (uint64) (code->id - id) << 1 | is_count);
		id = code->id;
		if (is_count)
		{
			at = put_number(at, cell->count);
			continue;
		}
		out->len = at - out->data;
		encode_whole(contact, code - first, out);
		at = out->data + out->len;
		limit = out->data + out->maxlen - PLAIN_MAX;
	}
	out->len = at - out->data;
}

/* Appends the encoded state of a contact. */
void
ma_state_encode(MaContact *contact, StringInfo out)
{
	appendStringInfoChar(out, FORMAT_VERSION);
	encode_lists(contact, out);
	put_overrides(contact, out);
	encode_scores(contact, out);
	encode_cells(contact, out);
}
