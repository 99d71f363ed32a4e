/*
 * edit.h
 *	  A text and what is to stand in it instead.
 */
#ifndef MA_EDIT_H
#define MA_EDIT_H

#include "nodes/pg_list.h"

/* A text that gets edits; all of it lives in one memory context. */
typedef struct MaEdits
{
	const char *text;
	List	   *edits; /* private to edit.c */
} MaEdits;

extern void	 ma_edit_replace(MaEdits *edits, int from, int to, const char *by);
extern int	 ma_edit_count(const MaEdits *edits);
extern char *ma_edit_result(MaEdits *edits);

#endif /* MA_EDIT_H */
