-- attach_preview(): what attaching would do, without doing it.
set client_min_messages = warning;
create extension if not exists mautomate;
reset client_min_messages;
\set SHOW_CONTEXT never
create schema look;
create table look.cart (id int primary key, who text);
create table look.orders (id int primary key, who text, mail text, cart int references look.cart, amount text, state text default 'paid', at timestamp default '2020-07-01 12:00');
insert into look.orders values (1, 'look ann', null, null, '10'), (2, 'look bob', 'bob@look.example', null, '20'), (3, 'look ann', null, null, 'ten'),
  (4, null, 'guest@look.example', null, '40'), (5, null, 'no address', null, '50'), (6, null, null, null, '60'), (7, 'look@', null, null, '70');
insert into look.orders values (8, 'look ann', null, null, '80', 'new'), (9, 'look known', null, null, '90', 'paid');
select mautomate.identify('look known') > 0 as known;
select what, n, external_id, email_address, event, at at time zone 'UTC' as at, event_properties, problem
from mautomate.attach_preview('look.orders', 'look_order', 'who', 'mail', occurred_at => 'at', properties => 'amount::numeric as amount', condition => $$state = 'paid'$$, zone => 'Europe/Paris');
-- nothing was done
select count(*) from mautomate.contacts where external_id like 'look%' or email like '%look%';
select count(*) from mautomate.event where kind like 'look%';
select count(*) from mautomate.sources where source like 'look%';
select count(*) from pg_trigger where tgrelid = 'look.orders'::regclass and tgname like 'mautomate%';
select count(*) from mautomate.errors where object like '%look%';
-- it is what attaching does
select mautomate.attach_events('look.orders', 'look_order', 'who', 'mail', occurred_at => 'at', properties => 'amount::numeric as amount', condition => $$state = 'paid'$$);
select count(*) from mautomate.event where kind = 'look_order';
select count(*) from mautomate.contacts where external_id like 'look%' or email like '%look%';
insert into look.orders values (10, 'look new', null, null, '100'), (11, 'look new', null, null, '110');
select mautomate.detach('look.orders.look_order');
insert into look.orders values (12, 'look newer', null, null, '120');
select what, n, external_id from mautomate.attach_preview('look.orders', 'look_order', 'who', 'mail', condition => $$state = 'paid'$$);
-- many rows: some are shown
create table look.hit (id int primary key, who text);
insert into look.hit select n, 'look ' || n % 1500 from generate_series(1, 5000) n;
insert into look.hit select n, repeat('x', 2000) from generate_series(5001, 5100) n;
select what, count(*), sum(n) from mautomate.attach_preview('look.hit', 'look_hit', 'who') group by what order by what;
select what, n, external_id from mautomate.attach_preview('look.orders', 'look_via', 'who', via => 'look.cart');
-- who may look: who may read; what is wrong is said as by attach_events()
select * from mautomate.attach_preview('look.orders', 'x', 'nobody');
select * from mautomate.attach_preview('look.orders', null, 'who');
select * from mautomate.attach_preview('pg_class', 'x', 'relname');
create role look_user;
grant usage on schema look, mautomate to look_user;
grant execute on all functions in schema mautomate to look_user;
set role look_user;
select * from mautomate.attach_preview('look.hit', 'x', 'who');
reset role;
grant select on look.hit to look_user;
set role look_user;
select what, n from mautomate.attach_preview('look.hit', 'x', 'who', condition => 'id = 1') where n is not null;
reset role;
set client_min_messages = warning;
drop schema look cascade;
drop owned by look_user;
drop role look_user;
truncate mautomate_internal.error;
