-- Workflows at work, with the clock set: who enters, what happens when.
set client_min_messages = warning;
drop extension if exists mautomate cascade;
create extension mautomate;
set search_path = mautomate, public;
set timezone = 'UTC';
select set_clock('2026-03-02 10:00+00');
select arm();
select create_channel('wr_log', 'log', '{}');
select create_template(t, 'wr_log', subject => t, body => t,
                       transactional => true)
from unnest('{wr_welcome,wr_sms,wr_mail,wr_review,wr_promo,wr_pricing,wr_help}'::text[]) t;
select create_static_list('wr_regulars');
select create_static_list('wr_trial');
select identify('wr_ann', 'wr_ann@example.com', null, '{"first_name": "Ann"}') > 0;
select identify('wr_bob', 'wr_bob@example.com') > 0;
select identify('wr_cat') > 0;

-- what a workflow did with a contact
create function wr_story(workflow text, who text)
returns table (at text, key text, step text, what text, result text)
language sql as $$
  select to_char(at, 'MM-DD HH24:MI'), key, step, what,
         regexp_replace(result, 'message \d+', 'message')
  from mautomate.explain_enrollment(workflow, who)
$$;
-- everything due up to an instant
create function wr_until(at timestamptz) returns void language sql as $$
  select mautomate.set_clock(at);
  select from mautomate.run(100000);
$$;

-- welcome: never twice
select create_workflow('wr_welcome', '{"entry": [{"event": "wr_signup"}],
  "reentry": "never",
  "steps": [{"id": "hello", "send": {"template": "wr_welcome"}}]}');
select activate_workflow('wr_welcome');
select track('wr_ann', 'wr_signup') > 0;
select count(*) > 0 as ran from run();
select track('wr_ann', 'wr_signup') > 0;
select * from wr_story('wr_welcome', 'wr_ann');

-- rolled back with the event
begin;
select track('wr_bob', 'wr_signup') > 0;
select count(*) from enrollments
where workflow = 'wr_welcome' and external_id = 'wr_bob';
rollback;
select * from wr_story('wr_welcome', 'wr_bob');

-- cart: a key, restart, exit by the same key, a branch for who has no address
select create_workflow('wr_cart', '{
  "entry": [{"event": "wr_cart", "when": "event.items > 0"}],
  "key": "entry.cart_id", "reentry": "restart",
  "exit": [{"event": "wr_purchase", "when": "event.cart_id = entry.cart_id"}],
  "steps": [{"id": "w", "wait": {"for": "4 hours"}},
            {"id": "s", "send": {"template": "wr_sms",
             "else": [{"add_to_list": "wr_regulars"}]}}]}');
select activate_workflow('wr_cart');
select track('wr_ann', 'wr_cart', '{"cart_id": "c1", "items": 1}') > 0;
select track('wr_ann', 'wr_cart', '{"cart_id": "c2", "items": 2}') > 0;
select track('wr_ann', 'wr_cart', '{"cart_id": "c3", "items": 0}') > 0;
select track('wr_cat', 'wr_cart', '{"cart_id": "c4", "items": 1}') > 0;
select count(*) > 0 as ran from run();
select from wr_until('2026-03-02 12:00+00');
select track('wr_ann', 'wr_cart', '{"cart_id": "c1", "items": 3}') > 0;
select track('wr_ann', 'wr_purchase', '{"cart_id": "c2"}') > 0;
select from wr_until('2026-03-02 14:30+00');
select key, step, state, wake_at, reason from enrollments
where workflow = 'wr_cart' order by key;
select from wr_until('2026-03-02 17:00+00');
select * from wr_story('wr_cart', 'wr_ann');
select * from wr_story('wr_cart', 'wr_cat');
select external_id, by from list_members where list = 'wr_regulars';

-- review: always, any number of active instances; a refund ends its own
select create_workflow('wr_review', '{"entry": [{"event": "wr_order"}],
  "key": "entry.order_id", "reentry": "always",
  "exit": [{"event": "wr_refund", "when": "event.order_id = entry.order_id"}],
  "steps": [{"id": "w", "wait": {"for": "7 days"}},
            {"id": "s", "send": {"template": "wr_review"}}]}');
