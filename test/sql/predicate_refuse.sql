-- What is refused says where it is and what to write instead.
set client_min_messages = warning;
drop extension if exists mautomate cascade;
create extension mautomate;
set timezone = 'UTC';
set datestyle = 'ISO';
select mautomate.create_list('r_loyal', 'ever(''buy'')'), mautomate.create_score('r_points'),
       mautomate.create_score_tier('r_points', 'cold', 0), mautomate.create_score_tier('r_points', 'warm', 10);
select mautomate.define_event('buy', '{"amount": "numeric", "shop": "text"}'), mautomate.define_attribute('renewal', 'date');
\set VERBOSITY default
\set SHOW_CONTEXT never
set client_min_messages = notice;
select mautomate.identify('r') > 0 as known;

-- positions count characters, not bytes
select mautomate.create_list('r', $$contact.é = 'ü' and contact.renewal = 'soon'$$);
select mautomate.create_list('r', $$contact.é = 'ü' and now() = 3$$);

-- names that nothing has
select mautomate.create_list('r', $$true and in_list('r_loyl')$$);
select mautomate.create_list('r', $$score('r_point') > 3$$);
select mautomate.create_list('r', $$tier('points of r') = 'warm'$$);
select mautomate.create_list('r', $$contact.renewal is null and evr('buy')$$);
select mautomate.create_list('r', $$contct.renewal is null$$);
select mautomate.create_list('r', $$renewal is null$$);
select mautomate.create_list('r', $$wsa(contact.stage, 'x')$$);
-- those that may come: a notice
select mautomate.create_list('r_notice', $$count('by') > 1 and sum('buy', 'amont') > 2 and count('buy') filter (where event.shp = 'x') > 1 and contact.stge = 'x' and contact.stage <> 'y' and was(contact.renewl, '2030-01-01')$$);
select mautomate.create_list('r_tier', $$tier('r_points') = 'warn' or tier('r_points') in ('cold', 'hott') or tier('r_points') is distinct from 'warm'$$);
select mautomate.drop_list('r_notice'), mautomate.drop_list('r_tier');
-- PostgreSQL folds names to lower case
select mautomate.define_attribute('Country', 'text'), mautomate.define_event('sell', '{"Shop Name": "text"}');
select mautomate.create_list('r_notice', $$contact.Country = 'x' and ever('sell') filter (where event.ShopName = 'x') and last_value('sell', 'ShopName') = 'x'$$);
select mautomate.drop_list('r_notice'), mautomate.drop_attribute('Country'), mautomate.drop_event('sell');

