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

#include "html.h"
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

/* What else a tag does. */
typedef enum TagDeed
{
	TAG_NOTHING,
	TAG_LINK,
	TAG_LINE_END,
	TAG_CELL,
	TAG_PRE,
	TAG_ITEM,
	TAG_RULE,
	TAG_IMAGE
} TagDeed;

/* What a tag does to the text around it. */
typedef struct TagEffect
{
	const char *name;
	int			breaks; /* before and after the block */
	bool		hidden; /* what is in it is not shown */
	TagDeed		deed;
} TagEffect;

static const TagEffect effects[] = {
	{"a", 0, false, TAG_LINK},
	{"address", 1, false},
	{"article", 1, false},
	{"blockquote", 2, false},
	{"body", 1, false},
	{"br", 0, false, TAG_LINE_END},
	{"dd", 1, false},
	{"div", 1, false},
	{"dl", 2, false},
	{"dt", 1, false},
	{"footer", 1, false},
	{"form", 1, false},
	{"h1", 2, false},
	{"h2", 2, false},
	{"h3", 2, false},
	{"h4", 2, false},
	{"h5", 2, false},
	{"h6", 2, false},
	{"head", 0, true},
	{"header", 1, false},
	{"hr", 2, false, TAG_RULE},
	{"img", 0, false, TAG_IMAGE},
	{"li", 1, false, TAG_ITEM},
	{"main", 1, false},
	{"noscript", 0, false},
	{"ol", 2, false},
	{"p", 2, false},
	{"pre", 2, false, TAG_PRE},
	{"script", 0, true},
	{"section", 1, false},
	{"style", 0, true},
	{"table", 2, false},
	{"td", 0, false, TAG_CELL},
	{"template", 0, true},
	{"th", 0, false, TAG_CELL},
	{"title", 0, true},
	{"tr", 1, false},
	{"ul", 2, false},
};

static const TagEffect *find_effect(const MaHtmlTag *tag);
static const char	   *skip_hidden(const char *p, const MaHtmlTag *tag);
static void				do_tag(TextWriter *w, const MaHtmlTag *tag,
							   const TagEffect *effect);
static void				do_link(TextWriter *w, const MaHtmlTag *tag);
static const char	   *put_text(TextWriter *w, const char *p);
static void				put_char(TextWriter *w, const char *s, int len);

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
		const TagEffect *effect;
		MaHtmlTag		 tag;
		const char		*next = *p == '<' ? ma_html_tag(p, &tag) : NULL;

		if (next == NULL)
		{
			p = put_text(&w, p);
			continue;
		}
		p = next;
		if (tag.len == 0)
			continue;
		effect = find_effect(&tag);
		if (effect == NULL)
			continue;
		if (!tag.closing && effect->hidden)
			p = skip_hidden(p, &tag);
		else
			do_tag(&w, &tag, effect);
	}
	if (w.out.len > 0)
		appendStringInfoChar(&w.out, '\n');
	return w.out.data;
}

/*
 * What a tag does, NULL if nothing.
 */
static const TagEffect *
find_effect(const MaHtmlTag *tag)
{
	char first = pg_ascii_tolower((unsigned char) tag->name[0]);

	/* they are in order, and most tags are of few letters */
	for (int i = 0; i < lengthof(effects) && effects[i].name[0] <= first; i++)
	{
		if (effects[i].name[0] == first && ma_html_is(tag, effects[i].name))
			return &effects[i];
	}
	return NULL;
}

/*
 * Where a block that is not shown ends; the end if it is never closed.
 */
static const char *
skip_hidden(const char *p, const MaHtmlTag *tag)
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
do_tag(TextWriter *w, const MaHtmlTag *tag, const TagEffect *effect)
{
	char *alt;

	w->breaks = Max(w->breaks, effect->breaks);
	switch (effect->deed)
	{
		case TAG_NOTHING:
			break;
		case TAG_LINK:
			do_link(w, tag);
			break;
		case TAG_LINE_END:
			w->breaks++;
			break;
		case TAG_CELL:
			w->space = true;
			break;
		case TAG_PRE:
			w->pre = Max(w->pre + (tag->closing ? -1 : 1), 0);
			break;
		case TAG_ITEM:
			if (tag->closing)
				break;
			put_char(w, "-", 1);
			w->space = true;
			break;
		case TAG_RULE:
			put_char(w, "---", 3);
			w->breaks = 2;
			break;
		case TAG_IMAGE:
			alt = ma_html_attribute(tag, "alt");
			for (const char *p = alt; p && *p;)
				p = put_text(w, p);
			break;
	}
}

/*
 * Start a link, or put its target behind its words, unless they are the same.
 */
static void
do_link(TextWriter *w, const MaHtmlTag *tag)
{
	const char *words;
	const char *target = w->href;

	if (!tag->closing)
	{
		w->href = ma_html_attribute(tag, "href");
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
 * Is it part of a word: no white space, and no begin of a tag or entity?
 */
static inline bool
in_word(char c)
{
	/* none of those is above '<' */
	return c > '<' || IS_HIGHBIT_SET(c) || (c > ' ' && c != '<' && c != '&') ||
		   (c > '\0' && c < ' ' && !isspace((unsigned char) c));
}

/*
 * Put words with one space between each, white space, or one entity.
 */
static const char *
put_text(TextWriter *w, const char *p)
{
	char		buffer[MA_HTML_CHARACTER];
	const char *end = p;

	while (in_word(*end) || (*end == ' ' && end > p && in_word(end[1])))
		end++;
	if (end > p)
	{
		put_char(w, p, end - p);
		return end;
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
	p = ma_html_character(p, buffer);
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
