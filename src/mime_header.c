/*
 * mime_header.c
 *	  Messages: headers.
 *
 * No value can end its header: controls become spaces before anything else is
 * looked at. Lines are folded at white space that is there, never by adding
 * any but between encoded words, where it means nothing.
 */
#include "postgres.h"

#include <ctype.h>

#include "mb/pg_wchar.h"

#include "address.h"
#include "mime_private.h"

static char *clean(const char *value, bool keep_tabs);
static bool	 needs_words(const char *value, int first_room, bool split_words);
static void	 put_folded(StringInfo out, const char *name, const char *value);
static char *phrase(const char *name, int first_room);
static char *mailbox_address(const char *address);
static const char *after_token(const char *s);
static const char *after_quoted(const char *s);
static void		   put_media_type(StringInfo out, const char *type);
static void		   put_file_name(StringInfo out, const char *name);
static void		   put_extended_name(StringInfo out, const char *name);

/*
 * A value in UTF-8 with a space for each control character; tabs may stay,
 * as they can be encoded.
 */
static char *
clean(const char *value, bool keep_tabs)
{
	char	   *text = pstrdup(ma_mime_utf8(value));
	const char *p = text;
	char	   *out = text;

	while (*p)
	{
		unsigned char c = *p;
		int			  len = pg_utf_mblen((const unsigned char *) p);
		pg_wchar	  wide =
			 len > 1 ? utf8_to_unicode((const unsigned char *) p) : c;

		if (c == '\r' && p[1] == '\n')
		{
			p++;
			continue;
		}
		if ((wide < ' ' && !(keep_tabs && c == '\t')) ||
			(wide >= 0x7f && wide <= 0x9f) || wide == 0x2028 || wide == 0x2029)
			*out++ = ' ';
		else
		{
			memmove(out, p, len);
			out += len;
		}
		p += len;
	}
	*out = '\0';
	return text;
}

/*
 * Append a header whose value is free text. split_words: a word that is too
 * long for a line is encoded; otherwise it makes a long line.
 */
void
ma_mime_text_header(StringInfo out, const char *name, const char *value,
					bool split_words)
{
	char *text = clean(value, true);
	int	  room = MIME_LINE - (int) strlen(name) - 2;

	if (needs_words(text, room, split_words))
		text = ma_mime_encoded_words(text, room);
	put_folded(out, name, text);
}

/*
 * Can a text not be written as it is?
 */
static bool
needs_words(const char *value, int first_room, bool split_words)
{
	int len = strlen(value);
	int room = first_room;

	if (!ma_mime_ascii(value) || strstr(value, "=?") || strchr(value, '\t'))
		return true;
	if (len > 0 && (value[0] == ' ' || value[len - 1] == ' '))
		return true;
	for (const char *p = value; *p;)
	{
		int word = strcspn(p, " ");

		if (word > (split_words ? room : MIME_LINE_MAX - MIME_LINE))
			return true;
		p += word;
		p += strspn(p, " ");
		room = MIME_LINE - 1;
	}
	return false;
}

/*
 * Append a header whose value is ready but for folding.
 */
void
ma_mime_header(StringInfo out, const char *name, const char *value)
{
	put_folded(out, name, clean(value, false));
}

/*
 * Append a header in lines, broken before white space where the next word
 * would not fit. The first word stays with the name.
 */
static void
put_folded(StringInfo out, const char *name, const char *value)
{
	int	 column = strlen(name) + 1;
	bool first = true;

	appendStringInfo(out, "%s:", name);
	if (*value == '\0')
		appendStringInfoChar(out, ' ');
	while (*value)
	{
		int space = strspn(value, " ");
		int word = strcspn(value + space, " ");

		if (word == 0)
			break;
		if (first)
		{
			value += space;
			space = 0;
			appendStringInfoChar(out, ' ');
			column++;
		}
		else if (column + space + word > MIME_LINE)
		{
			appendStringInfoString(out, "\r\n");
			column = 0;
		}
		appendBinaryStringInfo(out, value, space + word);
		column += space + word;
		value += space + word;
		first = false;
	}
	appendStringInfoString(out, "\r\n");
}

