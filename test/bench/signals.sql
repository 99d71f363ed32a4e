-- :lists lists, each over a signal of its own: windows and filters in turn.
create extension mautomate;
select mautomate.define_event('purchase',
  '{"amount": "numeric", "channel": "text", "category": "text"}');
select count(mautomate.create_list(format('list %s', n), case n % 2
  when 0 then format('count(''purchase'', within => ''%s days'') > 40', 9 + n)
  else format('count(''purchase'') filter (where event.amount > %s) > 40', 2 * n)
  end))
from generate_series(1, :lists) n;
