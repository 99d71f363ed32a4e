/*
 * inbound_judge.c
 *	  What a mail that came back is.
 *
 * The order of the questions matters. Reports for machines (feedback,
 * delivery status) are certain. A bounce in prose comes before the automatic
 * replies, since bounces call themselves automatic, too. An automatic reply
 * is never a reply. Whether a reply is to one of our messages only the
 * database knows: here it has at most the look of a Message-ID of ours.
 */
#include "postgres.h"

#include "lib/stringinfo.h"

#include "inbound_bounce.h"
#include "inbound_judge.h"
#include "inbound_reason.h"
#include "inbound_text.h"

#define MAX_SUBJECT 200
#define MAX_REPLY	2000

static bool	 read_feedback(const MaMailTree *tree, MaInbound *mail);
static bool	 is_report(const MaMailTree *tree);
static void	 conclude(MaInbound *mail);
static bool	 is_bounce(const MaMailTree *tree, const char *subject);
static bool	 is_auto_reply(const MaMailTree *tree, const char *subject);
static bool	 is_bulk(const MaMailTree *tree);
static bool	 is_to_unsubscribe(const MaMailTree *tree);
static char *text_of(const MaMailTree *tree);
static char *charset_of(const MaMailPart *part);
static void	 strip_tags(char *html);
static char *without_returned(const char *text);
static char *without_quotes(const char *text);
static void	 read_returned(const MaMailTree *tree, MaInbound *mail);
static void	 read_header_references(const MaMailTree *tree, MaInbound *mail);

/* Judges a mail. */
void
ma_inbound_judge(MaSpan raw, MaInbound *mail)
{
	MaMailTree tree;
	char	  *subject;
	char	  *said;
	char	  *all;

	memset(mail, 0, sizeof(MaInbound));
	ma_inbound_read(raw, &tree);
	subject = ma_inbound_words(ma_inbound_header(tree.head, "Subject"));
	mail->subject = ma_inbound_safe(subject, MAX_SUBJECT);
	subject = ma_inbound_lower(subject);
	mail->sender = ma_inbound_address(ma_inbound_header(tree.head, "From"));
	all = text_of(&tree);
	said = without_returned(all);
	read_returned(&tree, mail);
	if (read_feedback(&tree, mail))
		return;
	if (is_report(&tree))
		ma_inbound_read_report(&tree, said, mail);
	if (mail->nrecipients == 0 && is_bounce(&tree, subject))
		ma_inbound_read_bounce(&tree, said, mail);
	if (mail->nrecipients > 0)
	{
		ma_inbound_find_references(mail, all);
		read_header_references(&tree, mail);
		conclude(mail);
		return;
	}
	read_header_references(&tree, mail);
	said = without_quotes(all);
	mail->text = ma_inbound_safe(said + strspn(said, "\n"), MAX_REPLY);
	/* what a click makes may call itself automatic */
	if (strncmp(subject, "unsubscribe", 11) == 0)
		mail->kind = MA_INBOUND_UNSUBSCRIBE;
	else if (is_auto_reply(&tree, subject) ||
			 (is_bulk(&tree) && mail->nreferences > 0))
		mail->kind = MA_INBOUND_AUTO_REPLY;
	else if (is_bulk(&tree))
		mail->kind = MA_INBOUND_OTHER;
	else if (is_to_unsubscribe(&tree) || ma_inbound_is_stop(mail->text))
		mail->kind = MA_INBOUND_UNSUBSCRIBE;
	else if (mail->nreferences > 0)
		mail->kind = MA_INBOUND_REPLY;
}

/*
 * Reads a feedback report (RFC 5965), or what Microsoft sends instead. One
 * that is no complaint (not-spam, a failed authentication) is nothing to us.
 */
static bool
read_feedback(const MaMailTree *tree, MaInbound *mail)
{
	const MaMailPart *part = ma_inbound_part(tree, "message/feedback-report");
	const MaMailPart *returned = ma_inbound_part(tree, "message/rfc822");
	MaInboundRecipient *recipient = &mail->recipients[0];
	char			   *text;
	MaSpan				fields;

	if (part != NULL)
	{
		text = ma_inbound_decode(part, MA_INBOUND_TEXT);
		ma_inbound_find_references(mail, text);
		fields.data = text;
		fields.len = strlen(text);
		text = ma_inbound_header(fields, "Feedback-Type");
		mail->feedback = ma_inbound_lower(
			ma_reason_plain(text == NULL ? "abuse" : text, 40));
		recipient->address =
			ma_inbound_address(ma_inbound_header(fields, "Original-Rcpt-To"));
	}
	else if (returned != NULL &&
			 (text = ma_inbound_header(ma_inbound_head(returned->body),
									   "X-HmXmrOriginalRecipient")) != NULL)
	{
		mail->feedback = "abuse";
		recipient->address = ma_inbound_address(text);
	}
	else
		return false;
	mail->nrecipients = recipient->address != NULL;
	recipient->reason = mail->feedback;
	mail->kind = strncmp(mail->feedback, "not-spam", 8) == 0 ||
						 strncmp(mail->feedback, "auth-failure", 12) == 0 ||
						 strncmp(mail->feedback, "dmarc", 5) == 0 ?
					 MA_INBOUND_OTHER :
					 MA_INBOUND_COMPLAINT;
	recipient->kind = mail->kind;
	return true;
}

