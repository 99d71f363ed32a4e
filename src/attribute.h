/*
 * attribute.h
 *	  Declared attributes, and what a JSON object says of a person.
 */
#ifndef MA_ATTRIBUTE_H
#define MA_ATTRIBUTE_H

#include "contact.h"

extern void		  ma_attribute_check_given(const char *name);
extern void		  ma_attribute_check_name(const char *name);
extern void		  ma_attribute_check_type(const char *name, Oid type);
extern ErrorData *ma_profile_describe(MaProfile *person, Jsonb *attributes,
									  bool soft);

#endif /* MA_ATTRIBUTE_H */
