/*
 * inbound_text.h
 *	  Texts of strangers: what is in them, and how to show them.
 */
#ifndef MA_INBOUND_TEXT_H
#define MA_INBOUND_TEXT_H

/* So much of a text is read. */
#define MA_INBOUND_TEXT (32 * 1024)

extern char *ma_inbound_address(const char *header);
extern char *ma_inbound_convert(char *text, const char *charset);
extern char *ma_inbound_lower(const char *text);
extern char *ma_inbound_safe(const char *text, int max);
extern bool	 ma_inbound_is_stop(const char *text);
extern bool	 ma_inbound_is_start(const char *text);
extern bool	 ma_inbound_starts(const char *text, const char *const *list);
extern bool	 ma_inbound_contains(const char *text, const char *const *list);

#endif /* MA_INBOUND_TEXT_H */
