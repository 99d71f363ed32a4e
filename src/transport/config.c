/*
 * config.c
 *	  Reads the configuration frame and files with secrets.
 *
 * A secret is never an argument, in the environment or in a frame, and is read
 * again at each connection or request, so that changing the file is enough.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config.h"

/* Where each setting goes: a text or a number, one of them not NULL. */
typedef struct Setting
{
	const char *name;
	char	  **text;
	int		   *number;
} Setting;

static const char *set_kind(Config *config, const char *value);
static const char *set_tls(Relay *relay, const char *value);
static const char *begin_relay(Config *config, const char *value);
static const char *check(const Config *config);

/* Stores the value of a text or number; it becomes its own or is freed. */
static const char *
store(const Setting *setting, char *value)
{
	const char *wrong = NULL;
	char	   *end;
	long		number;

	if (setting->text != NULL)
	{
		free(*setting->text);
		*setting->text = value;
		return NULL;
	}
	errno = 0;
	number = strtol(value, &end, 10);
	if (errno != 0 || end == value || *end != '\0' || number < 0 ||
		number > INT32_MAX)
		wrong = "setting is not a whole number";
	else
		*setting->number = (int) number;
	free(value);
	return wrong;
}

/* Fills one setting in; the value becomes its own or is freed. */
static const char *
assign(Config *config, const char *name, char *value)
{
	Relay		 *relay = &config->relays[config->relay_count - 1];
	Web			 *web = &config->web;
	const Setting settings[] = {
		{"host", &relay->host, NULL},
		{"port", NULL, &relay->port},
		{"insecure", NULL, &relay->insecure},
		{"ca_file", &relay->ca_file, NULL},
		{"user", &relay->user, NULL},
		{"auth", &relay->auth, NULL},
		{"password_file", &relay->password_file, NULL},
		{"helo", &config->helo, NULL},
		{"connections", NULL, &config->connections},
		{"connect_ms", NULL, &config->connect_ms},
		{"reply_ms", NULL, &config->reply_ms},
		{"final_ms", NULL, &config->final_ms},
		{"total_ms", NULL, &config->total_ms},
		{"idle_ms", NULL, &config->idle_ms},
		{"allow_private", NULL, &web->allow_private},
		{"url_file", &web->url_file, NULL},
		{"token_file", &web->token_file, NULL},
		{"token_header", &web->token_header, NULL},
		{"token_prefix", &web->token_prefix, NULL},
		{"sign_file", &web->sign_file, NULL},
		{"sign_header", &web->sign_header, NULL},
		{"time_header", &web->time_header, NULL},
		{"success", &web->success, NULL},
		{"retry", &web->retry, NULL},
		{"path", &web->path, NULL},
		{"values", &web->values, NULL},
		{"retry_values", &web->retry_values, NULL},
		{"id_path", &web->id_path, NULL},
	};
	const char *wrong = "unknown setting";

	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
		if (strcmp(name, settings[i].name) == 0)
			return store(&settings[i], value);
	if (strcmp(name, "tls") == 0)
		wrong = set_tls(relay, value);
	else if (strcmp(name, "kind") == 0)
		wrong = set_kind(config, value);
	else if (strcmp(name, "relay") == 0)
		wrong = begin_relay(config, value);
	free(value);
	return wrong;
}

/* What follows is about another relay, of that weight. */
static const char *
begin_relay(Config *config, const char *value)
{
	Relay *relay;

	/* the first one is there from the beginning */
	if (config->relays[config->relay_count - 1].host != NULL)
		config->relay_count++;
	if (config->relay_count > MA_RELAYS_MAX)
		return "too many relays";
	relay = &config->relays[config->relay_count - 1];
	relay->port = 25;
	relay->weight = atoi(value);
	return relay->weight < 0 ? "a weight is negative" : NULL;
}

/* Understands the setting kind. */
static const char *
set_kind(Config *config, const char *value)
{
	if (strcmp(value, "smtp") == 0)
		config->kind = KIND_SMTP;
	else if (strcmp(value, "http") == 0)
		config->kind = KIND_HTTP;
	else
		return "kind must be smtp or http";
	return NULL;
}

/* Understands the setting tls. */
static const char *
set_tls(Relay *relay, const char *value)
{
	static const char *const names[] = {"starttls", "smtps", "none"};

	for (int i = 0; i < 3; i++)
		if (strcmp(value, names[i]) == 0)
		{
			relay->tls = (Tls) i;
			return NULL;
		}
	return "tls must be starttls, smtps or none";
}

