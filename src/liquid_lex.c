/*
 * liquid_lex.c
 *	  Liquid: from text to tokens.
 *
 * There are two readers. The outer one cuts a template into text, outputs and
 * tags, or a liquid tag into the tags of its lines; it does white space
 * control. The inner one cuts the markup of one tag or output into words.
 * Neither copies: tokens point into the source.
 */
#include "postgres.h"

#include <ctype.h>

#include "liquid.h"

static LqToken	   next_line(LqSource *source);
static LqToken	   next_piece(LqSource *source);
static LqToken	   read_text(LqSource *source, const char *end);
static LqToken	   read_markup(LqSource *source);
static void		   split_tag(LqToken *token);
static bool		   is_closed(const char *p, const char *end);
static int		   count_lines(const char *from, const char *to);
static const char *find_piece(const char *p, const char *end);
static bool		   lex_number(LqLexer *lexer);
static bool		   lex_name(LqLexer *lexer);
static bool		   lex_string(LqLexer *lexer);
static bool		   lex_compare(LqLexer *lexer);

/*
 * The next token. Empty text is never returned.
 */
LqToken
ma_liquid_next(LqSource *source)
{
	return source->lines ? next_line(source) : next_piece(source);
}

/*
 * The tag on the next line of a liquid tag.
 */
static LqToken
next_line(LqSource *source)
{
	LqToken token = {.kind = LQ_TOKEN_END};

	while (source->p < source->end && token.kind == LQ_TOKEN_END)
	{
		const char *start = source->p;
		const char *stop = memchr(start, '\n', source->end - start);

		token.line = source->line;
		if (stop == NULL)
			source->p = stop = source->end;
		else
		{
			source->p = stop + 1;
			source->line++;
		}
		while (start < stop && isspace((unsigned char) *start))
			start++;
		while (stop > start && isspace((unsigned char) stop[-1]))
			stop--;
		if (start == stop)
			continue;
		token.kind = LQ_TOKEN_TAG;
		token.text = start;
		token.len = stop - start;
		split_tag(&token);
	}
	token.line = token.kind == LQ_TOKEN_END ? source->line : token.line;
	return token;
}

/*
 * The next text, output or tag of a template.
 */
static LqToken
next_piece(LqSource *source)
{
	while (source->p < source->end)
	{
		const char *piece = find_piece(source->p, source->end);
		LqToken		token;

		if (piece == source->p)
			return read_markup(source);
		token = read_text(source, piece);
		if (token.len > 0)
			return token;
	}
	return (LqToken){.kind = LQ_TOKEN_END, .line = source->line};
}

/*
 * Where the next {{ or {% is, or the end.
 */
static const char *
find_piece(const char *p, const char *end)
{
	while ((p = memchr(p, '{', end - p)) != NULL)
	{
		if (p + 1 < end && (p[1] == '{' || p[1] == '%'))
			return p;
		p++;
	}
	return end;
}

/*
 * The text up to end, without the white space its neighbours do not want.
 */
static LqToken
read_text(LqSource *source, const char *end)
{
	LqToken		token = {.kind = LQ_TOKEN_TEXT, .line = source->line};
	const char *start = source->p;
	const char *stop = end;

	source->line += count_lines(start, end);
	source->p = end;
	if (source->trim)
	{
		while (start < stop && isspace((unsigned char) *start))
			start++;
	}
	source->trim = false;
	if (end + 2 < source->end && end[2] == '-')
	{
		while (stop > start && isspace((unsigned char) stop[-1]))
			stop--;
	}
	token.text = start;
	token.len = stop - start;
	return token;
}

/*
 * The output or tag that starts here.
 */
static LqToken
read_markup(LqSource *source)
{
	LqToken		token = {.line = source->line};
	bool		output = source->p[1] == '{';
	const char *start = source->p + 2;
	const char *stop;

	token.kind = output ? LQ_TOKEN_OUTPUT : LQ_TOKEN_TAG;
	for (stop = start; stop + 1 < source->end; stop++)
	{
		if (stop[0] == (output ? '}' : '%') && stop[1] == '}')
			break;
	}
	if (stop + 1 >= source->end)
		ma_liquid_syntax_error(source->line, "\"%s\" without \"%s\"",
							   output ? "{{" : "{%", output ? "}}" : "%}");

	source->line += count_lines(start, stop);
	source->p = stop + 2;
	if (start < stop && *start == '-')
		start++;
	source->trim = stop > start && stop[-1] == '-';
	if (source->trim)
		stop--;
	token.text = start;
	token.len = stop - start;
	if (!output)
		split_tag(&token);
	return token;
}