/* Has the mail a part that reports delivery to machines? */
static bool
is_report(const MaMailTree *tree)
{
	return ma_inbound_part(tree, "message/delivery-status") != NULL ||
		   ma_inbound_part(tree, "message/global-delivery-status") != NULL;
}

/* What a report on several recipients is as a whole: its worst. */
static void
conclude(MaInbound *mail)
{
	mail->kind = mail->recipients[0].kind;
	for (int i = 0; i < mail->nrecipients; i++)
		mail->kind = Min(mail->kind, mail->recipients[i].kind);
}

/* Does the mail look like a bounce, by who sends it or what it is called? */
static bool
is_bounce(const MaMailTree *tree, const char *subject)
{
	static const char *const senders[] = {
		"mailer-daemon", "mailer_daemon",	"mail-daemon",	"postmaster@",
		"mdaemon@",		 "mail delivery s", "mailerdaemon", NULL};
	static const char *const subjects[] = {"undeliver",
										   "non-deliver",
										   "nondeliver",
										   "not deliver",
										   "delivery status notification",
										   "delivery fail",
										   "delivery error",
										   "delivery notification",
										   "delivery problem",
										   "failure delivery",
										   "delivery has failed",
										   "delivery report",
										   "delivery system",
										   "delivery unsuccessful",
										   "deliver mail",
										   "deliverable mail",
										   "returned mail",
										   "returned to sender",
										   "returned message",
										   "mail failure",
										   "failure notice",
										   "failed mail",
										   "mail system error",
										   "mail error",
										   "error mail",
										   "message delayed",
										   "unzustellbar",
										   "could not send",
										   "could not be delivered",
										   "unable to deliver",
										   NULL};
	char					*from = ma_inbound_header(tree->head, "From");

	return ma_inbound_header(tree->head, "X-Failed-Recipients") != NULL ||
		   (from != NULL &&
			ma_inbound_contains(ma_inbound_lower(from), senders)) ||
		   ma_inbound_contains(subject, subjects);
}

/* Does a machine answer (RFC 3834, and those that do not know it)? */
static bool
is_auto_reply(const MaMailTree *tree, const char *subject)
{
	static const char *const headers[] = {"X-Autoreply",	  "X-Autorespond",
										  "X-Autoresponder",  "X-Auto-Reply",
										  "X-AutoReply-From", NULL};
	static const char *const subjects[] = {"auto:",
										   "auto reply",
										   "auto-reply",
										   "auto response",
										   "auto-response",
										   "autoreply",
										   "autoresponse",
										   "automatic reply",
										   "automatische antwort",
										   "automatisch antwoord",
										   "automatiskt svar",
										   "automatisk svar",
										   "out of office",
										   "out of the office",
										   "out-of-office",
										   "ooo:",
										   "on vacation",
										   "vacation",
										   "away from my mail",
										   "abwesen",
										   "r\xc3\xa9ponse automatique",
										   "reponse automatique",
										   "absence du bureau",
										   "absent du bureau",
										   "respuesta autom",
										   "fuera de la oficina",
										   "risposta automatica",
										   "resposta autom",
										   "fora do escrit",
										   NULL};
	char *value = ma_inbound_header(tree->head, "Auto-Submitted");

	if (value != NULL && pg_strncasecmp(value, "auto-replied", 12) == 0)
		return true;
	value = ma_inbound_header(tree->head, "Precedence");
	if (value != NULL && pg_strncasecmp(value, "auto", 4) == 0)
		return true;
	for (int i = 0; headers[i] != NULL; i++)
		if ((value = ma_inbound_header(tree->head, headers[i])) != NULL &&
			pg_strcasecmp(value, "no") != 0)
			return true;
	return ma_inbound_starts(subject, subjects);
}

/* Does a machine write, though perhaps not as an answer? */
static bool
is_bulk(const MaMailTree *tree)
{
	static const char *const precedences[] = {"bulk", "junk", "list", NULL};
	char *value = ma_inbound_header(tree->head, "Auto-Submitted");

	if (value != NULL && pg_strncasecmp(value, "no", 2) != 0)
		return true;
	value = ma_inbound_header(tree->head, "Precedence");
	return (value != NULL &&
			ma_inbound_starts(ma_inbound_lower(value), precedences)) ||
		   strcmp(tree->type, "multipart/report") == 0;
}

