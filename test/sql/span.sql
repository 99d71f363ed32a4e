-- Windows kept in sums: every instant exact, and few events read again for it.
set client_min_messages = warning;
drop extension if exists mautomate cascade;
create extension mautomate;
select mautomate.arm();
set timezone = 'UTC';
set datestyle = 'ISO';
set mautomate.window_entries = 16;
select mautomate.set_clock('2030-02-01 00:00+00');
select mautomate.define_event('call', '{"amount": "numeric"}');

-- time passes in steps: how much verify() finds wrong on the way, whether not
-- more events than so many were read, how large the state was
create function pg_temp.events_read() returns bigint language sql as
  'select coalesce(max(idx_tup_fetch), 0) from pg_stat_xact_all_tables where relid = ''mautomate.event''::regclass';
create function pg_temp.pass(step interval, steps int, most bigint)
  returns table (wrong bigint, few_read boolean, bytes bigint, largest int) language plpgsql as $$
declare
  before bigint;
  events_read bigint := 0;
begin
  wrong := 0; bytes := 0; largest := 0;
  for i in 1 .. steps loop
    before := pg_temp.events_read();
    perform mautomate.set_clock(mautomate.clock() + step);
    perform mautomate.run();
    events_read := events_read + pg_temp.events_read() - before;
    select bytes + octet_length(state), greatest(largest, octet_length(state))
      into bytes, largest from mautomate_internal.contact_state;
    select wrong + count(*) into wrong from mautomate.verify();
  end loop;
  few_read := events_read <= most;
  return next;
end $$;

-- the instants since then at which the log says that a list changes, and those
-- at which it did
create table since as select mautomate.clock() as at;
create view pg_temp.should (list, at) as
  select 'hours', occurred_at + interval '1000 hours' from mautomate.event where kind = 'call'
    group by 2 having count(*) % 2 = 1
  union all
  select 'month', occurred_at + interval '1 month' from mautomate.event where kind = 'call'
    group by 2 having sum((properties->>'amount')::int) % 2 = 1
  union all
  select distinct 'level', occurred_at + interval '1000 hours'
  from (select occurred_at, avg((properties->>'amount')::int) over (order by occurred_at desc) as before,
      avg((properties->>'amount')::int) over (order by occurred_at desc
        range between unbounded preceding and current row exclude group) as after
    from mautomate.event where kind = 'call') l where (before > 2) <> coalesce(after > 2, false)
  union all
  select 'first', max(occurred_at) + interval '1000 hours' from mautomate.event
    where kind = 'call' and occurred_at < '2030-01-06 12:30+00';
create view pg_temp.did (list, at) as
  select l.name, c.changed_at from mautomate_internal.list_change c
    join mautomate_internal.list l using (list_id) where l.name in ('hours', 'month', 'level', 'first');
create view pg_temp.instants as
  select list, count(s) as should, count(d) as did, count(*) filter (where s is null or d is null) as wrong
  from (select * from pg_temp.should where at <= mautomate.clock()) s full join pg_temp.did d using (list, at)
  where at > (select since.at from since) group by list order by list;

-- one an hour; each leaves two windows, and is read again little more often
select mautomate.identify('ann') > 0;
select mautomate.create_list('hours', 'count(''call'', within => ''1000 hours'') % 2 = 1');
select mautomate.create_list('month', 'sum(''call'', ''amount'', within => ''1 month'') % 2 = 1');
select mautomate.create_list('level', 'avg(''call'', ''amount'', within => ''1000 hours'') > 2');
select mautomate.create_list('first', 'first_at(''call'', within => ''1000 hours'') < ''2030-01-06 12:30''');
insert into mautomate.event (contact_id, kind, occurred_at, properties)
  select contact_id, 'call', mautomate.clock() - n * interval '1 hour', jsonb_build_object('amount', n * n % 7)
  from mautomate.contact, generate_series(1, 1000) n;
select octet_length(state) from mautomate_internal.contact_state;
select * from pg_temp.pass('12 hours', 40, 2642);
select * from pg_temp.instants;

