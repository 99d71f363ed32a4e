-- What shops do with their tables: each scenario as its owner would set it up.
set client_min_messages = warning;
create extension if not exists mautomate;
reset client_min_messages;
\set SHOW_CONTEXT never
create schema scene;
create view scene.events as
  select coalesce(c.external_id, c.email, c.phone) as who, e.kind, e.occurred_at at time zone 'UTC' as at, e.properties
  from mautomate.event e join mautomate.contact c using (contact_id)
  where e.kind like 'scene%' order by e.event_id;

-- a cart: one event per cart that has something in it, and each change of it
create table scene.cart (id uuid primary key, customer_id int, session text, items int not null default 0, value numeric not null default 0, updated_at timestamptz not null);
select mautomate.attach_events('scene.cart', 'scene_cart', $$'scene ' || customer_id::text$$, anonymous => 'session',
  occurred_at => 'updated_at', properties => 'id as cart_id, items, value', condition => 'items > 0', on_update => 'append');
select mautomate.create_list('scene full carts', $$last_value('scene_cart', 'value') >= 100$$);
insert into scene.cart values ('00000000-0000-0000-0000-000000000001', null, 'scene s1', 0, 0, '2020-01-01 10:00Z');
update scene.cart set items = 1, value = 40, updated_at = '2020-01-01 10:01Z';
update scene.cart set items = 3, value = 120, updated_at = '2020-01-01 10:02Z';
update scene.cart set session = session;
update scene.cart set customer_id = 7, updated_at = '2020-01-01 10:03Z';
update scene.cart set items = 0, value = 0, updated_at = '2020-01-01 10:04Z';
update scene.cart set items = 1, value = 10, updated_at = '2020-01-01 10:05Z';
select who, at, properties - 'cart_id' as properties from scene.events where kind = 'scene_cart' order by at;
select list, external_id from mautomate.list_members where list like 'scene%';

-- page views whose seconds grow: the view follows, or each beat is one more
create table scene.page_view (id bigint primary key, visitor text, url text, seconds int not null default 0, started_at timestamptz default '2020-01-02 12:00Z');
select mautomate.attach_events('scene.page_view', 'scene_view', 'visitor', occurred_at => 'started_at', properties => 'url, seconds', on_update => 'replace');
select mautomate.attach_events('scene.page_view', 'scene_beat', 'visitor', occurred_at => 'started_at', properties => 'seconds', condition => 'seconds > 0', on_update => 'append');
select mautomate.create_list('scene readers', $$count('scene_view') filter (where event.url = '/pricing' and event.seconds > 30) >= 1$$);
insert into scene.page_view (id, visitor, url) values (1, 'scene eye', '/pricing'), (2, 'scene eye', '/');
update scene.page_view set seconds = seconds + 15;
update scene.page_view set seconds = seconds + 15 where id = 1;
select list, external_id from mautomate.list_members where list like 'scene%';
update scene.page_view set seconds = seconds + 1 where id = 1;
select list, external_id from mautomate.list_members where list like 'scene%';
select kind, properties from scene.events where who = 'scene eye';
select * from mautomate.verify();

-- what is read again says what the rows say now
alter table scene.page_view disable trigger mautomate_capture_update;
update scene.page_view set seconds = 99 where id = 2;
alter table scene.page_view enable trigger mautomate_capture_update;
select mautomate.attach_events('scene.page_view', 'scene_view', 'visitor', occurred_at => 'started_at', properties => 'url, seconds', on_update => 'replace');
select kind, properties from scene.events where who = 'scene eye' and kind = 'scene_view';

-- guests who order with nothing but an e-mail, and come back as customers
create table scene.customer (id int primary key, mail text);
create table scene.orders (id int primary key, customer_id int, mail text, total numeric, state text, at timestamp default '2020-07-01 12:00');
select mautomate.attach_contacts('scene.customer', $$'scene ' || id::text$$, 'mail');
select mautomate.attach_events('scene.orders', 'scene_order', $$'scene ' || customer_id::text$$, 'mail', occurred_at => 'at',
  properties => 'id as order_id, total as amount', condition => $$state in ('paid', 'shipped')$$, void_when => $$state = 'refunded'$$, zone => 'Europe/Paris');
insert into scene.orders values (1, null, 'Guest@Scene.example', 10, 'paid'), (2, null, 'guest@scene.example', 20, 'paid'), (3, null, 'not an address', 30, 'paid'), (4, null, null, 40, 'paid');
select who, at, properties from scene.events where kind = 'scene_order';
insert into scene.customer values (50, 'guest@scene.example');
insert into scene.orders values (5, 50, 'guest@scene.example', 50, 'paid');
select who, properties from scene.events where kind = 'scene_order';
select object, message, detail from mautomate.errors where object like 'source "scene%';

-- orders that are paid, refunded, and paid again
select mautomate.create_list('scene spenders', $$sum('scene_order', 'amount') >= 200$$);
insert into scene.orders values (6, 60, null, 150, 'new'), (7, 60, null, 100, 'new');
update scene.orders set state = 'paid' where id = 6;
update scene.orders set state = 'paid' where id = 7;
select list, external_id from mautomate.list_members where list = 'scene spenders';
update scene.orders set state = 'shipped' where id = 6;
update scene.orders set state = 'refunded' where id = 6;
select list, external_id from mautomate.list_members where list = 'scene spenders';
update scene.orders set total = 160 where id = 6;
update scene.orders set state = 'paid' where id = 6;
select list, external_id from mautomate.list_members where list = 'scene spenders';
select who, properties from scene.events where who = 'scene 60' order by properties;
-- one refunded and one paid by the same statement
update scene.orders set state = case id when 6 then 'refunded' else 'paid' end where id in (6, 7);
select who, properties from scene.events where who = 'scene 60';
-- what was an event stays one under another key
update scene.orders set id = id + 1000 where id = 7;
update scene.orders set state = 'refunded' where id = 1007;
select who, properties from scene.events where who = 'scene 60';
select * from mautomate.verify();

