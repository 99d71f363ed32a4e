-- Lists filled by one query: right at once, exact when time passes before the
-- states of their contacts know them.
set client_min_messages = warning;
drop extension if exists mautomate cascade;
create extension mautomate;
select mautomate.arm();
set timezone = 'UTC';
set datestyle = 'ISO';
select mautomate.set_clock('2030-06-01 00:00+00');
create view pg_temp.members as
  select list, string_agg(external_id, ' ' order by external_id) as members
  from mautomate.list_members group by list order by list;
create view pg_temp.changes as
  select l.name, c.external_id, h.changed_at, h.entered from mautomate_internal.list_change h
  join mautomate_internal.list l using (list_id) join mautomate.contact c using (contact_id)
  order by changed_at, name, external_id, entered;
create view pg_temp.derived as
  select c.external_id, e.kind, e.properties->>'list' as list, e.occurred_at
  from mautomate.event e join mautomate.contact c using (contact_id)
  where e.kind like 'list\_%' order by occurred_at, kind, list, external_id;
-- how many states know all lists
create view pg_temp.known as
  select count(*) from mautomate_internal.contact_state
  where generation >= (select max(generation) from mautomate_internal.list);
create function pg_temp.buy(who text, variadic days int[]) returns bigint language sql as $$
  with i as (insert into mautomate.event (contact_id, kind, occurred_at, properties)
    select contact_id, 'buy', mautomate.clock() - make_interval(days => d), jsonb_build_object('amount', 10 * d)
    from mautomate.contact, unnest(days) d where external_id = who returning 1)
  select count(*) from i $$;
select mautomate.define_event('buy', '{"amount": "numeric"}');
select mautomate.identify(who, attributes => '{"country": "FR"}') is not null as made
  from unnest(array['ann', 'bob', 'cat', 'dan']) who;
select pg_temp.buy('ann', 1, 2, 9), pg_temp.buy('bob', 1, 20), pg_temp.buy('cat', 3);
select * from mautomate.run();

select mautomate.create_list('often', 'count(''buy'', within => ''10 days'') >= 2');
select mautomate.create_list('never', 'not ever(''buy'', within => ''10 days'')');
select mautomate.create_list('spent', 'sum(''buy'', ''amount'', within => ''10 days'') > 25 and contact.country = ''FR''');
select mautomate.create_list('quiet', 'elapsed(''buy'') > ''2 days''');
select mautomate.create_list('kinds', 'count_distinct(''buy'', ''amount'') > 1 and last_value(''buy'', ''amount'') = 10');
select mautomate.create_list('all', 'contact.country = ''FR''');
select * from pg_temp.members;
select * from pg_temp.changes;
select * from pg_temp.derived;
select * from mautomate.verify();
-- nobody's state knows them yet; those whom a day may change have a timer
select * from pg_temp.known;
select name, state from mautomate.lists order by 1;
select object, done, total from mautomate.progress order by 1;
select external_id, due_at from mautomate_internal.timer join mautomate.contact using (contact_id) order by 2, 1;
select list, until from unnest(array['often', 'never', 'spent', 'quiet']) list, mautomate.explain_list(list, 'ann') order by 1, 2;

-- an event: the state finds its memberships, and what changes is news
select pg_temp.buy('bob', 2);
select * from pg_temp.members where list in ('often', 'spent');
select * from pg_temp.derived;
select * from pg_temp.known;
select * from mautomate.verify();

-- time alone, before anybody has looked: the very instants
select mautomate.set_clock('2030-06-08 00:00+00');
select holds, until from mautomate.explain_list('often', 'ann');
select pg_temp.buy('ann', 0);
select * from pg_temp.changes where changed_at > '2030-06-01' and external_id = 'ann';
select * from pg_temp.derived where external_id = 'ann';
-- an attribute: not as of the instant of the fill
update mautomate.contact set attributes = '{"country": "DE"}' where external_id = 'cat';
select * from pg_temp.changes where external_id = 'cat' and name in ('all', 'spent');
select * from pg_temp.known;
select pass, done from mautomate.run() where pass in ('timers', 'sweep');
select * from pg_temp.known;
select * from mautomate.progress;
select * from pg_temp.changes where changed_at > '2030-06-01';
select * from pg_temp.derived;
select * from mautomate.verify();

-- another predicate for a list of old: who came and who went
select mautomate.create_list('often', 'count(''buy'', within => ''100 days'') between 1 and 2');
select * from pg_temp.members where list = 'often';
select * from pg_temp.changes where name = 'often' and changed_at = mautomate.clock();
delete from mautomate.event e using mautomate.contact c
  where e.contact_id = c.contact_id and external_id = 'cat' and kind = 'buy';
