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
extern bool		   ma_phone_valid(const char *phone, const char **reason);
extern char		  *ma_phone_normalise(const char *phone, const char **reason);

#endif /* MA_ADDRESS_H */