-- first buy: the ordinal of the event is decided with the event
select create_workflow('wr_first', '{"entry": [{"event": "wr_order"}],
  "key": "entry.order_id", "reentry": "always",
  "steps": [{"id": "q", "if": "entry.nth = 1",
    "then": [{"id": "s", "send": {"template": "wr_promo",
              "context": {"code": "X10", "order": {"=": "entry.order_id"}}}}],
    "else": [{"add_to_list": "wr_regulars"}]}]}');
select activate_workflow(w) from unnest('{wr_review,wr_first}'::text[]) w;
select track('wr_bob', 'wr_order', '{"order_id": "o1"}') > 0;
select track('wr_bob', 'wr_order', '{"order_id": "o2"}') > 0;
select track('wr_bob', 'wr_order', '{"order_id": "o2"}') > 0;
select count(*) > 0 as ran from run();
select * from wr_story('wr_first', 'wr_bob');
select track('wr_bob', 'wr_refund', '{"order_id": "o1"}') > 0;
select from wr_until('2026-03-10 00:00+00');
select * from wr_story('wr_review', 'wr_bob');
select external_id from list_members where list = 'wr_regulars'
order by external_id;

-- pricing: again after 90 days, counted from the last entry
select create_workflow('wr_pricing', '{
  "entry": [{"event": "wr_download", "when": "event.file = ''pricing.pdf''"}],
  "reentry": {"after": "90 days"},
  "steps": [{"id": "s", "send": {"template": "wr_pricing"}}]}');
select activate_workflow('wr_pricing');
select track('wr_ann', 'wr_download', '{"file": "pricing.pdf"}') > 0;
select from wr_until('2026-04-10 00:00+00');
select track('wr_ann', 'wr_download', '{"file": "other.pdf"}') > 0;
select track('wr_ann', 'wr_download', '{"file": "pricing.pdf"}') > 0;
select from wr_until('2026-06-10 00:00+00');
select track('wr_ann', 'wr_download', '{"file": "pricing.pdf"}') > 0;
select count(*) > 0 as ran from run();
select * from wr_story('wr_pricing', 'wr_ann');

-- after_exit is the default; one statement that starts it many times
select create_workflow('wr_once', '{"entry": [{"event": "wr_visit"}],
  "steps": [{"id": "w", "wait": {"for": "1 day"}}, {"exit": "seen"}]}');
select activate_workflow('wr_once');
insert into event (contact_id, kind)
select contact_id, 'wr_visit' from contact, generate_series(1, 3)
where external_id = 'wr_ann';
select count(*) > 0 as ran from run();
select from wr_until('2026-06-11 00:00+00');
select track('wr_ann', 'wr_visit') > 0;
select * from wr_story('wr_once', 'wr_ann');

-- max_age: an old event counts but does not start
select track('wr_bob', 'wr_visit', '{}', '2026-06-09 23:00+00') > 0;
select track('wr_bob', 'wr_visit', '{}', '2026-06-10 01:00+00') > 0;
select * from wr_story('wr_once', 'wr_bob');

-- paused: nobody moves; who would enter is dropped or waits
select pause_workflow('wr_once');
select track('wr_cat', 'wr_visit') > 0;
select from wr_until('2026-06-15 00:00+00');
select * from wr_story('wr_once', 'wr_cat');
select pause_workflow('wr_once', 'queue');
select track('wr_cat', 'wr_visit') > 0;
select count(*) > 0 as ran from run();
select external_id, step, state from enrollments
where workflow = 'wr_once' and state = 'active' order by external_id;
select activate_workflow('wr_once');
select count(*) > 0 as ran from run();
select external_id, step, state, wake_at from enrollments
where workflow = 'wr_once' and state = 'active' order by external_id;

-- the rule of silence: merged events start nothing
select create_workflow('wr_silent', '{"entry": [{"event": "wr_quiet"}],
  "steps": [{"exit": "heard"}]}');
