-- attach_contacts, attach_events, detach: tables of the application.
set client_min_messages = warning;
drop extension if exists mautomate cascade;
create extension mautomate;
reset client_min_messages;
\set SHOW_CONTEXT never
create schema shop;
create table shop.customer (id int primary key, mail text, tel text, born date,
  lang char(5), name text, divisor numeric default 1);
create type shop.status as enum ('new', 'paid');
create table shop.orders (shop text, no text, customer_id int, mail text,
  total numeric, at timestamp, state shop.status default 'paid', tags text[],
  doc jsonb, primary key (shop, no));
create view events as
  select coalesce(c.external_id, c.email) as who, e.kind,
         e.occurred_at at time zone 'UTC' as at, e.properties
  from mautomate.event e join mautomate.contact c using (contact_id)
  order by e.event_id;
create view noted as
  select object, sqlstate, message, detail
  from mautomate_internal.error where object like 'source %';

-- what is there already
insert into shop.customer values
  (1, 'one@example.com', '+33 1 23 45 67 89', '1980-02-29', 'fr', 'Ann'),
  (2, 'not an address', '12', null, 'en', 'Bob');
insert into shop.orders values
  ('a', '1', 1, null, 10.50, '2020-07-01 12:00', 'paid', '{x,y}', '{"k": [1, null]}');
insert into shop.orders values
  ('a', '2', null, 'guest@example.com', 20, '2020-01-01 12:00', 'paid'),
  ('a', '3', null, null, 30, '2020-01-01 12:00', 'paid'),
  ('a', '4', 2, 'two@example.com', 40, '2020-01-01 12:00', 'new');
select mautomate.attach_contacts('shop.customer', 'id', 'mail', 'tel',
  'born as birthdate, lang as locale, name as first_name, 10 / divisor as ratio, id as stage');
select mautomate.attach_events('shop.orders', 'order', 'customer_id', 'mail',
  occurred_at => 'at', properties => 'no as order_id, total as amount, state, tags, doc',
  condition => $$state = 'paid'$$, zone => 'Europe/London');
select external_id, email, phone, first_name, locale, stage, attributes
from mautomate.contacts order by contact_id;
select * from events;
select * from noted;
truncate mautomate_internal.error;
select source, relation, becomes, kind, contact, state from mautomate.sources order by 1;

-- a role without any grant of ours
create role shop_app;
grant usage on schema shop to shop_app;
grant select, insert, update, delete, truncate on all tables in schema shop to shop_app;
set role shop_app;
-- the same in every session
set datestyle = 'German, DMY';
set timezone = 'Asia/Tokyo';
insert into shop.customer values (3, 'three@example.com', null, '2000-12-31', 'de', 'Cid');
insert into shop.orders values ('b', '1', 3, null, 1, '2020-07-01 12:00');
reset datestyle;
reset timezone;
copy shop.orders (shop, no, customer_id, mail, total, at) from stdin (format csv);
b,2,3,,2,2020-07-02 12:00
b,3,4,new@example.com,3,2020-07-03 12:00
b,4,,guest@EXAMPLE.com,4,2020-07-04 12:00
b,5,,,5,2020-07-05 12:00
b,6,,nobody@,6,2020-07-06 12:00
\.
select external_id from mautomate.contacts;
reset role;
select * from events offset 2;
select external_id, email, attributes from mautomate.contacts
where external_id in ('3', '4');
select * from noted;
truncate mautomate_internal.error;

-- a row counts when it first satisfies the condition and is somebody's
create temp table seen as select count(*) as n from mautomate.event;
update shop.orders set total = total + 1;
select count(*) - n from mautomate.event, seen group by n;
update shop.orders set state = 'paid', total = 41 where no = '4' and shop = 'a';
update shop.orders set state = 'new' where no = '4' and shop = 'a';
update shop.orders set state = 'paid' where no = '4' and shop = 'a';
update shop.orders set customer_id = 3 where (shop, no) in (('b', '5'), ('a', '3'));
insert into shop.orders values ('a', '2', 1, null, 0, now(), 'paid'), ('c', '1', 1, null, 7, '2020-08-01 12:00', 'new')
  on conflict (shop, no) do update set total = excluded.total;
