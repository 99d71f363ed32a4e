-- What becomes of sources when their tables change.
set client_min_messages = warning;
create extension if not exists mautomate;
reset client_min_messages;
\set SHOW_CONTEXT never
create schema alter_me;
create view alter_me.events as
  select c.external_id as who, e.kind, e.properties
  from mautomate.event e join mautomate.contact c using (contact_id)
  where e.kind like 'alter%' order by e.event_id;
create view alter_me.noted as
  select object, message, hint from mautomate.errors where object like 'source "alter_me%';
create table alter_me.orders (id int primary key, gone text, who text, amount int, note text default 'x');
alter table alter_me.orders drop gone;
select mautomate.attach_events('alter_me.orders', 'alter_order', 'who', properties => 'amount, note');
select mautomate.attach_contacts('alter_me.orders', 'who', attributes => 'note as alter_note');

-- columns renamed, swapped, added, with another type
alter table alter_me.orders rename who to buyer;
insert into alter_me.orders (id, buyer, amount) values (1, 'alter 1', 10);
alter table alter_me.orders rename amount to total;
alter table alter_me.orders rename note to amount;
alter table alter_me.orders add who text default 'somebody else', add column later int default 3;
insert into alter_me.orders (id, buyer, total) values (2, 'alter 2', 20);
alter table alter_me.orders alter total type numeric(10, 2);
insert into alter_me.orders (id, buyer, total) values (3, 'alter 3', 30.5);
alter table alter_me.orders alter buyer type varchar(100);
insert into alter_me.orders (id, buyer, total) values (4, 'alter 4', 40);
select * from alter_me.events;
select * from alter_me.noted;
-- one that no longer fits an expression
create table alter_me.visit (id int primary key, who text, seconds int);
select mautomate.attach_events('alter_me.visit', 'alter_visit', 'who', condition => 'seconds > 30');
alter table alter_me.visit alter seconds type text;
insert into alter_me.visit values (1, 'alter 5', 'long');
select * from alter_me.noted;
truncate mautomate_internal.error;

-- the table has another name, or is in another schema: the source stays
alter table alter_me.orders rename to purchases;
create schema alter_me_too;
alter table alter_me.purchases set schema alter_me_too;
insert into alter_me_too.purchases (id, buyer, total) values (5, 'alter 6', 50);
select source, relation, state from mautomate.sources where source like 'alter_me.orders%' order by 1;
select mautomate.attach_events('alter_me_too.purchases', 'alter_order', 'buyer', properties => 'total');
select count(*) from alter_me.events where kind = 'alter_order';
select source, relation, contact from mautomate.sources where kind = 'alter_order';
create table alter_me.orders (id int primary key, who text);
select mautomate.attach_events('alter_me.orders', 'alter_order', 'who');
select mautomate.attach_events('alter_me.orders', 'alter_order', 'who', source => 'alter new');

-- a column is dropped: every statement goes through and is noted, nothing else breaks
alter table alter_me_too.purchases drop buyer;
insert into alter_me_too.purchases (id, total) values (6, 60);
insert into alter_me_too.purchases (id, total) select n, n from generate_series(100, 3000) n;
update alter_me_too.purchases set total = 1;
select object, message, count(*) from alter_me.noted group by 1, 2 order by 1;
select distinct hint from alter_me.noted order by 1;
truncate mautomate_internal.error;
alter table alter_me_too.purchases add client text default 'alter 7';
select mautomate.detach('alter_me.orders');
select mautomate.attach_events('alter_me_too.purchases', 'alter_order', 'client', properties => 'total', condition => 'id < 102');
select who, count(*) from alter_me.events where kind = 'alter_order' group by who order by 1;
select * from alter_me.noted;
-- so does one of its key
alter table alter_me_too.purchases drop id;
insert into alter_me_too.purchases (total) values (7);
select * from alter_me.noted;
truncate mautomate_internal.error;

