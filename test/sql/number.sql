-- Numbers of every form are added and ordered as PostgreSQL does it itself.
set client_min_messages = warning;
create extension if not exists mautomate;
select mautomate.define_event('n_paid', '{"x": "numeric"}');
select mautomate.define_attribute('n_sum', 'numeric');
select mautomate.define_attribute('n_least', 'numeric');
select mautomate.define_attribute('n_most', 'numeric');
select mautomate.create_list('n_exact', $$
  sum('n_paid', 'x') = contact.n_sum and min('n_paid', 'x') = contact.n_least
  and max('n_paid', 'x') = contact.n_most $$);

-- digits of base 10,000 that carry, decimals that are 0, numbers below 0 and
-- 0, and of so many digits that they have another form
select setseed(0.5) is null as seeded;
create temp table n_number as
  select who, n, (case when random() < 0.3 then '-' else '' end
    || (select string_agg((array['0000', '9999', '0001', '1', '4711'])[1 + trunc(random() * 5)::int], '')
        from generate_series(0, trunc(random() * g)::int + who * 0 + n * 0))
    || (select coalesce('.' || string_agg((array['0000', '9999', '0001', '50', '7'])[1 + trunc(random() * 5)::int], ''), '')
        from generate_series(1, trunc(random() * d)::int + who * 0 + n * 0)))::numeric as x
  from generate_series(1, 400) who, generate_series(1, 2 + who % 4) n,
    lateral (select (array[1, 3, 8, 30])[1 + who % 4] as g, (array[0, 2, 6, 40])[1 + who / 4 % 4] as d) size;
insert into n_number values (401, 1, 1e200), (401, 2, 1e-200), (402, 1, 0), (402, 2, 0.00), (403, 1, 5), (403, 2, -5.0),
  (404, 1, 9999), (404, 2, 0.0001), (405, 1, 9999.9999), (405, 2, 0.0001), (406, 1, 1e255), (406, 2, 9e255);
select count(distinct x) > 900 as many, min(scale(x)), max(scale(x)) > 60 as decimals, max(length(x::text)) > 200 as long
  from n_number;
select count(mautomate.identify('n_' || who, attributes => jsonb_build_object(
    'n_sum', sum, 'n_least', least, 'n_most', most))) as contacts
  from (select who, sum(x) as sum, min(x) as least, max(x) as most from n_number group by who) as facts;
-- one by one: each is added to what is stored
select count(mautomate.track('n_' || who, 'n_paid', jsonb_build_object('x', x))) = (select count(*) from n_number) as tracked
  from n_number;
select count(*) as exact from mautomate.list_members where list = 'n_exact';
select distinct who from n_number
  where not exists (select from mautomate.list_members where list = 'n_exact' and external_id = 'n_' || who) order by 1;
-- the sum has the decimals of PostgreSQL's, too
select count(*) as other_decimals
  from (select who, sum(x)::text as sum from n_number group by who) as facts
  where not exists (select from mautomate.explain_list('n_exact', 'n_' || who) as e where e.value::text like '%' || sum || '%');

select mautomate.drop_list('n_exact');
delete from mautomate.contact where external_id like 'n\_%';
