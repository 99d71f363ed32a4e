/*
 * predicate_hint.c
 *	  What may have been meant where a text is no expression.
 *
 * The grammar tells where it stopped, not what to write instead. The mistakes
 * that people make are few, and are known by the words around that place: a
 * parenthesis, an operator of another language, quotes of a word processor.
 * Where none of them is recognised nothing is said.
 *
 * The tokens are found here, roughly: PostgreSQL's scanner raises errors of
 * its own, and this runs while one is raised.
 */
#include "postgres.h"

#include <ctype.h>

#include "mb/pg_wchar.h"

#include "predicate_private.h"

/* So many words before the place are looked at. */
#define WORDS_MAX 4

/* Longer words are not repeated in a hint. */
#define WORD_SHOWN 40

/* A text up to the place of an error. */
typedef struct Place
{
	const char *text;
	const char *next;			  /* the place */
	const char *words[WORDS_MAX]; /* before it, the last first; "" for none */
	int			opened;			  /* parentheses not closed */
	const char *open;			  /* the last of them */
	int			cases;			  /* case without end */
	bool		compared;		  /* <, =, > since the last and, or, ( */
	bool		joined;			  /* || since then */
} Place;

/* What operators of other languages are here. */
static const char *const foreign[][2] = {
	{"===", "="}, {"!==", "<>"}, {"==", "="},  {"=<", "<="},
	{"=!", "<>"}, {"&&", "and"}, {"||", "or"}, {"!", "not"},
};

/* Signs that are no operators and no quotes, but look so. */
static const char *const signs[][2] = {
	{"\xe2\x89\xa5", "Write \">=\"."},
	{"\xe2\x89\xa4", "Write \"<=\"."},
	{"\xe2\x89\xa0", "Write \"<>\"."},
	{"\xe2\x80\x98", NULL}, /* quotes of word processors */
	{"\xe2\x80\x99", NULL},
	{"\xe2\x80\x9a", NULL},
	{"\xe2\x80\x9c", NULL},
	{"\xe2\x80\x9d", NULL},
	{"\xe2\x80\x9e", NULL},
	{"\xc2\xab", NULL},
	{"\xc2\xbb", NULL},
	{"\xc2\xb4", NULL},
	{"`", NULL},
};

/* A word as it is shown in a hint. */
static const char *
shown(const char *word)
{
	return pnstrdup(word, pg_mbcliplen(word, strlen(word), WORD_SHOWN));
}

/* What an interval is counted in. */
static const char *const units[] = {
	"second", "seconds", "minute", "minutes", "hour", "hours", "day", "days",
	"week",	  "weeks",	 "month",  "months",  "year", "years", NULL};

/* Is a word one of these, in capitals or not? */
static bool
is_one_of(const char *word, const char *const *of)
{
	for (; *of != NULL; of++)
		if (pg_strcasecmp(word, *of) == 0)
			return true;
	return false;
}

static bool
is(const char *word, const char *other)
{
	return pg_strcasecmp(word, other) == 0;
}

static bool
is_name_start(char c)
{
	return c == '_' || IS_HIGHBIT_SET(c) || isalpha((unsigned char) c);
}

/* Behind a quoted text; at its end if it is not closed. */
static const char *
skip_quoted(const char *c)
{
	char quote = *c;

	for (c++; *c != '\0'; c++)
		if (*c == quote && *++c != quote)
			return c;
	return c;
}

/* Behind a comment that begins here; where it is none, here. */
static const char *
skip_comment(const char *c)
{
	const char *end;

	if (strncmp(c, "--", 2) == 0)
		return c + strcspn(c, "\n");
	if (strncmp(c, "/*", 2) != 0)
		return c;
	end = strstr(c, "*/");
	return end != NULL ? end + 2 : c + strlen(c);
}

/* Behind $tag$ ... $tag$; where it is none, here. */
static const char *
skip_dollars(const char *c)
{
	size_t		len = 1;
	const char *end;
	char	   *tag;

	while (c[len] == '_' || IS_HIGHBIT_SET(c[len]) ||
		   isalnum((unsigned char) c[len]))
		len++;
	if (c[len] != '$')
		return c;
	tag = pnstrdup(c, len + 1);
	end = strstr(c + len + 1, tag);
	return end != NULL ? end + len + 1 : c + strlen(c);
}

/* Behind the token that begins here. */
static const char *
skip_token(const char *c)
{
	static const char *const operators = "~!@#^&|`?+-*/%<>=";
	const char				*end;

	if (*c == '\'' || *c == '"')
		return skip_quoted(c);
	if (*c == '$' && (end = skip_dollars(c)) != c)
		return end;
	if (is_name_start(*c) || isdigit((unsigned char) *c))
	{
		bool number = !is_name_start(*c);

		while (is_name_start(*c) || isdigit((unsigned char) *c) || *c == '$' ||
			   (number && *c == '.'))
			c++;
		return c;
	}
	end = c + strspn(c, operators);
	return end > c ? end : c + 1;
}