/*
 * Split the markup of a tag into its name and the rest. token->line becomes
 * that of the name.
 */
static void
split_tag(LqToken *token)
{
	const char *p = token->text;
	const char *end = p + token->len;

	while (p < end && isspace((unsigned char) *p))
	{
		if (*p == '\n')
			token->line++;
		p++;
	}
	token->name = p;
	if (p < end && *p == '#')
		p++;
	else
	{
		while (p < end && (isalnum((unsigned char) *p) || *p == '_'))
			p++;
	}
	token->namelen = p - token->name;
	token->text = p;
	token->len = end - p;
}

/*
 * The source up to and over the named end tag, as it stands: what raw and doc
 * do. The token is its text.
 */
LqToken
ma_liquid_verbatim(LqSource *source, const char *end_tag)
{
	const char *p = source->p;

	while ((p = find_piece(p, source->end)) < source->end)
	{
		LqSource at = *source;
		LqToken	 tag = {.kind = LQ_TOKEN_END};

		at.p = p;
		if (p[1] == '%' && is_closed(p, source->end))
			tag = read_markup(&at);
		if (tag.namelen == strlen(end_tag) &&
			strncmp(tag.name, end_tag, tag.namelen) == 0)
		{
			tag = read_text(source, p);
			read_markup(source);
			return tag;
		}
		p++;
	}
	ma_liquid_syntax_error(source->line, "tag without its \"%s\"", end_tag);
}

/*
 * Does the tag that starts here end somewhere?
 */
static bool
is_closed(const char *p, const char *end)
{
	for (; (p = memchr(p, '%', end - p)) != NULL; p++)
	{
		if (p + 1 < end && p[1] == '}')
			return true;
	}
	return false;
}

/*
 * How many line ends there are between two places.
 */
static int
count_lines(const char *from, const char *to)
{
	int n = 0;

	while (from < to && (from = memchr(from, '\n', to - from)) != NULL)
	{
		n++;
		from++;
	}
	return n;
}

/*
 * Raise a mistake in a template.
 */
void
ma_liquid_syntax_error(int line, const char *format, ...)
{
	StringInfoData message;

	initStringInfo(&message);
	for (;;)
	{
		va_list args;
		int		needed;

		va_start(args, format);
		needed = appendStringInfoVA(&message, format, args);
		va_end(args);
		if (needed == 0)
			break;
		enlargeStringInfo(&message, needed);
	}
	ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR),
					errmsg("syntax error in template: %s", message.data),
					errdetail("Line %d of the template.", line)));
}

/*
 * Start to read markup.
 */
void
ma_liquid_lex(LqLexer *lexer, const char *text, int len, int line)
{
	memset(lexer, 0, sizeof(LqLexer));
	lexer->p = text;
	lexer->end = text + len;
	lexer->line = line;
	lexer->text = text;
	ma_liquid_advance(lexer);
}

/*
 * Go to the next token of the markup.
 */
void
ma_liquid_advance(LqLexer *lexer)
{
	lexer->last = lexer->text + lexer->len;
	if (lexer->kind == LQ_LEX_STRING)
		lexer->last++;
	while (lexer->p < lexer->end && isspace((unsigned char) *lexer->p))
	{
		if (*lexer->p == '\n')
			lexer->line++;
		lexer->p++;
	}
	lexer->text = lexer->p;
	lexer->len = 0;
	if (lexer->p == lexer->end)
	{
		lexer->kind = LQ_LEX_END;
		return;
	}
	if (lex_number(lexer) || lex_name(lexer) || lex_string(lexer) ||
		lex_compare(lexer))
		return;
	if (strchr(".:,|[]()=", *lexer->p) == NULL || *lexer->p == '\0')
		ma_liquid_syntax_error(lexer->line, "unexpected character \"%.*s\"", 1,
							   lexer->p);

	lexer->kind = LQ_LEX_CHAR;
	lexer->len = 1;
	if (lexer->p[0] == '.' && lexer->p + 1 < lexer->end && lexer->p[1] == '.')
	{
		lexer->kind = LQ_LEX_DOTS;
		lexer->len = 2;
	}
	lexer->p += lexer->len;
}

/*
 * Read a number, if there is one: "1..5" is 1, then the dots.
 */
