/*
 * utf8.h
 *	  Texts of strangers in UTF-8.
 */
#ifndef MA_UTF8_H
#define MA_UTF8_H

extern char *ma_utf8_to_server(const char *text);

#endif /* MA_UTF8_H */
