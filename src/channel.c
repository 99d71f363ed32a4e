/*
 * channel.c
 *	  By which way messages leave: definition and cache of channels.
 *
 * What is stored is what was given; a preset, which is a row of a view, is
 * looked up when the settings are read (channel_setting.c).
 *
 * The cache holds all channels, dropped ones too, since messages that wait
 * may belong to them. It is replaced as a whole; a caller that keeps a
 * MaChannel beyond the next look-up copies what it needs.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "argument.h"
#include "channel.h"
#include "channel_setting.h"
#include "clock.h"
#include "compat.h"
#include "inval.h"
#include "sql.h"
#include "wake.h"

PG_FUNCTION_INFO_V1(mautomate_create_channel);
PG_FUNCTION_INFO_V1(mautomate_drop_channel);
PG_FUNCTION_INFO_V1(mautomate_rename_channel);

static MaChannelTransport transport_named(const char *name);
static void				  forget_queue(const char *name);
static Jsonb			 *over_preset(Jsonb *settings);
static void				  reload(void);

static MaWatch		 watch = {"channel"};
static MemoryContext cache_cxt = NULL; /* owns the channels below */
static MaChannel	*channels;		   /* all of them */
static int			 channel_count = 0;
static bool			 loaded = false; /* whole, by the last reload() */

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
		"  set transport = $2, settings = $3, recipient = $4 from old"
		"  where c.channel_id = old.channel_id"
		"  and (old.transport <> $2 or old.settings <> $3) returning 1),"
		" created as (insert into mautomate_internal.channel"
		"  (name, transport, settings, recipient)"
		"  select $1, $2, $3, $4 where not exists (select from old)"
		"  returning 1)"
		" select case when exists (select from created) then 'created'"
		"  when exists (select from changed) then 'changed'"
		"  else 'unchanged' end",
		4,
		{TEXTOID, TEXTOID, JSONBOID, TEXTOID}};
	MemoryContext caller = CurrentMemoryContext;
	MaChannel	  channel = {0};
	char		 *transport;
	Jsonb		 *object;
	MaSqlScope	  scope;
	Datum		  values[4];
	char		 *result;

	channel.name = ma_argument_name(fcinfo, 0, "name");
	transport = ma_argument_text(fcinfo, 1, "transport");
	object = ma_argument_object(fcinfo, 2, "settings");
	channel.transport = transport_named(transport);
	ma_channel_read(&channel, channel.transport == MA_CHANNEL_HTTP ?
								  over_preset(object) :
								  object);
	ma_channel_check(&channel);

	values[0] = CStringGetTextDatum(channel.name);
	values[1] = CStringGetTextDatum(transport);
	values[2] = JsonbPGetDatum(object);
	values[3] = CStringGetTextDatum(channel.recipient);
	ma_sql_begin(&scope);
	ma_sql_exec(&lock, NULL, NULL, 0);
	ma_sql_exec(&upsert, values, NULL, 0);
	result = MemoryContextStrdup(caller, ma_sql_text(0, 1));
	if (strcmp(result, "changed") == 0)
		forget_queue(channel.name);
	ma_sql_end(&scope);
	PG_RETURN_TEXT_P(cstring_to_text(result));
}

/*
 * What waits for its turn under the old limits of a channel is looked at
 * anew. Senders are not waited for: what they hold is sent or put back. They
 * take the limits in this order too.
 */
static void
forget_queue(const char *name)
{
	static MaStatement lock = {
		"lock table mautomate_internal.outbox in row exclusive mode", 0};
	static MaStatement messages = {
		"update mautomate_internal.outbox o"
		" set due_at = $2, real_at = null, waits = null"
		" from (select i.channel_id, i.priority, i.message_id"
		"  from mautomate_internal.channel c"
		"  join mautomate_internal.outbox i using (channel_id)"
		"  where c.name = $1 and not c.dropped and i.waits is not null"
		"  and i.state in ('pending', 'retry') for update of i skip locked) i"
		" where o.channel_id = i.channel_id and o.priority = i.priority"
		" and o.message_id = i.message_id",
		2,
		{TEXTOID, TIMESTAMPTZOID}};
	static MaStatement limits = {
		"update mautomate_internal.bucket b"
		" set queue_at = least(b.queue_at, clock_timestamp())"
		" from (select i.channel_id, i.domain from mautomate_internal.channel"
		"  join mautomate_internal.bucket i using (channel_id)"
		"  where name = $1 and not dropped order by i.domain"
		"  for update of i) i"
		" where b.channel_id = i.channel_id and b.domain = i.domain",
		1,
		{TEXTOID}};
	Datum values[2] = {CStringGetTextDatum(name)};

	ma_sql_exec(&lock, NULL, NULL, 0);
	values[1] = TimestampTzGetDatum(ma_now());
	ma_sql_exec(&messages, values, NULL, 0);
	ma_sql_exec(&limits, values, NULL, 0);
	ma_wake_senders_at_commit();
}

