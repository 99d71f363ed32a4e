/*
 * inbound_mail.c
 *	  Reads the structure of a mail that may hold anything.
 *
 * Bytes from strangers: every rule of MIME may be broken, by mistake or on
 * purpose. The mail is gone through once, line by line, with the boundaries
 * that are open on a stack of fixed depth, so the cost is linear whatever is
 * nested in what and nothing recurses. What is deeper is left as it is; more
 * than so many parts are not looked for. Nothing here raises an error.
 *
 * A part is only found, not copied; who wants to read one decodes so much of
 * it as it needs. A returned message is one part, its own parts are not told
 * apart. Line ends may be CRLF, LF or, where there is no LF at all, CR.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "miscadmin.h"

#include "inbound_mail.h"
#include "inbound_text.h"

#define MAX_DEPTH	 16
#define MAX_PARTS	 200
#define MAX_OPENED	 1000		 /* parts, those made of parts included */
#define MAX_HEAD	 (64 * 1024) /* of headers, per part */
#define MAX_HEADER	 (8 * 1024)	 /* of one header, unfolded */
#define MAX_BOUNDARY 200

/* Where in a mail we are. */
typedef struct Lines
{
	const char *pos;
	const char *end;
	char		eol; /* what ends a line: LF or CR */
	int			count;
} Lines;

/* What the lines now are. */
typedef enum Region
{
	REGION_HEAD, /* headers of a part */
	REGION_BODY, /* a part that is no multipart */
	REGION_NONE	 /* before the first or after the last boundary */
} Region;

/* A mail being read. */
typedef struct Reader
{
	Lines		lines;
	MaMailTree *tree;
	Region		region;
	MaMailPart	part; /* the one we are in */
	char	   *boundaries[MAX_DEPTH];
	Size		lengths[MAX_DEPTH];
	int			depth;
	int			opened;
} Reader;

static void start_lines(Lines *lines, MaSpan raw);
static bool next_line(Lines *lines, MaSpan *line);
static bool is_header_line(MaSpan line);
static int	boundary_of(const Reader *reader, MaSpan line, bool *last);
static void start_part(Reader *reader, const char *start);
static void end_head(Reader *reader, const char *end, const char *body);
static void end_part(Reader *reader, const char *end);
static void read_type(MaSpan head, char *type, Size size, char **header);
static char read_encoding(MaSpan head);
static void decode_quoted(StringInfo out, MaSpan body, Size max);
static void decode_base64(StringInfo out, MaSpan body, Size max);
static int	hex_digit(char c);
static void decode_word(StringInfo out, MaSpan word);
static void copy_lines(StringInfo out, MaSpan body, Size max);
static void clean(StringInfo out);

/* Finds the parts of a mail. The spans point into raw. */
void
ma_inbound_read(MaSpan raw, MaMailTree *tree)
{
	Reader reader = {.tree = tree};
	MaSpan line;
	bool   last;
	int	   level;

	memset(tree, 0, sizeof(MaMailTree));
	start_lines(&reader.lines, raw);
	tree->parts = palloc(sizeof(MaMailPart) * MAX_PARTS);
	start_part(&reader, reader.lines.pos);
	while (tree->nparts < MAX_PARTS && reader.opened <= MAX_OPENED &&
		   next_line(&reader.lines, &line))
	{
		if ((level = boundary_of(&reader, line, &last)) >= 0)
		{
			end_part(&reader, line.data);
			reader.depth = last ? level : level + 1;
			if (last)
				reader.region = REGION_NONE;
			else
				start_part(&reader, reader.lines.pos);
		}
		else if (reader.region != REGION_HEAD)
			continue;
		else if (line.len == 0)
			end_head(&reader, line.data, reader.lines.pos);
		else if (!is_header_line(line))
			end_head(&reader, line.data, line.data);
	}
	end_part(&reader, reader.lines.end);
	if (tree->nparts == 0 && tree->body.len > 0)
	{
		/* said to be a multipart, but its boundary never came */
		memset(&tree->parts[0], 0, sizeof(MaMailPart));
		strlcpy(tree->parts[0].type, "text/plain", sizeof(tree->parts->type));
		tree->parts[0].body = tree->body;
		tree->nparts = 1;
	}
}

/* The headers a message starts with. */
MaSpan
ma_inbound_head(MaSpan raw)
{
	MaSpan head = {raw.data, 0};
	MaSpan line;
	Lines  lines;

	start_lines(&lines, raw);
	head.data = lines.pos;
	while (next_line(&lines, &line) && line.len > 0 && is_header_line(line))
		head.len = lines.pos - head.data;
	return head;
}

