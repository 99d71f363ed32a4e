-- Contacts 1 to :contacts, and what they bought before: five times, one in
-- ten 11 to 20 times, so that the next ten purchases bring these into a list;
-- and 1,000 more 20 times, each about to enter it.
create function properties(n bigint) returns jsonb language sql immutable
return jsonb_build_object('amount', n * 7919 % 190 + 0.99,
  'channel', (array['web', 'shop', 'phone'])[n % 3 + 1],
  'category', (array['books', 'music', 'toys', 'shoes', 'food', 'garden',
    'tools', 'sport', 'baby', 'pets'])[n % 10 + 1], 'order', 'A-' || n);
create view contacts_to_be as
  select n, case when n > :contacts then 20 when n % 10 = 0 then 20 - n / 10 % 10
    else 5 end as bought
  from generate_series(1, :contacts + 1000) n;
select mautomate.arm();
insert into mautomate.contact (external_id) select 'c' || n from contacts_to_be;
insert into mautomate.event (contact_id, kind, occurred_at, properties)
select n, 'purchase', now() - interval '9 days' * (i + 2) - interval '1 second' * (n % 86400),
  properties(n + i)
from contacts_to_be, generate_series(1, bought) i order by i, n;
create view rows_to_come as
  select 1 + g % :contacts as contact_id, 'purchase' as kind, now() as occurred_at,
    properties(g) as properties
  from generate_series(0, :rows - 1) g;
vacuum analyze;
