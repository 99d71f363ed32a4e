-- Exact where calendars and clocks go backwards.
set client_min_messages = warning;
drop extension if exists mautomate cascade;
create extension mautomate;
select mautomate.arm();
set timezone = 'UTC';
set datestyle = 'ISO';
select mautomate.set_clock('2030-02-01 00:00+00');
create view pg_temp.members as
  select list, string_agg(external_id, ' ' order by external_id) as members
  from mautomate.list_members group by list order by list;
create view pg_temp.wrong as select * from mautomate.verify();

-- 29 and 31 January plus a month are both 28 February: the older one leaves
-- later, though it is not among the newest
select mautomate.identify(who) is not null from unnest(array['ann', 'bob']) who;
select mautomate.create_list('ever', 'ever(''buy'', within => ''1 month'')');
select mautomate.create_list('some', 'count(''buy'', within => ''1 month'') >= 1');
select mautomate.create_list('two', 'count(''buy'', within => ''1 month'') > 1');
select mautomate.create_list('last', 'last_at(''buy'', within => ''1 month'') < ''2030-01-30''');
insert into mautomate.event (contact_id, kind, occurred_at)
  select contact_id, 'buy', at from mautomate.contact,
    unnest(array['2030-01-28 23:00+00', '2030-01-29 12:00+00', '2030-01-31 10:00+00',
      '2030-01-31 11:00+00']::timestamptz[]) at
  where external_id = 'ann';
-- the same, the newest first
insert into mautomate.event (contact_id, kind, occurred_at)
  select contact_id, 'buy', '2030-01-31 11:00+00' from mautomate.contact where external_id = 'bob';
insert into mautomate.event (contact_id, kind, occurred_at)
  select contact_id, 'buy', '2030-01-31 10:00+00' from mautomate.contact where external_id = 'bob';
insert into mautomate.event (contact_id, kind, occurred_at)
  select contact_id, 'buy', '2030-01-29 12:00+00' from mautomate.contact where external_id = 'bob';
insert into mautomate.event (contact_id, kind, occurred_at)
  select contact_id, 'buy', '2030-01-28 23:00+00' from mautomate.contact where external_id = 'bob';
select list, external_id, until from unnest(array['ever', 'some', 'two', 'last']) list,
  unnest(array['ann', 'bob']) external_id, mautomate.explain_list(list, external_id);
select mautomate.set_clock('2030-02-28 11:30+00');
select pass, done from mautomate.run() where pass = 'timers';
select * from pg_temp.members;
select * from pg_temp.wrong;
select mautomate.set_clock('2030-02-28 12:00+00');
select pass, done from mautomate.run() where pass = 'timers';
select * from pg_temp.members;
select mautomate.set_clock('2030-02-28 22:59:59.999999+00');
select pass, done from mautomate.run() where pass = 'timers';
select * from pg_temp.members;
select mautomate.set_clock('2030-02-28 23:00+00');
select pass, done from mautomate.run() where pass = 'timers';
select * from pg_temp.members;

-- what was dropped for one window is read again for another one
insert into mautomate.event (contact_id, kind, occurred_at)
  select contact_id, 'buy', at from mautomate.contact,
    unnest(array['2030-08-29 12:00+00', '2030-08-31 10:00+00', '2030-08-31 13:00+00',
      '2030-08-31 14:00+00']::timestamptz[]) at
  where external_id = 'ann';
select mautomate.create_list('half', 'count(''buy'', within => ''6 months'') > 1');
select list, external_id, until from unnest(array['ever', 'two', 'half']) list,
  unnest(array['ann']) external_id, mautomate.explain_list(list, external_id);

-- the clock set back: exact at once, and nothing starts
select mautomate.create_list('new', 'never(''buy'', within => ''100 days'') and in_list(''half'')');
select mautomate.set_clock('2030-12-24 00:00+00');
select pass, done from mautomate.run() where pass = 'timers';
select * from pg_temp.members where list in ('half', 'new');
delete from mautomate.event where kind in ('list_entered', 'list_left');
select mautomate.set_clock('2030-02-01 00:00+00');
select list, external_id, holds, until from unnest(array['two', 'half']) list,
  unnest(array['ann', 'bob']) external_id, mautomate.explain_list(list, external_id);
