-- Many events of a contact are summed up while they are folded: from the log,
-- from one statement, or as they were noted. Every instant is exact.
set client_min_messages = warning;
drop extension if exists mautomate cascade;
create extension mautomate;
select mautomate.arm();
set timezone = 'UTC';
set datestyle = 'ISO';
set mautomate.window_entries = 4;
select mautomate.set_clock('2030-03-01 00:00+00');
select mautomate.define_event('hit', '{"amount": "numeric"}');
select mautomate.identify(who) is not null as made from unnest(array['ann', 'bob', 'cat']) who;

-- what time alone changes, step by step: how much verify() finds wrong
create function pg_temp.pass(step interval, steps int) returns bigint language plpgsql as $$
declare
  wrong bigint := 0;
begin
  for i in 1 .. steps loop
    perform mautomate.set_clock(mautomate.clock() + step);
    perform mautomate.run();
    wrong := wrong + (select count(*) from mautomate.verify());
  end loop;
  return wrong;
end $$;
-- so many events, the earliest so long ago, in no order
create function pg_temp.hit(who text, n int, ago interval, every interval) returns bigint language sql as $$
  with i as (insert into mautomate.event (contact_id, kind, occurred_at, properties)
    select contact_id, 'hit', mautomate.clock() - ago + i * every, jsonb_build_object('amount', i * 7 % 11 - 2)
    from mautomate.contact, generate_series(1, n) i where external_id = who order by i * 7919 % n returning 1)
  select count(*) from i $$;
-- the instants at which the log says that somebody leaves or enters a list
create function pg_temp.log_says(who text, since timestamptz, out list text, out at timestamptz) returns setof record
  language sql as $$
  with e as (select occurred_at as at, (properties->>'amount')::int as amount from mautomate.event
      join mautomate.contact using (contact_id) where external_id = who and kind = 'hit'),
    i as (select distinct 'rich' as list, at + interval '20 days' as at from e
      union select 'month', at + interval '1 month' from e union select 'odd', at + interval '90 hours' from e),
    s as (select i.list, i.at, b.n as before, count(e) as after, b.sum as sum_before, sum(e.amount) as sum_after
      from i cross join lateral (select count(*) as n, sum(amount) as sum from e
          where e.at + case list when 'rich' then interval '20 days' when 'month' then '1 month' else '90 hours' end >= i.at) b
        left join e on e.at + case list when 'rich' then interval '20 days' when 'month' then '1 month' else '90 hours' end > i.at
      where i.at > since and i.at <= mautomate.clock() group by 1, 2, b.n, b.sum)
  select list, at from s
  where case list when 'rich' then (sum_before > 50) <> coalesce(sum_after > 50, false)
    when 'month' then (before % 3 = 0) <> (after % 3 = 0) else (before % 2 = 1) <> (after % 2 = 1) end $$;
create function pg_temp.lists_say(who text, since timestamptz, out list text, out at timestamptz) returns setof record
  language sql as $$
  select l.name, changed_at from mautomate_internal.list_change join mautomate_internal.list l using (list_id)
    join mautomate.contact using (contact_id) where external_id = who and changed_at > since $$;
create function pg_temp.differs(who text, since timestamptz, out wrong bigint, out many boolean) language sql as $$
  select count(*) filter (where a is null or b is null), count(*) > 50
  from pg_temp.log_says(who, since) a full join pg_temp.lists_say(who, since) b using (list, at) $$;

-- a statement of many events
select mautomate.create_list('rich', 'sum(''hit'', ''amount'', within => ''20 days'') > 50');
select mautomate.create_list('odd', 'count(''hit'', within => ''90 hours'') % 2 = 1');
select mautomate.create_list('month', 'count(''hit'', within => ''1 month'') % 3 = 0');
select pg_temp.hit('ann', 1500, '25 days', '25 minutes'), pg_temp.hit('bob', 3, '2 days', '1 hour');
select * from mautomate.verify();
select pg_temp.hit('ann', 300, '30 days', '3 hours');
select * from mautomate.verify();
select pg_temp.pass('5 hours 1 second', 20);
select * from pg_temp.differs('ann', '2030-03-01 00:00+00');

-- from the log: marked for the sweep, and with a timer that is late
insert into mautomate_internal.dirty (contact_id, rebuild) select contact_id, true from mautomate.contact;
select * from mautomate.run() where pass = 'sweep';
select * from mautomate.verify();
select pg_temp.pass('3 days', 2);
insert into mautomate_internal.dirty (contact_id, rebuild) select contact_id, true from mautomate.contact;
select mautomate.set_clock(mautomate.clock() + '2 days');
select mautomate_internal.run_pass('sweep', 100);
select * from mautomate.verify();
select * from pg_temp.differs('ann', '2030-03-01 00:00+00');
-- what a new list asks about, long after it was filled
select mautomate.create_list('low', 'min(''hit'', ''amount'', within => ''12 days'') < -1 and sum(''hit'', ''amount'', within => ''100 hours'') > 9');
select mautomate.set_clock(mautomate.clock() + '30 hours');
select mautomate_internal.run_pass('sweep', 100);
select * from mautomate.verify();
select pg_temp.pass('7 hours', 10);

-- as they were noted: steps of their own
set mautomate.refresh = deferred;
select pg_temp.hit('cat', 200, '40 days', '290 minutes');
select mautomate.set_clock(mautomate.clock() + '1 day');
select pg_temp.hit('cat', 150, '20 days', '200 minutes'), pg_temp.hit('ann', 150, '20 days', '200 minutes');
reset mautomate.refresh;
select mautomate.set_clock(mautomate.clock() + '1 day');
select done > 0 as some from mautomate.run() where pass = 'deferred';
select * from mautomate.verify();
select pg_temp.pass('11 hours', 10);

-- a span that does not agree with the log is read again, and nothing else is
-- that had been read just now
alter table mautomate.event disable trigger user;
select pg_temp.hit('cat', 40, '10 days', '4 hours');
alter table mautomate.event enable trigger user;
select mautomate.create_score('keen');
select mautomate.set_clock(mautomate.clock() + '2 days');
select mautomate.create_score_rule('keen', 'hits', points => 1, event => 'hit', condition => 'event.amount > 0');
select object, external_id from mautomate.verify() where object like '%keen%' or object like '%filter%';

-- what takes long can be canceled
alter table mautomate.event disable trigger user;
select pg_temp.hit('bob', 60000, '10 days', '14 seconds');
alter table mautomate.event enable trigger user;
insert into mautomate_internal.dirty (contact_id, rebuild) select contact_id, true from mautomate.contact where external_id = 'bob';
set statement_timeout = '20ms';
select mautomate_internal.run_pass('sweep', 100);
reset statement_timeout;

-- little memory for it, in a backend that knows the pages already
\c -
set client_min_messages = warning;
create view pg_temp.memory as select (regexp_match(pg_read_file('/proc/self/status'), 'VmRSS:\s*(\d+)'))[1]::int as now,
  (regexp_match(pg_read_file('/proc/self/status'), 'VmHWM:\s*(\d+)'))[1]::int as most;
select count(*) > 60000 as many from mautomate.event where properties is not null;
set enable_seqscan = off;
select count(*) > 60000 as many from mautomate.event where contact_id > 0 and properties is not null;
reset enable_seqscan;
copy (select 5) to '/proc/self/clear_refs';
create temp table before as select now from pg_temp.memory;
select mautomate_internal.run_pass('sweep', 100);
select most - before.now < 11000 as little from pg_temp.memory, before;
drop extension mautomate cascade;
