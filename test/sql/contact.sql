-- identify, alias, tag: who is who, and what is known of them.
set client_min_messages = warning;
drop extension if exists mautomate cascade;
create extension mautomate;
reset client_min_messages;

-- upsert: null leaves, a null attribute removes, an empty string removes
select mautomate.identify('k1', ' Ann@Example.COM ', '+44 (0)20 7946 0000',
  '{"first_name": "Ann", "lang": "en", "vip": true}') as k1 \gset
select mautomate.identify('k1', null, null,
  '{"lang": null, "age": 3, "timezone": "Europe/Paris"}') = :k1 as same;
select external_id, email, phone, first_name, timezone, attributes
from mautomate.contacts where contact_id = :k1;
select mautomate.identify('k1', '', '') = :k1 as same;
select external_id, email, phone from mautomate.contacts
where contact_id = :k1;
-- what says nothing new writes nothing
select xmin::text as before from mautomate.contact where contact_id = :k1 \gset
select mautomate.identify('k1', null, null, '{"age": 3, "lang": null}') = :k1 as same;
select xmin::text = :'before' as untouched from mautomate.contact
where contact_id = :k1;

-- declared attributes are checked, others are taken as they are
select mautomate.define_attribute('k_age', 'int');
select mautomate.define_attribute('k_age', 'int');
select mautomate.define_attribute('k_age', 'int', 'years');
select mautomate.define_attribute('k_born', 'date');
select mautomate.define_attribute('k_extra', 'jsonb');
select mautomate.identify('k1', null, null,
  '{"k_age": "41", "k_born": "1980-02-29", "k_extra": [1, {"a": null}]}') = :k1 as same;
select attributes from mautomate.contacts where contact_id = :k1;
\set VERBOSITY verbose
\set SHOW_CONTEXT never
select mautomate.identify('k1', null, null, '{"k_age": "many"}');
select mautomate.identify('k1', null, null, '{"k_age": 1.5}');
select mautomate.identify('k1', null, null, '{"k_age": true}');
select mautomate.identify('k1', null, null, '{"k_born": 1980}');
select mautomate.identify('k1', null, null, '{"k_born": "1981-02-29"}');
select mautomate.identify('k1', null, null, '{"k_born": {}}');
\set VERBOSITY default
set datestyle = 'German, DMY';
select mautomate.identify('k1', null, null, '{"k_born": "29.02.1980"}');
reset datestyle;

-- bad input leaves nothing half done
select mautomate.identify('bad', 'no at sign');
select mautomate.identify('bad', null, '12345');
select mautomate.identify('bad', null, null, '["x"]');
select mautomate.identify('bad', null, null, '{"first_name": 1}');
select mautomate.identify('bad', null, null, '{"timezone": "Mars/Base"}');
select mautomate.identify('bad', null, null, '{"email": "a@example.com"}');
select mautomate.identify('bad', null, null, '{"": 1}');
select mautomate.identify('');
select mautomate.identify(null);
select count(*) from mautomate.contact where external_id = 'bad';
select mautomate.define_attribute('email', 'text');
select mautomate.define_attribute('first_name', 'text');
select mautomate.define_attribute('k_x', 'anyelement');
select mautomate.define_attribute('k_x', 'int[]');
select mautomate.define_attribute('k_x', 'mautomate.contact');
select mautomate.define_attribute(null, 'int');

-- known by an address only
select mautomate.identify(null, 'guest@example.com') as guest \gset
select mautomate.identify(null, 'GUEST@example.com', null, '{"first_name": "Gus"}') = :guest as same;
select mautomate.identify(null, null, '+33 1 23 45 67 89') as caller \gset
select mautomate.identify(null, null, '0033123456789') = :caller as same;
-- the one with an external id takes over
select mautomate.track('guest@example.com', 'k_visit', '{}', '2020-01-01', 'v1') as event_id \gset
select mautomate.identify('k2', 'Guest@example.com') as k2 \gset
select mautomate.identify('k2', null, '+33123456789') = :k2 as same;
select external_id, email, phone, first_name from mautomate.contacts
where contact_id in (:k2, :guest, :caller);
select merged_into = :k2 as merged from mautomate.contact
where contact_id in (:guest, :caller);
select contact_id = :k2 as moved, event_id = :event_id as same_event
from mautomate.event where kind = 'k_visit';
select mautomate.track('guest@example.com', 'k_visit', '{}', '2020-01-01', 'v1') = :event_id as repeated;

-- two external ids with one address
select mautomate.identify('k3', 'guest@example.com') as k3 \gset
select mautomate.identify('k3', 'guest@example.com') = :k3 as same;
select mautomate.tag('guest@example.com', 'x');
set mautomate.identity = refuse;
select mautomate.identify('k4', 'guest@example.com');
select count(*) from mautomate.contact where external_id = 'k4';
set mautomate.identity = allow;
select mautomate.identify('k4', 'guest@example.com') > 0 as stored;
reset mautomate.identity;

