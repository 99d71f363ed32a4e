/*
 * edit.c
 *	  A text and what is to stand in it instead.
 *
 * Whoever looks through a text says what to replace in any order, by places
 * of the text as it was; they must not overlap. What nobody names stays as it
 * is, to the letter.
 */
#include "postgres.h"

#include "lib/stringinfo.h"

#include "edit.h"

/* A piece of the text, from one byte up to another, and what is put there. */
typedef struct Edit
{
	int			from;
	int			to;
	const char *by;
} Edit;

/* Puts something in place of a piece of the text. */
void
ma_edit_replace(MaEdits *edits, int from, int to, const char *by)
{
	Edit *edit = palloc(sizeof(Edit));

	edit->from = from;
	edit->to = to;
	edit->by = by;
	edits->edits = lappend(edits->edits, edit);
}

/* How many pieces are replaced. */
int
ma_edit_count(const MaEdits *edits)
{
	return list_length(edits->edits);
}

static int
compare_edits(const ListCell *a, const ListCell *b)
{
	return ((Edit *) lfirst(a))->from - ((Edit *) lfirst(b))->from;
}

/* The text with the edits done; NULL if there are none. */
char *
ma_edit_result(MaEdits *edits)
{
	StringInfoData result;
	int			   done = 0;
	ListCell	  *lc;

	if (edits->edits == NIL)
		return NULL;
	list_sort(edits->edits, compare_edits);
	initStringInfo(&result);
	foreach (lc, edits->edits)
	{
		Edit *edit = lfirst(lc);

		if (edit->from < done)
			elog(ERROR, "edits of \"%s\" overlap", edits->text);
		appendBinaryStringInfo(&result, edits->text + done, edit->from - done);
		appendStringInfoString(&result, edit->by);
		done = edit->to;
	}
	appendStringInfoString(&result, edits->text + done);
	return result.data;
}
