/*
 * address.h
 *	  E-mail addresses and phone numbers: may we send to them, one spelling.
 *
 * A reason is a full sentence, made for errdetail(); it is a constant string.
 * Every reason pointer may be NULL.
 */
#ifndef MA_ADDRESS_H
#define MA_ADDRESS_H

extern bool	 ma_address_valid(const char *address, const char **reason);
extern char *ma_address_normalise(const char *address, const char **reason);
extern const char *ma_address_domain(const char *address);
extern bool		   ma_address_needs_utf8(const char *address);
extern char		  *ma_phone_normalise(const char *phone, const char **reason);

/*
 * The SHA-256, a bytea, of an address or phone number in its one spelling, or
 * of whatever else it is, in lower case and UTF-8.
 */
extern struct varlena *ma_address_hash(const char *address);

#endif /* MA_ADDRESS_H */