-- windows
select mautomate.create_list('r', $$count('buy', within => '-1 day') > 1$$);
select mautomate.create_list('r', $$count('buy', within => '0') > 1$$);
select mautomate.create_list('r', $$count('buy', within => '1 month -30 days') > 1$$);
select mautomate.create_list('r', $$count('buy', within => 'a while') > 1$$);
select mautomate.create_list('r', $$count('buy', within => '1001 years') > 1$$);
select mautomate.create_list('r', $$count('buy', within => '999999999999 days') > 1$$);
select mautomate.create_list('r', $$count('buy', within => 30) > 1$$);
select mautomate.create_list('r', $$count('buy', within => contact.n) > 1$$);
select mautomate.create_list('r', $$count('buy', since => '30 days') > 1$$);
select mautomate.create_list('r', $$count('buy', since => '2030-02-01', until => '2030-01-01') > 1$$);
select mautomate.create_list('r', $$count('buy', '30 days') > 1$$);
select mautomate.create_list('r', $$sum('buy') > 1$$);
select mautomate.create_list('r', $$last_value('buy', 'shop', within => '1 day') = 'x'$$);
-- time
select mautomate.create_list('r', $$elapsed('buy') > 'long'$$);
select mautomate.create_list('r', $$elapsed('buy') > '2000 years'$$);
select mautomate.create_list('r', $$elapsed('buy') = '1 day'$$);
select mautomate.create_list('r', $$elapsed('buy')$$);
select mautomate.create_list('r', $$remaining(contact.stage) < '1 day'$$);
select mautomate.create_list('r', $$contact.renewal + interval '1 day' > now() + interval '1 day'$$);
select mautomate.create_list('r', $$contact.renewal > 'tomorrow'$$);
select mautomate.create_list('r', $$contact.renewal > current_date$$);
select mautomate.create_list('r', $$anniversary(contact.stage)$$);
-- without a unit an interval would be seconds; with one of SQL it is that
select mautomate.create_list('r', $$count('buy', within => '30') > 1$$);
select mautomate.create_list('r', $$remaining(contact.renewal) < ' -7'$$);
select mautomate.create_list('r_span', $$count('buy', within => interval '90' day) > 1 and remaining(contact.renewal) < '0' and elapsed('buy') > interval '12' month$$);
select condition from mautomate.explain_list('r_span', 'r');
select mautomate.drop_list('r_span');
-- what an event must be like is looked at once
select mautomate.create_list('r', $$ever('buy') filter (where event.occurred_at > now() - interval '7 days')$$);
select mautomate.create_list('r', $$ever('buy') filter (where elapsed(event.at) > '7 days')$$);
select mautomate.create_score_rule('r_points', 'b', 1, event => 'buy', condition => $$now() > '2026-01-01'$$);
-- calls have arguments, nothing else
select mautomate.create_list('r', $$count('buy') over () > 1$$);
select mautomate.create_list('r', $$elapsed(distinct contact.renewal) > '1 day'$$);
select mautomate.create_list('r', $$in_list('r_loyal' order by 1)$$);
select mautomate.create_list('r', $$has_tag(distinct 'x')$$);
select mautomate.create_list('r', $$was(contact.stage, 'x' order by 1)$$);
select mautomate.create_list('r', $$anniversary(contact.renewal order by 1)$$);
select mautomate.create_list('r', $$count('buy', within => '1 day', within => '2 days') > 1$$);
select mautomate.create_list('r', $$count(buy) > 1$$);
-- values
select mautomate.create_list('r', $$abs(contact.n) > 1$$);
select mautomate.create_list('r', $$contact.renewal > '31.12.2026'$$);
select mautomate.create_list('r_notice', $$sum('buy', 'shop') > 1$$);
select mautomate.drop_list('r_notice');
select mautomate.create_list('r', $$contact.x @? '$.a'$$);
select mautomate.define_attribute('r_x', 'interval');
select mautomate.define_event('r_x', '{"at": "time"}');
-- the form
select mautomate.create_list('r', $$true and$$);
select mautomate.create_list('r', $$ $$);
select mautomate.create_list('r', $$true, false$$);
select mautomate.create_list('r', $$true as x$$);
select mautomate.create_list('r', $$true where true$$);
select mautomate.create_list('r', $$exists (select 1)$$);
select mautomate.create_list('r', $$sum(contact.n) over () > 1$$);
select mautomate.create_list('r', $$count(*) > 1$$);
select mautomate.create_list('r', $$contact.n[1] = 1$$);
select mautomate.create_list('r', $$(contact.n, 1) = (1, 2)$$);
select mautomate.create_list('r', $$$1 > 1$$);
select mautomate.create_list('r', $$random() > 0.5$$);
select mautomate.create_list('r', $$regexp_split_to_table(contact.stage, ',') = 'x'$$);
select mautomate.create_list('r', $$contact.stage::money > 1$$);
select mautomate.create_list('r', $$contact.stage = 1 + 1$$);
select mautomate.create_list('r', $$contact.n$$);
select mautomate.create_list('r', $$event.amount > 1$$);
select mautomate.create_list('r', $$count('buy') filter (where contact.stage = 'x') > 1$$);
select mautomate.create_list('r', $$count('buy') filter (where ever('buy')) > 1$$);

-- cycles, through whatever
select mautomate.create_list('r_a', 'ever(''buy'')'), mautomate.create_list('r_b', 'in_list(''r_a'')');
select mautomate.create_list('r_a', 'not in_list(''r_b'')');
select mautomate.create_score_rule('r_points', 'b', 10, condition => 'in_list(''r_b'')');
select mautomate.create_list('r_a', 'score(''r_points'') > 5');
select mautomate.create_list('r_a', 'tier(''r_points'') = ''warm''');
select mautomate.create_list('r_a', 'ever(''tier_changed'') filter (where event.score = ''r_points'' and event.tier = ''warm'')');
select mautomate.create_list('r_a', 'ever(''tier_changed'')');
select mautomate.create_list('r_a', 'ever(''list_entered'') filter (where event.list = ''r_b'')');
select mautomate.create_list('r_a', 'never(''list_left'', within => ''1 day'')');
select mautomate.create_list('r_c', 'count(''list_entered'') filter (where event.list like ''r%'') > 3');
select mautomate.create_list('r_c', 'count(''list_entered'') filter (where event.list = ''r_a'' or event.x = 1) > 3');
-- and what is none
select mautomate.create_list('r_c', 'count(''list_entered'') filter (where event.list = ''r_a'' or event.list in (''r_b'', ''r_d'') and event.x is null) > 3'),
       mautomate.create_list('r_d', 'ever(''stage_changed'') and ever(''tier_changed'') filter (where event.score = ''r_points'')');
select mautomate.create_list('r_d', 'in_list(''r_c'')');
select mautomate.create_score('r_all'), mautomate.create_score_rule('r_all', 'every', 1, event => 'list_entered');
select mautomate.create_list('r_e', 'score(''r_all'') > 3');
-- what one writes elsewhere
select mautomate.create_list('r_f', 'count(''buy'')');
select mautomate.create_list('r_f', 'contact.land == ''FR''');
select mautomate.create_list('r_f', 'ever(''buy'') && ever(''sell'')');
select mautomate.create_list('r_f', 'ever(''buy'') || ever(''sell'')');
select mautomate.create_list('r_f', 'contact.land = "FR"');
-- no kind is nearest to another of one letter
select mautomate.track('r', 'x') is not null, mautomate.create_list('r_f', 'ever(''y'')');
drop extension mautomate cascade;
