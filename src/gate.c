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

static const char *address_problem(const char *kind, const char *address);

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
	if (strcmp(recipient->kind, "none") == 0)
		return NULL;
	reason = address_problem(recipient->kind, recipient->address);
	if (reason != NULL)
		return reason;
	if (recipient->suppressed != NULL)
		return psprintf("suppressed: %s", recipient->suppressed);
	return NULL;
}

/* Why nothing can be sent to an address, NULL if something can. */
static const char *
address_problem(const char *kind, const char *address)
{
	bool		is_email = strcmp(kind, "email") == 0;
	bool		is_phone = strcmp(kind, "phone") == 0;
	const char *what = is_email ? "e-mail address" : "phone number";
	const char *reason = NULL;

	if (address == NULL && (is_email || is_phone))
		return psprintf("no %s", what);
	if (address == NULL || address[0] == '\0')
		return psprintf("no attribute \"%s\"", kind);
	if ((is_email && !ma_address_valid(address, &reason)) ||
		(is_phone && ma_phone_normalise(address, &reason) == NULL))
		return psprintf("invalid %s: %s", what, reason);
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
		"select h.recipient, a.address, s.reason"
		" from mautomate.contact c"
		" join mautomate.contact p"
		"  on p.contact_id = coalesce(c.merged_into, c.contact_id)"
		" join mautomate_internal.template t on t.template_id = $2"
		" join mautomate_internal.template_version v"
		"  on v.template_id = t.template_id and v.version = t.version"
		" join mautomate_internal.channel h using (channel_id)"
		" cross join lateral (select"
		"  mautomate_internal.recipient_address(p, h.recipient)"
		"  as address) a"
		" left join mautomate_internal.suppression s"
		"  on s.address_hash = mautomate_internal.address_hash(a.address)"
		" where c.contact_id = $1",
		2,
		{INT8OID, INT4OID}};
	MemoryContext caller = CurrentMemoryContext;
	Datum values[2] = {Int64GetDatum(contact_id), Int32GetDatum(template_id)};
	MaRecipient recipient = {0};
	MaSqlScope	scope;
	const char *refusal;

	ma_sql_begin(&scope);
	if (ma_sql_exec(&stmt, values, NULL, 1) > 0)
	{
		recipient.exists = true;
		recipient.kind = ma_sql_text(0, 1);
		recipient.address = ma_sql_text(0, 2);
		recipient.suppressed = ma_sql_text(0, 3);
	}
	refusal = ma_gate_refusal(&recipient);
	if (refusal != NULL)
		refusal = MemoryContextStrdup(caller, refusal);
	ma_sql_end(&scope);
	return refusal;
}
