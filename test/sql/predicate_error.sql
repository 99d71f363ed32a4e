-- A definition that fails never fails the statement, and costs it little.
set client_min_messages = warning;
drop extension if exists mautomate cascade;
create extension mautomate;
set timezone = 'UTC';
select mautomate.arm();
select mautomate.define_attribute('n', 'numeric');
insert into mautomate.contact (external_id, attributes)
  select 'e' || n, jsonb_build_object('n', 0, 'word', 'x') from generate_series(1, 5000) n;
select mautomate.create_list('zero', '1000 / contact.n > count(''buy'')'),
       mautomate.create_list('cast', 'count(''buy'') > contact.word::int'),
       mautomate.create_list('fine', 'count(''buy'') >= 5'),
       mautomate.create_list('filter', 'count(''buy'') filter (where 10 / event.x > 1) > 0');
select mautomate.create_score('points');
select mautomate.create_score_rule('points', 'zero', 5, condition => 'count(''buy'') > 10 / contact.n');
select object, sqlstate, message, count(*) from mautomate.errors group by 1, 2, 3 order by 1;

-- 100,000 rows, each of which raises in five places
truncate mautomate_internal.error, mautomate_internal.dirty;
insert into mautomate.event (contact_id, kind, properties)
  select contact_id, 'buy', '{"x": 0}' from mautomate.contact, generate_series(1, 20);
select object, sqlstate, message, count(*) from mautomate.errors group by 1, 2, 3 order by 1;
select name, members from mautomate.lists order by 1;
-- after ten errors a definition is left to the sweep, which tries everybody
select count(distinct contact_id) from mautomate_internal.dirty;
update mautomate.contact set attributes = '{"n": 5, "word": "3"}' where contact_id % 2 = 0;
truncate mautomate_internal.error;
select sum(done) > 0 from mautomate.run(100000);
select name, members from mautomate.lists order by 1;
select object, stored, left(expected, 40) from mautomate.verify() order by 1;

-- explain_list() tells of each how it is, however many fail before; it may be
-- asked where nobody may write
select mautomate.create_list('of zero', 'in_list(''zero'')');
truncate mautomate_internal.error;
set mautomate.refresh = deferred;
update mautomate.contact set attributes = attributes || jsonb_build_object('n', case when contact_id = 23 then 6 else 0 end)
  where contact_id in (1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 22, 23);
insert into mautomate.event (contact_id, kind, properties) values (22, 'buy', '{"x": 0}');
reset mautomate.refresh;
create function pg_temp.told() returns table (external_id text, holds boolean) language sql stable as $$
  select c.external_id, e.holds from (select * from mautomate.contact where contact_id between 1 and 23 order by contact_id) c,
    mautomate.explain_list('of zero', c.external_id) e $$;
begin read only;
select * from pg_temp.told() where external_id in ('e21', 'e22', 'e23');
rollback;
select * from mautomate.errors;
select sum(done) > 0 from mautomate.run(100000);
select count(*) from pg_temp.told() where holds;
truncate mautomate_internal.error;
select mautomate.drop_list('of zero');

-- an attribute of another type: the expression does not compile, the rest goes on
truncate mautomate_internal.error;
select mautomate.define_attribute('n', 'text');
insert into mautomate.event (contact_id, kind, properties) select contact_id, 'buy', '{"x": 5}' from mautomate.contact where contact_id % 2 = 0;
select name, members from mautomate.lists order by 1;
select object, message from mautomate.errors order by 1;
-- and back
select mautomate.define_attribute('n', 'numeric');
insert into mautomate.event (contact_id, kind, properties) select contact_id, 'buy', '{"x": 5}' from mautomate.contact where contact_id % 2 = 0;
select name, members from mautomate.lists where name in ('fine', 'zero') order by 1;
drop extension mautomate cascade;