/* The next token behind blanks and comments. */
static const char *
skip_blanks(const char *c)
{
	const char *end;

	for (;;)
	{
		c += strspn(c, " \t\r\n\f\v");
		end = skip_comment(c);
		if (end == c)
			return c;
		c = end;
	}
}

/* The token at a place, "" at the end. */
static const char *
token_at(const char *c)
{
	return *c == '\0' ? "" : pnstrdup(c, skip_token(c) - c);
}

/* Takes a token before the place into account. */
static void
pass_token(Place *place, const char *c, const char *word)
{
	static const char *const ends[] = {"and", "or", "not", ",",
									   "(",	  ")",	NULL};
	static const char *const comparisons[] = {"<",	"<=", "=", "<>",
											  "!=", ">=", ">", NULL};

	if (is_one_of(word, ends))
		place->compared = place->joined = false;
	else if (is_one_of(word, comparisons))
		place->compared = true;
	else if (is(word, "||"))
		place->joined = true;
	if (is(word, "("))
	{
		place->opened++;
		place->open = c;
	}
	else if (is(word, ")"))
		place->opened--;
	else if (is(word, "case"))
		place->cases++;
	else if (is(word, "end"))
		place->cases--;
	memmove(&place->words[1], &place->words[0],
			(WORDS_MAX - 1) * sizeof(const char *));
	place->words[0] = word;
}

/* Reads a text up to a place. */
static Place
read_place(const char *text, const char *next)
{
	Place		place = {.text = text, .next = next};
	const char *c = skip_blanks(text);

	for (int i = 0; i < WORDS_MAX; i++)
		place.words[i] = "";
	while (c < next)
	{
		const char *end = skip_token(c);

		pass_token(&place, c, pnstrdup(c, Min(end, next) - c));
		c = skip_blanks(end);
	}
	return place;
}

/* A hint about a sign outside of quotes up to the end of the next token. */
static const char *
hint_of_signs(const Place *place)
{
	for (const char *c = skip_blanks(place->text);
		 *c != '\0' && c <= place->next; c = skip_blanks(skip_token(c)))
	{
		const char *token = token_at(c);

		for (int i = 0; i < lengthof(signs); i++)
			if (*c != '\'' && *c != '"' && strstr(token, signs[i][0]))
				return signs[i][1] ? signs[i][1] :
									 "Text stands in straight single quotes: "
									 "'FR'.";
	}
	return NULL;
}

/* A hint about parentheses, case and quotes. */
static const char *
hint_of_brackets(const Place *place, const char *next)
{
	bool unclosed = next[0] == '\'' || next[0] == '"';

	unclosed = unclosed && skip_quoted(place->next)[-1] != next[0];
	if (strlen(next) == 1 && (next[0] == '\'' || next[0] == '"'))
		unclosed = true;
	if (unclosed && next[0] == '\'')
		return "A ' within text is written twice: 'it''s'.";
	if (unclosed)
		return "The quote is not closed; text stands in single quotes: 'FR'.";
	if (is(next, ")") && place->opened <= 0)
		return "There is no \"(\" for this \")\".";
	if (is(next, "{") || is(next, "}"))
		return "Names stand without braces.";
	if (is(next, ";"))
		return "Write one expression, without a semicolon.";
	if (*next != '\0')
		return NULL;
	if (place->cases > 0)
		return "Write case when <condition> then <value> else <value> end.";
	if (place->opened > 0 && *token_at(skip_blanks(place->open + 1)) == '\0')
		return "There is nothing after \"(\".";
	if (place->opened > 0)
		return psprintf("The \"(\" before \"%s\" is not closed.",
						shown(token_at(skip_blanks(place->open + 1))));
	return NULL;
}

/* A hint about the arguments of a call. */
static const char *
hint_of_arguments(const Place *place, const char *next)
{
	static const char *const names[] = {"within", "since", "until", NULL};
	const char				*last = place->words[0];

	if (is(next, "=>"))
		return "Write \">=\"; \"=>\" gives an argument by its name: within "
			   "=> '30 days'.";
	if (is_one_of(next, names))
		return "Write a comma before it: count('<kind>', within => '30 "
			   "days').";
	if ((is(next, ":") || is(next, ":=")) && is_one_of(last, names))
		return "Write within => '30 days'.";
	if ((is(next, "where") && is(last, "filter")) ||
		(is(last, "(") && is(place->words[1], "filter")))
		return "Write filter (where event.<property> ...).";
	if (is(next, ".") && last[0] == '\'')
		return "Write the property as another argument: sum('<kind>', "
			   "'<property>').";
	return NULL;
}

/* A hint about the name before the place, which is none there. */
static const char *
hint_of_name(const Place *place)
{
	static const char *const joints[] = {"and", "or", "not", NULL};
	const char				*name = shown(place->words[0]);
	const char				*before = place->words[1];

	if (*before == '\0' || strchr("(,<>=+-*/", *before) != NULL ||
		is_one_of(before, joints))
		return psprintf("\"%s\" is a word of SQL; a name like it stands in "
						"double quotes.",
						name);
	return psprintf("There is no operator before \"%s\"; a name with a blank "
					"stands in double quotes.",
					name);
}

