-- Right whatever way the statements come: subtransactions, cursors, two-phase
-- commit, parallel plans, triggers of others, several changes in one statement.
set client_min_messages = warning;
drop extension if exists mautomate cascade;
create extension mautomate;
select mautomate.arm();
set timezone = 'UTC';
set datestyle = 'ISO';
create view pg_temp.members as
  select external_id, string_agg(list, ' ' order by list) as lists
  from mautomate.list_members group by external_id order by external_id;
select mautomate.identify(who) from unnest(array['ann', 'bob']) who;
select mautomate.create_list('two', 'count(''buy'') >= 2');
select mautomate.create_list('year', 'count(''buy'', within => ''365 days'') >= 1');

-- what a savepoint takes back was never there, definitions too
begin;
insert into mautomate.event (contact_id, kind) values (1, 'buy');
savepoint s;
insert into mautomate.event (contact_id, kind) values (1, 'buy'), (2, 'buy');
select mautomate.create_list('undone', 'ever(''buy'')');
insert into mautomate.event (contact_id, kind) values (2, 'buy');
rollback to s;
insert into mautomate.event (contact_id, kind) values (2, 'buy');
release s;
commit;
select * from pg_temp.members;
select * from mautomate.verify();

-- a cursor sees what its own rows have done
begin;
declare c cursor for select mautomate.track('bob', 'buy') is not null from generate_series(1, 3);
fetch 1 from c;
select * from pg_temp.members;
fetch 2 from c;
commit;
select * from mautomate.verify();

-- two-phase commit
begin;
select mautomate.track('ann', 'buy') is not null;
prepare transaction 'robust';
select * from pg_temp.members;
commit prepared 'robust';
select * from pg_temp.members;
begin;
select mautomate.create_list('undone', 'ever(''buy'')');
prepare transaction 'robust';
rollback prepared 'robust';
begin;
select mautomate.create_list('kept', 'ever(''buy'')');
prepare transaction 'robust';
commit prepared 'robust';
begin;
select mautomate.alias('old', 'bob') > 0;
prepare transaction 'robust';
commit prepared 'robust';
-- its silence has ended with it
select mautomate.create_static_list('hand');
select mautomate.add_to_list('hand', 'ann');
select count(*) from mautomate.event where kind = 'list_entered' and properties->>'list' = 'hand';
select mautomate.track('ann', 'buy') is not null;
select * from pg_temp.members;
select * from mautomate.verify();

-- several changes in one statement
with a as (insert into mautomate.event (contact_id, kind) values (1, 'press') returning 1),
  b as (delete from mautomate.event where kind = 'buy' and contact_id = 2 returning 1),
  c as (insert into mautomate.event (contact_id, kind) values (2, 'buy') returning 1)
  select count(*) from a, c;
select * from pg_temp.members;
merge into mautomate.event e using (values (1, 'buy'), (2, 'none')) v (id, kind)
  on e.contact_id = v.id and e.kind = v.kind
  when matched then delete
  when not matched then insert (contact_id, kind) values (v.id, 'buy');
select * from pg_temp.members;
insert into mautomate.contact (contact_id, external_id) values (1, 'ann'), (77, 'dan')
  on conflict (contact_id) do update set stage = 'known';
insert into mautomate.event (contact_id, kind) values (77, 'buy'), (77, 'buy');
update mautomate.event set contact_id = 1 where contact_id = 77;
select * from pg_temp.members;
delete from mautomate.contact where contact_id = 77;
select count(*) from mautomate_internal.contact_state where contact_id = 77;
begin;
truncate mautomate.event;
copy mautomate.event (contact_id, kind) from stdin with (freeze);
2	buy
2	buy
\.
commit;
select * from pg_temp.members;
select * from mautomate.verify();

-- what one trigger of a statement read from the log, another does not add
insert into mautomate.event as e (contact_id, kind, occurred_at, event_id)
  select 1, 'buy', timestamptz '2026-01-01', n from generate_series(1, 1) n;
insert into mautomate.event as e (contact_id, kind, occurred_at, event_id)
  select 1, 'buy', timestamptz '2026-01-01', n from generate_series(0, 1) n
  on conflict (contact_id, kind, occurred_at, event_id) do update set properties = '{"again": true}';
select mautomate.create_list('three', 'count(''buy'') >= 3');
select * from pg_temp.members;
select * from mautomate.verify();
create function r_writes() returns trigger language plpgsql as $$
begin
  if pg_trigger_depth() = 1 then
    perform mautomate.track(tg_argv[0], tg_argv[1]);
  end if;
  return new;