select mautomate.track('bob', 'buy') is not null;
select list from mautomate.list_members where external_id = 'bob' order by list;
select count(*) from mautomate.event where kind in ('list_entered', 'list_left');
select pass, done from mautomate.run() where pass = 'sweep';
select * from pg_temp.members;
select * from pg_temp.wrong;

-- numbers that no sum can hold are none
select mautomate.create_list('sum', 'sum(''huge'', ''v'') > 99999999999999999999');
select mautomate.create_list('avg', 'avg(''huge'', ''v'', within => ''1 day'') > 99999999999999999999');
select mautomate.create_list('far', 'count(''huge'') < 9223372036854775808 and count(''huge'', within => ''1 day'') > -9223372036854775808');
select mautomate.track('ann', 'huge', '{"v": 9e131071}') is not null from generate_series(1, 2);
select mautomate.track('bob', 'huge', jsonb_build_object('v', v)) is not null
  from unnest(array['1e999', '-9e999', '1e999', '9e999']) v;
select mautomate.track('bob', 'huge', '{"v": 1e999}') is not null;
select * from pg_temp.members where list in ('avg', 'far', 'sum');
select * from pg_temp.wrong;

-- a predicate that fails for everybody: the statement commits, and the sweep
-- comes to an end
insert into mautomate.contact (external_id) select 'c' || n from generate_series(1, 1000) n;
select mautomate.create_list('fails', '10 / (count(''press'') - 1) > 2');
insert into mautomate.event (contact_id, kind) select contact_id, 'press' from mautomate.contact;
select object, count(*) from mautomate_internal.error group by object;
select count(*) from mautomate_internal.dirty;
select count(*) >= 0 from mautomate.run(1000);
select count(*) from mautomate_internal.dirty;
insert into mautomate.event (contact_id, kind) select contact_id, 'press' from mautomate.contact;
select name, members from mautomate.lists where name = 'fails';

-- an error ends when what was read changes, by time too
select mautomate.create_list('error', '10 / (count(''error'', within => ''1 day'') - 1) > 2');
select mautomate.create_score('error');
select mautomate.create_score_rule('error', 'rule', 5, condition => '10 / (count(''error'', within => ''1 day'') - 1) > 2');
select mautomate.set_clock('2032-01-01');
insert into mautomate.event (contact_id, kind, occurred_at)
  select contact_id, 'error', at from mautomate.contact,
    unnest(array['2032-01-01 00:00+00', '2032-01-01 06:00+00']::timestamptz[]) at
  where external_id = 'ann';
select list from mautomate.list_members where list = 'error';
select mautomate.set_clock('2032-01-02 01:00+00');
select pass, done from mautomate.run() where pass = 'timers';
select list, (select value from mautomate.scores where score = 'error' and external_id = 'ann')
  from mautomate.list_members where list = 'error';
select mautomate.set_clock('2032-01-02 06:00+00');
select pass, done from mautomate.run() where pass = 'timers';
select list from mautomate.list_members where list = 'error';
select value from mautomate.scores where score = 'error' and external_id = 'ann';
select * from pg_temp.wrong;

-- midnight comes twice where summer time ends at one o'clock: a day begins
-- with the first one
select mautomate.define_attribute('born', 'date');
select mautomate.create_list('born', 'anniversary(contact.born)');
select mautomate.set_clock('2032-11-06 12:00+00');
insert into mautomate.contact (external_id, timezone, attributes)
  select 'born ' || born, 'America/Havana', jsonb_build_object('born', born)
  from unnest(array['1990-11-06', '1990-11-07', '1990-11-08']) born;
select mautomate.set_clock('2032-11-07 03:59:59.999999+00');
select count(*) > 0 as done from mautomate.run();
select external_id from mautomate.list_members where list = 'born';
select mautomate.set_clock('2032-11-07 04:00+00');
select count(*) > 0 as done from mautomate.run();
select external_id from mautomate.list_members where list = 'born';
select mautomate.set_clock('2032-11-08 05:00+00');
select count(*) > 0 as done from mautomate.run();
select external_id from mautomate.list_members where list = 'born';
select changed_at, entered from mautomate_internal.list_change join mautomate_internal.list using (list_id)
  where name = 'born' order by 1, 2;
select * from pg_temp.wrong;

