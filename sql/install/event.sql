-- Events: what contacts did, the log that everything is a function of.

create sequence mautomate.event_event_id_seq;
create table mautomate.event (
  contact_id bigint not null,
  kind text not null
    constraint event_kind_is_not_empty check (kind <> ''),
  occurred_at timestamptz not null default mautomate.clock()
    constraint event_occurred_at_is_finite check (isfinite(occurred_at)),
  event_id bigint not null default nextval('mautomate.event_event_id_seq'),
  properties jsonb not null default '{}'
    constraint event_properties_is_object
    check (jsonb_typeof(properties) = 'object'),
  primary key (contact_id, kind, occurred_at, event_id)
);
alter sequence mautomate.event_event_id_seq owned by mautomate.event.event_id;
comment on table mautomate.event is
  'the log: insert or copy (contact_id, kind, occurred_at, properties), and lists, scores and workflows follow in the same transaction; kinds that the engine writes (attribute_changed, list_entered, list_left, stage_changed, tier_changed) are refused, 42939, but from who has the rights of mautomate_owner, as a restore has';

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
  dedupe_key text collate "C" not null,
  event_id bigint not null,
  address_hash bigint,
  primary key (contact_id, dedupe_key)
);
create index dedupe_address on mautomate_internal.dedupe (dedupe_key)
  where address_hash is not null;
comment on table mautomate_internal.dedupe is
  'dedupe keys of events: a repeated key is the first event again; what on_update append adds has the key of the first, the sign 1 and its own number';
comment on column mautomate_internal.dedupe.address_hash is
  'of the address by which the row of an attached table told whose the event is, null where it told otherwise; while the row names that address its event is found by both, whoever has it now';

select pg_catalog.pg_extension_config_dump('mautomate.event', '');
select pg_catalog.pg_extension_config_dump('mautomate.event_event_id_seq', '');
select pg_catalog.pg_extension_config_dump('mautomate_internal.event_kind', '');
select pg_catalog.pg_extension_config_dump('mautomate_internal.dedupe', '');


create function mautomate.define_event(kind text, properties jsonb default null,
    description text default null)
  returns text language c
  as 'MODULE_PATHNAME', 'mautomate_define_event';
comment on function mautomate.define_event(text, jsonb, text) is
  'declares a kind of events; properties maps a name to a built-in type: {"amount": "numeric"}; returns created, changed or unchanged. Errors: 22023 for properties that are no object of names and types, 42704 for an unknown type, 42939 for a kind that the engine writes';

create function mautomate.drop_event(kind text)
  returns void language c volatile
  as 'MODULE_PATHNAME', 'mautomate_drop_event';
comment on function mautomate.drop_event(text) is
  'drops the declaration of a kind of events; the events stay in the log, and new ones of that kind can still come. Errors: 42704 for one never declared, 2BP01 where a list, score, source or workflow uses it (named)';

create function mautomate.rename_event(kind text, new_kind text)
  returns void language c volatile
  as 'MODULE_PATHNAME', 'mautomate_rename_event';
comment on function mautomate.rename_event(text, text) is
  'gives a declared kind another name, and with it all its events, starting nothing. Whoever names it is rewritten: lists, scores, workflows (entries, waits, exits, emit and expressions; also their older versions), event.kind and entry.kind compared by == and != in templates, and sources of that kind, whose name follows too if it ends with it; what is attached again under the new kind is not doubled; states stay as they are. Reads the whole log and writes each of these events anew, while who writes contacts, events or those sources, or renders messages, waits, and goes on under the new kind. '
  'An event.kind or entry.kind compared otherwise, and one that a template assigns or hands on, is told in a notice and stays as it is. '
  'Errors: 42704 for one never declared, 42710 where the new kind is declared, or the log has events of it or somebody means it already, 42939 where it is reserved, 42602 where a template cannot say it, 0A000 in a transaction with an old snapshot';

create function mautomate.track(who text, kind text, properties jsonb default '{}',
    occurred_at timestamptz default null, dedupe_key text default null)
  returns bigint language c
  as 'MODULE_PATHNAME', 'mautomate_track';
comment on function mautomate.track(text, text, jsonb, timestamptz, text) is
  'records what a person did and returns the number of the event; who is an external id, else an e-mail address or phone number; an unknown person becomes a contact, by e-mail if there is an @ in it, else by external id; who null or empty: nothing, no error; occurred_at defaults to mautomate.clock(); a repeated dedupe_key of the same person returns the first event; errors: 22023 where there is no kind or properties are no object, 22008 for an infinite time, 42939 for a kind that the engine writes';

create function mautomate.track_batch(events jsonb)
  returns bigint language c strict
  as 'MODULE_PATHNAME', 'mautomate_track_batch';
comment on function mautomate.track_batch(jsonb) is
  'records an array of objects with the keys of track(): who, kind, properties, occurred_at, dedupe_key; a time without zone is in mautomate.timezone; returns how many were stored, without repeated and nobody''s ones; an error in one stores none';

create view mautomate.event_kinds as
  select kind, properties, description from mautomate_internal.event_kind;
comment on view mautomate.event_kinds is
  'the declared kinds of events and the types of their properties';

create function mautomate.timeline(who text, since timestamptz default '-infinity',
    until timestamptz default 'infinity')
  returns table (occurred_at timestamptz, kind text, properties jsonb, event_id bigint)
  language sql stable strict security definer
  set search_path = pg_catalog, pg_temp
  as $$
    select e.occurred_at, e.kind, e.properties, e.event_id
    from mautomate.event e
    where e.contact_id = mautomate_internal.contact_of(who)
      and e.occurred_at >= since and e.occurred_at < until
    order by e.occurred_at, e.event_id
  $$;
comment on function mautomate.timeline(text, timestamptz, timestamptz) is
  'the events of a contact in the order of time, from since on and before until (default: all), those to come too. Error: 42704 for an unknown contact';
