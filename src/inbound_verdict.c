/*
 * inbound_verdict.c
 *	  What a mail that came back is: names, and which message it is about.
 */
#include "postgres.h"

#include "inbound_verdict.h"

/* The name of a kind, as results show it. */
const char *
ma_inbound_kind_name(MaInboundKind kind)
{
	static const char *const names[] = {[MA_INBOUND_OTHER] = "other",
										[MA_INBOUND_BOUNCE] = "bounce",
										[MA_INBOUND_DELAYED] = "delayed",
										[MA_INBOUND_DELIVERED] = "delivered",
										[MA_INBOUND_COMPLAINT] = "complaint",
										[MA_INBOUND_AUTO_REPLY] = "auto_reply",
										[MA_INBOUND_UNSUBSCRIBE] =
											"unsubscribe",
										[MA_INBOUND_SUBSCRIBE] = "subscribe",
										[MA_INBOUND_REPLY] = "reply"};

	return names[kind];
}

/*
 * Finds what looks like a Message-ID of ours in a text: the number of the
 * message, the instant it was made, in hexadecimal, and a domain.
 */
void
ma_inbound_find_references(MaInbound *mail, const char *text)
{
	for (const char *at = strchr(text, '@'); at != NULL;
		 at = strchr(at + 1, '@'))
	{
		const char		   *time = at;
		const char		   *number;
		MaInboundReference *reference;

		while (time > text && at - time <= 16 &&
			   isxdigit((unsigned char) time[-1]))
			time--;
		if (time == at || at - time > 16 || time == text || time[-1] != '.')
			continue;
		number = time - 1;
		while (number > text && time - number <= 19 &&
			   isdigit((unsigned char) number[-1]))
			number--;
		if (number == time - 1 || time - 1 - number > 18 ||
			mail->nreferences == MA_INBOUND_REFERENCES)
			continue;
		reference = &mail->references[mail->nreferences++];
		reference->message_id = strtoll(number, NULL, 10);
		reference->enqueued_at = (TimestampTz) strtoull(time, NULL, 16);
	}
}
