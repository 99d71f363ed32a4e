/*
 * lease.c
 *	  Numbers whose holder can be known to be alive or dead.
 *
 * A lease is a session lock on a number. The lock manager lets go of it when
 * the process ends, however it ends, so whether a holder lives is a fact and
 * no matter of clocks: a number that can be locked has no living holder. The
 * locks are advisory locks of a class that SQL cannot name.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/lock.h"

#include "lease.h"

/* The class of the first kind; SQL's advisory locks use 1 and 2. */
#define LEASE_CLASS 0x4d41

/* The lock of a number in this database. */
static LOCKTAG
tag_of(MaLeaseKind kind, int64 number)
{
	LOCKTAG tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, (uint32) (number >> 32),
						 (uint32) number, LEASE_CLASS + kind);
	return tag;
}

/*
 * Takes the number until this process ends or gives it back; false if
 * somebody else has it. Outlives the transaction, also a failing one.
 */
bool
ma_lease_take(MaLeaseKind kind, int64 number)
{
	LOCKTAG tag = tag_of(kind, number);

	return LockAcquire(&tag, ExclusiveLock, true, true) !=
		   LOCKACQUIRE_NOT_AVAIL;
}

/* Gives back a number that this process has taken. */
void
ma_lease_give_back(MaLeaseKind kind, int64 number)
{
	LOCKTAG tag = tag_of(kind, number);

	LockRelease(&tag, ExclusiveLock, true);
}

/*
 * Takes the number until the end of the transaction if nobody has it, to
 * settle what a dead holder left behind. Only one session can.
 */
bool
ma_lease_inherit(MaLeaseKind kind, int64 number)
{
	LOCKTAG tag = tag_of(kind, number);

	return LockAcquire(&tag, ExclusiveLock, false, true) !=
		   LOCKACQUIRE_NOT_AVAIL;
}

/*
 * Which process has the number? 0 if none. Looks without touching, so that
 * who is about to take it is not turned away; slow, not for every pass.
 */
int
ma_lease_holder(MaLeaseKind kind, int64 number)
{
	LOCKTAG	  tag = tag_of(kind, number);
	LockData *locks = GetLockStatusData();

	for (int i = 0; i < locks->nelements; i++)
	{
		LockInstanceData *lock = &locks->locks[i];

		if (memcmp(&lock->locktag, &tag, sizeof(tag)) == 0 &&
			lock->holdMask != 0)
			return lock->pid;
	}
	return 0;
}