insert into shop.orders values ('c', '1', 1, null, 0, now())
  on conflict (shop, no) do update set state = 'paid', total = 8;
select * from events offset 6;
-- deleted rows stay in the log
delete from shop.orders where shop = 'c';
truncate shop.orders;
select count(*) - n from mautomate.event, seen group by n;

-- of an updated person what changed; a null that is new removes
select mautomate.identify('3', null, null, '{"locale": "nl", "other": 1}') > 0;
update shop.customer set name = 'Sid' where id = 3;
select first_name, locale, email, attributes from mautomate.contacts where external_id = '3';
update shop.customer set born = null, mail = null, lang = 'es' where id = 3;
select first_name, locale, email, attributes from mautomate.contacts where external_id = '3';
update shop.customer set mail = 'broken' where id = 1;
update shop.customer set id = 30 where id = 3;
select external_id, first_name, email from mautomate.contacts where external_id in ('1', '3', '30');
select * from noted;
truncate mautomate_internal.error;

-- nothing in a row is an error of its statement
insert into shop.customer select n, 'n' || n || '@example.com', null, null, 'en', 'N', n % 2
from generate_series(100, 199) n;
select count(*), count(attributes -> 'ratio') from mautomate.contacts where first_name = 'N';
select count(*), min(sqlstate), min(message), min(detail) from noted;
truncate mautomate_internal.error;
select mautomate.define_attribute('birthdate', 'date');
select mautomate.attach_contacts('shop.customer', 'id', 'mail', 'tel', 'name as birthdate', backfill => false);
insert into shop.customer values (200, 'x@example.com', null, null, 'en', 'soon'), (201, null, null, null, 'en', '2001-01-01');
select external_id, attributes from mautomate.contacts where external_id in ('200', '201');
select * from noted;
truncate mautomate_internal.error;
create table shop.visit (id bigint primary key, who text, seconds text, at date);
select mautomate.attach_events('shop.visit', 'visit', 'who', occurred_at => 'at', properties => 'seconds::int as seconds', condition => '1000 / length(seconds) > 1');
insert into shop.visit values (1, 'v', '10', '2020-01-01'), (2, 'v', 'many', '2020-01-02'),
  (3, 'v', '', '2020-01-03'), (4, 'v', '30', 'infinity'), (5, 'v', '40', '2020-01-05'), (6, repeat('v', 1001), '1', '2020-01-06');
select * from events where kind = 'visit';
select * from noted;
truncate mautomate_internal.error;
-- long keys, many rows, some known
create table shop.page (url text primary key, who text);
select mautomate.attach_events('shop.page', 'page', 'who');
insert into shop.page values ('/' || repeat('a', 2500), 'v'), ('/' || repeat('a', 2500) || 'b', 'v');
insert into shop.page select 'p' || n, 'who ' || n % 1500 from generate_series(1, 3500) n;
select count(*), count(distinct contact_id) from mautomate.event where kind = 'page';

-- so many that the server keeps the rows on disk
create table shop.subscriber (id int primary key, name text);
select mautomate.attach_contacts('shop.subscriber', $$'s' || id::text$$, attributes => 'name');
set work_mem = '64kB';
insert into shop.subscriber select n, repeat('x', 100) from generate_series(1, 6000) n;
update shop.subscriber set name = id::text;
reset work_mem;
select count(*), sum((c.attributes ->> 'name')::int) from mautomate.contacts c where external_id ~ '^s[0-9]';
select * from noted;

