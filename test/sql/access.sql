-- Levels of access: what each may do, and nothing without.
set client_min_messages = warning;
create extension if not exists mautomate;
create role a_nobody;
create role a_app;
create role a_analyst;
create role a_marketer;
create role a_admin;
select mautomate.grant_access('a_app', 'app');
select mautomate.grant_access('a_analyst', 'analyst');
select mautomate.grant_access('a_marketer', 'marketer');
select mautomate.grant_access('a_admin', 'admin');
select mautomate.grant_access('a_admin', 'king');
select mautomate.grant_access('a_stranger', 'app');

-- every function belongs to a level; those of nobody else are admins'
select string_agg(distinct p.proname, ' ' order by p.proname) as only_admins
  from pg_proc p where pronamespace = 'mautomate'::regnamespace
  and not exists (select from mautomate_internal.access a where a.name = p.proname);
select name as gone from mautomate_internal.access
  where not exists (select from pg_proc where pronamespace = 'mautomate'::regnamespace and proname = name);

set role a_nobody;
select mautomate.clock();
set role a_app;
select mautomate.identify('a_ann') is not null as identified;
select mautomate.track('a_ann', 'a_visit') is not null as tracked;
insert into mautomate.event (contact_id, kind)
  select contact_id, 'a_visit' from mautomate.contact where external_id = 'a_ann';
select count(*) from mautomate.event;
select email from mautomate.contact;
select mautomate.create_list('a_list', 'ever(''a_visit'')');
set role a_marketer;
select mautomate.create_list('a_list', 'ever(''a_visit'')');
select external_id from mautomate.list_members where list = 'a_list';
select mautomate.create_channel('a_log', 'log');
set role a_analyst;
select external_id from mautomate.list_members where list = 'a_list';
select count(*) from mautomate.scores where external_id = 'a_ann';
select holds from mautomate.explain_list('a_list', 'a_ann');
select mautomate.drop_list('a_list');
select * from mautomate_internal.contact_state;

-- under the settings of pg_restore nobody skips the engine but who owns the
-- tables and writes them by hand: that is swept, silently
set role a_app;
set check_function_bodies = off;
set row_security = off;
select mautomate.identify('a_bob') is not null as identified;
insert into mautomate.event (contact_id, kind)
  select contact_id, 'a_visit' from mautomate.contact where external_id = 'a_bob';
reset role;
select mautomate.track('a_cid', 'a_visit') is not null as tracked;
insert into mautomate.contact (external_id) values ('a_dan');
insert into mautomate.event (contact_id, kind)
  select contact_id, 'a_visit' from mautomate.contact where external_id = 'a_dan';
reset check_function_bodies;
reset row_security;
select external_id from mautomate.list_members where list = 'a_list' order by 1;
select count(*) > 0 as swept from mautomate.run();
select external_id from mautomate.list_members where list = 'a_list' order by 1;
select c.external_id, e.kind from mautomate.event e join mautomate.contact c using (contact_id)
  where external_id in ('a_bob', 'a_cid', 'a_dan') order by 1, event_id;
-- events that only the engine writes: from nobody else, whatever the way; but
-- who owns the log may put them back
set role a_app;
select contact_id as bob from mautomate.contact where external_id = 'a_bob' \gset
insert into mautomate.event (contact_id, kind, properties) values (:bob, 'list_entered', '{"list": "a_list"}');
insert into mautomate.event (contact_id, kind) values (:bob, 'a_visit'), (:bob, 'a_visit'), (:bob, 'tier_changed');
insert into mautomate.event (contact_id, kind) select :bob, case n when 20000 then 'stage_changed' else 'a_many' end from generate_series(1, 20000) n;
copy mautomate.event (contact_id, kind) from stdin (delimiter ',', header);
contact_id,kind
1,a_visit
1,list_left
\.
set mautomate.refresh = deferred;
insert into mautomate.event (contact_id, kind) values (:bob, 'a_visit'), (:bob, 'attribute_changed');
reset mautomate.refresh;
select mautomate.track_batch('[{"who": "a_bob", "kind": "a_visit"}, {"who": "a_bob", "kind": "list_left"}]');
insert into mautomate.event (contact_id, kind) values (:bob, 'list_enter'), (:bob, 'list_entered_');
reset role;
grant select, update on mautomate.event to a_app;
set role a_app;
update mautomate.event set kind = 'list_left' where contact_id = :bob and kind = 'list_enter';
insert into mautomate.event as e select * from mautomate.event where contact_id = :bob and kind = 'list_enter'
  on conflict (contact_id, kind, occurred_at, event_id) do update set kind = 'list_left';
update mautomate.event set properties = properties || '{"seen": true}' where contact_id = :bob and kind in ('list_entered', 'list_enter');
set mautomate.refresh = deferred;
update mautomate.event set kind = 'list_left' where contact_id = :bob and kind = 'list_enter';
reset mautomate.refresh;
reset role;
revoke update on mautomate.event from a_app;
insert into mautomate.event (contact_id, kind, properties) values (:bob, 'list_entered', '{"list": "a_gone"}');
update mautomate.event set kind = 'list_left' where contact_id = :bob and kind = 'list_entered' and properties ->> 'list' = 'a_gone';
select kind, properties from mautomate.event where contact_id = :bob order by event_id;
select * from mautomate.verify();
set role a_admin;
select mautomate.create_channel('a_log', 'log');
select mautomate.drop_channel('a_log');
select mautomate.set_clock('2030-01-01');
select mautomate.grant_access('a_nobody', 'admin');
select mautomate.reset_owner();
reset role;

-- given to another role, it all goes on, and comes back
create role a_heir;
create table a_order (id int primary key, who text);
grant insert on a_order to a_nobody;
select mautomate.attach_events('a_order', 'a_visit', 'who');
reassign owned by mautomate_owner to a_heir;
drop owned by mautomate_owner;
set role a_nobody;
insert into a_order values (1, 'a_eve');
set role a_app;
insert into mautomate.event (contact_id, kind) values (:bob, 'a_visit');
insert into mautomate.event (contact_id, kind) values (:bob, 'list_left');
select mautomate.track('a_fay', 'a_visit') is not null as tracked;
set role a_marketer;
select external_id from mautomate.list_members where list = 'a_list' order by 1;
set role a_heir;
select mautomate.grant_access('a_nobody', 'app');
reset role;
select count(*) > 0 as ran from mautomate.run();
call mautomate.deliver();
select mautomate.reset_owner();
select count(*) from pg_shdepend where refclassid = 'pg_authid'::regclass and refobjid = 'a_heir'::regrole;
select c.relowner::regrole as owner, count(*) > 50 as tables from pg_class c
  where c.relnamespace in ('mautomate'::regnamespace, 'mautomate_internal'::regnamespace) group by 1;
set role a_nobody;
insert into a_order values (2, 'a_guy');
select mautomate.track('a_fay', 'a_visit') is not null as tracked;
reset role;
select external_id from mautomate.list_members where list = 'a_list' order by 1;
select * from mautomate.verify();
select mautomate.detach(source) from mautomate.sources where relation = 'a_order';
drop table a_order;
select mautomate.drop_list('a_list');
delete from mautomate.contact where external_id in ('a_ann', 'a_bob', 'a_cid', 'a_dan', 'a_eve', 'a_fay', 'a_guy');
drop owned by a_nobody, a_app, a_analyst, a_marketer, a_admin;
drop role a_nobody, a_app, a_analyst, a_marketer, a_admin, a_heir;
