-- The clock of the database.

create table mautomate_internal.clock (
  only_row boolean primary key default true check (only_row),
  set_to timestamptz
);
comment on table mautomate_internal.clock is
  'one row: where the clock stands still; null = real time';
insert into mautomate_internal.clock default values;
create trigger invalidate
  after insert or update or delete or truncate on mautomate_internal.clock
  for each statement execute function mautomate_internal.invalidate();

create function mautomate.clock() returns timestamptz
  language c stable parallel restricted
  as 'MODULE_PATHNAME', 'mautomate_clock';
comment on function mautomate.clock() is
  'what time it is for mautomate: the real time, or where set_clock() made it stand still';

create function mautomate.set_clock(timestamptz) returns void
  language c as 'MODULE_PATHNAME', 'mautomate_set_clock';
comment on function mautomate.set_clock(timestamptz) is
  'makes the clock of the database stand still at an instant, for every session and worker; null: real time again. Set back, every list and score is folded again from the log. Sending goes on: disarm() before you travel. Superusers only';

