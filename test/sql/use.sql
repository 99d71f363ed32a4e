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
-- taken, and counted by name
select mautomate.rename_list('u_gone', 'u_hot');
select mautomate.create_list('u_count', $$count('list_entered') filter (where event.list in ('u_gone', 'u_hot')) > 1$$),
       mautomate.create_list('u_tiers', $$ever('tier_changed') filter (where event.score = 'u_marks')$$);
select mautomate.rename_list('u_gone', 'u_x');
select mautomate.rename_score('u_marks', 'u_x');
select mautomate.drop_list('u_count'), mautomate.drop_list('u_tiers');
select mautomate.rename_list('u_gone', 'u_x');
select * from mautomate.verify();
drop extension mautomate cascade;
