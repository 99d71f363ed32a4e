/*
 * html.c
 *	  Reading HTML tag by tag: attributes, entities, the schemes of links.
 *
 * No browser, but it finds the ends of tags and values where browsers do
 * (HTML Living Standard, 13.2.5), so that nothing a browser would follow is
 * overlooked.
 */
#include "postgres.h"

#include <ctype.h>

#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"

#include "html.h"

/* One attribute as it stands in its tag. */
typedef struct Attribute
{
	const char *name;
	int			len;
	const char *value; /* NULL: it has none */
	const char *end;
} Attribute;

/* Attributes that hold an address the reader's program may go to. */
static const char *const address_names[] = {
	"action", "background", "cite",	  "data", "formaction",
	"href",	  "ping",		"poster", "src",  "xlink:href",
};

/* What such an address may start with. */
static const char *const schemes[] = {"http", "https", "mailto", "tel", "cid"};

static const struct
{
	const char *name;
	pg_wchar	code;
} entities[] = {
	{"amp", '&'},	   {"lt", '<'},		   {"gt", '>'},
	{"quot", '"'},	   {"apos", '\''},	   {"nbsp", ' '},
	{"copy", 0xa9},	   {"reg", 0xae},	   {"trade", 0x2122},
	{"euro", 0x20ac},  {"pound", 0xa3},	   {"yen", 0xa5},
	{"cent", 0xa2},	   {"sect", 0xa7},	   {"deg", 0xb0},
	{"middot", 0xb7},  {"laquo", 0xab},	   {"raquo", 0xbb},
	{"times", 0xd7},   {"szlig", 0xdf},	   {"auml", 0xe4},
	{"ouml", 0xf6},	   {"uuml", 0xfc},	   {"Auml", 0xc4},
	{"Ouml", 0xd6},	   {"Uuml", 0xdc},	   {"eacute", 0xe9},
	{"egrave", 0xe8},  {"ecirc", 0xea},	   {"agrave", 0xe0},
	{"aacute", 0xe1},  {"acirc", 0xe2},	   {"ccedil", 0xe7},
	{"iacute", 0xed},  {"ntilde", 0xf1},   {"oacute", 0xf3},
	{"uacute", 0xfa},  {"ndash", 0x2013},  {"mdash", 0x2014},
	{"lsquo", 0x2018}, {"rsquo", 0x2019},  {"sbquo", 0x201a},
	{"ldquo", 0x201c}, {"rdquo", 0x201d},  {"bdquo", 0x201e},
	{"bull", 0x2022},  {"hellip", 0x2026}, {"larr", 0x2190},
	{"rarr", 0x2192},  {"shy", 0},		   {"zwnj", 0},
	{"zwj", 0},		   {"colon", ':'},	   {"Tab", '\t'},
	{"NewLine", '\n'},
};

static const char *read_attribute(const char *p, Attribute *attribute);
static char		  *value_of(const Attribute *attribute);
static bool		   has_bad_scheme(const char *address);

/* White space within a tag. */
static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f';
}

/* Where a comment that starts here ends. */
static const char *
skip_comment(const char *p)
{
	const char *end = strstr(p + 2, "-->");
	const char *bang = strstr(p + 2, "--!>");

	if (bang != NULL && (end == NULL || bang < end))
		return bang + 4;
	return end == NULL ? NULL : end + 3;
}

/*
 * Reads the tag or comment that starts here; a comment has no name. Returns
 * what follows, NULL if there is none.
 */
const char *
ma_html_tag(const char *p, MaHtmlTag *tag)
{
	memset(tag, 0, sizeof(MaHtmlTag));
	if (p[1] == '!' && p[2] == '-' && p[3] == '-')
		return skip_comment(p);
	p++;
	tag->closing = *p == '/';
	if (*p == '/' || *p == '!' || *p == '?')
		p++;
	else if (!isalpha((unsigned char) *p))
		return NULL;
	tag->name = p;
	while (isalnum((unsigned char) *p))
		p++;
	tag->len = p - tag->name;
	while (*p != '\0' && !is_space(*p) && *p != '/' && *p != '>')
		p++;
	tag->attributes = p;
	while (*p != '\0' && *p != '>')
	{
		Attribute attribute;

		p = read_attribute(p, &attribute);
	}
	tag->end = p;
	return *p == '\0' ? NULL : p + 1;
}

/* Is this tag the named one? The name is in lower case. */
bool
ma_html_is(const MaHtmlTag *tag, const char *name)
{
	/* most names are told apart by their first letter */
	return (tag->name[0] | 0x20) == name[0] && tag->len == strlen(name) &&
		   pg_strncasecmp(tag->name, name, tag->len) == 0;
}

/*
 * Reads an attribute, and the white space before and after; returns what
 * follows. Where nothing is left its name is empty.
 */
