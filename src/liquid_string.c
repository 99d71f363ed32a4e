/*
 * liquid_string.c
 *	  Liquid: filters on strings.
 *
 * Every filter takes anything and works on what it looks like as a string.
 */
#include "postgres.h"

#include <ctype.h>

#include "catalog/pg_collation.h"
#include "mb/pg_wchar.h"
#include "utils/formatting.h"

#include "liquid.h"

typedef enum Occurrence
{
	EVERY,
	FIRST,
	LAST
} Occurrence;

static LqValue changed(LqRender *r, const LqValue *in,
					   char *(*change)(const char *, size_t, Oid));
static LqValue strip(LqRender *r, const LqValue *in, bool left, bool right);
static LqValue join_two(LqRender *r, const LqValue *a, const LqValue *b);
static LqValue replace(LqRender *r, const LqValue *in, const LqValue *args,
					   int nargs, Occurrence which);
static void	   replace_every(LqRender *r, StringInfo buffer, LqValue text,
							 LqValue old, LqValue new);
static const char *find_last(LqValue text, LqValue part);
static bool		   is_entity(const char *s, const char *end);
static bool	   next_part(const char **p, const char *end, LqValue separator,
						 LqValue *part);
static bool	   next_word(const char **p, const char *end, LqValue *word);
static LqValue replace_newlines(LqRender *r, const LqValue *in,
								const char *with);
static const char *skip_tag(const char *p, const char *end);

/*
 * The string through one of the functions that change case.
 */
static LqValue
changed(LqRender *r, const LqValue *in,
		char *(*change)(const char *, size_t, Oid))
{
	LqValue text = ma_liquid_text(r, in);
	char   *result;

	ma_liquid_charge(r, text.string.len);
	result = change(text.string.data, text.string.len, DEFAULT_COLLATION_OID);
	return ma_liquid_string(result, strlen(result));
}

LqValue
ma_liquid_filter_upcase(LqRender *r, const LqValue *in, const LqValue *args,
						int nargs)
{
	return changed(r, in, str_toupper);
}

LqValue
ma_liquid_filter_downcase(LqRender *r, const LqValue *in, const LqValue *args,
						  int nargs)
{
	return changed(r, in, str_tolower);
}

/*
 * The first character in upper case, the others in lower case.
 */
LqValue
ma_liquid_filter_capitalize(LqRender *r, const LqValue *in,
							const LqValue *args, int nargs)
{
	LqValue text = ma_liquid_text(r, in);
	LqValue first = ma_liquid_end(&text, false);
	LqValue rest;

	if (first.kind == LQ_NIL)
		return text;
	rest = ma_liquid_string(text.string.data + first.string.len,
							text.string.len - first.string.len);
	first = changed(r, &first, str_toupper);
	rest = changed(r, &rest, str_tolower);
	return join_two(r, &first, &rest);
}

/*
 * One string behind the other.
 */
static LqValue
join_two(LqRender *r, const LqValue *a, const LqValue *b)
{
	LqValue		   x = ma_liquid_text(r, a);
	LqValue		   y = ma_liquid_text(r, b);
	StringInfoData buffer;

	initStringInfo(&buffer);
	ma_liquid_add(r, &buffer, x.string.data, x.string.len);
	ma_liquid_add(r, &buffer, y.string.data, y.string.len);
	return ma_liquid_buffer(r, &buffer);
}

LqValue
ma_liquid_filter_append(LqRender *r, const LqValue *in, const LqValue *args,
						int nargs)
{
	return join_two(r, in, &args[0]);
}

LqValue
ma_liquid_filter_prepend(LqRender *r, const LqValue *in, const LqValue *args,
						 int nargs)
{
	return join_two(r, &args[0], in);
}

/*
 * The string without white space at its ends.
 */
static LqValue
strip(LqRender *r, const LqValue *in, bool left, bool right)
{
	LqValue		text = ma_liquid_text(r, in);
	const char *start = text.string.data;
	const char *end = start + text.string.len;

	while (left && start < end && isspace((unsigned char) *start))
		start++;
	while (right && end > start && isspace((unsigned char) end[-1]))
		end--;
	return ma_liquid_string(start, end - start);
}