/* Is it sent to an address as the mailto of List-Unsubscribe has it? */
static bool
is_to_unsubscribe(const MaMailTree *tree)
{
	char *to = ma_inbound_address(ma_inbound_header(tree->head, "To"));

	return to != NULL && pg_strncasecmp(to, "unsubscribe", 11) == 0;
}

/*
 * What the mail says to people: its texts, or its HTML without the tags, as
 * far as it is no returned message.
 */
static char *
text_of(const MaMailTree *tree)
{
	static const char *const types[] = {"text/plain", "text/html", "text"};
	StringInfoData			 text;

	initStringInfo(&text);
	for (int t = 0; t < lengthof(types) && text.len == 0; t++)
		for (int i = 0; i < tree->nparts && text.len < MA_INBOUND_TEXT; i++)
		{
			const MaMailPart *part = &tree->parts[i];
			char			 *decoded;

			if (strncmp(part->type, "message/", 8) == 0)
				break;
			if (strcmp(part->type, types[t]) != 0)
				continue;
			decoded = ma_inbound_decode(part, MA_INBOUND_TEXT - text.len);
			decoded = ma_inbound_convert(decoded, charset_of(part));
			if (t == 1)
				strip_tags(decoded);
			appendStringInfoString(&text, decoded);
		}
	return text.data;
}

/* The charset that a part says it has, NULL if none. */
static char *
charset_of(const MaMailPart *part)
{
	char *type = ma_inbound_header(part->head, "Content-Type");

	return type == NULL ? NULL : ma_inbound_parameter(type, "charset");
}

/* Blanks the tags of HTML, in place; good enough to look for words. */
static void
strip_tags(char *html)
{
	char *out = html;

	for (char *p = html; *p != '\0'; p++)
	{
		if (*p != '<')
			*out++ = *p;
		else
		{
			char *end = strchr(p, '>');

			if (pg_strncasecmp(p, "<br", 3) == 0 ||
				pg_strncasecmp(p, "<p", 2) == 0 ||
				pg_strncasecmp(p, "</", 2) == 0)
				*out++ = '\n';
			if (end == NULL)
				break;
			p = end;
		}
	}
	*out = '\0';
}

/* A text up to where a returned message begins in it. */
static char *
without_returned(const char *text)
{
	static const char *const marks[] = {"received:",
										"return-path:",
										"message-id:",
										"--- below this line",
										"---below this line",
										"------ this is a copy",
										"----- original",
										"--- original",
										"-----original",
										"--- the unsent",
										"----- unsent",
										"----- message header",
										"--- message header",
										"--- returned message",
										"original message follows",
										"original message headers",
										"headers of the original message",
										"---- begin",
										"here is your returned mail",
										NULL};
	const char				*line;

	for (line = text; *line != '\0';)
	{
		char start[40];
		Size len = strcspn(line, "\n");

		strlcpy(start, line + strspn(line, " \t"), sizeof(start));
		if (ma_inbound_starts(ma_inbound_lower(start), marks))
			break;
		line += len;
		line += *line != '\0';
	}
	return pnstrdup(text, line - text);
}

/* A text up to where it quotes what it answers to. */
static char *
without_quotes(const char *text)
{
	static const char *const marks[] = {">", "-----original message",
										"________________________________",
										"-- \n", NULL};
	const char				*line;

	for (line = text; *line != '\0';)
	{
		char start[40];
		Size len = strcspn(line, "\n");

		strlcpy(start, line, sizeof(start));
		if (ma_inbound_starts(ma_inbound_lower(start), marks))
			break;
		if (len > 7 && strncmp(line + len - 6, "wrote:", 6) == 0)
			break;
		line += len;
		line += *line != '\0';
	}
	return pnstrdup(text, line - text);
}

/* Looks for our Message-ID in the headers of a returned message. */
static void
read_returned(const MaMailTree *tree, MaInbound *mail)
{
	static const char *const types[] = {
		"message/rfc822", "text/rfc822-headers", "message/rfc822-headers",
		"message/global", "message/global-headers"};

	for (int t = 0; t < lengthof(types); t++)
	{
		const MaMailPart *part = ma_inbound_part(tree, types[t]);
		char			 *text;
		MaSpan			  span;

		if (part == NULL)
			continue;
		text = ma_inbound_decode(part, MA_INBOUND_TEXT);
		span.data = text;
		span.len = strlen(text);
		text = ma_inbound_header(ma_inbound_head(span), "Message-ID");
		if (text != NULL)
			ma_inbound_find_references(mail, text);
	}
}

/* Looks for our Message-IDs in what the mail answers to. */
static void
read_header_references(const MaMailTree *tree, MaInbound *mail)
{
	static const char *const names[] = {"In-Reply-To", "References",
										"X-MS-Exchange-Parent-Message-Id",
										"To", "Subject"};

	for (int i = 0; i < lengthof(names); i++)
	{
		char *value = ma_inbound_header(tree->head, names[i]);

		if (value != NULL)
			ma_inbound_find_references(mail, value);
	}
}
