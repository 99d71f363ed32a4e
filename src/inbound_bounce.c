/*
 * inbound_bounce.c
 *	  What a bounce says of its recipients.
 *
 * A report (RFC 3464) has a part for machines, with a block of fields for
 * each recipient. Other bounces are texts for people; most name an address at
 * the beginning of a line and say after it what happened to it.
 */
#include "postgres.h"

#include "inbound_bounce.h"
#include "inbound_reason.h"
#include "inbound_text.h"

#define MAX_DETAIL 500		  /* of what a server said, kept */
#define MAX_ABOUT  (4 * 1024) /* of a text about one recipient, read */

static MaInboundRecipient *add_recipient(MaInbound *mail);
static void	 add_failed(MaInbound *mail, char *address, const char *about,
						const char *end, const char *said);
static void	 read_block(MaInbound *mail, MaSpan block, const char *said);
static void	 judge(MaInboundRecipient *recipient, const char *diagnosis,
				   const char *said);
static char *typed_address(const char *field);
static char *plain_lower(const char *text);
static char *about_address(const char *said, const char *address);
static char *leading_address(const char *line, const char **rest);

/*
 * Reads a report; said is its part for people, without the returned message.
 */
void
ma_inbound_read_report(const MaMailTree *tree, const char *said,
					   MaInbound *mail)
{
	const MaMailPart *part = ma_inbound_part(tree, "message/delivery-status");
	char			 *text;
	char			 *block;

	if (part == NULL)
		part = ma_inbound_part(tree, "message/global-delivery-status");
	if (part == NULL)
		return;
	text = ma_inbound_decode(part, MA_INBOUND_TEXT);
	ma_inbound_find_references(mail, text);
	block = text;
	for (char *line = text; *line != '\0';)
	{
		char *end = line + strcspn(line, "\n");
		char *next = *end == '\0' ? end : end + 1;
		bool  blank = line[strspn(line, " \t\n")] == '\0' ||
					 line + strspn(line, " \t") == end;

		if (blank || *next == '\0')
		{
			MaSpan span = {block, next - block};

			read_block(mail, span, said);
			block = next;
		}
		line = next;
	}
}

/* Reads one block of fields, if it is of a recipient. */
static void
read_block(MaInbound *mail, MaSpan block, const char *said)
{
	char *final = ma_inbound_header(block, "Final-Recipient");
	char *original = ma_inbound_header(block, "Original-Recipient");
	char *action = ma_inbound_header(block, "Action");
	char *status = ma_inbound_header(block, "Status");
	char *diagnosis = ma_inbound_header(block, "Diagnostic-Code");
	MaInboundRecipient *recipient;

	if (final == NULL && original == NULL && action == NULL && status == NULL)
		return;
	if ((recipient = add_recipient(mail)) == NULL)
		return;
	recipient->kind = MA_INBOUND_BOUNCE;
	if (action != NULL && (pg_strncasecmp(action, "delivered", 9) == 0 ||
						   pg_strncasecmp(action, "relayed", 7) == 0 ||
						   pg_strncasecmp(action, "expanded", 8) == 0 ||
						   pg_strncasecmp(action, "deliverable", 11) == 0))
		recipient->kind = MA_INBOUND_DELIVERED;
	else if (action != NULL && pg_strncasecmp(action, "delayed", 7) == 0)
		recipient->kind = MA_INBOUND_DELAYED;
	recipient->address = typed_address(final);
	recipient->original = typed_address(original);
	recipient->status = status == NULL ? NULL : ma_reason_status(status);
	if (diagnosis == NULL && recipient->address != NULL)
		diagnosis = about_address(said, recipient->address);
	judge(recipient, diagnosis == NULL ? "" : diagnosis, said);
}

/*
 * Reads a bounce that is no report: what stands between two addresses at the
 * beginning of a line is about the first of them.
 */
void
ma_inbound_read_bounce(const MaMailTree *tree, const char *said,
					   MaInbound *mail)
{
	const char *about = said;
	char	   *address = NULL;
	char	   *failed;

	for (const char *line = said; *line != '\0';)
	{
		const char *rest;
		char	   *found = leading_address(line, &rest);

		if (found != NULL &&
			(address == NULL || pg_strcasecmp(found, address) != 0))
		{
			add_failed(mail, address, about, line, said);
			address = found;
			about = rest;
		}
		line += strcspn(line, "\n");
		line += *line != '\0';
	}
	if (address == NULL && (failed = ma_inbound_header(
								tree->head, "X-Failed-Recipients")) != NULL)
		address = ma_inbound_address(failed);
	if (address == NULL)
		address = ma_inbound_address(said);
	if (address == NULL)
		address = "";
	add_failed(mail, address, about, about + strlen(about), said);
}

