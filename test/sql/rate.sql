-- how fast messages leave: limits of channels and domains, warm-up, pauses
set client_min_messages = warning;
drop extension if exists mautomate cascade;
create extension mautomate;
reset client_min_messages;
select mautomate.arm();
select mautomate.create_channel('r_log', 'log', '{"rate": {"per_hour": 1, "burst": 3}}');
select mautomate.create_template('r_hello', 'r_log', body => 'Hi', transactional => true);
select count(mautomate.identify('r_' || i, 'r_' || i || '@' || d))
  from generate_series(1, 4) i, unnest(array['example.com', 'big.example', 'small.example']) with ordinality as d(d, n)
  where (i = 1 and n = 1) or (i in (2, 3) and n = 2) or (i = 4 and n = 3);

-- of the channel: three at once, then one an hour
select count(mautomate.send('r_1', 'r_hello', idempotency_key => 'a' || i)) from generate_series(1, 10) i;
call mautomate.deliver();
call mautomate.deliver();
select state, count(*) from mautomate.messages group by state order by state;
select next_at - clock_timestamp() between '2 h 59 m' and '3 h' as spent from mautomate_internal.bucket;
-- an hour later (the bucket's hour, not that of the clock)
select mautomate.set_clock(mautomate.clock() + '1 day');
call mautomate.deliver();
select state, count(*) from mautomate.messages group by state order by state;
select mautomate.set_clock(null);
update mautomate_internal.bucket set next_at = next_at - interval '1 hour';
call mautomate.deliver();
select state, count(*) from mautomate.messages group by state order by state;
select channel, transport, paused, waiting, sent_last_minute, rate from mautomate.stat_channels;
-- a rate that is taken away, and a refusal costs no token of a domain
select mautomate.create_channel('r_log', 'log');
call mautomate.deliver();
select state, count(*) from mautomate.messages group by state order by state;

-- of domains: two to big.example, the others are not kept waiting
select mautomate.create_channel('r_log', 'log', '{"domains": {"BIG.example": {"rate": {"per_hour": 2, "burst": 2}}}}');
select count(mautomate.send('r_' || 2 + i % 2, 'r_hello', idempotency_key => 'b' || i)) from generate_series(1, 1200) i;
select count(mautomate.send('r_1', 'r_hello', idempotency_key => 'c' || i)) from generate_series(1, 5) i;
call mautomate.deliver(5000);
select left(idempotency_key, 1) as key, state, attempts, reason, count(*) from mautomate.messages
  where idempotency_key ~ '^[bc]' group by 1, 2, 3, 4 order by 1, 2;
select domain, round(extract(epoch from next_at - clock_timestamp()) / 3600) as tokens_in,
  round(extract(epoch from queue_at - clock_timestamp()) / 3600) as queue_to
  from mautomate_internal.bucket where domain <> '';
-- each waits for a time of its own, half an hour apart
select count(distinct due_at), round(extract(epoch from max(due_at) - min(due_at)) / 3600) as hours
  from mautomate.messages where state = 'pending';
-- the next token goes to the one that comes first by priority
select mautomate.send('r_2', 'r_hello', idempotency_key => 'urgent', priority => 5) > 0 as queued;
update mautomate_internal.bucket set next_at = next_at - interval '30 minutes';
call mautomate.deliver();
select idempotency_key, state from mautomate.messages where idempotency_key = 'urgent';
select count(*) from mautomate.messages where state = 'pending' and reason = 'the rate of big.example';
select count(mautomate.cancel_message(message_id)) from mautomate.messages where state = 'pending';
-- every other domain by itself
select mautomate.create_channel('r_log', 'log', '{"domains": {"*": {"rate": {"per_hour": 1}}, "big.example": {"rate": {"per_second": 1000}}}}');
delete from mautomate_internal.bucket;
select count(mautomate.send('r_' || 1 + i % 4, 'r_hello', idempotency_key => 'd' || i)) from generate_series(1, 40) i;
call mautomate.deliver();
select external_id, state, count(*) from mautomate.messages where idempotency_key like 'd%' group by 1, 2 order by 1, 2;
select count(mautomate.cancel_message(message_id)) from mautomate.messages where state = 'pending';

-- warm-up
select mautomate.create_channel('r_log', 'log', '{"warm_up": [{"day": 1, "messages": 5}, {"day": 3, "messages": 7}]}');
select count(mautomate.send('r_1', 'r_hello', idempotency_key => 'e' || i)) from generate_series(1, 20) i;
call mautomate.deliver();
select state, count(*) from mautomate.messages where idempotency_key like 'e%' group by state order by state;
select warm_up_day, warm_up_used, warm_up_limit from mautomate.stat_channels;
select "check", passed, detail from mautomate.explain_message('r_1', 'r_hello') where "check" = 'channel';
update mautomate_internal.warm_up set first_day = first_day - 2, day = day - 1;
call mautomate.deliver();
select state, count(*) from mautomate.messages where idempotency_key like 'e%' group by state order by state;
select warm_up_day, warm_up_used, warm_up_limit from mautomate.stat_channels;
update mautomate_internal.warm_up set first_day = first_day - 1;
call mautomate.deliver();
select state, count(*) from mautomate.messages where idempotency_key like 'e%' group by state order by state;
select d, mautomate_internal.warm_up_limit('{"warm_up": {"start": 50, "growth": 1.5, "days": 4}}', d) from generate_series(1, 5) d;
select d, mautomate_internal.warm_up_limit('{"warm_up": [{"day": 2, "messages": 7}, {"day": 4, "messages": 9}]}', d) from generate_series(1, 5) d;

-- paused and resumed
select mautomate.pause_channel('r_log', 'the relay moves');
select mautomate.pause_channel('r_log');
select mautomate.send('r_1', 'r_hello', idempotency_key => 'f') > 0 as queued;
call mautomate.deliver();
select state from mautomate.messages where idempotency_key = 'f';
select paused, reason, waiting from mautomate.stat_channels;
select mautomate.resume_channel('r_log');
select mautomate.resume_channel('r_log');
call mautomate.deliver();
select state from mautomate.messages where idempotency_key = 'f';
select paused, reason, waiting from mautomate.stat_channels;

-- mistakes
select mautomate.pause_channel('r_nothing');
select mautomate.create_channel('x', 'log', '{"host": "a"}');
select mautomate.create_channel('x', 'log', '{"rate": 5}');
select mautomate.create_channel('x', 'log', '{"rate": {}}');
select mautomate.create_channel('x', 'log', '{"rate": {"per_second": 0}}');
select mautomate.create_channel('x', 'log', '{"rate": {"per_second": 1, "per_hour": 1}}');
select mautomate.create_channel('x', 'log', '{"rate": {"per_second": "1"}}');
select mautomate.create_channel('x', 'log', '{"rate": {"per_week": 1}}');
select mautomate.create_channel('x', 'log', '{"rate": {"per_second": 1, "burst": 1.5}}');
select mautomate.create_channel('x', 'log', '{"domains": []}');
select mautomate.create_channel('x', 'log', '{"domains": {"*.example": {"connections": 1}}}');
select mautomate.create_channel('x', 'log', '{"domains": {"a.example": {"connections": 1}, "A.example": {"connections": 2}}}');
select mautomate.create_channel('x', 'log', '{"retries": {"first": "soon"}}');
select mautomate.create_channel('x', 'log', '{"domains": {"a.example": {"connection": 1}}}');
select mautomate.create_channel('x', 'log', '{"domains": {"a.example": {"connections": 0}}}');
select mautomate.create_channel('x', 'log', '{"domains": {"a.example": {"rate": {"per_hour": -1}}}}');
select mautomate.create_channel('x', 'log', '{"warm_up": 1}');
select mautomate.create_channel('x', 'log', '{"warm_up": [1]}');
select mautomate.create_channel('x', 'log', '{"warm_up": [{"day": 2, "messages": 1}, {"day": 1, "messages": 2}]}');
select mautomate.create_channel('x', 'log', '{"warm_up": {"start": 10}}');
select mautomate.create_channel('x', 'log', '{"pause_when": {"failures": 10, "of": 200}}');
select mautomate.create_channel('x', 'log', '{"pause_when": {"failures": 0.1, "of": 1000000}}');
select mautomate.create_channel('x', 'log', '{"retries": {"first": "soon"}}');
select mautomate.create_channel('x', 'log', '{"retries": {"first": 60}}');
select mautomate.create_channel('x', 'log', '{"retries": {"first": "-1 s"}}');
select mautomate.create_channel('x', 'log', '{"retries": {"spread": 2}}');
select mautomate.drop_template('r_hello');
select mautomate.drop_channel('r_log');
