-- Errors of definitions and captures, noted instead of raised. No unique key
-- on purpose: appending never waits for another session.

create table mautomate_internal.error (
  occurred_at timestamptz not null,
  object text not null,
  contact_id bigint,
  sqlstate text not null,
  message text not null,
  detail text,
  hint text
);
-- no key, and it may be published
alter table mautomate_internal.error replica identity full;
comment on table mautomate_internal.error is
  'what definitions and captures would have raised, at most 10 rows per object and statement';

create view mautomate.errors as
  select occurred_at, object, contact_id, sqlstate, message, detail, hint
  from mautomate_internal.error;
comment on view mautomate.errors is
  'what definitions and captures would have raised; the statements that set it off went through';

