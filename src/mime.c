/*
 * mime.c
 *	  Compose one message: headers, parts, encodings.
 *
 * The parts: multipart/mixed if there are attachments, around
 * multipart/alternative of text and html, around multipart/related of html
 * and its images; each only where it is needed. Boundaries hold "=_", which
 * no encoded body can contain; they are made of the Message-ID, so that a
 * message composed again is the same, byte by byte.
 */
#include "postgres.h"

#include <ctype.h>

#include "common/hashfn.h"
#include "mb/pg_wchar.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

#include "address.h"
#include "mime_private.h"

/* Base64 and its line ends make 57 bytes 78. */
#define ENCODED_SIZE(len) ((int64) (len) / 57 * 78 + 78)

static void	 check_size(int64 size);
static void	 put_headers(const MaMail *mail, StringInfo out);
static void	 put_date(StringInfo out, TimestampTz date, pg_tz *zone);
static void	 put_message_id(StringInfo out, const char *name, const char *id);
static void	 put_unsubscribe(const MaMail *mail, StringInfo out);
static void	 put_feedback_id(StringInfo out, const char *id);
static void	 put_own_headers(const MaMail *mail, StringInfo out);
static void	 check_own_header(const MaMailHeader *header);
static void	 put_mixed(const MaMail *mail, StringInfo out);
static void	 put_content(const MaMail *mail, StringInfo out);
static char *without_last_newline(const char *text);
static void	 put_html(const MaMail *mail, StringInfo out);
static void	 put_text(StringInfo out, const char *subtype, const char *text);
static void	 put_files(const MaMail *mail, StringInfo out, bool inline_files,
					   const char *boundary);
static int	 count_files(const MaMail *mail, bool inline_files);
static char *make_boundary(const MaMail *mail, int level);
static void	 open_multipart(StringInfo out, const char *subtype,
							const char *boundary);

/*
 * See mime.h.
 */
void
ma_mail_compose(const MaMail *mail, StringInfo out)
{
	int	  start = out->len;
	int64 size = 0;

	if (mail->text)
		size += strlen(mail->text);
	if (mail->html)
		size += strlen(mail->html);
	for (int i = 0; i < mail->nfiles; i++)
		size += ENCODED_SIZE(mail->files[i].length);
	check_size(size);

	put_headers(mail, out);
	put_mixed(mail, out);
	check_size(out->len - start);
}

/*
 * Complain about a message that is too big.
 */
static void
check_size(int64 size)
{
	if (size > MA_MAIL_MAX)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("message is bigger than %d MB",
							   MA_MAIL_MAX / 1024 / 1024),
						errhint("Send a link instead of a big attachment.")));
}

/*
 * Append the headers of the message, but those of its body.
 */
static void
put_headers(const MaMail *mail, StringInfo out)
{
	put_date(out, mail->date, mail->zone);
	ma_mime_mailbox_header(out, "From", &mail->from);
	ma_mime_mailbox_header(out, "To", &mail->to);
	ma_mime_mailbox_header(out, "Reply-To", &mail->reply_to);
	ma_mime_text_header(out, "Subject", mail->subject ? mail->subject : "",
						true);
	if (mail->message_id)
		put_message_id(out, "Message-ID", mail->message_id);
	if (mail->in_reply_to)
	{
		put_message_id(out, "In-Reply-To", mail->in_reply_to);
		put_message_id(out, "References", mail->in_reply_to);
	}
	if (mail->auto_submitted)
		ma_mime_header(out, "Auto-Submitted", mail->auto_submitted);
	put_unsubscribe(mail, out);
	if (mail->list_id)
		ma_mime_list_id_header(out, mail->list_id, mail->list_name);
	if (mail->feedback_id)
		put_feedback_id(out, mail->feedback_id);
	put_own_headers(mail, out);
	appendStringInfoString(out, "MIME-Version: 1.0\r\n");
}

/*
 * Append Date in the form of RFC 5322.
 */
static void
put_date(StringInfo out, TimestampTz date, pg_tz *zone)
{
	struct pg_tm tm;
	fsec_t		 fsec;
	int			 tz;
	int			 minutes;

	if (TIMESTAMP_NOT_FINITE(date) ||
		timestamp2tm(date, &tz, &tm, &fsec, NULL,
					 zone ? zone : pg_tzset("GMT")) != 0)
		ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
						errmsg("date of a message is out of range")));
	minutes = abs(tz) / SECS_PER_MINUTE;
	appendStringInfo(
		out, "Date: %s, %d %s %04d %02d:%02d:%02d %c%02d%02d\r\n",
		pnstrdup(days[j2day(date2j(tm.tm_year, tm.tm_mon, tm.tm_mday))], 3),
		tm.tm_mday, months[tm.tm_mon - 1], tm.tm_year, tm.tm_hour, tm.tm_min,
		tm.tm_sec, tz > 0 ? '-' : '+', minutes / 60, minutes % 60);
}

