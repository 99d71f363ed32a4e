-- Predicates about values: how many different ones, and the last.
set client_min_messages = warning;
drop extension if exists mautomate cascade;
create extension mautomate;
set timezone = 'UTC';
set datestyle = 'ISO';
select mautomate.set_clock('2026-01-01 00:00+00');
create view pg_temp.members as
  select list, string_agg(external_id, ' ' order by external_id) as members
  from mautomate.list_members group by list order by list;
create function pg_temp.lists_at(at timestamptz) returns text language plpgsql as $$
begin
  perform mautomate.set_clock(at);
  perform mautomate.run();
  return (select string_agg(list, ' ' order by list) from mautomate.list_members where external_id = 'v_ann');
end $$;
select mautomate.define_event('v_order', '{"due": "timestamptz", "paid": "boolean"}');

-- different values: as JSON has them, 1 is 1.0 but not "1"; null, objects and lists are none
select mautomate.create_list('v_4', $$count_distinct('v_order', 'sku') = 4$$),
       mautomate.create_list('v_more', $$count_distinct('v_order', 'sku') > 2 * 2 - 1$$),
       mautomate.create_list('v_text', $$count_distinct('v_order', 'sku') filter (where event.sku = 'a') = 1$$),
       mautomate.create_list('v_none', $$count_distinct('v_order', 'sku') = 0$$);
select mautomate.identify('v_bob') is not null;
select mautomate.track('v_ann', 'v_order', jsonb_build_object('sku', sku), '2026-01-01') is not null as stored
from jsonb_array_elements('["a", "a", 1, 1.0, "1", true, null, {}, [1], 1.00]') sku;
select * from pg_temp.members;
select condition, value, holds from mautomate.explain_list('v_4', 'v_ann');
select * from mautomate.verify();
delete from mautomate.event where properties ->> 'sku' = 'a';
select * from pg_temp.members;
select * from mautomate.verify();
select mautomate.drop_list(name) from mautomate.lists;
delete from mautomate.event;

-- in a window, out again to the microsecond; late events fold the same way
select mautomate.create_list('v_two', $$count_distinct('v_order', 'sku', within => '1 month') >= 2$$),
       mautomate.create_list('v_three', $$count_distinct('v_order', 'sku', within => '1 month') = 3$$),
       mautomate.create_list('v_days', $$count_distinct('v_order', 'sku', within => '10 days') between 1 and 2$$),
       mautomate.create_list('v_odd', $$count_distinct('v_order', 'sku', within => '10 days') % 2 = 1$$),
       mautomate.create_list('v_period', $$count_distinct('v_order', 'sku', since => '2026-01-30', until => '2026-01-31') = 2$$);
select mautomate.set_clock('2026-01-31 12:00+00');
-- a on the 29th leaves later than a on the 31st: both plus one month are 28 February
select mautomate.track('v_ann', 'v_order', jsonb_build_object('sku', sku), at) is not null as stored
from (values ('a', timestamptz '2026-01-31 06:00+00'), ('b', '2026-01-30 12:00+00'), ('a', '2026-01-29 18:00+00'),
             ('c', '2026-01-20 09:00+00'), ('b', '2026-01-02 00:00+00')) e (sku, at);
select at, pg_temp.lists_at(at)
from unnest(array['2026-01-31 12:00+00', '2026-02-08 12:00+00',
                  '2026-02-09 11:59:59.999999+00', '2026-02-09 12:00+00',
                  '2026-02-10 05:59:59.999999+00', '2026-02-10 06:00+00',
                  '2026-02-20 08:59:59.999999+00', '2026-02-20 09:00+00',
                  '2026-02-28 06:00+00', '2026-02-28 11:59:59.999999+00', '2026-02-28 12:00+00',
                  '2026-02-28 18:00+00']::timestamptz[]) at;
select * from mautomate.verify();
-- again, with all of it known at once
select mautomate.set_clock('2026-01-31 12:00+00');
select at, pg_temp.lists_at(at), (select count(*) from mautomate.verify()) as wrong
from unnest(array['2026-01-31 12:00+00', '2026-02-09 12:00+00', '2026-02-20 09:00+00', '2026-02-28 11:59:59.999999+00',
                  '2026-02-28 12:00+00', '2026-02-28 18:00+00']::timestamptz[]) at;
-- only so many values are kept as somebody asks for; more are read from the log
select mautomate.track('v_ann', 'v_order', jsonb_build_object('sku', n), mautomate.clock() - n * interval '1 minute') is not null as stored
from generate_series(1, 7) n;
select mautomate.create_list('v_six', $$count_distinct('v_order', 'sku', within => '10 days') > 6$$);
select * from pg_temp.members;
select * from mautomate.verify();
select mautomate.drop_list(name) from mautomate.lists;
delete from mautomate.event;

