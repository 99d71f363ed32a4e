/*
 * mime.h
 *	  Compose one message: headers, parts, encodings.
 *
 * All text is in the database's encoding and may hold anything: what a header
 * cannot carry is encoded or, for line breaks and other controls, replaced by
 * a space. Addresses are expected to be valid (address.h); others are an
 * error.
 */
#ifndef MA_MIME_H
#define MA_MIME_H

#include "datatype/timestamp.h"
#include "lib/stringinfo.h"
#include "pgtime.h"

/* The most a message may weigh, attachments encoded. */
#define MA_MAIL_MAX (25 * 1024 * 1024)

/* A person as a header shows one. */
typedef struct MaMailbox
{
	const char *name;	 /* display name, NULL or "" for none */
	const char *address; /* NULL: there is nobody */
} MaMailbox;

/* A header of the user's own. */
typedef struct MaMailHeader
{
	const char *name; /* letters, digits and hyphens */
	const char *value;
} MaMailHeader;

/* A file that goes with the message. */
typedef struct MaMailFile
{
	const char *name;		/* as the reader sees it */
	const char *type;		/* image/png, or with parameters; NULL:
							 * application/octet-stream */
	const char *content_id; /* shown in the html as cid:<this>; NULL: an
								 * attachment */
	const char *data;
	int			length; /* of data, in bytes */
} MaMailFile;

/* One message. What is NULL or 0 is left out. */
typedef struct MaMail
{
	MaMailbox			from;
	MaMailbox			to;
	MaMailbox			reply_to;
	const char		   *subject;
	const char		   *text; /* NULL: made from html */
	const char		   *html;
	const char		   *message_id;	 /* left@right, without angle brackets */
	const char		   *in_reply_to; /* likewise */
	TimestampTz			date;
	pg_tz			   *zone;			/* the date is written in; NULL: UTC */
	const char		   *auto_submitted; /* auto-generated | auto-replied */
	const char		   *unsubscribe_url; /* https; with one_click also the Post
									 * header of RFC 8058 */
	const char		   *unsubscribe_mailto; /* an address */
	bool				one_click;
	const char		   *list_id;   /* news.example.com */
	const char		   *list_name; /* description before it */
	const char		   *feedback_id;
	const MaMailHeader *headers;
	int					nheaders;
	const MaMailFile   *files;
	int					nfiles;
} MaMail;

/*
 * Append the message to out: 7-bit, CRLF line ends, lines of at most 76
 * characters except where a header has no white space to fold at. Errors:
 * 22023 for an address or header that cannot be, 54000 above MA_MAIL_MAX.
 */
extern void ma_mail_compose(const MaMail *mail, StringInfo out);

/* Is it a media type like image/png, maybe with parameters? */
extern bool ma_mail_is_type(const char *type);

/* A readable text from HTML, lines not wrapped. */
extern char *ma_mail_text(const char *html);

#endif /* MA_MIME_H */