-- what is in a window is kept from one statement to the next, to its very end
select mautomate.create_list('keep ' || n, text) from (values
  (1, 'sum(''keep'', ''v'', within => ''1 hour'') = 6'),
  (2, 'min(''keep'', ''v'', within => ''1 hour'') = 1'),
  (3, 'count(''keep'', within => ''1 hour'') % 3 = 0 and ever(''keep'')'),
  (4, 'first_at(''keep'', within => ''1 hour'') = ''2032-12-01 00:00+00'''),
  (5, 'count_distinct(''keep'', ''v'', within => ''1 hour'') >= 3'),
  (6, 'count(''keep'', within => ''1 hour'') = 3'),
  (7, 'count(''keep'', within => ''1 hour'') > count(''keep'', within => ''20 minutes'') + 1')) v (n, text);
select mautomate.set_clock('2032-12-01 00:00+00');
select mautomate.track('bob', 'keep', '{"v": 1}') > 0;
select mautomate.set_clock('2032-12-01 00:20+00');
select mautomate.track('bob', 'keep', '{"v": 2}') > 0;
select mautomate.set_clock('2032-12-01 00:40+00');
select mautomate.track('bob', 'keep', '{"v": 3}') > 0;
select list from mautomate.list_members where list like 'keep%' order by 1;
select mautomate.set_clock('2032-12-01 00:59:59.999999+00');
select count(*) > 0 as done from mautomate.run();
select list from mautomate.list_members where list like 'keep%' order by 1;
select mautomate.set_clock('2032-12-01 01:00+00');
select count(*) > 0 as done from mautomate.run();
select list from mautomate.list_members where list like 'keep%' order by 1;
select * from pg_temp.wrong;
-- a count goes down past the constants of many lists, each in its instant
select count(mautomate.create_list(format('down %s %s', op, n),
  format('count(''down'', within => ''1 day'') %s %s', op, n)))
  from unnest(array['<', '<=', '>', '>=', '=', '<>']) op, generate_series(0, 3) n;
select mautomate.add_to_list('down >= 2', 'ann', until => mautomate.clock() + interval '2 days');
select mautomate.remove_from_list('down < 2', 'ann');
insert into mautomate.event (contact_id, kind, occurred_at)
  select contact_id, 'down', mautomate.clock() - n * interval '1 hour'
  from mautomate.contact, generate_series(1, 3) n where external_id = 'ann';
delete from mautomate_internal.list_change;
select mautomate.set_clock(mautomate.clock() + interval '3 days');
select count(*) > 0 as done from mautomate.run();
select changed_at, entered, string_agg(name, ', ' order by name) as lists
  from mautomate_internal.list_change join mautomate_internal.list using (list_id)
  where contact_id = (select contact_id from mautomate.contact where external_id = 'ann')
  group by 1, 2 order by 1, 2;
select * from pg_temp.wrong;

-- edges that once were nobody's: each of these kills a mutant of the engine
select mautomate.set_clock('2040-01-01 00:00+00');
select mautomate.identify('mia') > 0 as mia;
select count(mautomate.create_list(name, predicate)) from (values
  ('edge first', 'sum(''mu'', ''x'') >= 5'),
  ('edge first min', 'min(''mu'', ''x'', within => ''10 days'') <= 9'),
  ('edge max', 'max(''mu'', ''x'') >= 20'),
  ('edge user', 'in_list(''edge first'') and never(''mu never'')'),
  ('edge avg', 'avg(''mu'', ''x'', within => ''10 days'') = 2'),
  ('edge elapsed', 'elapsed(''mu'') >= ''1 day'''),
  ('edge apart', 'sum(''mu apart'', ''x'', within => ''10 days'') > 5')) v (name, predicate);
-- the first value of all, of somebody who knows the lists already
select mautomate.track('mia', 'mu other') > 0 as tracked;
select count(*) > 0 as done from mautomate.run();
select mautomate.track('mia', 'mu', '{"x": 7}') > 0 as tracked;
select list from mautomate.list_members where external_id = 'mia' and list like 'edge%' order by 1;
-- the greatest value is not the last one
select mautomate.track('mia', 'mu', '{"x": 20}') > 0 as tracked;
select mautomate.track('mia', 'mu', '{"x": 2}') > 0 as tracked;
select list from mautomate.list_members where external_id = 'mia' and list like 'edge%' order by 1;
-- in the very instant in which a time has elapsed it begins anew
select mautomate.set_clock('2040-01-02 00:00+00');
select count(*) > 0 as done from mautomate.run();
select count(*) from mautomate.list_members where list = 'edge elapsed';
select mautomate.track('mia', 'mu', '{"x": 2}') > 0 as tracked;
select count(*) from mautomate.list_members where list = 'edge elapsed';
-- two leave at once: between them nothing flips
insert into mautomate.event (contact_id, kind, occurred_at, properties)
  select contact_id, 'mu apart', v.at, jsonb_build_object('x', v.x) from mautomate.contact,
  (values (timestamptz '2040-01-01 06:00+00', 10), ('2040-01-01 06:00+00', -10), ('2040-01-01 18:00+00', 7)) v (at, x)
  where external_id = 'mia';
