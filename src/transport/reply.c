/*
 * reply.c
 *	  A server's reply, collected line by line.
 */
#include <string.h>

#include "reply.h"

/* Forgets what was said; the next line begins a new reply. */
void
reply_reset(Reply *reply)
{
	reply->code = 0;
	reply->lines = 0;
	reply->bytes = 0;
	reply->len = 0;
	reply->text[0] = '\0';
	reply->line_len = 0;
}

/* Was some of it heard, and not all? */
bool
reply_is_begun(const Reply *reply)
{
	return reply->code == 0 && (reply->lines > 0 || reply->line_len > 0);
}

/* The three digits a line begins with, or 0. */
static int
code_of(const char *line, size_t len)
{
	int code = 0;

	if (len < 3)
		return 0;
	for (int i = 0; i < 3; i++)
	{
		if (line[i] < '0' || line[i] > '9')
			return 0;
		code = code * 10 + (line[i] - '0');
	}
	return code;
}

/* Appends text, so that any encoding can hold it and no line can be forged. */
static void
add_text(Reply *reply, const char *text, size_t len)
{
	if (reply->len > 0 && reply->len < MA_TEXT_MAX)
		reply->text[reply->len++] = ' ';
	for (size_t i = 0; i < len && reply->len < MA_TEXT_MAX; i++)
		reply->text[reply->len++] =
			text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
	reply->text[reply->len] = '\0';
}

/*
 * Takes one line as it was read. False if the reply has become too long to be
 * one.
 */
bool
reply_add(Reply *reply, const char *line, size_t len)
{
	int code;

	if (reply->code != 0)
		reply_reset(reply);
	reply->lines++;
	reply->bytes += len;
	if (reply->lines > REPLY_LINES_MAX || reply->bytes > REPLY_BYTES_MAX)
		return false;
	while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r'))
		len--;
	code = code_of(line, len);
	if (code == 0)
		add_text(reply, line, len);
	else if (len > 4)
		add_text(reply, line + 4, len - 4);
	if (code != 0 && (len == 3 || line[3] == ' '))
		reply->code = code;
	return true;
}

/*
 * Takes bytes as they come, until a reply is whole; tells how many were taken.
 * What is behind the text that is kept of a line is only counted.
 */
ReplyState
reply_take(Reply *reply, const char *bytes, size_t len, size_t *taken)
{
	*taken = 0;
	while (*taken < len)
	{
		char c = bytes[(*taken)++];

		if (reply->code != 0)
			reply_reset(reply);
		if (reply->line_len < sizeof(reply->line))
			reply->line[reply->line_len++] = c;
		else
			reply->bytes++;
		if (reply->bytes + reply->line_len > REPLY_BYTES_MAX)
			return REPLY_ENDLESS;
		if (c != '\n')
			continue;
		if (!reply_add(reply, reply->line, reply->line_len))
			return REPLY_ENDLESS;
		reply->line_len = 0;
		if (reply->code != 0)
			return REPLY_WHOLE;
	}
	return REPLY_PART;
}