-- the last value: by occurred_at, then event_id; typed by declaration or by its neighbour
select mautomate.set_clock('2026-03-01 00:00+00');
select mautomate.define_attribute('v_limit', 'numeric');
select mautomate.identify('v_ann', attributes => '{"v_limit": 10}') is not null;
select mautomate.create_list('v_paid', $$last_value('v_order', 'status') = 'paid'$$),
       mautomate.create_list('v_big', $$last_value('v_order', 'amount') > 10$$),
       mautomate.create_list('v_limit', $$last_value('v_order', 'amount') > contact.v_limit$$),
       mautomate.create_list('v_flag', $$last_value('v_order', 'paid')$$),
       mautomate.create_list('v_due', $$last_value('v_order', 'due') < now()$$),
       mautomate.create_list('v_overdue', $$elapsed(last_value('v_order', 'due')) > '7 days'$$),
       mautomate.create_list('v_web', $$last_value('v_order', 'status') filter (where event.shop = 'web') = 'sent'$$),
       mautomate.create_list('v_new', $$last_value('v_order', 'status', until => '2026-01-31') = 'new'$$),
       mautomate.create_list('v_null', $$last_value('v_order', 'amount') is null$$);
select mautomate.track('v_ann', 'v_order', p, at) is not null as stored
from (values ('{"status": "paid", "amount": 5, "paid": true, "due": "2026-03-05"}'::jsonb, '2026-02-02'::timestamptz),
             ('{"status": "new", "amount": 50}', '2026-01-31 23:00'), ('{"status": "sent", "shop": "web"}', '2026-02-01')) e (p, at);
select pg_temp.lists_at('2026-03-01 00:00+00');
select mautomate.track('v_ann', 'v_order', '{"status": null, "amount": "11.5", "paid": "maybe"}', '2026-02-03') is not null;
select at, pg_temp.lists_at(at) from unnest(array['2026-03-05 00:00+00', '2026-03-05 00:00:00.000001+00', '2026-03-12 00:00:00.000001+00']::timestamptz[]) at;
select * from mautomate.verify();
select condition, value, holds from mautomate.explain_list('v_limit', 'v_ann');
-- at one instant the later row is the last
select mautomate.track('v_ann', 'v_order', p, '2026-02-04') is not null
from (values ('{"amount": 1}'::jsonb), ('{"amount": 100}'), ('{"amount": 2}')) e (p);
select pg_temp.lists_at('2026-03-13 00:00+00');
delete from mautomate.event where properties = '{"amount": 2}';
select pg_temp.lists_at('2026-03-13 00:00+00');
select * from mautomate.verify();
select mautomate.drop_list(name) from mautomate.lists;

-- what stands beside an answer takes its type
select mautomate.create_list('v_goal', $$count('v_order') > contact.v_goal$$);
select mautomate.identify('v_ann', attributes => '{"v_goal": 3}') is not null;
select * from pg_temp.members;
select mautomate.drop_list('v_goal');

-- what is declared later means something else: the list stands still until the sweep has folded it anew
select mautomate.define_event('v_visit', '{"page": "text"}');
select mautomate.create_list('v_page', $$count('v_visit') filter (where event.page = '1') >= 1$$);
select mautomate.track('v_ann', 'v_visit', '{"page": "1.0"}') is not null;
select * from pg_temp.members;
select mautomate.define_event('v_visit', '{"page": "numeric"}');
select mautomate.track('v_ann', 'v_visit', '{"page": "2"}') is not null;
select * from pg_temp.members;
select pass, done > 0 as some from mautomate.run() where pass = 'sweep';
select * from pg_temp.members;
select * from mautomate.verify();
select mautomate.drop_list('v_page');

-- refused
\set VERBOSITY default
\set SHOW_CONTEXT never
select mautomate.create_list('v_try', $$last_value('v_order', 'status', within => '1 day') = 'x'$$);
select mautomate.create_list('v_try', $$last_value('v_order') = 'x'$$);
select mautomate.create_list('v_try', $$count_distinct('v_order') > 1$$);
select mautomate.create_list('v_try', $$count_distinct('v_order', contact.email) > 1$$);
select mautomate.create_list('v_try', $$count(distinct 'v_order') > 1$$);
select mautomate.create_list('v_try', $$last_value('v_order', 'due') > 1$$);
select mautomate.set_clock(null);
drop extension mautomate cascade;
