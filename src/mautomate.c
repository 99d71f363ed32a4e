/*
 * mautomate.c
 *	  Loading of the library. The only file that knows all modules.
 */
#include "postgres.h"

#include "fmgr.h"

#include "guc.h"
#include "worker.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

/* Called once, when a backend or the postmaster loads the library. */
void
_PG_init(void)
{
	ma_guc_init();
	ma_worker_init();
}