LqValue
ma_liquid_filter_strip(LqRender *r, const LqValue *in, const LqValue *args,
					   int nargs)
{
	return strip(r, in, true, true);
}

LqValue
ma_liquid_filter_lstrip(LqRender *r, const LqValue *in, const LqValue *args,
						int nargs)
{
	return strip(r, in, true, false);
}

LqValue
ma_liquid_filter_rstrip(LqRender *r, const LqValue *in, const LqValue *args,
						int nargs)
{
	return strip(r, in, false, true);
}

/*
 * The string with args[0] replaced by args[1] (by nothing).
 */
static LqValue
replace(LqRender *r, const LqValue *in, const LqValue *args, int nargs,
		Occurrence which)
{
	LqValue text = ma_liquid_text(r, in);
	LqValue old = ma_liquid_text(r, &args[0]);
	LqValue new =
		nargs > 1 ? ma_liquid_text(r, &args[1]) : ma_liquid_string("", 0);
	const char	  *end = text.string.data + text.string.len;
	const char	  *found;
	StringInfoData buffer;

	initStringInfo(&buffer);
	if (which == EVERY)
	{
		replace_every(r, &buffer, text, old, new);
		return ma_liquid_buffer(r, &buffer);
	}
	if (which == LAST)
		found = find_last(text, old);
	else if (old.string.len == 0)
		found = text.string.data;
	else
		found = memmem(text.string.data, text.string.len, old.string.data,
					   old.string.len);
	if (found == NULL)
		return text;
	ma_liquid_add(r, &buffer, text.string.data, found - text.string.data);
	ma_liquid_add(r, &buffer, new.string.data, new.string.len);
	found += old.string.len;
	ma_liquid_add(r, &buffer, found, end - found);
	return ma_liquid_buffer(r, &buffer);
}

/*
 * Append a string with every occurrence replaced; that of the empty string is
 * between all characters and at the ends.
 */
static void
replace_every(LqRender *r, StringInfo buffer, LqValue text, LqValue old,
			  LqValue new)
{
	const char *p = text.string.data;
	const char *end = p + text.string.len;

	if (old.string.len == 0)
	{
		ma_liquid_add(r, buffer, new.string.data, new.string.len);
		for (int len; p < end; p += len)
		{
			len = pg_mblen(p);
			ma_liquid_add(r, buffer, p, len);
			ma_liquid_add(r, buffer, new.string.data, new.string.len);
		}
		return;
	}
	for (;;)
	{
		const char *found =
			memmem(p, end - p, old.string.data, old.string.len);

		if (found == NULL)
			break;
		ma_liquid_add(r, buffer, p, found - p);
		ma_liquid_add(r, buffer, new.string.data, new.string.len);
		p = found + old.string.len;
	}
	ma_liquid_add(r, buffer, p, end - p);
}

/*
 * Where a string occurs last in another, NULL if it does not.
 */
static const char *
find_last(LqValue text, LqValue part)
{
	const char *p = text.string.data + text.string.len - part.string.len;

	for (; p >= text.string.data; p--)
	{
		if (memcmp(p, part.string.data, part.string.len) == 0)
			return p;
	}
	return NULL;
}

LqValue
ma_liquid_filter_replace(LqRender *r, const LqValue *in, const LqValue *args,
						 int nargs)
{
	return replace(r, in, args, nargs, EVERY);
}

LqValue
ma_liquid_filter_replace_first(LqRender *r, const LqValue *in,
							   const LqValue *args, int nargs)
{
	return replace(r, in, args, nargs, FIRST);
}

LqValue
ma_liquid_filter_replace_last(LqRender *r, const LqValue *in,
							  const LqValue *args, int nargs)
{
	return replace(r, in, args, nargs, LAST);
}

LqValue
ma_liquid_filter_remove(LqRender *r, const LqValue *in, const LqValue *args,
						int nargs)
{
	return replace(r, in, args, 1, EVERY);
}

LqValue
ma_liquid_filter_remove_first(LqRender *r, const LqValue *in,
							  const LqValue *args, int nargs)
{
	return replace(r, in, args, 1, FIRST);
}

