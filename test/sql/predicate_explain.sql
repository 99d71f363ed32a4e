-- explain_list names the events that decided, by the log.
set client_min_messages = warning;
drop extension if exists mautomate cascade;
create extension mautomate;
set timezone = 'Asia/Tokyo';
set datestyle = 'German';
select mautomate.set_clock('2026-03-01 00:00+00');
select mautomate.track('e_ann', 'e_order', jsonb_build_object('amount', n * 10, 'sku', n % 3),
                       timestamptz '2026-02-01 00:00+00' + n * interval '1 day') is not null as stored
from generate_series(1, 5) n;
select mautomate.identify('e_bob') is not null;
select mautomate.create_list('e_all', $$
  count('e_order') >= 2 and count('e_order', within => '27 days') >= 2 and ever('e_order') filter (where event.amount > 30)
  and sum('e_order', 'amount') > 100 and min('e_order', 'amount') < 20 and max('e_order', 'amount') > 20
  and first_at('e_order') > '2026-01-01' and elapsed('e_order') < '30 days'
  and count_distinct('e_order', 'sku', within => '1 year') >= 2 and last_value('e_order', 'sku') = 2
  and never('e_refund') and contact.email is null and anniversary(first_at('e_order')) is not null
  and count('e_order') filter (where 10 / (event.amount - 50) < 1) > 3
$$);
\x on
select condition, value, holds, until at time zone 'UTC' as until, because from mautomate.explain_list('e_all', 'e_ann');
select value, holds, because from mautomate.explain_list('e_all', 'e_bob') limit 3;
\x off
-- conditions are shown as they are written
select mautomate.create_list('e_text', $$
  not (contact."and" between 1 and 2 + 1 or was(contact.country, 'FR') /* or */ or not contact.vip = true)
  and ((count('e_buy') filter (where event.amount > 0 and event.and = 'or') = 0)) and not (contact.country = ' and ' and true)
  and case when contact.country = 'FR' and true then ever('e_buy') or true else contact."case" in (1, 2) end
  and contact.a.end is null and contact.country not in ('a', $q$ or $q$) is not false
  -- the last
  and not not U&'d!0061' uescape '!' = 'da' and (contact.age between symmetric 2 and 1) is null $$);
select condition, holds from mautomate.explain_list('e_text', 'e_ann');
select mautomate.set_clock(null);
drop extension mautomate cascade;
