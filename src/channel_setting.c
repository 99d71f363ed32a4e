/*
 * channel_setting.c
 *	  The settings of channels, read and checked.
 *
 * They are read by one function, both when a channel is defined, where a
 * mistake is told, and when it is loaded; what is required and what goes
 * together is checked in channel_check.c. What is in them can be seen by
 * whoever may see definitions: a secret is never among them, only the bare
 * name of the file that holds it.
 */
#include "postgres.h"

#include <arpa/inet.h>

#include "datatype/timestamp.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/formatting.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "address.h"
#include "channel_setting.h"
#include "compat.h"
#include "payload.h"

/* What a setting is, and so where it is stored. */
typedef enum SettingType
{
	SETTING_TEXT,	  /* char * */
	SETTING_HOST,	  /* char * */
	SETTING_FILE,	  /* char *, a bare name */
	SETTING_TOKEN,	  /* char *, a method or the name of a header */
	SETTING_CHOICE,	  /* char *, one of choices */
	SETTING_ADDRESS,  /* char *, an e-mail address */
	SETTING_INT,	  /* int */
	SETTING_SPAN,	  /* int, ms */
	SETTING_BOOL,	  /* bool */
	SETTING_POLICY,	  /* bool: "hold" or "resend" */
	SETTING_STATUSES, /* char *, with commas between them */
	SETTING_VALUES,	  /* char *, with LF between them */
	SETTING_URL,	  /* MaTemplate * */
	SETTING_FORM,	  /* MaPayload *, of texts */
	SETTING_BODY,	  /* MaPayload * or MaTemplate * */
	SETTING_HEADERS,  /* two arrays */
	SETTING_RELAYS,	  /* read later, when the rest is known */
	SETTING_OBJECT,	  /* settings of its own, in table */
	SETTING_NOTHING	  /* read elsewhere */
} SettingType;

/* Which transports a setting is for. */
#define SMTP (1 << MA_CHANNEL_SMTP)
#define HTTP (1 << MA_CHANNEL_HTTP)
#define ALL	 (SMTP | HTTP | 1 << MA_CHANNEL_LOG)

/* A setting. */
typedef struct Setting
{
	const char			 *name; /* NULL ends a table */
	SettingType			  type;
	int					  transports;
	size_t				  offset;	/* in MaChannel or MaRelay */
	int					  min;		/* of an int */
	int					  max;		/* likewise */
	const char			 *choices;	/* as the hint shows them */
	const struct Setting *settings; /* of an object */
} Setting;

#define CHANNEL(field) offsetof(MaChannel, field)
#define TLS_CHOICES	   "\"starttls\", \"smtps\" or \"none\""
#define AUTH_CHOICES   "\"plain\", \"login\" or \"xoauth2\""

/* What each relay can have of its own. */
static const Setting relay_settings[] = {
	{"host", SETTING_HOST, SMTP, offsetof(MaRelay, host)},
	{"port", SETTING_INT, SMTP, offsetof(MaRelay, port), 1, 65535},
	{"weight", SETTING_INT, SMTP, offsetof(MaRelay, weight), 0, 1000},
	{"tls", SETTING_CHOICE, SMTP, offsetof(MaRelay, tls), 0, 0, TLS_CHOICES},
	{"verify", SETTING_BOOL, SMTP, offsetof(MaRelay, verify)},
	{"ca_file", SETTING_TEXT, SMTP, offsetof(MaRelay, ca_file)},
	{"user", SETTING_TEXT, SMTP, offsetof(MaRelay, user)},
	{"auth", SETTING_CHOICE, SMTP, offsetof(MaRelay, auth), 0, 0,
	 AUTH_CHOICES},
	{"password_file", SETTING_FILE, SMTP, offsetof(MaRelay, password_file)},
	{NULL}};

