/*
 * json.h
 *	  One value of a JSON text.
 */
#ifndef JSON_H
#define JSON_H

#include <stdbool.h>
#include <stddef.h>

/* A value that is longer is not found. */
#define JSON_VALUE_MAX 255

extern bool json_find(const char *text, size_t len, const char *path,
					  char value[JSON_VALUE_MAX + 1]);

#endif /* JSON_H */