select track('wr_anonymous', 'wr_quiet') > 0;
select activate_workflow('wr_silent');
select alias('wr_anonymous', 'wr_bob') > 0;
select count(*) > 0 as ran from run();
select * from wr_story('wr_silent', 'wr_bob');

-- a list entered by a step of another workflow; by hand, existing members
select create_workflow('wr_trial', '{
  "entry": [{"list": "wr_trial", "change": "entered"}],
  "steps": [{"id": "w", "wait": {"until": {"event": "wr_login",
                                           "when": "event.ok = true"},
     "timeout": "5 days", "then": [{"exit": "came"}],
     "timed_out": [{"id": "h", "send": {"template": "wr_help"}}]}},
    {"exit": "helped"}]}');
select create_workflow('wr_start', '{"steps": [{"add_to_list": "wr_trial"}]}');
select enroll('wr_start', 'wr_ann');
select activate_workflow('wr_start');
select enroll('wr_start', 'wr_ann') > 0;
select enroll('wr_start', 'wr_ann', '[]');
select enroll('wr_start', 'wr_nobody');
select count(*) > 0 as ran from run();
set client_min_messages = notice;
select activate_workflow('wr_trial');
select activate_workflow('wr_trial', existing => true);
set client_min_messages = warning;
select enroll('wr_start', 'wr_bob') > 0;
select count(*) > 0 as ran from run();
select count(*) > 0 as ran from run();
select track('wr_ann', 'wr_login', '{"ok": false}') > 0;
select track('wr_bob', 'wr_login', '{"ok": true}') > 0;
select count(*) > 0 as ran from run();
select external_id, step, state, reason, wake_at from enrollments
where workflow = 'wr_trial' order by external_id;
select from wr_until('2026-06-21 00:00+00');
select * from wr_story('wr_trial', 'wr_ann');
select * from wr_story('wr_trial', 'wr_bob');

-- a tier reached, once in 30 days; a dynamic list entered and left as time
-- goes by, and an answer that is waited for
select create_score('wr_heat');
select create_score_rule('wr_heat', 'visits', 10, event => 'wr_page');
select create_score_tier('wr_heat', 'hot', 20);
select create_list('wr_idle', $$ever('wr_page') and elapsed('wr_page') > '10 days'$$);
select create_workflow('wr_hot', '{
  "entry": [{"tier": {"score": "wr_heat", "reached": "hot"}}],
  "reentry": {"after": "30 days"},
  "steps": [{"id": "s", "send": {"template": "wr_pricing",
             "context": {"score": {"=": "score(''wr_heat'')"}}}}]}');
select create_workflow('wr_idle', '{
  "entry": [{"list": "wr_idle", "change": "entered"}],
  "steps": [{"id": "s", "send": {"template": "wr_help"}},
    {"id": "w", "wait": {"until": {"event": "wr_replied"}, "timeout": "7 days",
      "timed_out": [{"add_to_list": "wr_regulars"}]}}]}');
select create_workflow('wr_back', '{
  "entry": [{"list": "wr_idle", "change": "left"}],
  "steps": [{"exit": "welcome back"}]}');
select activate_workflow(w) from unnest('{wr_hot,wr_idle,wr_back}'::text[]) w;
select track('wr_ann', 'wr_page') > 0;
select track('wr_bob', 'wr_page') > 0;
select from wr_until('2026-06-21 01:00+00');
select track('wr_bob', 'wr_page') > 0;
select from wr_until('2026-06-21 02:00+00');
select * from wr_story('wr_hot', 'wr_ann');
select * from wr_story('wr_hot', 'wr_bob');
select m.data from mautomate_internal.message m
join enrollments e using (enrollment_id) where e.workflow = 'wr_hot';
select from wr_until('2026-07-05 00:00+00');
select * from wr_story('wr_idle', 'wr_ann');
select external_id, step, wake_at from enrollments
where workflow = 'wr_idle' order by external_id;
select track('wr_ann', 'wr_replied') > 0;
select track('wr_ann', 'wr_page') > 0;
select from wr_until('2026-07-10 00:00+00');
select * from wr_story('wr_idle', 'wr_ann');
select * from wr_story('wr_idle', 'wr_bob');
select * from wr_story('wr_back', 'wr_ann');
select * from wr_story('wr_back', 'wr_bob');