static const Setting token_settings[] = {
	{"file", SETTING_FILE, HTTP, CHANNEL(http.token_file)},
	{"header", SETTING_TOKEN, HTTP, CHANNEL(http.token_header)},
	{"prefix", SETTING_TEXT, HTTP, CHANNEL(http.token_prefix)},
	{NULL}};

static const Setting sign_settings[] = {
	{"file", SETTING_FILE, HTTP, CHANNEL(http.sign_file)},
	{"header", SETTING_TOKEN, HTTP, CHANNEL(http.sign_header)},
	{"time_header", SETTING_TOKEN, HTTP, CHANNEL(http.time_header)},
	{NULL}};

static const Setting success_settings[] = {
	{"status", SETTING_STATUSES, HTTP, CHANNEL(http.success)},
	{"path", SETTING_TEXT, HTTP, CHANNEL(http.path)},
	{"equals", SETTING_VALUES, HTTP, CHANNEL(http.values)},
	{NULL}};

static const Setting retry_settings[] = {
	{"status", SETTING_STATUSES, HTTP, CHANNEL(http.retry)},
	{"equals", SETTING_VALUES, HTTP, CHANNEL(http.retry_values)},
	{NULL}};

static const Setting channel_settings[] = {
	{"preset", SETTING_NOTHING, HTTP},
	{"url", SETTING_URL, HTTP, CHANNEL(http.url)},
	{"url_file", SETTING_FILE, HTTP, CHANNEL(http.url_file)},
	{"method", SETTING_TOKEN, HTTP, CHANNEL(http.method)},
	{"headers", SETTING_HEADERS, HTTP},
	{"body", SETTING_BODY, HTTP},
	{"form", SETTING_FORM, HTTP, CHANNEL(http.form)},
	{"to", SETTING_TEXT, HTTP, CHANNEL(recipient)},
	{"from", SETTING_TEXT, HTTP, CHANNEL(from)},
	{"token", SETTING_OBJECT, HTTP, 0, 0, 0, NULL, token_settings},
	{"sign", SETTING_OBJECT, HTTP, 0, 0, 0, NULL, sign_settings},
	{"success", SETTING_OBJECT, HTTP, 0, 0, 0, NULL, success_settings},
	{"retry", SETTING_OBJECT, HTTP, 0, 0, 0, NULL, retry_settings},
	{"provider_id", SETTING_TEXT, HTTP, CHANNEL(http.id_path)},
	{"allow_private", SETTING_BOOL, HTTP, CHANNEL(http.allow_private)},
	{"host", SETTING_HOST, SMTP, CHANNEL(relay.host)},
	{"port", SETTING_INT, SMTP, CHANNEL(relay.port), 1, 65535},
	{"relays", SETTING_RELAYS, SMTP},
	{"tls", SETTING_CHOICE, SMTP, CHANNEL(relay.tls), 0, 0, TLS_CHOICES},
	{"verify", SETTING_BOOL, SMTP | HTTP, CHANNEL(relay.verify)},
	{"ca_file", SETTING_TEXT, SMTP | HTTP, CHANNEL(relay.ca_file)},
	{"user", SETTING_TEXT, SMTP | HTTP, CHANNEL(relay.user)},
	{"auth", SETTING_CHOICE, SMTP, CHANNEL(relay.auth), 0, 0, AUTH_CHOICES},
	{"password_file", SETTING_FILE, SMTP | HTTP, CHANNEL(relay.password_file)},
	{"helo", SETTING_HOST, SMTP, CHANNEL(helo)},
	{"from", SETTING_ADDRESS, SMTP, CHANNEL(from)},
	{"from_name", SETTING_TEXT, SMTP, CHANNEL(from_name)},
	{"reply_to", SETTING_ADDRESS, SMTP, CHANNEL(reply_to)},
	{"links", SETTING_TEXT, SMTP | HTTP, CHANNEL(links)},
	{"unsubscribe", SETTING_ADDRESS, SMTP, CHANNEL(unsubscribe)},
	{"list_id", SETTING_HOST, SMTP, CHANNEL(list_id)},
	{"feedback_id", SETTING_TOKEN, SMTP, CHANNEL(feedback_id)},
	{"connections", SETTING_INT, SMTP | HTTP, CHANNEL(connections), 1, 512},
	{"in_doubt", SETTING_POLICY, SMTP | HTTP, CHANNEL(hold_in_doubt)},
	{"connect_timeout", SETTING_SPAN, SMTP | HTTP, CHANNEL(connect_ms)},
	{"reply_timeout", SETTING_SPAN, SMTP | HTTP, CHANNEL(reply_ms)},
	{"final_timeout", SETTING_SPAN, SMTP, CHANNEL(final_ms)},
	{"timeout", SETTING_SPAN, SMTP | HTTP, CHANNEL(total_ms)},
	{"idle_timeout", SETTING_SPAN, SMTP | HTTP, CHANNEL(idle_ms)},
	{"rate", SETTING_NOTHING, ALL},
	{"domains", SETTING_NOTHING, ALL},
	{"warm_up", SETTING_NOTHING, ALL},
	{"pause_when", SETTING_NOTHING, ALL},
	{"retries", SETTING_NOTHING, ALL},
	{NULL}};