/*
 * Fills the configuration from the pairs of the frame and the defaults.
 * Returns what is wrong with it, or NULL.
 */
const char *
config_read(Frame *frame, Config *config)
{
	const char *wrong = NULL;

	memset(config, 0, sizeof(*config));
	config->relay_count = 1;
	config->relays[0].port = 25;
	config->relays[0].weight = 1;
	config->connections = 4;
	config->connect_ms = 15 * 1000;
	config->reply_ms = 60 * 1000;
	config->final_ms = 300 * 1000;
	config->total_ms = 600 * 1000;
	config->idle_ms = 20 * 1000;
	while (wrong == NULL && frame->taken < frame->len)
	{
		char *name = frame_take_string(frame);
		char *value = frame_take_string(frame);

		if (name == NULL || value == NULL)
		{
			free(value);
			wrong = "broken configuration";
		}
		else
			wrong = assign(config, name, value);
		free(name);
	}
	config->public_only =
		config->kind == KIND_HTTP && !config->web.allow_private;
	return wrong != NULL ? wrong : check(config);
}

/* Is the relay's address whole, and fit to become part of an URL? */
static const char *
check_relay(const Relay *relay)
{
	static const char host_chars[] =
		"abcdefghijklmnopqrstuvwxyz"
		"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:";

	if (relay->host == NULL || relay->host[0] == '\0')
		return "host is missing";
	if (relay->host[strspn(relay->host, host_chars)] != '\0')
		return "host is neither a name nor an address";
	if (relay->port < 1 || relay->port > 65535)
		return "port must be 1 to 65535";
	if (relay->auth != NULL && strcmp(relay->auth, "plain") != 0 &&
		strcmp(relay->auth, "login") != 0 &&
		strcmp(relay->auth, "xoauth2") != 0)
		return "auth must be plain, login or xoauth2";
	return NULL;
}

/* Has every file what belongs to it? */
static const char *
check_web(const Web *web)
{
	if (web->token_file != NULL && web->token_header == NULL)
		return "token_header is missing";
	if (web->sign_file != NULL &&
		(web->sign_header == NULL || web->time_header == NULL))
		return "sign_header or time_header is missing";
	return NULL;
}

/* Can one work with it? */
static const char *
check(const Config *config)
{
	if (config->connections < 1 || config->connections > MA_CONNECTIONS_MAX)
		return "too many connections, or none";
	if (config->connect_ms == 0 || config->reply_ms == 0 ||
		config->final_ms == 0 || config->total_ms == 0 || config->idle_ms == 0)
		return "a time limit is zero";
	for (int i = 0; i < config->relay_count; i++)
	{
		const Relay *relay = &config->relays[i];

		if (relay->user != NULL && relay->password_file == NULL)
			return "password_file is missing";
		if (config->kind == KIND_SMTP && check_relay(relay) != NULL)
			return check_relay(relay);
	}
	return config->kind == KIND_HTTP ? check_web(&config->web) : NULL;
}

void
config_free(Config *config)
{
	Web *web = &config->web;

	for (int i = 0; i < config->relay_count; i++)
	{
		free(config->relays[i].host);
		free(config->relays[i].ca_file);
		free(config->relays[i].user);
		free(config->relays[i].auth);
		free(config->relays[i].password_file);
	}
	free(web->url_file);
	free(web->token_file);
	free(web->token_header);
	free(web->token_prefix);
	free(web->sign_file);
	free(web->sign_header);
	free(web->time_header);
	free(web->success);
	free(web->retry);
	free(web->path);
	free(web->values);
	free(web->retry_values);
	free(web->id_path);
	free(config->helo);
}

/*
 * Reads a secret: the file without the ends of its last line. False, and
 * errno tells why, if there is none to read.
 */
bool
config_secret(const char *file, char secret[CONFIG_SECRET_MAX + 1])
{
	int			fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat status;
	ssize_t		len = -1;
	int			saved_errno;

	if (fd < 0)
		return false;
	if (fstat(fd, &status) == 0)
	{
		errno = EINVAL;
		if (S_ISREG(status.st_mode) && status.st_size <= CONFIG_SECRET_MAX)
			len = read(fd, secret, CONFIG_SECRET_MAX);
	}
	saved_errno = errno;
	close(fd);
	errno = saved_errno;
	if (len < 0)
		return false;
	while (len > 0 && (secret[len - 1] == '\n' || secret[len - 1] == '\r'))
		len--;
	secret[len] = '\0';
	return true;
}
