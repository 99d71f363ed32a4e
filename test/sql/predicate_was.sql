-- What an attribute was: now, or before it changed.
set client_min_messages = warning;
drop extension if exists mautomate cascade;
create extension mautomate;
set timezone = 'UTC';
set datestyle = 'ISO';
-- not armed: the past is remembered in silence too
select mautomate.set_clock('2030-01-01 00:00+00');
create view pg_temp.members as
  select list, string_agg(external_id, ' ' order by external_id) as members
  from mautomate.list_members group by list order by list;
create view pg_temp.past as
  select c.external_id, e.properties from mautomate.event e join mautomate.contact c using (contact_id)
  where e.kind = 'attribute_changed' order by e.event_id;

-- nobody asks: nothing is remembered
select mautomate.identify('w_' || who, attributes => '{"stage": "lead", "plan": "free", "n": 5}') is not null
  from unnest(array['ann', 'bob', 'cid']) who;
select mautomate.identify('w_ann', attributes => '{"stage": "customer"}') is not null;
select * from pg_temp.past;

-- from now on it is
select mautomate.define_attribute('since', 'date');
select name, mautomate.create_list(name, predicate) from (values
  ('lead', $$was(contact.stage, 'lead')$$),
  ('lead_text', $$was('stage', 'lead')$$),
  ('lately', $$was(contact.plan, 'gold', within => '30 days')$$),
  ('five', $$was(contact.n, 5.0)$$),
  ('minus', $$was(contact.n, -5)$$),
  ('nothing', $$was(contact.plan, null)$$),
  ('not_gold', $$not was(contact.plan, 'gold')$$),
  ('day', $$was(contact.since, '2029-12-24')$$),
  ('city', $$was(contact.address.city, 'Lyon')$$)) as l (name, predicate);
select * from pg_temp.members;
-- ann was a lead before anybody asked: that is not known
select mautomate.identify('w_bob', attributes => '{"stage": "customer", "n": "7", "address": {"city": "Lyon"}, "since": "2029-12-24"}') is not null;
select mautomate.identify('w_cid', attributes => '{"plan": "gold", "n": -5}') is not null;
select * from pg_temp.members;
select * from pg_temp.past;
-- several at once, the same again, and away with them
update mautomate.contact set attributes = attributes || '{"n": 6, "address": {"city": "Paris"}, "since": "24 Dec 2030"}',
  first_name = 'x' where external_id like 'w\_%';
update mautomate.contact set first_name = 'y', attributes = attributes || '{"other": 1}' where external_id like 'w\_%';
select mautomate.identify('w_cid', attributes => '{"plan": null}') is not null;
select * from pg_temp.members;
select * from mautomate.verify();
-- the window slides from when it was gold no more
select until from mautomate.explain_list('lately', 'w_cid') where holds;
select mautomate.set_clock('2030-01-30 23:59:59.999999+00');
select count(*) from mautomate.run() where pass = 'timers';
select * from pg_temp.members where list = 'lately';
select mautomate.set_clock('2030-01-31 00:00+00');
select count(*) from mautomate.run() where pass = 'timers';
select * from pg_temp.members where list = 'lately';
select condition, holds, because from mautomate.explain_list('day', 'w_bob');
select * from mautomate.verify();

-- once: no list is left and entered on the way
select l.name, c.external_id, h.entered from mautomate_internal.list_change h
  join mautomate_internal.list l using (list_id) join mautomate.contact c using (contact_id)
  where l.name in ('lead', 'five') order by 1, 2, h.ctid;

-- who merges was both, whoever's value stays
select mautomate.identify('w_dan', attributes => '{"stage": "lead", "plan": "gold", "n": 5}') is not null;
select mautomate.identify('w_eve', attributes => '{"stage": "customer", "plan": "free"}') is not null;
select mautomate.alias('w_dan', 'w_eve') is not null;
select count(*) > 0 from mautomate.run();
select list from mautomate.list_members where external_id = 'w_eve' order by 1;
select * from mautomate.verify();

-- fold from the log
update mautomate_internal.contact_state set state = '', generation = 0;
select count(*) > 0 from mautomate.run();
select * from pg_temp.members;
select * from mautomate.verify();
-- nobody asks any more
select mautomate.drop_list(name) from mautomate.lists;
select count(*) from pg_temp.past;
select mautomate.identify('w_ann', attributes => '{"stage": "lost"}') is not null;
select count(*) from pg_temp.past;

-- a workflow may begin with it
select mautomate.arm();
select mautomate.create_list('lead', $$was(contact.stage, 'lead')$$);
select mautomate.create_workflow('moved', $${"entry": [{"event": "attribute_changed", "when": "event.value = 'won'"}], "steps": [{"exit": "done"}]}$$);
select mautomate.activate_workflow('moved');
select mautomate.identify('w_ann', attributes => '{"stage": "won"}') is not null;
select workflow, external_id from mautomate.enrollments;
select mautomate.track('w_ann', 'attribute_changed');

-- refused
\set VERBOSITY default
\set SHOW_CONTEXT never
select mautomate.create_list('try', $$was(contact.stage)$$);
select mautomate.create_list('try', $$was(contact.stage, contact.plan)$$);
select mautomate.create_list('try', $$was(contact, 'x')$$);
select mautomate.create_list('try', $$was(lower(contact.stage), 'x')$$);
select mautomate.create_list('try', $$was(contact.stage, 'x', since => '2030-01-01')$$);
select mautomate.create_list('try', $$was(contact.stage, 'x') filter (where event.value = 'y')$$);
select mautomate.create_list('try', $$was(contact.since, 'never')$$);
select mautomate.create_list('try', $$ever('x') filter (where was(contact.stage, 'x'))$$);
drop extension mautomate cascade;
