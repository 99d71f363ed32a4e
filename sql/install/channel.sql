-- Channels: by which way messages leave.

create table mautomate_internal.channel (
  channel_id serial primary key,
  name text not null,
  transport text not null check (transport in ('smtp', 'log')),
  settings jsonb not null check (jsonb_typeof(settings) = 'object'),
  dropped boolean not null default false
);
comment on table mautomate_internal.channel is
  'by which way messages leave; a dropped one stays for the messages it sent';
comment on column mautomate_internal.channel.settings is
  'as given to create_channel(), validated; holds no secret';
create unique index channel_name on mautomate_internal.channel (name)
  where not dropped;
create trigger definition_changed
  after insert or update or delete or truncate on mautomate_internal.channel
  for each statement execute function mautomate_internal.definition_changed();
create trigger invalidate
  after insert or update or delete or truncate on mautomate_internal.channel
  for each statement execute function mautomate_internal.invalidate();
select pg_catalog.pg_extension_config_dump('mautomate_internal.channel', '');
select pg_catalog.pg_extension_config_dump('mautomate_internal.channel_channel_id_seq', '');

create function mautomate.create_channel(name text, transport text,
                                         settings jsonb default '{}')
  returns text
  language c volatile as 'MODULE_PATHNAME', 'mautomate_create_channel';
comment on function mautomate.create_channel(text, text, jsonb) is
  'a way for messages to leave; returns created, changed or unchanged. '
  'transport log: messages are rendered and recorded as sent, nothing leaves the server; no settings. '
  'transport smtp: {"host", "port": 25, "tls": "starttls" | "smtps" | "none", "verify": true, "ca_file", "user", "password_file", "from", "from_name", "reply_to", "connections": 4, "in_doubt": "resend" | "hold"}; '
  'host and from are required; password_file is the bare name of a file in setting mautomate.secrets_directory, ca_file a path; '
  'in_doubt is what happens to a message of which the server may or may not have taken the last byte. '
  'Errors: 22023 for a setting that is unknown or cannot be.';

create function mautomate.drop_channel(name text) returns void
  language c volatile as 'MODULE_PATHNAME', 'mautomate_drop_channel';
comment on function mautomate.drop_channel(text) is
  'drops a channel; refused (2BP01) while templates use it. Its messages stay.';

create function mautomate.rename_channel(name text, new_name text) returns void
  language c volatile as 'MODULE_PATHNAME', 'mautomate_rename_channel';
comment on function mautomate.rename_channel(text, text) is
  'gives a channel a new name; templates follow';

create view mautomate.channels as
  select name, transport, settings
  from mautomate_internal.channel
  where not dropped;
comment on view mautomate.channels is
  'the channels; settings as given, passwords are in files';
