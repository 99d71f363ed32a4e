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
select mautomate.rename_attribute('kn_size', 'kn_width');
select mautomate.drop_attribute('kn_color');
select mautomate.drop_event('kn_buy');
select mautomate.rename_event('kn_buy', 'kn_purchase');
select mautomate.rename_event('kn_look', 'kn_see');
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

select mautomate.drop_list('kn buyers');
select mautomate.drop_attribute('kn_other'), mautomate.drop_attribute('kn_taken'), mautomate.drop_event('kn_taken'), mautomate.drop_event('kn_purchase');
drop table kn_orders;