-- one address in every row
create table shop.walkin (id int primary key, mail text);
insert into shop.walkin select n, 'none@example.com' from generate_series(1, 5000) n;
select mautomate.attach_contacts('shop.walkin', $$'w' || id::text$$, 'mail');
create table shop.sale (id int primary key, mail text);
select mautomate.attach_events('shop.sale', 'sale', email => 'mail');
insert into shop.sale select n, 'none@example.com' from generate_series(1, 5000) n;
select count(*) from mautomate.contacts where email = 'none@example.com';
select count(*) from mautomate.event where kind = 'sale';
select count(*), min(message) from noted;
truncate mautomate_internal.error;

-- attaching again never doubles
select mautomate.attach_events('shop.page', 'page', 'who');
select mautomate.attach_events('shop.page', 'page', 'who', condition => 'true');
select mautomate.detach('shop.page.page');
insert into shop.page values ('while detached', 'v');
select tgname from pg_trigger where tgrelid = 'shop.page'::regclass;
select mautomate.attach_events('shop.page', 'page', 'who');
select count(*) from mautomate.event where kind = 'page';
-- two sources of one table
select mautomate.attach_events('shop.page', 'landing', 'who', condition => $$url like '/%'$$);
select mautomate.attach_contacts('shop.page', 'who', attributes => 'url as last_page', backfill => false);
insert into shop.page values ('/home', 'w');
select kind from events where who = 'w';
select attributes from mautomate.contacts where external_id = 'w';
select mautomate.detach('shop.page.landing');
insert into shop.page values ('/more', 'w');
select kind from events where who = 'w';

-- columns are bound by number: renamed ones go on, dropped ones break it
alter table shop.page rename who to visitor;
insert into shop.page values ('renamed', 'w2');
select kind from events where who = 'w2';
alter table shop.page add who int default 7;
insert into shop.page values ('renamed and taken', 'w3');
select kind from events where who = 'w3';
alter table shop.page drop visitor;
insert into shop.page values ('dropped');
select * from noted;
select hint from mautomate.errors order by object;
truncate mautomate_internal.error;
select mautomate.detach('shop.page');
select mautomate.attach_events('shop.page', 'page', 'who', backfill => false);
insert into shop.page values ('attached again', 8);
select who, kind from events where who = '8';
-- triggers may be off
alter table shop.page disable trigger mautomate_capture_insert;
insert into shop.page values ('disabled', 9);
select state from mautomate.sources where source = 'shop.page.page';
alter table shop.page enable trigger mautomate_capture_insert;
set session_replication_role = replica;
insert into shop.page values ('replica', 9);
reset session_replication_role;
select count(*) from events where who = '9';
select mautomate.attach_events('shop.page', 'page', 'who');
select count(*) from events where who = '9';
drop table shop.page;
select state from mautomate.sources where source = 'shop.page.page';
select mautomate.detach('shop.page.page');

-- what was there before starts nothing; what comes does, on whatever path
create table shop.signup (id int primary key, mail text, at timestamptz default now());
insert into shop.signup select n, 's' || n || '@example.com' from generate_series(1, 20) n;
select mautomate.create_list('signed', $$ever('signup')$$);
select mautomate.create_workflow('welcome', '{"entry": [{"event": "signup"}], "steps": [{"id": "w", "wait": {"for": "1 day"}}]}');
select mautomate.activate_workflow('welcome');
select mautomate.arm();
select mautomate.attach_events('shop.signup', 'signup', email => 'mail', occurred_at => 'at');
select members from mautomate.lists where name = 'signed';
select count(*) from mautomate.enrollments where workflow = 'welcome';
grant insert on shop.signup to shop_app;
set role shop_app;
insert into shop.signup values (21, 's21@example.com'), (22, 's1@example.com');
reset role;
select members from mautomate.lists where name = 'signed';
select count(*) from mautomate.enrollments where workflow = 'welcome';
select * from mautomate.verify();
-- a row rolled back was never there
begin;
insert into shop.signup values (23, 's23@example.com');
select members from mautomate.lists where name = 'signed';
rollback;
select members from mautomate.lists where name = 'signed';
select count(*) from mautomate.contacts where email = 's23@example.com';

