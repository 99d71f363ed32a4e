/*
 * liquid_encode.c
 *	  Liquid: filters that encode strings for URLs and in base64.
 */
#include "postgres.h"

#include <ctype.h>

#include "common/base64.h"
#include "mb/pg_wchar.h"

#include "liquid.h"

static int	   hex_digit(char c);
static LqValue decoded(LqRender *r, char *data, int len);
static LqValue base64_encode(LqRender *r, const LqValue *in, bool url);
static LqValue base64_decode(LqRender *r, const LqValue *in, bool url);

/*
 * As in the query of a URL.
 */
LqValue
ma_liquid_filter_url_encode(LqRender *r, const LqValue *in,
							const LqValue *args, int nargs)
{
	LqValue		   text = ma_liquid_text(r, in);
	StringInfoData buffer;

	initStringInfo(&buffer);
	ma_liquid_append_url(&buffer, text.string.data, text.string.len, "+");
	return ma_liquid_buffer(r, &buffer);
}

/*
 * Append text so that it is one value in a URL; what becomes of a space is
 * not the same in all of its parts.
 */
void
ma_liquid_append_url(StringInfo out, const char *s, int len, const char *space)
{
	for (int i = 0; i < len; i++)
	{
		unsigned char c = s[i];

		if (c == ' ')
			appendStringInfoString(out, space);
		else if (c > 0 && c < 0x80 && (isalnum(c) || strchr("_.-~", c)))
			appendStringInfoChar(out, c);
		else
			appendStringInfo(out, "%%%02X", c);
	}
}

/*
 * The reverse.
 */
LqValue
ma_liquid_filter_url_decode(LqRender *r, const LqValue *in,
							const LqValue *args, int nargs)
{
	LqValue		text = ma_liquid_text(r, in);
	const char *p = text.string.data;
	const char *end = p + text.string.len;
	char	   *result = palloc(text.string.len + 1);
	int			n = 0;

	for (; p < end; p++)
	{
		if (*p == '%' && end - p > 2 && hex_digit(p[1]) >= 0 &&
			hex_digit(p[2]) >= 0)
		{
			result[n++] = hex_digit(p[1]) * 16 + hex_digit(p[2]);
			p += 2;
		}
		else
			result[n++] = *p == '+' ? ' ' : *p;
	}
	return decoded(r, result, n);
}

/*
 * The value of a hexadecimal digit, -1 if it is none.
 */
static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/*
 * Decoded bytes as a string, if they are one in this database.
 */
static LqValue
decoded(LqRender *r, char *data, int len)
{
	if (memchr(data, '\0', len) != NULL ||
		!pg_verify_mbstr(GetDatabaseEncoding(), data, len, true))
		ma_liquid_error(r, "what was decoded is no text");
	ma_liquid_charge(r, len);
	return ma_liquid_string(data, len);
}

/*
 * A string in base64; url: with the letters that need no encoding in a URL.
 */
static LqValue
base64_encode(LqRender *r, const LqValue *in, bool url)
{
	LqValue text = ma_liquid_text(r, in);
	int		room = pg_b64_enc_len(text.string.len) + 1;
	char   *result = palloc(room);
	int		n;

	n = pg_b64_encode((const void *) text.string.data, text.string.len, result,
					  room);
	for (int i = 0; i < n && url; i++)
	{
		if (result[i] == '+')
			result[i] = '-';
		else if (result[i] == '/')
			result[i] = '_';
	}
	ma_liquid_charge(r, n);
	return ma_liquid_string(result, n);
}

/*
 * The reverse. For URLs the padding may be missing.
 */
static LqValue
base64_decode(LqRender *r, const LqValue *in, bool url)
{
	LqValue text = ma_liquid_text(r, in);
	int		len = text.string.len;
	char   *source = palloc(len + 4);
	int		room;
	char   *result;
	int		n;

	memcpy(source, text.string.data, len);
	for (int i = 0; i < len && url; i++)
	{
		if (source[i] == '-')
			source[i] = '+';
		else if (source[i] == '_')
			source[i] = '/';
	}
	while (url && len % 4 > 1)
		source[len++] = '=';
	room = pg_b64_dec_len(len) + 1;
	result = palloc(room);
	n = pg_b64_decode(source, len, (void *) result, room);
	if (n < 0)
		ma_liquid_error(r, "invalid base64");
	return decoded(r, result, n);
}

LqValue
ma_liquid_filter_base64_encode(LqRender *r, const LqValue *in,
							   const LqValue *args, int nargs)
{
	return base64_encode(r, in, false);
}

LqValue
ma_liquid_filter_base64_decode(LqRender *r, const LqValue *in,
							   const LqValue *args, int nargs)
{
	return base64_decode(r, in, false);
}

LqValue
ma_liquid_filter_base64_url_encode(LqRender *r, const LqValue *in,
								   const LqValue *args, int nargs)
{
	return base64_encode(r, in, true);
}

LqValue
ma_liquid_filter_base64_url_decode(LqRender *r, const LqValue *in,
								   const LqValue *args, int nargs)
{
	return base64_decode(r, in, true);
}
