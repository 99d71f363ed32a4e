-- Templates of messages, versioned.

create table mautomate_internal.template (
  template_id serial primary key,
  name text not null,
  version int not null,
  dropped boolean not null default false
);
comment on table mautomate_internal.template is
  'templates; version is the newest; a dropped one stays for the messages made of it';
create unique index template_name on mautomate_internal.template (name)
  where not dropped;
create trigger definition_changed
  after insert or update or delete or truncate on mautomate_internal.template
  for each statement execute function mautomate_internal.definition_changed();
create trigger invalidate
  after insert or update or delete or truncate on mautomate_internal.template
  for each statement execute function mautomate_internal.invalidate();

create table mautomate_internal.template_version (
  template_id int not null references mautomate_internal.template,
  version int not null,
  channel_id int not null references mautomate_internal.channel,
  subject text,
  html text,
  body text,
  transactional boolean not null,
  created_at timestamptz not null,
  primary key (template_id, version)
);
comment on table mautomate_internal.template_version is
  'what each version of a template says; never updated, since messages name it';

select pg_catalog.pg_extension_config_dump('mautomate_internal.template', '');
select pg_catalog.pg_extension_config_dump('mautomate_internal.template_template_id_seq', '');
select pg_catalog.pg_extension_config_dump('mautomate_internal.template_version', '');

create function mautomate_internal.contact_object(c mautomate.contact)
  returns jsonb
  language sql stable parallel safe
  begin atomic
    select c.attributes || jsonb_build_object(
      'external_id', c.external_id, 'email', c.email, 'phone', c.phone,
      'first_name', c.first_name, 'last_name', c.last_name,
      'timezone', c.timezone, 'locale', c.locale, 'region', c.region,
      'stage', c.stage, 'owner', c.owner, 'created_at', c.created_at);
  end;
comment on function mautomate_internal.contact_object(mautomate.contact) is
  'what templates see as contact: the attributes, and the columns over them';

create function mautomate.create_template(name text, channel text,
                                          subject text default null,
                                          html text default null,
                                          body text default null,
                                          transactional boolean default false)
  returns text
  language c volatile as 'MODULE_PATHNAME', 'mautomate_create_template';
comment on function mautomate.create_template(text, text, text, text, text, boolean) is
  'a template in Liquid over contact, context, entry and event; returns created, changed (a new version) or unchanged. '
  'body is the plain text, made from html when not given; subject is required on smtp channels, and html or body everywhere. '
  'Messages that wait keep their version. Without a topic a template must be transactional => true. '
  'Errors: 42601 for a mistake in Liquid, 22023 for what is missing, 42704 for an unknown channel.';

create function mautomate.drop_template(name text) returns void
  language c volatile as 'MODULE_PATHNAME', 'mautomate_drop_template';
comment on function mautomate.drop_template(text) is
  'drops a template; refused (2BP01) while messages made of it wait to be sent. Messages already sent stay.';

create function mautomate.rename_template(name text, new_name text) returns void
  language c volatile as 'MODULE_PATHNAME', 'mautomate_rename_template';
comment on function mautomate.rename_template(text, text) is
  'gives a template a new name; messages follow';

create function mautomate.preview_template(template text, who text,
                                           context jsonb default '{}',
                                           entry jsonb default '{}',
                                           event jsonb default '{}')
  returns jsonb
  language c stable as 'MODULE_PATHNAME', 'mautomate_preview_template';
comment on function mautomate.preview_template(text, text, jsonb, jsonb, jsonb) is
  'what the template says to this person: {"subject", "html", "body"}; nothing is sent. '
  'An unknown variable is an error (42703) here, and empty in what is sent.';

create view mautomate.templates as
  select t.name, c.name as channel, v.version, v.subject, v.html, v.body,
         v.transactional, v.created_at
  from mautomate_internal.template t
  join mautomate_internal.template_version v using (template_id, version)
  join mautomate_internal.channel c using (channel_id)
  where not t.dropped;
comment on view mautomate.templates is
  'the templates, each in its newest version';