-- withdrawn events: paid, later refunded
create table shop.payment (id int primary key, who text, amount numeric, state text, at timestamptz default '2020-01-01 00:00+00');
insert into shop.payment values (1, 'pay', 10, 'paid'), (2, 'pay', 20, 'refunded'), (3, 'pay', 30, 'new');
select mautomate.attach_events('shop.payment', 'payment', 'who', occurred_at => 'at', properties => 'id, amount',
  condition => $$state <> 'new'$$, void_when => $$state = 'refunded'$$);
select properties from events where kind = 'payment';
update shop.payment set state = 'paid' where id = 3;
update shop.payment set state = 'refunded' where id in (1, 2);
select properties from events where kind = 'payment';
update shop.payment set amount = 21 where id = 2;
update shop.payment set state = 'paid' where id = 2;
select properties from events where kind = 'payment';
select mautomate.detach('shop.payment.payment');
update shop.payment set state = 'refunded' where id = 3;
select mautomate.attach_events('shop.payment', 'payment', 'who', occurred_at => 'at', properties => 'id, amount',
  condition => $$state <> 'new'$$, void_when => $$state = 'refunded'$$);
select properties from events where kind = 'payment';

-- a row that is an event already: replaced, or one more
create table shop.view (id int primary key, who text, page text, seconds int, at timestamptz default '2020-01-01 00:00+00', note text);
select mautomate.attach_events('shop.view', 'view', 'who', occurred_at => 'at', properties => 'page, seconds', on_update => 'replace');
select mautomate.attach_events('shop.view', 'look', 'who', properties => 'page, seconds', on_update => 'append');
select mautomate.create_list('long view', $$ever('view') filter (where event.seconds > 30)$$);
insert into shop.view values (1, 'eye', 'a', 10), (2, 'eye', 'b', 10);
select members from mautomate.lists where name = 'long view';
select event_id as view_1 from mautomate.event where kind = 'view' and properties ->> 'page' = 'a' \gset
update shop.view set seconds = 31, at = '2020-01-02 00:00+00' where id = 1;
update shop.view set note = 'nothing that we look at';
select members from mautomate.lists where name = 'long view';
select * from mautomate.verify();
select event_id = :view_1 as same, kind, properties, occurred_at at time zone 'UTC' as at
from mautomate.timeline('eye') where kind = 'view' order by event_id;
select properties from events where who = 'eye' and kind = 'look';
-- somebody else's now
update shop.view set who = 'other' where id = 2;
select who, kind, properties from events where who in ('eye', 'other');
select mautomate.attach_events('shop.view', 'view', 'who', occurred_at => 'at', properties => 'page, seconds', on_update => 'replace');
select count(*) from events where kind = 'view';

-- anonymous visitors who turn out to be somebody
create table shop.click (id int primary key, cookie text, who text, page text);
select mautomate.attach_events('shop.click', 'click', 'who', anonymous => 'cookie', properties => 'page');
insert into shop.click values (1, 'cookie 1', null, 'a'), (2, 'cookie 1', null, 'b'), (3, 'cookie 2', null, 'c'), (4, null, null, 'd');
select who, properties from events where kind = 'click';
insert into shop.click values (5, 'cookie 1', 'known', 'e'), (6, 'cookie 3', 'known', 'f'), (7, null, 'known', 'g');
insert into shop.click values (8, 'cookie 3', null, 'h'), (9, 'cookie 1', 'another', 'i');
update shop.click set who = 'late' where id = 3;
select who, properties from events where kind = 'click';
select external_id from mautomate.contact where merged_into is not null order by 1;
select * from mautomate.verify();

