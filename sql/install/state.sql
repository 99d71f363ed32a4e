-- What the engine remembers of a contact, and when to look again.

create table mautomate_internal.contact_state (
  contact_id bigint primary key,
  as_of timestamptz not null default '-infinity',
  due_at timestamptz not null default 'infinity',
  generation bigint not null default 0,
  state bytea not null default ''
) with (fillfactor = 50);
alter table mautomate_internal.contact_state alter column state set storage main;
comment on table mautomate_internal.contact_state is
  'one row per contact, created with it: folded signals, list memberships and tiers; also the lock of the contact';
comment on column mautomate_internal.contact_state.as_of is
  'the instant up to which events and the passing of time are folded';
comment on column mautomate_internal.contact_state.due_at is
  'when something changes by the passing of time alone';
comment on column mautomate_internal.contact_state.generation is
  'the definitions this state was folded under; 0 = rebuild it from the log';

create table mautomate_internal.timer (
  contact_id bigint not null,
  due_at timestamptz not null
);
create index timer_due_at on mautomate_internal.timer (due_at, contact_id);
-- no key, and it may be published
alter table mautomate_internal.timer replica identity full;
comment on table mautomate_internal.timer is
  'contacts to look at again at due_at; never later than contact_state.due_at. One may stand here several times';

-- Appended without waiting for anybody; a contact may stand here twice.
create table mautomate_internal.dirty (
  contact_id bigint not null,
  rebuild boolean not null default false
);
-- no key, and it may be published
alter table mautomate_internal.dirty replica identity full;
comment on table mautomate_internal.dirty is
  'contacts whose lists and scores the next sweep evaluates again; rebuild: from the log';

-- Appended under mautomate.refresh = deferred (deferred.c).
create function mautomate_internal.deferred_handler(internal)
  returns table_am_handler language c
  as 'MODULE_PATHNAME', 'mautomate_deferred_handler';
comment on function mautomate_internal.deferred_handler(internal) is
  'handler of the access method mautomate_deferred';
create access method mautomate_deferred type table
  handler mautomate_internal.deferred_handler;
comment on access method mautomate_deferred is
  'a heap for mautomate_internal.deferred: who gives it another file, or a shorter one, keeps writers off mautomate.event meanwhile (VACUUM FULL and TRUNCATE fail with 55P03 where they do not stop for half of deadlock_timeout)';
create table mautomate_internal.deferred (
  statement bigint not null,
  at timestamptz not null,
  n int not null,
  silent boolean not null,
  body bytea not null
) using mautomate_deferred with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);
-- no key, and it may be published
alter table mautomate_internal.deferred replica identity full;
alter table mautomate_internal.deferred alter column body set storage plain;
comment on table mautomate_internal.deferred is
  'notes of events that are not folded yet, and of contacts not looked at since they changed: n of one statement in a row';
comment on column mautomate_internal.deferred.statement is
  'the number of its first event, to keep statements in their order';
comment on column mautomate_internal.deferred.at is
  'when the statement was, by mautomate.clock()';
comment on column mautomate_internal.deferred.silent is
  'whether the rule of silence held for it';

create function mautomate_internal.deferred_contacts(out contact_id bigint)
  returns setof bigint language c stable strict
  as 'MODULE_PATHNAME', 'mautomate_deferred_contacts';
comment on function mautomate_internal.deferred_contacts() is
  'the contacts of whom something is noted in mautomate_internal.deferred; some more than once';

create function mautomate_internal.event_changed() returns trigger
  language c as 'MODULE_PATHNAME', 'mautomate_event_changed';
comment on function mautomate_internal.event_changed() is
  'statement trigger of mautomate.event: folds new events, rebuilds the contacts of changed and deleted ones';
create trigger mautomate_insert after insert on mautomate.event
  referencing new table as new_rows
  for each statement execute function mautomate_internal.event_changed();
create trigger mautomate_update after update on mautomate.event
  referencing old table as old_rows new table as new_rows
  for each statement execute function mautomate_internal.event_changed();
create trigger mautomate_delete after delete on mautomate.event
  referencing old table as old_rows
  for each statement execute function mautomate_internal.event_changed();
create trigger mautomate_truncate after truncate on mautomate.event
  for each statement execute function mautomate_internal.event_changed();

create function mautomate_internal.contact_changed() returns trigger
  language c as 'MODULE_PATHNAME', 'mautomate_contact_changed';
comment on function mautomate_internal.contact_changed() is
  'statement trigger of mautomate.contact: states of new contacts, lists and scores that read a changed attribute';
create trigger mautomate_insert after insert on mautomate.contact
  referencing new table as new_rows
  for each statement execute function mautomate_internal.contact_changed();
create trigger mautomate_update after update on mautomate.contact
  referencing old table as old_rows new table as new_rows
  for each statement execute function mautomate_internal.contact_changed();
create trigger mautomate_delete after delete on mautomate.contact
  referencing old table as old_rows
  for each statement execute function mautomate_internal.contact_changed();
create trigger mautomate_truncate after truncate on mautomate.contact
  for each statement execute function mautomate_internal.contact_changed();

