/*
 * mime_text.c
 *	  Messages: a readable text from HTML.
 *
 * No browser: tags are read one after the other, nothing is nested. Blocks
 * become paragraphs, list items get a hyphen, the target of a link follows
 * its words, images are their alternative text.
 */
#include "postgres.h"

#include <ctype.h>

#include "mb/pg_wchar.h"

#include "mime.h"

/* How the reader stands. */
typedef struct TextWriter
{
	StringInfoData out;
	int			   breaks; /* line ends wanted before the next word */
	bool		   space;  /* a space wanted before the next word */
	bool		   started;
	int			   pre;	 /* pre blocks around */
	char		  *href; /* of the link we are in, NULL outside */
	int			   link; /* where its words start */
} TextWriter;

/* One tag. */
typedef struct HtmlTag
{
	const char *name;
	int			len;
	bool		closing;
	const char *attributes;
	const char *end; /* of the attributes */
} HtmlTag;

/* What a tag does to the text around it. */
typedef struct TagEffect
{
	const char *name;
	int			breaks; /* before and after the block */
	bool		hidden; /* what is in it is not shown */
} TagEffect;

static const TagEffect effects[] = {
	{"address", 1, false},	{"article", 1, false}, {"blockquote", 2, false},
	{"body", 1, false},		{"dd", 1, false},	   {"div", 1, false},
	{"dl", 2, false},		{"dt", 1, false},	   {"footer", 1, false},
	{"form", 1, false},		{"h1", 2, false},	   {"h2", 2, false},
	{"h3", 2, false},		{"h4", 2, false},	   {"h5", 2, false},
	{"h6", 2, false},		{"head", 0, true},	   {"header", 1, false},
	{"hr", 2, false},		{"li", 1, false},	   {"main", 1, false},
	{"noscript", 0, false}, {"ol", 2, false},	   {"p", 2, false},
	{"pre", 2, false},		{"script", 0, true},   {"section", 1, false},
	{"style", 0, true},		{"table", 2, false},   {"template", 0, true},
	{"title", 0, true},		{"tr", 1, false},	   {"ul", 2, false},
};

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
	{"zwj", 0},
};

static const char	   *read_tag(const char *p, HtmlTag *tag);
static const TagEffect *find_effect(const HtmlTag *tag);
static const char	   *skip_hidden(const char *p, const HtmlTag *tag);
static bool				tag_is(const HtmlTag *tag, const char *name);
static void				do_tag(TextWriter *w, const HtmlTag *tag);
static void				do_link(TextWriter *w, const HtmlTag *tag);
static char			   *attribute(const HtmlTag *tag, const char *name);
static const char	   *put_text(TextWriter *w, const char *p);
static void				put_char(TextWriter *w, const char *s, int len);
static const char	   *read_entity(const char *p, char *buffer);

/*
 * See mime.h.
 */
char *
ma_mail_text(const char *html)
{
	TextWriter	w = {0};
	const char *p = html;

	initStringInfo(&w.out);
	while (*p)
	{
		HtmlTag		tag;
		const char *next = *p == '<' ? read_tag(p, &tag) : NULL;

		if (next == NULL)
		{
			p = put_text(&w, p);
			continue;
		}
		p = next;
		if (tag.len == 0)
			continue;
		if (!tag.closing && find_effect(&tag) && find_effect(&tag)->hidden)
			p = skip_hidden(p, &tag);
		else
			do_tag(&w, &tag);
	}
	if (w.out.len > 0)
		appendStringInfoChar(&w.out, '\n');
	return w.out.data;
}

/*
 * Read the tag or comment that starts here; a comment has no name. NULL if
 * there is none.
 */
static const char *
read_tag(const char *p, HtmlTag *tag)
{
	char quote = '\0';

	memset(tag, 0, sizeof(HtmlTag));
	if (strncmp(p, "<!--", 4) == 0)
	{
		p = strstr(p, "-->");
		return p ? p + 3 : NULL;
	}
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
	tag->attributes = p;
	for (; *p && (quote || *p != '>'); p++)
	{
		if (quote)
			quote = *p == quote ? '\0' : quote;
		else if ((*p == '"' || *p == '\'') && p[-1] == '=')
			quote = *p;
	}
	tag->end = p;
	return *p ? p + 1 : NULL;
}

/*
 * What a tag does, NULL if nothing.
 */
static const TagEffect *
find_effect(const HtmlTag *tag)
{
	for (int i = 0; i < lengthof(effects); i++)
	{
		if (tag_is(tag, effects[i].name))
			return &effects[i];
	}
	return NULL;
}

/*
 * Is this tag the named one? The name is in lower case.
 */
static bool
tag_is(const HtmlTag *tag, const char *name)
{
	return pg_ascii_tolower(tag->name[0]) == name[0] &&
		   tag->len == strlen(name) &&
		   pg_strncasecmp(tag->name, name, tag->len) == 0;
}

/*
 * Where a block that is not shown ends; the end if it is never closed.
 */
static const char *
skip_hidden(const char *p, const HtmlTag *tag)
{
	for (; (p = strstr(p, "</")) != NULL; p += 2)
	{
		if (pg_strncasecmp(p + 2, tag->name, tag->len) == 0 &&
			!isalnum((unsigned char) p[2 + tag->len]))
		{
			p = strchr(p, '>');
			return p ? p + 1 : tag->end + strlen(tag->end);
		}
	}
	return tag->end + strlen(tag->end);
}