end $$;
create trigger aaa after insert on mautomate.event for each statement execute function r_writes('ann', 'press');
select mautomate.create_list('press', 'ever(''press'')');
select mautomate.create_list('exactly', format('count(''buy'') = %s', 1 + count(*))) as exactly
  from mautomate.event where contact_id = 1 and kind = 'buy';
update mautomate_internal.contact_state set state = '';
insert into mautomate.event (contact_id, kind) values (1, 'buy');
drop trigger aaa on mautomate.event;
select * from pg_temp.members;
select * from mautomate.verify();
delete from mautomate.event where contact_id = 1;
select mautomate.drop_list(name) from unnest(array['three', 'press', 'exactly']) name;

-- triggers of others, before and after ours, that write events themselves
create trigger aaa before insert on mautomate.event for each row execute function r_writes('ann', 'buy');
create trigger bbb after insert on mautomate.event for each row execute function r_writes('ann', 'buy');
create trigger ccc after insert on mautomate.event for each statement execute function r_writes('ann', 'buy');
insert into mautomate.event (contact_id, kind) values (1, 'press'), (2, 'press');
drop trigger aaa on mautomate.event;
drop trigger bbb on mautomate.event;
drop trigger ccc on mautomate.event;
select count(*) from mautomate.event where contact_id = 1 and kind = 'buy';
select * from pg_temp.members;
select * from mautomate.verify();

-- objects of others with our names are not meant
create schema planted;
create function planted.greater(bigint, bigint) returns boolean language sql as 'select 1 / 0 = 1';
create operator planted.>= (leftarg = bigint, rightarg = bigint, function = planted.greater);
set search_path = planted, public, pg_catalog;
select mautomate.create_list('three', 'count(''buy'') >= 3');
insert into mautomate.event (contact_id, kind) values (2, 'buy');
select * from mautomate.verify();
reset search_path;
select * from pg_temp.members;
drop schema planted cascade;

-- a parallel plan reads the clock, in a new session too
create table many as select n from generate_series(1, 1000) n;
analyze many;
\c
set client_min_messages = warning;
set parallel_setup_cost = 0;
set parallel_tuple_cost = 0;
set min_parallel_table_scan_size = 0;
select mautomate.clock() > '2020-01-01', count(*) from many;
select mautomate.set_clock('2030-01-01');
select extract(year from mautomate.clock()), count(*) from many;
select mautomate.set_clock(null);
drop table many;

-- an event at the end of all times is in every window; windows have an end
insert into mautomate.event (contact_id, kind, occurred_at, properties) values
  (1, 'late', '294276-12-31 23:00+00', '{"amount": 5}'), (2, 'late', '4713-01-01 00:00+00 BC', '{"amount": 5}');
select mautomate.create_list('late ' || n, text) from (values
  (1, 'count(''late'', within => ''365 days'') > 0'),
  (2, 'sum(''late'', ''amount'', within => ''1 mon'') = 5'),
  (3, 'ever(''late'', within => ''900 years'')'),
  (4, 'last_at(''late'', within => ''1 second'') is not null'),
  (6, 'count_distinct(''late'', ''amount'', within => ''1 day'') = 1')) v (n, text);
select list, external_id from mautomate.list_members where list like 'late %' order by 1, 2;
select mautomate.create_list('x', 'count(''late'', within => ''999 years'') > 1');
select mautomate.drop_list('x');
select mautomate.create_list('x', 'count(''late'', within => ''1001 years'') > 1');
select * from mautomate.verify();

-- points whose sums no float8 could hold
select mautomate.create_score('much');
select mautomate.create_score_rule('much', 'inf', '1e300', 'late');
select mautomate.create_score_rule('much', 'more', '1e100', 'late');
select mautomate.create_score_rule('much', 'less', '-1e100', 'buy');
select external_id, value from mautomate.top_leads('much', 2);
select * from mautomate.verify();

-- an error about one contact is not one about the others, nor about the rest of it
select mautomate.define_attribute('word', 'text');
select mautomate.create_list('number', 'contact.word::int > 10');
select mautomate.create_list('worded', 'contact.word is not null');
insert into mautomate.contact (external_id, attributes)
  select 'w' || n, jsonb_build_object('word', case n % 3 when 0 then 'no number' else n::text end)
  from generate_series(1, 60) n;
