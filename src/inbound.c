/*
 * inbound.c
 *	  SQL functions for what comes back: mails, callbacks, short messages.
 *
 * They are called by whatever takes in the mail or serves the web hooks of
 * the application. What they are given may be anything: only a mistake in
 * the call itself is an error.
 */
#include "postgres.h"

#include "common/cryptohash.h"
#include "common/sha2.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "address.h"
#include "argument.h"
#include "channel.h"
#include "compat.h"
#include "contact.h"
#include "inbound_judge.h"
#include "inbound_reason.h"
#include "inbound_store.h"
#include "inbound_text.h"

PG_FUNCTION_INFO_V1(mautomate_judge_mail);
PG_FUNCTION_INFO_V1(mautomate_handle_mail);
PG_FUNCTION_INFO_V1(mautomate_handle_status);
PG_FUNCTION_INFO_V1(mautomate_handle_inbound);

/* So much of a mail is looked at; the rest can only be attachments. */
#define MAX_MAIL (32 * 1024 * 1024)

#define MAX_TEXT 2000 /* of an answer, kept */
#define MAX_ID	 1000 /* of what a gateway calls a message */

static char		  *provider_argument(FunctionCallInfo fcinfo, int i);
static MaSpan	   raw_mail(FunctionCallInfo fcinfo);
static const char *mail_key(MaSpan raw);
static void		   find_target(const MaInbound *mail, MaInboundEvent *event);
static void take_recipient(const MaInbound *mail, MaInboundEvent *event);
static void read_state(const char *state, const char *detail,
					   MaInboundEvent *event);
static void find_writer(const char *address, int channel_id,
						MaInboundEvent *event);

/* judge_mail(raw bytea) -> jsonb */
Datum
mautomate_judge_mail(PG_FUNCTION_ARGS)
{
	MaInbound mail;

	ma_inbound_judge(raw_mail(fcinfo), &mail);
	PG_RETURN_JSONB_P(ma_inbound_describe(&mail));
}

/* handle_mail(raw bytea) -> jsonb */
Datum
mautomate_handle_mail(PG_FUNCTION_ARGS)
{
	MaSpan		   raw = raw_mail(fcinfo);
	MaInbound	   mail;
	MaInboundEvent event = {0};

	ma_inbound_judge(raw, &mail);
	event.kind = mail.kind;
	event.subject = mail.subject;
	event.text = mail.text;
	event.reason = mail.feedback;
	if (mail.kind != MA_INBOUND_OTHER)
	{
		find_target(&mail, &event);
		take_recipient(&mail, &event);
		/* it only looked as if it answered one of ours */
		if (event.target.message_id == 0 && mail.kind == MA_INBOUND_REPLY)
			event.kind = MA_INBOUND_OTHER;
	}
	if (event.target.message_id != 0)
	{
		event.dedupe_key = mail_key(raw);
		ma_inbound_record(&event);
	}
	PG_RETURN_JSONB_P(ma_inbound_result(&event));
}

/* handle_status(channel, provider_id, state, detail) -> jsonb */
Datum
mautomate_handle_status(PG_FUNCTION_ARGS)
{
	char		  *channel = ma_argument_text(fcinfo, 0, "channel");
	char		  *provider_id = provider_argument(fcinfo, 1);
	char		  *state = ma_argument_text(fcinfo, 2, "state");
	char		  *detail = ma_argument_text_or_null(fcinfo, 3);
	int			   channel_id = ma_channel_named(channel)->channel_id;
	MaInbound	   names = {0};
	MaInboundEvent event = {0};

	read_state(state, detail, &event);
	ma_inbound_find_references(&names, provider_id);
	if (!ma_inbound_find_provided(channel_id, provider_id, &event.target) &&
		names.nreferences > 0 &&
		ma_inbound_find_reference(&names.references[0], &event.target) &&
		event.target.channel_id != channel_id)
		memset(&event.target, 0, sizeof(event.target));
	event.dedupe_key =
		psprintf("status/%s/%s", provider_id, ma_inbound_lower(state));
	if (event.target.message_id != 0)
		ma_inbound_record(&event);
	PG_RETURN_JSONB_P(ma_inbound_result(&event));
}

