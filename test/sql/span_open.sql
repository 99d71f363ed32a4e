-- Sums are opened from the log: what is not in them, or has gone from there,
-- is told apart, whoever reads it and when.
set client_min_messages = warning;
drop extension if exists mautomate cascade;
create extension mautomate;
select mautomate.arm();
set timezone = 'UTC';
set datestyle = 'ISO';
set mautomate.window_entries = 8;
select mautomate.set_clock('2030-02-01 00:00+00');

-- a contact each with a thousand events, one every six minutes, and a list of
-- those who have an odd number
create table asked (list text, kind text, within interval, since timestamptz);
create function pg_temp.ask(list text, kind text, within text) returns text language sql as $$
  insert into asked values (list, kind, within::interval, mautomate.clock());
  select mautomate.create_list(list, format('sum(%L, ''amount'', within => %L) %% 2 = 1', kind, within));
$$;
create function pg_temp.move(step interval) returns bigint language sql as $$
  select mautomate.set_clock(mautomate.clock() + step);
  select count(*) - count(*) from mautomate.run();
$$;
-- the instants at which a list was to change, but did not, or did otherwise
create view pg_temp.differs as
  select list, s.at as should, d.at as did
  from (select list, occurred_at + within as at from asked join mautomate.event using (kind)
      where occurred_at + within > since and occurred_at + within <= mautomate.clock()
      group by 1, 2 having count(*) % 2 = 1) s
    full join (select list, changed_at as at from asked a join mautomate_internal.list l on l.name = a.list
      join mautomate_internal.list_change c using (list_id) where changed_at > since) d using (list, at)
  where s.at is null or d.at is null order by list, coalesce(s.at, d.at);
select pg_temp.ask('odd ' || kind, kind, '100 hours') from unnest(array['a', 'b', 'c', 'd']) kind;
select mautomate.identify(kind) > 0 from unnest(array['a', 'b', 'c', 'd', 'e', 'f']) kind;
insert into mautomate.event (contact_id, kind, occurred_at, properties)
  select contact_id, external_id, mautomate.clock() - n * interval '6 minutes', '{"amount": 1}'
  from mautomate.contact, generate_series(0, 999) n where external_id <> 'e';
select max(octet_length(state)) < 500 as bounded from mautomate_internal.contact_state;

-- noted events are done as of instants of their own: one is added to a sum
-- that leaves before the next is done
set mautomate.refresh = deferred;
select mautomate.set_clock(mautomate.clock() + interval '10 hours');
select mautomate.track('a', 'a', '{"amount": 1}', occurred_at => mautomate.clock() - interval '90 hours' + interval '30 s') > 0;
select mautomate.set_clock(mautomate.clock() + interval '30 hours');
select mautomate.track('a', 'a', '{"amount": 1}') > 0;
reset mautomate.refresh;
select count(*) > 0 as done from mautomate.run();
select * from pg_temp.differs;
select * from mautomate.verify();

-- lists that states do not know yet: their edge is in the middle of a sum; of
-- what they are about nothing was kept
select mautomate.create_list(format('%s %s', kind, least), format('sum(%L, ''amount'', within => ''77 hours 3 minutes'') > %s',
    kind, least))
  from unnest(array['b', 'f']) kind, unnest(array[370, 350, 300]) least;
select count(*) from mautomate_internal.contact_state
  where generation >= (select max(generation) from mautomate_internal.list);
select pg_temp.move('20 hours');
select name, changed_at from mautomate_internal.list_change join mautomate_internal.list using (list_id)
  where name ~ '^[bf] ' and not entered order by 1;
select * from pg_temp.differs;
select * from mautomate.verify();

-- folded anew, and time passes
select mautomate.set_clock(mautomate.clock() + interval '20 hours');
update mautomate.event set properties = '{"amount": 3}' where kind = 'c' and occurred_at = '2030-02-01 00:00+00';
select * from pg_temp.differs where list = 'odd c';
select * from mautomate.verify();

-- another trigger makes time pass while events are in the log that nobody has
-- folded: they are counted once
create function pg_temp.poke() returns trigger language plpgsql as $$
begin
  if pg_trigger_depth() = 1 then
    perform mautomate.track('d', 'poke');
  end if;
  return null;
end $$;
select mautomate.create_list('poked', 'ever(''poke'', within => ''1 hour'')');
create trigger aaa after insert on mautomate.event for each statement execute function pg_temp.poke();
create function pg_temp.late(step interval) returns void language sql as $$
  select mautomate.set_clock(mautomate.clock() + step);
  insert into mautomate.event (contact_id, kind, occurred_at, properties)
    select contact_id, 'd', mautomate.clock() - interval '100 hours' + n * interval '3 minutes 1 second', '{"amount": 1}'
    from mautomate.contact, generate_series(1, 20) n where external_id = 'd';
$$;
select pg_temp.late('5 hours');
select pg_temp.late('12 minutes');
select pg_temp.late('18 minutes');
select pg_temp.late('30 minutes');
drop trigger aaa on mautomate.event;
select * from mautomate.verify();
update asked set since = mautomate.clock();
select pg_temp.move('10 hours');
select * from pg_temp.differs;

-- fewer in the log than in the sum: all that the state says is found again
select mautomate.create_list('odd e', 'sum(''e'', ''amount'', within => ''100 hours'') % 2 = 1');
select mautomate.create_list('total', 'sum(''e'', ''amount'') > 900');
insert into mautomate.event (contact_id, kind, occurred_at, properties)
  select contact_id, 'e', mautomate.clock() - n * interval '6 minutes', '{"amount": 1}'
  from mautomate.contact, generate_series(0, 999) n where external_id = 'e';
select list from mautomate.list_members where external_id = 'e';
set session_replication_role = replica;
delete from mautomate.event where kind = 'e' and occurred_at < mautomate.clock() - interval '80 hours';
set session_replication_role = origin;
select pg_temp.move('30 hours');
select list from mautomate.list_members where external_id = 'e';
select * from mautomate.verify();

-- more instants than anybody looks at in one go: each is told, and what comes
-- later is no part of it
select mautomate.identify('g') > 0;
select pg_temp.ask('odd g', 'g', '4 hours');
insert into mautomate.event (contact_id, kind, occurred_at, properties)
  select contact_id, 'g', mautomate.clock() - n * interval '1 s', '{"amount": 1}'
  from mautomate.contact, generate_series(0, 12000) n where external_id = 'g';
select mautomate.set_clock(mautomate.clock() + interval '5 hours');
set mautomate.refresh = deferred;
select mautomate.track('g', 'g', '{"amount": 1}', occurred_at => mautomate.clock() - interval '100 hours') > 0;
reset mautomate.refresh;
select count(*) > 0 as done from mautomate.run();
select count(*) from mautomate_internal.list_change join mautomate_internal.list using (list_id) where name = 'odd g';
select * from pg_temp.differs where list = 'odd g';
select * from mautomate.verify();
drop extension mautomate cascade;
drop table asked;
