/*
 * channel.c
 *	  By which way messages leave: definition and cache of channels.
 *
 * Settings are read by one function, both when a channel is defined, where a
 * mistake is told, and when it is loaded. What is in them can be seen by
 * whoever may see definitions: a password is never among them, only the bare
 * name of the file that holds it.
 *
 * The cache holds all channels, dropped ones too, since messages that wait
 * may belong to them. It is replaced as a whole; a caller that keeps a
 * MaChannel beyond the next look-up copies what it needs.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/snapmgr.h"

#include "address.h"
#include "argument.h"
#include "channel.h"
#include "compat.h"
#include "guc.h"
#include "inval.h"
#include "sql.h"

PG_FUNCTION_INFO_V1(mautomate_create_channel);
PG_FUNCTION_INFO_V1(mautomate_drop_channel);
PG_FUNCTION_INFO_V1(mautomate_rename_channel);

/* What a setting is, and so where it is stored. */
typedef enum SettingType
{
	SETTING_TEXT,	 /* char * */
	SETTING_ADDRESS, /* char *, an e-mail address */
	SETTING_INT,	 /* int */
	SETTING_BOOL,	 /* bool */
	SETTING_POLICY	 /* bool: "hold" or "resend" */
} SettingType;

/* A setting of smtp channels. */
typedef struct Setting
{
	const char *name;
	SettingType type;
	size_t		offset; /* in MaChannel */
	int			min;	/* of an int */
	int			max;
} Setting;

static const Setting settings[] = {
	{"host", SETTING_TEXT, offsetof(MaChannel, host)},
	{"port", SETTING_INT, offsetof(MaChannel, port), 1, 65535},
	{"tls", SETTING_TEXT, offsetof(MaChannel, tls)},
	{"verify", SETTING_BOOL, offsetof(MaChannel, verify)},
	{"ca_file", SETTING_TEXT, offsetof(MaChannel, ca_file)},
	{"user", SETTING_TEXT, offsetof(MaChannel, user)},
	{"password_file", SETTING_TEXT, offsetof(MaChannel, password_file)},
	{"from", SETTING_ADDRESS, offsetof(MaChannel, from)},
	{"from_name", SETTING_TEXT, offsetof(MaChannel, from_name)},
	{"reply_to", SETTING_ADDRESS, offsetof(MaChannel, reply_to)},
	{"connections", SETTING_INT, offsetof(MaChannel, connections), 1, 512},
	{"in_doubt", SETTING_POLICY, offsetof(MaChannel, hold_in_doubt)}};

#define SETTINGS_HINT                                                        \
	"Settings of smtp channels are host, port, tls, verify, ca_file, user, " \
	"password_file, from, from_name, reply_to, connections and in_doubt."

static void	 read_settings(MaChannel *channel, Jsonb *object);
static void	 read_setting(MaChannel *channel, const char *key,
						  JsonbValue *value);
static char *setting_text(const MaChannel *channel, const Setting *setting,
						  JsonbValue *value);
static int	 setting_int(const MaChannel *channel, const Setting *setting,
						 JsonbValue *value);
pg_noreturn static void wrong_setting(const MaChannel *channel,
									  const char *key, const char *expected);
static void				check_smtp(const MaChannel *channel);
static void				check_login(const MaChannel *channel);
static bool				is_host(const char *host);
static void				reload(void);

static MaWatch		 watch = {"channel"};
static MemoryContext cache_cxt = NULL; /* owns the channels below */
static MaChannel	*channels;		   /* all of them */
static int			 channel_count = 0;

