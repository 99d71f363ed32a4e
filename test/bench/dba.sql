-- What a competent DBA would write instead: facts per contact, counted from
-- the log where a window asks for it, thresholds in a table, and members
-- whose difference is written. Once for each row, once for each statement.
create schema dba;
create table dba.fact (
  contact_id bigint primary key,
  total bigint, month bigint, quarter bigint, year bigint, big bigint,
  web bigint, books bigint, spent numeric, most numeric, latest timestamptz,
  points float8
) with (fillfactor = 60);
create table dba.threshold (list_id int primary key, signal int, least numeric);
create table dba.member (
  list_id int, contact_id bigint, since timestamptz default now(),
  primary key (list_id, contact_id));
create index on dba.member (contact_id);
create table dba.change (contact_id bigint, list_id int,
  changed_at timestamptz default now(), entered boolean);
create index on dba.change (contact_id);
insert into dba.threshold
select n, n % 10, case n % 10
  when 0 then 20 * (1 + n / 10) when 7 then 3000 + 6000 * (1 + n / 10)
  when 8 then 200 + 100 * (1 + n / 10) else 10 + 20 * (1 + n / 10) end
from generate_series(0, 99) n;
create function dba.points(properties jsonb) returns float8 language sql immutable
return (select sum(n) filter (where (properties ->> 'amount')::numeric >= n * 18)
    from generate_series(1, 10) n)
  + coalesce(10 + array_position(array['books', 'music', 'toys', 'shoes', 'food',
    'garden', 'tools', 'sport', 'baby', 'pets'], properties ->> 'category'), 0);

create function dba.signals(f dba.fact) returns numeric[] language sql immutable
return array[f.total, f.month, f.quarter, f.year, f.big, f.web, f.books,
  f.spent, f.most, 0];

create function dba.each_row() returns trigger language plpgsql as $$
declare
  f dba.fact;
begin
  -- the row is also the lock of the contact
  insert into dba.fact as t values (new.contact_id, 1, 0, 0, 0,
    ((new.properties ->> 'amount')::numeric >= 100)::int, 0,
    (new.properties ->> 'category' = 'books')::int,
    (new.properties ->> 'amount')::numeric, (new.properties ->> 'amount')::numeric,
    new.occurred_at, dba.points(new.properties))
  on conflict (contact_id) do update set total = t.total + 1,
    big = t.big + excluded.big, books = t.books + excluded.books,
    spent = t.spent + excluded.spent, most = greatest(t.most, excluded.most),
    latest = greatest(t.latest, excluded.latest),
    points = t.points + excluded.points
  returning * into f;
  select count(*) filter (where occurred_at > now() - interval '30 days'),
    count(*) filter (where occurred_at > now() - interval '90 days'), count(*),
    count(*) filter (where occurred_at > now() - interval '180 days'
      and properties ->> 'channel' = 'web')
  into f.month, f.quarter, f.year, f.web
  from mautomate.event
  where contact_id = new.contact_id and kind = new.kind
    and occurred_at > now() - interval '365 days';
  with wanted as (
    select list_id from dba.threshold
    where (dba.signals(f))[signal + 1] > least
  ), gone as (
    delete from dba.member m where contact_id = new.contact_id
      and list_id not in (select list_id from wanted) returning list_id
  ), came as (
    insert into dba.member (list_id, contact_id)
    select list_id, new.contact_id from wanted
    where list_id not in (select list_id from dba.member
      where contact_id = new.contact_id)
    returning list_id
  )
  insert into dba.change (contact_id, list_id, entered)
  select new.contact_id, list_id, true from came
  union all select new.contact_id, list_id, false from gone;
  return null;
end $$;

create function dba.each_statement() returns trigger language plpgsql as $$
begin
  insert into dba.fact as t
  select contact_id, count(*), 0, 0, 0,
    count(*) filter (where (properties ->> 'amount')::numeric >= 100), 0,
    count(*) filter (where properties ->> 'category' = 'books'),
    sum((properties ->> 'amount')::numeric),
    max((properties ->> 'amount')::numeric), max(occurred_at),
    sum(dba.points(properties))
  from new_rows group by contact_id order by contact_id
  on conflict (contact_id) do update set total = t.total + excluded.total,
    big = t.big + excluded.big, books = t.books + excluded.books,
    spent = t.spent + excluded.spent, most = greatest(t.most, excluded.most),
    latest = greatest(t.latest, excluded.latest),
    points = t.points + excluded.points;
  with touched as materialized (
    select distinct contact_id from new_rows
  ), counted as (
    select e.contact_id,
      count(*) filter (where occurred_at > now() - interval '30 days') as month,
      count(*) filter (where occurred_at > now() - interval '90 days') as quarter,
      count(*) as year,
      count(*) filter (where occurred_at > now() - interval '180 days'
        and properties ->> 'channel' = 'web') as web
    from touched join mautomate.event e using (contact_id)
    where kind = 'purchase' and occurred_at > now() - interval '365 days'
    group by 1
  ), wanted as materialized (
    select contact_id, list_id
    from counted c join dba.fact f using (contact_id), lateral unnest(array[
      f.total, c.month, c.quarter, c.year, f.big, c.web, f.books, f.spent,
      f.most, 0]) with ordinality as s (value, i)
    join dba.threshold t on t.signal = s.i - 1 and s.value > t.least
  ), gone as (
    delete from dba.member m using touched t where m.contact_id = t.contact_id
      and not exists (select from wanted w where w.contact_id = m.contact_id
        and w.list_id = m.list_id)
    returning m.contact_id, m.list_id
  ), came as (
    insert into dba.member (list_id, contact_id)
    select list_id, contact_id from wanted on conflict do nothing
    returning contact_id, list_id
  )
  insert into dba.change (contact_id, list_id, entered)
  select contact_id, list_id, true from came
  union all select contact_id, list_id, false from gone;
  return null;
end $$;

create trigger dba_row after insert on mautomate.event
  for each row execute function dba.each_row();
create trigger dba_statement after insert on mautomate.event
  referencing new table as new_rows
  for each statement execute function dba.each_statement();
-- their facts, so far
insert into dba.fact
select contact_id, count(*), 0, 0, 0,
  count(*) filter (where (properties ->> 'amount')::numeric >= 100), 0,
  count(*) filter (where properties ->> 'category' = 'books'),
  sum((properties ->> 'amount')::numeric), max((properties ->> 'amount')::numeric),
  max(occurred_at), sum(dba.points(properties))
from mautomate.event where kind = 'purchase' group by contact_id;
vacuum analyze;
