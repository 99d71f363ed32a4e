-- attach_events(via => ...): whose a row is stands in another one.
set client_min_messages = warning;
create extension if not exists mautomate;
reset client_min_messages;
\set SHOW_CONTEXT never
create schema via;
create view via.events as
  select coalesce(c.external_id, c.email) as who, e.kind, e.properties
  from mautomate.event e join mautomate.contact c using (contact_id)
  where e.kind like 'via%' order by e.event_id;
create view via.noted as
  select object, sqlstate, message, detail, hint from mautomate.errors where object like 'source "via.%';
create role via_app;
grant usage on schema via to via_app;

-- a cart and what is put into it
create table via.cart (id int primary key, customer text, mail text, total numeric default 0);
create table via.item (id int primary key, cart_id bigint references via.cart on delete set null on update cascade, product text);
insert into via.cart values (1, 'via ann'), (2, null), (3, 'via bob');
insert into via.item values (1, 1, 'pen'), (2, 2, 'ink'), (3, null, 'cap');
select mautomate.attach_events('via.item', 'via_add', 'customer', 'mail', via => 'via.cart', properties => 'product');
create index on via.item (cart_id);
select mautomate.attach_events('via.item', 'via_add', 'customer', 'mail', via => 'via.cart', properties => 'product');
select source, contact, email, via, state from mautomate.sources where source like 'via.%';
select * from via.events;
-- who writes needs no right on the cart
grant insert, update, delete on via.item to via_app;
grant select (id) on via.item to via_app;
set role via_app;
insert into via.item values (4, 1, 'paper'), (5, 3, 'ruler'), (6, 2, 'glue'), (7, null, 'nothing');
reset role;
select * from via.events offset 1;
-- the row comes to point to somebody
update via.item set cart_id = 1 where id in (3, 7);
select * from via.events offset 3;
-- somebody's cart now: what is in it counts
update via.cart set total = 1;
update via.cart set customer = 'via cid' where id = 2;
select * from via.events offset 5;
-- somebody else's: what was done stays done by who did it
update via.cart set customer = 'via dan' where id = 2;
insert into via.item values (8, 2, 'tape');
select * from via.events offset 7;
-- another key, a cart that is gone, one that is nobody's
update via.cart set id = 20 where id = 2;
delete from via.cart where id = 1;
update via.cart set customer = null where id = 3;
insert into via.item values (9, 3, 'lost'), (10, 20, 'found');
select * from via.events offset 8;
update via.cart set mail = 'via@example.com' where id = 3;
select * from via.events offset 9;
select * from via.noted;

-- an event that follows its cart, and one more for each person
select mautomate.attach_events('via.item', 'via_follow', 'customer', 'mail', via => 'via.cart', properties => 'id', on_update => 'replace', source => 'via follow');
select mautomate.attach_events('via.item', 'via_more', 'customer', via => 'via.cart', properties => 'id', condition => 'id = 10', on_update => 'append', source => 'via more');
select * from via.events where kind <> 'via_add';
update via.cart set customer = 'via eve' where id = 20;
select who, kind, properties from via.events where kind <> 'via_add' order by 2, 3, 1;
update via.item set cart_id = 3 where id = 10;
select who, kind, properties from via.events where kind <> 'via_add' order by 2, 3, 1;
select mautomate.detach('via follow'), mautomate.detach('via more');

-- the same with what the cart's own source says, here an anonymous one too
select mautomate.attach_events('via.cart', 'via_cart', 'customer', anonymous => $$'cookie ' || id::text$$);
select mautomate.attach_events('via.item', 'via_same', via => 'via.cart', properties => 'product', condition => 'id >= 10', source => 'via same');
select contact, email, anonymous from mautomate.sources where source = 'via same';
insert into via.cart values (30, null);
insert into via.item values (11, 30, 'guest');
select * from via.events where kind in ('via_cart', 'via_same');
update via.cart set customer = 'via guest' where id = 30;
select * from via.events where kind in ('via_cart', 'via_same');
select mautomate.detach('via same'), mautomate.detach('via.cart.via_cart');

-- composite keys in another order and of other types, several keys
create table via.account (shop smallint, no int, holder text, primary key (no, shop));
create table via.transfer (id int primary key, from_shop int, from_no int, to_shop int, to_no int,
  constraint paid_by foreign key (from_shop, from_no) references via.account (shop, no),
  foreign key (to_shop, to_no) references via.account (shop, no));
