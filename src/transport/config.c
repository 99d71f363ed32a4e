/*
 * config.c
 *	  Reads the configuration frame and the password file.
 *
 * A password is never an argument, in the environment or in a frame, and is
 * read again at each connection, so that changing the file is enough.
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
static const char *set_tls(Config *config, const char *value);
static const char *check(const Config *config);

/* Fills one setting in; the value becomes its own or is freed. */
static const char *
assign(Config *config, const char *name, char *value)
{
	const Setting settings[] = {
		{"host", &config->host, NULL},
		{"port", NULL, &config->port},
		{"insecure", NULL, &config->insecure},
		{"ca_file", &config->ca_file, NULL},
		{"user", &config->user, NULL},
		{"auth", &config->auth, NULL},
		{"password_file", &config->password_file, NULL},
		{"helo", &config->helo, NULL},
		{"connections", NULL, &config->connections},
		{"connect_ms", NULL, &config->connect_ms},
		{"reply_ms", NULL, &config->reply_ms},
		{"final_ms", NULL, &config->final_ms},
		{"total_ms", NULL, &config->total_ms},
		{"idle_ms", NULL, &config->idle_ms},
		{"allow_private", NULL, &config->allow_private},
	};
	const char *wrong = "unknown setting";

	if (strcmp(name, "tls") == 0)
		wrong = set_tls(config, value);
	else if (strcmp(name, "kind") == 0)
		wrong = set_kind(config, value);
	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
	{
		char *end;
		long  number;

		if (strcmp(name, settings[i].name) != 0)
			continue;
		if (settings[i].text != NULL)
		{
			free(*settings[i].text);
			*settings[i].text = value;
			return NULL;
		}
		errno = 0;
		number = strtol(value, &end, 10);
		wrong = NULL;
		if (errno != 0 || end == value || *end != '\0' || number < 0 ||
			number > INT32_MAX)
			wrong = "setting is not a whole number";
		else
			*settings[i].number = (int) number;
	}
	free(value);
	return wrong;
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
set_tls(Config *config, const char *value)
{
	static const char *const names[] = {"starttls", "smtps", "none"};

	for (int i = 0; i < 3; i++)
		if (strcmp(value, names[i]) == 0)
		{
			config->tls = (Tls) i;
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
	config->port = 25;
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
	config->public_only = config->kind == KIND_HTTP && !config->allow_private;
	return wrong != NULL ? wrong : check(config);
}

/* Is the relay's address whole, and fit to become part of an URL? */
static const char *
check_smtp(const Config *config)
{
	static const char host_chars[] =
		"abcdefghijklmnopqrstuvwxyz"
		"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:";

	if (config->host == NULL || config->host[0] == '\0')
		return "host is missing";
	if (config->host[strspn(config->host, host_chars)] != '\0')
		return "host is neither a name nor an address";
	if (config->port < 1 || config->port > 65535)
		return "port must be 1 to 65535";
	if (config->user != NULL && config->password_file == NULL)
		return "password_file is missing";
	if (config->auth != NULL && strcmp(config->auth, "plain") != 0 &&
		strcmp(config->auth, "login") != 0 &&
		strcmp(config->auth, "xoauth2") != 0)
		return "auth must be plain, login or xoauth2";
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
	return config->kind == KIND_SMTP ? check_smtp(config) : NULL;
}

void
config_free(Config *config)
{
	free(config->host);
	free(config->ca_file);
	free(config->user);
	free(config->auth);
	free(config->password_file);
	free(config->helo);
}

/*
 * Reads the password: the file without the ends of its last line. False, and
 * errno tells why, if there is none to read.
 */
bool
config_password(const Config *config, char password[CONFIG_PASSWORD_MAX + 1])
{
	int			fd = open(config->password_file,
						  O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat status;
	ssize_t		len = -1;
	int			saved_errno;

	if (fd < 0)
		return false;
	if (fstat(fd, &status) == 0)
	{
		errno = EINVAL;
		if (S_ISREG(status.st_mode) && status.st_size <= CONFIG_PASSWORD_MAX)
			len = read(fd, password, CONFIG_PASSWORD_MAX);
	}
	saved_errno = errno;
	close(fd);
	errno = saved_errno;
	if (len < 0)
		return false;
	while (len > 0 && (password[len - 1] == '\n' || password[len - 1] == '\r'))
		len--;
	password[len] = '\0';
	return true;
}