/* create_channel(name, transport, settings) -> text */
Datum
mautomate_create_channel(PG_FUNCTION_ARGS)
{
	static MaStatement lock = {
		"lock table mautomate_internal.channel in share row exclusive mode",
		0};
	static MaStatement upsert = {
		"with old as (select channel_id, transport, settings"
		"  from mautomate_internal.channel where name = $1 and not dropped),"
		" changed as (update mautomate_internal.channel c"
		"  set transport = $2, settings = $3 from old"
		"  where c.channel_id = old.channel_id"
		"  and (old.transport <> $2 or old.settings <> $3) returning 1),"
		" created as ("
		"  insert into mautomate_internal.channel (name, transport, settings)"
		"  select $1, $2, $3 where not exists (select from old) returning 1)"
		" select case when exists (select from created) then 'created'"
		"  when exists (select from changed) then 'changed'"
		"  else 'unchanged' end",
		3,
		{TEXTOID, TEXTOID, JSONBOID}};
	MemoryContext caller = CurrentMemoryContext;
	MaChannel	  channel = {0};
	char		 *transport;
	Jsonb		 *object;
	MaSqlScope	  scope;
	Datum		  values[3];
	char		 *result;

	channel.name = ma_argument_name(fcinfo, 0, "name");
	transport = ma_argument_text(fcinfo, 1, "transport");
	object = ma_argument_object(fcinfo, 2, "settings");
	if (strcmp(transport, "smtp") == 0)
		channel.transport = MA_CHANNEL_SMTP;
	else if (strcmp(transport, "log") == 0)
		channel.transport = MA_CHANNEL_LOG;
	else
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("unknown transport \"%s\"", transport),
						errhint("Transports are smtp and log.")));
	read_settings(&channel, object);
	if (channel.transport == MA_CHANNEL_SMTP)
		check_smtp(&channel);

	values[0] = CStringGetTextDatum(channel.name);
	values[1] = CStringGetTextDatum(transport);
	values[2] = JsonbPGetDatum(object);
	ma_sql_begin(&scope);
	ma_sql_exec(&lock, NULL, NULL, 0);
	ma_sql_exec(&upsert, values, NULL, 0);
	result = MemoryContextStrdup(caller, ma_sql_text(0, 1));
	ma_sql_end(&scope);
	PG_RETURN_TEXT_P(cstring_to_text(result));
}

/* drop_channel(name) */
Datum
mautomate_drop_channel(PG_FUNCTION_ARGS)
{
	static MaStatement users = {
		"select string_agg(format('template \"%s\"', t.name), ', '"
		" order by t.name)"
		" from mautomate_internal.template t"
		" join mautomate_internal.template_version v"
		" using (template_id, version)"
		" where v.channel_id = $1 and not t.dropped",
		1,
		{INT4OID}};
	static MaStatement drop = {
		"update mautomate_internal.channel set dropped = true"
		" where channel_id = $1",
		1,
		{INT4OID}};
	char			*name = ma_argument_text(fcinfo, 0, "name");
	const MaChannel *channel = ma_channel_named(name);
	Datum			 values[1] = {Int32GetDatum(channel->channel_id)};
	MaSqlScope		 scope;
	char			*used_by;

	ma_sql_begin(&scope);
	ma_sql_exec(&users, values, NULL, 0);
	used_by = ma_sql_text(0, 1);
	if (used_by != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
				 errmsg("cannot drop channel \"%s\" because it is used", name),
				 errdetail("It is used by %s.", used_by)));
	ma_sql_exec(&drop, values, NULL, 0);
	ma_sql_end(&scope);
	PG_RETURN_VOID();
}

/* rename_channel(name, new_name) */
Datum
mautomate_rename_channel(PG_FUNCTION_ARGS)
{
	static MaStatement rename = {
		"update mautomate_internal.channel set name = $2"
		" where channel_id = $1 and not exists ("
		"  select from mautomate_internal.channel"
		"  where name = $2 and not dropped)",
		2,
		{INT4OID, TEXTOID}};
	char	  *name = ma_argument_text(fcinfo, 0, "name");
	char	  *new_name = ma_argument_name(fcinfo, 1, "new_name");
	Datum	   values[2];
	MaSqlScope scope;

	values[0] = Int32GetDatum(ma_channel_named(name)->channel_id);
	values[1] = CStringGetTextDatum(new_name);
	ma_sql_begin(&scope);
	if (ma_sql_exec(&rename, values, NULL, 0) == 0)
		ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT),
						errmsg("channel \"%s\" already exists", new_name)));
	ma_sql_end(&scope);
	PG_RETURN_VOID();
}

/* All channels, dropped ones too; valid until the next look-up. */
const MaChannel *
ma_channel_all(int *n)
{
	if (!ma_inval_watch(&watch))
		elog(ERROR, "mautomate is not installed");
	if (watch.stale)
		reload();
	*n = channel_count;
	return channels;
}

/* The channel of this id, dropped or not; valid until the next look-up. */
const MaChannel *
ma_channel_find(int channel_id)
{
	int n;

	(void) ma_channel_all(&n);
	for (int i = 0; i < channel_count; i++)
		if (channels[i].channel_id == channel_id)
			return &channels[i];
	elog(ERROR, "channel %d not found", channel_id);
}

