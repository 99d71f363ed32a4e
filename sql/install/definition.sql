-- Definitions change together: one counter tells every cache.

create table mautomate_internal.generation (
  only_row boolean primary key default true check (only_row),
  value bigint not null default 1,
  timezone text,
  zone_at bigint not null default 0,
  zone_done boolean not null default true
);
comment on table mautomate_internal.generation is
  'one row: counts the changes of definitions; its row lock serialises them';
comment on column mautomate_internal.generation.timezone is
  'mautomate.timezone as states are folded under it; null before the first definition';
comment on column mautomate_internal.generation.zone_at is
  'the generation at which it last changed: older states are folded anew';
comment on column mautomate_internal.generation.zone_done is
  'there are none';
insert into mautomate_internal.generation default values;
create trigger invalidate
  after insert or update or delete or truncate on mautomate_internal.generation
  for each statement execute function mautomate_internal.invalidate();

create function mautomate_internal.definition_changed() returns trigger
  language c as 'MODULE_PATHNAME', 'mautomate_definition_changed';
comment on function mautomate_internal.definition_changed() is
  'statement trigger of each definition table: raises the generation, so that every session reloads its definitions';

