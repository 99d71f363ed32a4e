/*
 * mime_encode.c
 *	  Messages: the encodings that make 7-bit lines of any text.
 */
#include "postgres.h"

#include <ctype.h>

#include "catalog/pg_collation.h"
#include "common/base64.h"
#include "common/unicode_norm.h"
#include "mb/pg_wchar.h"
#include "utils/formatting.h"

#include "mime_private.h"

/* Bytes that become one line of base64. */
#define BASE64_BYTES (MIME_LINE / 4 * 3)

/* "=?utf-8?q?" and "?=" */
#define WORD_FRAME 12
#define WORD_MAX   75

static char *canonical(const char *text);
static bool	 is_plain(const char *text);
static bool	 put_quoted(StringInfo out, const char *text);
static bool	 must_quote(const char *p, bool line_start);
static int	 plain_run(const char *p, const char *end);
static bool	 plain_in_word(unsigned char c);
static int	 word_length(const char *p, int len, bool base64);
static void	 put_word(StringInfo out, const char *p, int len, bool base64);
static void	 put_alabel(StringInfo out, const char *label, int len);
static void	 put_punycode(StringInfo out, const pg_wchar *label);
static void	 put_delta(StringInfo out, int delta, int bias);
static int	 adapt(int delta, int points, bool first);

/*
 * A text of the database in UTF-8.
 */
char *
ma_mime_utf8(const char *text)
{
	return pg_server_to_any(text, strlen(text), PG_UTF8);
}

/*
 * Is it 7-bit?
 */
bool
ma_mime_ascii(const char *text)
{
	for (; *text; text++)
	{
		if (IS_HIGHBIT_SET(*text))
			return false;
	}
	return true;
}

/*
 * Append data in base64, in lines.
 */
void
ma_mime_base64(StringInfo out, const char *data, int len)
{
	enlargeStringInfo(out, pg_b64_enc_len(len) / MIME_LINE * 2 +
							   pg_b64_enc_len(len) + 8);
	for (int i = 0; i < len; i += BASE64_BYTES)
	{
		int n = Min(BASE64_BYTES, len - i);

		out->len +=
			pg_b64_encode((const void *) (data + i), n, out->data + out->len,
						  out->maxlen - out->len);
		appendBinaryStringInfo(out, "\r\n", 2);
	}
	out->data[out->len] = '\0';
}

/*
 * Append the rest of the headers of a text, and the text, in the form that
 * suits it. The line end behind it belongs to the boundary that follows.
 */
void
ma_mime_text(StringInfo out, const char *text)
{
	static const char head[] = "Content-Transfer-Encoding: %s\r\n\r\n";
	char			 *lines = canonical(text);
	int				  start = out->len;
	bool			  plain = is_plain(lines);

	appendStringInfo(out, head, plain ? "7bit" : "quoted-printable");
	if (plain)
		appendStringInfoString(out, lines);
	else if (!put_quoted(out, lines))
	{
		out->len = start;
		appendStringInfo(out, head, "base64");
		ma_mime_base64(out, lines, strlen(lines));
		return;
	}
	appendBinaryStringInfo(out, "\r\n", 2);
}

/*
 * A text with CRLF for any line end.
 */
static char *
canonical(const char *text)
{
	StringInfoData out;

	initStringInfo(&out);
	for (;;)
	{
		int run = strcspn(text, "\r\n");

		appendBinaryStringInfo(&out, text, run);
		text += run;
		if (*text == '\0')
			break;
		appendBinaryStringInfo(&out, "\r\n", 2);
		text += text[0] == '\r' && text[1] == '\n' ? 2 : 1;
	}
	return out.data;
}

/*
 * Can it go as it is? So does what is 7-bit, in short lines, and can be
 * mistaken for nothing else.
 */
static bool
is_plain(const char *text)
{
	const char *end = text + strlen(text);
	int			column = 0;

	for (const char *p = text; *p; p++)
	{
		int run;

		if (*p == '\r')
			continue;
		if (*p == '\n')
		{
			column = 0;
			continue;
		}
		run = column > 0 ? plain_run(p, Min(end, p + MIME_LINE)) : 0;
		if (run == 0 && ((must_quote(p, column == 0) && *p != '=') ||
						 (*p == '=' && p[1] == '_')))
			return false;
		p += Max(run, 1) - 1;
		column += Max(run, 1);
		if (column > MIME_LINE)
			return false;
	}
	return true;
}

/*
 * Must this character be quoted? At the start of a line also what a mail
 * server or mailbox might take for its own.
 */
