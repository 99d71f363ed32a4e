-- Rows that name their person by an address: an event is with whom it is, whoever has the address later.
set client_min_messages = warning;
create extension if not exists mautomate;
select mautomate.arm();
create schema guest;
create table guest.orders (id int primary key, mail text, total int, state text default 'paid');
create view pg_temp.log as
  select coalesce(c.external_id, c.email) as who, string_agg(format('%s:%s', e.properties->>'id', e.properties->>'total'), ' '
                                                           order by e.properties->>'id', e.event_id) as events
  from mautomate.event e join mautomate.contact c using (contact_id) where e.kind = 'guest_order' group by 1 order by 1;
create function pg_temp.attach(mode text) returns text language sql as $$
  select mautomate.attach_events('guest.orders', 'guest_order', email => 'mail', properties => 'id, total',
           condition => 'total > 0', void_when => $x$state = 'refunded'$x$, on_update => mode) $$;
select pg_temp.attach('ignore');
select mautomate.create_list('guest buyers', $$sum('guest_order', 'total') >= 100$$);

-- one is known when the order comes, one becomes a customer later; then both have another address
select mautomate.identify('guest ann', 'ann@guest.example') > 0 as ann;
insert into guest.orders values (1, 'Ann@guest.example', 100), (2, 'bob@guest.example', 100), (3, 'ann@guest.example', 1);
select mautomate.identify('guest bob', 'bob@guest.example') > 0 as bob;
select mautomate.identify('guest ann', 'ann2@guest.example') > 0, mautomate.identify('guest bob', 'bob2@guest.example') > 0;
select mautomate.identify('guest cat', 'ann@guest.example') > 0 as has_it_now;
select * from pg_temp.log;
-- the refund finds them
update guest.orders set state = 'refunded' where id in (1, 2);
select * from pg_temp.log;
select external_id from mautomate.list_members where list = 'guest buyers';
-- who orders now by that address is who has it now, and attaching again doubles nothing
insert into guest.orders values (4, 'ann@guest.example', 4);
select pg_temp.attach('replace');
select what, n from mautomate.attach_preview('guest.orders', 'guest_order', email => 'mail', properties => 'id, total',
  condition => 'total > 0', void_when => $$state = 'refunded'$$, on_update => 'replace') where n is not null;
select * from pg_temp.log;
-- a table that is filled anew
create temp table copy as table guest.orders;
truncate guest.orders;
insert into guest.orders table copy;
select * from pg_temp.log;

-- replaced: it stays with whom it is, in small statements and in large ones
update guest.orders set total = 3 where id = 3;
select * from pg_temp.log;
insert into guest.orders select 1000 + n, 'many' || n % 100 || '@guest.example', 1 from generate_series(1, 1500) n;
select mautomate.identify('guest many ' || n, 'many' || n || '@guest.example') > 0 as done from generate_series(0, 99) n group by 1;
select mautomate.identify('guest many ' || n, 'more' || n || '@guest.example') > 0 as done from generate_series(0, 99) n group by 1;
update guest.orders set total = 2 where id > 1000;
select count(*), sum((properties->>'total')::int), count(distinct external_id), bool_and(external_id ~ 'guest many') as theirs
  from mautomate.event join mautomate.contact using (contact_id) where kind = 'guest_order' and properties->>'id' ~ '....';
select count(*) as made_for_nothing from mautomate.contact where email ~ 'many.*@guest';
update guest.orders set state = 'refunded' where id > 1000;
select count(*) from mautomate.event where kind = 'guest_order' and properties->>'id' ~ '....';
delete from guest.orders where id > 1000;
-- an event and none, another key, and both in one statement
update guest.orders set total = 0 where id = 3;
update guest.orders set total = 30 where id = 3;
update guest.orders set id = 5, total = 5 where id = 3;
update guest.orders set id = id + 10, total = total + 1, state = case id when 4 then 'refunded' else state end where id in (4, 5);
select * from pg_temp.log;
select count(*) as made_for_nothing from mautomate.contact where email = 'ann@guest.example' and external_id is null;
-- the row names another address: that is somebody else
update guest.orders set mail = 'dan@guest.example' where id = 15;
select * from pg_temp.log;
-- the same one's new address, which is written into the row, too; and then one more
update guest.orders set mail = 'ann2@guest.example' where id = 15;
select mautomate.identify('guest ann', 'ann3@guest.example') > 0 as ann3;
update guest.orders set mail = 'ann3@guest.example' where id = 15;
select mautomate.identify('guest ann', 'ann4@guest.example') > 0 as ann4;
update guest.orders set total = 50 where id = 15;
select * from pg_temp.log;
select count(*) as made_for_nothing from mautomate.contact where email ~ '^ann[23]@guest';
-- merged once more
select mautomate.alias('guest ann', 'guest eve') > 0 as merged;
update guest.orders set total = 51 where id = 15;
select * from pg_temp.log;

-- an address of two is nobody's: it stays, and is there when the row names the old one again
select mautomate.identify('guest ivy', 'two@guest.example') > 0, mautomate.identify('guest jon', 'two@guest.example') > 0;
update guest.orders set mail = 'two@guest.example' where id = 15;
update guest.orders set mail = 'ann3@guest.example', total = 53 where id = 15;
select * from pg_temp.log;

-- append: all of a row are withdrawn
select pg_temp.attach('append');
update guest.orders set total = 54 where id = 15;
select * from pg_temp.log;
update guest.orders set state = 'refunded' where id = 15;
select * from pg_temp.log;
-- an address in contact, and one who is erased
create table guest.call (id int primary key, who text, gone boolean default false);
select mautomate.attach_events('guest.call', 'guest_order', 'who', properties => 'id', void_when => 'gone', source => 'guest call');
insert into guest.call values (71, 'fay@guest.example'), (72, '+44 20 7946 0072'), (73, 'gus@guest.example');
select mautomate.identify('guest fay', 'fay@guest.example', '+442079460072') > 0 as fay;
select mautomate.identify('guest fay', 'fay2@guest.example', '+442079460073') > 0 as fay;
select mautomate.erase_contact('gus@guest.example');
update guest.call set gone = true;
select * from pg_temp.log;
-- whose anonymous id a row tells anew
create table guest.hit (id int primary key, mail text, cookie text, n int);
select mautomate.attach_events('guest.hit', 'guest_order', email => 'mail', anonymous => 'cookie', properties => 'id, n as total',
                               on_update => 'replace', source => 'guest hit');
insert into guest.hit values (81, 'hal@guest.example', 'guest cookie 1', 1);
select mautomate.identify('guest hal', 'hal@guest.example') > 0, mautomate.identify('guest hal', 'hal2@guest.example') > 0;
select mautomate.track('guest cookie 2', 'guest_order', '{"id": 82}') > 0 as tracked;
update guest.hit set cookie = 'guest cookie 2', n = 2;
select * from pg_temp.log;
select count(*) as made_for_nothing from mautomate.contact where email = 'hal@guest.example';

select * from mautomate.verify() where external_id ~ 'guest' or object ~ 'guest';
select object, message from mautomate.errors where object ~ 'guest';
drop schema guest cascade;
select mautomate.drop_list('guest buyers');