-- triggers off, a replica, TRUNCATE, a table that goes
alter table alter_me.orders disable trigger all;
insert into alter_me.orders values (1, 'alter off');
select source, state from mautomate.sources where source = 'alter new';
alter table alter_me.orders enable replica trigger mautomate_capture_insert;
select source, state from mautomate.sources where source = 'alter new';
alter table alter_me.orders enable trigger all;
set session_replication_role = replica;
insert into alter_me.orders values (2, 'alter off');
truncate alter_me.orders;
insert into alter_me.orders values (3, 'alter off');
reset session_replication_role;
alter table alter_me.orders enable always trigger mautomate_capture_insert;
set session_replication_role = replica;
insert into alter_me.orders values (4, 'alter always');
reset session_replication_role;
select who from alter_me.events where who in ('alter off', 'alter always');
select mautomate.attach_events('alter_me.orders', 'alter_order', 'who', source => 'alter new');
select who from alter_me.events where who in ('alter off', 'alter always');
truncate alter_me.orders;
select count(*) from alter_me.events where who in ('alter off', 'alter always');
drop trigger mautomate_capture_update on alter_me.orders;
select source, state from mautomate.sources where source = 'alter new';
select mautomate.attach_events('alter_me.orders', 'alter_order', 'who', source => 'alter new');
select source, state from mautomate.sources where source = 'alter new';
drop table alter_me.orders;
select source, state from mautomate.sources where source = 'alter new';
-- it is there again: the same source, whose rows were events already
create table alter_me.orders (id int primary key, who text);
insert into alter_me.orders values (3, 'alter off'), (900, 'alter again');
select count(*) from alter_me.events where who = 'alter off';
select mautomate.attach_events('alter_me.orders', 'alter_other', 'who', source => 'alter new');
select mautomate.attach_events('alter_me.orders', 'alter_order', 'who', source => 'alter new');
select source, state from mautomate.sources where source = 'alter new';
select who, count(*) from alter_me.events where who in ('alter off', 'alter again') group by 1 order by 1;
create table alter_me.other (id int primary key, who text);
select mautomate.attach_events('alter_me.other', 'alter_order', 'who', source => 'alter new');
drop table alter_me.orders, alter_me.other;
-- attached, changed and used in one transaction; and rolled back
create table alter_me.cart (id int primary key, who text);
begin;
select mautomate.attach_events('alter_me.cart', 'alter_cart', 'who');
insert into alter_me.cart values (1, 'alter 8');
alter table alter_me.cart rename who to whom;
insert into alter_me.cart values (2, 'alter 9');
savepoint s;
alter table alter_me.cart drop whom;
insert into alter_me.cart values (3);
rollback to s;
insert into alter_me.cart values (3, 'alter 10');
select who from alter_me.events where kind = 'alter_cart';
select * from alter_me.noted;
rollback;
insert into alter_me.cart values (1, 'alter 11');
select who from alter_me.events where kind = 'alter_cart';
select * from mautomate.verify();

-- another primary key: attached again, rows are found by the one they had
create table alter_me.sale (id int primary key, who text, total int, paid boolean default true, shop int default 1);
select mautomate.attach_events('alter_me.sale', 'alter_sale', 'who', properties => 'total', condition => 'paid', on_update => 'append');
insert into alter_me.sale values (1, 'alter a', 10), (2, 'alter b', 20), (3, 'alter c', 30), (4, null, 40);
update alter_me.sale set total = 11 where id = 1;
update alter_me.sale set paid = false where id = 3;
alter table alter_me.sale drop constraint sale_pkey, add primary key (shop, id);
update alter_me.sale set total = 12 where id = 1;
insert into alter_me.sale values (5, 'alter b', 50);
select what, n from mautomate.attach_preview('alter_me.sale', 'alter_sale', 'who', properties => 'total', condition => 'paid', void_when => 'total < 0') where n > 0;
select mautomate.attach_events('alter_me.sale', 'alter_sale', 'who', properties => 'total', condition => 'paid', void_when => 'total < 0');
select what, n from mautomate.attach_preview('alter_me.sale', 'alter_sale', 'who', properties => 'total', condition => 'paid', void_when => 'total < 0') where n > 0;
select who, properties from alter_me.events where kind = 'alter_sale';
update alter_me.sale set paid = true;
insert into alter_me.sale values (1, 'alter a', 70, true, 2);
select who, properties from alter_me.events where kind = 'alter_sale';
update alter_me.sale set total = -1 where shop = 1;
select who, properties from alter_me.events where kind = 'alter_sale';
-- made anew, with another one
drop table alter_me.sale;
create table alter_me.sale (no uuid primary key default gen_random_uuid(), shop int, total int, who text, paid boolean, id int unique);
insert into alter_me.sale (who, total, id, shop, paid) values ('alter a', 70, 1, 2, true), ('alter d', 80, 9, 9, true);
select mautomate.attach_events('alter_me.sale', 'alter_sale', 'who', properties => 'total', condition => 'paid');
select who, properties from alter_me.events where kind = 'alter_sale';
select * from alter_me.noted;

set client_min_messages = warning;
select count(mautomate.detach(source)::text) from mautomate.sources where source like 'alter%';
drop schema alter_me, alter_me_too cascade;
truncate mautomate_internal.error;