/* handle_inbound(channel, address, body, provider_id) -> jsonb */
Datum
mautomate_handle_inbound(PG_FUNCTION_ARGS)
{
	char *channel = ma_argument_text(fcinfo, 0, "channel");
	char *address = ma_argument_text(fcinfo, 1, "address");
	char *body = ma_argument_text_or_null(fcinfo, 2);
	char *provider_id = PG_ARGISNULL(3) ? NULL : provider_argument(fcinfo, 3);
	int	  channel_id = ma_channel_named(channel)->channel_id;
	MaInboundEvent event = {0};

	event.text = ma_inbound_safe(body == NULL ? "" : body, MAX_TEXT);
	event.kind = ma_inbound_is_stop(event.text)	 ? MA_INBOUND_UNSUBSCRIBE :
				 ma_inbound_is_start(event.text) ? MA_INBOUND_SUBSCRIBE :
												   MA_INBOUND_REPLY;
	if (provider_id != NULL)
		event.dedupe_key = psprintf("inbound/%s/%s", channel, provider_id);
	find_writer(address, channel_id, &event);
	event.target.channel = channel;
	ma_inbound_record(&event);
	PG_RETURN_JSONB_P(ma_inbound_result(&event));
}

/* The id that a gateway gave a message; it becomes part of a key. */
static char *
provider_argument(FunctionCallInfo fcinfo, int i)
{
	char *id = ma_argument_text(fcinfo, i, "provider_id");

	if (*id == '\0' || strlen(id) > MAX_ID)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("argument \"%s\" must have 1 to %d bytes",
							   "provider_id", MAX_ID)));
	return id;
}

/* The mail that is the first argument. */
static MaSpan
raw_mail(FunctionCallInfo fcinfo)
{
	bytea *raw;
	MaSpan span;

	ma_argument_not_null(fcinfo, 0, "raw");
	raw = PG_GETARG_BYTEA_PP(0);
	span.data = VARDATA_ANY(raw);
	span.len = Min(VARSIZE_ANY_EXHDR(raw), MAX_MAIL);
	return span;
}

/*
 * The dedupe key of a mail: its hash, the same whichever way its lines end.
 */
static const char *
mail_key(MaSpan raw)
{
	pg_cryptohash_ctx *hash = pg_cryptohash_create(PG_SHA256);
	const char		  *end = raw.data + raw.len;
	uint8			   digest[PG_SHA256_DIGEST_LENGTH];
	char			   hex[2 * PG_SHA256_DIGEST_LENGTH + 1];
	bool			   good = pg_cryptohash_init(hash) >= 0;

	for (const char *p = raw.data; good && p < end;)
	{
		const char *cr = memchr(p, '\r', end - p);
		const char *stop = cr == NULL ? end : cr;

		good = pg_cryptohash_update(hash, (const uint8 *) p, stop - p) >= 0;
		p = cr == NULL ? end : cr + 1;
	}
	if (!good || pg_cryptohash_final(hash, digest, sizeof(digest)) < 0)
		elog(ERROR, "could not compute a hash: %s", pg_cryptohash_error(hash));
	pg_cryptohash_free(hash);
	hex[hex_encode((const char *) digest, sizeof(digest), hex)] = '\0';
	return psprintf("mail/%s", hex);
}

/*
 * Which of our messages a mail is about: the one whose Message-ID it brings
 * back, else the newest that went to the address it speaks of. A reply must
 * name one.
 */
static void
find_target(const MaInbound *mail, MaInboundEvent *event)
{
	for (int i = 0; i < mail->nreferences; i++)
		if (ma_inbound_find_reference(&mail->references[i], &event->target))
			return;
	if (mail->kind == MA_INBOUND_REPLY)
		return;
	for (int i = 0; i < mail->nrecipients; i++)
	{
		const char *both[] = {mail->recipients[i].original,
							  mail->recipients[i].address};

		for (int b = 0; b < lengthof(both); b++)
			if (both[b] != NULL &&
				ma_inbound_find_address(both[b], 0, &event->target))
				return;
	}
	if (mail->nrecipients == 0 && mail->sender != NULL)
		(void) ma_inbound_find_address(mail->sender, 0, &event->target);
}

