-- erase_contact(), and deleted rows that erase.
set client_min_messages = warning;
create extension if not exists mautomate;
reset client_min_messages;
\set SHOW_CONTEXT never
create schema erase;
select mautomate.arm();
select mautomate.create_static_list('erase friends');
select mautomate.create_list('erase buyers', $$ever('erase_buy')$$);
select mautomate.create_channel('erase log', 'log', '{}');
select mautomate.create_template('erase hello', 'erase log', 'Hello', null, 'Hello {{ contact.first_name }}', transactional => true);
select mautomate.create_workflow('erase flow', '{"entry": [{"event": "erase_buy"}], "steps": [{"id": "s", "send": {"template": "erase hello"}}, {"id": "w", "wait": {"for": "1 day"}}]}');
select mautomate.activate_workflow('erase flow');
create table erase.watched (contact_id bigint);
create view everywhere as
  select (select count(*) from mautomate.contact where contact_id = any (i.ids)) as contact,
    (select count(*) from mautomate.event where contact_id = any (i.ids)) as event,
    (select count(*) from mautomate_internal.dedupe where contact_id = any (i.ids)) as key,
    (select count(*) from mautomate_internal.contact_state where contact_id = any (i.ids)) as state,
    (select count(*) from mautomate_internal.list_member where contact_id = any (i.ids)) as member,
    (select count(*) from mautomate_internal.list_change where contact_id = any (i.ids)) as change,
    (select count(*) from mautomate_internal.enrollment where contact_id = any (i.ids)) as enrolled,
    (select count(*) from mautomate_internal.enrollment_log where contact_id = any (i.ids)) as log,
    (select count(*) from mautomate_internal.error where contact_id = any (i.ids)) as error,
    (select count(*) from mautomate_internal.message where contact_id = any (i.ids)) as message,
    (select count(*) from mautomate_internal.outbox join mautomate_internal.message using (message_id) where contact_id = any (i.ids)) as outbox
  from (select array_agg(contact_id) as ids from erase.watched) i;

-- everything of a person goes, and of nobody else
select mautomate.identify('erase 1', 'erase1@example.com', '+44 20 7946 0000', '{"first_name": "Ann"}') > 0 as known,
  mautomate.identify('erase 2', 'erase2@example.com') > 0 as other;
select mautomate.alias('erase cookie', 'erase 1') > 0 as merged;
insert into erase.watched select contact_id from mautomate.contact where external_id in ('erase 1', 'erase cookie');
select mautomate.track(who, 'erase_buy', '{"secret": 1}', dedupe_key => 'k') > 0 as bought from unnest('{erase 1,erase 2}'::text[]) who;
select mautomate.add_to_list('erase friends', 'erase 1');
select mautomate.suppress('erase1@example.com', 'asked') as suppressed;
select sum(done) > 0 as ran from mautomate.run();
call mautomate.deliver();
select mautomate.send('erase 1', 'erase hello', '{"secret": 2}', idempotency_key => 'erase key') > 0 as enqueued;
insert into mautomate_internal.error select mautomate.clock(), 'erase test', contact_id, 'XX000', 'about erase1@example.com' from erase.watched;
select * from everywhere;
select mautomate.erase_contact('erase1@example.com');
select * from everywhere;
-- of messages the numbers stay
select contact_id in (select contact_id from erase.watched) as erased, state, reason, data is null as forgotten, address, reply, idempotency_key is null as no_key
from mautomate_internal.message join mautomate_internal.template using (template_id)
where template.name = 'erase hello' order by message_id;
-- of the address that it is suppressed
select mautomate.suppress('ERASE1@example.com', 'again') as new;
select list, external_id from mautomate.list_members where list like 'erase%';
select * from mautomate.verify();
-- whoever comes under the id later is somebody new
select mautomate.track('erase 1', 'erase_buy', dedupe_key => 'k') > 0 as stored;
select kind, properties from mautomate.timeline('erase 1') where kind = 'erase_buy';
select mautomate.erase_contact('nobody of this name');
select mautomate.erase_contact(null);
begin isolation level serializable;
select mautomate.erase_contact('erase 1');
commit;
select count(*) from mautomate.contacts where external_id = 'erase 1';

-- a deleted row
create table erase.customer (id text, mail text, since date default '2020-01-01');
create table erase.guest (mail text primary key);
create role erase_app;
grant usage on schema erase to erase_app;
grant select, insert, delete, truncate on erase.customer, erase.guest to erase_app;
select mautomate.attach_contacts('erase.customer', 'id', 'mail', on_delete => 'forget');
select mautomate.attach_contacts('erase.customer', 'id', 'mail', on_delete => 'erase');
select mautomate.attach_contacts('erase.guest', null, 'mail', on_delete => 'erase');
select source, on_delete, state from mautomate.sources where source like 'erase.%' order by 1;
select tgname from pg_trigger where tgrelid = 'erase.customer'::regclass order by 1;
insert into erase.customer select 'erase c' || n, 'erasec' || n || '@example.com' from generate_series(1, 1500) n;
insert into erase.guest values ('guest1@example.com'), ('guest2@example.com');
select mautomate.track('erase c1', 'erase_buy') > 0 as bought, mautomate.track('guest1@example.com', 'erase_buy') > 0 as too;
select mautomate.identify('erase g', 'guest2@example.com') > 0 as has_an_id_now, mautomate.alias('erase c2', 'erase c3') > 0 as merged;
create view erase.who as select external_id, email from mautomate.contacts where external_id like 'erase c%' or email like 'guest_@example.com' or external_id like 'erase g%' order by 1;
set role erase_app;
delete from erase.customer where id <> 'erase c3';
delete from erase.guest;
reset role;
select * from erase.who;
select object, message, detail, hint from mautomate.errors where object like 'source "erase.%';
-- TRUNCATE erases nobody, a rolled back DELETE neither
begin;
delete from erase.customer;
select * from erase.who;
rollback;
truncate erase.customer;
select * from erase.who;
select mautomate.attach_contacts('erase.customer', 'id', 'mail');
select tgname from pg_trigger where tgrelid = 'erase.customer'::regclass order by 1;

set client_min_messages = warning;
select mautomate.detach(source) from mautomate.sources where source like 'erase.%';
select mautomate.pause_workflow('erase flow');
select mautomate.drop_workflow('erase flow');
select mautomate.drop_list('erase friends'), mautomate.drop_list('erase buyers');
drop view everywhere;
drop schema erase cascade;
drop owned by erase_app;
drop role erase_app;
truncate mautomate_internal.error;
