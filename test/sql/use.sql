-- Who uses lists and scores: named, not to be dropped, and renamed with them.
set client_min_messages = warning;
drop extension if exists mautomate cascade;
create extension mautomate;
select mautomate.arm();
select mautomate.create_list('u_base', $$ever('u_buy')$$), mautomate.create_static_list('u_friends'),
       mautomate.create_list('u_over', $$in_list('u_base') and not in_list('u_friends') and contact.x <> 'in_list(''u_base'')'$$),
       mautomate.create_score('u_points'), mautomate.create_score_tier('u_points', 'warm', 5);
select mautomate.create_score_rule('u_points', 'member', 10, condition => $$in_list('u_base')$$),
       mautomate.create_list('u_warm', $$tier('u_points') = 'warm' or score('u_points') > 7$$);
select mautomate.create_workflow('u_flow', $$ {
  "entry": [{"list": "u_base", "change": "entered"}, {"tier": {"score": "u_points", "reached": "warm"}}],
  "steps": [
    {"id": "a", "if": "in_list('u_base') and score('u_points') > 1", "then": [{"add_to_list": "u_friends"}]},
    {"id": "note", "note": "say \"list\": \"u_base\" or in_list('u_base')", "wait": {"for": "1 day"}},
    {"remove_from_list": "u_friends"},
    {"exit": "u_base"}
  ]} $$);
select name, used_by from mautomate.lists order by 1;

-- in use: not to be dropped
\set VERBOSITY default
select mautomate.drop_list('u_base');
select mautomate.drop_list('u_friends');
select mautomate.drop_score('u_points');

-- renamed: whatever uses it follows, and goes on
select mautomate.activate_workflow('u_flow');
select mautomate.rename_list('u_base', 'u_the "new" base''s'), mautomate.rename_list('u_friends', 'u_pals'),
       mautomate.rename_score('u_points', 'u_marks');
select name, predicate, used_by from mautomate.lists order by 1;
select jsonb_pretty(mautomate.workflow_definition('u_flow'));
select mautomate.identify('u_ann') is not null, mautomate.track('u_ann', 'u_buy') is not null;
select count(*) > 0 from mautomate.run();
select list, external_id, by from mautomate.list_members order by 1;
select workflow, external_id, step from mautomate.enrollments order by 1, 2, 3;
-- a draft and what is left of something dropped follow or make room
select mautomate.create_workflow('u_draft', $${"entry": [{"event": "u_buy", "when": "true"}], "exit": [{"event": "u_buy", "when": "true"}],
  "steps": [{"id": "a", "if": "in_list('u_warm')", "then": [{"exit": "x"}]}, {"exit": "done"}]}$$);
select mautomate.create_list('u_gone', 'true'), mautomate.create_list('u_left', $$in_list('u_gone')$$);
select mautomate.drop_list('u_left'), mautomate.drop_list('u_gone');
select mautomate.create_list('u_there', 'true'), mautomate.create_list('u_right', $$in_list('u_there')$$);
select mautomate.rename_list('u_there', 'u_gone'), mautomate.rename_list('u_warm', 'u_hot');
select name, predicate, used_by from mautomate.lists where name in ('u_gone', 'u_right', 'u_hot') order by 1;
select mautomate.workflow_definition('u_draft') #>> '{steps,0,if}' as if;
select mautomate.activate_workflow('u_draft');
-- taken
select mautomate.rename_list('u_gone', 'u_hot');

-- who counts the events of a list or score by its name uses it, and follows;
-- the log tells of them by the new name, so the answers stay
select mautomate.create_list('u_count', $$count('list_entered') filter (where event.list in ('u_gone', 'u_hot')) >= 1$$),
       mautomate.create_list('u_tiers', $$ever('tier_changed') filter (where event.score = 'u_marks' and event.tier = 'warm')$$);
select mautomate.create_score_rule('u_marks', 'fans', 1, event => 'list_entered', condition => $$event.list = 'u_pals'$$);
select mautomate.create_workflow('u_told', $$ {
  "entry": [{"list": "u_pals", "change": "entered"}, {"list": "u_pals", "change": "left"}],
  "exit": [{"event": "list_left", "when": "event.list = 'u_pals'"}],
  "steps": [
    {"id": "l", "if": "last_value('list_entered', 'list') = E'u_the \"new\" base\\'s' or ever('list_left') filter (where event.list <> $q$u_the \"new\" base's$q$ and event.list is not null)", "then": []},
    {"id": "a", "if": "entry.list = 'u_pals'", "then": [{"id": "w", "wait": {"for": "1 day"}}]},
    {"id": "e", "wait": {"until": {"event": "list_left", "when": "event.list in ('u_pals')"}}}
  ]} $$);
