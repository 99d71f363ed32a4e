/*
 * erase.h
 *	  Forgetting persons for good.
 */
#ifndef MA_ERASE_H
#define MA_ERASE_H

#include "datatype/timestamp.h"

#include "contact.h"

extern void ma_contact_erase_own(MaProfile *persons, int n);

extern int		   ma_contact_erase_late(int max);
extern TimestampTz ma_contact_erase_due(void);

#endif /* MA_ERASE_H */
