-- Events: what contacts did, the log that everything is a function of.

create sequence mautomate.event_event_id_seq;
create table mautomate.event (
  contact_id bigint not null,
  kind text not null,
  occurred_at timestamptz not null default mautomate.clock(),
  event_id bigint not null default nextval('mautomate.event_event_id_seq'),
  properties jsonb not null default '{}',
  primary key (contact_id, kind, occurred_at, event_id)
);
alter sequence mautomate.event_event_id_seq owned by mautomate.event.event_id;
comment on table mautomate.event is
  'the log: insert or copy (contact_id, kind, occurred_at, properties), and lists, scores and workflows follow in the same transaction';

create table mautomate_internal.event_kind (
  kind text primary key,
  properties jsonb not null default '{}'
    check (jsonb_typeof(properties) = 'object'),
  description text
);
comment on table mautomate_internal.event_kind is
  'declared kinds of events; properties maps a name to its type';
create trigger definition_changed
  after insert or update or delete or truncate on mautomate_internal.event_kind
  for each statement execute function mautomate_internal.definition_changed();

-- A table of its own: a repeated key is found without an index on the log.
create table mautomate_internal.dedupe (
  contact_id bigint not null,
  dedupe_key text not null,
  event_id bigint not null,
  primary key (contact_id, dedupe_key)
);
comment on table mautomate_internal.dedupe is
  'dedupe keys of events: a repeated key is the first event again';

select pg_catalog.pg_extension_config_dump('mautomate.event', '');
select pg_catalog.pg_extension_config_dump('mautomate.event_event_id_seq', '');
select pg_catalog.pg_extension_config_dump('mautomate_internal.event_kind', '');
select pg_catalog.pg_extension_config_dump('mautomate_internal.dedupe', '');