select mautomate.activate_workflow('u_told');
select mautomate.identify('u_bob') is not null, mautomate.add_to_list('u_pals', 'u_bob');
select list, external_id from mautomate.list_members where list in ('u_count', 'u_tiers', 'u_the "new" base''s') order by 1, 2;
select mautomate.drop_list('u_gone');
select mautomate.drop_list('u_pals');
select name, used_by from mautomate.lists where name in ('u_gone', 'u_hot', 'u_pals', 'u_the "new" base''s') order by 1;
create temp table u_states as select contact_id, generation, state from mautomate_internal.contact_state;
select mautomate.rename_list('u_gone', 'u_x'), mautomate.rename_list('u_pals', 'u "mates'''), mautomate.rename_list('u_the "new" base''s', 'u_base'), mautomate.rename_score('u_marks', 'u_y');
select name, predicate, used_by from mautomate.lists where name in ('u_x', 'u_count', 'u_tiers', 'u "mates''', 'u_base') order by 1;
select rule, event, condition from mautomate_internal.score_rule order by 1;
select jsonb_pretty(mautomate.workflow_definition('u_told'));
select list, external_id from mautomate.list_members where list in ('u_count', 'u_tiers', 'u_base') order by 1, 2;
select condition, holds from mautomate.explain_list('u_count', 'u_ann');
select kind, properties ->> 'list' as list, properties ->> 'score' as score from mautomate.timeline('u_ann') where kind in ('list_entered', 'tier_changed') order by event_id;
select workflow, external_id, step from mautomate.enrollments where workflow = 'u_told' order by 2;
-- no state was touched for it
select count(*) from u_states o full join mautomate_internal.contact_state n using (contact_id)
where (o.generation, o.state) is distinct from (n.generation, n.state);
select * from mautomate.verify();
-- it goes on: the branch of the entry, the exit by its name, the counts
select count(*) > 0 from mautomate.run();
select workflow, external_id, step from mautomate.enrollments where workflow = 'u_told' and state = 'active' order by 2, 3;
select mautomate.remove_from_list('u "mates''', 'u_bob');
select count(*) > 0 from mautomate.run();
select workflow, external_id, state, reason from mautomate.enrollments where workflow = 'u_told' and external_id = 'u_bob' order by 4;
select * from mautomate.verify();
-- back again, and what cannot be told for certain is told
select mautomate.create_workflow('u_like', $$ {"steps": [{"id": "a", "if": "ever('list_entered') filter (where event.list like 'u \"mates%')", "then": []}]} $$);
select mautomate.activate_workflow('u_like');
set client_min_messages = notice;
select mautomate.rename_list('u "mates''', 'u_pals'), mautomate.rename_score('u_y', 'u_marks');
set client_min_messages = warning;
select name, predicate from mautomate.lists where name in ('u_count', 'u_tiers') order by 1;
select mautomate.workflow_definition('u_told') #>> '{steps,0,if}' as last, mautomate.workflow_definition('u_told') #>> '{steps,1,if}' as if, mautomate.workflow_definition('u_told') #>> '{exit,0,when}' as exit;
select * from mautomate.verify();
-- a name that somebody means already, and an old snapshot
select mautomate.create_list('u_means', $$ever('list_entered') filter (where event.list = 'u_new')$$);
select mautomate.rename_list('u_pals', 'u_new');
begin isolation level repeatable read;
select mautomate.rename_list('u_pals', 'u_z');
rollback;
select mautomate.drop_list('u_means'), mautomate.rename_list('u_pals', 'u_new');
select * from mautomate.verify();
-- templates that compare what an event tells of it: those that a workflow sends
-- which waits for such events; what is not certain is told
select mautomate.create_channel('u_log', 'log'), mautomate.create_static_list('u_vip'), mautomate.identify('u_cid') is not null,
       mautomate.create_score('u_fit'), mautomate.create_score_tier('u_fit', 'cold', 0), mautomate.create_score_tier('u_fit', 'hot', 5);
select mautomate.create_template('u_entered', 'u_log', subject => $${{ entry["list"] }} u_vip {{ 'u_vip' }}$$, body => $${% comment %}{% if entry.list == 'u_vip' %}{% endcomment %}{% if entry.list == 'u_vip' and "u_vip" != event . list and entry.score != 'u_fit' %}dear {% endif %}{% case entry.list %}{% when 'u_pal', "u_vip" %}VIP{% else %}stranger{% endcase %}{{ context.list }}{% if context.list == 'u_vip' or entry.kind == 'u_vip' %}!{% endif %}$$,
         payload => $${"x": "{% unless entry.list == 'u_vip' %}no{% endunless %}", "list": "u_vip"}$$, transactional => true),
       mautomate.create_template('u_left', 'u_log', body => $${% if event.list == 'u_vip' and entry.score == nil %}bye{% endif %}$$, transactional => true),
       mautomate.create_template('u_hot', 'u_log', body => $${% if entry["score"] == 'u_fit' %}fit{% endif %}$$, transactional => true),
       mautomate.create_template('u_alone', 'u_log', body => $${{ event.list }}
{% if event.list == 'u_vip' %}{% endif %} of others?$$, transactional => true),
       mautomate.create_template('u_own', 'u_log', body => $${% for event in context.events %}{% if event.list == 'u_vip' %}{% endif %}{% endfor %}$$, transactional => true),
       mautomate.create_template('u_away', 'u_log', body => $${% assign l = event.list | upcase %}{{ l }}$$, transactional => true),
       mautomate.create_template('u_part', 'u_log', body => $${% if entry.list contains 'vip' %}{% endif %}$$, transactional => true);