select * from pg_temp.members where list = 'often';
select * from pg_temp.derived where occurred_at = mautomate.clock();
select mautomate.identify('eve') is not null as made;
select pg_temp.buy('eve', 1);
select * from mautomate.verify();
-- what was decided by hand stays
select mautomate.add_to_list('often', 'dan'), mautomate.remove_from_list('often', 'eve');
select mautomate.create_list('often', 'count(''buy'', within => ''100 days'') > 0');
select external_id, by from mautomate.list_members where list = 'often' order by 1;
select * from mautomate.verify();
-- changed again before anybody knows it: the rows say who is in it
select mautomate.create_list('often', 'count(''buy'') - 3 > 0');
select external_id, by from mautomate.list_members where list = 'often' order by 1;
select * from mautomate.verify();
select mautomate.create_list('often', 'count(''buy'') > 0');
select mautomate.create_list('often', 'count(''buy'') > 3', wait => false);
select pg_temp.buy('bob', 1);
select external_id, by from mautomate.list_members where list = 'often' order by 1;
select count(*) from generate_series(1, 3), mautomate.run();
select external_id, by from mautomate.list_members where list = 'often' order by 1;
select * from pg_temp.changes where name = 'often' and external_id = 'bob';
select mautomate.clear_override('often');
select * from mautomate.verify();
select mautomate.create_list('often', 'count(''buy'', within => ''100 days'') between 1 and 2');

-- the clock set back, and a list of that list
select mautomate.set_clock('2030-06-02 00:00+00');
select mautomate.create_list('not often', 'not in_list(''often'') and count(''buy'') > 0');
select pass, done > 0 as some from mautomate.run() where pass = 'sweep';
select * from pg_temp.members where list like '%often';
select * from mautomate.verify();
select name, state from mautomate_internal.list where state <> 'ready';

-- one that fails for somebody is built contact by contact
insert into mautomate.event (contact_id, kind, occurred_at)
  select contact_id, 'late', '294276-12-31 00:00+00' from mautomate.contact where external_id = 'ann';
select mautomate.create_list('far', $$elapsed('late') < '900 years'$$);
select mautomate.create_list('wrong', '1 / (count(''buy'') - 4) > 0');
select * from pg_temp.members where list in ('far', 'wrong');
select object, message from mautomate.errors;
select * from mautomate.verify();

-- who has no state is found again if the pass that marked him came to nothing
select mautomate.drop_list('wrong');
delete from mautomate_internal.contact_state;
begin;
select pass, done from mautomate.run() where pass = 'sweep';
rollback;
select count(*) from mautomate_internal.contact_state;
select pass, done from mautomate.run() where pass = 'sweep';
select count(*) from mautomate_internal.contact_state;
select * from pg_temp.derived where occurred_at = mautomate.clock();
select * from mautomate.verify();

-- one timer for the lists of a contact, and another one for an earlier instant
select mautomate.set_clock('2030-07-01 00:00+00');
select pass, done > 0 as some from mautomate.run() where pass = 'sweep';
select mautomate.identify('fay') is not null as made;
insert into mautomate.event (contact_id, kind, occurred_at)
  select contact_id, 'look', mautomate.clock() - ago from mautomate.contact,
    unnest(array['9 days 12 hours', '9 days 18 hours']::interval[]) ago where external_id = 'fay';
select mautomate.create_list('looked twice', 'count(''look'', within => ''10 days'') > 1');
select mautomate.create_list('looked', 'ever(''look'', within => ''10 days'')');
select mautomate.create_list('looked long ago', 'elapsed(''look'') > ''10 days''');
select mautomate.create_list('looked this month', 'ever(''look'', within => ''1 month'')');
create view pg_temp.fays as
  select due_at from mautomate_internal.timer join mautomate.contact using (contact_id)
  where external_id = 'fay' order by 1;
select * from pg_temp.fays;
select mautomate.create_list('looked often', 'count(''look'', within => ''239 hours'') > 1');
select * from pg_temp.fays;
-- nothing a microsecond before; and the state itself knows the next instant
select mautomate.set_clock('2030-07-01 04:59:59.999999+00');
select done from mautomate.run() where pass = 'timers';
select name, entered from pg_temp.changes where external_id = 'fay' and changed_at > '2030-07-01';
select mautomate.set_clock('2030-07-01 05:00+00');
select done from mautomate.run() where pass = 'timers';
select name, entered from pg_temp.changes where external_id = 'fay' and changed_at > '2030-07-01';
select * from pg_temp.fays;
select mautomate.set_clock('2030-08-01 00:00+00');
select done from mautomate.run() where pass = 'timers';
select changed_at, name, entered from pg_temp.changes where external_id = 'fay' and changed_at > '2030-07-01';
select * from mautomate.verify();
-- at the end of a month what came later may leave earlier
select mautomate.set_clock('2031-02-28 09:00+00');
insert into mautomate.event (contact_id, kind, occurred_at)
  select contact_id, 'see', at from mautomate.contact,
    unnest(array['2031-01-28 20:00+00', '2031-01-31 10:00+00']::timestamptz[]) at where external_id = 'fay';
select mautomate.create_list('seen', 'count(''see'', within => ''1 month'') > 1');
select external_id, due_at from mautomate_internal.timer join mautomate.contact using (contact_id)
  where due_at between mautomate.clock() and mautomate.clock() + interval '1 day';
select mautomate.set_clock('2031-02-28 10:00+00');
select done > 0 as some from mautomate.run() where pass = 'timers';
select changed_at, name, entered from pg_temp.changes where external_id = 'fay' and changed_at > '2031-01-01';
select * from mautomate.verify();
drop extension mautomate cascade;