/* Adds a recipient of a bounce, of whom a stretch of the text speaks. */
static void
add_failed(MaInbound *mail, char *address, const char *about, const char *end,
		   const char *said)
{
	MaInboundRecipient *recipient;

	if (address == NULL || (recipient = add_recipient(mail)) == NULL)
		return;
	recipient->kind = MA_INBOUND_BOUNCE;
	recipient->address = *address == '\0' ? NULL : address;
	judge(recipient, pnstrdup(about, Min(end - about, MAX_ABOUT)), said);
}

/* A new recipient, cleared; NULL if there are too many. */
static MaInboundRecipient *
add_recipient(MaInbound *mail)
{
	if (mail->nrecipients == MA_INBOUND_RECIPIENTS)
		return NULL;
	return &mail->recipients[mail->nrecipients++];
}

/*
 * Finds the reason, in what is said about this recipient, in the status code,
 * or in what is said to all, in this order.
 */
static void
judge(MaInboundRecipient *recipient, const char *diagnosis, const char *said)
{
	char		   *about = plain_lower(diagnosis);
	char		   *all = plain_lower(said);
	char		   *status = ma_reason_status(diagnosis);
	const MaReason *reason = ma_reason_of_text(about);

	if (status != NULL && (recipient->status == NULL ||
						   strcmp(recipient->status + 1, ".0.0") == 0))
		recipient->status = status;
	if (reason == NULL && recipient->status != NULL)
		reason = ma_reason_of_status(recipient->status);
	if (reason == NULL)
		reason = ma_reason_of_text(all);
	if (reason == NULL)
		reason = ma_reason_of_class(recipient->status);
	reason = ma_reason_in_truth(reason, recipient->status, about);
	reason = ma_reason_in_truth(reason, recipient->status, all);
	if (recipient->kind != MA_INBOUND_DELIVERED)
		recipient->reason = reason->name;
	recipient->hard = recipient->kind == MA_INBOUND_BOUNCE && reason->hard &&
					  (recipient->status == NULL || *recipient->status != '4');
	recipient->detail =
		ma_reason_plain(*about != '\0' ? diagnosis : said, MAX_DETAIL);
}

/* A text as ma_reason_of_text() wants it. */
static char *
plain_lower(const char *text)
{
	return ma_inbound_lower(ma_reason_plain(text, MAX_ABOUT));
}

/*
 * The stretch of a text that speaks of an address: from the line that begins
 * with it to the next that begins with another; empty if there is none.
 */
static char *
about_address(const char *said, const char *address)
{
	const char *about = NULL;

	for (const char *line = said; *line != '\0';)
	{
		const char *rest;
		char	   *found = leading_address(line, &rest);

		if (found != NULL && pg_strcasecmp(found, address) != 0)
		{
			if (about != NULL)
				return pnstrdup(about, Min(line - about, MAX_ABOUT));
		}
		else if (found != NULL && about == NULL)
			about = rest;
		line += strcspn(line, "\n");
		line += *line != '\0';
	}
	return about == NULL ? pstrdup("") : pnstrdup(about, MAX_ABOUT);
}

/* The address of a field such as "rfc822; ann@example.com", NULL if none. */
static char *
typed_address(const char *field)
{
	const char *address;

	if (field == NULL)
		return NULL;
	address = strchr(field, ';');
	return ma_inbound_address(address == NULL ? field : address + 1);
}

/*
 * The address with which a line begins, NULL if it begins with none; stores
 * where it ends.
 */
static char *
leading_address(const char *line, const char **rest)
{
	const char *start = line + strspn(line, " \t<\"");
	Size		len = strcspn(start, " \t\n<>:;,[]()\"'");
	const char *at = memchr(start, '@', len);

	*rest = start + len + strspn(start + len, ">:,\"");
	if (at == NULL || at == start || at + 1 == start + len || len > 254 ||
		strchr("\n >:;,[\"", start[len]) == NULL)
		return NULL;
	return ma_reason_plain(pnstrdup(start, len), len);
}