/* A hint about a value that stands where it cannot. */
static const char *
hint_of_values(const Place *place, const char *next)
{
	const char *last = place->words[0];

	if (is_one_of(next, units) && isdigit((unsigned char) last[0]))
		return psprintf("Write an interval in quotes: '%s %s'.", shown(last),
						next);
	if (is(last, "interval"))
		return "Write an interval in quotes: '30 days'.";
	if (is(last, "in") && *next != '\0')
		return "Write in ('a', 'b').";
	if (is(last, "is") || (is(last, "not") && is(place->words[1], "is")))
		return "Write = or <>; \"is\" stands before null, true, false and "
			   "distinct from.";
	if (is(last, ".") ||
		(is(next, ".") && isdigit((unsigned char) place->next[1])))
		return "Write the name behind the point; one with other signs than "
			   "letters, digits and _ stands in double quotes: \"x y\".";
	if (is(next, ".") && is_name_start(last[0]))
		return hint_of_name(place);
	if (is(next, "%") || (next[0] == '%' && is(last, "like")))
		return "Text stands in single quotes: like 'F%'.";
	if (is(next, ":") || is(next, "@") || is(next, "$"))
		return "Names are written without signs before them.";
	return NULL;
}

/* A hint about operators and what they join. */
static const char *
hint_of_operators(const Place *place, const char *next)
{
	static const char *const joints[] = {"and", "or", "not", NULL};
	static const char *const comparisons[] = {"<",	"<=", "=", "<>",
											  "!=", ">=", ">", NULL};
	const char				*last = place->words[0];
	bool					 again = is_one_of(next, comparisons);

	if (is(next, "select") || is(next, "from") || is(next, "where"))
		return "Write a condition only, without select, from and where.";
	if (is_one_of(last, comparisons) &&
		(*next == '\0' || is(next, ")") || again || is_one_of(next, joints)))
		return psprintf("There is nothing to compare with after \"%s\".",
						last);
	if (again && place->joined)
		return "Conditions are joined by \"or\"; \"||\" joins texts.";
	if (again && (place->compared || is(last, "and") || is(last, "or")))
		return "Write each comparison with both sides: x > 3 and x < 5.";
	if (is(place->words[1], "between") || is(place->words[2], "between"))
		return "Write between 3 and 5.";
	if (is_one_of(last, joints) &&
		(*next == '\0' || is(next, ")") || is(next, "and") || is(next, "or")))
		return psprintf("There is no condition after \"%s\".", last);
	if ((*last == '\0' || is(last, "(")) && is_one_of(next, joints))
		return psprintf("There is no condition before \"%s\".", next);
	if ((next[0] == '\'' || isdigit((unsigned char) next[0])) &&
		is_name_start(last[0]) && !is(place->words[1], "."))
		return psprintf("\"%s\" is no operator: write =, <>, <, >, like or "
						"in, for example.",
						shown(last));
	if (again && is_name_start(last[0]) && !is(place->words[1], "."))
		return hint_of_name(place);
	return NULL;
}

/*
 * What to write instead, where the grammar stopped at a place in a text; NULL
 * where that cannot be told. Raises no error.
 */
const char *
ma_hint_syntax(const char *text, const char *at)
{
	static const char *(*const hints[])(const Place *, const char *) = {
		hint_of_arguments, hint_of_brackets, hint_of_values,
		hint_of_operators};
	Place		place = read_place(text, at);
	const char *next = token_at(at);
	const char *hint = hint_of_signs(&place);

	for (int i = 0; hint == NULL && i < lengthof(hints); i++)
		hint = hints[i](&place, next);
	return hint;
}

/* What to write instead of a name that nothing has; NULL: nobody knows. */
const char *
ma_hint_name(const char *name)
{
	static const char *const present[] = {"now",	 "today",	"current_time",
										  "sysdate", "getdate", NULL};
	Place					 place = {.text = name, .next = name};

	if (is_one_of(name, present))
		return "The present is now(), which a time is compared with.";
	return hint_of_signs(&place);
}

/* What the operator at a place is called here; NULL: it is none of others. */
const char *
ma_hint_operator(const char *at)
{
	const char *operator= token_at(at);

	for (int i = 0; i < lengthof(foreign); i++)
		if (is(operator, foreign[i][0]))
			return foreign[i][1];
	return NULL;
}

/* What to write where a value has become the name of what is before it. */
const char *
ma_hint_alias(const char *name)
{
	static const char *const joints[] = {"and", "or", "not", NULL};

	if (is_one_of(name, joints))
		return psprintf("There is no condition after \"%s\".", name);
	if (is_one_of(name, units))
		return psprintf("Write an interval in quotes: '30 %s'.", name);
	return psprintf("\"%s\" is read as its name: join conditions with and, "
					"or or.",
					name);
}