/*
 * Append a header that holds the identifier of a message. Its right part is
 * mostly the domain of the sender, which may be given in UTF-8.
 */
static void
put_message_id(StringInfo out, const char *name, const char *id)
{
	const char *at = strrchr(id, '@');
	bool		good = at && at > id && at[1] != '\0' && strlen(id) < 500;
	char	   *right = good ? ma_mime_alabels(ma_mime_utf8(at + 1)) : "";

	for (const char *p = id; good && p < at; p++)
		good = *p > ' ' && *p <= '~' && !strchr("<>\"(),:;@[\\]", *p);
	for (const char *p = right; good && *p; p++)
		good = *p > ' ' && *p <= '~' && !strchr("<>\"(),;@\\", *p);
	if (!good)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("invalid message id \"%s\"", id),
						errdetail("It is two parts without spaces, with an @ "
								  "in between.")));
	appendStringInfo(out, "%s: <%.*s@%s>\r\n", name, (int) (at - id), id,
					 right);
}

/*
 * Append List-Unsubscribe, and what makes it work with one click (RFC 8058).
 */
static void
put_unsubscribe(const MaMail *mail, StringInfo out)
{
	const char	  *url = mail->unsubscribe_url;
	StringInfoData value;

	initStringInfo(&value);
	if (url)
	{
		if (pg_strncasecmp(url, "https://", 8) != 0 || !ma_mime_ascii(url) ||
			strpbrk(url, "<> \t\r\n\"") || strlen(url) > 900)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("invalid unsubscribe link \"%s\"", url),
							errdetail("It must start with https:// and have "
									  "up to 900 ASCII characters.")));
		appendStringInfo(&value, "<%s>", url);
	}
	if (mail->unsubscribe_mailto)
	{
		const char *p = mail->unsubscribe_mailto;
		const char *reason;

		if (!ma_address_valid(p, &reason) || !ma_mime_ascii(p))
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("invalid unsubscribe address \"%s\"", p)));
		appendStringInfoString(&value, url ? ", <mailto:" : "<mailto:");
		for (; *p; p++)
		{
			if (isalnum((unsigned char) *p) || strchr("@._-+", *p))
				appendStringInfoChar(&value, *p);
			else
				appendStringInfo(&value, "%%%02X", (unsigned char) *p);
		}
		appendStringInfoString(&value, "?subject=unsubscribe>");
	}
	if (value.len > 0)
		ma_mime_header(out, "List-Unsubscribe", value.data);
	if (url && mail->one_click)
		appendStringInfoString(
			out, "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n");
}

/*
 * Append Feedback-ID, which is read by machines: never encoded, _ for what
 * cannot be in it.
 */
static void
put_feedback_id(StringInfo out, const char *id)
{
	char *text = pnstrdup(id, Min(strlen(id), 200));

	for (char *p = text; *p; p++)
	{
		if (*p <= ' ' || *p > '~')
			*p = '_';
	}
	appendStringInfo(out, "Feedback-ID: %s\r\n", text);
}

/*
 * Append the headers of the user's own.
 */
static void
put_own_headers(const MaMail *mail, StringInfo out)
{
	for (int i = 0; i < mail->nheaders; i++)
	{
		check_own_header(&mail->headers[i]);
		ma_mime_text_header(out, mail->headers[i].name, mail->headers[i].value,
							false);
	}
}

/*
 * Complain about a header that has no proper name, or that is not the user's
 * to set.
 */
static void
check_own_header(const MaMailHeader *header)
{
	static const char *const ours[] = {"auto-submitted",
									   "bcc",
									   "cc",
									   "date",
									   "dkim-signature",
									   "feedback-id",
									   "from",
									   "in-reply-to",
									   "list-id",
									   "list-unsubscribe",
									   "list-unsubscribe-post",
									   "message-id",
									   "mime-version",
									   "received",
									   "references",
									   "reply-to",
									   "return-path",
									   "sender",
									   "subject",
									   "to"};
	const char				*name = header->name;
	int						 len = strlen(name);

	if (!isalpha((unsigned char) *name) || len > 60 ||
		strspn(name, "abcdefghijklmnopqrstuvwxyz"
					 "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") != len)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("invalid header name \"%s\"", name),
						errhint("Use letters, digits and hyphens.")));
	for (int i = 0; i < lengthof(ours); i++)
	{
		if (pg_strcasecmp(name, ours[i]) == 0 ||
			pg_strncasecmp(name, "content-", 8) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("header \"%s\" cannot be set by hand", name)));
	}
}

