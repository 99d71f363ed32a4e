/*
 * capture_value.h
 *	  Values of the application's columns as JSON and as times.
 */
#ifndef MA_CAPTURE_VALUE_H
#define MA_CAPTURE_VALUE_H

#include "datatype/timestamp.h"
#include "pgtime.h"
#include "utils/jsonb.h"

extern void ma_capture_json(Datum value, Oid type, bool as_text,
							JsonbValue *result);
extern bool ma_capture_same(const JsonbValue *a, const JsonbValue *b);
extern bool ma_capture_time(Datum value, Oid type, pg_tz *zone,
							TimestampTz *result);
extern bool ma_capture_may_note(int sqlstate);

#endif /* MA_CAPTURE_VALUE_H */
