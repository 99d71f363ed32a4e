-- Lists: who is in, since when, and out again to the microsecond.
set client_min_messages = warning;
drop extension if exists mautomate cascade;
create extension mautomate;
select mautomate.arm();
-- from here on everything is told the time
set timezone = 'UTC';
set datestyle = 'ISO';
select mautomate.set_clock('2030-01-01 00:00+00');
create view pg_temp.members as
  select list, string_agg(external_id, ' ' order by external_id) as members
  from mautomate.list_members where list like 'l\_%' and external_id like 'l\_%'
  group by list order by list;
create view pg_temp.wrong as
  select * from mautomate.verify()
  where object like 'list "l\_%' and coalesce(external_id, 'l_') like 'l\_%';
create view pg_temp.changes as
  select l.name, c.external_id, h.changed_at, h.entered
  from mautomate_internal.list_change h
  join mautomate_internal.list l using (list_id)
  join mautomate.contact c using (contact_id)
  where l.name like 'l\_%' and c.external_id like 'l\_%'
  order by h.changed_at, l.name, c.external_id, h.ctid;

-- a cycle is refused even while there is nobody
select mautomate.create_list('l_round', 'true');
select mautomate.create_list('l_round', 'not in_list(''l_round'')');
select mautomate.drop_list('l_round');

select mautomate.identify('l_' || who) is not null from unnest(array['ann', 'bob', 'cid']) who;
select mautomate.create_list('l_three', 'count(''l_buy'', within => ''10 days'') >= 3');
select mautomate.create_list('l_three', 'count(''l_buy'', within => ''10 days'') >= 3');
select mautomate.create_list('l_big', 'sum(''l_buy'', ''amount'', within => ''10 days'') > 100');
select mautomate.create_list('l_asleep', 'elapsed(''l_buy'') > ''30 days''');
select mautomate.create_list('l_never', 'never(''l_buy'')');
select mautomate.create_list('l_five', 'count(''l_buy'') = 2');
select mautomate.create_list('l_both', 'in_list(''l_three'') and in_list(''l_big'')');
select mautomate.create_list('l_neither', 'not in_list(''l_both'')');
select * from pg_temp.members;

-- zero lag, and nothing of a transaction that is rolled back
begin;
insert into mautomate.event (contact_id, kind, occurred_at, properties)
  select contact_id, 'l_buy', mautomate.clock() - n * interval '1 day', jsonb_build_object('amount', 50)
  from mautomate.contact, generate_series(0, 2) n where external_id in ('l_ann', 'l_bob');
select * from pg_temp.members;
rollback;
select * from pg_temp.members where list = 'l_three';
insert into mautomate.event (contact_id, kind, occurred_at, properties)
  select contact_id, 'l_buy', mautomate.clock() - n * interval '1 day', jsonb_build_object('amount', 50)
  from mautomate.contact, generate_series(0, 2) n where external_id in ('l_ann', 'l_bob');
select * from pg_temp.members;
select list, external_id, condition, value, holds, until
  from (values ('l_three'), ('l_big'), ('l_asleep'), ('l_both')) l (list),
       (values ('l_ann')) c (external_id), mautomate.explain_list(list, external_id);

-- one microsecond before the oldest of the three leaves, and then
select mautomate.set_clock('2030-01-08 23:59:59.999999+00');
select pass, done from mautomate.run() where pass = 'timers';
select * from pg_temp.members where list = 'l_three';
select mautomate.set_clock('2030-01-09 00:00+00');
-- exact before the timer ran
select holds from mautomate.explain_list('l_three', 'l_ann');
select pass, done from mautomate.run() where pass = 'timers';
select * from pg_temp.members where list = 'l_three';

-- a late event brings ann back, an event of the future counts at once
select mautomate.track('l_ann', 'l_buy', '{"amount": 1}', '2030-01-02 00:00+00') is not null;
select mautomate.track('l_bob', 'l_buy', '{"amount": 1}', '2031-01-01 00:00+00') is not null;
select * from pg_temp.members;
-- who was not looked at for long left when it was time
select mautomate.set_clock('2030-06-01 12:00+00');
select pass, done from mautomate.run() where pass = 'timers';
select * from pg_temp.members;
select * from pg_temp.changes where changed_at > '2030-01-01';
select object, external_id from pg_temp.wrong;

-- events that are changed, deleted, truncated
update mautomate.event set occurred_at = '2030-06-01 00:00+00'
  where kind = 'l_buy' and contact_id = (select contact_id from mautomate.contact where external_id = 'l_ann');
select * from pg_temp.members;
delete from mautomate.event where kind = 'l_buy'
  and contact_id = (select contact_id from mautomate.contact where external_id = 'l_bob')
  and occurred_at < '2030-12-31';
select * from pg_temp.members;
begin;
truncate mautomate.event;
select * from pg_temp.members;
rollback;
select object, external_id from pg_temp.wrong;

