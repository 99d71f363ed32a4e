-- Lists by hand: against the predicate, until an instant, on static lists.
set client_min_messages = warning;
drop extension if exists mautomate cascade;
create extension mautomate;
set timezone = 'UTC';
set datestyle = 'ISO';
select mautomate.arm();
select mautomate.set_clock('2030-01-01 00:00+00');
create view pg_temp.members as
  select list, string_agg(external_id || case by when 'hand' then '*' else '' end, ' ' order by external_id) as members
  from mautomate.list_members group by list order by list;
create view pg_temp.changes as
  select l.name, c.external_id, h.changed_at, h.entered, h.by
  from mautomate_internal.list_change h join mautomate_internal.list l using (list_id)
  join mautomate.contact c using (contact_id) order by h.changed_at, l.name, c.external_id, h.ctid;
select mautomate.identify(who) is not null from unnest(array['ann', 'bob', 'cid', 'dan']) who;
select mautomate.create_list('buyer', $$ever('buy', within => '10 days')$$);
select mautomate.create_list('guest', $$in_list('buyer') or contact.stage = 'guest'$$);
select mautomate.create_static_list('friends');
select mautomate.track(who, 'buy') is not null from unnest(array['ann', 'bob']) who;

-- in against the predicate, out against it; another list sees it
select mautomate.add_to_list('buyer', 'cid', until => '2030-01-05'),
       mautomate.remove_from_list('buyer', 'ann', until => '2030-01-03');
select * from pg_temp.members;
select * from mautomate.list_overrides order by 1, 2;
select list, external_id, condition, value, holds, until from (values ('buyer'), ('guest')) l (list), (values ('ann'), ('cid')) c (external_id), mautomate.explain_list(list, external_id);
select * from mautomate.verify();
-- what happens meanwhile does not matter
select mautomate.track('ann', 'buy') is not null;
delete from mautomate.event where kind = 'buy' and contact_id = (select contact_id from mautomate.contact where external_id = 'cid');
update mautomate_internal.contact_state set state = '', generation = 0;
select count(*) > 0 from mautomate.run();
select * from pg_temp.members;
select * from mautomate.verify();

-- one microsecond before the end, and at it
select mautomate.set_clock('2030-01-02 23:59:59.999999+00');
select done from mautomate.run() where pass = 'timers';
select * from pg_temp.members where list = 'buyer';
select mautomate.set_clock('2030-01-03 00:00+00');
select holds from mautomate.explain_list('buyer', 'ann');
select done from mautomate.run() where pass = 'timers';
select * from pg_temp.members;
select mautomate.set_clock('2030-01-07 00:00+00');
select done from mautomate.run() where pass = 'timers';
select * from pg_temp.members;
select * from pg_temp.changes;
select * from mautomate.list_overrides;
select * from mautomate.verify();

-- by hand who is in it anyway: stays when the predicate ends, until that ends
select mautomate.add_to_list('buyer', 'bob', until => '2030-02-01'), mautomate.add_to_list('buyer', 'ann');
select * from pg_temp.members where list = 'buyer';
select mautomate.set_clock('2030-01-20 00:00+00');
select done from mautomate.run() where pass = 'timers';
select * from pg_temp.members;
select mautomate.set_clock('2030-02-01 00:00+00');
select done from mautomate.run() where pass = 'timers';
select * from pg_temp.members;
-- another decision takes the place of the first
select mautomate.remove_from_list('buyer', 'ann'), mautomate.add_to_list('buyer', 'dan'), mautomate.remove_from_list('buyer', 'bob');
select * from pg_temp.members;
select mautomate.track(who, 'buy') is not null from unnest(array['ann', 'bob']) who;
select * from pg_temp.members;
-- changed predicates do not matter to it
select mautomate.create_list('buyer', $$ever('buy', within => '20 days')$$);
select * from pg_temp.members;
select * from mautomate.verify();
-- and away
select mautomate.clear_override('buyer', 'ann'), mautomate.clear_override('buyer', 'cid');
select * from pg_temp.members;
select mautomate.clear_override('buyer');
select mautomate.clear_override('buyer');
select * from pg_temp.members;
select * from mautomate.verify();
select kind, count(*) from mautomate.event where properties->>'list' = 'buyer' group by kind order by kind;

-- static lists: for a time, and back to what was
select mautomate.add_to_list('friends', 'ann'), mautomate.add_to_list('friends', 'bob', until => '2030-03-01'),
       mautomate.add_to_list('friends', 'cid');
select mautomate.remove_from_list('friends', 'ann', until => '2030-02-15'), mautomate.add_to_list('friends', 'cid', until => '2030-02-15');
select * from pg_temp.members where list = 'friends';
select * from mautomate.list_overrides order by 1, 2;
select * from mautomate.explain_list('friends', 'ann');
select * from mautomate.explain_list('friends', 'cid');
update mautomate_internal.contact_state set state = '', generation = 0;
select count(*) > 0 from mautomate.run();
select * from pg_temp.members where list = 'friends';
select mautomate.set_clock('2030-02-15 00:00+00');
select done from mautomate.run() where pass = 'timers';
select * from pg_temp.members where list = 'friends';
select mautomate.clear_override('friends', 'bob');
select mautomate.remove_from_list('friends', 'cid', until => '2030-02-20'), mautomate.add_to_list('friends', 'cid');
select * from pg_temp.members where list = 'friends';
select * from mautomate.list_overrides;
select * from pg_temp.changes where name = 'friends';

-- who merges brings it along; what was decided about the survivor stays
select mautomate.add_to_list('buyer', 'cid', until => '2030-06-01'), mautomate.remove_from_list('guest', 'cid'),
       mautomate.add_to_list('guest', 'dan'), mautomate.remove_from_list('friends', 'cid', until => '2030-06-01');
select mautomate.alias('cid', 'dan') is not null;
select count(*) > 0 from mautomate.run();
select * from mautomate.list_overrides order by 1, 2;
select * from pg_temp.members;
select mautomate.set_clock('2030-06-01 00:00+00');
select done > 0 from mautomate.run() where pass = 'timers';
select * from pg_temp.members;
select * from mautomate.verify();

-- a predicate that fails leaves who is there; what is broken is repaired
select mautomate.create_list('fails', '1 / contact.n > 0');
update mautomate.contact set attributes = '{"n": 0}' where external_id = 'ann';
select mautomate.add_to_list('fails', 'ann', until => '2030-06-02'), mautomate.remove_from_list('fails', 'bob');
select mautomate.set_clock('2030-06-02 00:00+00');
select done from mautomate.run() where pass = 'timers';
select * from pg_temp.members where list = 'fails';
select mautomate.drop_list('fails');
select mautomate.add_to_list('buyer', 'bob');
delete from mautomate_internal.list_member where by = 'hand';
select object, external_id from mautomate.verify(repair => true);
select * from mautomate.verify();

-- refused
\set VERBOSITY default
select mautomate.add_to_list('buyer', 'ann', until => '2030-06-02');
select mautomate.add_to_list('buyer', 'ann', until => '-infinity');
select mautomate.add_to_list('buyers', 'ann');
select mautomate.clear_override('nothing');
select mautomate.clear_override('buyer', 'nobody');
select mautomate.clear_override(null);
-- who goes takes it along
delete from mautomate.contact where external_id = 'bob';
truncate mautomate.contact;
select count(*) from mautomate_internal.list_override;
drop extension mautomate cascade;