static const char *
read_attribute(const char *p, Attribute *attribute)
{
	attribute->value = NULL;
	while (is_space(*p) || *p == '/')
		p++;
	attribute->name = p;
	if (*p == '=')
		p++;
	while (*p != '\0' && !is_space(*p) && *p != '/' && *p != '>' && *p != '=')
		p++;
	attribute->len = p - attribute->name;
	while (is_space(*p))
		p++;
	if (*p != '=' || attribute->len == 0)
		return p;
	p++;
	while (is_space(*p))
		p++;
	if (*p == '"' || *p == '\'')
	{
		char quote = *p++;

		attribute->value = p;
		while (*p != '\0' && *p != quote)
			p++;
		attribute->end = p;
		return *p == '\0' ? p : p + 1;
	}
	attribute->value = p;
	while (*p != '\0' && !is_space(*p) && *p != '>')
		p++;
	attribute->end = p;
	return p;
}

/* The value of an attribute, entities decoded. */
static char *
value_of(const Attribute *attribute)
{
	StringInfoData value;

	initStringInfo(&value);
	for (const char *p = attribute->value; p != NULL && p < attribute->end;)
	{
		char buffer[MA_HTML_CHARACTER];

		p = ma_html_character(p, buffer);
		appendStringInfoString(&value, buffer);
	}
	return value.data;
}

/* The value of an attribute, decoded; NULL if it is not there. */
char *
ma_html_attribute(const MaHtmlTag *tag, const char *name)
{
	const char *p = tag->attributes;

	while (p < tag->end)
	{
		Attribute attribute;

		p = read_attribute(p, &attribute);
		if (attribute.len == strlen(name) && attribute.value != NULL &&
			pg_strncasecmp(attribute.name, name, attribute.len) == 0)
			return value_of(&attribute);
	}
	return NULL;
}

/*
 * The first address in HTML that starts with another scheme than http,
 * https, mailto, tel or cid (a picture of the message itself); NULL if there
 * is none.
 */
char *
ma_html_bad_address(const char *html)
{
	const char *p = html;

	while ((p = strchr(p, '<')) != NULL)
	{
		MaHtmlTag	tag;
		const char *next = ma_html_tag(p, &tag);
		const char *at = tag.attributes;

		while (next != NULL && tag.len > 0 && at < tag.end)
		{
			Attribute attribute;
			char	 *value;

			at = read_attribute(at, &attribute);
			for (int i = 0; i < lengthof(address_names); i++)
				if (attribute.len == strlen(address_names[i]) &&
					pg_strncasecmp(attribute.name, address_names[i],
								   attribute.len) == 0)
				{
					value = value_of(&attribute);
					if (has_bad_scheme(value))
						return value;
				}
		}
		p = next == NULL ? p + 1 : next;
	}
	return NULL;
}

/*
 * Has an address a scheme that is not allowed? Browsers leave out white space
 * and controls before they look for it.
 */
static bool
has_bad_scheme(const char *address)
{
	StringInfoData scheme;

	initStringInfo(&scheme);
	for (const char *p = address; *p != ':'; p++)
	{
		if (*p == '&') /* an entity that only browsers understand */
			return true;
		if (*p == '\0' || strchr("/?#", *p) != NULL)
			return false;
		if ((unsigned char) *p > ' ')
			appendStringInfoChar(&scheme, *p);
	}
	for (int i = 0; i < lengthof(schemes); i++)
		if (pg_strcasecmp(scheme.data, schemes[i]) == 0)
			return false;
	return true;
}

/*
 * Reads a character or an entity into a buffer; empty if it is to be left
 * out. Returns what follows. Other encodings than UTF-8 may lack what an
 * entity means: there it stays as it is.
 */
const char *
ma_html_character(const char *p, char *buffer)
{
	int		 len = pg_mblen(p);
	int		 name = 0;
	pg_wchar code = 0;
	bool	 known = false;

	memcpy(buffer, p, len);
	buffer[len] = '\0';
	if (*p != '&')
		return p + len;

	if (p[1] == '#')
	{
		bool		  hex = p[2] == 'x' || p[2] == 'X';
		unsigned long number;
		char		 *end;

		number = strtoul(p + 2 + hex, &end, hex ? 16 : 10);
		name = end - p - 1;
		known = number >= ' ' && number <= 0x10ffff &&
				(number < 0xd800 || number > 0xdfff) &&
				isxdigit((unsigned char) p[2 + hex]);
		code = known ? number : 0;
		if (code == 0xa0)
			code = ' ';
		if (code == 0xad || (code >= 0x200b && code <= 0x200f) ||
			code == 0x34f || code == 0xfeff)
			code = 0;
	}
	else
	{
		while (isalnum((unsigned char) p[1 + name]))
			name++;
		for (int i = 0; i < lengthof(entities) && !known; i++)
		{
			known = strlen(entities[i].name) == name &&
					strncmp(entities[i].name, p + 1, name) == 0;
			code = entities[i].code;
		}
	}
	if (!known || p[1 + name] != ';' ||
		(code > 0x7f && GetDatabaseEncoding() != PG_UTF8))
		return p + len;
	*buffer = '\0';
	if (code != 0)
		pg_unicode_to_server(code, (unsigned char *) buffer);
	return p + name + 2;
}