select mautomate.create_workflow('u_greet', $$ {"entry": [{"list": "u_vip", "change": "entered"}], "steps": [
    {"id": "s", "send": {"template": "u_entered", "context": {"list": "u_vip"}}},
    {"id": "w", "wait": {"until": {"event": "list_left"}}}, {"id": "b", "send": {"template": "u_left"}}]} $$),
  mautomate.create_workflow('u_fits', $$ {"entry": [{"tier": {"score": "u_fit", "reached": "hot"}}], "steps": [
    {"id": "s", "send": {"template": "u_hot"}}, {"id": "o", "send": {"template": "u_own"}}, {"id": "a", "send": {"template": "u_away"}}]} $$);
select mautomate.activate_workflow('u_greet'), mautomate.add_to_list('u_vip', 'u_cid');
select count(*) > 0 from mautomate.run();
set client_min_messages = notice;
select mautomate.rename_list('u_vip', 'u_g"old"');
select mautomate.rename_score('u_fit', 'u_fïtness');
set client_min_messages = warning;
select t.name, v.subject, v.body, v.payload from mautomate_internal.template t join mautomate_internal.template_variant v using (template_id, version) order by t.name;
-- a message that waited, and one of later
select mautomate.remove_from_list('u_g"old"', 'u_cid'), mautomate.identify('u_dan') is not null, mautomate.add_to_list('u_g"old"', 'u_dan');
select count(*) > 0 from mautomate.run();
call mautomate.deliver();
select m.external_id, m.template, r ->> 'subject' as subject, r ->> 'body' as body from mautomate.messages m join mautomate_internal.message using (message_id),
  mautomate.preview_template(m.template, m.external_id, coalesce(nullif(data -> 'context', 'null'), '{}'), '{"score": null}' || (data -> 'entry'), '{"list": null, "score": null}' || coalesce(nullif(data -> 'event', 'null'), '{}')) r where template = 'u_entered' order by message_id;
select mautomate.rename_list('u_g"old"', 'u_''"');
select mautomate.rename_list('u_g"old"', 'u_%}');
select mautomate.rename_list('u_g"old"', 'u_vip');
select v.body from mautomate_internal.template t join mautomate_internal.template_variant v using (template_id, version) where t.name = 'u_entered';
-- however a name is written, and what only looks like it; twice, and where two
-- expressions become the same
select mautomate.create_static_list('u_w'), mautomate.create_list('u w1', $$in_list('u_w')$$), mautomate.create_list('u w2', $$in_list(E'u_w')$$),
       mautomate.create_list('u w3', $$in_list(U&'!0075_w' uescape '!') and never('u_w')$$), mautomate.create_list('u w4', $$in_list('u_'
  'w')or not in_list($u_w$u_w$u_w$)$$);
select mautomate.create_score('u_solo');
select mautomate.create_score_rule('u_solo', 'w1', 1, condition => $$in_list('u_w')$$), mautomate.create_score_rule('u_solo', 'w2', 1, condition => $$in_list(e'u_w')$$),
       mautomate.create_score_rule('u_solo', 'w3', 1, event => 'list_left', condition => $$event.list is not distinct from'u_w' /* 'u_w' /* u_w */ 'u_w' */ and event.list <> 'u_w ' -- 'u_w'$$);
select mautomate.rename_list('u_w', 'U select');
select mautomate.rename_list('U select', 'u\ü''"%');
select name, predicate from mautomate.lists where name like 'u w_' order by 1;
select rule, condition from mautomate_internal.score_rule where rule like 'w_' order by 1;
select mautomate.create_list(name, predicate) from mautomate.lists where name like 'u w_' order by name;
select mautomate.define_attribute('u_a', 'text'), mautomate.create_list('u a1', $$contact.u_a::text='contact.u_a'and"contact"."u_a"<>'x' and contact . /* . u_a */ U_A is not null and contact.U&"u!005fa" uescape '!' = 'y' and contact."U_A" is null$$);
select mautomate.rename_attribute('u_a', 'user');
select mautomate.rename_attribute('user', 'u "É" $1\');
select name, predicate from mautomate.lists where name = 'u a1';
select * from mautomate.verify();
-- keys that look like a path
select mautomate.define_attribute('u_q', 'text'), mautomate.create_workflow('u_path', $$ {"steps": [
  {"set": {"u_x": {"=": "contact.u_q"}, "u_x.=": "contact.u_q"}}, {"emit": {"event": "u_e", "properties": {"": "contact.u_q", "a": {"[1]": "contact.u_q", "\".": {"=": "contact.u_q"}}}}}]} $$);
select mautomate.rename_attribute('u_q', 'u_r');
select mautomate.workflow_definition('u_path') -> 'steps';
select mautomate.create_workflow('u_wrong', $$ {"steps": [{"set": {"u_x.\"=\"": {"=": "nope("}}}, {"emit": {"event": "u_e", "properties": {"a[0]": {"=": 1}}}}]} $$);
drop extension mautomate cascade;
