/*
 * mail.c
 *	  Reads a message from its frame and makes sure that it is harmless.
 *
 * Addresses and bodies were checked and encoded before they came here. They
 * are checked again because they are written as they are: a line end in an
 * address would be a command of its own, and a line that ends in a bare LF
 * would let a following dot end the message and the rest be commands.
 */
#include <idn2.h>
#include <stdlib.h>
#include <string.h>

#include "mail.h"
#include "alloc.h"

/* RFC 5321 4.5.3.1 */
#define LOCAL_PART_MAX 64
#define ADDRESS_MAX	   254

/*
 * Makes a message of a frame and takes its payload over. NULL if it is not
 * one, then nothing is taken.
 */
Mail *
mail_read(Frame *frame)
{
	Mail *mail = alloc_zero(sizeof(*mail));

	if (!frame_take_id(frame, &mail->job.id) ||
		(mail->sender = frame_take_string(frame)) == NULL ||
		(mail->recipient = frame_take_string(frame)) == NULL ||
		!frame_take_bytes(frame, &mail->body, &mail->body_len) ||
		frame->taken != frame->len)
	{
		mail_free(mail);
		return NULL;
	}
	mail->payload = frame->payload;
	frame->payload = NULL;
	return mail;
}

void
mail_free(Mail *mail)
{
	free(mail->sender);
	free(mail->recipient);
	free(mail->payload);
	free(mail->rewritten);
	free(mail);
}

/* Is there no byte above 127? */
static bool
is_ascii(const char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char) *text > 127)
			return false;
	return true;
}

/* May it stand between < and > as it is? Spaces may where they are quoted. */
static bool
is_address(const char *address)
{
	const char *at = strrchr(address, '@');
	bool		quoted =
		at != NULL && at - address >= 2 && address[0] == '"' && at[-1] == '"';

	for (const char *c = address; *c != '\0'; c++)
		if ((unsigned char) *c < ' ' || *c == 0x7f || *c == '<' || *c == '>' ||
			(*c == ' ' && !(quoted && c < at)))
			return false;
	return at != NULL && at > address && at[1] != '\0' &&
		   at - address <= LOCAL_PART_MAX && strlen(address) <= ADDRESS_MAX;
}

/*
 * Brings the domain of an address, if it is not ASCII, into the form that
 * every server knows. False if it has none.
 */
static bool
encode_domain(char **address)
{
	char	*at = strrchr(*address, '@');
	uint8_t *domain;
	char	*encoded;
	size_t	 local_len;

	if (at == NULL || is_ascii(at))
		return true;
	if (idn2_lookup_u8((uint8_t *) at + 1, &domain,
					   IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) != IDN2_OK)
		return false;
	local_len = (size_t) (at + 1 - *address);
	encoded = alloc_get(local_len + strlen((char *) domain) + 1);
	memcpy(encoded, *address, local_len);
	strcpy(encoded + local_len, (char *) domain);
	idn2_free(domain);
	free(*address);
	*address = encoded;
	return true;
}

/* Does every line of the body end in CRLF? */
static bool
is_clean(const char *body, size_t len)
{
	const char *end = body + len;

	for (const char *c = body; c < end; c++)
	{
		const char *lf = memchr(c, '\n', (size_t) (end - c));

		if (lf == NULL || lf == c || lf[-1] != '\r' ||
			memchr(c, '\r', (size_t) (lf - 1 - c)) != NULL)
			return false;
		c = lf;
	}
	return true;
}

/* Rewrites the body so that every line ends in CRLF. */
static void
rewrite_body(Mail *mail)
{
	const char *from = mail->body;
	const char *end = from + mail->body_len;
	char	   *to = alloc_get(2 * mail->body_len + 2);

	mail->rewritten = to;
	while (from < end)
	{
		if (*from != '\r' && *from != '\n')
		{
			*to++ = *from++;
			continue;
		}
		if (*from == '\r' && from + 1 < end && from[1] == '\n')
			from++;
		from++;
		*to++ = '\r';
		*to++ = '\n';
	}
	if (to > mail->rewritten && to[-1] != '\n')
	{
		*to++ = '\r';
		*to++ = '\n';
	}
	mail->body = mail->rewritten;
	mail->body_len = (size_t) (to - mail->rewritten);
}

/*
 * Makes the message safe for the wire. Returns why it can never be sent, or
 * NULL.
 */
const char *
mail_check(Mail *mail)
{
	if (!encode_domain(&mail->sender) ||
		(mail->sender[0] != '\0' && !is_address(mail->sender)))
		return "the sender's address is not valid";
	if (!encode_domain(&mail->recipient) || !is_address(mail->recipient))
		return "the recipient's address is not valid";
	if (mail->body_len == 0)
		return "the message is empty";
	if (memchr(mail->body, '\0', mail->body_len) != NULL)
		return "the message holds a NUL byte";
	if (!is_clean(mail->body, mail->body_len))
		rewrite_body(mail);
	mail->utf8 = !is_ascii(mail->sender) || !is_ascii(mail->recipient);
	return NULL;
}