create index on via.transfer (from_no, from_shop, id);
insert into via.account values (1, 1, 'via holder 1'), (1, 2, 'via holder 2'), (2, 1, null);
select mautomate.attach_events('via.transfer', 'via_paid', 'holder', via => 'via.account');
select mautomate.attach_events('via.transfer', 'via_paid', 'holder', via => 'via.account', via_key => 'paid_to');
select mautomate.attach_events('via.transfer', 'via_paid', 'holder', via => 'via.account', via_key => 'paid_by');
select mautomate.attach_events('via.transfer', 'via_got', 'holder', via => 'via.account', via_key => 'to_shop, to_no');
insert into via.transfer values (1, 1, 1, 1, 2), (2, 1, 2, 2, 1), (3, 2, 1, 1, 1), (4, null, 1, 1, null);
select * from via.events where kind in ('via_paid', 'via_got');
update via.account set holder = 'via holder 3' where shop = 2;
select * from via.events where kind in ('via_paid', 'via_got') offset 4;
-- the key is its columns, whatever they, it or others are called
alter table via.transfer rename constraint paid_by to payer;
alter table via.transfer rename from_no to "from, no";
alter table via.transfer add constraint again foreign key (from_shop, "from, no") references via.account (shop, no);
insert into via.transfer values (5, 1, 2, 1, 1);
select * from via.events where kind in ('via_paid', 'via_got') offset 6;
alter table via.transfer drop constraint payer;
insert into via.transfer values (6, 1, 2, null, null);
select * from via.events where kind in ('via_paid', 'via_got') offset 8;
alter table via.transfer drop constraint again;
insert into via.transfer values (7, 1, 2, 1, 1);
select * from via.events where kind in ('via_paid', 'via_got') offset 9;
select * from via.noted;
alter table via.transfer drop constraint transfer_to_shop_to_no_fkey;
select source, state from mautomate.sources where via = 'via.account';
select mautomate.detach('via.transfer.via_paid'), mautomate.detach('via.transfer.via_got');
truncate mautomate_internal.error;

-- a key that is checked late: the row pointed to comes last
create table via.visit (id int primary key, who text);
create table via.page (id int primary key, visit_id int references via.visit deferrable initially deferred, url text);
select mautomate.attach_events('via.page', 'via_page', 'who', via => 'via.visit', properties => 'url', on_update => 'replace');
begin;
insert into via.page values (1, 1, '/'), (2, 2, '/more'), (3, 1, '/end');
insert into via.visit values (1, 'via late'), (2, null);
commit;
select * from via.events where kind = 'via_page';

-- a table that points to itself
create table via.post (id int primary key, thread int references via.post, author text);
create index on via.post (thread);
select mautomate.attach_events('via.post', 'via_answered', 'author', via => 'via.post');
insert into via.post values (1, null, 'via first'), (2, 1, 'via second'), (3, 2, 'via third');
select * from via.events where kind = 'via_answered';
-- many, in one statement
insert into via.post select n, 1 + n % 3, 'x' from generate_series(10, 2509) n;
select who, count(*) from via.events where kind = 'via_answered' group by who order by 1;
update via.post set author = 'via ' || id::text where id < 4;
select count(*) from via.events where kind = 'via_answered';

-- what can go away: a column, the key, the table
alter table via.cart rename customer to buyer;
insert into via.item values (12, 20, 'renamed');
select * from via.events where kind = 'via_add' offset 11;
alter table via.cart drop buyer;
insert into via.item values (13, 20, 'no column');
alter table via.item drop constraint item_cart_id_fkey;
insert into via.item values (14, 20, 'no key');
drop table via.cart;
insert into via.item values (15, 20, 'no table');
select * from via.noted;

-- bad input
create view via.v as select 1 as id;
create table via.parted (id int primary key) partition by range (id);
select mautomate.attach_events('via.page', 'x', 'who', via => 'via.post');
select mautomate.attach_events('via.page', 'x', 'who', via => 'via.v');
select mautomate.attach_events('via.page', 'x', 'who', via => 'via.parted');
select mautomate.attach_events('via.page', 'x', 'whom', via => 'via.visit');
select mautomate.attach_events('via.page', 'x', via => 'via.visit');
select mautomate.attach_events('via.visit', 'x', 'who'), mautomate.attach_events('via.visit', 'y', anonymous => 'who');
select mautomate.attach_events('via.page', 'x', via => 'via.visit');
grant create, usage on schema via to via_app;
grant trigger, select on via.page to via_app;
grant usage on schema mautomate to via_app;
grant execute on all functions in schema mautomate to via_app;
set role via_app;
select mautomate.attach_events('via.page', 'x', 'who', via => 'via.visit');
reset role;
grant trigger on via.visit to via_app;
set role via_app;
select mautomate.attach_events('via.page', 'x', 'who', via => 'via.visit');
reset role;
select * from mautomate.verify();

set client_min_messages = warning;
select count(mautomate.detach(source)::text) from mautomate.sources where source like 'via%';
select count(*) from pg_trigger where tgrelid::regclass::text like 'via.%' and tgname like 'mautomate%';
drop schema via cascade;
drop owned by via_app;
drop role via_app;
truncate mautomate_internal.error;
