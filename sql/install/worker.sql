-- Background workers of this database.

create table mautomate_internal.worker (
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

create table mautomate_internal.worker_switch (
  only_row boolean primary key default true check (only_row),
  started boolean
);
comment on table mautomate_internal.worker_switch is
  'one row: what start() or stop() said last, null if neither; not dumped';
insert into mautomate_internal.worker_switch default values;
create trigger invalidate
  after insert or update or delete or truncate on mautomate_internal.worker_switch
  for each statement execute function mautomate_internal.invalidate();

create function mautomate.start() returns void
  language c volatile as 'MODULE_PATHNAME', 'mautomate_start';
comment on function mautomate.start() is
  'starts the background workers of this database: one scheduler, and as many senders as setting mautomate.senders says. '
  'They begin when this transaction commits. Where they run already, or will not outlive the server, a NOTICE says so. '
  'Errors: 53000 if the server has no room for more workers (max_worker_processes), 25006 on a standby.';

create function mautomate.stop() returns void
  language c volatile as 'MODULE_PATHNAME', 'mautomate_stop';
comment on function mautomate.stop() is
  'stops the background workers of this database when this transaction commits, until start(); '
  'what is at a server is waited for, 1.5 s at most. A database can be dropped or copied only without workers. Error: 25006 on a standby.';

create function mautomate_internal.worker_pid(kind text, number int) returns int
  language c volatile strict as 'MODULE_PATHNAME', 'mautomate_worker_pid';
comment on function mautomate_internal.worker_pid(text, int) is
  'the pid of this worker of the current database, null if it does not run';

create view mautomate.stat_workers as
  select w.kind, w.number, w.pid, w.started_at
  from mautomate_internal.worker w
  where w.pid = mautomate_internal.worker_pid(w.kind, w.number);
comment on view mautomate.stat_workers is
  'the background workers of this database that run; pg_stat_activity tells what they do';

create function mautomate_internal.run_pass(pass text, max_items int)
  returns bigint
  language c volatile as 'MODULE_PATHNAME', 'mautomate_run_pass';
comment on function mautomate_internal.run_pass(text, int) is
  'one pass of the scheduler: deferred, timers, sweep or journeys; returns how many it did';

create function mautomate.run(max_items int default 1000)
  returns table (pass text, done bigint)
  language sql volatile security definer
  set search_path = pg_catalog, pg_temp
  begin atomic
    select p, done
    from (select p, mautomate_internal.run_pass(p, max_items) as done
          from unnest(array['deferred', 'timers', 'enrollments', 'sweep']) as p) x
    where p <> 'deferred' or done > 0;
  end;
comment on function mautomate.run(int) is
  'does in this transaction what the scheduler worker does: what mautomate.refresh = deferred only noted, timers that are due, enrollments whose next step is, contacts to be brought up to date; '
  'at most max_items of each. Returns how many were done: call it again until all are 0 (deferred has a row where there was something). Error: 25006 on a standby.';
