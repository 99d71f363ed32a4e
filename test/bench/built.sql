-- :contacts contacts with ten events each in 600 days, most with fewer, some
-- with many more; seven in ten are purchases.
create extension mautomate;
create table members (contact_id bigint primary key, since timestamptz);
select mautomate.arm();
insert into mautomate.contact (external_id) select 'c' || n from generate_series(1, :contacts) n;
alter table mautomate.event disable trigger user;
insert into mautomate.event (contact_id, kind, occurred_at, properties)
select 1 + floor(:contacts * random() ^ 2), case when n % 10 < 7 then 'purchase' else 'page_view' end,
  now() - (1 - n / (10.0 * :contacts)) * interval '600 days',
  '{"amount": 120.99, "channel": "web", "category": "books", "order": "A-100017"}'
from generate_series(1, 10 * :contacts) n;
alter table mautomate.event enable trigger user;
vacuum analyze;
