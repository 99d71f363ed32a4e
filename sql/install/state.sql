-- What the engine remembers of a contact, and when to look again.

create table mautomate_internal.contact_state (
  contact_id bigint primary key,
  as_of timestamptz not null default '-infinity',
  due_at timestamptz not null default 'infinity',
  generation bigint not null default 0,
  state bytea not null default ''
) with (fillfactor = 60);
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
  due_at timestamptz not null,
  primary key (due_at, contact_id)
);
comment on table mautomate_internal.timer is
  'contacts to look at again at due_at; never later than contact_state.due_at';

