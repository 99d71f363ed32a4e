-- Background workers of this database.

-- Unlogged: after a crash no pid in it is true.
create unlogged table mautomate_internal.worker (
  kind text not null check (kind in ('scheduler', 'sender')),
  number int not null,
  pid int not null,
  started_at timestamptz not null default now(),
  primary key (kind, number)
);
comment on table mautomate_internal.worker is
  'each background worker writes its pid here when it starts, so that commits can wake it';
create trigger invalidate
  after insert or update or delete or truncate on mautomate_internal.worker
  for each statement execute function mautomate_internal.invalidate();

