/*
 * attempt.c
 *	  Does something that may fail without failing with it.
 *
 * The work runs in a subtransaction of its own, so whatever it held when it
 * failed (locks, pins, the owner's identity, changes) is given back. It gets
 * no transaction id unless the work writes.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/elog.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "attempt.h"

/* Errors that concern the whole transaction or session. */
static bool
is_fatal_to_caller(int sqlerrcode)
{
	return sqlerrcode == ERRCODE_QUERY_CANCELED ||
		   sqlerrcode == ERRCODE_ADMIN_SHUTDOWN ||
		   sqlerrcode == ERRCODE_T_R_SERIALIZATION_FAILURE ||
		   sqlerrcode == ERRCODE_OUT_OF_MEMORY;
}

/*
 * Calls work(arg). Returns true when it succeeded; otherwise everything it
 * did to the database is undone and *error, in the current context, tells
 * why. A cancel, a shutdown or a serialization failure is raised again.
 */
bool
ma_attempt(void (*work)(void *), void *arg, ErrorData **error)
{
	MemoryContext cxt = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool ok = false;

	*error = NULL;
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(cxt);
	PG_TRY();
	{
		work(arg);
		ReleaseCurrentSubTransaction();
		ok = true;
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(cxt);
		*error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(cxt);
	CurrentResourceOwner = owner;
	if (!ok && is_fatal_to_caller((*error)->sqlerrcode))
		ReThrowError(*error);
	return ok;
}
