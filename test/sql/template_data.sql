-- Functions of the application in templates: their plans are kept with the
-- template, and are never older than the functions.
set client_min_messages = warning;
create extension if not exists mautomate;
reset client_min_messages;
create schema d_shop;
select mautomate.create_channel('d_log', 'log');
select mautomate.identify('d_ann', 'd_ann@example.com') > 0, mautomate.identify('d_bob', 'd_bob@example.com') > 0;
create function d_shop.x(text) returns int language sql stable as 'select length($1)';
select mautomate.create_template('d_x', 'd_log', body => '{{ x }}', transactional => true, data => '{"x": "d_shop.x(text)"}');
create view d_said as
  select mautomate.preview_template('d_x', who) ->> 'body' as body from unnest('{d_ann, d_bob}'::text[]) who;
table d_said;

-- another body, another result, a set, one more argument
create or replace function d_shop.x(text) returns int language sql stable as 'select -length($1)';
table d_said;
drop function d_shop.x(text);
create function d_shop.x(text) returns text language sql stable as 'select upper($1)';
table d_said;
drop function d_shop.x(text);
create function d_shop.x(text) returns setof text language sql stable as $$ values ($1), ('b') $$;
table d_said;
drop function d_shop.x(text);
table d_said;
create function d_shop.x(text, jsonb) returns text language sql stable as $$ select $2 #>> '{contact,email}' $$;
table d_said;
select mautomate.create_template('d_x', 'd_log', body => '{{ x }}', transactional => true, data => '{"x": "d_shop.x(text,jsonb)"}');
table d_said;
-- what may not be called any more
alter function d_shop.x(text, jsonb) volatile;
table d_said;
alter function d_shop.x(text, jsonb) stable;
alter schema d_shop rename to d_store;
table d_said;
alter schema d_store rename to d_shop;
table d_said;
create role d_author;
select mautomate.grant_access('d_author', 'marketer');
grant usage on schema d_shop to d_author;
set role d_author;
select mautomate.create_template('d_x', 'd_log', body => 'mine: {{ x }}', transactional => true, data => '{"x": "d_shop.x(text,jsonb)"}');
select mautomate.create_template('d_mine', 'd_log', body => '{{ y }}', transactional => true, data => '{"y": "d_shop.x(text,jsonb)"}');
reset role;
select mautomate.preview_template('d_mine', 'd_ann') ->> 'body' as body;
revoke execute on function d_shop.x(text, jsonb) from public;
select mautomate.preview_template('d_mine', 'd_ann') ->> 'body' as body;
grant execute on function d_shop.x(text, jsonb) to public;

-- a table that changes below a function
create table d_shop.item (customer text, name text);
insert into d_shop.item values ('d_ann', 'Tea');
create function d_shop.items(text) returns setof d_shop.item language sql stable as 'select * from d_shop.item where customer = $1';
select mautomate.create_template('d_items', 'd_log', body => '{% for i in items %}{{ i.name }} {{ i.price | default: "?" }};{% endfor %}', transactional => true, data => '{"items": "d_shop.items(text)"}');
create view d_bought as
  select mautomate.preview_template('d_items', 'd_ann') -> 'body' as body;
table d_bought;
alter table d_shop.item add price numeric default 3.5;
table d_bought;
create index on d_shop.item (customer);
table d_bought;