/* Where in the settings the reader is. */
typedef struct Place
{
	MaChannel  *channel;
	const char *key; /* as errors show it */
} Place;

static void			  read_object(MaChannel *channel, const char *prefix,
								  const Setting *settings, void *base,
								  JsonbContainer *object);
static const Setting *find_setting(const Place *place, const Setting *settings,
								   const char *name);
static void			  read_setting(const Place *place, const Setting *setting,
								   void *base, JsonbValue *value);
static bool read_text(const Place *place, const Setting *setting, char **field,
					  JsonbValue *value);
static void read_http(const Place *place, const Setting *setting, void *field,
					  JsonbValue *value);
static void read_relays(MaChannel *channel, Jsonb *settings);
static char			   *text_of(const Place *place, JsonbValue *value);
static int				int_of(const Place *place, const Setting *setting,
							   JsonbValue *value);
static int				span_of(const Place *place, JsonbValue *value);
static char			   *address_of(const Place *place, JsonbValue *value);
static char			   *list_of(const Place *place, const Setting *setting,
								JsonbValue *value);
static MaTemplate	   *template_of(const Place *place, const char *text);
static MaPayload	   *payload_of(const Place *place, JsonbValue *value);
static void				read_headers(const Place *place, JsonbValue *value);
static bool				is_host(const char *host);
static bool				is_url(const char *text, bool whole);
static bool				is_ours(const char *header);
static bool				is_token(const char *text);
static bool				is_choice(const char *choices, const char *text);
pg_noreturn static void wrong_setting(const Place *place,
									  const char  *expected);

/* Fills in the settings, defaults first; a key or value that is wrong is an
 * error. */
void
ma_channel_read(MaChannel *channel, Jsonb *settings)
{
	channel->settings = settings;
	channel->recipient = "email";
	channel->relay.port = 25;
	channel->relay.weight = 1;
	channel->relay.verify = true;
	channel->connections = 4;
	channel->http.method = "POST";
	channel->http.one_server = true; /* as far as is known */
	channel->http.token_header = "Authorization";
	channel->http.sign_header = "X-Signature";
	channel->http.time_header = "X-Timestamp";
	read_object(channel, "", channel_settings, channel, &settings->root);
	channel->http.method =
		asc_toupper(channel->http.method, strlen(channel->http.method));
	ma_pace_read(&channel->pace, channel->name, settings);
	if (channel->transport == MA_CHANNEL_SMTP)
		read_relays(channel, settings);
	if (channel->http.token_prefix == NULL &&
		pg_strcasecmp(channel->http.token_header, "Authorization") == 0)
		channel->http.token_prefix = "Bearer ";
}

