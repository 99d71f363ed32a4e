/*
 * predicate_scan.c
 *	  The tokens of an expression: where each begins and ends in the text.
 *
 * By PostgreSQL's own scanner, so that quotes and comments mean what they
 * mean to the parser.
 */
#include "postgres.h"

#include "common/keywords.h"
#include "parser/scanner.h"

#include "predicate_private.h"

/* Is the token these letters, in capitals or not? */
bool
ma_token_is(const char *text, const MaToken *token, const char *word)
{
	int len = token->to - token->from;

	return len == (int) strlen(word) &&
		   pg_strncasecmp(text + token->from, word, len) == 0;
}

/* Is the token a string or a name with an escape of its own, U&'' or U&""? */
static bool
is_escaped(const char *text, const MaToken *token)
{
	text += token->from;
	return (text[0] == 'U' || text[0] == 'u') && text[1] == '&' &&
		   (text[2] == '\'' || text[2] == '"');
}

/* Makes U&'...' uescape '!' one token, as the parser does. */
static int
join_escapes(const char *text, MaToken *tokens, int ntokens)
{
	int n = 0;

	for (int i = 0; i < ntokens; i++)
		if (n > 0 && i + 1 < ntokens && is_escaped(text, &tokens[n - 1]) &&
			ma_token_is(text, &tokens[i], "uescape"))
			tokens[n - 1].to = tokens[++i].to;
		else
			tokens[n++] = tokens[i];
	return n;
}

/* Cuts a text into tokens; an error where the parser would raise one. */
MaToken *
ma_scan(const char *text, int *n)
{
	core_yy_extra_type extra;
	core_YYSTYPE	   value;
	YYLTYPE			   location;
	int				   max = 16;
	core_yyscan_t	   scanner =
		scanner_init(text, &extra, &ScanKeywords, ScanKeywordTokens);
	MaToken *tokens = palloc(max * sizeof(MaToken));

	*n = 0;
	while (core_yylex(&value, &location, scanner) != 0)
	{
		MaToken *token;

		if (*n == max)
			tokens = repalloc(tokens, (max *= 2) * sizeof(MaToken));
		token = &tokens[(*n)++];
		token->from = location;
		/* the scanner ends its token in its buffer */
		token->to = location + strlen(extra.scanbuf + location);
	}
	scanner_finish(scanner);
	*n = join_escapes(text, tokens, *n);
	return tokens;
}