-- deal stage: an end by the event that would start it, told apart by the entry
select create_workflow('wr_deal', '{
  "entry": [{"event": "wr_stage", "when": "event.stage = ''proposal''"}],
  "key": "entry.deal_id",
  "exit": [{"event": "wr_replied"},
    {"event": "wr_stage", "when": "event.deal_id = entry.deal_id and event.stage <> ''proposal''"}],
  "steps": [{"id": "w1", "wait": {"for": "3 days"}},
    {"id": "f1", "send": {"template": "wr_mail"}},
    {"id": "w2", "wait": {"for": "5 days"}},
    {"id": "f2", "send": {"template": "wr_mail"}}]}');
select activate_workflow('wr_deal');
select track('wr_ann', 'wr_stage', '{"deal_id": "d1", "stage": "proposal"}') > 0;
select track('wr_ann', 'wr_stage', '{"deal_id": "d2", "stage": "proposal"}') > 0;
select from wr_until('2026-07-14 00:00+00');
select track('wr_ann', 'wr_stage', '{"deal_id": "d2", "stage": "won"}') > 0;
select from wr_until('2026-07-20 00:00+00');
select * from wr_story('wr_deal', 'wr_ann');

-- a year ahead: chains replay in the order in which they were due
select create_workflow('wr_fast', '{
  "steps": [{"id": "a", "wait": {"for": "15 days"}},
            {"id": "b", "wait": {"for": "5 days"}}, {"exit": "end"}]}');
select activate_workflow(w) from unnest('{wr_fast}'::text[]) w;
select create_workflow('wr_chain', '{
  "steps": [{"id": "a", "wait": {"for": "10 days"}},
            {"id": "b", "wait": {"for": "1 mon"}},
            {"id": "c", "wait": {"for": "3 mons"}}, {"exit": "end"}]}');
select activate_workflow('wr_chain');
select enroll('wr_chain', 'wr_ann') > 0, enroll('wr_fast', 'wr_ann') > 0;
select from wr_until('2027-07-20 00:00+00');
select w.name, l.step, l.result
from mautomate_internal.enrollment_log l
join mautomate_internal.enrollment using (contact_id, enrollment_id)
join mautomate_internal.workflow w using (workflow_id)
where w.name in ('wr_chain', 'wr_fast') order by l.log_id;

-- a loop: every day for a year, more waits than one batch takes
select create_workflow('wr_loop', '{"reentry": "never",
  "exit": [{"event": "wr_enough"}],
  "steps": [{"id": "d", "wait": {"for": "1 day"}}, {"goto": "d"}]}');
select activate_workflow('wr_loop');
select set_clock('2026-07-20 00:00+00');
select enroll('wr_loop', 'wr_ann') > 0;
select from wr_until('2027-07-20 00:00+00');
select count(*) from mautomate_internal.enrollment_log l
join enrollments e using (enrollment_id)
where e.workflow = 'wr_loop' and l.step = 'd';
select track('wr_ann', 'wr_enough') > 0;
select count(*) > 0 as ran from run();
select state, reason from enrollments where workflow = 'wr_loop';

-- switch, when, goto, emit, enroll, unenroll, steps.x
select create_workflow('wr_other', '{"steps": [
  {"id": "w", "wait": {"for": "100 years"}}]}');
select create_workflow('wr_all', '{"entry": [{"event": "wr_go"}],
  "steps": [{"enroll": "wr_other"},
    {"id": "z", "wait": {"for": "1 second"}},
    {"id": "n", "when": "count(''wr_tick'') < 2",
     "emit": {"event": "wr_tick", "properties": {"of": {"=": "contact.first_name"}}}},
    {"id": "x", "switch": [
       {"when": "count(''wr_tick'') >= 2", "steps": [{"unenroll": "wr_other"}]},
       {"when": "steps.n.verb = ''emit''", "steps": [{"goto": "z"}]}],
     "default": [{"exit": "never"}]}]}');
