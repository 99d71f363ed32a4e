-- Predicates: what they may say, and what is refused with its position.
set client_min_messages = warning;
drop extension if exists mautomate cascade;
create extension mautomate;
select mautomate.define_attribute('p_born', 'date');
select mautomate.define_attribute('p_limit', 'numeric');
select mautomate.define_event('p_order', '{"amount": "numeric", "paid_at": "timestamptz"}');

-- compiles a predicate and forgets it again
create function pg_temp.try(predicate text) returns text language plpgsql as $$


begin
  perform mautomate.create_list('p_try', predicate);
  perform mautomate.drop_list('p_try');
  return 'ok';
exception when others then
  return sqlstate || ' ' || sqlerrm;
end $$;

-- the language
select t, pg_temp.try(t) from unnest(array[
  $$count('p_order') > 3$$,
  $$3 < count('p_order')$$,
  $$count('p_order', within => '365 days') between 2 and 5$$,
  $$count('p_order', within => interval '6 months') = 0$$,
  $$count('p_order') filter (where event.amount > 10 and event.coupon = 'X') >= 1$$,
  $$sum('p_order', 'amount', within => '90 days') >= 500.50$$,
  $$avg('p_order', 'amount') > 2 * contact.p_limit$$,
  $$min('p_order', 'amount') < 0 or max('p_order', 'amount') is null$$,
  $$first_at('p_order') < '2020-01-01' and last_at('p_order') > now() - interval '7 days'$$,
  $$ever('p_order', within => '6 months') and not never('p_order')$$,
  $$elapsed('p_order') > '60 days' and elapsed(contact.p_born) >= interval '18 years'$$,
  $$remaining(contact.p_renewal) < '30 days'$$,
  $$contact.p_born < now()$$,
  $$contact.country in ('FR', 'DE') and contact.email like '%@example.com'$$,
  $$coalesce(contact.p_limit, 0) + 1 > 2$$,
  $$case when contact.vip then true else contact.p_limit > 3 end$$,
  $$contact.p_born = '1990-02-28' or contact.stage is distinct from 'lead'$$,
  $$lower(contact.last_name) = 'o''hara'$$,
  $$extract(year from contact.p_born) = 1990$$,
  $$contact.address.city = 'Paris'$$]) t;

-- refused
select t, pg_temp.try(t) from unnest(array[
  '',
  'count(''p_order'' > 3',
  'contact.p_limit + 1',
  'contact.p_limit > (select 1)',
  'exists (select from pg_class)',
  'contact.country in (select ''FR'')',
  'true from pg_class',
  'true; drop table mautomate.contact',
  'true union select true',
  'true order by 1',
  'true for update',
  'with a as (select 1) select true',
  'true as b',
  'true, true',
  '*',
  'sum(contact.p_limit) > 1',
  'max(contact.p_limit) > 1',
  'bool_and(contact.vip)',
  'row_number() over () = 1',
  'generate_series(1, 3) > 1',
  'random() < 0.5',
  'clock_timestamp() > contact.p_born',
  'pg_reload_conf()',
  'set_config(''role'', ''x'', false) = ''x''',
  'current_user = ''postgres''',
  'pg_advisory_lock(1) is null',
  'mautomate.clock() > contact.p_born',
  'nextval(''x'') > 1',
  'contact.p_limit operator(public.+) 1 > 2',
  'contact.p_limit::public.thing is null',
  '$1 = 1',
  'nobody > 3',
  'shop.orders > 3',
  'event.amount > 3',
  'entry.amount > 3',
  'count(''p_order'', within => ''-1 day'') > 1',
  'count(''p_order'', within => ''soon'') > 1',
  'count(''p_order'', ''amount'') > 1',
  'count(contact.p_limit) > 1',
  'count(distinct ''p_order'') > 1',
  'sum(''p_order'') > 1',
  'count(''p_order'') filter (where contact.p_limit > 1) > 1',
  'count(''p_order'') filter (where count(''p_order'') > 1) > 1',
  'elapsed(''p_order'')',
  'elapsed(''p_order'') = ''1 day''',
  'elapsed(contact.country) > ''1 day''',
  'elapsed(''p_order'') between ''1 day'' and ''2 days''',
  'in_list(''p_nowhere'')',
  'score(''p_nowhere'') > 1',
  'contact.p_limit > now()',
  '1 / 0 > 1',
  'repeat(''x'', 2000000000) = ''x''']) t;
select pg_temp.try(repeat('(', 20000) || 'true' || repeat(')', 20000)) like '5%' as deep,
       pg_temp.try('true' || repeat(' and true', 10000)) like '5%' as long;

-- what the session has set does not matter
create function public.p_planted(numeric, numeric) returns boolean
  language sql immutable as 'select true';
create operator public.> (leftarg = numeric, rightarg = numeric, function = public.p_planted);
set search_path = public, pg_catalog;
set datestyle = 'German, DMY';
set timezone = 'Asia/Tokyo';
select mautomate.identify('p_ann', attributes => '{"p_limit": 5, "p_born": "1990-03-04"}') is not null;
select mautomate.create_list('p_planted', 'contact.p_limit > 7 or contact.p_born = ''1990-04-03''');
select members from mautomate.lists where name = 'p_planted';
select mautomate.drop_list('p_planted');
reset search_path;
reset datestyle;
reset timezone;
drop operator public.> (numeric, numeric);
drop function public.p_planted;

-- values that do not convert are null, and null is not true
select mautomate.create_list('p_null', 'contact.p_limit > 3');
select mautomate.create_list('p_not_null', 'not contact.p_limit > 3');
select mautomate.create_list('p_unknown', '(contact.p_limit > 3) is null');
update mautomate.contact set attributes = attributes || '{"p_limit": "many"}' where external_id = 'p_ann';
select list from mautomate.list_members where external_id = 'p_ann' order by 1;
update mautomate.contact set attributes = attributes || '{"p_limit": "4.0"}' where external_id = 'p_ann';
select list from mautomate.list_members where external_id = 'p_ann' order by 1;
select mautomate.drop_list(name) from mautomate.lists where name like 'p\_%';
delete from mautomate.contact where external_id = 'p_ann';

-- notices for what was never seen, with the nearest name
reset client_min_messages;
select mautomate.create_list('p_try', 'count(''p_oder'') > 1 and contact.p_limits > 3');
select mautomate.drop_list('p_try');
