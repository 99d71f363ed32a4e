/*
 * html.h
 *	  Reading HTML tag by tag.
 */
#ifndef MA_HTML_H
#define MA_HTML_H

/* One tag. */
typedef struct MaHtmlTag
{
	const char *name;
	int			len;
	bool		closing;
	const char *attributes;
	const char *end; /* of the attributes */
} MaHtmlTag;

/* Room for one character and the end of the string. */
#define MA_HTML_CHARACTER 17

extern const char *ma_html_tag(const char *p, MaHtmlTag *tag);
extern bool		   ma_html_is(const MaHtmlTag *tag, const char *name);
extern char		  *ma_html_attribute(const MaHtmlTag *tag, const char *name);
extern const char *ma_html_character(const char *p, char *buffer);
extern char		  *ma_html_bad_address(const char *html);

#endif /* MA_HTML_H */
