/*
 * contact_object.h
 *	  What a message needs of a row of contact.
 */
#ifndef MA_CONTACT_OBJECT_H
#define MA_CONTACT_OBJECT_H

#include "executor/tuptable.h"
#include "utils/jsonb.h"

/* Of the row in a slot; texts are palloc'd, NULL for null. */
extern int64 ma_contact_merged_into(TupleTableSlot *slot); /* 0: nobody */
extern char *ma_contact_name(TupleTableSlot *slot);
extern char *ma_contact_address(TupleTableSlot *slot, const char *recipient);

/* {"contact"} and what is in data, which may be NULL; so may the slot. */
extern Jsonb *ma_contact_data(Jsonb *data, TupleTableSlot *slot);

#endif /* MA_CONTACT_OBJECT_H */
