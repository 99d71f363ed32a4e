/*
 * channel_check.c
 *	  Can a channel with these settings work?
 *
 * What each kind of channel requires, and which settings go together. Asked
 * when a channel is defined, and no more when it is loaded.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "channel_setting.h"
#include "guc.h"
#include "token.h"

static void check_smtp(const MaChannel *channel);
static void check_http(const MaChannel *channel);
static void check_login(const MaChannel *channel, const MaRelay *relay);
static void note_silent(const MaChannel *channel);
static void check_token(const MaChannel *channel);
static bool has(Jsonb *settings, const char *key);
static void check_links(const MaChannel *channel);
static void check_secrets(const MaChannel *channel);
static void warn_plain(const MaChannel *channel, const char *hint);

/* What is required, and what goes together; warns of what is unsafe. */
void
ma_channel_check(const MaChannel *channel)
{
	if (channel->transport == MA_CHANNEL_SMTP)
		check_smtp(channel);
	if (channel->transport == MA_CHANNEL_HTTP)
		check_http(channel);
	if (channel->links != NULL)
		check_links(channel);
}

/* What is required of an smtp channel, and what goes together. */
static void
check_smtp(const MaChannel *channel)
{
	const char *missing = channel->from == NULL ? "from" : NULL;
	bool		plain = false;

	for (int i = 0; i < channel->relay_count; i++)
	{
		const MaRelay *relay = &channel->relays[i];

		if (relay->host == NULL)
			missing = "host";
		check_login(channel, relay);
		plain = plain || (relay->user != NULL && relay->tls != NULL &&
						  strcmp(relay->tls, "none") == 0);
	}
	if (missing != NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("channel \"%s\" needs setting \"%s\"",
							   channel->name, missing),
						errhint("Write settings like '{\"host\": "
								"\"mail.example.com\", \"from\": "
								"\"shop@example.com\"}'.")));
	if (plain)
		warn_plain(channel, "Use \"tls\": \"starttls\" or \"smtps\".");
}

/* What is required of an http channel, and what goes together. */
static void
check_http(const MaChannel *channel)
{
	const MaChannelHttp *http = &channel->http;
	JsonbValue			 url;

	if ((http->url == NULL) == (http->url_file == NULL))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("channel \"%s\" needs setting \"url\" or \"url_file\"",
						channel->name),
				 errhint("Write settings like '{\"preset\": \"webhook\", "
						 "\"url\": \"https://example.com/hook\"}'.")));
	if ((http->body != NULL || http->text != NULL) && http->form != NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("channel \"%s\" has both \"body\" and \"form\"",
							   channel->name)));
	if ((http->values != NULL || http->retry_values != NULL) &&
		http->path == NULL)
		ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("channel \"%s\" needs setting \"success.path\"",
					channel->name),
			 errdetail("Something must be equal, and nothing says what.")));
	if (http->allow_private && !superuser())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("only superusers may let channel \"%s\" reach private "
						"addresses",
						channel->name)));
	check_token(channel);
	check_login(channel, &channel->relay);
	if (http->token_file != NULL || http->sign_file != NULL ||
		http->url_file != NULL)
		check_secrets(channel);
	if ((http->token_file != NULL || channel->relay.user != NULL) &&
		http->url != NULL &&
		getKeyJsonValueFromContainer(&channel->settings->root, "url", 3,
									 &url) != NULL &&
		url.val.string.len > 7 &&
		strncmp(url.val.string.val, "http://", 7) == 0)
		warn_plain(channel, "Use an https URL.");
	note_silent(channel);
}

/* Says so where templates without a payload are not heard. */
static void
note_silent(const MaChannel *channel)
{
	const MaChannelHttp *http = &channel->http;

	if (http->body == NULL && http->text == NULL && http->form == NULL &&
		http->one_server && http->header_count == 0)
		ereport(NOTICE,
				(errmsg("channel \"%s\" sends nothing of what its templates "
						"say, but a payload",
						channel->name),
				 errhint("Set \"body\", \"form\" or a \"preset\".")));
}

/* A token and a signature need their files, and a token stands alone. */
static void
check_token(const MaChannel *channel)
{
	const MaChannelHttp *http = &channel->http;
	Jsonb				*settings = channel->settings;
	const char			*missing = NULL;
	const char			*twice = NULL;

	if (http->token_file == NULL && has(settings, "token"))
		missing = "token.file";
	if (http->sign_file == NULL && has(settings, "sign"))
		missing = "sign.file";
	if (missing != NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("channel \"%s\" needs setting \"%s\"",
							   channel->name, missing)));
	if (http->token_file == NULL)
		return;
	if (channel->relay.user != NULL &&
		pg_strcasecmp(http->token_header, "Authorization") == 0)
		twice = "user";
	for (int i = 0; i < http->header_count; i++)
		if (pg_strcasecmp(http->token_header, http->header_names[i]) == 0)
			twice = psprintf("headers.%s", http->header_names[i]);
	if (twice != NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("channel \"%s\" has both \"token\" and \"%s\"",
							   channel->name, twice),
						errdetail("Both are header %s.", http->token_header)));
}

/* Is the setting given? */
static bool
has(Jsonb *settings, const char *key)
{
	return getKeyJsonValueFromContainer(&settings->root, key, strlen(key),
										NULL) != NULL;
}

/* User and password file go together. */
static void
check_login(const MaChannel *channel, const MaRelay *relay)
{
	if ((relay->user == NULL) != (relay->password_file == NULL))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("channel \"%s\" needs both \"user\" and "
							   "\"password_file\", or neither",
							   channel->name)));
	if (relay->user != NULL)
		check_secrets(channel);
}

/* Can links of messages lead there, and can they be signed? */
static void
check_links(const MaChannel *channel)
{
	const char *host = strstr(channel->links, "://");

	if ((strncmp(channel->links, "https://", 8) != 0 &&
		 strncmp(channel->links, "http://", 7) != 0) ||
		host[3] == '\0' || strpbrk(channel->links, " <>\"?#") != NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("setting \"%s\" of channel \"%s\" must be %s",
							   "links", channel->name,
							   "a URL like \"https://example.com/mail\"")));
	ma_token_check_key();
}

/* Is it said where secrets are? */
static void
check_secrets(const MaChannel *channel)
{
	if (ma_guc_secrets_directory[0] == '\0')
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("setting mautomate.secrets_directory is empty"),
						errdetail("Channel \"%s\" has a file with a secret.",
								  channel->name),
						errhint("Put the directory of such files into "
								"postgresql.conf.")));
}

/* Warns that a secret can be read on its way. */
static void
warn_plain(const MaChannel *channel, const char *hint)
{
	ereport(WARNING, (errmsg("channel \"%s\" sends its password unencrypted",
							 channel->name),
					  errhint("%s", hint)));
}
