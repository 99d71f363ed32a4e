-- A thousand lists that this kind does not concern.
select count(mautomate.create_list(format('other %s', n),
  format('count(''other %s'', within => ''90 days'') > %s', n % 10, n / 10)))
from generate_series(1, 1000) n;
