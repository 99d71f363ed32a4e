/*
 * delivery_ready.c
 *	  Can a channel be used at all?
 *
 * A file of a channel that cannot be read is no fault of its messages: before
 * any are claimed all of them are tried, and without one the channel is
 * paused, with the reason, until resume_channel().
 */
#include "postgres.h"

#include <fcntl.h>
#include <unistd.h>

#include "storage/fd.h"

#include "delivery_private.h"
#include "pause.h"
#include "secret.h"
#include "token.h"

/* Why certificates cannot be checked; NULL if they can. */
static char *
authority_refusal(const MaRelay *relay)
{
	int fd;

	if (relay->ca_file == NULL || !relay->verify)
		return NULL;
	fd = OpenTransientFile(relay->ca_file, O_RDONLY | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return psprintf("cannot use the file \"%s\": %s", relay->ca_file,
						strerror(errno));
	CloseTransientFile(fd);
	return NULL;
}

/* Why no relay of a channel can be used; NULL if one can. */
static char *
relay_refusal(const MaChannel *channel)
{
	char *refusal = NULL;

	for (int i = 0; i < channel->relay_count; i++)
	{
		const MaRelay *relay = &channel->relays[i];

		refusal = ma_secret_refusal(relay->password_file, MA_SECRET_KEY);
		if (refusal == NULL)
			refusal = authority_refusal(relay);
		if (refusal == NULL)
			break;
	}
	return refusal;
}

/* Why requests of a channel cannot be made; NULL if they can. */
static char *
web_refusal(const MaChannel *channel)
{
	const MaChannelHttp *http = &channel->http;
	char				*refusal;

	refusal = ma_secret_refusal(channel->relay.password_file, MA_SECRET_KEY);
	if (refusal == NULL)
		refusal = ma_secret_refusal(http->token_file, MA_SECRET_LINE);
	if (refusal == NULL)
		refusal = ma_secret_refusal(http->sign_file, MA_SECRET_KEY);
	if (refusal == NULL)
		refusal = ma_secret_refusal(http->url_file, MA_SECRET_URL);
	if (refusal == NULL)
		refusal = authority_refusal(&channel->relay);
	return refusal;
}

/* Why the links of a channel cannot be signed; NULL if they can. */
static char *
link_refusal(const MaChannel *channel)
{
	return channel->links == NULL ? NULL : ma_token_refusal();
}

/*
 * Can messages of a route be sent, as far as its files go? If not, and there
 * is one to send, its channel is paused. Needs a transaction.
 */
bool
ma_delivery_ready(MaRoute *route)
{
	const MaChannel *channel = ma_channel_find(route->lane.channel_id);
	char			*refusal = link_refusal(channel);

	if (refusal == NULL && channel->transport == MA_CHANNEL_SMTP)
		refusal = relay_refusal(channel);
	if (refusal == NULL && channel->transport == MA_CHANNEL_HTTP)
		refusal = web_refusal(channel);
	if (refusal == NULL || !ma_outbox_has_due(&route->lane))
		return refusal == NULL;
	ma_delivery_pause(channel, refusal);
	return false;
}

/* Pauses a channel that does not work, and tells the log. */
void
ma_delivery_pause(const MaChannel *channel, const char *reason)
{
	ma_pause_begin(channel->channel_id, reason, true);
	ereport(LOG,
			(errmsg("channel \"%s\" is paused: %s", channel->name, reason)));
}
