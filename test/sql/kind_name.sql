-- Dropping and renaming attributes and kinds of events.
set client_min_messages = warning;
create extension if not exists mautomate;
\set SHOW_CONTEXT never
select mautomate.define_attribute('kn_size', 'int'), mautomate.define_attribute('kn_color', 'text'), mautomate.define_attribute('kn_taken', 'text');
select mautomate.define_event('kn_buy', '{"amount": "numeric"}'), mautomate.define_event('kn_look'), mautomate.define_event('kn_taken');
select mautomate.identify('kn 1', attributes => '{"kn_size": 4, "kn_color": "red"}') > 0 as known, mautomate.identify('kn 2', attributes => '{"kn_color": "blue"}') > 0 as too;
select mautomate.track('kn 1', 'kn_buy', '{"amount": 1}', dedupe_key => 'k') > 0 as bought, mautomate.track('kn 2', 'kn_look') > 0 as looked;

-- what is used stays, and says by whom
create table kn_orders (id int primary key, who text);
select mautomate.create_list('kn list', $$count('kn_buy') >= 1 and contact.kn_size > 3$$);
select mautomate.create_score('kn score');
select mautomate.create_score_rule('kn score', 'looks', 1, event => 'kn_look');
select mautomate.create_score_rule('kn score', 'sized', 1, condition => 'contact.kn_size > 3');
insert into kn_orders values (1, 'kn 3');
select mautomate.attach_events('kn_orders', 'kn_buy', 'who');
select mautomate.attach_events('kn_orders', 'kn_buy', 'who', source => 'kn custom', condition => 'id > 2');
select mautomate.create_channel('kn log', 'log', '{}');
select mautomate.create_template('kn mail', 'kn log', '{{ contact.kn_color }}', null, 'x', transactional => true);
select mautomate.create_workflow('kn flow', '{"entry": [{"event": "kn_look"}], "steps": [{"set": {"kn_color": "green"}}]}');
select mautomate.drop_attribute('kn_size');
select mautomate.drop_attribute('kn_color');
select mautomate.drop_event('kn_buy');
-- nobody uses them now
select mautomate.drop_list('kn list'), mautomate.drop_score('kn score'), mautomate.drop_workflow('kn flow'), mautomate.drop_template('kn mail');
select mautomate.rename_attribute('kn_size', 'kn_width');
select mautomate.rename_event('kn_buy', 'kn_purchase');
select external_id, attributes from mautomate.contacts where external_id like 'kn %' order by 1;
select kind, properties from mautomate.timeline('kn 1');
-- the source follows, and knows its rows again
insert into kn_orders values (2, 'kn 3');
select source, kind from mautomate.sources where relation = 'kn_orders' order by 1;
select mautomate.attach_events('kn_orders', 'kn_purchase', 'who');
select count(*), kind from mautomate.timeline('kn 3') group by kind;
select mautomate.detach(source) from mautomate.sources where relation = 'kn_orders' order by source;
select kind, properties from mautomate.event_kinds where kind like 'kn%' order by 1;
select mautomate.identify('kn 1', attributes => '{"kn_width": "wide"}');
-- what counts it counts what there is
select mautomate.create_list('kn buyers', $$count('kn_purchase') >= 1$$);
select external_id from mautomate.list_members where list = 'kn buyers' order by 1;
select mautomate.track('kn 1', 'kn_purchase', dedupe_key => 'k') = event_id as the_same from mautomate.timeline('kn 1');
select * from mautomate.verify();
select mautomate.drop_attribute('kn_width'), mautomate.drop_attribute('kn_color', keep_values => true), mautomate.drop_event('kn_look');
select external_id, attributes from mautomate.contacts where external_id like 'kn %' order by 1;
select kind from mautomate.timeline('kn 2');

-- bad input
select mautomate.drop_attribute('kn_width');
select mautomate.rename_attribute('kn_width', 'x');
select mautomate.rename_attribute('kn_taken', 'email');
select mautomate.rename_attribute('kn_taken', 'first_name');
select mautomate.rename_attribute('kn_taken', null);
select mautomate.define_attribute('kn_other', 'text');
select mautomate.rename_attribute('kn_other', 'kn_taken');
select mautomate.drop_event('kn_nothing');
select mautomate.rename_event('kn_purchase', 'kn_taken');
select mautomate.rename_event('kn_purchase', 'list_left');
select mautomate.rename_event('kn_purchase', '');
select mautomate.rename_event(null, 'x');