/* The living channel of this name; unknown is the user's error. */
const MaChannel *
ma_channel_named(const char *name)
{
	static MaStatement find = {
		"select channel_id from mautomate_internal.channel"
		" where name = $1 and not dropped",
		1,
		{TEXTOID}};
	Datum	   values[1] = {CStringGetTextDatum(name)};
	MaSqlScope scope;
	bool	   isnull;
	int		   id = 0;

	ma_sql_begin(&scope);
	if (ma_sql_exec(&find, values, NULL, 0) > 0)
		id = DatumGetInt32(ma_sql_datum(0, 1, &isnull));
	ma_sql_end(&scope);
	if (id == 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("channel \"%s\" does not exist", name),
						errhint("The view mautomate.channels lists the "
								"channels; create_channel() makes one.")));
	return ma_channel_find(id);
}

/* Reads all channels under the latest snapshot. */
static void
reload(void)
{
	static MaStatement stmt = {"select channel_id, name, transport, settings"
							   " from mautomate_internal.channel",
							   0};
	MemoryContext	   cxt = AllocSetContextCreate(
			 CurrentMemoryContext, "mautomate channels", ALLOCSET_SMALL_SIZES);
	MemoryContext old;
	MaSqlScope	  scope;
	MaChannel	 *list;
	int			  n;

	watch.stale = false;
	ma_sql_begin(&scope);
	PushActiveSnapshot(GetLatestSnapshot());
	n = (int) ma_sql_read(&stmt, NULL, NULL, 0);
	old = MemoryContextSwitchTo(cxt);
	list = palloc0((n + 1) * sizeof(MaChannel));
	for (int i = 0; i < n; i++)
	{
		MaChannel *channel = &list[i];
		Jsonb	  *object;
		bool	   isnull;

		channel->channel_id = DatumGetInt32(ma_sql_datum(i, 1, &isnull));
		channel->name = ma_sql_text(i, 2);
		channel->transport = strcmp(ma_sql_text(i, 3), "smtp") == 0 ?
								 MA_CHANNEL_SMTP :
								 MA_CHANNEL_LOG;
		object = DatumGetJsonbP(ma_sql_datum(i, 4, &isnull));
		channel->revision = DatumGetUInt32(hash_any(
			(unsigned char *) VARDATA_ANY(object), VARSIZE_ANY_EXHDR(object)));
		read_settings(channel, object);
	}
	MemoryContextSwitchTo(old);
	PopActiveSnapshot();
	ma_sql_end(&scope);
	if (cache_cxt != NULL)
		MemoryContextDelete(cache_cxt);
	MemoryContextSetParent(cxt, TopMemoryContext);
	cache_cxt = cxt;
	channels = list;
	channel_count = n;
}

/* Fills in the settings, defaults first; a key or value that is wrong is an
 * error. */
static void
read_settings(MaChannel *channel, Jsonb *object)
{
	JsonbIterator	  *it = JsonbIteratorInit(&object->root);
	JsonbIteratorToken token;
	JsonbValue		   value;

	channel->port = 25;
	channel->verify = true;
	channel->connections = 4;
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		char *key;

		if (token != WJB_KEY)
			continue;
		key = pnstrdup(value.val.string.val, value.val.string.len);
		if (channel->transport != MA_CHANNEL_SMTP)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("unknown setting \"%s\" of channel \"%s\"", key,
							channel->name),
					 errhint("Channels of transport log have no settings.")));
		(void) JsonbIteratorNext(&it, &value, true);
		read_setting(channel, key, &value);
	}
}

/* Stores one setting. */
static void
read_setting(MaChannel *channel, const char *key, JsonbValue *value)
{
	const Setting *setting = NULL;
	char		  *place;
	const char	  *reason;
	char		  *text;

	for (int i = 0; i < lengthof(settings); i++)
		if (strcmp(settings[i].name, key) == 0)
			setting = &settings[i];
	if (setting == NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("unknown setting \"%s\" of channel \"%s\"", key,
							   channel->name),
						errhint(SETTINGS_HINT)));
	place = (char *) channel + setting->offset;
	switch (setting->type)
	{
		case SETTING_TEXT:
			*(char **) place = setting_text(channel, setting, value);
			break;
		case SETTING_ADDRESS:
			text = setting_text(channel, setting, value);
			if (!ma_address_valid(text, &reason))
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("setting \"%s\" of channel \"%s\": \"%s\" is "
								"not an e-mail address",
								key, channel->name, text),
						 errdetail("%s", reason)));
			*(char **) place = ma_address_normalise(text, NULL);
			break;
		case SETTING_INT:
			*(int *) place = setting_int(channel, setting, value);
			break;
		case SETTING_BOOL:
			if (value->type != jbvBool)
				wrong_setting(channel, key, "true or false");
			*(bool *) place = value->val.boolean;
			break;
		case SETTING_POLICY:
			text = setting_text(channel, setting, value);
			if (strcmp(text, "hold") != 0 && strcmp(text, "resend") != 0)
				wrong_setting(channel, key, "\"resend\" or \"hold\"");
			*(bool *) place = strcmp(text, "hold") == 0;
			break;
	}
}

