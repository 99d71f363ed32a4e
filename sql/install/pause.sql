-- Channels that are paused.

create table mautomate_internal.channel_pause (
  channel_id int primary key,
  paused_at timestamptz not null,
  automatic boolean not null,
  reason text
);
comment on table mautomate_internal.channel_pause is
  'channels that are paused; their messages wait';
create trigger invalidate
  after insert or update or delete or truncate on mautomate_internal.channel_pause
  for each statement execute function mautomate_internal.invalidate();
select pg_catalog.pg_extension_config_dump('mautomate_internal.channel_pause', '');

create function mautomate.pause_channel(name text, reason text default null)
  returns boolean
  language c volatile as 'MODULE_PATHNAME', 'mautomate_pause_channel';
comment on function mautomate.pause_channel(text, text) is
  'lets the messages of a channel wait until resume_channel(); true if it was not paused. What is at a server already is not called back. '
  'Errors: 42704 for an unknown channel.';

create function mautomate.resume_channel(name text) returns boolean
  language c volatile as 'MODULE_PATHNAME', 'mautomate_resume_channel';
comment on function mautomate.resume_channel(text) is
  'sends the messages of a channel again; true if it was paused. What failed before is forgotten by its setting pause_when. '
  'Errors: 42704 for an unknown channel.';
