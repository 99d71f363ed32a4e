-- why somebody did or did not get a message
set client_min_messages = warning;
drop extension if exists mautomate cascade;
create extension mautomate;
create function said(who text, what text, at timestamptz default null)
  returns table (n bigint, "check" text, passed boolean, detail text, fix text)
  language sql
  begin atomic
    select row_number() over (), x."check", x.passed, x.detail,
      regexp_replace(x.fix, '\d+', 'N')
    from mautomate.explain_message(who, what, at) x;
  end;
reset client_min_messages;
\pset format unaligned
\pset tuples_only on
select mautomate.create_channel('y_log', 'log');
select mautomate.create_template('y_hello', 'y_log', body => 'Hi', transactional => true);
select mautomate.create_workflow('y_flow', '{"entry": [{"event": "y_buy", "when": "event.big = true"}],
  "steps": [{"id": "pause", "wait": {"for": "1 day"}}, {"id": "thanks", "send": {"template": "y_hello"}}]}');
select mautomate.set_clock('2030-01-01 12:00 UTC');
select count(mautomate.identify(x, x || '@example.com')) from unnest(array['y_ann', 'y_bob']) x;
select mautomate.identify('y_none') > 0;

-- nobody asked; then it waits for arm() and a sender
select * from said('y_ann', 'y_hello');
select mautomate.send('y_ann', 'y_hello') as first \gset
select * from said('y_ann', 'y_hello');
select mautomate.arm();
select mautomate.pause_channel('y_log', 'moving');
select "check", detail, fix from said('y_ann', :'first') where n = 1;
select mautomate.resume_channel('y_log');
call mautomate.deliver();
select * from said('y_ann', :'first');
-- the message that was asked for before a time
select mautomate.set_clock('2030-01-02 12:00 UTC');
select mautomate.send('y_ann', 'y_hello', not_before => '2030-01-03') > 0 as queued;
select "check", passed, detail from said('y_ann', 'y_hello') where "check" = 'outbox';
select "check", passed, detail from said('y_ann', 'y_hello', '2030-01-02') where "check" = 'outbox';
-- the gate, as the sender asks it
select * from said('y_none', 'y_hello');
select mautomate.suppress('y_bob@example.com', 'complaint');
select mautomate.send('y_bob', 'y_hello') > 0 as queued;
call mautomate.deliver();
select * from said('y_bob', 'y_hello');
select mautomate.send('y_bob', 'y_hello', not_before => '2031-01-01') > 0 as queued;
select n, "check", detail, fix from said('y_bob', 'y_hello') where not passed;
select mautomate.unsuppress('y_bob@example.com');

-- a workflow: not active, no event, another event, refused, on the way, done
select * from said('y_ann', 'y_flow');
select mautomate.activate_workflow('y_flow');
select n, "check", passed, detail, fix from said('y_ann', 'y_flow');
select mautomate.track('y_ann', 'y_buy', '{"big": false}') > 0 as tracked;
select n, "check", passed, detail, fix from said('y_ann', 'y_flow');
select mautomate.track('y_ann', 'y_buy', '{"big": true}') > 0 as tracked;
select count(*) > 0 from mautomate.run();
select n, "check", passed, detail, fix from said('y_ann', 'y_flow');
select mautomate.set_clock('2030-01-04 12:00 UTC');
select n, "check", passed, fix from said('y_ann', 'y_flow') where not passed;
select count(*) > 0 from mautomate.run();
call mautomate.deliver();
select n, "check", passed, detail from said('y_ann', 'y_flow');
-- who cannot be reached when the step comes
select mautomate.track('y_none', 'y_buy', '{"big": true}') > 0 as tracked;
select count(*) > 0 from mautomate.run();
select mautomate.set_clock('2030-01-06 12:00 UTC');
select count(*) > 0 from mautomate.run();
select n, "check", passed, detail, fix from said('y_none', 'y_flow');
-- set aside
select mautomate.send('y_ann', 'y_hello', idempotency_key => 'y_held') > 0 as queued;
update mautomate_internal.outbox set state = 'held';
select n, "check", detail, fix from said('y_ann', 'y_hello') where not passed;
select mautomate.cancel_message(message_id) from mautomate.messages where idempotency_key = 'y_held';
select n, "check", detail, fix from said('y_ann', 'y_hello') where not passed;

-- the rate of its channel
select mautomate.create_channel('y_log', 'log', '{"rate": {"per_day": 1}}');
select count(mautomate.send('y_ann', 'y_hello')) from generate_series(1, 2);
call mautomate.deliver();
select n, "check", passed, regexp_replace(detail, 'goes at .*', 'goes at ...'), fix from said('y_ann', 'y_hello');
-- not why one waits for its time
select mautomate.send('y_ann', 'y_hello', not_before => mautomate.clock() + '1 day') > 0 as queued;
select "check", detail from said('y_ann', 'y_hello') where n = 1;
select count(mautomate.cancel_message(message_id)) from mautomate.messages where state = 'pending';
select mautomate.create_channel('y_log', 'log');
-- what went wrong in the template, and where
select mautomate.create_template('y_wrong', 'y_log', body => E'Hi\n{{ 1 | divided_by: 0 }}', transactional => true);
select mautomate.send('y_ann', 'y_wrong') > 0 as queued;
call mautomate.deliver();
select "check", detail from said('y_ann', 'y_wrong') where n = 1;

-- mistakes
select * from mautomate.explain_message('y_nobody', 'y_hello');
select * from mautomate.explain_message('y_ann', 'y_nothing');
select * from mautomate.explain_message('y_ann', '99999');
select mautomate.create_template('y_flow', 'y_log', body => 'Hi', transactional => true);
select * from mautomate.explain_message('y_ann', 'y_flow');
select count(*) > 0 from mautomate.explain_message('y_ann', 'workflow:y_flow');
select count(*) > 0 from mautomate.explain_message('y_ann', 'template:y_flow');
select mautomate.set_clock(null);
set client_min_messages = warning;
drop function said(text, text, timestamptz);
drop extension mautomate cascade;
