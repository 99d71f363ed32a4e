/*
 * guard.c
 *	  Calls what may raise an error where none may come through.
 *
 * A subtransaction that writes nothing costs half a microsecond and takes no
 * transaction id. Errors that are not about the data (cancel, shutdown, out
 * of memory, a full disk) do come through.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "compat.h"
#include "guard.h"

/* Is this an error of somebody's definition or data? */
static bool
is_data_error(int sqlerrcode)
{
	switch (ERRCODE_TO_CATEGORY(sqlerrcode))
	{
		case ERRCODE_TO_CATEGORY(ERRCODE_T_R_SERIALIZATION_FAILURE):
		case ERRCODE_TO_CATEGORY(ERRCODE_INSUFFICIENT_RESOURCES):
		case ERRCODE_TO_CATEGORY(ERRCODE_OPERATOR_INTERVENTION):
		case ERRCODE_TO_CATEGORY(ERRCODE_IO_ERROR):
			return false;
		default:
			return true;
	}
}

/*
 * For PG_CATCH() around an internal subtransaction: rolls it back and goes on
 * with the error. An error that leaves one open would put a session that is
 * in no transaction block into a failed one.
 */
void
ma_guard_rethrow(MemoryContext cxt, ResourceOwner owner)
{
	ErrorData *edata;

	MemoryContextSwitchTo(cxt);
	edata = CopyErrorData();
	FlushErrorState();
	RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(cxt);
	CurrentResourceOwner = owner;
	ReThrowError(edata);
}

/*
 * Calls function(arg) in a subtransaction. Returns NULL, or the error it
 * raised, in the current context; then what it wrote is undone.
 */
ErrorData *
ma_guard(void (*function)(void *arg), void *arg)
{
	MemoryContext cxt = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData *volatile edata = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(cxt);
	PG_TRY();
	{
		function(arg);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(cxt);
		edata = CopyErrorData();
		if (!is_data_error(edata->sqlerrcode))
			ma_guard_rethrow(cxt, owner);
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(cxt);
	CurrentResourceOwner = owner;
	return edata;
}
