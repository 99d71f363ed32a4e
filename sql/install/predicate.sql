-- Expressions of definitions, each text stored once.

create table mautomate_internal.predicate (
  predicate_id serial primary key,
  names int not null,
  event_kind text not null default '',
  entry_kind text not null default '',
  type oid not null default 0,
  text text not null,
  unique (names, event_kind, entry_kind, type, text)
);
comment on table mautomate_internal.predicate is
  'SQL expressions used by definitions; names is the set of names they may use, event_kind what event.x means, entry_kind what entry.x means, type what the value is made to be (0: as it is)';
create trigger definition_changed
  after insert or update or delete or truncate on mautomate_internal.predicate
  for each statement execute function mautomate_internal.definition_changed();
select pg_catalog.pg_extension_config_dump('mautomate_internal.predicate', '');
select pg_catalog.pg_extension_config_dump('mautomate_internal.predicate_predicate_id_seq', '');