select activate_workflow(w) from unnest('{wr_other,wr_all}'::text[]) w;
select track('wr_ann', 'wr_go') > 0;
select from wr_until('2027-07-20 00:00:05+00');
select * from wr_story('wr_all', 'wr_ann');
select * from wr_story('wr_other', 'wr_ann');
select kind, properties from event where kind = 'wr_tick';

-- a time of the day, in the contact's zone: 09:00 on weekdays, first in Tokyo
-- (Tuesday 2027-07-20 09:00 in Tokyo is 00:00 UTC, which is not after now)
select identify('wr_ken', 'wr_ken@example.com', null, '{"timezone": "Asia/Tokyo"}') > 0;
select create_workflow('wr_at', '{"steps": [
  {"id": "w", "wait": {"until": {"at": "09:00", "days": "mon-tue,sat"}}},
  {"id": "z", "wait": {"until": {"at": "09:00", "zone": "Europe/London"}}}]}');
-- meeting: a date of the event, a day before; what is past ends or goes on
select create_workflow('wr_meeting', '{"entry": [{"event": "wr_meeting"}],
  "key": "entry.meeting_id", "reentry": "restart",
  "exit": [{"event": "wr_cancelled", "when": "event.meeting_id = entry.meeting_id"}],
  "steps": [{"id": "c", "send": {"template": "wr_mail"}},
    {"id": "w", "wait": {"until": {"date": "entry.starts_at", "offset": "-1 day",
                                   "if_past": "exit"}}},
    {"id": "r", "send": {"template": "wr_help"}}]}');
select create_workflow('wr_dates', '{"steps": [
  {"id": "p", "wait": {"until": {"date": "entry.at", "if_past": "skip_next"}}},
  {"id": "skipped", "send": {"template": "wr_mail"}},
  {"id": "n", "wait": {"until": {"date": "entry.none"}}},
  {"id": "d", "wait": {"until": {"date": "entry.at", "offset": "1 mon", "at": "08:30"}}}]}');
-- onboarding: only people reached wait for the window
select create_workflow('wr_window', '{
  "window": {"days": "mon-fri", "from": "09:00", "to": "18:00",
             "blocked": ["2027-07-21"]},
  "steps": [{"id": "a", "send": {"template": "wr_welcome"}},
    {"id": "w", "wait": {"for": "2 days"}},
    {"id": "b", "send": {"template": "wr_help"}}]}');
select activate_workflow(w) from unnest('{wr_at,wr_meeting,wr_dates,wr_window}'::text[]) w;
select enroll('wr_at', 'wr_ken') > 0, enroll('wr_at', 'wr_ann') > 0,
       enroll('wr_window', 'wr_ken') > 0, enroll('wr_window', 'wr_ann') > 0;
select track('wr_ann', 'wr_meeting', '{"meeting_id": "m1", "starts_at": "2027-07-22 15:00+00"}') > 0;
select track('wr_ann', 'wr_meeting', '{"meeting_id": "m2", "starts_at": "2027-07-20 15:00+00"}') > 0;
select track('wr_ann', 'wr_meeting', '{"meeting_id": "m3", "starts_at": "2027-07-23 15:00+00"}') > 0;
select enroll('wr_dates', 'wr_ann', '{"at": "2027-07-19 12:00+00"}') > 0;
select count(*) > 0 as ran from run();
select workflow, external_id, key, step, wake_at from enrollments
where workflow in ('wr_at', 'wr_meeting', 'wr_dates', 'wr_window')
  and state = 'active' order by 1, 2, 3;
select track('wr_ann', 'wr_cancelled', '{"meeting_id": "m3"}') > 0;
select track('wr_ann', 'wr_meeting', '{"meeting_id": "m1", "starts_at": "2027-07-25 15:00+00"}') > 0;
select from wr_until('2027-07-21 12:00+00');
select workflow, external_id, key, step, wake_at from enrollments
where workflow in ('wr_at', 'wr_meeting', 'wr_dates', 'wr_window')
  and state = 'active' order by 1, 2, 3;