-- one table, several sources: who, what, and when it went wrong
create table scene.ticket (id int primary key, who text, subject text, opened_at date default '2020-03-29', closed_at timestamp, rating int);
select mautomate.attach_contacts('scene.ticket', 'who', attributes => 'rating as scene_rating');
select mautomate.attach_events('scene.ticket', 'scene_opened', 'who', occurred_at => 'opened_at', zone => 'America/New_York');
select mautomate.attach_events('scene.ticket', 'scene_closed', 'who', occurred_at => 'closed_at', condition => 'closed_at is not null', zone => 'Europe/Berlin');
select mautomate.attach_events('scene.ticket', 'scene_rated', 'who', condition => 'rating < 3', properties => 'rating', on_update => 'replace', source => 'scene angry');
insert into scene.ticket values (1, 'scene t'), (2, 'scene t');
update scene.ticket set closed_at = '2020-03-29 02:30', rating = 2 where id = 1;
update scene.ticket set rating = 1 where id = 1;
select who, kind, case when kind <> 'scene_rated' then at end as at, properties from scene.events where who = 'scene t';
select attributes from mautomate.contacts where external_id = 'scene t';
select source, becomes, zone from mautomate.sources where relation = 'scene.ticket' order by 1;

-- who may be an address or a phone number, exactly as for track()
create table scene.click (id int primary key, who text);
select mautomate.attach_events('scene.click', 'scene_click', 'who');
select mautomate.identify('scene p', 'p@scene.example', '+44 20 7946 0001') > 0 as known;
insert into scene.click values (1, 'P@scene.example'), (2, '+442079460001'), (3, 'new@scene.example'), (4, 'NEW@SCENE.example'), (5, 'scene new'), (6, 'bad@'), (7, '');
select who from scene.events where kind = 'scene_click';
select mautomate.track('P@scene.example', 'scene_track') > 0, mautomate.track('+442079460001', 'scene_track') > 0,
  mautomate.track('new2@scene.example', 'scene_track') > 0, mautomate.track('NEW2@SCENE.example', 'scene_track') > 0, mautomate.track('scene new2', 'scene_track') > 0;
select mautomate.track('bad@', 'scene_track');
select who from scene.events where kind = 'scene_track';
select external_id, email from mautomate.contacts where email like 'new%scene.example' order by email;
select object, message, detail from mautomate.errors where message like '%bad@%';
-- an external id with an @ is one where it is known as one
select mautomate.attach_contacts('scene.click', 'who', source => 'scene handle');
insert into scene.click values (8, '@handle');
select who from scene.events where kind = 'scene_click' offset 5;
-- an anonymous id is never an address
create table scene.hit (id int primary key, cookie text, who text);
select mautomate.attach_events('scene.hit', 'scene_hit', 'who', anonymous => 'cookie');
insert into scene.hit values (1, 'scene@cookie', null);
select who from scene.events where kind = 'scene_hit';
insert into scene.hit values (2, 'scene@cookie', 'New@scene.example'), (3, 'scene@cookie', null);
select who from scene.events where kind = 'scene_hit';

-- an order whose changes are events too, refunded: all of them go
create table scene.deal (id text primary key, who text, total numeric, status text);
select mautomate.attach_events('scene.deal', 'scene_deal', 'who', properties => 'total', condition => $$status = 'paid'$$,
  void_when => $$status = 'refunded'$$, on_update => 'append');
insert into scene.deal values ('d', 'scene ann', 10, 'paid'), ('d1', 'scene ann', 1, 'paid'), (E'd\x01' || '1', 'scene ann', 2, 'paid');
update scene.deal set total = 20 where id = 'd';
update scene.deal set total = 30, id = 'e' where id = 'd';
insert into scene.deal values ('d', 'scene bob', 5, 'paid');
select who, properties from scene.events where kind = 'scene_deal';
update scene.deal set status = 'refunded' where id = 'e';
select who, properties from scene.events where kind = 'scene_deal';
update scene.deal set status = 'paid' where id = 'e';
update scene.deal set status = 'packed' where id = 'e';
update scene.deal set status = 'paid', total = 40 where id = 'e';
select mautomate.alias('scene ann', 'scene bob') > 0 as merged;
select who, properties from scene.events where kind = 'scene_deal';
-- somebody else's from now on; what it was before stays
update scene.deal set who = 'scene cid' where id = 'd';
update scene.deal set total = 6 where id = 'd';
update scene.deal set status = 'refunded' where id in ('d', 'e');
select who, properties from scene.events where kind = 'scene_deal';
update scene.deal set status = 'refunded';
select who, properties from scene.events where kind = 'scene_deal';
select * from mautomate.verify();

set client_min_messages = warning;
select count(mautomate.detach(source)::text) from mautomate.sources where source like 'scene%';
select mautomate.drop_list(name) from mautomate.lists where name like 'scene%';
drop schema scene cascade;
truncate mautomate_internal.error;
