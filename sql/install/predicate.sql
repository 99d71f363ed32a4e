-- Expressions of definitions, each text stored once.

create table mautomate_internal.predicate (
  predicate_id serial primary key,
  names int not null,
  event_kind text not null default '',
  entry_kind text not null default '',
  type oid not null,
  text text not null
);
-- of a text its hash: an entry of an index cannot be longer than 2704 bytes
create unique index predicate_key on mautomate_internal.predicate
  (names, event_kind, entry_kind, type, hashtextextended(text, 0));
comment on table mautomate_internal.predicate is
  'SQL expressions used by definitions; names is the set of names they may use (predicate.h), event_kind and entry_kind what event.x and entry.x mean, type what they yield (0: anything)';
create trigger definition_changed
  after insert or update or delete or truncate on mautomate_internal.predicate
  for each statement execute function mautomate_internal.definition_changed();

-- Cells: what has to be folded to answer them. A small number names each in
-- the states.
create table mautomate_internal.cell (
  cell_id serial primary key,
  kind text not null,
  filter text not null,
  property text not null,
  form text not null default ''
);
create unique index cell_key on mautomate_internal.cell
  (kind, property, form, hashtextextended(filter, 0));
comment on table mautomate_internal.cell is
  'numbers of the folded cells in contact_state.state: events of a kind that pass a filter, and the property whose values are kept; form is what is kept: empty for counts, times and numbers, distinct (in a window) for the different values, last for the last value';

select pg_catalog.pg_extension_config_dump('mautomate_internal.predicate', '');
select pg_catalog.pg_extension_config_dump('mautomate_internal.predicate_predicate_id_seq', '');
select pg_catalog.pg_extension_config_dump('mautomate_internal.cell', '');
select pg_catalog.pg_extension_config_dump('mautomate_internal.cell_cell_id_seq', '');

