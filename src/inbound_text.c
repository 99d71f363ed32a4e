/*
 * inbound_text.c
 *	  Texts of strangers: what is in them, and how to show them.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_collation_d.h"
#include "mb/pg_wchar.h"
#include "utils/formatting.h"

#include "guc.h"
#include "inbound_reason.h"
#include "inbound_text.h"

/* The first address in a header or text, NULL if there is none. */
char *
ma_inbound_address(const char *header)
{
	static const char ends[] = " \t\n<>\"'(),:;[]";

	if (header == NULL)
		return NULL;
	for (const char *at = strchr(header, '@'); at != NULL;
		 at = strchr(at + 1, '@'))
	{
		const char *start = at;
		Size		len = 0;

		while (len < 254 && strchr(ends, at[1 + len]) == NULL)
			len++;
		while (start > header && at - start < 64 &&
			   strchr(ends, start[-1]) == NULL && start[-1] != '@')
			start--;
		if (start == at || len == 0 || len > 253)
			continue;
		while (len > 0 && at[len] == '.')
			len--;
		return ma_reason_plain(pnstrdup(start, at + 1 + len - start),
							   at + 1 + len - start);
	}
	return NULL;
}

/*
 * Is the first line of a text nothing but one of the words of a list, in
 * capitals or not?
 */
static bool
is_word(const char *text, const char *list)
{
	Size len;

	text += strspn(text, " \t\r\n");
	len = strcspn(text, "\r\n");
	text = str_tolower(text, len, DEFAULT_COLLATION_OID);
	list = str_tolower(list, strlen(list), DEFAULT_COLLATION_OID);
	len = strlen(text);
	while (len > 0 && strchr(" \t.!", text[len - 1]) != NULL)
		len--;
	while (len > 0 && *list != '\0')
	{
		Size word;

		list += strspn(list, ", ");
		word = strcspn(list, ",");
		while (word > 0 && list[word - 1] == ' ')
			word--;
		if (word == len && memcmp(list, text, len) == 0)
			return true;
		list += strcspn(list, ",");
	}
	return false;
}

/* Is it one of setting mautomate.stop_words? */
bool
ma_inbound_is_stop(const char *text)
{
	return is_word(text, ma_guc_stop_words);
}

/* Is it one of setting mautomate.start_words? */
bool
ma_inbound_is_start(const char *text)
{
	return is_word(text, ma_guc_start_words);
}

/*
 * A text in the encoding of the database, if it is what its charset says and
 * PostgreSQL knows that; else the text itself. charset may be NULL.
 */
char *
ma_inbound_convert(char *text, const char *charset)
{
	int	  from = charset == NULL ? -1 : pg_char_to_encoding(charset);
	int	  to = GetDatabaseEncoding();
	int	  len = strlen(text);
	Size  size = (Size) len * MAX_CONVERSION_GROWTH + 1;
	Oid	  function;
	char *result;

	if (from < 0 || from == PG_SQL_ASCII || to == PG_SQL_ASCII || from == to ||
		!pg_verify_mbstr(from, text, len, true))
		return text;
	function = FindDefaultConversionProc(from, to);
	if (!OidIsValid(function))
		return text;
	result = palloc(size);
	return pg_do_encoding_conversion_buf(
			   function, from, to, (unsigned char *) text, len,
			   (unsigned char *) result, size, true) == len ?
			   result :
			   text;
}

/* A copy in which ASCII letters are in lower case. */
char *
ma_inbound_lower(const char *text)
{
	char *copy = pstrdup(text);

	for (char *p = copy; *p != '\0'; p++)
		*p = pg_ascii_tolower((unsigned char) *p);
	return copy;
}

/*
 * A text of unknown encoding as one of the database's, at most max bytes:
 * where it is not valid, what is not ASCII becomes a question mark.
 */
char *
ma_inbound_safe(const char *text, int max)
{
	char *copy = pstrdup(text);
	int	  len = strlen(copy);
	bool  valid = pg_verify_mbstr(GetDatabaseEncoding(), copy, len, true);

	for (char *p = copy; *p != '\0'; p++)
		if (!valid && IS_HIGHBIT_SET(*p))
			*p = '?';
		else if ((unsigned char) *p < ' ' && *p != '\n' && *p != '\t')
			*p = ' ';
	while (len > 0 && isspace((unsigned char) copy[len - 1]))
		copy[--len] = '\0';
	if (len > max)
		copy[pg_mbcliplen(copy, len, max)] = '\0';
	return copy;
}

/* Does a text begin with one of these? */
bool
ma_inbound_starts(const char *text, const char *const *list)
{
	for (; *list != NULL; list++)
		if (strncmp(text, *list, strlen(*list)) == 0)
			return true;
	return false;
}

/* Does a text contain one of these? */
bool
ma_inbound_contains(const char *text, const char *const *list)
{
	for (; *list != NULL; list++)
		if (strstr(text, *list) != NULL)
			return true;
	return false;
}