-- what is used is renamed, and whoever uses it follows
select mautomate.arm();
select mautomate.drop_list('kn buyers');
select mautomate.rename_event('kn_purchase', 'kn_p2'), mautomate.rename_event('kn_p2', 'kn_purchase');
create table kn_people (id text primary key, size int, kn_other text);
create table kn_paid (id int primary key, who text, amount numeric);
select mautomate.define_attribute('kn_size', 'int'), mautomate.define_attribute('kn "odd"', 'text');
select mautomate.attach_contacts('kn_people', 'id', attributes => 'size * 1 as kn_size, size::text as "kn ""odd""", kn_other');
select mautomate.attach_events('kn_paid', 'kn_purchase', 'who', properties => 'amount');
insert into kn_people values ('kn a', 4, 'x'), ('kn b', 2, 'y');
select mautomate.identify('kn a', 'kn-a@example.com') > 0, mautomate.identify('kn b', 'kn-b@example.com') > 0;
select mautomate.create_list('kn l1', $$COUNT ( 'kn_purchase' /* 'kn_purchase' */ , within => '30 days') filter (where event.amount > 1 and event.kind <> 'kn_other') >= 2 and contact . KN_Size > 3 -- contact.kn_size
$$),
       mautomate.create_list('kn l2', $$elapsed($q$kn_purchase$q$) < '1 day' and contact.kn_other <> 'contact.kn_size' and contact."kn ""odd""" = E'4'$$),
       mautomate.create_list('kn l3', $$was(contact.kn_size, 4) or was('kn_size', 5)$$),
       mautomate.create_list('kn l4', $$ever('attribute_changed') filter (where event.attribute = 'kn_size' and event.previous = '2') and in_list('kn l1') is not null$$);
select mautomate.create_score('kn score'), mautomate.create_score_tier('kn score', 'hot', 5);
select mautomate.create_score_rule('kn score', 'bought', 2, event => 'kn_purchase', condition => $$event.amount > 1 and event.kind = 'kn_purchase'$$),
       mautomate.create_score_rule('kn score', 'big', 1, condition => $$contact.kn_size between 3 and 9$$);
select mautomate.create_template('kn part', null, null, null, $$[{{ contact.kn_size }}]$$);
select mautomate.create_template('kn mail', 'kn log', '{{contact.kn_size}} contact.kn_size', '<b>{{ contact["kn_size"] | plus: contact . kn_size }}</b>{% comment %}{{ contact.kn_size }}{% endcomment %}{% raw %}{{ contact.kn_size }}{% endraw %}',
  $${% liquid
  assign x = contact.kn_size
  echo x
%}{% if contact.kn_size > 1 %}bought{% elsif contact.kn_size %}no{% endif %}{% for i in (1..contact.kn_size) limit: contact.kn_size %}{{ i }}{% endfor %}{% render 'kn part' %}{{ contact['kn "odd"'] }}$$,
  '{"a": "{{ contact.kn_size }}", "b": {"=": "contact.kn_size"}, "contact.kn_size": "contact.kn_size"}', transactional => true);
select mautomate.create_template('kn told', 'kn log', body => $${% if entry.kind == 'kn_purchase' and contact.kn_size > 1 %}bought {{ entry.amount }}{% endif %}{% case event.kind %}{% when 'kn_look', "kn_purchase" %}k{% endcase %}$$, transactional => true);
select mautomate.create_workflow('kn flow', $$ {
  "description": "kn_purchase and kn_size",
  "entry": [{"event": "kn_purchase", "when": "event.amount > 0 and contact.kn_size > 3 and event.nth > 0"}],
  "key": "contact.kn_size || entry.kind", "reentry": "always",
  "exit": [{"event": "kn_look"}],
  "steps": [
    {"id": "if", "if": "entry.nth > 0 and entry.kind = 'kn_purchase' and contact.kn_size = 4", "then": [{"set": {"kn_other": {"=": "(contact.kn_size + 1)::text"}, "kn_size": {"=": "contact.kn_size"}}}]},
    {"id": "mail", "send": {"template": "kn told", "context": {"kn_size": {"=": "contact.kn_size"}, "kind": "kn_purchase"}}},
    {"id": "wait", "note": "kn_purchase", "wait": {"until": {"event": "kn_purchase", "when": "event.amount > 5"}, "timeout": "1 day", "then": [{"emit": {"event": "kn_purchase", "properties": {"amount": 0}}}]}}
  ]} $$);
