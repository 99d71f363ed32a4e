-- The setting of issue 3: lists over ten signals and twenty score rules, all
-- on one kind of event. :lists is their number, an equal part of each signal.
-- Constants are such that about one event in a hundred changes a membership.
create extension mautomate;
select mautomate.define_event('purchase',
  '{"amount": "numeric", "channel": "text", "category": "text"}');
select count(mautomate.create_list(format('list %s', n),
  format(s.text, s.least + s.step * (1 + n / 10))))
from generate_series(0, :lists - 1) n
join (values
  (0, 'count(''purchase'') > %s', 0, 20),
  (1, 'count(''purchase'', within => ''30 days'') >= %s', 10, 20),
  (2, 'count(''purchase'', within => ''90 days'') >= %s', 10, 20),
  (3, 'count(''purchase'', within => ''365 days'') > %s', 10, 20),
  (4, 'count(''purchase'') filter (where event.amount >= 100) > %s', 10, 20),
  (5, 'count(''purchase'', within => ''180 days'')'
      ' filter (where event.channel = ''web'') > %s', 10, 20),
  (6, 'count(''purchase'') filter (where event.category = ''books'') > %s', 10, 20),
  (7, 'sum(''purchase'', ''amount'') >= %s', 3000, 6000),
  (8, 'max(''purchase'', ''amount'') >= %s', 200, 100),
  (9, 'elapsed(''purchase'') > ''%s days''', 730, 10)
) as s (i, text, least, step) on s.i = n % 10;
select mautomate.create_score('engagement');
select count(mautomate.create_score_rule('engagement', format('rule %s', n),
  points => n, event => 'purchase',
  condition => case when n <= 10 then format('event.amount >= %s', n * 18)
    else format('event.category = %L',
      (array['books', 'music', 'toys', 'shoes', 'food', 'garden', 'tools',
        'sport', 'baby', 'pets'])[n - 10]) end))
from generate_series(1, 20) n;
