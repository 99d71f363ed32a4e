-- messages: asked for, sent, refused, cancelled, sent again
set client_min_messages = warning;
drop extension if exists mautomate cascade;
create extension mautomate;
reset client_min_messages;
create view shown as
  select idempotency_key as key, external_id, address, template, state, reason, attempts, reply
  from mautomate.messages where template like 'o\_%' order by idempotency_key;
select mautomate.arm();
select mautomate.create_channel('o_log', 'log');
select mautomate.create_template('o_hello', 'o_log', body => 'Hi {{ contact.first_name }} {{ context.n }}', transactional => true);
select mautomate.create_template('o_broken', 'o_log', body => '{% for i in (1..10000) %}{% for j in (1..10000) %}x{% endfor %}{% endfor %}', transactional => true);
select count(mautomate.identify('o_' || x, case when x <> 'none' then 'o_' || x || '@example.com' end, attributes => '{"first_name": "X"}'))
  from unnest(array['ann', 'bob', 'none', 'bad']) x;
update mautomate.contact set email = 'no address' where external_id = 'o_bad';

-- a message is one with the transaction that asks for it
begin;
select mautomate.send('o_ann', 'o_hello', idempotency_key => 'o0') > 0 as queued;
rollback;
select * from shown;
select mautomate.send('o_ann', 'o_hello', '{"n": 1}', idempotency_key => 'o1') as first \gset
select mautomate.send('o_bob', 'o_hello', '{"n": 2}', idempotency_key => 'o1') = :first as same;
select mautomate.send('o_none', 'o_hello', idempotency_key => 'o2') > 0 as queued;
select mautomate.send('o_bad', 'o_hello', idempotency_key => 'o3') > 0 as queued;
select mautomate.suppress('O_Bob@example.com', 'complaint');
select mautomate.send('o_bob', 'o_hello', idempotency_key => 'o4') > 0 as queued;
select mautomate.send('o_ann', 'o_broken', idempotency_key => 'o5') > 0 as queued;
select mautomate.send('o_ann', 'o_hello', not_before => '2200-01-01', idempotency_key => 'o6') as later \gset
select mautomate.send('o_ann', 'o_hello', not_before => '2001-01-01', idempotency_key => 'o7') > 0 as queued;
select * from shown;
select channel, state, messages from mautomate.outbox_status where channel = 'o_log' order by state;
call mautomate.deliver();
select * from shown;
select channel, state, messages from mautomate.outbox_status where channel = 'o_log' order by state;
select count(*) from mautomate_internal.lease;

-- by hand
select mautomate.cancel_message(:later);
select mautomate.cancel_message(:later);
select mautomate.cancel_message(:first);
select mautomate.resend_message(:first);
select state, attempts from shown where key = 'o1';
call mautomate.deliver();
select state, attempts from shown where key = 'o1';
select mautomate.unsuppress('o_bob@example.com');
select mautomate.resend_message(message_id) from mautomate.messages where idempotency_key = 'o4';
select mautomate.resend_message(message_id) from mautomate.messages where idempotency_key = 'o6';

-- sent to some only, or to somebody else
select mautomate.arm("only" => '{O_ANN@example.com}', redirect => 'test@example.com');
select mautomate.send('o_ann', 'o_hello', idempotency_key => 'o8') > 0 as queued;
call mautomate.deliver();
select * from shown where key in ('o4', 'o6', 'o8');
select mautomate.arm();
-- not at all
select mautomate.disarm();
select mautomate.send('o_ann', 'o_hello', idempotency_key => 'o9') > 0 as queued;
call mautomate.deliver();
select state from shown where key = 'o9';
select mautomate.arm();
call mautomate.deliver(0);
select state from shown where key = 'o9';
call mautomate.deliver(1);
select state from shown where key = 'o9';

-- who deletes a record by hand is left with no message under way
select mautomate.send('o_ann', 'o_hello', idempotency_key => 'o10') > 0 as queued;
delete from mautomate_internal.message where idempotency_key = 'o10';
delete from mautomate.contact where external_id = 'o_none';
select mautomate.resend_message(message_id) from mautomate_internal.message where idempotency_key = 'o2';
call mautomate.deliver();
select state, reason from shown where key = 'o2';
select count(*) from mautomate_internal.outbox;

-- no message twice, by constraint
insert into mautomate_internal.message (contact_id, template_id, version, channel_id, enqueued_at, enrollment_id, step, pass)
  select 1, 1, 1, 1, now(), -1, 's', 1;
insert into mautomate_internal.message (contact_id, template_id, version, channel_id, enqueued_at, enrollment_id, step, pass)
  select 1, 1, 1, 1, now(), -1, 's', 1;
delete from mautomate_internal.message where enrollment_id = -1;

-- mistakes
select mautomate.send('o_nobody', 'o_hello');
select mautomate.send('o_ann', 'o_nothing');
select mautomate.send(null, 'o_hello');
select mautomate.send('o_ann', null);
select mautomate.send('o_ann', 'o_hello', '[]');
select mautomate.send('o_ann', 'o_hello', not_before => 'infinity');
select mautomate.send('o_ann', 'o_hello', idempotency_key => repeat('x', 1001));
select mautomate.cancel_message(-1);
select mautomate.cancel_message(null);
select mautomate.resend_message(-1);
call mautomate.deliver(-1);
call mautomate.deliver(null);
begin;
call mautomate.deliver();
rollback;
-- many, in more than one batch
select count(mautomate.send('o_ann', 'o_hello', idempotency_key => 'om' || i)) from generate_series(1, 2500) i;
call mautomate.deliver(2400);
select state, count(*) from shown where key like 'om%' group by state order by state;
call mautomate.deliver();
select state, count(*) from shown where key like 'om%' group by state order by state;
select mautomate.drop_template('o_hello');
select mautomate.drop_template('o_broken');
select mautomate.drop_channel('o_log');
drop view shown;