/* Reads the settings of one object. */
static void
read_object(MaChannel *channel, const char *prefix, const Setting *settings,
			void *base, JsonbContainer *object)
{
	JsonbIterator	  *it = JsonbIteratorInit(object);
	JsonbIteratorToken token;
	JsonbValue		   value;

	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		const char *name;
		Place		place = {channel};

		if (token != WJB_KEY)
			continue;
		name = pnstrdup(value.val.string.val, value.val.string.len);
		place.key = psprintf("%s%s", prefix, name);
		(void) JsonbIteratorNext(&it, &value, true);
		read_setting(&place, find_setting(&place, settings, name), base,
					 &value);
	}
}

/* The setting of this name; unknown is the user's error. */
static const Setting *
find_setting(const Place *place, const Setting *settings, const char *name)
{
	int			   transport = 1 << place->channel->transport;
	StringInfoData known;

	initStringInfo(&known);
	for (const Setting *s = settings; s->name != NULL; s++)
	{
		if (!(s->transports & transport))
			continue;
		if (strcmp(s->name, name) == 0)
			return s;
		appendStringInfo(&known, "%s%s", known.len > 0 ? ", " : "", s->name);
	}
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("unknown setting \"%s\" of channel \"%s\"",
						   place->key, place->channel->name),
					errhint("Settings are %s.", known.data)));
}

/* Stores one setting. */
static void
read_setting(const Place *place, const Setting *setting, void *base,
			 JsonbValue *value)
{
	void *field = (char *) base + setting->offset;

	if (read_text(place, setting, (char **) field, value))
		return;
	switch (setting->type)
	{
		case SETTING_INT:
			*(int *) field = int_of(place, setting, value);
			break;
		case SETTING_SPAN:
			*(int *) field = span_of(place, value);
			break;
		case SETTING_BOOL:
			if (value->type != jbvBool)
				wrong_setting(place, "true or false");
			*(bool *) field = value->val.boolean;
			break;
		case SETTING_POLICY:
			*(bool *) field = strcmp(text_of(place, value), "hold") == 0;
			if (!is_choice("\"resend\" or \"hold\"", text_of(place, value)))
				wrong_setting(place, "\"resend\" or \"hold\"");
			break;
		case SETTING_OBJECT:
			if (value->type != jbvBinary ||
				!JsonContainerIsObject(value->val.binary.data))
				wrong_setting(place, "an object");
			read_object(place->channel, psprintf("%s.", place->key),
						setting->settings, base, value->val.binary.data);
			break;
		default:
			read_http(place, setting, field, value);
			break;
	}
}

/* Stores one that is a text of some kind; false if it is not of these. */
static bool
read_text(const Place *place, const Setting *setting, char **field,
		  JsonbValue *value)
{
	if (setting->type == SETTING_ADDRESS)
		*field = address_of(place, value);
	else if (setting->type == SETTING_STATUSES ||
			 setting->type == SETTING_VALUES)
		*field = list_of(place, setting, value);
	else if (setting->type > SETTING_CHOICE)
		return false;
	else
		*field = text_of(place, value);
	if (setting->type == SETTING_HOST && !is_host(*field))
		wrong_setting(place, "the name or address of a server");
	if (setting->type == SETTING_TOKEN && !is_token(*field))
		wrong_setting(place, "one word of ASCII");
	if (setting->type == SETTING_CHOICE &&
		!is_choice(setting->choices, *field))
		wrong_setting(place, setting->choices);
	if (setting->type == SETTING_FILE &&
		(strchr(*field, '/') != NULL || (*field)[0] == '.'))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("setting \"%s\" of channel \"%s\" must be a bare file "
						"name",
						place->key, place->channel->name),
				 errhint("The file is looked for in the directory of setting "
						 "mautomate.secrets_directory.")));
	return true;
}

