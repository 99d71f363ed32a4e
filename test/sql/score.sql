-- Scores: points, tiers, the best.
set client_min_messages = warning;
drop extension if exists mautomate cascade;
create extension mautomate;
select mautomate.arm();
select mautomate.identify('s_' || who, attributes => jsonb_build_object('s_country', country)) is not null
  from (values ('ann', 'FR'), ('bob', 'DE'), ('cid', 'FR')) v (who, country);
select mautomate.create_score('s_fit');
select mautomate.create_score('s_fit');
select mautomate.create_score('s_fit', 0, 50);
select mautomate.create_score_rule('s_fit', 'buys', 10, event => 's_buy');
select mautomate.create_score_rule('s_fit', 'big', 15.5, event => 's_buy', condition => 'event.amount >= 100');
select mautomate.create_score_rule('s_fit', 'french', 5, condition => 'contact.s_country = ''FR''');
select mautomate.create_score_rule('s_fit', 'french', 5, condition => 'contact.s_country = ''FR''');
select mautomate.create_score_rule('s_fit', 'angry', -20, event => 's_complaint');
select mautomate.create_score_tier('s_fit', 'cold', 0);
select mautomate.create_score_tier('s_fit', 'warm', 10, leave_below => 4);
select mautomate.create_score_tier('s_fit', 'hot', 30);
select external_id, value, tier from mautomate.scores where score = 's_fit' and external_id like 's\_%' order by 1;
select mautomate.create_list('s_hot', 'tier(''s_fit'') = ''hot''');
select mautomate.create_list('s_ten', 'score(''s_fit'') >= 10');

select mautomate.track('s_ann', 's_buy', '{"amount": 100}') is not null;
select mautomate.track('s_bob', 's_buy', '{"amount": 99.99}') is not null;
select mautomate.track('s_bob', 's_buy', '{"amount": "a lot"}') is not null;
select external_id, value, tier from mautomate.scores where score = 's_fit' and external_id like 's\_%' order by 1;
select list, external_id from mautomate.list_members where list like 's\_%' and external_id like 's\_%' order by 1, 2;
-- kept within its bounds
select mautomate.track('s_ann', 's_buy', '{"amount": 1000}') is not null;
select mautomate.track('s_cid', 's_complaint') is not null;
select external_id, value, tier from mautomate.scores where score = 's_fit' and external_id like 's\_%' order by 1;
-- who is warm stays so down to 4
select mautomate.track('s_bob', 's_complaint') is not null;
select external_id, value, tier from mautomate.scores where score = 's_fit' and external_id like 's\_%' order by 1;
select mautomate.identify('s_bob', attributes => '{"s_country": "FR"}') is not null;
select mautomate.score('s_bob', 's_fit'), mautomate.score('s_ann', 's_fit');
select mautomate.score('s_ann', 's_none');
select mautomate.score('s_nobody', 's_fit');
select * from mautomate.top_leads('s_fit', 2);
select * from mautomate.top_leads('s_none');
-- a crossing is an event
select c.external_id, e.properties from mautomate.event e join mautomate.contact c using (contact_id)
  where kind = 'tier_changed' and properties->>'score' = 's_fit' and external_id like 's\_%' order by event_id;
select * from mautomate.verify() where external_id like 's\_%';

-- a changed rule changes everybody, silently
select mautomate.create_score_rule('s_fit', 'buys', 1, event => 's_buy');
select external_id, value, tier from mautomate.scores where score = 's_fit' and external_id like 's\_%' order by 1;
select mautomate.drop_score_rule('s_fit', 'big');
select mautomate.drop_score_tier('s_fit', 'cold');
select external_id, value, tier from mautomate.scores where score = 's_fit' and external_id like 's\_%' order by 1;
select count(*) from mautomate.event join mautomate.contact using (contact_id)
  where kind = 'tier_changed' and properties->>'score' = 's_fit' and external_id like 's\_%';
select * from mautomate.verify() where external_id like 's\_%';

-- bad input
select mautomate.create_score(null);
select mautomate.create_score('s_x', 2, 1);
select mautomate.create_score('s_x', 'NaN', 1);
select mautomate.create_score_rule('s_none', 'x', 1, event => 'e');
select mautomate.create_score_rule('s_fit', 'x', 1);
select mautomate.create_score_rule('s_fit', 'x', null, event => 'e');
select mautomate.create_score_rule('s_fit', 'x', 'Infinity', event => 'e');
select mautomate.create_score_rule('s_fit', 'x', 1, event => 'e', condition => 'contact.s_country = ''FR''');
select mautomate.create_score_rule('s_fit', 'x', 1, event => 'e', condition => 'event.a >');
select mautomate.create_score_rule('s_fit', 'x', 1, event => 'e', condition => 'true) or (true');
select mautomate.create_score_rule('s_fit', 'x', 1, condition => 'event.a > 1');
select mautomate.create_score_rule('s_fit', 'x', 1, condition => 'score(''s_fit'') > 1');
select mautomate.create_score_tier('s_fit', 'x', 10, 11);
select mautomate.create_score_tier('s_fit', 'other', 30);
select mautomate.drop_score_rule('s_fit', 'nothing');
select mautomate.drop_score('s_fit');

select mautomate.create_score('s_other');
select mautomate.rename_score('s_fit', 's_other');
select mautomate.rename_score('s_fit', 's_fitness');
select name, predicate from mautomate.lists where name like 's\_%' order by 1;
select mautomate.rename_score('s_fitness', 's_fit');
select mautomate.drop_score('s_other');
select * from mautomate.verify() where external_id like 's\_%';
delete from mautomate.contact where external_id like 's\_%';
select mautomate.drop_list('s_hot');
select mautomate.drop_list('s_ten');
select mautomate.drop_score('s_fit');

-- the best of many whose points go up and down, by any number of them
select mautomate.create_score('s_many');
select mautomate.create_score_rule('s_many', 'up', 1.5, event => 's_up');
select mautomate.create_score_rule('s_many', 'down', -400, event => 's_down');
select count(mautomate.identify('s_many ' || n)) from generate_series(0, 399) n;
insert into mautomate.event (contact_id, kind)
  select contact_id, kind
  from (select contact_id, row_number() over (order by contact_id) as n
        from mautomate.contact where external_id like 's\_many %') c,
    lateral (select 's_up' as kind from generate_series(1, (n * n % 1013)::int)
             union all select 's_down' from generate_series(1, (n % 5)::int)) e;
insert into mautomate.event (contact_id, kind)
  select contact_id, 's_down' from mautomate.contact
  where external_id like 's\_many %5';
with ranked as materialized (
  select external_id, value,
    row_number() over (order by value desc, contact_id) as place
  from mautomate.scores where score = 's_many'
)
select n, (select count(*) from mautomate.top_leads('s_many', n)) as leads,
  (select count(*) from mautomate.top_leads('s_many', n) t
   join ranked r using (external_id, value) where place <= n) as right_ones
from (values (1), (7), (40), (120), (399), (1000)) v (n);
select mautomate.drop_score('s_many');
delete from mautomate.contact where external_id like 's\_%';
