-- Statements about many contacts: most of their events only count, for some
-- contacts more follows.
set client_min_messages = warning;
create extension if not exists mautomate;
select count(mautomate.identify('rm_' || n)) from generate_series(1, 200) n;
create table rm as
  select contact_id as id, substr(external_id, 4)::int as n
  from mautomate.contact where external_id like 'rm\_%';
select mautomate.create_list('rm_third', 'count(''rm_buy'') >= 3');
select mautomate.create_list('rm_spent', 'sum(''rm_buy'', ''amount'') > 250.5');
select mautomate.create_list('rm_lately', 'count(''rm_buy'', within => ''30 days'') >= 4');
select mautomate.create_list('rm_odd', 'count(''rm_odd'') % 2 = 1');
select mautomate.create_score('rm_score');
select mautomate.create_score_rule('rm_score', 'buys', points => 2, event => 'rm_buy',
  condition => 'event.amount >= 50');

create view rm_members as
  select list, count(*) as members, sum(n) as who
  from mautomate.list_members m join rm on m.contact_id = rm.id
  where list like 'rm\_%' group by list order by list;

-- one event each: nothing follows; the second one: neither
insert into mautomate.event (contact_id, kind, properties)
  select id, 'rm_buy', jsonb_build_object('amount', n) from rm order by n % 7, n;
insert into mautomate.event (contact_id, kind, properties)
  select id, 'rm_buy', jsonb_build_object('amount', n + 0.25) from rm order by n desc;
select * from rm_members;
-- the third of every tenth contact brings it into a list, between the others
insert into mautomate.event (contact_id, kind, properties)
  select id, 'rm_buy', jsonb_build_object('amount', 0.1) from rm where n % 10 = 0;
insert into mautomate.event (contact_id, kind, occurred_at)
  select id, case when n % 10 = 0 then 'rm_other' else 'rm_buy' end,
    now() - interval '40 days' from rm;
select * from rm_members;
-- several events of a contact, of several kinds, some of which always concern
-- a list
insert into mautomate.event (contact_id, kind, properties)
  select id, k, jsonb '{"amount": "9"}' from rm, unnest('{rm_buy,rm_odd,rm_buy}'::text[]) k
  where n <= 40;
select * from rm_members;
select * from mautomate.verify();

-- so many versions of states that the index knows them by several entries
begin;
\set ECHO none
select format($$insert into mautomate.event (contact_id, kind, occurred_at)
  select id, 'rm_buy', now() - interval '1 day' * %s from rm where n %% 2 = 0$$, i)
from generate_series(1, 30) i \gexec
\set ECHO all
insert into mautomate.event (contact_id, kind, properties)
  select id, 'rm_buy', '{"amount": 1e3}' from rm where n % 4 < 2;
commit;
insert into mautomate.event (contact_id, kind, properties)
  select id, 'rm_buy', '{"amount": 1e-3}' from rm;
select * from rm_members;
select * from mautomate.verify();
select sum(value), count(distinct value) from mautomate.scores where score = 'rm_score';

-- two events at once pass over a number that the count falls back to in time
select mautomate.set_clock('2031-03-01 00:00+00');
select mautomate.create_list('rm_two', 'count(''rm_pair'', within => ''2 days'') = 2');
select mautomate.create_list('rm_not_two', 'count(''rm_pair'', within => ''2 days'') <> 2');
insert into mautomate.event (contact_id, kind, occurred_at)
  select id, 'rm_pair', mautomate.clock() from rm where n <= 3;
insert into mautomate.event (contact_id, kind, occurred_at)
  select id, 'rm_pair', mautomate.clock() - h * interval '1 hour'
  from rm, generate_series(1, 2) h where n <= 2;
select mautomate.set_clock('2031-03-02 22:00+00');
select count(*) > 0 as ran from mautomate.run();
select list, members from rm_members where list like '%two';
select mautomate.set_clock('2031-03-02 23:00+00');
select count(*) > 0 as ran from mautomate.run();
select list, members from rm_members where list like '%two';
select * from mautomate.verify();
select mautomate.set_clock(null);

delete from mautomate.event where kind like 'rm\_%';
delete from mautomate.contact where external_id like 'rm\_%';
select mautomate.drop_list(name) from mautomate.lists where name like 'rm\_%';
select mautomate.drop_score('rm_score');
drop view rm_members;
drop table rm;
