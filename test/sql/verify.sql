-- verify(): everybody and everything at once, and exact all the same.
set client_min_messages = warning;
create extension if not exists mautomate;
set timezone = 'UTC';
select mautomate.set_clock('2030-01-01 00:00+00');
create view pg_temp.wrong as
  select * from mautomate.verify()
  where object ~ '"v[ "]' and coalesce(external_id, 'v_') like 'v\_%';
select mautomate.identify('v_' || i) is not null from generate_series(1, 3) i;
insert into mautomate.event (contact_id, kind, occurred_at, properties)
  select c.contact_id, 'v_buy', mautomate.clock() - n * interval '1 day',
         jsonb_build_object('amount', n, 'n', n % 7)
  from mautomate.contact c, generate_series(1, 9) n
  where c.external_id in ('v_1', 'v_2');

-- the same signals in many definitions, none, those of the contact, by hand
select mautomate.create_list('v ' || i, format($$ count('v_buy') >= %s and
    sum('v_buy', 'amount', within => '5 days 1 second') > %s $$, i, i))
  from generate_series(1, 5) i;
select mautomate.create_list('v none', $$ never('v_buy') and contact.email is null $$);
select mautomate.create_list('v of', $$ in_list('v 1') or in_list('v none') $$);
select mautomate.remove_from_list('v 2', 'v_1');
select mautomate.add_to_list('v 3', 'v_3');
select mautomate.create_score('v');
select mautomate.create_score_rule('v', 'a', points => 2, event => 'v_buy');
select mautomate.create_score_rule('v', 'b', points => 0.1, condition => $$ in_list('v none') $$);
select from mautomate.run();
select list, string_agg(external_id, ' ' order by external_id) from mautomate.list_members
  where list ~ '^v ' group by list order by list;
select * from pg_temp.wrong;

-- what is wrong is told by object, then by contact, and mended
set session_replication_role = replica;
delete from mautomate_internal.list_member m using mautomate_internal.list l
  where l.list_id = m.list_id and l.name in ('v 1', 'v 4');
insert into mautomate_internal.list_member (list_id, contact_id, since, by)
  select l.list_id, c.contact_id, mautomate.clock(), 'rule'
  from mautomate_internal.list l, mautomate.contact c
  where l.name = 'v none' and c.external_id = 'v_2';
delete from mautomate.event e using mautomate.contact c
  where c.contact_id = e.contact_id and c.external_id = 'v_1' and e.kind = 'v_buy'
    and e.occurred_at < mautomate.clock() - interval '8 days';
set session_replication_role = default;
select * from pg_temp.wrong;
select object, external_id, stored, expected from mautomate.verify(repair => true)
  where object = 'list "v 4"';
select * from pg_temp.wrong;

-- what a state answers is compared before a list is wrong by it, null too
create view pg_temp.signals as
  select object, external_id, stored, expected from mautomate.verify() where object ~ 'v_s';
select mautomate.create_list('v signals', $$ count('v_s', within => '30 days') > 9
    or count('v_s') > 90 or sum('v_s', 'amount') > 99 or avg('v_s', 'amount', within => '1 month') > 99
    or count_distinct('v_s', 'what') > 9 or last_value('v_s', 'what') = 'none'
    or min('v_s', 'amount') filter (where event.what = 'b') > 99
    or first_at('v_s', within => '5 days') < '2000-01-01' or last_at('v_s') < '2000-01-01' $$);
select mautomate.create_list('v signals too', $$ count('v_s', within => '30 days') > 5 $$);
select from mautomate.run();
insert into mautomate.event (contact_id, kind, occurred_at, properties)
  select c.contact_id, 'v_s', mautomate.clock() - n * interval '1 day',
         jsonb_build_object('amount', n + 0.50, 'what', chr(97 + n % 3))
  from mautomate.contact c, generate_series(1, 4) n
  where c.external_id in ('v_1', 'v_2', 'v_3');
select * from pg_temp.signals;
set session_replication_role = replica;
delete from mautomate.event e using mautomate.contact c
  where c.contact_id = e.contact_id and c.external_id = 'v_1' and e.kind = 'v_s'
    and e.properties ->> 'what' = 'b';