/* Prepares for reading lines; what is no part of the mail is skipped. */
static void
start_lines(Lines *lines, MaSpan raw)
{
	static const char mark[] = "\xEF\xBB\xBF";

	lines->pos = raw.data;
	lines->end = raw.data + raw.len;
	lines->count = 0;
	if (raw.len >= 3 && memcmp(raw.data, mark, 3) == 0)
		lines->pos += 3;
	while (lines->pos < lines->end && strchr("\r\n", *lines->pos) != NULL &&
		   *lines->pos != '\0')
		lines->pos++;
	lines->eol =
		memchr(lines->pos, '\n', lines->end - lines->pos) ? '\n' : '\r';
	/* the line with which a mailbox file separates mails */
	if (lines->end - lines->pos > 5 && memcmp(lines->pos, "From ", 5) == 0)
	{
		MaSpan line;

		(void) next_line(lines, &line);
	}
}

/* The next line, without its end; false after the last. */
static bool
next_line(Lines *lines, MaSpan *line)
{
	const char *end;

	if (lines->pos >= lines->end)
		return false;
	if (++lines->count % 10000 == 0)
		CHECK_FOR_INTERRUPTS();
	end = memchr(lines->pos, lines->eol, lines->end - lines->pos);
	line->data = lines->pos;
	lines->pos = end == NULL ? lines->end : end + 1;
	if (end == NULL)
		end = lines->end;
	while (end > line->data && end[-1] == '\r')
		end--;
	line->len = end - line->data;
	return true;
}

/* Can this line stand in headers: "Name: value" or a continuation? */
static bool
is_header_line(MaSpan line)
{
	const char *colon;

	if (line.data[0] == ' ' || line.data[0] == '\t')
		return true;
	colon = memchr(line.data, ':', Min(line.len, 200));
	if (colon == NULL || colon == line.data)
		return false;
	for (const char *p = line.data; p < colon; p++)
		if ((unsigned char) *p <= ' ' && !(*p == ' ' && p + 1 == colon))
			return false;
	return true;
}

/*
 * The level of the boundary this line is, -1 if it is none; the innermost
 * first. last: it ends the multipart.
 */
static int
boundary_of(const Reader *reader, MaSpan line, bool *last)
{
	Size len = line.len;

	if (reader->depth == 0 || len < 3 || line.data[0] != '-' ||
		line.data[1] != '-')
		return -1;
	while (len > 2 &&
		   (line.data[len - 1] == ' ' || line.data[len - 1] == '\t'))
		len--;
	len -= 2;
	for (int i = reader->depth - 1; i >= 0; i--)
	{
		Size own = reader->lengths[i];

		if (len < own || len > own + 2 ||
			memcmp(line.data + 2, reader->boundaries[i], own) != 0)
			continue;
		*last = len == own + 2;
		if (len == own ||
			(*last && line.data[own + 2] == '-' && line.data[own + 3] == '-'))
			return i;
	}
	return -1;
}

/* Begins a part with its headers. */
static void
start_part(Reader *reader, const char *start)
{
	memset(&reader->part, 0, sizeof(MaMailPart));
	reader->part.head.data = start;
	reader->region = REGION_HEAD;
	reader->opened++;
}

/* Ends the headers of a part: now its body comes, or parts of its own. */
static void
end_head(Reader *reader, const char *end, const char *body)
{
	MaMailPart *part = &reader->part;
	char	   *header;
	char	   *boundary = NULL;

	part->head.len = Min(end - part->head.data, MAX_HEAD);
	part->body.data = body;
	read_type(part->head, part->type, sizeof(part->type), &header);
	part->encoding = read_encoding(part->head);
	if (reader->tree->body.data == NULL)
	{
		reader->tree->head = part->head;
		reader->tree->body.data = body;
		reader->tree->body.len = reader->lines.end - body;
		strlcpy(reader->tree->type, part->type, sizeof(reader->tree->type));
	}
	reader->region = REGION_BODY;
	if (strncmp(part->type, "multipart/", 10) == 0 &&
		reader->depth < MAX_DEPTH)
		boundary = ma_inbound_parameter(header, "boundary");
	if (boundary == NULL || *boundary == '\0' ||
		strlen(boundary) > MAX_BOUNDARY)
		return;
	reader->boundaries[reader->depth] = boundary;
	reader->lengths[reader->depth++] = strlen(boundary);
	reader->region = REGION_NONE;
}

