/*
 * refresh_reserved.c
 *	  Events that only the engine writes.
 *
 * They tell what happened to lists, scores, stages and attributes; one that
 * somebody makes up would start workflows and count in lists as if it had.
 * track() and attach_events() refuse their kinds, and here they are refused
 * from who writes to the log directly. Who has the rights of its owner may:
 * the engine itself, and a restore.
 */
#include "postgres.h"

#include "commands/trigger.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/rel.h"

#include "refresh_private.h"
#include "vocabulary.h"

/* Column kind of mautomate.event. */
#define KIND 2

/* May the user write events of reserved kinds? */
static bool
may_write(Relation log)
{
	return has_privs_of_role(GetUserId(), log->rd_rel->relowner);
}

/* Refuses a kind that is too long, or reserved and not for this user. */
void
ma_reserved_check(Relation log, const char *kind, int length)
{
	if (length > MA_KIND_MAX)
		ma_vocabulary_refuse_long();
	if (ma_vocabulary_reserved_piece(kind, length) && !may_write(log))
		ma_vocabulary_refuse(pnstrdup(kind, length));
}

/* The kind of a row. */
static text *
kind_of(TupleTableSlot *slot)
{
	bool isnull;

	return DatumGetTextPP(slot_getattr(slot, KIND, &isnull));
}

/* Refuses an UPDATE that makes the kind of an event a reserved one. */
void
ma_reserved_check_update(TriggerData *trigdata)
{
	Relation		log = trigdata->tg_relation;
	TupleTableSlot *before;
	TupleTableSlot *after;

	if (may_write(log))
		return;
	before =
		MakeSingleTupleTableSlot(RelationGetDescr(log), &TTSOpsMinimalTuple);
	after =
		MakeSingleTupleTableSlot(RelationGetDescr(log), &TTSOpsMinimalTuple);
	while (
		tuplestore_gettupleslot(trigdata->tg_oldtable, true, false, before) &&
		tuplestore_gettupleslot(trigdata->tg_newtable, true, false, after))
	{
		text *was = kind_of(before);
		text *is = kind_of(after);
		int	  length = VARSIZE_ANY_EXHDR(is);

		CHECK_FOR_INTERRUPTS();
		if (VARSIZE_ANY_EXHDR(was) != length ||
			memcmp(VARDATA_ANY(was), VARDATA_ANY(is), length) != 0)
			ma_reserved_check(log, VARDATA_ANY(is), length);
	}
	ExecDropSingleTupleTableSlot(before);
	ExecDropSingleTupleTableSlot(after);
	tuplestore_rescan(trigdata->tg_oldtable);
	tuplestore_rescan(trigdata->tg_newtable);
}