/* Stores one that only requests have. */
static void
read_http(const Place *place, const Setting *setting, void *field,
		  JsonbValue *value)
{
	MaChannelHttp *http = &place->channel->http;
	bool		   is_json = value->type == jbvBinary;
	char		  *text;

	switch (setting->type)
	{
		case SETTING_URL:
			text = text_of(place, value);
			http->one_server =
				strstr(text, "{{") == NULL && strstr(text, "{%") == NULL;
			if (strncmp(text, "{{", 2) != 0 && !is_url(text, http->one_server))
				wrong_setting(place, "an http or https URL, without user, in "
									 "visible ASCII");
			*(MaTemplate **) field = template_of(place, text);
			break;
		case SETTING_BODY:
			if (is_json)
				http->body = payload_of(place, value);
			else if (value->type == jbvString)
				http->text =
					template_of(place, pnstrdup(value->val.string.val,
												value->val.string.len));
			else
				wrong_setting(place, "a text, an object or an array");
			break;
		case SETTING_FORM:
			if (!is_json || !JsonContainerIsObject(value->val.binary.data))
				wrong_setting(place, "an object");
			*(MaPayload **) field = payload_of(place, value);
			break;
		case SETTING_HEADERS:
			read_headers(place, value);
			break;
		default: /* nothing to read, or later */
			break;
	}
}

/* The relays, each over what is set for the whole channel. */
static void
read_relays(MaChannel *channel, Jsonb *settings)
{
	JsonbValue *list =
		getKeyJsonValueFromContainer(&settings->root, "relays", 6, NULL);
	Place place = {channel, "relays"};
	int	  n;

	channel->relays = &channel->relay;
	channel->relay_count = 1;
	if (list == NULL)
		return;
	n = list->type == jbvBinary &&
				JsonContainerIsArray(list->val.binary.data) ?
			JsonContainerSize(list->val.binary.data) :
			0;
	if (n < 1 || n > 16)
		wrong_setting(&place, "an array of 1 to 16 objects");
	channel->relays = palloc(n * sizeof(MaRelay));
	channel->relay_count = n;
	for (int i = 0; i < n; i++)
	{
		JsonbValue *relay =
			getIthJsonbValueFromContainer(list->val.binary.data, i);

		if (relay->type != jbvBinary ||
			!JsonContainerIsObject(relay->val.binary.data))
			wrong_setting(&place, "an array of 1 to 16 objects");
		channel->relays[i] = channel->relay;
		read_object(channel, psprintf("relays[%d].", i), relay_settings,
					&channel->relays[i], relay->val.binary.data);
	}
}

/* A value that is a text: not empty, no control characters. */
static char *
text_of(const Place *place, JsonbValue *value)
{
	char *text;

	if (value->type != jbvString)
		wrong_setting(place, "a text");
	if (value->val.string.len == 0)
		wrong_setting(place, "a text that is not empty");
	text = pnstrdup(value->val.string.val, value->val.string.len);
	for (char *p = text; *p != '\0'; p++)
		if ((unsigned char) *p < ' ' || *p == 0x7f)
			wrong_setting(place, "a text without control characters");
	return text;
}

/* A value that is a whole number within the setting's bounds. */
static int
int_of(const Place *place, const Setting *setting, JsonbValue *value)
{
	char *expected =
		psprintf("a whole number from %d to %d", setting->min, setting->max);
	Numeric number;
	bool	error = false;
	int32	result;

	if (value->type != jbvNumeric)
		wrong_setting(place, expected);
	number = value->val.numeric;
	if (!DatumGetBool(DirectFunctionCall2(
			numeric_eq, NumericGetDatum(number),
			DirectFunctionCall2(numeric_trunc, NumericGetDatum(number),
								Int32GetDatum(0)))))
		wrong_setting(place, expected);
	result = numeric_int4_opt_error(number, &error);
	if (error || result < setting->min || result > setting->max)
		wrong_setting(place, expected);
	return result;
}

