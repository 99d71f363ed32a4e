/*
 * inbound_link.c
 *	  What people do with the links of a message.
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "argument.h"
#include "inbound_store.h"
#include "token.h"

PG_FUNCTION_INFO_V1(mautomate_unsubscribe);

/* unsubscribe(token, scope) -> jsonb */
Datum
mautomate_unsubscribe(PG_FUNCTION_ARGS)
{
	char			  *token = ma_argument_text(fcinfo, 0, "token");
	char			  *scope = ma_argument_text(fcinfo, 1, "scope");
	MaInboundReference reference;
	MaInboundEvent	   event = {.kind = MA_INBOUND_UNSUBSCRIBE};

	if (strcmp(scope, "all") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown scope \"%s\"", scope),
				 errhint("The scope is all: there are no topics yet.")));
	if (!ma_token_read(token, MA_TOKEN_UNSUBSCRIBE, &reference.message_id,
					   &reference.enqueued_at) ||
		!ma_inbound_find_reference(&reference, &event.target))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the token is not valid"),
				 errdetail("It belongs to no message of this database, or "
						   "was not copied whole.")));
	event.dedupe_key =
		psprintf("unsubscribe:" INT64_FORMAT, reference.message_id);
	ma_inbound_record(&event);
	/* whoever came back in between wants to leave again */
	if (event.repeated && event.target.address != NULL)
		event.suppressed =
			ma_inbound_suppress(event.target.address, "unsubscribed");
	PG_RETURN_JSONB_P(ma_inbound_result(&event));
}