insert into mautomate.event (contact_id, kind, occurred_at, properties)
  select contact_id, 'v_s', mautomate.clock() - interval '2 days', '{"amount": 2.5}'
  from mautomate.contact where external_id = 'v_2';
set session_replication_role = default;
select * from pg_temp.signals;
select * from pg_temp.wrong;
-- time takes events out of windows on both sides
select mautomate.set_clock('2030-01-29 12:00+00');
select from mautomate.run();
select * from pg_temp.signals where object ~ 'within';
select count(*) from mautomate.verify(repair => true) where object ~ 'v_s';
select * from pg_temp.signals;
-- a count is compared as far as the state keeps it
insert into mautomate.event (contact_id, kind, occurred_at)
  select contact_id, 'v_s', mautomate.clock() - n * interval '1 minute'
  from mautomate.contact, generate_series(1, 40) n where external_id = 'v_3';
select * from pg_temp.signals;
select mautomate.drop_list(name) from mautomate.lists where name ~ '^v signals' order by name;

-- more signals than one query reads
select mautomate.create_list('v wide', string_agg(format(
    $$ count('v_buy') filter (where event.n = %s) > 1 $$, n), 'or'))
  from generate_series(0, 519) n;
select mautomate.create_list('v wide too', string_agg(format(
    $$ count('v_buy') filter (where event.amount = %s) > 0 $$, n), 'or'))
  from generate_series(9, 529) n;
select from mautomate.run();
select list, string_agg(external_id, ' ' order by external_id) from mautomate.list_members
  where list ~ '^v wide' group by list order by list;
select * from pg_temp.wrong;
set session_replication_role = replica;
delete from mautomate_internal.list_member m using mautomate_internal.list l
  where l.list_id = m.list_id and l.name in ('v wide', 'v wide too');
set session_replication_role = default;
select * from pg_temp.wrong;
select count(*) from mautomate.verify(repair => true);
select mautomate.drop_list(name) from mautomate.lists where name ~ '^v wide' order by name;

-- a filter that fails for somebody, and a predicate that does
select mautomate.create_list('v filter', $$ count('v_buy') filter (where 8 / (event.n::numeric - 1) > 3) > 0 $$);
select mautomate.create_list('v fails', $$ 8 / (count('v_buy') - 9) > 3 $$);
select from mautomate.run();
select object, external_id, stored, left(expected, 40) as expected from pg_temp.wrong;
select mautomate.drop_list(name) from mautomate.lists where name in ('v filter', 'v fails') order by name;

-- what a signal keeps is compared where its filter raises nothing, though it does for somebody far away or near by
select count(mautomate.identify('v_f' || n)) from generate_series(1, 700) n;
select mautomate.create_list('v raises', $$ count('v_f') filter (where 8 / event.n::int > 3) > 5 $$);
insert into mautomate.event (contact_id, kind, properties) select contact_id, 'v_f', '{"n": 1}' from mautomate.contact where external_id ~ '^v_f';
select from mautomate.run();
set session_replication_role = replica;
insert into mautomate.event (contact_id, kind, properties) select contact_id, 'v_f', '{"n": 2}'
  from mautomate.contact where external_id in ('v_f5', 'v_f350', 'v_f700');
set session_replication_role = default;
select * from mautomate.verify() where object ~ 'v_f';
select mautomate.track('v_f700', 'v_f', '{"n": 0}') > 0 as tracked;
select * from mautomate.verify() where object ~ 'v_f|v raises';
select count(*) from mautomate.verify(repair => true) where object ~ 'v_f';
select * from mautomate.verify() where object ~ 'v_f';
select mautomate.drop_list('v raises');

-- of a list that is not ready yet nothing is known
select mautomate.create_list('v later', $$ count('v_buy') > 2 $$, wait => false);
select * from pg_temp.wrong where object ~ 'later';
select from mautomate.run();
select from mautomate.run();
select name, state from mautomate.lists where name ~ '^v later';
select * from pg_temp.wrong;
select mautomate.drop_score('v');
select mautomate.drop_list('v of');
select mautomate.drop_list(name) from mautomate.lists where name ~ '^v ' order by name;
select mautomate.set_clock(null);