/*
 * Append a header that holds one person; nothing if there is none.
 */
void
ma_mime_mailbox_header(StringInfo out, const char *name,
					   const MaMailbox *mailbox)
{
	int	  room = MIME_LINE - (int) strlen(name) - 2;
	char *address;
	char *shown = NULL;

	if (mailbox->address == NULL)
		return;
	address = mailbox_address(mailbox->address);
	if (mailbox->name)
		shown = phrase(mailbox->name, room);
	if (shown && *shown)
		put_folded(out, name, psprintf("%s <%s>", shown, address));
	else
		put_folded(out, name, address);
}

/*
 * A display name as a header takes it: words, a quoted string or encoded
 * words.
 */
static char *
phrase(const char *name, int first_room)
{
	char		  *text = clean(name, false);
	bool		   atoms = true;
	StringInfoData out;

	while (*text == ' ')
		text++;
	while (*text && text[strlen(text) - 1] == ' ')
		text[strlen(text) - 1] = '\0';
	if (needs_words(text, first_room - 2, true))
		return ma_mime_encoded_words(text, first_room);

	for (const char *p = text; *p && atoms; p++)
		atoms =
			isalnum((unsigned char) *p) || strchr(" !#$%&'*+-/=?^_`{|}~", *p);
	if (atoms)
		return text;
	initStringInfo(&out);
	appendStringInfoChar(&out, '"');
	for (const char *p = text; *p; p++)
	{
		if (*p == '"' || *p == '\\')
			appendStringInfoChar(&out, '\\');
		appendStringInfoChar(&out, *p);
	}
	appendStringInfoChar(&out, '"');
	return out.data;
}

/*
 * An address as a header takes it. Where the part before the @ is not ASCII
 * the message needs SMTPUTF8 anyway, and the domain stays as it is.
 */
static char *
mailbox_address(const char *address)
{
	const char *reason;
	const char *domain;

	if (!ma_address_valid(address, &reason))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("invalid e-mail address \"%s\"", address),
						errdetail("%s", reason)));
	if (ma_address_needs_utf8(address))
		return ma_mime_utf8(address);
	domain = ma_address_domain(address);
	return psprintf("%.*s%s", (int) (domain - address), address,
					ma_mime_alabels(ma_mime_utf8(domain)));
}

/*
 * Append List-Id: a name and an identifier in the form of a domain.
 */
void
ma_mime_list_id_header(StringInfo out, const char *id, const char *name)
{
	char *shown = NULL;

	if (*id == '\0' || strspn(id, "abcdefghijklmnopqrstuvwxyz"
								  "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
								  ".-_+") != strlen(id))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("invalid list identifier \"%s\"", id),
						errhint("Write it like news.example.com.")));
	if (name)
		shown = phrase(name, MIME_LINE - (int) strlen("List-Id: "));
	if (shown && *shown)
		put_folded(out, "List-Id", psprintf("%s <%s>", shown, id));
	else
		put_folded(out, "List-Id", psprintf("<%s>", id));
}

/*
 * Is this a media type like image/png, or with parameters, like
 * text/calendar; method=REQUEST?
 */
bool
ma_mail_is_type(const char *type)
{
	const char *s = after_token(type);

	s = s != NULL && *s == '/' ? after_token(s + 1) : NULL;
	while (s != NULL && *s == ';')
	{
		const char *start = s;

		s = after_token(s + 1 + strspn(s + 1, " "));
		if (s == NULL || *s != '=')
			return false;
		s = s[1] == '"' ? after_quoted(s + 1) : after_token(s + 1);
		if (s != NULL && s - start > MIME_LINE)
			return false;
	}
	return s != NULL && *s == '\0';
}

