-- Contacts: one row per person.

create table mautomate.contact (
  contact_id bigserial primary key,
  external_id text unique,
  email text,
  phone text,
  first_name text,
  last_name text,
  timezone text,
  locale text,
  region text,
  stage text,
  owner text,
  account_id bigint,
  attributes jsonb not null default '{}'
    check (jsonb_typeof(attributes) = 'object'),
  merged_into bigint,
  created_at timestamptz not null default mautomate.clock()
);
comment on table mautomate.contact is
  'one row per person; contact_id is never updated';
comment on column mautomate.contact.external_id is
  'the application''s own key of the person; null while only an address is known';
comment on column mautomate.contact.email is
  'as given, validated; two contacts may share one only as setting mautomate.identity allows';
comment on column mautomate.contact.merged_into is
  'the contact that took over everything of this one; null for a living contact';
comment on column mautomate.contact.attributes is
  'what has no column of its own; declared with define_attribute()';
create index contact_email on mautomate.contact (lower(email));
create index contact_phone on mautomate.contact (phone)
  where phone is not null;

create table mautomate_internal.attribute (
  attribute text primary key,
  type regtype not null,
  description text
);
comment on table mautomate_internal.attribute is
  'declared attributes of contacts and their types';
create trigger definition_changed
  after insert or update or delete or truncate on mautomate_internal.attribute
  for each statement execute function mautomate_internal.definition_changed();

select pg_catalog.pg_extension_config_dump('mautomate.contact', '');
select pg_catalog.pg_extension_config_dump('mautomate.contact_contact_id_seq', '');
select pg_catalog.pg_extension_config_dump('mautomate_internal.attribute', '');

