-- Channels: by which way messages leave.

create table mautomate_internal.channel (
  channel_id serial primary key,
  name text not null,
  transport text not null check (transport in ('smtp', 'http', 'log')),
  settings jsonb not null check (jsonb_typeof(settings) = 'object'),
  recipient text not null default 'email',
  dropped boolean not null default false
);
comment on table mautomate_internal.channel is
  'by which way messages leave; a dropped one stays for the messages it sent';
comment on column mautomate_internal.channel.settings is
  'as given to create_channel(), validated; holds no secret';
comment on column mautomate_internal.channel.recipient is
  'what of a contact is the address: email, phone, none (the channel goes elsewhere) or the name of an attribute';
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

-- What a setting "preset" stands for; settings given beside it are over it.
create view mautomate.channel_presets(preset, settings) as values
  ('webhook', '{
    "to": "none",
    "body": {"id": {"=": "message.id"}, "key": "{{ message.idempotency_key }}",
             "template": "{{ message.template }}", "contact": {"=": "contact"},
             "subject": {"=": "message.subject"}, "text": {"=": "message.body"},
             "html": {"=": "message.html"}, "context": {"=": "context"}}}'::jsonb),
  ('sms', '{
    "to": "phone",
    "body": {"from": "{{ channel.from }}", "to": "{{ message.to }}",
             "text": "{{ message.body }}"},
    "provider_id": "id"}'),
  ('slack', '{
    "to": "none",
    "body": {"text": "{{ message.body }}"}}'),
  ('mastodon', '{
    "to": "none",
    "body": {"status": "{{ message.body }}"},
    "provider_id": "id"}');
comment on view mautomate.channel_presets is
  'what a setting "preset" of an http channel stands for; settings given beside it replace those of the same name';

create function mautomate.create_channel(name text, transport text,
                                         settings jsonb default '{}')
  returns text
  language c volatile as 'MODULE_PATHNAME', 'mautomate_create_channel';
comment on function mautomate.create_channel(text, text, jsonb) is
  'a way for messages to leave; returns created, changed or unchanged. '
  'transport log: messages are rendered and recorded as sent, nothing leaves the server. '
  'transport smtp: {"host", "port": 25, "tls": "starttls" | "smtps" | "none", "user", "auth": "plain" | "login" | "xoauth2", "password_file", "relays": [{"host", "weight": 1, ...}], '
  '"helo", "from", "from_name", "reply_to", "unsubscribe", "list_id", "feedback_id", "final_timeout": "5 min"}; '
  'host (or relays) and from are required. Each of relays may have of its own whatever a relay has; those of more weight get more of the connections, '
  'one of weight 0 only what the others do not take, and one that cannot be reached is left alone for a while. auth: else the best that the server offers; xoauth2 has its token in password_file. '
  'transport http: {"preset", "url" | "url_file", "method": "POST", "headers": {}, "body" | "form", "to": "email" | "phone" | "none" | attribute, "from", "user", "password_file", '
  '"token": {"file", "header": "Authorization", "prefix": "Bearer "}, "sign": {"file", "header": "X-Signature", "time_header": "X-Timestamp"}, '
  '"success": {"status": ["2xx"], "path", "equals"}, "retry": {"status": [408, 425, 429, "5xx"], "equals"}, "provider_id", "allow_private": false}; '
  'preset is one of mautomate.channel_presets. url, headers, body and form are Liquid over what the template may use (contact, context, entry, event, its data), channel (these settings) '
  'and message {id, idempotency_key, attempt, to, template, subject, body, html, payload}; in url every output is encoded unless its last filter is raw. '
  'body is JSON whose texts are Liquid, {"=": "contact.tags"} in it the value itself, or one text; form is an object, sent as a form. A payload of the template is laid over body, or is it. '
  'to is what of the contact is the address; without one nobody is sent anything. success.path and provider_id name a value of a JSON response ("messages.0.id"): the one must equal (one of) success.equals, '
  'or retry.equals to be tried again, the other is the id by which handle_status() finds the message. A Retry-After is honoured up to a day. '
  'Each request has an Idempotency-Key, the same at each try; sign adds the time in seconds and sha256= with the HMAC of time, a point and the body, in hex. '
  'Redirects are not followed; private addresses are refused unless a superuser sets allow_private. '
  'unsubscribe, an address, and list_id are for the headers List-Unsubscribe and List-Id; feedback_id ends Feedback-ID, after template and channel. '
  'links: where your pages are: with "https://example.com/mail" links.unsubscribe is https://example.com/mail/unsubscribe/TOKEN, and a mail in which it stands also has it in List-Unsubscribe, for one click (RFC 8058); unsubscribe() is for that page. It is signed with the key in mautomate.token_key_file. '
  'Of both: {"links", "verify": true, "ca_file", "connections": 4, "in_doubt": "resend" | "hold", "connect_timeout": "15 s", "reply_timeout": "60 s", "timeout": "10 min", "idle_timeout": "20 s"}; '
  'a file is the bare name of one in setting mautomate.secrets_directory, read anew whenever it is needed, ca_file a path; one that cannot be read pauses the channel until resume_channel(); '
  'in_doubt is what happens to a message of which the server may or may not have taken the last byte. '
  'Of all: "rate": {"per_second" | "per_minute" | "per_hour" | "per_day": n, "burst": one second''s} for the channel, "domains": {"gmail.com": {"rate", "connections"}, "*": ...} for each domain of addresses ("*": for each other one), connections being messages under way at once; '
  '"warm_up": [{"day": 1, "messages": 50}, ...] or {"start": 50, "growth": 1.5, "days": 30}, days of mautomate.timezone from the first message on, without limit after the last; '
  '"pause_when": {"failures": 0.1, "of": 200}: paused when more than this share of the last so many attempts did not end as sent, servers that cannot be reached not counted; '
  '"retries": {"first": "60 s", "factor": 2, "most": "1 hour", "spread": 0.2, "give_up": "5 days"}. Limits hold for all senders together and follow the real clock; what waits for one does not keep others waiting. '
  'Errors: 22023 for a setting that is unknown or cannot be, 42601 for a mistake in Liquid, 42501 for allow_private.';

create function mautomate_internal.recipient_address(c mautomate.contact,
                                                     recipient text)
  returns text
  language sql immutable parallel safe
  begin atomic
    select case recipient when 'email' then c.email when 'phone' then c.phone
      when 'none' then null else c.attributes->>recipient end;
  end;
comment on function mautomate_internal.recipient_address(mautomate.contact, text) is
  'where messages to this person go; recipient as in table channel';

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
