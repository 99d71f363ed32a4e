-- Predicates about what a contact is: tags, stage, anniversaries in its zone.
set client_min_messages = warning;
drop extension if exists mautomate cascade;
create extension mautomate;
set timezone = 'UTC';
set datestyle = 'ISO';
select mautomate.arm();
select mautomate.set_clock('2026-01-01 12:00+00');
create view pg_temp.members as
  select list, string_agg(external_id, ' ' order by external_id) as members
  from mautomate.list_members group by list order by list;
create function pg_temp.members_at(at timestamptz) returns text language plpgsql as $$
begin
  perform mautomate.set_clock(at);
  perform mautomate.run();
  return (select string_agg(external_id, ' ' order by external_id)
          from mautomate.list_members where list = 'c_day');
end $$;

-- tags: true or false, never null
select mautomate.identify('c_ann') is not null, mautomate.identify('c_bob') is not null,
       mautomate.identify('c_cid') is not null;
update mautomate.contact set attributes = '{"tags": "vip"}' where external_id = 'c_cid';
select mautomate.create_list('c_vip', $$has_tag('vip')$$),
       mautomate.create_list('c_plain', $$not has_tag('vip') and contact.tags is null$$),
       mautomate.create_list('c_odd', $$has_tag('o''hara "x"')$$);
select * from pg_temp.members;
select mautomate.tag('c_ann', 'vip'), mautomate.tag('c_bob', 'o''hara "x"');
select * from pg_temp.members;
select condition, value, holds, because from mautomate.explain_list('c_vip', 'c_ann');
select mautomate.untag('c_ann', 'vip'), mautomate.tag('c_bob', 'vip');
select * from pg_temp.members;
select * from mautomate.verify();

-- stage, and what a stage leads to
select mautomate.create_list('c_lead', $$contact.stage = 'lead'$$),
       mautomate.create_list('c_won', $$contact.stage = 'customer' and ever('stage_changed') filter (where event.previous = 'lead')$$);
select mautomate.identify('c_ann', attributes => '{"stage": "lead"}') is not null;
select * from pg_temp.members where list in ('c_lead', 'c_won');
select mautomate.identify('c_ann', attributes => '{"stage": "customer"}') is not null;
select * from pg_temp.members where list in ('c_lead', 'c_won');
select * from mautomate.verify();
select mautomate.drop_list(name) from mautomate.lists where name like 'c\_%';

-- anniversaries: the local day, to the microsecond
select mautomate.define_attribute('c_born', 'date');
select mautomate.identify('c_ann', attributes => '{"c_born": "1990-06-15", "timezone": "Asia/Tokyo"}') is not null,
       mautomate.identify('c_bob', attributes => '{"c_born": "1991-06-15", "timezone": "America/New_York"}') is not null,
       mautomate.identify('c_cid', attributes => '{"c_born": "2030-06-15"}') is not null,
       mautomate.identify('c_dan') is not null;
update mautomate.contact set attributes = '{"c_born": "soon"}' where external_id = 'c_dan';
select mautomate.create_list('c_day', $$anniversary(contact.c_born)$$),
       mautomate.create_list('c_no_day', $$not anniversary(contact.c_born)$$),
       mautomate.create_list('c_unknown', $$anniversary(contact.c_born) is null$$);
select at, pg_temp.members_at(at)
from unnest(array['2026-06-14 14:59:59.999999+00', '2026-06-14 15:00+00',
                  '2026-06-14 23:59:59.999999+00', '2026-06-15 00:00+00',
                  '2026-06-15 03:59:59.999999+00', '2026-06-15 04:00+00',
                  '2026-06-15 14:59:59.999999+00', '2026-06-15 15:00+00',
                  '2026-06-15 23:59:59.999999+00', '2026-06-16 00:00+00',
                  '2026-06-16 03:59:59.999999+00', '2026-06-16 04:00+00',
                  '2027-06-14 14:59:59.999999+00', '2027-06-14 15:00+00']::timestamptz[]) at;
select * from pg_temp.members;
select condition, value, holds, until from mautomate.explain_list('c_day', 'c_bob');
select * from mautomate.verify();
-- who moves has the day there
select mautomate.identify('c_ann', attributes => '{"timezone": "Pacific/Honolulu"}') is not null;
select * from pg_temp.members where list = 'c_day';
select * from mautomate.verify();
select mautomate.drop_list(name) from mautomate.lists where name like 'c\_%';

-- 29 February is 28 February in common years; the day that a summer time begins at midnight
select mautomate.identify('c_ann', attributes => '{"c_born": "2000-02-29", "timezone": "UTC"}') is not null,
       mautomate.identify('c_bob', attributes => '{"c_born": "2000-02-28", "timezone": "UTC"}') is not null,
       mautomate.identify('c_cid', attributes => '{"c_born": "2000-10-15", "timezone": "America/Sao_Paulo"}') is not null,
       mautomate.identify('c_dan', attributes => '{"c_born": "2000-12-30", "timezone": "Pacific/Apia"}') is not null;
select mautomate.set_clock('2011-01-01 12:00+00');
select mautomate.create_list('c_day', $$anniversary(contact.c_born)$$);
select at, pg_temp.members_at(at)
from unnest(array['2011-02-27 23:59:59.999999+00', '2011-02-28 00:00+00', '2011-03-01 00:00+00',
                  '2011-12-30 09:59:59.999999+00', '2011-12-30 10:00+00',
                  '2012-02-28 00:00+00', '2012-02-29 00:00+00', '2012-03-01 00:00+00',
                  '2012-12-29 09:59:59.999999+00', '2012-12-29 10:00+00', '2012-12-30 10:00+00',
                  '2017-10-15 02:59:59.999999+00', '2017-10-15 03:00+00',
                  '2017-10-16 01:59:59.999999+00', '2017-10-16 02:00+00']::timestamptz[]) at;
select * from mautomate.verify();
select mautomate.drop_list('c_day');

-- of a time: the day it was where the contact is; of the history too
select mautomate.set_clock('2026-01-01 12:00+00');
select mautomate.identify('c_ann', attributes => '{"timezone": "Asia/Tokyo"}') is not null;
select mautomate.track('c_ann', 'order', occurred_at => '2020-05-31 15:00+00') is not null;
select mautomate.create_list('c_day', $$anniversary(first_at('order'))$$);
select at, pg_temp.members_at(at)
from unnest(array['2026-05-31 14:59:59.999999+00', '2026-05-31 15:00+00', '2026-06-01 15:00+00']::timestamptz[]) at;
select * from mautomate.verify();
select mautomate.drop_list('c_day');

-- refused
\set VERBOSITY default
\set SHOW_CONTEXT never
select mautomate.create_list('c_try', $$anniversary(contact.email)$$);
select mautomate.create_list('c_try', $$anniversary('order')$$);
select mautomate.create_list('c_try', $$anniversary(contact.c_born, 1)$$);
select mautomate.create_list('c_try', $$has_tag(contact.email)$$);
select mautomate.create_list('c_try', $$has_tag('a', 'b')$$);
select mautomate.create_list('c_try', $$count('order') filter (where has_tag('a')) > 1$$);
select mautomate.set_clock(null);
drop extension mautomate cascade;
