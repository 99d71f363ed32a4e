/*
 * template_locale.c
 *	  Names of locales: as they are written, and what is wider.
 *
 * A locale is a language and what narrows it (BCP 47): fr, fr-CA, zh-Hant-TW.
 * The names that operating systems use, fr_CA.UTF-8, are understood as well.
 */
#include "postgres.h"

#include <ctype.h>

#include "template_store.h"

/* The longest name that makes sense. */
#define LENGTH_MAX 35

/* Writes subtag i of a locale as it is usual: fr, CA, Hant. */
static void
write_subtag(char *subtag, int length, int i)
{
	for (int j = 0; j < length; j++)
		subtag[j] = pg_ascii_tolower(subtag[j]);
	if (i > 0 && length == 2)
		subtag[1] = pg_ascii_toupper(subtag[1]);
	if (i > 0 && (length == 2 || length == 4))
		subtag[0] = pg_ascii_toupper(subtag[0]);
}

/*
 * The name of a locale in the usual spelling, palloc'd; NULL if it is none.
 */
char *
ma_locale_canonical(const char *locale)
{
	char *name = pnstrdup(locale, strcspn(locale, ".@"));
	char *subtag = name;

	if (strlen(name) > LENGTH_MAX)
		return NULL;
	for (int i = 0;; i++)
	{
		int length = strcspn(subtag, "-_");

		if (length < (i == 0 ? 2 : 1) || length > (i == 0 ? 3 : 8))
			return NULL;
		for (int j = 0; j < length; j++)
			if (!(i == 0 ? isalpha((unsigned char) subtag[j]) :
						   isalnum((unsigned char) subtag[j])))
				return NULL;
		write_subtag(subtag, length, i);
		if (subtag[length] == '\0')
			return name;
		subtag[length] = '-';
		subtag += length + 1;
	}
}

/* Leaves out what narrows a locale most; false if it is a bare language. */
bool
ma_locale_widen(char *locale)
{
	char *last = strrchr(locale, '-');

	if (last == NULL)
		return false;
	*last = '\0';
	return true;
}