select from wr_until('2027-08-30 00:00+00');
select w.name, c.external_id, e.key, l.step, l.result is not null as told
from mautomate_internal.enrollment_log l
join mautomate_internal.enrollment e using (contact_id, enrollment_id)
join mautomate_internal.workflow w using (workflow_id)
join contact c using (contact_id)
where w.name in ('wr_at', 'wr_meeting', 'wr_dates', 'wr_window')
order by l.log_id;
select key, state, reason from enrollments where workflow = 'wr_meeting' order by key;
select set_clock('2027-07-20 00:00:05+00');

-- attributes and the stage; what does not fit fails visibly
select define_attribute('wr_size', 'numeric');
select create_workflow('wr_set', '{"steps": [
  {"set": {"wr_size": {"=": "coalesce(contact.wr_size, 0) + 1"},
           "last_name": "Bee"}},
  {"id": "q", "if": "contact.wr_size = 1 and contact.last_name = ''Bee''",
   "then": [{"stage": "customer"}],
   "else": [{"set": {"wr_size": null, "locale": {"=": "context.locale"}}}]}]}');
select create_workflow('wr_staged', '{"entry": [{"stage": "customer"}],
  "steps": [{"exit": "noticed"}]}');
select create_workflow('wr_unfit', '{"steps": [
  {"set": {"wr_size": {"=": "''big'' || contact.last_name"}}}]}');
select activate_workflow(w) from unnest('{wr_set,wr_staged,wr_unfit}'::text[]) w;
select enroll('wr_set', 'wr_ann') > 0;
select count(*) > 0 as ran from run();
select last_name, stage, attributes from contact where external_id = 'wr_ann';
select * from wr_story('wr_staged', 'wr_ann');
select enroll('wr_set', 'wr_ann', '{"locale": "fr"}') > 0,
       enroll('wr_unfit', 'wr_ann') > 0;
select count(*) > 0 as ran from run();
select last_name, stage, locale, attributes from contact
where external_id = 'wr_ann';
select state, reason from enrollments where workflow = 'wr_unfit';

-- an expression that fails: retried alone, in the end given up, and nobody
-- else is held up
select create_workflow('wr_fail', '{"entry": [{"event": "wr_odd"}],
  "key": "entry.n", "reentry": "always",
  "steps": [{"id": "q", "if": "1 / (entry.n)::int > 0", "then": [],
             "else": [{"id": "q2", "exit": "no"}]}]}');
select activate_workflow(w) from unnest('{wr_fail}'::text[]) w;
insert into event (contact_id, kind, properties)
select contact_id, 'wr_odd', jsonb_build_object('n', n::text)
from contact, generate_series(0, 2) n where external_id = 'wr_ann';
select count(*) > 0 as ran from run();
select workflow, key, step, state, reason from enrollments
where workflow in ('wr_fail') order by workflow, key;
select from wr_until('2027-07-20 01:00+00');
select from wr_until('2027-07-20 02:00+00');
select from wr_until('2027-07-20 03:00+00');
select from wr_until('2027-07-20 04:00+00');
select workflow, key, step, state, reason from enrollments
where workflow in ('wr_fail') order by workflow, key;
select object, message, count(*) from errors
where object like 'workflow "wr%' group by 1, 2 order by 1, 2;

-- a condition that fails never fails the statement
select create_workflow('wr_broken', '{
  "entry": [{"event": "wr_divide", "when": "1 / (event.n)::int > 0"}],
  "steps": [{"exit": "x"}]}');
select activate_workflow('wr_broken');
insert into event (contact_id, kind, properties)
select contact_id, 'wr_divide', jsonb_build_object('n', n)
from contact, generate_series(0, 1) n where external_id = 'wr_ann';
select count(*) > 0 as ran from run();
select * from wr_story('wr_broken', 'wr_ann');
select object, message, count(*) from errors
where object = 'workflow "wr_broken"' group by 1, 2;

