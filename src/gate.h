/*
 * gate.h
 *	  May we contact this person now?
 */
#ifndef MA_GATE_H
#define MA_GATE_H

/* What is known of who is to get a message. */
typedef struct MaRecipient
{
	bool		exists;		/* is there such a contact? */
	const char *kind;		/* of the address that the channel writes to:
							 * "email", "phone", "none" (it needs none), else
							 * the attribute that holds it */
	const char *address;	/* NULL: none */
	const char *suppressed; /* why the address is; NULL: it is not */
} MaRecipient;

extern const char *ma_gate_refusal(const MaRecipient *recipient);
extern const char *ma_gate_reachable(int64 contact_id, int template_id);

#endif /* MA_GATE_H */
