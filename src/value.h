/*
 * value.h
 *	  JSON values as typed values, without ever raising an error.
 */
#ifndef MA_VALUE_H
#define MA_VALUE_H

#include "utils/jsonb.h"

extern Oid	 ma_value_type(Oid type);
extern bool	 ma_value_depends_on_zone(Oid type);
extern Datum ma_value_from_json(const JsonbValue *value, Oid type,
								bool *isnull);
extern Datum ma_value_from_text(const char *text, int length, Oid type,
								bool *isnull);
extern int	 ma_value_order(Datum a, Datum b, Oid type);
extern bool	 ma_value_lookup(Jsonb *object, char *const *path, int npath,
							 JsonbValue *value);

#endif /* MA_VALUE_H */