/*
 * What follows the token that a text begins with, of those that types and
 * parameters are made of; NULL if there is none.
 */
static const char *
after_token(const char *s)
{
	const char *start = s;

	while (isalnum((unsigned char) *s) ||
		   (*s != '\0' && strchr("!#$&-^_.+", *s)))
		s++;
	return s > start ? s : NULL;
}

/*
 * What follows the string in quotes that a text begins with; NULL if it has
 * no end, or anything in it would have to be quoted again.
 */
static const char *
after_quoted(const char *s)
{
	for (s++; *s != '"'; s++)
		if (*s < ' ' || *s > '~' || *s == '\\' || *s == ';')
			return NULL;
	return s + 1;
}

/*
 * Append the type of a file, each parameter on a line of its own. What is
 * none, or must not be in base64, is just bytes.
 */
static void
put_media_type(StringInfo out, const char *type)
{
	if (type == NULL || !ma_mail_is_type(type) ||
		pg_strncasecmp(type, "multipart/", 10) == 0 ||
		pg_strncasecmp(type, "message/", 8) == 0)
		type = "application/octet-stream";
	for (; *type != '\0'; type++)
	{
		appendStringInfoChar(out, *type);
		if (*type == ';')
		{
			appendStringInfoString(out, "\r\n ");
			type += strspn(type + 1, " ");
		}
	}
}

/*
 * Append the headers of a file.
 */
void
ma_mime_file_headers(StringInfo out, const MaMailFile *file)
{
	appendStringInfoString(out, "Content-Type: ");
	put_media_type(out, file->type);
	appendStringInfoString(out, "\r\nContent-Transfer-Encoding: base64\r\n");
	if (file->content_id)
	{
		char *id = clean(file->content_id, false);

		if (*id == '\0' || !ma_mime_ascii(id) || strpbrk(id, " <>") ||
			strlen(id) > MIME_LINE_MAX / 2)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("invalid content id \"%s\"", file->content_id),
					 errhint("Use letters, digits, dots and @.")));
		appendStringInfo(out, "Content-ID: <%s>\r\n", id);
	}
	appendStringInfo(out, "Content-Disposition: %s",
					 file->content_id ? "inline" : "attachment");
	if (file->name && *file->name)
		put_file_name(out, clean(file->name, false));
	appendStringInfoString(out, "\r\n");
}

/*
 * Append the parameter filename, on lines of its own.
 */
static void
put_file_name(StringInfo out, const char *name)
{
	if (!ma_mime_ascii(name) || strlen(name) > 50)
	{
		put_extended_name(out, name);
		return;
	}
	appendStringInfoString(out, ";\r\n filename=\"");
	for (; *name; name++)
	{
		if (*name == '"' || *name == '\\')
			appendStringInfoChar(out, '\\');
		appendStringInfoChar(out, *name);
	}
	appendStringInfoChar(out, '"');
}

/*
 * The same for a name that is long or not ASCII: in the pieces of RFC 2231,
 * none of which splits a character.
 */
static void
put_extended_name(StringInfo out, const char *name)
{
	int			   section = 0;
	StringInfoData piece;

	initStringInfo(&piece);
	appendStringInfoString(&piece, "utf-8''");
	while (*name || piece.len > 0)
	{
		while (*name && piece.len < MIME_LINE - 28)
		{
			int len = pg_utf_mblen((const unsigned char *) name);

			for (; len > 0; len--, name++)
			{
				unsigned char c = *name;

				if (c < 0x80 && (isalnum(c) || strchr("!#$&+-.^_`{}~", c)))
					appendStringInfoChar(&piece, c);
				else
					appendStringInfo(&piece, "%%%02X", c);
			}
		}
		if (section == 0 && *name == '\0')
			appendStringInfo(out, ";\r\n filename*=%s", piece.data);
		else
			appendStringInfo(out, ";\r\n filename*%d*=%s", section,
							 piece.data);
		resetStringInfo(&piece);
		section++;
	}
}
