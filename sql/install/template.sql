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
  template_id int not null,
  version int not null,
  channel_id int,
  transactional boolean not null,
  priority smallint not null default 0 check (priority between -9 and 9),
  created_at timestamptz not null,
  primary key (template_id, version)
);
comment on table mautomate_internal.template_version is
  'versions of templates; messages name them';
comment on column mautomate_internal.template_version.channel_id is
  'null: only other templates render it';

create table mautomate_internal.template_variant (
  template_id int not null,
  version int not null,
  locale text not null,
  subject text,
  html text,
  body text,
  payload jsonb,
  data jsonb,
  attachments jsonb,
  owner text not null,
  primary key (template_id, version, locale)
);
comment on table mautomate_internal.template_variant is
  'what a version of a template says in a language; never changed but for the names of what is renamed';
create trigger invalidate
  after insert or update or delete or truncate on mautomate_internal.template_variant
  for each statement execute function mautomate_internal.invalidate();
comment on column mautomate_internal.template_variant.locale is
  'like fr or fr-CA; empty: the default, which every version has';
comment on column mautomate_internal.template_variant.payload is
  'JSON whose texts are Liquid; null: as in the default';
comment on column mautomate_internal.template_variant.data is
  'variable to function; null: as in the default';
comment on column mautomate_internal.template_variant.attachments is
  'array of files; null: as in the default';
comment on column mautomate_internal.template_variant.owner is
  'the role that wrote it; its functions are called with the rights of this role';

select pg_catalog.pg_extension_config_dump('mautomate_internal.template', '');
select pg_catalog.pg_extension_config_dump('mautomate_internal.template_template_id_seq', '');
select pg_catalog.pg_extension_config_dump('mautomate_internal.template_version', '');
select pg_catalog.pg_extension_config_dump('mautomate_internal.template_variant', '');

create function mautomate_internal.contact_object(c mautomate.contact)
  returns jsonb
  language c stable strict parallel safe
  as 'MODULE_PATHNAME', 'mautomate_contact_object';
comment on function mautomate_internal.contact_object(mautomate.contact) is
  'what templates see as contact: the attributes, and the columns over them';

create function mautomate.create_template(name text, channel text,
                                          subject text default null,
                                          html text default null,
                                          body text default null,
                                          payload jsonb default null,
                                          transactional boolean default false,
                                          locale text default null,
                                          data jsonb default null,
                                          attachments jsonb default null,
                                          priority int default null)
  returns text
  language c volatile as 'MODULE_PATHNAME', 'mautomate_create_template';
comment on function mautomate.create_template(text, text, text, text, text, jsonb, boolean, text, jsonb, jsonb, int) is
  'a template in Liquid over contact, context, and, of what a workflow sends, entry (the event that started it) and event (the one that answered its last wait, if any did), each with its properties, kind, occurred_at and, if an expression of a workflow asks for the nth of such events, nth; returns created, changed (a new version) or unchanged. '
  'body is the plain text, made from html when not given; subject is required on smtp channels, and html, body or payload everywhere. '
  'payload, for http channels: JSON whose texts are Liquid, {"=": "contact.tags"} in it the value itself; of a variant: null is that of the default. '
  'channel null: a part for other templates, {% render ''name'' %}, that cannot be sent itself. '
  'locale: a variant for contacts of this locale (fr-CA falls back to fr, then to the template without locale, which must exist); channel and transactional are one for all variants. '
  'data: {"variable": "schema.function(text)"}; the function gets the external id, or with (text, jsonb) also the other data, must be stable, and is called at each rendering with the rights of who created this variant, search_path = pg_catalog, and mautomate.data_timeout; rows become an array; more than 10 MB (a file: 25 MB) are an error (54000). '
  'A message whose function was too slow, got no lock or no connection, or had to be rolled back, is tried again; other errors end it. '
  'attachments: [{"name", "type" ("image/png", "text/calendar; method=REQUEST"), "content" in base64 | "function" returning bytea, "content_id" for pictures shown as cid:...}]; the name is Liquid, a null from the function leaves the file out; of a variant: null is that of the default. '
  'priority: which of the messages that are due is sent first, from -9, the last, to 9, the first; null is 0, of a variant that of the template. '
  'Messages that wait keep their version. Without a topic a template must be transactional => true. '
  'Errors: 42601 for a mistake in Liquid, 22023 for what is missing, 42704 for an unknown channel or part, 42883 for an unknown function, 42501 where it may not be called, 42P17 for parts that render each other.';

create function mautomate_internal.check_html(html text) returns text
  language c stable strict parallel safe
  as 'MODULE_PATHNAME', 'mautomate_check_html';
comment on function mautomate_internal.check_html(text) is
  'the first address in HTML whose scheme is not http, https, mailto, tel or cid, for tests; null if there is none';

create function mautomate.drop_template(name text, locale text default null)
  returns void
  language c volatile as 'MODULE_PATHNAME', 'mautomate_drop_template';
comment on function mautomate.drop_template(text, text) is
  'drops a template, or only its variant of a locale; refused (2BP01) while messages made of it wait to be sent or other templates render it. Messages already sent stay.';

create function mautomate.rename_template(name text, new_name text) returns void
  language c volatile as 'MODULE_PATHNAME', 'mautomate_rename_template';
comment on function mautomate.rename_template(text, text) is
  'gives a template a new name; messages follow, and templates that render it are rewritten; one that finds out when it is rendered what it renders is told in a notice. Errors: 42704 for an unknown template, 42710 where the new name is taken, 42602 where a template cannot say it, 0A000 in a transaction with an old snapshot';

create function mautomate.preview_template(template text, who text,
                                           context jsonb default '{}',
                                           entry jsonb default '{}',
                                           event jsonb default '{}',
                                           locale text default null)
  returns jsonb
  language c stable as 'MODULE_PATHNAME', 'mautomate_preview_template';
comment on function mautomate.preview_template(text, text, jsonb, jsonb, jsonb, text) is
  'what the template says to this person, or in another locale: {"subject", "html", "body", "payload", "attachments"}, and of an http channel the request {"method", "url", "headers", "body"}, without secrets; nothing is sent. '
  'An unknown variable is an error (42703) here, and empty in what is sent.';

create view mautomate.templates as
  select t.name, c.name as channel, nullif(x.locale, '') as locale, v.version,
         x.subject, x.html, x.body, x.payload, v.transactional, v.priority,
         x.data, jsonb_array_length(x.attachments) as attachments, x.owner,
         v.created_at
  from mautomate_internal.template t
  join mautomate_internal.template_version v using (template_id, version)
  join mautomate_internal.template_variant x using (template_id, version)
  left join mautomate_internal.channel c using (channel_id)
  where not t.dropped;
comment on view mautomate.templates is
  'the templates, each in its newest version, one row for each locale';
