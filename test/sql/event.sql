-- track, track_batch, define_event: the log.
set client_min_messages = warning;
drop extension if exists mautomate cascade;
create extension mautomate;
reset client_min_messages;

select mautomate.define_event('e_buy', '{"amount": "numeric", "items": "int4"}', 'an order');
select mautomate.define_event('e_buy', '{"amount": "decimal", "items": "integer"}', 'an order');
select mautomate.define_event('e_buy', '{"amount": "numeric"}');
select kind, properties, description from mautomate.event_kinds where kind = 'e_buy';
select mautomate.define_event('e_buy', '{"amount": "nume"}');
select mautomate.define_event('e_buy', '{"amount": 1}');
select mautomate.define_event('e_buy', '[]');
select mautomate.define_event('list_entered');
select mautomate.define_event('');

-- unknown persons become contacts
select mautomate.track('e1', 'e_buy', '{"amount": 3}', '2020-01-01 00:00+00') as first \gset
select mautomate.track('e1@example.com', 'e_buy', '{"amount": 4}', '2020-01-02 00:00+00', 'order 1') as second \gset
select mautomate.track('e1@example.com', 'e_buy', '{"amount": 5}', '2020-01-03 00:00+00', 'order 1') = :second as repeated;
select mautomate.track('e1', 'e_buy', '{"amount": 5}', '2020-01-03 00:00+00', 'order 1') > :second as another_persons;
select mautomate.track(null, 'e_buy') is null as nobody;
select coalesce(c.external_id, c.email), e.occurred_at at time zone 'UTC', e.properties
from mautomate.event e join mautomate.contact c using (contact_id)
where e.kind = 'e_buy' order by e.event_id;
select mautomate.track('e1', 'e_now') > 0 as stored;
select occurred_at between now() - interval '1 minute' and clock_timestamp() as now
from mautomate.event where kind = 'e_now';

-- bad input
select mautomate.track('e1', null);
select mautomate.track('e1', '');
select mautomate.track('e1', 'tier_changed');
select mautomate.track('e1', 'e_buy', '[1]');
select mautomate.track('e1', 'e_buy', '{}', 'infinity');
select mautomate.track('e2@', 'e_buy');
select mautomate.track('', 'e_buy'), mautomate.track_batch('[{"who": "", "kind": "e_buy"}]');
select mautomate.track('e1', repeat('k', 401));
insert into mautomate.event (contact_id, kind) select contact_id, repeat('k', 401) from mautomate.contact where external_id = 'e1';
set mautomate.refresh = deferred;
insert into mautomate.event (contact_id, kind) select contact_id, repeat('k', 401) from mautomate.contact where external_id = 'e1';
reset mautomate.refresh;
select mautomate.track('e1', 'e_buy', dedupe_key => repeat('k', 1001));
select mautomate.track_batch(jsonb_build_array(jsonb_build_object('who', 'e1', 'kind', 'e_buy', 'dedupe_key', repeat('k', 1001))));

-- batches
select mautomate.track_batch('[
  {"who": "e1", "kind": "e_batch", "properties": {"n": 1}, "occurred_at": "2020-01-01T00:00:00"},
  {"who": "e3", "kind": "e_batch", "properties": {"n": 2}, "occurred_at": "2020-01-02", "dedupe_key": "b"},
  {"who": "e3", "kind": "e_batch", "properties": {"n": 3}, "occurred_at": "2020-01-03", "dedupe_key": "b"},
  {"who": "e4@example.com", "kind": "e_batch", "properties": null, "occurred_at": "2020-01-04"},
  {"who": 5, "kind": "e_batch", "occurred_at": "2020-01-05"},
  {"who": null, "kind": "e_batch"},
  {"kind": "e_batch"}]');
select coalesce(c.external_id, c.email), e.occurred_at at time zone 'UTC', e.properties
from mautomate.event e join mautomate.contact c using (contact_id)
where e.kind = 'e_batch' order by e.occurred_at;
select mautomate.track_batch('[]');
select mautomate.track_batch('{}');
select mautomate.track_batch('1');
select mautomate.track_batch('[1]');
select mautomate.track_batch('[{"who": "e9"}]');
select mautomate.track_batch('[{"who": "e9", "kind": "e_batch"}, {"who": "e9", "kind": "e_batch", "occured_at": "2020-01-01"}]');
select mautomate.track_batch('[{"who": "e9", "kind": "e_batch"}, {"who": "e9", "kind": "e_batch", "occurred_at": "yesterday at noon"}]');
select mautomate.track_batch('[{"who": "e9", "kind": "e_batch", "properties": [1]}]');
select mautomate.track_batch('[{"who": {}, "kind": "e_batch"}]');
select mautomate.track_batch('[{"who": "e 9@example", "kind": "e_batch"}]');
select count(*) from mautomate.contact where external_id = 'e9';

-- many, in several chunks, some repeated
select mautomate.track_batch(jsonb_agg(jsonb_build_object('who', 'm' || n % 700,
  'kind', 'e_many', 'dedupe_key', 'key ' || n % 2500))) from generate_series(1, 3500) n;
select count(*), count(distinct contact_id) from mautomate.event where kind = 'e_many';

-- what is inserted by hand is no less an event
\set VERBOSITY terse
insert into mautomate.event (contact_id, kind) values (1, '');
insert into mautomate.event (contact_id, kind, occurred_at) values (1, 'e_hand', 'infinity');
insert into mautomate.event (contact_id, kind, properties) values (1, 'e_hand', '[1]');
insert into mautomate.event (contact_id, kind, properties) values (1, 'e_hand', 'null');
\set VERBOSITY default
