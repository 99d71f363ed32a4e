/*
 * horizon.c
 *	  Who may still be about that does not know what was committed?
 *
 * A thing that was dropped may be written to by those who began before, and
 * so what is to be cleared away after it waits until all of them have ended.
 * That is tested, not waited for: a pass notes its own transaction id, which
 * is later than the commit it sees, and a later pass looks whether any
 * snapshot or transaction is older than that.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/transam.h"
#include "catalog/namespace.h"
#include "storage/procarray.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/xid8.h"

#include "horizon.h"

/* The oldest transaction (xid8) that somebody may not see yet as ended. */
Datum
ma_horizon_oldest(void)
{
	Oid event =
		get_relname_relid("event", get_namespace_oid("mautomate", false));
	Relation		  rel = table_open(event, AccessShareLock);
	TransactionId	  xid = GetOldestNonRemovableTransactionId(rel);
	FullTransactionId next = ReadNextFullTransactionId();
	int32			  age = (int32) (XidFromFullTransactionId(next) - xid);

	table_close(rel, AccessShareLock);
	return FullTransactionIdGetDatum(
		FullTransactionIdFromU64(U64FromFullTransactionId(next) - age));
}

/*
 * The number (xid8) of the next transaction. What waits for this one or a
 * later one was noted in another cluster, and restored here.
 */
Datum
ma_horizon_next(void)
{
	return FullTransactionIdGetDatum(ReadNextFullTransactionId());
}
