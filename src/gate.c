/*
 * gate.c
 *	  May we contact this person now?
 *
 * Asked when a message is claimed, and by workflows before they choose
 * another way; never cached, since the answer may change with every commit.
 */
#include "postgres.h"

#include "catalog/pg_type.h"

#include "address.h"
#include "gate.h"
#include "sql.h"

/*
 * Why nothing can be sent to this person, NULL if something can. The text is
 * palloc'd or constant.
 */
const char *
ma_gate_refusal(const MaRecipient *recipient)
{
	const char *reason;

	if (!recipient->exists)
		return "the contact is gone";
	if (recipient->email == NULL)
		return "no e-mail address";
	if (!ma_address_valid(recipient->email, &reason))
		return psprintf("invalid e-mail address: %s", reason);
	if (recipient->suppressed != NULL)
		return psprintf("suppressed: %s", recipient->suppressed);
	return NULL;
}

/*
 * Why a message made of this template cannot reach this contact now, NULL if
 * it can; palloc'd in the current context.
 */
const char *
ma_gate_reachable(int64 contact_id, int template_id)
{
	static MaStatement stmt = {
		"select p.email, s.reason"
		" from mautomate.contact c"
		" join mautomate.contact p"
		"  on p.contact_id = coalesce(c.merged_into, c.contact_id)"
		" left join mautomate_internal.suppression s"
		"  on s.address_hash = mautomate_internal.address_hash(p.email)"
		" where c.contact_id = $1",
		1,
		{INT8OID}};
	MemoryContext caller = CurrentMemoryContext;
	Datum		  values[1] = {Int64GetDatum(contact_id)};
	MaRecipient	  recipient = {0};
	MaSqlScope	  scope;
	const char	 *refusal;

	ma_sql_begin(&scope);
	if (ma_sql_exec(&stmt, values, NULL, 1) > 0)
	{
		recipient.exists = true;
		recipient.email = ma_sql_text(0, 1);
		recipient.suppressed = ma_sql_text(0, 2);
	}
	refusal = ma_gate_refusal(&recipient);
	if (refusal != NULL)
		refusal = MemoryContextStrdup(caller, refusal);
	ma_sql_end(&scope);
	return refusal;
}
