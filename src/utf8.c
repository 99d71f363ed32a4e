/*
 * utf8.c
 *	  Texts of strangers in UTF-8, as the database can hold them.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"

#include "utf8.h"

/* Appends one character; false if the database has none like it. */
static bool
append(StringInfo out, const char *character, int length)
{
	int	 encoding = GetDatabaseEncoding();
	Oid	 conversion;
	char bytes[MAX_CONVERSION_GROWTH * 4 + 1];

	if (length == 1 || encoding == PG_UTF8 || encoding == PG_SQL_ASCII)
	{
		appendBinaryStringInfo(out, character, length);
		return true;
	}
	conversion = FindDefaultConversionProc(PG_UTF8, encoding);
	if (!OidIsValid(conversion) ||
		pg_do_encoding_conversion_buf(
			conversion, PG_UTF8, encoding,
			unconstify(unsigned char *, (const unsigned char *) character),
			length, (unsigned char *) bytes, sizeof(bytes), true) != length)
		return false;
	appendStringInfoString(out, bytes);
	return true;
}

/*
 * The text in the encoding of the database. A question mark stands for what
 * is not UTF-8, has no character there, or controls a terminal.
 */
char *
ma_utf8_to_server(const char *text)
{
	StringInfoData out;
	size_t		   left = strlen(text);

	initStringInfo(&out);
	while (left > 0)
	{
		const unsigned char *at = (const unsigned char *) text;
		int					 length = pg_utf_mblen(at);
		bool				 good;

		good = length <= left && pg_utf8_islegal(at, length) &&
			   (at[0] >= ' ' && at[0] != 0x7f) &&
			   !(at[0] == 0xc2 && at[1] < 0xa0);
		if (!good)
			length = 1;
		if (!good || !append(&out, text, length))
			appendStringInfoChar(&out, '?');
		text += length;
		left -= length;
	}
	return out.data;
}
