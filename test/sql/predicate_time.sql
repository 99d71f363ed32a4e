-- Predicates about time: fixed periods, and every way to compare with now().
set client_min_messages = warning;
drop extension if exists mautomate cascade;
create extension mautomate;
set timezone = 'UTC';
set datestyle = 'ISO';
select mautomate.set_clock('2026-01-01 12:00+00');
select mautomate.define_attribute('t_renewal', 'timestamptz');
select mautomate.define_attribute('t_born', 'date');

-- who is in which list, by name
create view pg_temp.members as
  select list, string_agg(external_id, ' ' order by external_id) as members
  from mautomate.list_members group by list;

-- fixed periods: a date is the whole day, a time an instant; until excludes it
select mautomate.track('t_ann', 'order', '{"amount": 5}', at) is not null as stored
from unnest(array['2025-12-31 23:59:59.999999+00', '2026-01-01 00:00+00', '2026-06-01 00:00+00',
                  '2026-12-31 23:59:59.999999+00', '2027-01-01 00:00+00']::timestamptz[]) at;
select mautomate.create_list('t_since', $$count('order', since => '2026-01-01') = 4$$),
       mautomate.create_list('t_until', $$count('order', until => '2026-12-31') = 4$$),
       mautomate.create_list('t_year', $$count('order', since => '2026-01-01', until => '2026-12-31') = 3$$),
       mautomate.create_list('t_instant', $$count('order', until => '2026-06-01 00:00') = 2$$),
       mautomate.create_list('t_sum', $$sum('order', 'amount', since => '2026-01-01', until => '2026-12-31') filter (where event.amount > 1) = 15$$),
       mautomate.create_list('t_first', $$first_at('order', since => '2026-01-02') = '2026-06-01'$$),
       mautomate.create_list('t_last', $$last_at('order', until => '2026-01-01') = '2026-01-01'$$),
       mautomate.create_list('t_none', $$never('order', since => '2028-01-01')$$),
       mautomate.create_list('t_both', $$count('order', within => '1 day', since => '2026-01-01', until => '2026-01-01') = 1$$),
       mautomate.create_list('t_elapsed', $$elapsed('order', until => '2026-01-01') > '11 hours'$$);
select * from pg_temp.members;
select condition, value, holds from mautomate.explain_list('t_year', 't_ann');
-- later events fold the same way
select mautomate.track('t_ann', 'order', '{"amount": 5}', '2026-03-01') is not null as stored;
select * from pg_temp.members;
delete from mautomate.event where kind = 'order' and occurred_at = '2026-03-01';
select * from pg_temp.members;
select * from mautomate.verify();
select mautomate.drop_list(list) from pg_temp.members;

-- every way to compare with now()
select mautomate.identify('t_ann', attributes => '{"t_renewal": "2026-02-01T12:00:00Z", "t_born": "2008-02-01"}') is not null;
select mautomate.create_list(name, predicate) from (values
  ('t_a1', $$contact.t_renewal > now()$$),
  ('t_a2', $$now() < contact.t_renewal$$),
  ('t_a3', $$contact.t_renewal > current_timestamp$$),
  ('t_b1', $$contact.t_renewal < now() + interval '7 days'$$),
  ('t_b2', $$now() + '7 days' > contact.t_renewal$$),
  ('t_b3', $$contact.t_renewal - now() < '7 days'$$),
  ('t_b4', $$interval '7 days' > contact.t_renewal - now()$$),
  ('t_b5', $$now() - contact.t_renewal > '-7 days'$$),
  ('t_b6', $$contact.t_renewal - interval '7 days' < now()$$),
  ('t_b7', $$remaining(contact.t_renewal) < '7 days'$$),
  ('t_c1', $$now() - contact.t_renewal > '3 days'$$),
  ('t_c2', $$now() > contact.t_renewal + interval '3 days'$$),
  ('t_c3', $$contact.t_renewal + interval '3 days' < now()$$),
  ('t_c4', $$contact.t_renewal < now() - interval '3 days'$$),
  ('t_c5', $$elapsed(contact.t_renewal) > '3 days'$$),
  ('t_d1', $$contact.t_renewal between now() - interval '2 days' and now() + interval '2 days'$$),
  ('t_d2', $$contact.t_renewal not between now() - interval '2 days' and now() + interval '2 days'$$),
  ('t_d3', $$elapsed(contact.t_renewal) between '1 day' and '2 days'$$),
  ('t_e1', $$now() >= '2026-02-01 12:00'$$),
  ('t_e2', $$now() between '2026-02-01' and '2026-02-03'$$),
  ('t_e3', $$now() >= timestamptz '2026-02-01 12:00+00'$$),
  ('t_f1', $$elapsed(contact.t_born) >= '18 years'$$),
  ('t_f2', $$contact.t_born <= now() - interval '18 years'$$),
  ('t_f3', $$contact.t_born::timestamptz + interval '18 years' <= now()$$)) l (name, predicate);
