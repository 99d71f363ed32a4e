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


-- Who is known by nothing but an address is one contact per address, however
-- many sessions bring them at once.
create unique index contact_by_email on mautomate.contact (lower(email))
  where external_id is null and merged_into is null;
create unique index contact_by_phone on mautomate.contact (phone)
  where external_id is null and email is null and merged_into is null;
create index contact_merged_into on mautomate.contact (merged_into)
  where merged_into is not null;

create function mautomate_internal.merge_attributes(attributes jsonb, changes jsonb)
  returns jsonb language c immutable parallel safe
  as 'MODULE_PATHNAME', 'mautomate_merge_attributes';
comment on function mautomate_internal.merge_attributes(jsonb, jsonb) is
  'attributes with the top-level keys of changes put in; a null takes a key out';

create function mautomate.identify(external_id text, email text default null,
    phone text default null, attributes jsonb default '{}')
  returns bigint language c
  as 'MODULE_PATHNAME', 'mautomate_identify';
comment on function mautomate.identify(text, text, text, jsonb) is
  'makes a person known, or adds to what is known, and returns the number of the contact; null leaves e-mail and phone as they are, an empty string removes them; in attributes a null removes; first_name, last_name, locale, timezone, region, stage and owner are columns of the contact; external_id may be null for a person known by address only; errors: invalid e-mail or phone, a declared attribute of another type (22P02, 22023), an address of another contact where mautomate.identity is refuse (23505)';

create function mautomate.define_attribute(name text, type regtype, description text default null)
  returns text language c
  as 'MODULE_PATHNAME', 'mautomate_define_attribute';
comment on function mautomate.define_attribute(text, regtype, text) is
  'declares an attribute of contacts and its type, one of the built-in types; values given from now on must convert to it, and older ones that do not are null in expressions; returns created, changed or unchanged. Errors: 22023 for a type that is not built in, 42602 for a name that is a column of contacts or no name';

create function mautomate.drop_attribute(name text, keep_values boolean default false)
  returns void language c volatile
  as 'MODULE_PATHNAME', 'mautomate_drop_attribute';
comment on function mautomate.drop_attribute(text, boolean) is
  'drops the declaration of an attribute and, unless keep_values, takes its values from all contacts, which reads them all. Errors: 42704 for one never declared, 2BP01 where a list, score, source, workflow, template or channel uses it (named)';

create function mautomate.rename_attribute(name text, new_name text)
  returns void language c volatile
  as 'MODULE_PATHNAME', 'mautomate_rename_attribute';
comment on function mautomate.rename_attribute(text, text) is
  'gives a declared attribute and its values of all contacts another name. Whoever names it is rewritten: lists, scores, workflows (contact.x, was(), set; also their older versions), templates, payloads and channels (contact.x, contact["x"], event.attribute == "x", "to"), select lists of sources, and what the log says of its changes; states stay as they are. Reads all contacts and the whole log, while who writes contacts, events or tables that are sources of contacts, or renders messages, waits, and goes on under the new name. A template that finds the name out while it is rendered (contact[which], contact handed on, a variable called contact) and an event.attribute compared otherwise than by =, <> and in, or in a template that no workflow sends which waits for such events, are told in a notice and stay as they are. Errors: 42704 for one never declared, 42710 where the new name is declared, or an expression, a workflow or a value of a contact has it already, 42602 where a template or payload cannot say it, 0A000 in a transaction with an old snapshot';

create function mautomate.alias(anonymous_id text, external_id text)
  returns bigint language c
  as 'MODULE_PATHNAME', 'mautomate_alias';
comment on function mautomate.alias(text, text) is
  'whoever is known by anonymous_id is the contact external_id: events, lists and enrolments move there for ever, starting nothing, and both ids name it from now on; either is made known where it is not; if anonymous_id already belongs to another contact, a notice says so and nothing changes; returns the number of the contact. Errors: 22004 and 22023 where one of them is null or empty';

create function mautomate.tag(who text, tag text)
  returns boolean language c
  as 'MODULE_PATHNAME', 'mautomate_tag';
comment on function mautomate.tag(text, text) is
  'adds a tag to a contact (attribute tags, asked about by has_tag()); returns whether it is new. Errors: 42704 for an unknown contact, 22004 for null';

create function mautomate.untag(who text, tag text)
  returns boolean language c
  as 'MODULE_PATHNAME', 'mautomate_untag';
comment on function mautomate.untag(text, text) is
  'removes a tag from a contact; returns whether it was there. Errors: 42704 for an unknown contact, 22004 for null';

create function mautomate_internal.contact_of(who text)
  returns bigint language c stable strict
  as 'MODULE_PATHNAME', 'mautomate_contact_of';
comment on function mautomate_internal.contact_of(text) is
  'the number of the contact that a text names; unknown or ambiguous is an error';

create view mautomate.contacts as
  select external_id, email, phone, first_name, last_name, timezone, locale,
         region, stage, owner, attributes, created_at, contact_id
  from mautomate.contact
  where merged_into is null;
comment on view mautomate.contacts is
  'every person known, without those merged into another';

create table mautomate_internal.erased (
  contact_id bigint not null,
  wait_for xid8
);
-- no key, and it may be published
alter table mautomate_internal.erased replica identity full;
comment on table mautomate_internal.erased is
  'contacts that were erased while others may still write events for their numbers: the sweep deletes these when all transactions older than wait_for have ended';

create function mautomate.erase_contact(who text)
  returns void language c volatile
  as 'MODULE_PATHNAME', 'mautomate_erase_contact';
comment on function mautomate.erase_contact(text) is
  'forgets a person for good: contact, ids merged into it, events, memberships, histories, enrolments and messages not sent; of messages sent only the numbers stay, without person, address and text. A suppressed address stays suppressed, being known by hash. What other transactions write for the person is waited for, or looked for by the sweep, and erased too; later the same id is a new person. Errors: 42704 for an unknown person';