/* A setting that is a text: not empty, no control characters. */
static char *
setting_text(const MaChannel *channel, const Setting *setting,
			 JsonbValue *value)
{
	char *text;

	if (value->type != jbvString || value->val.string.len == 0)
		wrong_setting(channel, setting->name, "a text");
	text = pnstrdup(value->val.string.val, value->val.string.len);
	for (char *p = text; *p != '\0'; p++)
		if ((unsigned char) *p < ' ' || *p == 0x7f)
			wrong_setting(channel, setting->name,
						  "a text without control characters");
	return text;
}

/* A setting that is a whole number within its bounds. */
static int
setting_int(const MaChannel *channel, const Setting *setting,
			JsonbValue *value)
{
	char *expected =
		psprintf("a whole number from %d to %d", setting->min, setting->max);
	Numeric number;
	bool	error = false;
	int32	result;

	if (value->type != jbvNumeric)
		wrong_setting(channel, setting->name, expected);
	number = value->val.numeric;
	if (!DatumGetBool(DirectFunctionCall2(
			numeric_eq, NumericGetDatum(number),
			DirectFunctionCall2(numeric_trunc, NumericGetDatum(number),
								Int32GetDatum(0)))))
		wrong_setting(channel, setting->name, expected);
	result = numeric_int4_opt_error(number, &error);
	if (error || result < setting->min || result > setting->max)
		wrong_setting(channel, setting->name, expected);
	return result;
}

/* The error of a setting that is not what it must be. */
static void
wrong_setting(const MaChannel *channel, const char *key, const char *expected)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("setting \"%s\" of channel \"%s\" must be %s", key,
						   channel->name, expected)));
}

/* What is required of an smtp channel, and what goes together. */
static void
check_smtp(const MaChannel *channel)
{
	if (channel->host == NULL || channel->from == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("channel \"%s\" needs setting \"%s\"", channel->name,
						channel->host == NULL ? "host" : "from"),
				 errhint("Write settings like '{\"host\": "
						 "\"mail.example.com\", \"from\": "
						 "\"shop@example.com\"}'.")));
	if (!is_host(channel->host))
		wrong_setting(channel, "host", "the name or address of a server");
	if (channel->tls != NULL && strcmp(channel->tls, "starttls") != 0 &&
		strcmp(channel->tls, "smtps") != 0 &&
		strcmp(channel->tls, "none") != 0)
		wrong_setting(channel, "tls", "\"starttls\", \"smtps\" or \"none\"");
	check_login(channel);
}

/* User and password file go together, and the file is a bare name. */
static void
check_login(const MaChannel *channel)
{
	if ((channel->user == NULL) != (channel->password_file == NULL))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("channel \"%s\" needs both \"user\" and "
							   "\"password_file\", or neither",
							   channel->name)));
	if (channel->user == NULL)
		return;
	if (strchr(channel->password_file, '/') != NULL ||
		channel->password_file[0] == '.')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("setting \"password_file\" of channel \"%s\" must be "
						"a bare file name",
						channel->name),
				 errhint("The file is looked for in the directory of setting "
						 "mautomate.secrets_directory.")));
	if (ma_guc_secrets_directory[0] == '\0')
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("setting mautomate.secrets_directory is empty"),
						errdetail("Channel \"%s\" has a password file.",
								  channel->name),
						errhint("Put the directory of the password files into "
								"postgresql.conf.")));
	if (channel->tls != NULL && strcmp(channel->tls, "none") == 0)
		ereport(WARNING,
				(errmsg("channel \"%s\" sends its password unencrypted",
						channel->name),
				 errhint("Use \"tls\": \"starttls\" or \"smtps\".")));
}

/* Can this be a host name or an address, and nothing more? */
static bool
is_host(const char *host)
{
	size_t length = strlen(host);

	return length <= 253 && host[0] != '-' &&
		   strspn(host, "abcdefghijklmnopqrstuvwxyz"
						"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:") == length;
}