/* Ends a part; end is where the boundary or nothing follows. */
static void
end_part(Reader *reader, const char *end)
{
	if (reader->region == REGION_HEAD)
		end_head(reader, end, end);
	if (reader->region != REGION_BODY || reader->tree->nparts == MAX_PARTS)
		return;
	reader->part.body.len = end - reader->part.body.data;
	reader->tree->parts[reader->tree->nparts++] = reader->part;
	reader->region = REGION_NONE;
}

/* Reads a content type: text/plain if there is none. */
static void
read_type(MaSpan head, char *type, Size size, char **header)
{
	Size len = 0;

	*header = ma_inbound_header(head, "Content-Type");
	if (*header != NULL)
		for (const char *p = *header; *p != '\0' && *p != ';'; p++)
			if ((unsigned char) *p > ' ' && len + 1 < size)
				type[len++] = pg_ascii_tolower((unsigned char) *p);
	type[len] = '\0';
	if (len == 0)
		strlcpy(type, "text/plain", size);
}

/* How a part is encoded. */
static char
read_encoding(MaSpan head)
{
	char *value = ma_inbound_header(head, "Content-Transfer-Encoding");

	if (value == NULL)
		return 0;
	if (pg_strncasecmp(value, "quoted-printable", 16) == 0)
		return 'q';
	if (pg_strncasecmp(value, "base64", 6) == 0)
		return 'b';
	return 0;
}

/* The value of the first header of a name, unfolded; NULL if there is none. */
char *
ma_inbound_header(MaSpan head, const char *name)
{
	Size		   len = strlen(name);
	Lines		   lines = {head.data, head.data + head.len};
	bool		   found = false;
	StringInfoData value;
	MaSpan		   line;

	if (head.len == 0)
		return NULL;
	lines.eol = memchr(head.data, '\n', head.len) ? '\n' : '\r';
	while (next_line(&lines, &line))
	{
		bool more = line.len > 0 && (*line.data == ' ' || *line.data == '\t');

		if (found && !more)
			break;
		if (!found)
		{
			Size at = len;

			if (more || line.len <= len ||
				pg_strncasecmp(line.data, name, len) != 0)
				continue;
			while (at < line.len && line.data[at] == ' ')
				at++;
			if (at == line.len || line.data[at] != ':')
				continue;
			found = true;
			initStringInfo(&value);
			line.data += at + 1;
			line.len -= at + 1;
		}
		while (line.len > 0 && (*line.data == ' ' || *line.data == '\t'))
			line.data++, line.len--;
		if (value.len > 0 && value.len < MAX_HEADER)
			appendStringInfoChar(&value, ' ');
		appendBinaryStringInfo(&value, line.data,
							   Min(line.len, MAX_HEADER - value.len));
	}
	if (!found)
		return NULL;
	clean(&value);
	return value.data;
}

/* A parameter of a structured header, unquoted; NULL if there is none. */
char *
ma_inbound_parameter(const char *header, const char *name)
{
	Size len = strlen(name);

	for (const char *p = strchr(header, ';'); p != NULL; p = strchr(p, ';'))
	{
		StringInfoData value;

		p++;
		p += strspn(p, " \t");
		if (pg_strncasecmp(p, name, len) != 0)
			continue;
		p += len;
		p += strspn(p, " \t");
		if (*p++ != '=')
			continue;
		p += strspn(p, " \t");
		initStringInfo(&value);
		if (*p == '"')
			for (p++; *p != '\0' && *p != '"'; p++)
			{
				if (*p == '\\' && p[1] != '\0')
					p++;
				appendStringInfoChar(&value, *p);
			}
		else
			appendBinaryStringInfo(&value, p, strcspn(p, "; \t"));
		return value.data;
	}
	return NULL;
}

/*
 * A header with its encoded words (RFC 2047) decoded, in whatever charset
 * where we do not know theirs; NULL is an empty one.
 */
char *
ma_inbound_words(const char *header)
{
	StringInfoData out;
	StringInfoData text;
	char		  *charset;
	bool		   glue = false;

	initStringInfo(&out);
	initStringInfo(&text);
	for (const char *p = header; p != NULL && *p != '\0';)
	{
		const char *code =
			strncmp(p, "=?", 2) == 0 ? strchr(p + 2, '?') : NULL;
		const char *end = code != NULL && code[1] != '\0' && code[2] == '?' ?
							  strstr(code + 3, "?=") :
							  NULL;
		MaSpan		word;

		if (end == NULL)
		{
			/* white space between two encoded words means nothing */
			if (!glue || strncmp(p + strspn(p, " "), "=?", 2) != 0)
				appendStringInfoChar(&out, *p);
			glue = glue && *p == ' ';
			p++;
			continue;
		}
		word.data = code + 3;
		word.len = end - word.data;
		resetStringInfo(&text);
		if (pg_ascii_tolower((unsigned char) code[1]) == 'b')
			decode_base64(&text, word, MAX_HEADER);
		else
			decode_word(&text, word);
		clean(&text);
		/* the charset may be followed by a language (RFC 2231) */
		charset = pnstrdup(p + 2, strcspn(p + 2, "?*"));
		appendStringInfoString(&out, ma_inbound_convert(text.data, charset));
		glue = true;
		p = end + 2;
	}
	clean(&out);
	return out.data;
}