-- versions are pinned: who is on the way stays on the old one
select create_workflow('wr_version', '{"steps": [
  {"id": "w", "wait": {"for": "1 day"}}, {"exit": "one"}]}');
select activate_workflow('wr_version');
select enroll('wr_version', 'wr_ann') > 0;
select count(*) > 0 as ran from run();
select create_workflow('wr_version', '{"steps": [{"exit": "two"}]}');
select enroll('wr_version', 'wr_bob') > 0;
select activate_workflow('wr_version');
select enroll('wr_version', 'wr_cat') > 0;
select enroll('wr_version', 'wr_ann') is null;
select from wr_until('2027-07-23 00:00+00');
select external_id, version, state, reason from enrollments
where workflow = 'wr_version' order by external_id;

-- out by hand; then in again
select enroll('wr_other', 'wr_bob') > 0;
select unenroll('wr_other', 'wr_bob'), unenroll('wr_other', 'wr_bob');
select enroll('wr_other', 'wr_bob') > 0;

-- a step is executed once: the key says so
\set VERBOSITY terse
insert into mautomate_internal.enrollment_log
  (contact_id, enrollment_id, step, pass, verb, executed_at)
select contact_id, enrollment_id, step, pass, verb, executed_at
from mautomate_internal.enrollment_log limit 1;
\set VERBOSITY default

-- enrolments in another order than their contacts, one contact twice
select create_static_list('wr_all');
select define_event('wr_go') is null as told;
select create_workflow('wr_many', '{"entry": [{"event": "wr_go"}], "key": "entry.n", "reentry": "always",
  "steps": [{"add_to_list": "wr_all"}]}');
select activate_workflow('wr_many');
select count(identify('wr_m' || i)) from generate_series(1, 300) i;
select track('wr_m300', 'wr_go', '{"n": 0}') > 0;
select count(track('wr_m' || i, 'wr_go', '{"n": 1}')) from generate_series(1, 300) i;
select count(*) from run();
select count(*) from list_members where list = 'wr_all';

-- a list with an expression is decided against: for a time, or until a date
select set_clock('2030-01-01 12:00+00');
select define_attribute('wr_money', 'int'), define_attribute('wr_ends', 'date'), define_event('wr_pick'), define_event('wr_in');
select create_list('wr_rich', 'contact.wr_money > 5'), create_static_list('wr_some');
select create_workflow('wr_hand', '{"entry": [{"event": "wr_pick"}], "key": "entry.n", "reentry": "always", "steps": [
  {"add_to_list": "wr_rich"}, {"remove_from_list": "wr_rich", "override": false, "for": "0 days"},
  {"add_to_list": "wr_rich", "override": true, "for": "1 day", "until": {"date": "contact.wr_ends"}},
  {"add_to_list": "wr_some", "until": {"day": "x"}, "when": "true"}, {"add_to_list": "wr_some", "until": "2030-01-01"}]}');
select create_workflow('wr_hand', '{"entry": [{"event": "wr_pick"}], "key": "entry.n", "reentry": "always", "steps": [
  {"add_to_list": "wr_rich", "override": true, "for": "2 days"},
  {"id": "in", "if": "in_list(''wr_rich'')", "then": [{"emit": {"event": "wr_in"}}]},
  {"id": "w", "wait": {"for": "1 day"}},
  {"remove_from_list": "wr_rich", "override": true, "until": {"date": "contact.wr_ends", "offset": "1 day", "at": "12:00", "zone": "UTC"}},
  {"add_to_list": "wr_some", "for": "12 hours"},
  {"id": "x", "wait": {"for": "5 days"}},
  {"remove_from_list": "wr_rich", "override": true}]}');