static bool
must_quote(const char *p, bool line_start)
{
	unsigned char c = *p;

	if (c == ' ' || c == '\t')
		return p[1] == '\r' || p[1] == '\0';
	if (c < ' ' || c > '~' || c == '=')
		return true;
	return line_start &&
		   (c == '.' || (c == 'F' && strncmp(p, "From ", 5) == 0));
}

/*
 * Is one of these eight characters one that may need quoting within a line?
 * Now and then also where there is none: each is then looked at.
 */
static inline bool
any_odd(const char *p)
{
	const uint64 ones = UINT64CONST(0x0101010101010101);
	uint64		 x;
	uint64		 equals;
	uint64		 odd;

	memcpy(&x, p, sizeof(x));
	equals = x ^ ones * '=';
	/* below a space, above '~', '=': each sets the high bit of its byte */
	odd =
		((x - ones * ' ') & ~x) | (x + ones) | x | ((equals - ones) & ~equals);
	return (odd & ones * 0x80) != 0;
}

/*
 * How many characters before end stand here that need no quoting within a
 * line. Most do not: what is done for each of the others is too slow for them.
 */
static int
plain_run(const char *p, const char *end)
{
	const char *c = p;

	while (end - c >= (int) sizeof(uint64) && !any_odd(c))
		c += sizeof(uint64);
	while (c < end && *c >= ' ' && *c <= '~' && *c != '=')
		c++;
	/* a space at the end of a line does */
	if (c > p && c[-1] == ' ' && (*c == '\r' || *c == '\0'))
		c--;
	return c - p;
}

/*
 * Append text in quoted-printable. False, and what was appended is of no use,
 * if much of it is not 7-bit: it is shorter in base64.
 */
static bool
put_quoted(StringInfo out, const char *text)
{
	static const char digits[] = "0123456789ABCDEF";
	const char		 *end = text + strlen(text);
	int				  few = (end - text) / 6;
	int				  quoted = 0;
	int				  column = 0;

	enlargeStringInfo(out, (end - text) / 16 * 17 + 64);
	for (const char *p = text; *p; p++)
	{
		int	  room = Min(MIME_LINE - 1 - column, end - p);
		int	  run = column > 0 ? plain_run(p, p + room) : 0;
		bool  quote;
		char *to;

		if (run > 0)
		{
			appendBinaryStringInfo(out, p, run);
			column += run;
			p += run - 1;
			continue;
		}
		quote = must_quote(p, column == 0);
		/* a soft line end, and a quoted character, or CRLF */
		enlargeStringInfo(out, 8);
		to = out->data + out->len;
		if (*p == '\r' && p[1] == '\n')
		{
			*to++ = *p++;
			*to++ = *p;
			column = 0;
			out->len = to - out->data;
			continue;
		}
		if (quote && *p != '=' && ++quoted > few)
			return false;
		if (column + (quote ? 3 : 1) > MIME_LINE - 1)
		{
			memcpy(to, "=\r\n", 3);
			to += 3;
			column = 0;
			quote = must_quote(p, true);
		}
		if (quote)
		{
			*to++ = '=';
			*to++ = digits[(unsigned char) *p >> 4];
			*to++ = digits[(unsigned char) *p & 15];
		}
		else
			*to++ = *p;
		column += quote ? 3 : 1;
		out->len = to - out->data;
	}
	out->data[out->len] = '\0';
	return true;
}

/*
 * Any text as encoded words (RFC 2047) with a space between each, the first
 * no longer than first_room. Characters are never split.
 */
char *
ma_mime_encoded_words(const char *text, int first_room)
{
	const char	  *end = text + strlen(text);
	bool		   base64;
	int			   room = Max(Min(first_room, WORD_MAX), WORD_FRAME + 12);
	StringInfoData out;

	base64 = word_length(text, end - text, true) <
			 word_length(text, end - text, false);
	initStringInfo(&out);
	while (text < end)
	{
		int len = 0;

		while (text + len < end)
		{
			int next = len + pg_utf_mblen((const unsigned char *) text + len);

			if (len > 0 && word_length(text, next, base64) > room)
				break;
			len = next;
		}
		if (out.len > 0)
			appendStringInfoChar(&out, ' ');
		put_word(&out, text, len, base64);
		text += len;
		room = WORD_MAX;
	}
	return out.data;
}

/*
 * May this stand for itself in a word of any header?
 */
static bool
plain_in_word(unsigned char c)
{
	return c < 0x80 && (isalnum(c) || (c != '\0' && strchr("!*+-/", c)));
}

/*
 * How long some text becomes as an encoded word.
 */