LqValue
ma_liquid_filter_remove_last(LqRender *r, const LqValue *in,
							 const LqValue *args, int nargs)
{
	return replace(r, in, args, 1, LAST);
}

LqValue
ma_liquid_filter_escape(LqRender *r, const LqValue *in, const LqValue *args,
						int nargs)
{
	LqValue		   text = ma_liquid_text(r, in);
	StringInfoData buffer;

	initStringInfo(&buffer);
	ma_liquid_append_escaped(&buffer, text.string.data, text.string.len);
	return ma_liquid_buffer(r, &buffer);
}

/*
 * Escaped, but for entities that are there already.
 */
LqValue
ma_liquid_filter_escape_once(LqRender *r, const LqValue *in,
							 const LqValue *args, int nargs)
{
	LqValue		   text = ma_liquid_text(r, in);
	const char	  *p = text.string.data;
	const char	  *end = p + text.string.len;
	StringInfoData buffer;

	initStringInfo(&buffer);
	for (; p < end; p++)
	{
		if (*p == '&' && is_entity(p, end))
			appendStringInfoChar(&buffer, '&');
		else
			ma_liquid_append_escaped(&buffer, p, 1);
	}
	return ma_liquid_buffer(r, &buffer);
}

/*
 * Does an entity start here: &name; or &#digits;?
 */
static bool
is_entity(const char *s, const char *end)
{
	const char *p = ++s;

	if (p < end && *p == '#')
	{
		for (s = ++p; p < end && isdigit((unsigned char) *p);)
			p++;
	}
	else
	{
		while (p < end && isalpha((unsigned char) *p))
			p++;
	}
	return p > s && p < end && *p == ';';
}

/*
 * The parts of a string between separators, without empty ones at the end. A
 * space stands for any white space, the empty string separates characters.
 */
LqValue
ma_liquid_filter_split(LqRender *r, const LqValue *in, const LqValue *args,
					   int nargs)
{
	LqValue		text = ma_liquid_text(r, in);
	LqValue		separator = ma_liquid_text(r, &args[0]);
	const char *end = text.string.data + text.string.len;
	const char *p;
	LqValue		part;
	LqValue		result;
	int			n = 0;

	for (p = text.string.data; next_part(&p, end, separator, &part);)
		n++;
	result = ma_liquid_array(r, n);
	for (p = text.string.data; next_part(&p, end, separator, &part);)
		ma_liquid_push(&result, part);
	while (result.array.count > 0 &&
		   result.array.items[result.array.count - 1].string.len == 0)
		result.array.count--;
	return result;
}

/*
 * Read the next part of a string. False at the end, which a separator at the
 * very end is too.
 */
static bool
next_part(const char **p, const char *end, LqValue separator, LqValue *part)
{
	const char *start = *p;
	const char *found;

	if (separator.string.len == 1 && separator.string.data[0] == ' ')
		return next_word(p, end, part);
	if (start >= end)
		return false;
	if (separator.string.len == 0)
		found = start + pg_mblen(start);
	else
		found = memmem(start, end - start, separator.string.data,
					   separator.string.len);
	if (found == NULL)
		found = end;
	*part = ma_liquid_string(start, found - start);
	*p = Min(found + separator.string.len, end);
	return true;
}

/*
 * Read the next word of a string.
 */
static bool
next_word(const char **p, const char *end, LqValue *word)
{
	const char *start = *p;

	while (start < end && isspace((unsigned char) *start))
		start++;
	*p = start;
	while (*p < end && !isspace((unsigned char) **p))
		(*p)++;
	*word = ma_liquid_string(start, *p - start);
	return *p > start;
}

/*
 * The string cut to args[0] (50) characters, of which the last are args[1]
 * (three dots).
 */
