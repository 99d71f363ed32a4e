-- How fast messages leave: buckets of tokens, shared by all senders.

create table mautomate_internal.bucket (
  channel_id int not null,
  domain text not null,
  next_at timestamptz not null,
  queue_at timestamptz not null,
  primary key (channel_id, domain)
) with (fillfactor = 50);
comment on table mautomate_internal.bucket is
  'where a limit of messages per time stands, by the real clock; domain is empty for the whole channel; not dumped';
comment on column mautomate_internal.bucket.next_at is
  'when all tokens taken so far have come';
comment on column mautomate_internal.bucket.queue_at is
  'until when messages that wait for a token have been told to wait';

create table mautomate_internal.warm_up (
  channel_id int primary key,
  first_day date not null,
  day date not null,
  used int not null
);
comment on table mautomate_internal.warm_up is
  'the first day of a channel that is warmed up, its last one, and how many messages went out on it; days of mautomate.timezone, by the real clock';
select pg_catalog.pg_extension_config_dump('mautomate_internal.warm_up', '');

create function mautomate_internal.warm_up_limit(settings jsonb, day int)
  returns int
  language c stable strict as 'MODULE_PATHNAME', 'mautomate_warm_up_limit';
comment on function mautomate_internal.warm_up_limit(jsonb, int) is
  'how many messages a channel with these settings may send on this day of its warm-up, 1 being the first; null: no limit';

create function mautomate_internal.today() returns date
  language c stable as 'MODULE_PATHNAME', 'mautomate_today';
comment on function mautomate_internal.today() is
  'the day in mautomate.timezone, by the real clock';

create function mautomate_internal.rate_due(settings jsonb,
                                            next_at timestamptz)
  returns timestamptz
  language c stable strict as 'MODULE_PATHNAME', 'mautomate_rate_due';
comment on function mautomate_internal.rate_due(jsonb, timestamptz) is
  'when the rate of a channel with these settings, whose bucket is like that, lets the next message go, by the real clock; null: now';