-- a function that renders the template it is called for
create function d_shop.deeper(text, jsonb) returns text language sql stable as $$
  select case when $2 #>> '{context,n}' = '0' then 'bottom'
    else '(' || (mautomate.preview_template('d_deep', $1, jsonb_build_object('n', ($2 #>> '{context,n}')::int - 1)) ->> 'body') || ')' end $$;
select mautomate.create_template('d_deep', 'd_log', body => '{{ deeper }}', transactional => true, data => '{"deeper": "d_shop.deeper(text,jsonb)"}');
select mautomate.preview_template('d_deep', 'd_ann', '{"n": 3}') ->> 'body' as body;
\set VERBOSITY terse
select mautomate.preview_template('d_deep', 'd_ann', '{"n": 1000000}') ->> 'body' as body;

\set VERBOSITY default

-- what takes too long may be faster later; what is wrong stays wrong
create function d_shop.slow(text) returns int language sql stable
  as 'select count(*)::int from generate_series(1, 1000000) a, generate_series(1, 1000000) b';
create function d_shop.wrong(text) returns int language sql stable as 'select length($1) / 0';
create function d_shop.large(text) returns text language sql stable as $$ select repeat('x', 9000000) $$;
select mautomate.create_template('d_slow', 'd_log', body => '{{ x }}', transactional => true, data => '{"x": "d_shop.slow(text)"}');
select mautomate.create_template('d_wrong', 'd_log', body => '{{ x }}', transactional => true, data => '{"x": "d_shop.wrong(text)"}');
select mautomate.create_template('d_large', 'd_log', body => '{{ x }}{{ x }}', transactional => true, data => '{"x": "d_shop.large(text)"}');
select mautomate.set_clock('2030-01-01');
select mautomate.arm();
set mautomate.data_timeout = '300ms';
select count(mautomate.send('d_ann', t)) from unnest('{d_slow, d_wrong, d_x}'::text[]) t;
call mautomate.deliver();
create view d_became as
  select template, state, attempts, reason, due_at between '2030-01-01 00:00:48' and '2030-01-01 00:01:12' as in_a_minute
  from mautomate.messages where template like 'd\_%' order by message_id;
table d_became;
reset mautomate.data_timeout;
create or replace function d_shop.slow(text) returns int language sql stable as 'select 1';
select mautomate.send('d_ann', 'd_large') > 0;
select mautomate.set_clock('2030-01-01 00:01:13');
call mautomate.deliver();
table d_became;

-- what returns too much, by one value, by rows, by one that is stored compressed
create table d_shop.page as select repeat('x', 11000000) as text;
create function d_shop.one(text) returns text language sql stable as $$ select repeat('x', 11000000) $$;
create function d_shop.many(text) returns setof text language sql stable
  as $$ select repeat('x', 1000) from generate_series(1, 20000) $$;
create function d_shop.stored(text) returns setof d_shop.page language sql stable as 'table d_shop.page';
create function d_shop.file(text) returns bytea language sql stable as $$ select convert_to(repeat('x', 27000000), 'UTF8') $$;
create function d_shop.enough(text) returns setof text language sql stable as $$ select repeat('x', 1000) from generate_series(1, 10000) $$;
create function d_shop.none(text) returns setof text language sql stable as $$ select 'x' where false $$;
create function d_shop.nulls(text) returns setof text language sql stable as $$ values (null), ('x'), (null) $$;
create function d_shop.body(f text) returns jsonb language sql as $$
  select mautomate.create_template('d_much', 'd_log', body => '{{ x | size }}', transactional => true, data => jsonb_build_object('x', f));
  select mautomate.preview_template('d_much', 'd_ann') -> 'body' $$;
select d_shop.body('d_shop.one(text)');
select d_shop.body('d_shop.many(text)');
select d_shop.body('d_shop.stored(text)');
select d_shop.body('d_shop.enough(text)');
select d_shop.body('d_shop.none(text)');
select d_shop.body('d_shop.nulls(text)');
select mautomate.create_template('d_much', 'd_log', body => 'x', transactional => true,
  attachments => '[{"name": "a.txt", "type": "text/plain", "function": "d_shop.file(text)"}]');
select mautomate.preview_template('d_much', 'd_ann') -> 'body';

-- who is told to stop while a function runs puts back what is not sent, and
-- does not try the same one first the next time
create view d_left as
  select template, state, attempts, reason, due_at > mautomate.clock() as later
  from mautomate.messages order by message_id;
create or replace function d_shop.slow(text) returns int language sql stable
  as 'select count(*)::int from generate_series(1, 1000000) a, generate_series(1, 1000000) b';
select mautomate.create_channel('d_mail', 'smtp', '{"host": "127.0.0.1", "port": 1, "tls": "none", "from": "shop@example.com"}');
select mautomate.create_template('d_slow_mail', 'd_mail', subject => 's', body => '{{ x }}', transactional => true, data => '{"x": "d_shop.slow(text)"}');
select mautomate.create_template('d_mail', 'd_mail', subject => 's', body => 'x', transactional => true);
delete from mautomate_internal.message;
select count(mautomate.send('d_ann', t)) from unnest('{d_x, d_slow, d_x}'::text[]) t;
set statement_timeout = '1s';
call mautomate.deliver();
reset statement_timeout;
table d_left;
call mautomate.deliver();
select template, state, attempts from mautomate.messages where template = 'd_x' order by message_id;
delete from mautomate_internal.message;
delete from mautomate_internal.outbox;
select count(mautomate.send('d_ann', t)) from unnest('{d_mail, d_slow_mail, d_mail}'::text[]) t;
set statement_timeout = '1s';
call mautomate.deliver();
reset statement_timeout;
table d_left;
delete from mautomate_internal.outbox;
select mautomate.set_clock(null);
select mautomate.disarm();
delete from mautomate_internal.message;
drop view d_became, d_left, d_bought, d_said;
select count(mautomate.drop_template(t)) from unnest('{d_slow, d_wrong, d_large, d_much, d_x, d_mine, d_items, d_deep, d_mail, d_slow_mail}'::text[]) t;
select mautomate.drop_channel('d_log'), mautomate.drop_channel('d_mail');
set client_min_messages = warning;
drop schema d_shop cascade;
drop owned by d_author;
drop role d_author;