LqValue
ma_liquid_filter_truncate(LqRender *r, const LqValue *in, const LqValue *args,
						  int nargs)
{
	LqValue text = ma_liquid_text(r, in);
	int64	length = nargs > 0 ? ma_liquid_to_integer(r, &args[0]) : 50;
	LqValue ending =
		nargs > 1 ? ma_liquid_text(r, &args[1]) : ma_liquid_string("...", 3);
	int64 kept;

	if (in->kind == LQ_NIL ||
		pg_mbstrlen_with_len(text.string.data, text.string.len) <= length)
		return text;
	kept =
		length - pg_mbstrlen_with_len(ending.string.data, ending.string.len);
	text.string.len = pg_mbcharcliplen(text.string.data, text.string.len,
									   (int) Max(kept, 0));
	return join_two(r, &text, &ending);
}

/*
 * The first args[0] (15) words, and args[1] (three dots) if there are more.
 */
LqValue
ma_liquid_filter_truncatewords(LqRender *r, const LqValue *in,
							   const LqValue *args, int nargs)
{
	LqValue text = ma_liquid_text(r, in);
	int64	words = nargs > 0 ? ma_liquid_to_integer(r, &args[0]) : 15;
	LqValue ending =
		nargs > 1 ? ma_liquid_text(r, &args[1]) : ma_liquid_string("...", 3);
	const char	  *p = text.string.data;
	const char	  *end = p + text.string.len;
	LqValue		   word;
	StringInfoData buffer;

	if (in->kind == LQ_NIL)
		return text;
	initStringInfo(&buffer);
	for (words = Max(words, 1); words > 0; words--)
	{
		if (!next_word(&p, end, &word))
			return text;
		if (buffer.len > 0)
			appendStringInfoChar(&buffer, ' ');
		appendBinaryStringInfo(&buffer, word.string.data, word.string.len);
	}
	if (!next_word(&p, end, &word))
		return text;
	ma_liquid_add(r, &buffer, ending.string.data, ending.string.len);
	return ma_liquid_buffer(r, &buffer);
}

/*
 * The string with something in the place of line ends.
 */
static LqValue
replace_newlines(LqRender *r, const LqValue *in, const char *with)
{
	LqValue		   text = ma_liquid_text(r, in);
	const char	  *p = text.string.data;
	const char	  *end = p + text.string.len;
	StringInfoData buffer;

	initStringInfo(&buffer);
	for (; p < end; p++)
	{
		if (*p == '\r' && p + 1 < end && p[1] == '\n')
			continue;
		if (*p == '\n')
			ma_liquid_add(r, &buffer, with, strlen(with));
		else
			appendStringInfoChar(&buffer, *p);
	}
	return ma_liquid_buffer(r, &buffer);
}

LqValue
ma_liquid_filter_newline_to_br(LqRender *r, const LqValue *in,
							   const LqValue *args, int nargs)
{
	return replace_newlines(r, in, "<br />\n");
}

LqValue
ma_liquid_filter_strip_newlines(LqRender *r, const LqValue *in,
								const LqValue *args, int nargs)
{
	return replace_newlines(r, in, "");
}

/*
 * The string without HTML tags, comments, scripts and styles.
 */
LqValue
ma_liquid_filter_strip_html(LqRender *r, const LqValue *in,
							const LqValue *args, int nargs)
{
	LqValue		   text = ma_liquid_text(r, in);
	const char	  *p = text.string.data;
	const char	  *end = p + text.string.len;
	StringInfoData buffer;

	initStringInfo(&buffer);
	while (p < end)
	{
		const char *next = *p == '<' ? skip_tag(p, end) : p;

		if (next == p)
			appendStringInfoChar(&buffer, *p++);
		else
			p = next;
	}
	return ma_liquid_buffer(r, &buffer);
}

/*
 * Where the tag or block that starts here ends; here, if it does not.
 */
static const char *
skip_tag(const char *p, const char *end)
{
	static const struct
	{
		const char *open;
		const char *close;
	} blocks[] = {{"<script", "</script>"},
				  {"<style", "</style>"},
				  {"<!--", "-->"},
				  {"<", ">"}};

	for (int i = 0; i < lengthof(blocks); i++)
	{
		int			len = strlen(blocks[i].open);
		const char *found = NULL;

		if (end - p >= len && pg_strncasecmp(p, blocks[i].open, len) == 0)
			found =
				memmem(p, end - p, blocks[i].close, strlen(blocks[i].close));
		if (found)
			return found + strlen(blocks[i].close);
	}
	return p;
}