/* Error context: which setting. */
static void
name_place(void *arg)
{
	const Place *place = arg;

	errcontext("setting \"%s\" of channel \"%s\"", place->key,
			   place->channel->name);
}

/* A value that is an interval, like "15 s"; in ms. */
static int
span_of(const Place *place, JsonbValue *value)
{
	ErrorContextCallback context = {.callback = name_place,
									.arg = unconstify(Place *, place)};
	char				*text = text_of(place, value);
	Interval			*span;

	context.previous = error_context_stack;
	error_context_stack = &context;
	span = DatumGetIntervalP(
		DirectFunctionCall3(interval_in, CStringGetDatum(text),
							ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
	error_context_stack = context.previous;
	if (span->month != 0 || span->day != 0 || span->time < 1000 ||
		span->time > USECS_PER_DAY)
		wrong_setting(place, "an interval like \"15 s\", at most 24 hours");
	return (int) (span->time / 1000);
}

/* A value that is an e-mail address, in its one spelling. */
static char *
address_of(const Place *place, JsonbValue *value)
{
	char	   *text = text_of(place, value);
	const char *reason;

	if (!ma_address_valid(text, &reason))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("setting \"%s\" of channel \"%s\": \"%s\" is not an "
						"e-mail address",
						place->key, place->channel->name, text),
				 errdetail("%s", reason)));
	return ma_address_normalise(text, NULL);
}

/* Appends one value of a list; false if it cannot be one. */
static bool
add_value(StringInfo list, const Setting *setting, const JsonbValue *value)
{
	char *text;

	if (value->type == jbvNumeric)
		text = DatumGetCString(DirectFunctionCall1(
			numeric_out, NumericGetDatum(value->val.numeric)));
	else if (value->type == jbvBool)
		text = value->val.boolean ? "true" : "false";
	else if (value->type == jbvString)
		text = pnstrdup(value->val.string.val, value->val.string.len);
	else
		return false;
	if (setting->type == SETTING_STATUSES &&
		(strlen(text) != 3 || text[0] < '1' || text[0] > '5' ||
		 (strspn(text, "0123456789") != 3 && strcmp(text + 1, "xx") != 0)))
		return false;
	if (list->len > 0)
		appendStringInfoChar(list,
							 setting->type == SETTING_STATUSES ? ',' : '\n');
	appendStringInfoString(list, text);
	return strchr(text, '\n') == NULL;
}

/* A value that is a list of statuses or values, or one of them. */
static char *
list_of(const Place *place, const Setting *setting, JsonbValue *value)
{
	const char *expected =
		setting->type == SETTING_STATUSES ?
			"a list of statuses like [200, \"5xx\"]" :
			"a text, a number, true, false or a list of them";
	StringInfoData list;

	initStringInfo(&list);
	if (value->type != jbvBinary)
	{
		if (!add_value(&list, setting, value))
			wrong_setting(place, expected);
		return list.data;
	}
	if (!JsonContainerIsArray(value->val.binary.data) ||
		JsonContainerSize(value->val.binary.data) == 0)
		wrong_setting(place, expected);
	for (uint32 i = 0; i < JsonContainerSize(value->val.binary.data); i++)
		if (!add_value(
				&list, setting,
				getIthJsonbValueFromContainer(value->val.binary.data, i)))
			wrong_setting(place, expected);
	return list.data;
}

/* A text that is Liquid, parsed. */
static MaTemplate *
template_of(const Place *place, const char *text)
{
	ErrorContextCallback context = {.callback = name_place,
									.arg = unconstify(Place *, place)};
	MaTemplate *template;

	context.previous = error_context_stack;
	error_context_stack = &context;
	template = ma_template_parse(text, CurrentMemoryContext);
	error_context_stack = context.previous;
	return template;
}

