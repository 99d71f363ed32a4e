-- Many events in a window: the state keeps sums, and answers are exact.
set client_min_messages = warning;
drop extension if exists mautomate cascade;
create extension mautomate;
select mautomate.arm();
set timezone = 'UTC';
set datestyle = 'ISO';
select mautomate.set_clock('2030-04-01 00:00+00');
select mautomate.define_event('view', '{"amount": "numeric"}');
select mautomate.define_attribute('budget', 'numeric');
select mautomate.define_attribute('sign_up', 'timestamptz');
create view pg_temp.members as
  select string_agg(list, ', ' order by list) as members from mautomate.list_members;
create view pg_temp.size as
  select max(octet_length(state)) <= 8192 as bounded from mautomate_internal.contact_state;

-- 100,000 events, one a minute, the last one of tonight
select mautomate.identify('ann', attributes => '{"budget": 99400, "sign_up": "2030-01-22"}') > 0;
select mautomate.create_list('count', 'count(''view'', within => ''100 days'') > contact.budget');
select mautomate.create_list('constant', 'count(''view'', within => ''100 days'') > 99000');
select mautomate.create_list('sum', 'sum(''view'', ''amount'', within => ''100 days'') >= 4911000');
select mautomate.create_list('average', 'avg(''view'', ''amount'', within => ''10 years'') > 49.5');
select mautomate.create_list('most', 'max(''view'', ''amount'', within => ''1 day'') > 98');
select mautomate.create_list('least', 'min(''view'', ''amount'', within => ''1 month'') <= 0');
select mautomate.create_list('first', 'first_at(''view'', within => ''100 days'') < contact.sign_up');
select mautomate.create_list('second', 'count(''view'', within => ''1 second'') < contact.budget');
insert into mautomate.event (contact_id, kind, occurred_at, properties)
  select contact_id, 'view', mautomate.clock() - n * interval '1 minute',
    jsonb_build_object('amount', n % 100)
  from mautomate.contact, generate_series(0, 99999) n;
select * from pg_temp.size;
select * from pg_temp.members;
select * from mautomate.verify();

-- one by one: late ones, those of the future, of the edge and before it
select mautomate.track('ann', 'view', '{"amount": 0.25}', occurred_at => at) > 0 as tracked
  from unnest(array['2030-03-01 12:00:30+00', '2030-01-22 00:00+00', '2030-02-28 23:59:59.5+00',
    '2020-04-01 00:00+00', '2020-04-02 00:00+00', '2030-07-01 00:00+00']::timestamptz[]) at;
select * from pg_temp.size;
select * from mautomate.verify();

-- each list a microsecond before and at the instant that explain_list() says,
-- which the log says too
create view pg_temp.inside as
  select occurred_at + interval '100 days' as leaves, row_number() over later as n,
    sum((properties->>'amount')::numeric) over later as total
  from mautomate.event where kind = 'view' and occurred_at > '2030-01-01'
  window later as (order by occurred_at desc);
create table instant as select list, until from unnest(array['constant', 'sum']) list,
  mautomate.explain_list(list, 'ann');
select list, until, until = case list when 'constant' then (select leaves from pg_temp.inside where n = 99001)
    else (select max(leaves) from pg_temp.inside where total >= 4911000) end as exact
  from instant order by list;
select mautomate.set_clock((select until - interval '1 us' from instant where list = 'sum')) is not null as set;
select count(*) > 0 as done from mautomate.run();
select * from pg_temp.members;
select * from mautomate.verify();
select mautomate.set_clock((select until from instant where list = 'sum')) is not null as set;
select count(*) > 0 as done from mautomate.run();
select * from pg_temp.members;
select * from pg_temp.size;
select mautomate.set_clock((select until - interval '1 us' from instant where list = 'constant')) is not null as set;
select count(*) > 0 as done from mautomate.run();
select * from pg_temp.members;
select mautomate.set_clock((select until from instant where list = 'constant')) is not null as set;
select count(*) > 0 as done from mautomate.run();
select * from pg_temp.members;
select * from mautomate.verify();

-- the other one left in between when it had to
select c.changed_at = (select leaves from pg_temp.inside where n = 99401) as exact
  from mautomate_internal.list_change c join mautomate_internal.list using (list_id)
  where name = 'count' and not entered;

drop table instant;

-- an event is deleted, one moved, one changed, one appended in a rolled back transaction
delete from mautomate.event where occurred_at = '2030-03-01 12:00:30+00';
update mautomate.event set occurred_at = '2030-03-20 00:00:30+00' where occurred_at = '2030-07-01 00:00+00';
update mautomate.event set properties = '{"amount": -5}' where occurred_at = '2030-03-25 12:00+00';
begin;
select mautomate.track('ann', 'view', '{"amount": 5000000}') > 0;
select members like '%sum%' as in_sum from pg_temp.members;
rollback;
select * from pg_temp.members;
select * from mautomate.verify();

-- the clock goes on while nobody looks, then back; nobody sees an old sum
select mautomate.set_clock('2030-05-02 12:00:00.000001+00');
select count(*) > 0 as done from mautomate.run();
select * from mautomate.verify();
select mautomate.track('ann', 'view', '{"amount": 1}') > 0;
select * from pg_temp.size;
select mautomate.set_clock('2030-04-20 00:00+00');
select mautomate.track('ann', 'view', '{"amount": 1}') > 0;
select * from mautomate.verify();
select condition, value, holds from mautomate.explain_list('count', 'ann');

-- what the log says otherwise is not added up: it is folded anew
set session_replication_role = replica;
delete from mautomate.event where occurred_at between '2030-01-22 12:00' and '2030-01-22 18:00';
set session_replication_role = origin;
select mautomate.set_clock('2030-05-02 18:00+00');
select count(*) > 0 as done from mautomate.run();
select * from mautomate.verify();

-- the end of January plus a month is one day: who is there an odd number of
-- times changes with each that leaves, though sums hold most of them
drop extension mautomate cascade;
create extension mautomate;
set mautomate.window_entries = 2;
select mautomate.set_clock('2030-02-10 00:00+00');
select mautomate.create_list('odd', 'count(''call'', within => ''1 month'') % 2 = 1');
select mautomate.create_list('even', 'sum(''call'', ''amount'', within => ''1 month'') % 20 = 0');
select mautomate.identify('bob') > 0;
insert into mautomate.event (contact_id, kind, occurred_at, properties)
  select contact_id, 'call', '2030-01-27 00:10+00'::timestamptz + n * interval '71 minutes', '{"amount": 10}'
  from mautomate.contact, generate_series(0, 150) n where external_id = 'bob';
select octet_length(state) < 1000 as bounded from mautomate_internal.contact_state
  join mautomate.contact using (contact_id) where external_id = 'bob';
select mautomate.set_clock('2030-02-28 00:00+00');
select count(*) > 0 as done from mautomate.run();
select * from mautomate.verify();
select mautomate.set_clock('2030-02-28 07:30+00');
select count(*) > 0 as done from mautomate.run();
select * from mautomate.verify();
select mautomate.set_clock('2030-03-02 00:00+00');
select count(*) > 0 as done from mautomate.run();
select * from mautomate.verify();
select l.name, count(*) = (select count(distinct occurred_at + interval '1 month') from mautomate.event
    where kind = 'call' and occurred_at + interval '1 month' <= '2030-03-02') as each
  from mautomate_internal.list_change c join mautomate_internal.list l using (list_id)
  where name in ('odd', 'even') and c.changed_at > '2030-02-10' group by 1 order by 1;
drop extension mautomate cascade;
