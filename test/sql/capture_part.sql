-- Partitioned tables of the application, and tables with children.
set client_min_messages = warning;
create extension if not exists mautomate;
reset client_min_messages;
\set SHOW_CONTEXT never
create schema part;
create view part.events as
  select c.external_id as who, e.kind, e.properties
  from mautomate.event e join mautomate.contact c using (contact_id)
  where e.kind like 'part%' order by e.event_id;
create view part.triggers as
  select tgrelid::regclass as relation, string_agg(replace(tgname, 'mautomate_capture_', ''), ' ' order by tgname) as triggers
  from pg_trigger where tgname like 'mautomate_capture%' and tgrelid::regclass::text like 'part.%'
  group by 1 order by 1::text;

-- in three levels, with columns in another order and one that was dropped
create table part.orders (no int, region text, who text, total numeric, primary key (no, region)) partition by list (region);
create table part.eu (who text, gone int, total numeric, region text not null, no int not null) ;
alter table part.eu drop gone;
alter table part.orders attach partition part.eu for values in ('eu');
create table part.us partition of part.orders for values in ('us') partition by range (no);
create table part.us_low partition of part.us for values from (0) to (100);
create table part.us_high partition of part.us for values from (100) to (maxvalue);
insert into part.orders values (1, 'eu', 'part 1', 10), (1, 'us', 'part 1', 11), (101, 'us', 'part 2', 12);
select mautomate.attach_events('part.orders', 'part_order', 'who', properties => 'no, region, total', on_update => 'replace');
select mautomate.attach_contacts('part.orders', 'who', attributes => 'region as part_region', on_delete => 'erase');
select * from part.triggers;
select * from part.events;
-- through the parent, the middle and the leaf: once each
insert into part.orders values (2, 'eu', 'part 3', 1), (2, 'us', 'part 3', 2);
insert into part.us values (3, 'us', 'part 3', 3), (103, 'us', 'part 3', 4);
insert into part.us_low values (4, 'us', 'part 3', 5);
insert into part.eu (no, region, who, total) values (3, 'eu', 'part 3', 6);
copy part.eu (no, region, who, total) from stdin (format csv);
4,eu,part 3,7
\.
select * from part.events where who = 'part 3';
select attributes from mautomate.contacts where external_id = 'part 3';
-- updates, by whatever name; a row that moves is the same order if its key is
update part.orders set total = total + 100 where who = 'part 1';
update part.eu set total = 60 where no = 3;
update part.us set no = 104 where no = 4;
update part.orders set region = 'eu', total = 3.5 where no = 103;
select * from part.events order by properties;
-- deleted ones, by whatever name
delete from part.us_high where who = 'part 2';
delete from part.orders where who = 'part 1' and region = 'eu';
select external_id from mautomate.contacts where external_id like 'part %' order by 1;
select * from mautomate.verify();

-- partitions that come later
create table part.asia partition of part.orders for values in ('asia');
create table part.africa (like part.orders);
insert into part.africa values (1, 'africa', 'part brought along', 1);
alter table part.orders attach partition part.africa for values in ('africa');
create table part.us_negative partition of part.us for values from (-100) to (0);
select * from part.triggers;
insert into part.orders values (9, 'asia', 'part 9', 1), (9, 'africa', 'part 9', 2);
insert into part.asia values (10, 'asia', 'part 9', 3);
insert into part.africa values (10, 'africa', 'part 9', 4);
insert into part.us_negative values (-1, 'us', 'part 9', 5);
select * from part.events where who like 'part 9' or who like 'part b%';
-- what was brought along is read when it is attached again
select mautomate.attach_events('part.orders', 'part_order', 'who', properties => 'no, region, total', on_update => 'replace');
select * from part.events where who like 'part b%';
-- who leaves is a table of its own
alter table part.orders detach partition part.africa;
insert into part.africa values (11, 'africa', 'part left', 1);
select * from part.events where who = 'part left';
select mautomate.attach_events('part.africa', 'part_africa', 'who', backfill => false);
insert into part.africa values (12, 'africa', 'part left', 1);
select * from part.events where who = 'part left';
-- one that is attached itself and becomes a part: both, each as it sees it
alter table part.orders attach partition part.africa for values in ('africa');
insert into part.africa values (13, 'africa', 'part both', 1);
insert into part.orders values (14, 'africa', 'part both', 1);
select * from part.events where who = 'part both';
select source, state from mautomate.sources where source like 'part%' order by 1;
select mautomate.detach('part.africa.part_africa');
insert into part.africa values (15, 'africa', 'part both', 1);
select * from part.events where who = 'part both' offset 3;
-- a trigger of the application that eats rows on their way
create function part.eat() returns trigger language plpgsql as 'begin if new.no = 50 then return null; end if; return new; end';
create trigger eat before insert on part.asia for each row execute function part.eat();
insert into part.orders values (50, 'eu', 'part 50', 1), (51, 'eu', 'part 51', 1);
update part.orders set region = 'asia', total = 2 where no in (50, 51);
select * from part.events where who in ('part 50', 'part 51');
drop function part.eat cascade;
-- foreign tables have no such triggers
create foreign data wrapper part_wrapper;
create server part_server foreign data wrapper part_wrapper;
create foreign table part.far partition of part.orders for values in ('far') server part_server;
create table part.mixed (id int, who text) partition by range (id);
create foreign table part.mixed_far partition of part.mixed default server part_server;
select mautomate.attach_contacts('part.mixed', 'who');
select mautomate.attach_events('part.us_low', 'x', 'who');
select mautomate.detach('part.orders.part_order');
select * from part.triggers;
select mautomate.detach('part.orders');
select * from part.triggers;

-- children
create table part.person (id int primary key, name text);
create table part.member (since date) inherits (part.person);
create table part.guest (name text, mail text, id int not null);
insert into part.person values (1, 'a');
insert into part.member values (2, 'b', '2020-01-01');
select mautomate.attach_events('part.person', 'part_person', $$'part p' || id::text$$, properties => 'name', on_update => 'replace');
insert into part.member values (3, 'c', '2020-01-01');
alter table part.guest inherit part.person;
insert into part.guest values ('d', 'd@example.com', 4);
update part.person set name = upper(name);
update part.member set name = name || '!' where id = 2;
create table part.child_of_child () inherits (part.member);
insert into part.child_of_child values (5, 'e');
select * from part.events where kind = 'part_person' order by who;
alter table part.guest no inherit part.person;
insert into part.guest values ('f', 'f@example.com', 6);
select count(*) from part.events where kind = 'part_person';
select * from part.triggers;
select mautomate.detach('part.person.part_person');
select * from mautomate.verify();

set client_min_messages = warning;
drop schema part cascade;
drop foreign data wrapper part_wrapper cascade;
