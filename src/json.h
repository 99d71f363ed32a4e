/*
 * json.h
 *	  JSON objects, written pair by pair and read by key.
 */
#ifndef MA_JSON_H
#define MA_JSON_H

#include "utils/jsonb.h"

/* Pairs of the object being written; a text that is NULL is left out. */
extern void ma_json_key(JsonbParseState **state, const char *key);
extern void ma_json_text(JsonbParseState **state, const char *key,
						 const char *value);
extern void ma_json_number(JsonbParseState **state, const char *key,
						   int64 value);
extern void ma_json_value(JsonbParseState **state, const char *key,
						  Jsonb *value);

/* The text at data.object.key; NULL if there is none. */
extern char *ma_json_text_of(Jsonb *data, const char *object, const char *key);

#endif /* MA_JSON_H */