create function pg_temp.lists_at(at timestamptz) returns text language plpgsql as $$
begin
  perform mautomate.set_clock(at);
  perform mautomate.run();
  return (select string_agg(substr(list, 3), ' ' order by list) from mautomate.list_members);
end $$;
select at, pg_temp.lists_at(at)
from unnest(array['2026-01-25 11:59:59.999999+00', '2026-01-25 12:00+00', '2026-01-25 12:00:00.000001+00',
                  '2026-01-31 23:59:59.999999+00', '2026-02-01 00:00+00',
                  '2026-02-01 11:59:59.999999+00', '2026-02-01 12:00+00', '2026-02-01 12:00:00.000001+00',
                  '2026-02-02 12:00+00', '2026-02-03 00:00+00', '2026-02-03 12:00+00', '2026-02-03 12:00:00.000001+00',
                  '2026-02-04 12:00+00', '2026-02-04 12:00:00.000001+00']::timestamptz[]) at;
select * from mautomate.verify();
select mautomate.drop_list(name) from mautomate.lists where name like 't\_%';

-- elapsed since the first
select mautomate.set_clock('2026-01-01 12:00+00');
select mautomate.create_list('t_g1', $$elapsed(first_at('order')) > '1 year'$$),
       mautomate.create_list('t_g2', $$elapsed(first_at('order', since => '2026-01-01')) > '1 year' or never('order')$$),
       mautomate.create_list('t_g3', $$first_at('order') < now() - interval '1 year'$$),
       mautomate.create_list('t_g4', $$now() - last_at('order') > '1 year'$$);
select at, pg_temp.lists_at(at)
from unnest(array['2026-12-31 23:59:59.999999+00', '2027-01-01 00:00+00', '2027-01-01 00:00:00.000001+00',
                  '2028-01-01 00:00+00', '2028-01-01 00:00:00.000001+00']::timestamptz[]) at;
select * from mautomate.verify();
select mautomate.drop_list(name) from mautomate.lists where name like 't\_%';

-- refused, with what to write instead
\set VERBOSITY default
\set SHOW_CONTEXT never
select mautomate.create_list('t_try', $$count('order', since => 'today') > 1$$);
select mautomate.create_list('t_try', $$count('order', since => 'infinity') > 1$$);
select mautomate.create_list('t_try', $$count('order', since => '2026-02-01', until => '2026-01-01') > 1$$);
select mautomate.create_list('t_try', $$count('order', since => now()) > 1$$);
select mautomate.create_list('t_try', $$count('order', after => '2026-01-01') > 1$$);
select mautomate.create_list('t_try', $$contact.t_renewal = now()$$);
select mautomate.create_list('t_try', $$contact.t_renewal + contact.t_born > now()$$);
select mautomate.create_list('t_try', $$now() - interval '1 day' > contact.t_renewal + interval '1 month'$$);
select mautomate.create_list('t_try', $$now() > now()$$);
select mautomate.create_list('t_try', $$now() > 'today'$$);
select mautomate.create_list('t_try', $$contact.t_renewal is distinct from now()$$);
select mautomate.create_list('t_try', $$extract(hour from now()) > 9$$);
select mautomate.create_list('t_try', $$elapsed(contact.email) > '1 day'$$);
select mautomate.create_list('t_try', $$contact.t_born > 'yesterday'$$);
select mautomate.create_list('t_try', $$contact.t_born = date 'NOW'$$);
select mautomate.create_list('t_try', $$count('order') filter (where event.occurred_at > 'tomorrow'::timestamptz) > 1$$);
-- a word that is only a word
select mautomate.create_list('t_try', $$contact.answer = 'today'$$);
select mautomate.drop_list('t_try');

-- a span of which a month is taken away: a later event ends it at once
select mautomate.set_clock('2030-01-01 01:00+00');
select mautomate.create_list('t_less', $$elapsed('less') > '-1 mon 31 days'$$);
select mautomate.identify('t_less') > 0 as made;
select mautomate.track('t_less', 'less', occurred_at => '2030-01-01 00:00+00') > 0 as tracked;
select count(*) from mautomate.list_members where list = 't_less';
select mautomate.track('t_less', 'less', occurred_at => '2030-01-10 00:00+00') > 0 as tracked;
select count(*) from mautomate.list_members where list = 't_less';
select mautomate.set_clock(null);
drop extension mautomate cascade;