select activate_workflow('wr_hand');
select count(identify('wr_l' || i, attributes => jsonb_build_object('wr_money', i, 'wr_ends', case when i < 9 then '2030-01-01'::date + i end))) from generate_series(0, 9) i;
select track('wr_l9', 'wr_pick', '{"n": 0}') > 0;
select count(track('wr_l' || i, 'wr_pick', '{"n": 1}')) from generate_series(0, 9) i;
select count(*) > 0 from run();
select external_id, entered, until from list_overrides where list = 'wr_rich' order by 1;
select count(*), count(distinct contact_id) from mautomate.event where kind = 'wr_in';
-- the runner comes too late for some of the dates
select set_clock('2030-01-02 12:00+00');
select count(*) > 0 from run();
select external_id, entered, until from list_overrides where list in ('wr_rich', 'wr_some') order by list, 1;
select m.list, string_agg(m.external_id, ' ' order by m.external_id) from list_members m where m.list in ('wr_rich', 'wr_some') group by 1 order by 1;
select result, count(*) from mautomate_internal.enrollment_log where verb = 'remove_from_list' and step like 'steps[3]%' group by 1 order by 1;
select * from verify();
-- each ends at its instant
select set_clock('2030-01-05 12:00+00');
select count(*) > 0 from run();
select external_id, entered, until from list_overrides where list in ('wr_rich', 'wr_some') order by list, 1;
select m.list, string_agg(m.external_id, ' ' order by m.external_id) from list_members m where m.list in ('wr_rich', 'wr_some') group by 1 order by 1;
select external_id, changed_at, entered, by from mautomate_internal.list_change c join mautomate_internal.list l using (list_id) join contact using (contact_id) where l.name = 'wr_rich' and external_id in ('wr_l2', 'wr_l8') order by 1, 2;
-- and for good
select set_clock('2030-02-01 12:00+00');
select count(*) > 0 from run();
select count(*), min(until) from list_overrides where list = 'wr_rich' and not entered;
select count(*) from list_members where list in ('wr_rich', 'wr_some');
select count(*) from mautomate_internal.enrollment_log l join mautomate_internal.enrollment e using (contact_id, enrollment_id) join mautomate_internal.workflow w using (workflow_id) where w.name = 'wr_hand';
select * from verify();

-- what templates see of the event that answered a wait: nothing before, then
-- it, over batches and a merge, until the enrolment starts again
select create_workflow('wr_paid', '{
  "entry": [{"event": "wr_ordered"}], "reentry": "restart", "key": "entry.no",
  "steps": [{"id": "a", "send": {"template": "wr_mail"}},
    {"id": "w", "wait": {"until": {"event": "wr_money", "when": "event.no = entry.no"}}},
    {"id": "b", "send": {"template": "wr_mail"}},
    {"id": "p", "wait": {"for": "1 day"}},
    {"id": "c", "send": {"template": "wr_mail"}},
    {"id": "q", "wait": {"for": "1 day"}}]}');
select activate_workflow('wr_paid');
select identify('wr_payer', 'wr_payer@example.com') > 0, identify('wr_payer_2', 'wr_payer_2@example.com') > 0;
select track('wr_payer_2', 'wr_ordered', '{"no": 1}') > 0;
select count(*) > 0 as ran from run();
select track('wr_payer_2', 'wr_money', '{"no": 2, "paid": 50}') > 0, track('wr_payer_2', 'wr_money', '{"no": 1, "paid": 70}') > 0;
select count(*) > 0 as ran from run();
select alias('wr_payer_2', 'wr_payer') > 0;
select from wr_until(clock() + '1 day');
select track('wr_payer', 'wr_ordered', '{"no": 1}') > 0;
select count(*) > 0 as ran from run();
select data -> 'entry' -> 'no' as no, data -> 'event' as event from mautomate_internal.message
  where data -> 'entry' ->> 'kind' = 'wr_ordered' order by message_id;

-- clean up
select pause_workflow(workflow) from workflows where workflow like 'wr%';
select drop_workflow(workflow) from workflows where workflow like 'wr%'
order by workflow in ('wr_other'), workflow;
select count(*) from mautomate_internal.wakeup;
select drop_list(l) from unnest('{wr_idle,wr_regulars,wr_trial,wr_all,wr_rich,wr_some}'::text[]) l;
select drop_score('wr_heat');
drop function wr_story, wr_until;
select set_clock(null);
