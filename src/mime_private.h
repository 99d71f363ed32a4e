/*
 * mime_private.h
 *	  What the parts of mime.c share. All strings are UTF-8 from here on.
 */
#ifndef MA_MIME_PRIVATE_H
#define MA_MIME_PRIVATE_H

#include "mime.h"

/* How wide a line gets where it can be helped, and how wide at the most. */
#define MIME_LINE	  76
#define MIME_LINE_MAX 998

/* headers */
extern void ma_mime_text_header(StringInfo out, const char *name,
								const char *value, bool split_words);
extern void ma_mime_header(StringInfo out, const char *name,
						   const char *value);
extern void ma_mime_mailbox_header(StringInfo out, const char *name,
								   const MaMailbox *mailbox);
extern void ma_mime_list_id_header(StringInfo out, const char *id,
								   const char *name);
extern void ma_mime_file_headers(StringInfo out, const MaMailFile *file);

/* encodings */
extern char *ma_mime_utf8(const char *text);
extern bool	 ma_mime_ascii(const char *text);
extern void	 ma_mime_base64(StringInfo out, const char *data, int len);
extern void	 ma_mime_text(StringInfo out, const char *text);
extern char *ma_mime_encoded_words(const char *text, int first_room);
extern char *ma_mime_alabels(const char *domain);

#endif /* MA_MIME_PRIVATE_H */