/* Takes over what a report says of the recipient that the message had. */
static void
take_recipient(const MaInbound *mail, MaInboundEvent *event)
{
	const char				 *address = event->target.address;
	const MaInboundRecipient *recipient = &mail->recipients[0];

	if (mail->nrecipients == 0)
		return;
	for (int i = 0; address != NULL && i < mail->nrecipients; i++)
	{
		const MaInboundRecipient *r = &mail->recipients[i];

		if ((r->address != NULL && pg_strcasecmp(r->address, address) == 0) ||
			(r->original != NULL && pg_strcasecmp(r->original, address) == 0))
		{
			recipient = r;
			break;
		}
	}
	event->kind = recipient->kind;
	event->status = recipient->status;
	event->reason = recipient->reason;
	event->detail = recipient->detail;
	event->hard = recipient->hard;
}

/* What the state that a gateway tells means. */
static void
read_state(const char *state, const char *detail, MaInboundEvent *event)
{
	/* hard: 1 yes, 0 no, -1 as the detail says */
	static const struct
	{
		const char	 *name;
		MaInboundKind kind;
		int			  hard;
	} states[] = {{"queued", MA_INBOUND_OTHER},
				  {"accepted", MA_INBOUND_OTHER},
				  {"sent", MA_INBOUND_OTHER},
				  {"delayed", MA_INBOUND_DELAYED},
				  {"deferred", MA_INBOUND_DELAYED},
				  {"delivered", MA_INBOUND_DELIVERED},
				  {"bounced", MA_INBOUND_BOUNCE, -1},
				  {"failed", MA_INBOUND_BOUNCE, -1},
				  {"undelivered", MA_INBOUND_BOUNCE, -1},
				  {"rejected", MA_INBOUND_BOUNCE, -1},
				  {"expired", MA_INBOUND_BOUNCE, 0},
				  {"hard_bounce", MA_INBOUND_BOUNCE, 1},
				  {"soft_bounce", MA_INBOUND_BOUNCE, 0},
				  {"complained", MA_INBOUND_COMPLAINT},
				  {"unsubscribed", MA_INBOUND_UNSUBSCRIBE}};
	char		   *text = ma_reason_plain(detail ? detail : "", MAX_TEXT);
	const MaReason *reason = ma_reason_of_text(ma_inbound_lower(text));
	int				i;

	for (i = 0; i < lengthof(states); i++)
		if (pg_strcasecmp(states[i].name, state) == 0)
			break;
	if (i == lengthof(states))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown state \"%s\" of a message", state),
				 errhint("States are queued, accepted, sent, delayed, "
						 "deferred, delivered, bounced, failed, undelivered, "
						 "rejected, expired, hard_bounce, soft_bounce, "
						 "complained and unsubscribed.")));
	event->kind = states[i].kind;
	event->detail = *text == '\0' ? NULL : text;
	if (event->kind != MA_INBOUND_BOUNCE)
		return;
	event->status = ma_reason_status(text);
	if (reason == NULL && event->status != NULL)
		reason = ma_reason_of_status(event->status);
	if (reason == NULL)
		reason = ma_reason_of_class(event->status);
	event->reason = reason->name;
	event->hard = states[i].hard < 0 ? reason->hard : states[i].hard > 0;
}

/*
 * Who writes to us: by the newest message that went to the address through
 * the channel, else whoever has the address.
 */
static void
find_writer(const char *address, int channel_id, MaInboundEvent *event)
{
	MaProfile	person = {0};
	const char *reason = NULL;
	bool		valid;

	valid = strchr(address, '@') != NULL ?
				ma_profile_set_email(&person, address, &reason) :
				ma_profile_set_phone(&person, address, &reason);
	if (!valid || !ma_profile_is_named(&person))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("\"%s\" is no e-mail address or phone number",
							   address),
						reason != NULL ? errdetail("%s", reason) : 0));
	address = strchr(address, '@') != NULL ? person.columns[MA_CONTACT_EMAIL] :
											 person.columns[MA_CONTACT_PHONE];
	if (ma_inbound_find_address(address, channel_id, &event->target))
		return;
	ma_contact_lookup(&person, 1);
	event->target.address = address;
	if (person.contact_id != 0)
		ma_inbound_find_contact(person.contact_id, &event->target);
}