-- alias: one person, two ids
select mautomate.track('cookie', 'k_view', '{"n": 1}', '2020-01-01', 'd') as event_1 \gset
select mautomate.track('k5', 'k_view', '{"n": 1}', '2020-01-02', 'd') as event_2 \gset
select mautomate.track('cookie', 'k_view', '{"n": 2}', '2020-01-03') as event_3 \gset
select mautomate.identify('cookie', null, null, '{"lang": "fr", "seen": 1}') as cookie \gset
select mautomate.identify('k5', null, null, '{"lang": "de"}') as k5 \gset
select mautomate.alias('cookie', 'k5') = :k5 as survivor;
select mautomate.alias('cookie', 'k5') = :k5 as again;
select kind, properties, occurred_at, event_id in (:event_2, :event_3) as kept
from mautomate.timeline('cookie', '2000-01-01');
select attributes from mautomate.contacts where contact_id = :k5;
select count(*) from mautomate.contacts where contact_id = :cookie;
-- a chain leads to the living one, in one step
select mautomate.alias('k5', 'k6') as k6 \gset
select merged_into = :k6 as one_step from mautomate.contact
where contact_id in (:cookie, :k5);
select mautomate.track('cookie', 'k_view', '{"n": 4}', '2020-01-04') > 0 as stored;
select count(*) from mautomate.event where contact_id = :k6;
-- never merged on a shared device
select mautomate.alias('cookie', 'k1') = :k1 as unchanged;
select mautomate.alias('k6', 'k6') = :k6 as same;
-- both unknown: both are known from now on
select mautomate.alias('new cookie', 'k7') as k7 \gset
select contact_id = :k7 as k7 from mautomate.contacts where external_id = 'k7';
select mautomate.identify('new cookie', null, null, '{"first_name": "Nina"}') = :k7 as k7;
select mautomate.alias('x', null);
select mautomate.alias('', 'x');

-- a merge moves lists and enrolments, and starts nothing
select mautomate.create_static_list('k_chosen');
select mautomate.create_list('k_busy', $$count('k_click') >= 2$$);
select mautomate.create_workflow('k_flow', '{"entry": [{"event": "k_click"}, {"list": "k_busy", "change": "entered"}],
  "key": "entry.n", "reentry": "after_exit", "max_age": "100 years", "steps": [{"id": "w", "wait": {"for": "1 day"}}]}');
select mautomate.activate_workflow('k_flow');
select mautomate.arm();
select mautomate.track('k8', 'k_click', '{"n": "one"}') > 0, mautomate.track('cookie 8', 'k_click', '{"n": "one"}') > 0,
  mautomate.track('cookie 9', 'k_click', '{"n": "two"}') > 0;
select mautomate.add_to_list('k_chosen', 'cookie 8');
select mautomate.alias('cookie 8', 'k8') > 0, mautomate.alias('cookie 9', 'k8') > 0;
select list, external_id, by from mautomate.list_members where list like 'k\_%' order by 1, 2;
select workflow, external_id, key, state, reason from mautomate.enrollments where workflow = 'k_flow' order by key, state;
select * from mautomate.verify();
select mautomate.disarm();
select mautomate.pause_workflow('k_flow');

-- events of nobody, and of somebody merged
insert into mautomate.event (contact_id, kind, properties) select contact_id, 'k_click', '{"n": "three"}'
from mautomate.contact where external_id = 'cookie 8';
select count(*) from mautomate.timeline('k8') where kind = 'k_click';
insert into mautomate.event (contact_id, kind) values (0, 'k_click');

-- tags
select mautomate.tag('k1', 'vip'), mautomate.tag('k1', 'vip'), mautomate.tag('k1', 'a');
select attributes -> 'tags' from mautomate.contacts where contact_id = :k1;
select mautomate.untag('k1', 'vip'), mautomate.untag('k1', 'vip'), mautomate.untag('k1', 'a');
select attributes ? 'tags' from mautomate.contacts where contact_id = :k1;
select mautomate.tag('nobody', 'vip');
select mautomate.tag('k1', '');
select * from mautomate.timeline('nobody');

-- what no index takes; messages are no longer than they need to be
\set VERBOSITY terse
select mautomate.identify(repeat('x', 1001));
select mautomate.track(repeat('y', 1001), 'k_event');
select mautomate.alias(repeat('z', 1001), 'k_ann');
select mautomate.identify('k_long', repeat('é', 500) || '@example.com');
\set VERBOSITY default

-- the next test has its own
set client_min_messages = warning;
drop extension mautomate cascade;