/* What takes the messages; unknown is the user's error. */
static MaChannelTransport
transport_named(const char *name)
{
	if (strcmp(name, "smtp") == 0)
		return MA_CHANNEL_SMTP;
	if (strcmp(name, "http") == 0)
		return MA_CHANNEL_HTTP;
	if (strcmp(name, "log") == 0)
		return MA_CHANNEL_LOG;
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("unknown transport \"%s\"", name),
					errhint("Transports are smtp, http and log.")));
}

/* What a preset is called, as it was written. */
static char *
preset_of(Jsonb *settings)
{
	JsonbValue value;

	getKeyJsonValueFromContainer(&settings->root, "preset", 6, &value);
	return JsonbToCString(NULL, &JsonbValueToJsonb(&value)->root, 0);
}

/* The settings over those of their preset, if they name one. */
static Jsonb *
over_preset(Jsonb *settings)
{
	static MaStatement stmt = {
		"select settings || $1 from mautomate.channel_presets"
		" where preset = $1->>'preset'",
		1,
		{JSONBOID}};
	MemoryContext caller = CurrentMemoryContext;
	Datum		  values[1] = {JsonbPGetDatum(settings)};
	MaSqlScope	  scope;
	bool		  isnull;

	if (getKeyJsonValueFromContainer(&settings->root, "preset", 6, NULL) ==
		NULL)
		return settings;
	ma_sql_begin(&scope);
	if (ma_sql_exec(&stmt, values, NULL, 0) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown preset %s", preset_of(settings)),
				 errhint("The view mautomate.channel_presets lists them.")));
	MemoryContextSwitchTo(caller);
	settings = DatumGetJsonbPCopy(ma_sql_datum(0, 1, &isnull));
	ma_sql_end(&scope);
	return settings;
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
	if (watch.stale || !loaded)
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
	int n;

	(void) ma_channel_all(&n);
	for (int i = 0; i < n; i++)
		if (!channels[i].dropped && strcmp(channels[i].name, name) == 0)
			return &channels[i];
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
					errmsg("channel \"%s\" does not exist", name),
					errhint("The view mautomate.channels lists the channels; "
							"create_channel() makes one.")));
}

/* Reads all channels under the latest snapshot. */
static void
reload(void)
{
	static MaStatement stmt = {"select c.channel_id, c.name, c.transport,"
							   " coalesce(p.settings, '{}') || c.settings,"
							   " c.dropped"
							   " from mautomate_internal.channel c"
							   " left join mautomate.channel_presets p"
							   "  on p.preset = c.settings->>'preset'"
							   " order by c.channel_id",
							   0};
	MemoryContext	   cxt = AllocSetContextCreate(
			 CurrentMemoryContext, "mautomate channels", ALLOCSET_SMALL_SIZES);
	MemoryContext old;
	MaSqlScope	  scope;
	MaChannel	 *list;
	int			  n;

	loaded = false;
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
		channel->transport = transport_named(ma_sql_text(i, 3));
		object = DatumGetJsonbPCopy(ma_sql_datum(i, 4, &isnull));
		channel->dropped = DatumGetBool(ma_sql_datum(i, 5, &isnull));
		channel->revision = DatumGetUInt32(hash_any(
			(unsigned char *) VARDATA_ANY(object), VARSIZE_ANY_EXHDR(object)));
		ma_channel_read(channel, object);
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
	loaded = true;
}