/*
 * Append the body: the content, and attachments if there are any.
 */
static void
put_mixed(const MaMail *mail, StringInfo out)
{
	char *boundary;

	if (count_files(mail, false) == 0)
	{
		put_content(mail, out);
		return;
	}
	boundary = make_boundary(mail, 1);
	open_multipart(out, "mixed", boundary);
	appendStringInfo(out, "--%s\r\n", boundary);
	put_content(mail, out);
	put_files(mail, out, false, boundary);
	appendStringInfo(out, "--%s--\r\n", boundary);
}

/*
 * Append the text, or text and html.
 */
static void
put_content(const MaMail *mail, StringInfo out)
{
	const char *text = mail->text;
	char	   *boundary;

	if (mail->html == NULL)
	{
		put_text(out, "plain", without_last_newline(text ? text : ""));
		return;
	}
	if (text == NULL)
		text = ma_mail_text(mail->html);
	boundary = make_boundary(mail, 2);
	open_multipart(out, "alternative", boundary);
	appendStringInfo(out, "--%s\r\n", boundary);
	put_text(out, "plain", text);
	appendStringInfo(out, "--%s\r\n", boundary);
	put_html(mail, out);
	appendStringInfo(out, "--%s--\r\n", boundary);
}

/*
 * A text without the line end at its end, which a part gets anyway.
 */
static char *
without_last_newline(const char *text)
{
	char *result = pstrdup(text);
	int	  len = strlen(result);

	if (len > 0 && result[len - 1] == '\n')
		result[--len] = '\0';
	if (len > 0 && result[len - 1] == '\r')
		result[len - 1] = '\0';
	return result;
}

/*
 * Append the html, with the images it shows.
 */
static void
put_html(const MaMail *mail, StringInfo out)
{
	char *boundary;

	if (count_files(mail, true) == 0)
	{
		put_text(out, "html", mail->html);
		return;
	}
	boundary = make_boundary(mail, 3);
	open_multipart(out, "related; type=\"text/html\"", boundary);
	appendStringInfo(out, "--%s\r\n", boundary);
	put_text(out, "html", mail->html);
	put_files(mail, out, true, boundary);
	appendStringInfo(out, "--%s--\r\n", boundary);
}

/*
 * Append a part that is text.
 */
static void
put_text(StringInfo out, const char *subtype, const char *text)
{
	appendStringInfo(out, "Content-Type: text/%s; charset=utf-8\r\n", subtype);
	ma_mime_text(out, ma_mime_utf8(text));
}

/*
 * Append the files of one kind. Images are attached where there is no html
 * that could show them.
 */
static void
put_files(const MaMail *mail, StringInfo out, bool inline_files,
		  const char *boundary)
{
	for (int i = 0; i < mail->nfiles; i++)
	{
		MaMailFile file = mail->files[i];

		if ((file.content_id != NULL && mail->html != NULL) != inline_files)
			continue;
		if (!inline_files)
			file.content_id = NULL;
		appendStringInfo(out, "--%s\r\n", boundary);
		ma_mime_file_headers(out, &file);
		appendStringInfoString(out, "\r\n");
		ma_mime_base64(out, file.data, file.length);
	}
}

/*
 * How many files of one kind there are.
 */
static int
count_files(const MaMail *mail, bool inline_files)
{
	int n = 0;

	for (int i = 0; i < mail->nfiles; i++)
		n += (mail->files[i].content_id != NULL && mail->html != NULL) ==
			 inline_files;
	return n;
}

/*
 * The boundary of one multipart of the message.
 */
static char *
make_boundary(const MaMail *mail, int level)
{
	const char *id = mail->message_id ? mail->message_id : "";
	uint64		hash;

	hash = DatumGetUInt64(
		hash_any_extended((const unsigned char *) id, strlen(id), mail->date));
	return psprintf("=_%d_%016llx", level, (unsigned long long) hash);
}

/*
 * Append the headers of a multipart.
 */
static void
open_multipart(StringInfo out, const char *subtype, const char *boundary)
{
	appendStringInfo(out,
					 "Content-Type: multipart/%s;\r\n boundary=\"%s\"\r\n\r\n",
					 subtype, boundary);
}