/* Decodes the Q encoding of a word. */
static void
decode_word(StringInfo out, MaSpan word)
{
	for (Size i = 0; i < word.len; i++)
	{
		char c = word.data[i];

		if (c == '=' && i + 2 < word.len && hex_digit(word.data[i + 1]) >= 0 &&
			hex_digit(word.data[i + 2]) >= 0)
		{
			appendStringInfoChar(out, hex_digit(word.data[i + 1]) * 16 +
										  hex_digit(word.data[i + 2]));
			i += 2;
		}
		else
			appendStringInfoChar(out, c == '_' ? ' ' : c);
	}
}

/* The first part of a type, NULL if there is none. */
const MaMailPart *
ma_inbound_part(const MaMailTree *tree, const char *type)
{
	for (int i = 0; i < tree->nparts; i++)
		if (strcmp(tree->parts[i].type, type) == 0)
			return &tree->parts[i];
	return NULL;
}

/*
 * The beginning of a part, decoded: at most max bytes, lines end with LF. The
 * bytes may be of any encoding, but there is no NUL among them.
 */
char *
ma_inbound_decode(const MaMailPart *part, Size max)
{
	StringInfoData out;

	initStringInfo(&out);
	if (part->encoding == 'q')
		decode_quoted(&out, part->body, max);
	else if (part->encoding == 'b')
		decode_base64(&out, part->body, max);
	else
		copy_lines(&out, part->body, max);
	clean(&out);
	return out.data;
}

/* The value of a hexadecimal digit, -1 if it is none. */
static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = pg_ascii_tolower((unsigned char) c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes quoted-printable; what is none stays as it is. */
static void
decode_quoted(StringInfo out, MaSpan body, Size max)
{
	Lines  lines;
	MaSpan line;

	start_lines(&lines, body);
	while (out->len < max && next_line(&lines, &line))
	{
		bool soft = false;

		while (line.len > 0 && (line.data[line.len - 1] == ' ' ||
								line.data[line.len - 1] == '\t'))
			line.len--;
		for (Size i = 0; i < line.len && out->len < max; i++)
		{
			char c = line.data[i];

			if (c == '=' && i + 1 == line.len)
				soft = true;
			else if (c == '=' && i + 2 < line.len &&
					 hex_digit(line.data[i + 1]) >= 0 &&
					 hex_digit(line.data[i + 2]) >= 0)
			{
				appendStringInfoChar(out, hex_digit(line.data[i + 1]) * 16 +
											  hex_digit(line.data[i + 2]));
				i += 2;
			}
			else
				appendStringInfoChar(out, c);
		}
		if (!soft)
			appendStringInfoChar(out, '\n');
	}
}

/* Decodes base64; characters that are none are skipped. */
static void
decode_base64(StringInfo out, MaSpan body, Size max)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
								 "abcdefghijklmnopqrstuvwxyz0123456789+/";
	uint32			  bits = 0;
	int				  have = 0;

	for (Size i = 0; i < body.len && out->len < max; i++)
	{
		const char *digit;

		if (body.data[i] == '=')
			break;
		digit = body.data[i] ? strchr(digits, body.data[i]) : NULL;
		if (digit == NULL)
			continue;
		bits = (bits << 6 | (uint32) (digit - digits)) & 0xFFFFFF;
		have += 6;
		if (have >= 8)
		{
			char c = (char) (bits >> (have - 8) & 0xFF);

			have -= 8;
			if (c != '\r')
				appendStringInfoChar(out, c);
		}
	}
}

/* Copies text with its line ends made LF. */
static void
copy_lines(StringInfo out, MaSpan body, Size max)
{
	Lines  lines;
	MaSpan line;

	start_lines(&lines, body);
	while (out->len < max && next_line(&lines, &line))
	{
		appendBinaryStringInfo(out, line.data, Min(line.len, max - out->len));
		appendStringInfoChar(out, '\n');
	}
}

/* Takes the NULs out, with which a C string would end too early. */
static void
clean(StringInfo out)
{
	for (int i = 0; i < out->len; i++)
		if (out->data[i] == '\0')
			out->data[i] = ' ';
}