-- attributes
select mautomate.define_attribute('l_renewal', 'date');
select mautomate.create_list('l_renew', 'remaining(contact.l_renewal) < ''30 days'' and contact.locale = ''fr''');
select mautomate.identify('l_cid', attributes => '{"l_renewal": "2030-07-15", "locale": "fr"}') is not null;
select * from pg_temp.members where list = 'l_renew';
select mautomate.set_clock('2030-06-15 00:00+00');
select pass, done from mautomate.run() where pass = 'timers';
select * from pg_temp.members where list = 'l_renew';
select mautomate.set_clock('2030-06-15 00:00:00.000001+00');
select pass, done from mautomate.run() where pass = 'timers';
select * from pg_temp.members where list = 'l_renew';
select mautomate.identify('l_cid', attributes => '{"locale": "de"}') is not null;
select * from pg_temp.members where list = 'l_renew';

-- the clock set back: everything is folded again
select mautomate.set_clock('2030-06-01 12:00+00');
select pass, done > 0 as some from mautomate.run();
select object, external_id from pg_temp.wrong;
select mautomate.set_clock('2030-06-15 00:00:00.000001+00');

-- changed predicates, renames, drops, cycles
select mautomate.create_list('l_three', 'count(''l_buy'', within => ''100 days'') >= 2');
select * from pg_temp.members where list = 'l_three';
select mautomate.rename_list('l_three', 'l_l''s');
select name, predicate from mautomate.lists where name like 'l\_%' order by 1;
select mautomate.drop_list('l_l''s');
select mautomate.drop_list('l_nowhere');
select mautomate.create_list('l_l''s', 'in_list(''l_neither'')');
select mautomate.create_list('', 'true');
select mautomate.create_list('l_x', null);

-- how many it would be
select matching, not_matching, unknown >= 2 as unknown, because like 'contact.l_renewal < % is unknown for %' as because
  from mautomate.preview_list('contact.l_renewal < ''2030-12-31'' and ever(''l_buy'') is not null');
select matching, unknown, because from mautomate.preview_list('count(''l_buy'') >= 4');
select mautomate.preview_list('count(''l_buy'') >= 4 and in_list(''l_nowhere'')');
select mautomate.preview_list(null);

-- static lists
select mautomate.create_static_list('l_static');
select mautomate.create_static_list('l_static');
select mautomate.create_list('l_not_static', 'not in_list(''l_static'')');
select mautomate.add_to_list('l_static', 'l_cid');
select mautomate.add_to_list('l_static', 'l_cid');
select mautomate.add_to_list('l_static', 'l_nobody');
select * from pg_temp.members where list like '%static';
select * from mautomate.explain_list('l_static', 'l_cid');
select mautomate.remove_from_list('l_static', 'l_cid');
select * from pg_temp.members where list like '%static';

-- events of the engine are events
select kind, properties from mautomate.event
  where kind in ('list_entered', 'list_left') and properties->>'list' = 'l_static' order by event_id;
select mautomate.create_list('l_was_static', 'ever(''list_left'') filter (where event.list = ''l_static'')');
select * from pg_temp.members where list = 'l_was_static';

-- a definition that fails for somebody leaves the statement alone
select mautomate.create_list('l_fails', '100 / contact.l_n > 10');
update mautomate.contact set attributes = attributes || '{"l_n": 5}' where external_id like 'l\_%';
update mautomate.contact set attributes = attributes || '{"l_n": 0}' where external_id = 'l_ann';
select * from pg_temp.members where list = 'l_fails';
select object, sqlstate, message from mautomate.errors where object = 'list "l_fails"';
select object, stored, expected from pg_temp.wrong;
select mautomate.drop_list('l_fails');

-- what nobody asks about is not folded: a list that asks again reads the log
select mautomate.create_list('l_gone', 'ever(''l_rare'')');
select mautomate.drop_list('l_gone');
select mautomate.track('l_late', 'l_rare') is not null;
select mautomate.create_list('l_gone', 'ever(''l_rare'')');
select * from pg_temp.members where list = 'l_gone';
select mautomate.drop_list('l_gone');
delete from mautomate.contact where external_id = 'l_late';

-- what is wrong is found and mended
select count(*) from mautomate.run();
delete from mautomate_internal.list_member
  where list_id = (select list_id from mautomate_internal.list where name = 'l_never')
  and contact_id = (select contact_id from mautomate.contact where external_id = 'l_cid');
select * from pg_temp.wrong;
select count(*) from mautomate.verify(repair => true);
select * from pg_temp.wrong;
select * from pg_temp.members where list = 'l_never';

-- events for nobody
insert into mautomate.event (contact_id, kind) values (-1, 'l_buy');
-- contacts that go take everything with them
delete from mautomate.contact where external_id like 'l\_%';
select * from pg_temp.members;
select count(*) from mautomate_internal.contact_state s
  where not exists (select from mautomate.contact c where c.contact_id = s.contact_id);
select mautomate.drop_list('l_neither');
select mautomate.drop_list('l_both');
select mautomate.drop_list(name) from mautomate.lists where name like 'l\_%' and name <> 'l_static';
select mautomate.drop_list('l_static');
select mautomate.set_clock(null);