select mautomate.activate_workflow('kn flow');
insert into kn_paid select i, 'kn a', i + 1 from generate_series(1, 3) i;
insert into kn_paid values (4, 'kn b', 7);
update kn_people set size = 5, kn_other = 'z' where id = 'kn b';
select count(*) > 0 from mautomate.run();
create temp view kn_now as
  select 'member' as what, list as a, external_id as b, null as c from mautomate.list_members where list like 'kn l%'
  union all select 'score', external_id, score, value::text from mautomate.scores where score = 'kn score' and external_id like 'kn %'
  union all select 'way', external_id, step || ' ' || state, null from mautomate.enrollments where workflow = 'kn flow'
  union all select 'preview', j.key, j.value #>> '{}', null from jsonb_each(mautomate.preview_template('kn mail', 'kn a')) j;
create temp table kn_before as select * from kn_now;
create temp table kn_states as select contact_id, generation, state from mautomate_internal.contact_state;
create temp table kn_texts as select name, predicate from mautomate.lists where name like 'kn l%';
select * from kn_before order by 1, 2, 3;
select mautomate.rename_event('kn_purchase', 'kn it''s'), mautomate.rename_attribute('kn_size', 'kn "Size"'), mautomate.rename_attribute('kn_other', 'kn_else');
select count(*) from (select * from kn_now except all select * from kn_before) x;
select count(*) from (select * from kn_before except all select * from kn_now) x;
select name, predicate from mautomate.lists where name like 'kn l%' order by 1;
select rule, event, condition from mautomate_internal.score_rule r join mautomate_internal.score s using (score_id) where s.name = 'kn score' order by 1;
select source, kind, fields from mautomate.sources where relation in ('kn_people', 'kn_paid') order by 1;
select v.subject, v.html, v.body, v.payload from mautomate_internal.template t join mautomate_internal.template_variant v using (template_id, version) where t.name in ('kn mail', 'kn part', 'kn told') and not t.dropped order by t.name;
select jsonb_pretty(mautomate.workflow_definition('kn flow'));
select external_id, attributes from mautomate.contacts where external_id in ('kn a', 'kn b') order by 1;
select kind, properties from mautomate.timeline('kn b');
select condition, value, holds from mautomate.explain_list('kn l1', 'kn a');
select matching from mautomate.preview_list($$contact."kn ""Size""" > 0 and ever('kn it''s')$$);
-- what was defined is what would be defined now, and no state was touched
select mautomate.create_list(name, predicate) from mautomate.lists where name like 'kn l%' order by name;
select mautomate.create_workflow('kn flow', mautomate.workflow_definition('kn flow'));
select count(*) from kn_states o join mautomate_internal.contact_state n using (contact_id) where (o.generation, o.state) is distinct from (n.generation, n.state);
select * from mautomate.verify();
-- it goes on: the sources, the workflow, a message that waited
insert into kn_paid values (5, 'kn b', 8), (6, 'kn a', 9);
insert into kn_people values ('kn c', 9, 'w');
select count(*) > 0 from mautomate.run();
call mautomate.deliver();
select external_id, attributes from mautomate.contacts where external_id in ('kn a', 'kn b', 'kn c') order by 1;
select external_id, step, state, count(*) from mautomate.enrollments where workflow = 'kn flow' group by 1, 2, 3 order by 1, 2, 3;
select external_id, state, count(*) from mautomate.messages where template = 'kn told' group by 1, 2 order by 1, 2;
select kind, count(*) from mautomate.timeline('kn a') group by 1 order by 1;
select * from mautomate.verify();
-- and back, twice
select mautomate.rename_event('kn it''s', 'kn_purchase'), mautomate.rename_attribute('kn "Size"', 'kn_size'), mautomate.rename_attribute('kn_else', 'kn_other');
select mautomate.rename_event('kn_purchase', 'kn_p2'), mautomate.rename_attribute('kn_size', 'kn_s2');
select mautomate.rename_event('kn_p2', 'kn_purchase'), mautomate.rename_attribute('kn_s2', 'kn_size');
select name, l.predicate from mautomate.lists l join kn_texts t using (name) where l.predicate <> t.predicate order by 1;
select v.subject, v.html, v.payload from mautomate_internal.template t join mautomate_internal.template_variant v using (template_id, version) where t.name = 'kn mail' and not t.dropped;
select * from mautomate.verify();
-- what is not certain is told, what is taken refused
select mautomate.create_template('kn unsure', 'kn log', body => $${% assign which = 'kn_size' %}
{{ contact[which] }}{{ contact.kn_size }}$$, transactional => true);
select mautomate.create_template('kn own', 'kn log', body => $${% for contact in context.list %}{{ contact.kn_size }}{% endfor %}$$, transactional => true);
select mautomate.create_template('kn tells', 'kn log', body => $${% assign k = entry.kind %}{% if event.attribute == 'kn_size' %}{% render 'kn part', kind: event.kind %}{% include k %}{% endif %}$$, transactional => true);
set client_min_messages = notice;
select mautomate.rename_attribute('kn_size', 'kn_s2');
select mautomate.rename_event('kn_purchase', 'kn_p2');
select mautomate.rename_template('kn part', 'kn parts');
set client_min_messages = warning;
select t.name, v.body from mautomate_internal.template t join mautomate_internal.template_variant v using (template_id, version) where t.name in ('kn unsure', 'kn own', 'kn tells') order by t.name;
select mautomate.rename_event('kn_p2', 'kn_purchase'), mautomate.rename_template('kn parts', 'kn part');
select mautomate.rename_attribute('kn_s2', 'kn ''"');
select mautomate.rename_attribute('kn_s2', 'kn.x');
select mautomate.identify('kn a', attributes => '{"kn_late": 1}') > 0, mautomate.track('kn a', 'kn_late') > 0;
select mautomate.rename_attribute('kn_s2', 'kn_late');
select mautomate.rename_event('kn_purchase', 'kn_late');
select mautomate.create_list('kn l5', $$ever('kn_later') or contact.kn_later = 1$$);
select mautomate.rename_attribute('kn_s2', 'kn_later');
select mautomate.rename_event('kn_purchase', 'kn_later');
select mautomate.drop_attribute('kn_s2');
select mautomate.drop_attribute('kn "odd"');
select mautomate.drop_attribute('kn_other');
select * from mautomate.verify();