select name, members from mautomate.lists where name in ('number', 'worded') order by 1;
select count(*) from mautomate.errors where object = 'list "number"';
-- the statement gave up on the list after 10 errors, the sweep does not
select pass, done from mautomate.run() where pass = 'sweep';
select name, members from mautomate.lists where name in ('number', 'worded') order by 1;
update mautomate.contact set attributes = '{"word": "11"}' where external_id like 'w%';
select name, members from mautomate.lists where name in ('number', 'worded') order by 1;

-- more bytes than are kept in memory, of several contacts and of one
insert into mautomate.event (contact_id, kind, properties)
  select contact_id, 'buy', jsonb_build_object('pad', repeat(md5(n::text), 35000))
  from mautomate.contact, generate_series(1, 2) n where external_id like 'w%' and contact_id % 6 = 0;
select external_id, count(*) from mautomate.list_members where list = 'two' and external_id like 'w%'
  and contact_id % 6 <> 0 group by 1;
select count(*) from mautomate.list_members where list = 'two' and external_id like 'w%';
select * from mautomate.verify();

-- whoever publishes all tables publishes ours
set client_min_messages = error;
create publication robust for all tables;
set client_min_messages = warning;
select mautomate.create_list('published', 'ever(''buy'')', wait => false);
select mautomate.track('ann', 'buy') is not null;
set mautomate.refresh = deferred;
select mautomate.track('bob', 'buy') is not null;
reset mautomate.refresh;
select count(*) > 0 from generate_series(1, 4), mautomate.run();
select external_id from mautomate.list_members where list = 'published' and external_id in ('ann', 'bob') order by 1;
select mautomate.alias('else', 'bob') > 0;
select mautomate.drop_list('published');
drop publication robust;
select * from mautomate.verify();

-- an error in a subtransaction of ours leaves the session as it was
\set SHOW_CONTEXT never
create function pg_temp.refuse() returns trigger language plpgsql as $$
begin
  raise exception 'refused';
end $$;
create trigger refuse before update on mautomate.contact for each row execute function pg_temp.refuse();
select mautomate.alias('other', 'bob');
select 'no transaction block' as state;
drop trigger refuse on mautomate.contact;
create table late (id int primary key, who text);
insert into late values (1, 'ann');
create trigger refuse before insert on mautomate.event for each row execute function pg_temp.refuse();
select mautomate.attach_events('late', 'late', 'who');
select 'no transaction block' as state;
drop trigger refuse on mautomate.event;
drop table late;

-- triggers of others that write events, about a single row that only counts
select mautomate.identify('carl') as carl, mautomate.identify('dora') as dora \gset
select mautomate.create_list(kind, format('count(%L) > 100', kind)) from unnest(array['press', 'buy']) kind;
create trigger aaa after insert on mautomate.event for each row execute function r_writes('carl', 'buy');
create trigger bbb after insert on mautomate.event for each statement execute function r_writes('carl', 'buy');
create trigger zzz after insert on mautomate.event for each statement execute function r_writes('carl', 'buy');
insert into mautomate.event (contact_id, kind) values (:carl, 'press');
begin;
insert into mautomate.event (contact_id, kind) values (:carl, 'press');
savepoint s;
insert into mautomate.event (contact_id, kind) values (:carl, 'press');
rollback to s;
insert into mautomate.event (contact_id, kind) values (:carl, 'press');
commit;
drop trigger aaa on mautomate.event;
drop trigger bbb on mautomate.event;
drop trigger zzz on mautomate.event;
drop function r_writes();
select kind, count(*) from mautomate.event where contact_id = :carl group by 1 order by 1;
select * from mautomate.verify();

-- triggers of others see what we derive
create temp table seen (kind text, list text);
create function pg_temp.see() returns trigger language plpgsql
  security definer as $$
begin
  insert into seen values (new.kind, new.properties ->> 'list');
  return null;
end $$;
select mautomate.create_list('ten', 'count(''press'') >= 10');
create trigger see after insert on mautomate.event for each row execute function pg_temp.see();
insert into mautomate.event (contact_id, kind) select :carl, 'press' from generate_series(1, 10);
drop trigger see on mautomate.event;
select kind, list, count(*) from seen group by 1, 2 order by 1, 2;
insert into mautomate.event (contact_id, kind) select :dora, 'press' from generate_series(1, 10);
select contact_id = :carl as carl, count(*) from mautomate.event where kind = 'list_entered' and properties ->> 'list' = 'ten' group by 1 order by 1;
select mautomate.drop_list(name) from unnest(array['ten', 'press', 'buy']) name;
select * from mautomate.verify();
drop extension mautomate cascade;