/*
 * Do what a tag says.
 */
static void
do_tag(TextWriter *w, const HtmlTag *tag)
{
	const TagEffect *effect = find_effect(tag);

	if (effect)
		w->breaks = Max(w->breaks, effect->breaks);
	if (tag_is(tag, "a"))
		do_link(w, tag);
	else if (tag_is(tag, "br"))
		w->breaks++;
	else if (tag_is(tag, "td") || tag_is(tag, "th"))
		w->space = true;
	else if (tag_is(tag, "pre"))
		w->pre = Max(w->pre + (tag->closing ? -1 : 1), 0);
	else if (tag_is(tag, "li") && !tag->closing)
	{
		put_char(w, "-", 1);
		w->space = true;
	}
	else if (tag_is(tag, "hr"))
	{
		put_char(w, "---", 3);
		w->breaks = 2;
	}
	else if (tag_is(tag, "img"))
	{
		char *alt = attribute(tag, "alt");

		for (const char *p = alt; p && *p;)
			p = put_text(w, p);
	}
}

/*
 * Start a link, or put its target behind its words, unless they are the same.
 */
static void
do_link(TextWriter *w, const HtmlTag *tag)
{
	const char *words;
	const char *target = w->href;

	if (!tag->closing)
	{
		w->href = attribute(tag, "href");
		w->link = w->out.len;
		return;
	}
	w->href = NULL;
	if (target == NULL || *target == '\0' || *target == '#')
		return;
	words = w->out.data + w->link;
	while (isspace((unsigned char) *words))
		words++;
	if (pg_strncasecmp(target, "mailto:", 7) == 0 ||
		pg_strncasecmp(target, "tel:", 4) == 0)
	{
		if (strcspn(words, "@0123456789") < strlen(words))
			return;
		target = strchr(target, ':') + 1;
	}
	if (strcmp(words, target) == 0)
		return;
	if (*words == '\0')
		put_char(w, target, strlen(target));
	else
	{
		w->space = true;
		put_char(w, "(", 1);
		put_char(w, target, strlen(target));
		put_char(w, ")", 1);
	}
}

/*
 * The value of an attribute, decoded; NULL if it is not there.
 */
static char *
attribute(const HtmlTag *tag, const char *name)
{
	int			len = strlen(name);
	const char *p = tag->attributes;

	while (p < tag->end)
	{
		const char	  *start;
		const char	  *stop;
		bool		   found;
		StringInfoData value;

		while (p < tag->end && (isspace((unsigned char) *p) || *p == '/'))
			p++;
		start = p;
		while (p < tag->end && !isspace((unsigned char) *p) && *p != '=')
			p++;
		found = p - start == len && pg_strncasecmp(start, name, len) == 0;
		while (p < tag->end && isspace((unsigned char) *p))
			p++;
		if (p == tag->end || *p != '=')
			continue;
		p++;
		while (p < tag->end && isspace((unsigned char) *p))
			p++;
		start = stop = p;
		if (p < tag->end && (*p == '"' || *p == '\''))
		{
			start = p + 1;
			stop = memchr(start, *p, tag->end - start);
			stop = stop ? stop : tag->end;
			p = Min(stop + 1, tag->end);
		}
		else
		{
			while (p < tag->end && !isspace((unsigned char) *p))
				p++;
			stop = p;
		}
		if (!found)
			continue;
		initStringInfo(&value);
		while (start < stop)
		{
			char buffer[MAX_UNICODE_EQUIVALENT_STRING + 1];

			start = read_entity(start, buffer);
			appendStringInfoString(&value, buffer);
		}
		return value.data;
	}
	return NULL;
}

/*
 * Put a run of characters, one space or one entity of the text.
 */
static const char *
put_text(TextWriter *w, const char *p)
{
	char buffer[MAX_UNICODE_EQUIVALENT_STRING + 1];

	int run = strcspn(p, "<& \t\r\n\f\v");

	if (run > 0)
	{
		put_char(w, p, run);
		return p + run;
	}
	if (*p == '\n' && w->pre > 0)
	{
		w->breaks++;
		return p + 1;
	}
	if (isspace((unsigned char) *p))
	{
		w->space = true;
		return p + 1;
	}
	p = read_entity(p, buffer);
	if (strcmp(buffer, " ") == 0)
		w->space = true;
	else if (*buffer)
		put_char(w, buffer, strlen(buffer));
	return p;
}

/*
 * Put characters, after the white space that is wanted before them.
 */
static void
put_char(TextWriter *w, const char *s, int len)
{
	if (w->started && w->breaks > 0)
	{
		for (int i = Min(w->breaks, 2); i > 0; i--)
			appendStringInfoChar(&w->out, '\n');
	}
	else if (w->started && w->space)
		appendStringInfoChar(&w->out, ' ');
	w->breaks = 0;
	w->space = false;
	w->started = true;
	appendBinaryStringInfo(&w->out, s, len);
}

/*
 * Read a character or an entity into a buffer; empty if it is to be left
 * out. Returns what follows. Other encodings than UTF-8 may lack what an
 * entity means: there it stays as it is.
 */
static const char *
read_entity(const char *p, char *buffer)
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
