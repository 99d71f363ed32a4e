-- which message comes next: priority, time, order of arrival; what killed its
-- process
set client_min_messages = warning;
drop extension if exists mautomate cascade;
create extension mautomate;
reset client_min_messages;
create view shown as
  select idempotency_key as key, state, attempts, in_doubt, priority, reason
  from mautomate.messages where template like 'p\_%' order by message_id;
select mautomate.arm();
select mautomate.create_channel('p_log', 'log');
select mautomate.create_template('p_hello', 'p_log', body => 'Hi', transactional => true);
select mautomate.create_template('p_news', 'p_log', body => 'News', transactional => true, priority => -5);
select mautomate.create_template('p_news', 'p_log', body => 'News', transactional => true, priority => -5);
select mautomate.create_template('p_news', 'p_log', body => 'Nouvelles', transactional => true, locale => 'fr');
select name, locale, priority from mautomate.templates where name like 'p\_%' order by 1, 2;
select mautomate.identify('p_ann', 'p_ann@example.com') > 0 as known;

-- the very first
call mautomate.deliver();
select mautomate.send('p_ann', 'p_hello', idempotency_key => 'first');
call mautomate.deliver();
select * from shown;
delete from mautomate_internal.message;

-- the highest first, then what has waited for its time, then the oldest
select count(mautomate.send('p_ann', 'p_news', idempotency_key => 'news' || i)) from generate_series(1, 2) i;
select count(mautomate.send('p_ann', 'p_hello', idempotency_key => 'hello' || i)) from generate_series(1, 3) i;
select mautomate.send('p_ann', 'p_news', idempotency_key => 'breaking', priority => 9) > 0 as queued;
select mautomate.send('p_ann', 'p_hello', idempotency_key => 'some time', priority => -9) > 0 as queued;
select mautomate.send('p_ann', 'p_hello', idempotency_key => 'past', not_before => '2001-01-01') > 0 as queued;
select mautomate.send('p_ann', 'p_hello', idempotency_key => 'later', not_before => mautomate.clock() + '1 day') > 0 as queued;
call mautomate.deliver(1);
select key from shown where state = 'sent';
call mautomate.deliver(4);
select key from shown where state = 'sent';
call mautomate.deliver(1);
select key from shown where state = 'sent' and key ~ 'news|some';
call mautomate.deliver();
select * from shown where state <> 'sent';
-- a day later: before what is new, after what is urgent
select mautomate.set_clock(mautomate.clock() + '25 hours');
select mautomate.send('p_ann', 'p_hello', idempotency_key => 'new') > 0 as queued;
select mautomate.send('p_ann', 'p_hello', idempotency_key => 'urgent', priority => 1) > 0 as queued;
call mautomate.deliver(1);
select key from shown where state <> 'sent';
call mautomate.deliver(1);
select key from shown where state <> 'sent';
call mautomate.deliver();
-- the clock set back: what is due by it is found
select mautomate.set_clock('2020-01-01');
select mautomate.send('p_ann', 'p_hello', idempotency_key => 'old', not_before => '2020-01-02') > 0 as queued;
select mautomate.set_clock('2020-01-03');
call mautomate.deliver();
select key, state from shown where key = 'old';
select mautomate.set_clock(null);
select count(*) from mautomate_internal.outbox;

-- of a workflow
select mautomate.create_workflow('p_flow', '{"entry": [{"event": "p_go"}], "steps": [
  {"id": "a", "send": {"template": "p_news"}}, {"id": "b", "send": {"template": "p_news", "priority": 9}},
  {"id": "c", "send": {"template": "p_hello", "priority": 0}}]}');
select mautomate.activate_workflow('p_flow');
select mautomate.track('p_ann', 'p_go') > 0 as tracked;
select count(*) > 0 as ran from mautomate.run();
select priority from mautomate.messages where state = 'pending' order by message_id;
call mautomate.deliver();
select mautomate.create_workflow('p_bad', '{"entry": [{"event": "p_go"}], "steps": [
  {"id": "a", "send": {"template": "p_news", "priority": 1.5}}, {"id": "b", "send": {"template": "p_news", "priority": "9"}}]}');
select mautomate.pause_workflow('p_flow');
select mautomate.drop_workflow('p_flow');

-- by hand, whatever the priority
select mautomate.send('p_ann', 'p_hello', idempotency_key => 'mine', priority => 7, not_before => 'tomorrow') as mine \gset
select channel, state, messages from mautomate.outbox_status;
select mautomate.cancel_message(:mine);
select mautomate.resend_message(:mine);
call mautomate.deliver();
select * from shown where key = 'mine';

-- Processes that die while they send. (A lease whose number nobody holds.)
select count(mautomate.send('p_ann', 'p_hello', idempotency_key => 'poison' || i)) from generate_series(1, 3) i;
insert into mautomate_internal.lease values (-1);
update mautomate_internal.outbox set state = 'sending', lease = -1, attempt = 1;
call mautomate.deliver(0);
select * from shown where key like 'poison%';
-- claimed alone, and set aside should it happen again
call mautomate.deliver(1);
select key, state, attempts from shown where key like 'poison%';
insert into mautomate_internal.lease values (-2);
update mautomate_internal.outbox set state = 'sending', lease = -2, attempt = 2
  where message_id = (select min(message_id) from mautomate_internal.outbox);
call mautomate.deliver(0);
select * from shown where key like 'poison%';
call mautomate.deliver();
select * from shown where key like 'poison%';
select mautomate.resend_message(message_id) from mautomate.messages where state = 'held';
-- one that had been written is hardly the cause
insert into mautomate_internal.lease values (-3);
update mautomate_internal.outbox set state = 'sending', lease = -3, deaths = -2;
call mautomate.deliver(0);
select state, deaths from mautomate_internal.outbox;
insert into mautomate_internal.lease values (-4);
update mautomate_internal.outbox set state = 'sending', lease = -4, deaths = -4;
call mautomate.deliver(0);
select state, deaths from mautomate_internal.outbox;
select mautomate.cancel_message(message_id) from mautomate.messages where state = 'held';
select * from shown where state = 'cancelled';

-- many after a crash: each alone, all in one go, and the others between them
select count(mautomate.send('p_ann', 'p_hello', idempotency_key => 'crash' || i)) from generate_series(1, 5) i;
insert into mautomate_internal.lease values (-5);
update mautomate_internal.outbox set state = 'sending', lease = -5, attempt = 1;
select count(mautomate.send('p_ann', 'p_hello', idempotency_key => 'calm' || i)) from generate_series(1, 5) i;
call mautomate.deliver(7);
select left(idempotency_key, 4) as key, count(*) from mautomate.messages
  where idempotency_key ~ '^(crash|calm)' and state = 'sent' group by 1 order by 1;
call mautomate.deliver();
select left(idempotency_key, 4) as key, attempts, count(*) from mautomate.messages
  where idempotency_key ~ '^(crash|calm)' and state = 'sent' group by 1, 2 order by 1;

-- mistakes
select mautomate.send('p_ann', 'p_hello', priority => 10);
select mautomate.send('p_ann', 'p_hello', priority => -10);
select mautomate.create_template('p_x', 'p_log', body => 'x', transactional => true, priority => 100);
drop view shown;
select mautomate.drop_template('p_hello');
select mautomate.drop_template('p_news');
select mautomate.drop_channel('p_log');