/* JSON whose texts are Liquid, parsed. */
static MaPayload *
payload_of(const Place *place, JsonbValue *value)
{
	ErrorContextCallback context = {.callback = name_place,
									.arg = unconstify(Place *, place)};
	MaPayload			*payload;

	context.previous = error_context_stack;
	error_context_stack = &context;
	payload = ma_payload_parse(JsonbValueToJsonb(value));
	error_context_stack = context.previous;
	return payload;
}

/* An object of headers and their values. */
static void
read_headers(const Place *place, JsonbValue *value)
{
	MaChannelHttp	  *http = &place->channel->http;
	JsonbIterator	  *it;
	JsonbIteratorToken token;
	JsonbValue		   item;
	int				   max;

	if (value->type != jbvBinary ||
		!JsonContainerIsObject(value->val.binary.data))
		wrong_setting(place, "an object");
	max = JsonContainerSize(value->val.binary.data) + 1;
	http->header_names = palloc(max * sizeof(char *));
	http->header_values = palloc(max * sizeof(MaTemplate *));
	it = JsonbIteratorInit(value->val.binary.data);
	while ((token = JsonbIteratorNext(&it, &item, true)) != WJB_DONE)
	{
		int	  n = http->header_count;
		Place inner = {place->channel};

		if (token != WJB_KEY)
			continue;
		http->header_names[n] =
			pnstrdup(item.val.string.val, item.val.string.len);
		inner.key = psprintf("%s.%s", place->key, http->header_names[n]);
		if (!is_token(http->header_names[n]))
			wrong_setting(&inner, "named by one word of ASCII");
		if (is_ours(http->header_names[n]))
			wrong_setting(&inner, "left out: it is made with the request");
		(void) JsonbIteratorNext(&it, &item, true);
		http->header_values[n] = template_of(&inner, text_of(&inner, &item));
		http->header_count++;
	}
}

/* The error of a setting that is not what it must be. */
static void
wrong_setting(const Place *place, const char *expected)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("setting \"%s\" of channel \"%s\" must be %s",
						   place->key, place->channel->name, expected)));
}

/* Can this be a host name or an address, and nothing more? */
static bool
is_host(const char *host)
{
	size_t			length = strlen(host);
	struct in6_addr address;

	if (strchr(host, ':') != NULL)
		return inet_pton(AF_INET6, host, &address) == 1;
	return length <= 253 && host[0] != '-' &&
		   strspn(host, "abcdefghijklmnopqrstuvwxyz"
						"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") == length;
}

/* Can this be the URL of a web server, or the beginning of one? */
static bool
is_url(const char *text, bool whole)
{
	const char *host = strstr(text, "://");
	size_t		length;

	if (strncmp(text, "http://", 7) != 0 && strncmp(text, "https://", 8) != 0)
		return false;
	if (!whole)
		return true;
	host += 3;
	length = strcspn(host, "/?#");
	for (const char *c = text; *c != '\0'; c++)
		if (*c <= ' ' || *c > '~')
			return false;
	return length > 0 && memchr(host, '@', length) == NULL;
}

/* Does that header say where a request goes or ends? As in request.c. */
static bool
is_ours(const char *header)
{
	static const char *const names[] = {"Content-Length", "Transfer-Encoding",
										"Connection", "Expect", "Host"};

	for (int i = 0; i < lengthof(names); i++)
		if (pg_strcasecmp(header, names[i]) == 0)
			return true;
	return false;
}

/* Is it a token of HTTP? */
static bool
is_token(const char *text)
{
	return *text != '\0' &&
		   text[strspn(text, "abcdefghijklmnopqrstuvwxyz"
							 "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
							 "0123456789!#$%&'*+-.^_`|~")] == '\0';
}

/* Is a text one of those that stand in quotes? */
static bool
is_choice(const char *choices, const char *text)
{
	return strchr(text, '"') == NULL &&
		   strstr(choices, psprintf("\"%s\"", text)) != NULL;
}