select mautomate.pause_workflow('kn flow');
select mautomate.drop_workflow('kn flow');
select mautomate.cancel_message(message_id) from mautomate.messages where template like 'kn %' and state = 'pending';
select mautomate.drop_template('kn mail'), mautomate.drop_template('kn told'), mautomate.drop_template('kn tells');
select mautomate.drop_template('kn part'), mautomate.drop_template('kn unsure'), mautomate.drop_template('kn own');
select mautomate.drop_list('kn l4');
select mautomate.drop_list('kn l3'), mautomate.drop_list('kn l2'), mautomate.drop_list('kn l5'), mautomate.drop_list('kn l1'), mautomate.drop_score('kn score');
select mautomate.detach(source) from mautomate.sources where relation in ('kn_people', 'kn_paid') order by source;
drop table kn_people, kn_paid;
select mautomate.drop_attribute('kn_s2'), mautomate.drop_attribute('kn "odd"');
select mautomate.drop_attribute('kn_other'), mautomate.drop_attribute('kn_taken'), mautomate.drop_event('kn_taken'), mautomate.drop_event('kn_purchase');
drop table kn_orders;

-- channels that name an attribute
select mautomate.define_attribute('kn_dev', 'text'), mautomate.identify('kn a', attributes => '{"kn_dev": "x1"}') > 0;
select mautomate.create_channel('kn push', 'http', $${"url": "https://example.com/{{ contact.kn_dev | url_encode }}/kn_dev", "to": "kn_dev", "method": "PUT",
  "headers": {"X-kn_dev": "{{ contact['kn_dev'] }}", "X-Raw": "{% raw %}{{ contact.kn_dev }}{% endraw %}"},
  "body": {"kn_dev": "kn_dev", "a": [{"=": "contact.kn_dev"}, "{{ contact.kn_dev }}"]}}$$);
select mautomate.create_channel('kn form', 'http', $${"url": "https://example.com/", "to": "none", "form": {"a": "{{ contact.kn_dev }}", "b": "{% assign c = contact %}"}}$$);
select mautomate.create_template('kn pushed', 'kn push', body => 'Hi', transactional => true);
select mautomate.drop_attribute('kn_dev');
select mautomate.preview_template('kn pushed', 'kn a') -> 'request' ->> 'url' as url;
set client_min_messages = notice;
select mautomate.rename_attribute('kn_dev', 'kn "device"');
set client_min_messages = warning;
select name, recipient, settings from mautomate_internal.channel where name in ('kn push', 'kn form') and not dropped order by 1;
select mautomate.preview_template('kn pushed', 'kn a') - 'subject' - 'html' - 'payload' - 'attachments' as request;
select mautomate.rename_attribute('kn "device"', 'kn_dev');
select mautomate.drop_template('kn pushed'), mautomate.drop_channel('kn push'), mautomate.drop_channel('kn form'), mautomate.drop_attribute('kn_dev');
