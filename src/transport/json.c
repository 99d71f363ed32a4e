/*
 * json.c
 *	  One value of a JSON text.
 *
 * A stranger's text is read once from its beginning to the value looked for,
 * with nothing allocated. What is not JSON up to there holds no value.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"

/* Deeper texts are not looked into. */
#define DEPTH_MAX 64

/* Where the reader is. */
typedef struct Reader
{
	const char *at;
	const char *end;
	int			depth;
} Reader;

static bool skip_value(Reader *r);

/* Leaves white space behind; the next byte, or 0 at the end. */
static char
next(Reader *r)
{
	while (r->at < r->end && strchr(" \t\r\n", *r->at) != NULL && *r->at)
		r->at++;
	return r->at < r->end ? *r->at : '\0';
}

/* Takes that byte, if it is the next one. */
static bool
take(Reader *r, char c)
{
	if (next(r) != c)
		return false;
	r->at++;
	return true;
}

/* Puts a character into the value as UTF-8. */
static size_t
encode(uint32_t c, char *to)
{
	if (c < 0x80)
	{
		to[0] = (char) c;
		return 1;
	}
	if (c < 0x800)
	{
		to[0] = (char) (0xc0 | c >> 6);
		to[1] = (char) (0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000)
	{
		to[0] = (char) (0xe0 | c >> 12);
		to[1] = (char) (0x80 | (c >> 6 & 0x3f));
		to[2] = (char) (0x80 | (c & 0x3f));
		return 3;
	}
	to[0] = (char) (0xf0 | c >> 18);
	to[1] = (char) (0x80 | (c >> 12 & 0x3f));
	to[2] = (char) (0x80 | (c >> 6 & 0x3f));
	to[3] = (char) (0x80 | (c & 0x3f));
	return 4;
}

/* Takes the four digits of \u; false if they are none. */
static bool
take_digits(Reader *r, uint32_t *c)
{
	static const char digits[] = "0123456789abcdef0123456789ABCDEF";

	*c = 0;
	if (r->end - r->at < 4)
		return false;
	for (int i = 0; i < 4; i++, r->at++)
	{
		const char *digit = *r->at == '\0' ? NULL : strchr(digits, *r->at);

		if (digit == NULL)
			return false;
		*c = *c * 16 + (uint32_t) (digit - digits) % 16;
	}
	return true;
}

/* The character of which this is the first half, if the second follows. */
static uint32_t
take_pair(Reader *r, uint32_t high)
{
	const char *at = r->at;
	uint32_t	low;

	if (high < 0xdc00 && r->end - at >= 6 && at[0] == '\\' && at[1] == 'u')
	{
		r->at += 2;
		if (take_digits(r, &low) && low >= 0xdc00 && low < 0xe000)
			return 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
		r->at = at;
	}
	return '?';
}

/* Takes what follows a backslash; its bytes, 0 if it is nothing. */
static size_t
take_escape(Reader *r, char *to)
{
	static const char names[] = "\"\\/bfnrt";
	static const char values[] = "\"\\/\b\f\n\r\t";
	const char		 *name;
	uint32_t		  c = 0;

	if (r->at == r->end || *r->at == '\0')
		return 0;
	name = strchr(names, *r->at);
	if (name != NULL)
	{
		r->at++;
		to[0] = values[name - names];
		return 1;
	}
	if (*r->at++ != 'u' || !take_digits(r, &c))
		return 0;
	if (c >= 0xd800 && c < 0xe000)
		c = take_pair(r, c);
	/* a NUL would end the text */
	return encode(c == 0 ? '?' : c, to);
}

/*
 * Takes a string into a buffer of JSON_VALUE_MAX + 1, or NULL; one that is too
 * long is cut off and *whole is false.
 */
static bool
take_string(Reader *r, char *value, bool *whole)
{
	size_t len = 0;

	*whole = true;
	if (!take(r, '"'))
		return false;
	while (r->at < r->end && *r->at != '"')
	{
		char   bytes[4] = {*r->at};
		size_t n = 1;

		if ((unsigned char) *r->at < ' ')
			return false;
		if (*r->at++ == '\\' && (n = take_escape(r, bytes)) == 0)
			return false;
		if (len + n > JSON_VALUE_MAX)
			*whole = false;
		else if (value != NULL)
			memcpy(value + len, bytes, n);
		if (*whole)
			len += n;
	}
	if (value != NULL)
		value[len] = '\0';
	return take(r, '"');
}

/* Takes a number, true, false or null as it is written. */
static bool
take_word(Reader *r, char *value)
{
	static const char word_chars[] = "+-.0123456789"
									 "abcdefghijklmnopqrstuvwxyzE";
	size_t			  len = 0;

	(void) next(r);
	while (r->at < r->end && *r->at != '\0' &&
		   strchr(word_chars, *r->at) != NULL && len < JSON_VALUE_MAX)
		value[len++] = *r->at++;
	value[len] = '\0';
	return strcmp(value, "true") == 0 || strcmp(value, "false") == 0 ||
		   strcmp(value, "null") == 0 ||
		   (len > 0 && strspn(value, "+-.0123456789eE") == len);
}

/*
 * Goes over the members of an object or array. Stops behind the key or at the
 * element that is wanted and returns true; with none wanted, or not there,
 * goes to the end, and *good tells whether it was one.
 */
static bool
search(Reader *r, const char *wanted, bool *good)
{
	bool is_object = next(r) == '{';
	char close = is_object ? '}' : ']';
	char key[JSON_VALUE_MAX + 1];
	bool whole;
	long index = wanted == NULL ? -1 : strtol(wanted, NULL, 10);

	*good = false;
	r->at++;
	if (take(r, close))
	{
		*good = true;
		return false;
	}
	for (long i = 0;; i++)
	{
		if (is_object && (!take_string(r, key, &whole) || !take(r, ':')))
			return false;
		if (wanted != NULL &&
			(is_object ?
				 whole && strcmp(key, wanted) == 0 :
				 i == index && wanted[strspn(wanted, "0123456789")] == '\0'))
			return true;
		if (!skip_value(r))
			return false;
		if (take(r, close))
		{
			*good = true;
			return false;
		}
		if (!take(r, ','))
			return false;
	}
}

/* Leaves a value behind; false if there is none. */
static bool
skip_value(Reader *r)
{
	char word[JSON_VALUE_MAX + 1];
	bool good = false;

	switch (next(r))
	{
		case '"':
			return take_string(r, NULL, &good);
		case '{':
		case '[':
			if (r->depth == DEPTH_MAX)
				return false;
			r->depth++;
			(void) search(r, NULL, &good);
			r->depth--;
			return good;
		default:
			return take_word(r, word);
	}
}

/* Takes the next step of a path: "$.a[0].b" is a, 0, b; false at its end. */
static bool
next_step(const char **path, char step[JSON_VALUE_MAX + 1])
{
	size_t len;

	if (**path == '$')
		(*path)++;
	*path += strspn(*path, ".[]");
	len = strcspn(*path, ".[]");
	if (len == 0 || len > JSON_VALUE_MAX)
		return false;
	memcpy(step, *path, len);
	step[len] = '\0';
	*path += len;
	return true;
}

/*
 * The string, number or truth value that a path of keys and positions leads
 * to; false if there is none.
 */
bool
json_find(const char *text, size_t len, const char *path,
		  char value[JSON_VALUE_MAX + 1])
{
	Reader r = {text, text + len, 0};
	char   step[JSON_VALUE_MAX + 1];
	bool   good;

	while (next_step(&path, step))
		if ((next(&r) != '{' && next(&r) != '[') || !search(&r, step, &good))
			return false;
	if (next(&r) == '"')
		return take_string(&r, value, &good) && good;
	return take_word(&r, value) && strcmp(value, "null") != 0;
}