static bool
lex_number(LqLexer *lexer)
{
	const char *p = lexer->p;
	const char *end = lexer->end;

	if (*p == '-')
		p++;
	if (p == end || !isdigit((unsigned char) *p))
		return false;
	while (p < end && isdigit((unsigned char) *p))
		p++;
	if (p + 1 < end && *p == '.' && isdigit((unsigned char) p[1]))
	{
		p++;
		while (p < end && isdigit((unsigned char) *p))
			p++;
	}
	lexer->kind = LQ_LEX_NUMBER;
	lexer->len = p - lexer->p;
	lexer->p = p;
	return true;
}

/*
 * Read a name, if there is one: letters (any script), digits, _ and -, at the
 * end perhaps one question mark.
 */
static bool
lex_name(LqLexer *lexer)
{
	const char *p = lexer->p;
	const char *end = lexer->end;

	if (!isalpha((unsigned char) *p) && *p != '_' && !IS_HIGHBIT_SET(*p))
		return false;
	while (p < end && (isalnum((unsigned char) *p) || *p == '_' || *p == '-' ||
					   IS_HIGHBIT_SET(*p)))
		p++;
	if (p < end && *p == '?')
		p++;
	lexer->kind = LQ_LEX_NAME;
	lexer->len = p - lexer->p;
	lexer->p = p;
	return true;
}

/*
 * Read a string, if there is one. There are no escapes in it.
 */
static bool
lex_string(LqLexer *lexer)
{
	const char *start = lexer->p + 1;
	const char *stop;

	if (*lexer->p != '\'' && *lexer->p != '"')
		return false;
	stop = memchr(start, *lexer->p, lexer->end - start);
	if (stop == NULL)
		ma_liquid_syntax_error(lexer->line, "string without its closing %c",
							   *lexer->p);
	lexer->kind = LQ_LEX_STRING;
	lexer->text = start;
	lexer->len = stop - start;
	lexer->p = stop + 1;
	return true;
}

/*
 * Read a comparison operator, if there is one. (contains is a name.)
 */
static bool
lex_compare(LqLexer *lexer)
{
	static const struct
	{
		const char *text;
		LqOp		op;
	} operators[] = {{"==", LQ_OP_EQ}, {"!=", LQ_OP_NE}, {"<>", LQ_OP_NE},
					 {"<=", LQ_OP_LE}, {">=", LQ_OP_GE}, {"<", LQ_OP_LT},
					 {">", LQ_OP_GT}};

	for (int i = 0; i < lengthof(operators); i++)
	{
		int len = strlen(operators[i].text);

		if (lexer->end - lexer->p < len ||
			strncmp(lexer->p, operators[i].text, len) != 0)
			continue;
		lexer->kind = LQ_LEX_COMPARE;
		lexer->op = operators[i].op;
		lexer->len = len;
		lexer->p += len;
		return true;
	}
	return false;
}

/*
 * Is the token this character?
 */
bool
ma_liquid_is(const LqLexer *lexer, char c)
{
	return lexer->kind == LQ_LEX_CHAR && *lexer->text == c;
}

/*
 * Go over this character, if it is the token.
 */
bool
ma_liquid_accept(LqLexer *lexer, char c)
{
	if (!ma_liquid_is(lexer, c))
		return false;
	ma_liquid_advance(lexer);
	return true;
}

/*
 * Go over this character, which must be the token.
 */
void
ma_liquid_expect(LqLexer *lexer, char c)
{
	if (ma_liquid_accept(lexer, c))
		return;
	if (lexer->kind == LQ_LEX_END)
		ma_liquid_syntax_error(lexer->line, "expected \"%c\"", c);
	ma_liquid_syntax_error(lexer->line, "expected \"%c\", found \"%.*s\"", c,
						   lexer->len, lexer->text);
}

/*
 * Is the token this word?
 */
bool
ma_liquid_word(const LqLexer *lexer, const char *word)
{
	return lexer->kind == LQ_LEX_NAME && lexer->len == strlen(word) &&
		   strncmp(lexer->text, word, lexer->len) == 0;
}

/*
 * Go over this word, if it is the token.
 */
bool
ma_liquid_accept_word(LqLexer *lexer, const char *word)
{
	if (!ma_liquid_word(lexer, word))
		return false;
	ma_liquid_advance(lexer);
	return true;
}

/*
 * Complain unless all markup has been read.
 */
void
ma_liquid_expect_end(LqLexer *lexer)
{
	if (lexer->kind != LQ_LEX_END)
		ma_liquid_syntax_error(lexer->line, "unexpected \"%.*s\"", lexer->len,
							   lexer->text);
}