select holds, until from mautomate.explain_list('edge apart', 'mia');
-- the average is what it is when others have left
select mautomate.set_clock(timestamptz '2040-01-11 00:00+00' - interval '1 microsecond');
select count(*) > 0 as done from mautomate.run();
select list from mautomate.list_members where external_id = 'mia' and list like 'edge%' order by 1;
select mautomate.set_clock('2040-01-11 00:00+00');
select count(*) > 0 as done from mautomate.run();
select list from mautomate.list_members where external_id = 'mia' and list like 'edge%' order by 1;
select * from pg_temp.wrong;
-- lists that ask for nothing new, built while others write
update mautomate.contact set stage = 'lead' where external_id = 'mia';
select mautomate.create_list('edge stage', 'contact.stage = ''lead''', wait => false),
  mautomate.create_list('edge count', 'count(''mu'', within => ''10 days'') >= 1 and contact.stage = ''lead''', wait => false);
select count(*) > 0 as done from mautomate.run();
select count(*) > 0 as done from mautomate.run();
select count(*) > 0 as done from mautomate.run();
select name, state from mautomate.lists where name in ('edge stage', 'edge count') order by 1;
select list from mautomate.list_members where external_id = 'mia' and list like 'edge%' order by 1;
-- a tier is kept by who has just what keeps it
select mautomate.create_score('edge');
select mautomate.create_score_rule('edge', 'day', 1, condition => 'count(''mu tier'', within => ''1 day'') >= 1'),
  mautomate.create_score_rule('edge', 'days', 1, condition => 'count(''mu tier'', within => ''2 days'') >= 1');
select mautomate.create_score_tier('edge', 'warm', 2, leave_below => 1);
select mautomate.track('mia', 'mu tier') > 0 as tracked;
select value, tier from mautomate.scores where score = 'edge' and external_id = 'mia';
select mautomate.set_clock('2040-01-12 00:00+00');
select count(*) > 0 as done from mautomate.run();
select value, tier from mautomate.scores where score = 'edge' and external_id = 'mia';
select mautomate.set_clock('2040-01-13 00:00+00');
select count(*) > 0 as done from mautomate.run();
select coalesce(max(tier), 'none') as tier from mautomate.scores where score = 'edge' and external_id = 'mia';
select * from pg_temp.wrong;
-- a sum, a mean and an extreme over a month: what came last leaves first
select mautomate.set_clock('2041-02-01 00:00+00');
select mautomate.create_list('turned sum', 'sum(''pay'', ''amount'', within => ''1 month'') >= 30'),
  mautomate.create_list('turned avg', 'avg(''pay'', ''amount'', within => ''1 month'') > 10'),
  mautomate.create_list('turned max', 'max(''pay'', ''amount'', within => ''1 month'') > 5'),
  mautomate.create_list('turned min', 'min(''pay'', ''amount'', within => ''1 month'') < 10');
select mautomate.identify('pia') > 0 as made;
select mautomate.track('pia', 'pay', jsonb_build_object('amount', amount), occurred_at => at) > 0 as tracked
  from (values ('2041-01-28 23:00+00'::timestamptz, 5), ('2041-01-29 12:00+00', 10), ('2041-01-31 10:00+00', 20)) v (at, amount);
select list, holds, until from unnest(array['sum', 'avg', 'max', 'min']) kind, format('turned %s', kind) list,
  mautomate.explain_list(list, 'pia');
select mautomate.set_clock('2041-03-01 00:00+00');
select count(*) > 0 as done from mautomate.run();
select name, changed_at from mautomate_internal.list_change join mautomate_internal.list using (list_id)
  where name like 'turned%' and changed_at > '2041-02-02' order by 2, 1;
select * from pg_temp.wrong;

drop extension mautomate cascade;
