-- Triggers of the application that change the row they fired for: what its last change left is what is captured.
set client_min_messages = warning;
drop extension if exists mautomate cascade;
create extension mautomate;
create schema nested;
create function nested.twice() returns trigger language plpgsql as $$
begin
  update nested.cart set total = total + 1 where no = new.no and total % 10 < 3;
  return null;
end $$;
create view pg_temp.log as
  select c.external_id, e.kind, e.properties from mautomate.event e join mautomate.contact c using (contact_id) order by 1, 2, e.event_id;

create table nested.cart (no int primary key, who text, total int, state text);
create trigger twice after insert or update on nested.cart for each row execute function nested.twice();
select mautomate.attach_events('nested.cart', 'replaced', contact => 'who', properties => 'total', on_update => 'replace'),
       mautomate.attach_events('nested.cart', 'first', contact => 'who', properties => 'total'),
       mautomate.attach_events('nested.cart', 'void', contact => 'who', properties => 'total', void_when => 'total = 53'),
       mautomate.attach_contacts('nested.cart', 'who', attributes => 'total as first_name');
insert into nested.cart values (1, 'ann', 10), (2, 'bob', 55), (3, 'cid', 50);
select * from pg_temp.log;
select external_id, first_name from mautomate.contacts order by 1;
update nested.cart set total = 20 where no = 1;
update nested.cart set who = 'bea', total = 30 where no = 2;
select * from pg_temp.log where kind = 'replaced';
select external_id, first_name from mautomate.contacts order by 1;
-- a role that may not read the table; a large statement
create role nested_app;
grant usage on schema nested to nested_app;
grant insert on nested.cart to nested_app;
alter function nested.twice() security definer;
set role nested_app;
insert into nested.cart select n, 'w' || n % 10, n * 10 + 2 from generate_series(101, 1150) n;
reset role;
select kind, count(*), sum((properties ->> 'total')::int) = (select sum(total) from nested.cart where no > 100) as right
from mautomate.event join mautomate.contact using (contact_id) where external_id like 'w%' group by kind order by kind;
-- gone again before the statement ends: it was there
create function nested.gone() returns trigger language plpgsql as $$ begin delete from nested.cart where no = new.no; return null; end $$;
create trigger gone after insert on nested.cart for each row when (new.no = 4) execute function nested.gone();
insert into nested.cart values (4, 'dan', 40);
select * from pg_temp.log where external_id = 'dan';
drop table nested.cart;

-- partitions, by whatever name, and another order of columns in them
create table nested.cart (no int, who text, total int, state text, primary key (state, no)) partition by list (state);
create table nested.cart_a (state text not null, x int, total int, who text, no int not null);
alter table nested.cart_a drop column x;
alter table nested.cart attach partition nested.cart_a for values in ('a');
create table nested.cart_b partition of nested.cart default;
create trigger twice after insert or update on nested.cart for each row execute function nested.twice();
select mautomate.attach_events('nested.cart', 'parted', contact => 'who', properties => 'total, state', on_update => 'replace');
insert into nested.cart values (1, 'ann', 10, 'a'), (2, 'ann', 20, 'b');
insert into nested.cart_a (state, no, who, total) values ('a', 3, 'ann', 30);
select * from pg_temp.log where kind = 'parted';
update nested.cart set total = 40;
select * from pg_temp.log where kind = 'parted';
drop table nested.cart;

-- the row pointed to
create table nested.cart (no int primary key, who text, total int);
create table nested.item (id int primary key, cart int references nested.cart);
create index on nested.item (cart);
create function nested.owner() returns trigger language plpgsql as $$
begin
  update nested.cart set who = 'owner of ' || no where no = new.no and who is not null and who not like 'owner%';
  return null;
end $$;
create trigger owner after update on nested.cart for each row execute function nested.owner();
select mautomate.attach_events('nested.item', 'item', via => 'nested.cart', contact => 'who', on_update => 'replace');
insert into nested.cart values (1);
insert into nested.item values (1, 1);
update nested.cart set who = 'x' where no = 1;
select * from pg_temp.log where kind = 'item';
select * from mautomate.errors;
drop schema nested cascade;
drop role nested_app;
drop extension mautomate cascade;
