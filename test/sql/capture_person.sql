-- Rows that come to be somebody else's, while they are events and while they are not.
set client_min_messages = warning;
create extension if not exists mautomate;
select mautomate.arm();
create schema person;
create table person.orders (no int primary key, who text, total int, paid boolean, refunded boolean default false);
select mautomate.attach_events('person.orders', 'person_' || mode, 'who', properties => 'no, total',
         condition => 'paid', void_when => 'refunded', on_update => mode)
  from unnest(array['replace', 'ignore', 'append']) mode;
create view pg_temp.log as
  select e.kind, string_agg(format('%s:%s:%s', c.external_id, e.properties->>'no', e.properties->>'total'), ' '
                            order by e.occurred_at, e.event_id) as events
  from mautomate.event e join mautomate.contact c using (contact_id) where e.kind like 'person%' group by 1 order by 1;
select mautomate.create_list('person', $$ ever('person_replace') $$);
create view pg_temp.told as
  select e.kind, string_agg(c.external_id, ' ' order by e.event_id) as who
  from mautomate.event e join mautomate.contact c using (contact_id)
  where e.kind like 'list%' and e.properties->>'list' = 'person' group by 1 order by 1;

insert into person.orders values (1, 'person a', 10, true), (2, 'person a', 20, false);
-- it is an event: with replace it goes to whom it belongs now, without a word
update person.orders set who = 'person b' where no = 1;
select * from pg_temp.log;
select list, external_id from mautomate.list_members where list = 'person' order by 2;
select * from pg_temp.told;
-- it is none now: it goes too, once it has been one, and is still one event
update person.orders set paid = false where no = 1;
update person.orders set who = 'person c', total = 11 where no = 1;
update person.orders set who = 'person c', total = 21 where no = 2;
select * from pg_temp.log where kind ~ 'replace';
update person.orders set paid = true where no = 1;
select * from pg_temp.log;
-- both at once
update person.orders set paid = false, who = 'person d' where no = 1;
select * from pg_temp.log where kind ~ 'replace';
update person.orders set paid = true, who = 'person e' where no = 1;
select * from pg_temp.log where kind ~ 'replace';
-- nobody's: it stays
update person.orders set who = null where no = 1;
select * from pg_temp.log where kind ~ 'replace';
update person.orders set who = 'person e' where no = 1;
-- void and somebody else's at once, and back
update person.orders set refunded = true, who = 'person f' where no = 1;
select * from pg_temp.log where kind ~ 'replace';
update person.orders set refunded = false where no = 1;
select * from pg_temp.log where kind ~ 'replace';
-- another key, while it is none, then somebody else's
update person.orders set paid = false where no = 1;
update person.orders set no = 3, who = 'person g' where no = 1;
update person.orders set paid = true where no = 3;
select * from pg_temp.log where kind ~ 'replace|append';
-- two rows exchange their persons
insert into person.orders values (4, 'person h', 40, true);
update person.orders set who = case no when 3 then 'person h' else 'person g' end where no in (3, 4);
select * from pg_temp.log where kind ~ 'replace';
select * from pg_temp.told;
select * from mautomate.verify() where object = 'list "person"';

-- via: what it points to comes to be somebody else's, and it is none at the time
create table person.cart (id int primary key, who text);
create table person.item (id int primary key, cart int references person.cart, n int);
select mautomate.attach_events('person.item', 'person_via', 'who', via => 'person.cart', properties => 'id as no, n as total',
                               condition => 'n > 0', on_update => 'replace');
insert into person.cart values (1, 'person a'), (2, 'person b');
insert into person.item values (1, 1, 1), (2, 1, 0);
update person.item set n = 0 where id = 1;
update person.cart set who = 'person c' where id = 1;
select * from pg_temp.log where kind ~ 'via';
update person.item set cart = 2 where id = 1;
update person.item set n = 2;
select * from pg_temp.log where kind ~ 'via';

-- who is anonymous is not told by a row that is no event
create table person.hit (id int primary key, cookie text, who text, url text);
select mautomate.attach_events('person.hit', 'person_hit', 'who', anonymous => 'cookie', properties => 'id as no',
                               condition => 'url is not null', on_update => 'replace');
insert into person.hit values (1, 'person cookie', null, '/'), (2, 'person cookie', null, '/');
update person.hit set url = null where id = 1;
update person.hit set who = 'person a' where id = 1;
select * from pg_temp.log where kind ~ 'hit';

-- guests who turn out to be somebody, in a statement of more than a chunk as in a small one
create table person.bill (id int primary key, who text, mail text);
select mautomate.attach_events('person.bill', 'person_bill', 'who', email => 'mail');
insert into person.bill select n, null, 'person_' || n || '@example.com' from generate_series(1, 1300) n;
insert into person.bill select 2000 + n, 'person ' || n, 'person_' || n || '@example.com' from generate_series(1, 100) n;
insert into person.bill select 2000 + n, 'person ' || n, 'person_' || n || '@example.com' from generate_series(1300, 101, -1) n;
select count(*) as persons, count(external_id) as named, sum(n) as bills from (
  select external_id, (select count(*) from mautomate.event e where e.contact_id = c.contact_id) as n
  from mautomate.contacts c where email ~ '^person_\d') x;

select object, message from mautomate.errors where object like 'source "person%';
drop schema person cascade;
select mautomate.drop_list('person');