static int
word_length(const char *p, int len, bool base64)
{
	int n = WORD_FRAME;

	if (base64)
		return n + (len + 2) / 3 * 4;
	for (int i = 0; i < len; i++)
		n += plain_in_word(p[i]) || p[i] == ' ' ? 1 : 3;
	return n;
}

/*
 * Append one encoded word.
 */
static void
put_word(StringInfo out, const char *p, int len, bool base64)
{
	appendStringInfo(out, "=?utf-8?%c?", base64 ? 'b' : 'q');
	if (base64)
	{
		char *word = palloc(pg_b64_enc_len(len) + 1);
		int	  n = pg_b64_encode((const void *) p, len, word,
								pg_b64_enc_len(len) + 1);

		appendBinaryStringInfo(out, word, n);
		pfree(word);
	}
	for (int i = 0; i < len && !base64; i++)
	{
		if (p[i] == ' ')
			appendStringInfoChar(out, '_');
		else if (plain_in_word(p[i]))
			appendStringInfoChar(out, p[i]);
		else
			appendStringInfo(out, "=%02X", (unsigned char) p[i]);
	}
	appendStringInfoString(out, "?=");
}

/*
 * A domain as a header of a 7-bit message shows it: with A-labels (RFC 5891)
 * for what is not ASCII.
 */
char *
ma_mime_alabels(const char *domain)
{
	StringInfoData out;

	initStringInfo(&out);
	for (;;)
	{
		int len = strcspn(domain, ".");

		put_alabel(&out, domain, len);
		if (domain[len] == '\0')
			return out.data;
		appendStringInfoChar(&out, '.');
		domain += len + 1;
	}
}

/*
 * Append one label of a domain: in lower case and composed form, so that the
 * same name is always written the same.
 */
static void
put_alabel(StringInfo out, const char *label, int len)
{
	char	 *text = pnstrdup(label, len);
	pg_wchar *wide;

	if (ma_mime_ascii(text))
	{
		appendStringInfoString(out, text);
		return;
	}
	if (GetDatabaseEncoding() == PG_UTF8)
		text = str_tolower(text, strlen(text), DEFAULT_COLLATION_OID);
	wide = palloc((strlen(text) + 1) * sizeof(pg_wchar));
	pg_encoding_mb2wchar_with_len(PG_UTF8, text, wide, strlen(text));
	appendStringInfoString(out, "xn--");
	put_punycode(out, unicode_normalize(UNICODE_NFC, wide));
}

/*
 * Append a label in Punycode (RFC 3492): its ASCII letters, then the places
 * of the others.
 */
static void
put_punycode(StringInfo out, const pg_wchar *label)
{
	int		 length = 0;
	int		 basic = 0;
	int		 done;
	int		 delta = 0;
	int		 bias = 72;
	pg_wchar n = 128;

	for (const pg_wchar *p = label; *p; p++, length++)
	{
		if (*p >= 128)
			continue;
		appendStringInfoChar(out, pg_ascii_tolower((char) *p));
		basic++;
	}
	if (basic > 0)
		appendStringInfoChar(out, '-');

	for (done = basic; done < length; n++, delta++)
	{
		pg_wchar next = 0x110000;

		for (const pg_wchar *p = label; *p; p++)
		{
			if (*p >= n)
				next = Min(next, *p);
		}
		delta += (int) (next - n) * (done + 1);
		n = next;
		for (const pg_wchar *p = label; *p; p++)
		{
			if (*p < n)
				delta++;
			if (*p != n)
				continue;
			put_delta(out, delta, bias);
			bias = adapt(delta, done + 1, done == basic);
			delta = 0;
			done++;
		}
	}
}

/*
 * Append a number of Punycode.
 */
static void
put_delta(StringInfo out, int delta, int bias)
{
	for (int k = 36;; k += 36)
	{
		int threshold = Max(1, Min(26, k - bias));
		int digit = delta;

		if (delta >= threshold)
			digit = threshold + (delta - threshold) % (36 - threshold);
		appendStringInfoChar(out, digit < 26 ? 'a' + digit : '0' + digit - 26);
		if (delta < threshold)
			return;
		delta = (delta - threshold) / (36 - threshold);
	}
}

/*
 * The next bias of Punycode.
 */
static int
adapt(int delta, int points, bool first)
{
	int k = 0;

	delta = first ? delta / 700 : delta / 2;
	delta += delta / points;
	for (; delta > 35 * 26 / 2; k += 36)
		delta /= 35;
	return k + 36 * delta / (delta + 38);
}