-- bad input
create view shop.v as select * from shop.visit;
create materialized view shop.m as select * from shop.visit;
create temp table temp_visit (id int primary key, who text);
create table shop.keyless (id int, who text);
create table shop.parted (id int primary key, who text) partition by range (id);
create table shop.part partition of shop.parted default;
create foreign data wrapper shop_wrapper;
create server shop_server foreign data wrapper shop_wrapper;
create foreign table shop.far (id int, who text) server shop_server;
create sequence shop.seq;
create function shop.double(int) returns int language sql immutable as 'select 2 * $1';
select mautomate.attach_events('shop.nowhere', 'x', 'who');
select mautomate.attach_events(null, 'x', 'who');
select mautomate.attach_events('shop.v', 'x', 'who');
select mautomate.attach_events('shop.m', 'x', 'who');
select mautomate.attach_events('temp_visit', 'x', 'who');
select mautomate.attach_events('shop.keyless', 'x', 'who');
select mautomate.attach_contacts('shop.keyless', 'who');
select mautomate.attach_events('shop.part', 'x', 'who');
select mautomate.attach_events('shop.far', 'x', 'who');
select mautomate.attach_events('shop.seq', 'x', 'who');
select mautomate.attach_events('pg_class', 'x', 'relname');
select mautomate.attach_events('mautomate.event', 'x', 'kind');
select mautomate.attach_events('shop.visit', null, 'who');
select mautomate.attach_events('shop.visit', 'list_left', 'who');
select mautomate.attach_events('shop.visit', 'x');
select mautomate.attach_contacts('shop.customer', null);
select mautomate.attach_events('shop.visit', 'x', 'whom');
select mautomate.attach_events('shop.visit', 'x', 'who', properties => 'sceonds');
select mautomate.attach_events('shop.visit', 'x', 'who', properties => '1 + 1');
select mautomate.attach_events('shop.visit', 'x', 'who', properties => 'id, who as id');
select mautomate.attach_events('shop.visit', 'x', 'who +');
select mautomate.attach_events('shop.visit', 'x', 'who', condition => 'seconds');
select mautomate.attach_events('shop.visit', 'x', 'who', condition => 'random() > 0.5');
select mautomate.attach_events('shop.visit', 'x', 'who', condition => 'shop.double(1) = 2');
select mautomate.attach_events('shop.visit', 'x', '(select who from shop.visit)');
select mautomate.attach_events('shop.visit', 'x', 'max(who)');
select mautomate.attach_events('shop.visit', 'x', 'who', occurred_at => 'seconds');
select mautomate.attach_events('shop.visit', 'x', 'who', zone => 'Mars/Base');
select mautomate.attach_events('shop.visit', 'x', 'who', on_update => 'add');
select mautomate.attach_events('shop.visit', 'x', 'who', void_when => 'seconds');
select mautomate.attach_events('shop.visit', 'x', 'who', source => '');
select mautomate.attach_events('shop.visit', 'x', 'who', source => 'shop.visit.visit');
select mautomate.attach_events('shop.orders', 'visit', 'customer_id', source => 'shop.visit.visit');
select mautomate.attach_contacts('shop.customer', 'id', attributes => 'mail as email');
select mautomate.detach('nothing');
insert into shop.visit values (100, 'x', 'x', '2020-01-01');
select mautomate_internal.capture();
create trigger by_hand before insert on shop.keyless for each row execute function mautomate_internal.capture();
insert into shop.keyless values (1);
-- privileges are those of CREATE TRIGGER and of reading
grant usage on schema mautomate to shop_app;
grant execute on all functions in schema mautomate to shop_app;
set role shop_app;
select mautomate.attach_events('shop.visit', 'x', 'who');
select mautomate.detach('shop.visit.visit');
reset role;
grant trigger on shop.visit to shop_app;
revoke select on shop.visit from shop_app;
set role shop_app;
select mautomate.attach_events('shop.visit', 'x', 'who');
select mautomate.attach_events('shop.visit', 'x', 'who', backfill => false);
select mautomate.detach('shop.visit.x');
reset role;
select source from mautomate.sources where source like '%.x';

drop trigger by_hand on shop.keyless;
select mautomate.detach(source) from mautomate.sources;
drop view events, noted;
set client_min_messages = warning;
drop schema shop cascade;
drop foreign data wrapper shop_wrapper cascade;
drop owned by shop_app;
drop role shop_app;
drop extension mautomate cascade;