-- late ones: at the time of each, a microsecond before and after
update since set at = mautomate.clock();
insert into mautomate.event (contact_id, kind, occurred_at, properties)
  select contact_id, kind, occurred_at + late * interval '1 us', jsonb_build_object('amount', 3 - 2 * late)
  from mautomate.event, generate_series(-1, 1) late where kind = 'call' and occurred_at > '2030-01-15';
select octet_length(state) from mautomate_internal.contact_state;
select * from mautomate.verify();
select * from pg_temp.pass('12 hours', 57, 12949);
select * from pg_temp.instants;

-- many at one time, some alone, and numbers that stand out in the middle of a
-- sum: each instant at which a list changes by them, as the log says
select mautomate.create_list('top', 'max(''mail'', ''amount'', within => ''200 hours'') >= 90');
select mautomate.create_list('low', 'min(''mail'', ''amount'', within => ''1 month'') < 0');
select mautomate.create_list('mean', 'avg(''mail'', ''amount'', within => ''200 hours'') > 9.6');
select mautomate.create_list('sum', 'sum(''mail'', ''amount'', within => ''200 hours'') > 3000');
select mautomate.create_list('much', 'count(''mail'', within => ''200 hours'') % 100 > 50');
select mautomate.create_list('early', 'first_at(''mail'', within => ''1 month'') < ''2030-03-14''');
update since set at = mautomate.clock();
insert into mautomate.event (contact_id, kind, occurred_at, properties)
  select contact_id, 'mail', mautomate.clock() - n / 25 * interval '7 hours',
    jsonb_build_object('amount', case when n % 97 = 50 then 90 + n % 7 when n % 101 = 60 then -1 else n % 20 end)
  from mautomate.contact, generate_series(1, 1000) n
  union all select contact_id, 'mail', mautomate.clock() - n * interval '97 minutes', '{"amount": 12}'
  from mautomate.contact, generate_series(1, 150) n;
select octet_length(state) from mautomate_internal.contact_state;
select * from mautomate.verify();
select * from pg_temp.pass('10 hours', 75, 4706);
create view pg_temp.at_instant as
  select t, max(amount) filter (where hours) >= 90 as top, min(amount) filter (where month) < 0 as low,
    avg(amount) filter (where hours) > 9.6 as mean, sum(amount) filter (where hours) > 3000 as sum,
    count(*) filter (where hours) % 100 > 50 as much,
    min(occurred_at) filter (where month) < '2030-03-14' as early
  from (select distinct leaves - n * interval '1 us' from mautomate.event,
      lateral (values (occurred_at + interval '200 hours'), (occurred_at + interval '1 month')) v (leaves),
      generate_series(0, 1) n where kind = 'mail' and leaves > (select at from since) + interval '1 us') i (t),
    lateral (select occurred_at, (properties->>'amount')::numeric as amount,
      occurred_at + interval '200 hours' > t as hours, occurred_at + interval '1 month' > t as month
      from mautomate.event where kind = 'mail' offset 0) e
  group by t;
select key as list, count(*) > 50 as instants, count(*) filter (where should) > 5 as holds,
  count(*) filter (where should <> coalesce(entered, false)) as wrong
  from pg_temp.at_instant a, lateral (select key, coalesce(value::bool, false) as should
      from jsonb_each_text(to_jsonb(a) - 't')) s
    left join lateral (select entered from mautomate_internal.list_change c
      join mautomate_internal.list l using (list_id)
      where l.name = key and c.changed_at <= t order by c.changed_at desc limit 1) c on true
  group by 1 order by 1;
-- a number too high for newest times, and nobody else asks: left at the
-- instant that its timer says, reached again by what comes
select mautomate.create_list('many', 'count(''solo'', within => ''100 hours'') > 600');
insert into mautomate.event (contact_id, kind, occurred_at)
  select contact_id, 'solo', mautomate.clock() - n * interval '6 minutes' from mautomate.contact, generate_series(0, 699) n;
select until = mautomate.clock() + interval '40 hours' as exact from mautomate.explain_list('many', 'ann');
select * from pg_temp.pass('4 hours', 12, 112);
select list, since from mautomate.list_members where list = 'many';
select changed_at = mautomate.clock() - interval '8 hours' as exact from mautomate_internal.list_change
  join mautomate_internal.list using (list_id) where name = 'many' and not entered;
insert into mautomate.event (contact_id, kind, occurred_at)
  select contact_id, 'solo', mautomate.clock() - n * interval '1 hour' from mautomate.contact, generate_series(1, 80) n;
select count(*) from mautomate.list_members where list = 'many';
select mautomate.track('ann', 'solo') > 0 as tracked from generate_series(1, 3);
select count(*) from mautomate.list_members where list = 'many';

-- what happened at one time is in the window to its last microsecond, and
-- then no more
select mautomate.create_list('once', 'count(''bulk'', within => ''10 hours'') % 50 > 30');
insert into mautomate.event (contact_id, kind, occurred_at)
  select contact_id, 'bulk', mautomate.clock() from mautomate.contact, generate_series(1, 40) n;
select * from pg_temp.pass('10 hours -1 us', 1, 140);
select mautomate.track('ann', 'bulk') > 0 as tracked from generate_series(1, 3);
select count(*) from mautomate.list_members where list = 'once';
select * from pg_temp.pass('1 us', 1, 0);
select count(*) from mautomate.list_members where list = 'once';

select mautomate.create_list('last', 'sum(''pair'', ''amount'', within => ''10 hours'') > 3');
select mautomate.track('ann', 'pair', '{"amount": 5}') > 0 as tracked;
select * from pg_temp.pass('10 hours -1 us', 1, 124);
select mautomate.track('ann', 'pair', '{"amount": 0}') > 0 as tracked from generate_series(1, 3);
select count(*) from mautomate.list_members where list = 'last';
select * from pg_temp.pass('1 us', 1, 0);
select count(*) from mautomate.list_members where list = 'last';

-- a mean, and nobody else asks
select mautomate.create_list('tone', 'avg(''tone'', ''amount'', within => ''100 hours'') > 2');
update since set at = mautomate.clock();
insert into mautomate.event (contact_id, kind, occurred_at, properties)
  select contact_id, 'tone', mautomate.clock() - n * interval '6 minutes', jsonb_build_object('amount', n * n % 7)
  from mautomate.contact, generate_series(1, 900) n;
select mautomate.set_clock(mautomate.clock() + interval '50 hours');
select count(*) > 0 as done from mautomate.run();
select count(*), count(*) filter (where should is null or did is null) as wrong
  from (select occurred_at + interval '100 hours'
      from (select occurred_at, avg((properties->>'amount')::int) over (order by occurred_at desc) as before,
          avg((properties->>'amount')::int) over (order by occurred_at desc rows between unbounded preceding
            and 1 preceding) as after
        from mautomate.event where kind = 'tone') l
      where (before > 2) <> (after > 2)) s (should)
    full join (select changed_at from mautomate_internal.list_change join mautomate_internal.list using (list_id)
      where name = 'tone' and changed_at > (select at from since)) d (did) on should = did
  where should is null or should between (select at + interval '1 us' from since) and mautomate.clock();

-- nobody asks while one sum after the other leaves: all are opened at once
select mautomate.define_attribute('goal', 'numeric');
select mautomate.create_list('goal', 'contact.goal is not null and contact.goal = count(''quiet'', within => ''100 hours'')'
  ' + 1000 * count(''quiet'', within => ''50 hours'')');
select mautomate.identify('bob') > 0;
insert into mautomate.event (contact_id, kind, occurred_at)
  select contact_id, 'quiet', mautomate.clock() - n * interval '6 minutes' from mautomate.contact, generate_series(0, 999) n
  where external_id = 'bob';
select count(*) from mautomate_internal.timer join mautomate.contact using (contact_id) where external_id = 'bob';
select mautomate.set_clock(mautomate.clock() + interval '30 hours');
select mautomate.identify('bob', attributes => '{"goal": 200700}') > 0;
select list from mautomate.list_members where external_id = 'bob';
select * from mautomate.verify();

drop extension mautomate cascade;
drop table since;
