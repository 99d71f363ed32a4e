-- Workflow documents: what is taken, what is refused, and how it is told.
\set VERBOSITY default
set client_min_messages = warning;
drop extension if exists mautomate cascade;
create extension mautomate;
set client_min_messages = notice;
set search_path = mautomate, public;

select create_channel('wc_log', 'log', '{}');
select create_template('wc_mail', 'wc_log', subject => 'Hello',
                       body => 'Hello', transactional => true);
select create_static_list('wc_static');
select create_list('wc_rule', 'contact.first_name = ''x''');
select define_event('wc_buy', '{"order_id": "text", "total": "numeric"}');

-- documents that are no object, or have nothing to do
select create_workflow('wc_bad', '[]');
select create_workflow('wc_bad', '"steps"');
select create_workflow('wc_bad', '{}');
select create_workflow('wc_bad', '{"steps": []}');
select create_workflow('', '{"steps": [{"exit": "x"}]}');

-- the top level: unknown keys and wrong types, all at once
select create_workflow('wc_bad', '{
  "steps": [], "stepz": 1, "entry": {"event": "wc_buy"}, "max_age": "soon",
  "reentry": "often", "key": 5, "description": 7, "exit": "x"}');
select create_workflow('wc_bad', '{
  "steps": [{"exit": "x"}], "reentry": {"after": "-3 days", "x": 1}}');
select create_workflow('wc_bad', '{"steps": [{"exit": "x"}], "reentry": 3}');

-- entries and exits
select create_workflow('wc_bad', '{
  "entry": [7, {"foo": 1}, {"event": 1},
            {"event": "wc_buy", "when": "event.total >"},
            {"event": "wc_buy", "when": "event.total"},
            {"event": "wc_buy", "when": "entry.total > 1"},
            {"event": "wc_buy", "wen": "true"},
            {"list": "wc_none", "change": "moved"}, {"list": 1},
            {"tier": {"score": "wc_none"}},
            {"tier": {"score": "wc_none", "reached": "hot"}},
            {"stage": 4}],
  "key": "entry.order_id + ",
  "exit": [{"when": "true"}, {"event": "wc_buy", "when": "now()"}],
  "steps": [{"exit": "x"}]}');

-- steps
select create_workflow('wc_bad', '{"steps": [
  1, {}, {"id": "n", "note": "x"}, {"call": {"function": "f()"}},
  {"add_to_list": "wc_static", "exit": "x"},
  {"exit": "x", "then": []}, {"exit": 3}, {"exit": "x", "when": "1"},
  {"exit": "x", "note": 1},
  {"id": "", "exit": "x"}, {"id": 5, "exit": "x"},
  {"id": "a", "exit": "x"}, {"id": "a", "exit": "x"}]}');
select create_workflow('wc_bad', '{"steps": [
  {"send": {"template": "wc_mail"}},
  {"id": "s1", "send": {}},
  {"id": "s2", "send": {"template": "wc_none", "contxt": {}}},
  {"id": "s3", "send": {"template": "wc_mail", "else": {"exit": "x"},
    "context": {"a": {"=": "entry."}, "b": [{"=": "1 +"}],
                "c": {"=": "1", "d": 2}, "e": {"f": {"=": 3}}}}},
  {"id": "s4", "send": {"template": "wc_mail", "else": [{"exit": 1}]}}]}');
select create_workflow('wc_bad', '{"steps": [
  {"id": "w1", "wait": {}}, {"id": "w2", "wait": {"for": "later"}},
  {"id": "w3", "wait": {"for": "1 day", "timeout": "1 day"}},
  {"id": "w4", "wait": {"until": {"at": "09:00"}}},
  {"id": "w5", "wait": {"until": {"event": "wc_buy"}, "timed_out": []}},
  {"id": "w6", "wait": {"until": {"event": "wc_buy", "when": "event.a ="},
                        "timeout": 5}},
  {"id": "w7", "wait": "1 day"}]}');
select create_workflow('wc_bad', '{
  "window": {"days": "monday", "from": "9:00", "to": "25:00", "zone": "Mars",
             "blocked": ["2026-12-25", "soon", 3]},
  "steps": [
  {"id": "u1", "wait": {"until": {}}},
  {"id": "u2", "wait": {"until": {"at": "nine", "days": "fri-", "zone": 1}}},
  {"id": "u3", "wait": {"until": {"at": "09:00"}, "timeout": "1 day"}},
  {"id": "u4", "wait": {"until": {"date": "contact.", "offset": "a week",
                                  "at": "09:60", "if_past": "cry"}}},
  {"id": "u5", "wait": {"until": {"date": "true"}}},
  {"id": "u6", "wait": {"until": "09:00"}}]}');
select create_workflow('wc_bad', '{"steps": [{"exit": "x"}],
  "window": {"from": "18:00", "to": "09:00"}}');
select create_workflow('wc_bad', '{"steps": [
  {"id": "i1", "if": "true"},
  {"id": "i2", "if": "count(''wc_buy'')", "then": []},
  {"id": "i3", "if": "event.total > 1", "then": []},
  {"id": "i4", "if": "exists (select 1)", "then": [],
   "else": [{"id": "i5", "if": "random() > 0.5", "then": []}]},
  {"id": "i6", "switch": []},
  {"id": "i7", "switch": [{"when": "true"}, {"steps": []}, 3],
   "default": {"exit": "x"}},
  {"goto": "nowhere"}, {"add_to_list": "wc_none"},
  {"add_to_list": "wc_rule"}, {"remove_from_list": "wc_none"},
  {"enroll": "wc_none"}, {"unenroll": 1},
  {"set": {}}, {"set": {"email": "x", "wc_size": {"=": "contact."}}},
  {"stage": 3}, {"emit": {"properties": {}}}, {"emit": {"event": "x", "properties": 1}}, {"emit": {"event": ""}}, {"emit": {"event": "tier_changed"}}]}');

-- waits of no length, and circles without a wait
select create_workflow('wc_bad', '{"steps": [
  {"id": "a", "wait": {"for": "0 days"}},
  {"id": "b", "if": "true", "then": [{"goto": "b"}]},
  {"id": "c", "when": "true", "wait": {"for": "1 day"}}, {"goto": "c"},
  {"id": "d", "wait": {"until": {"date": "contact.wc_day"}}}, {"goto": "d"},
  {"id": "e", "wait": {"for": "1 day"}}, {"goto": "e"}]}');

-- nothing of all that was stored
select * from workflows where workflow like 'wc%';

-- right documents
select create_workflow('wc_good', '{
  "description": "everything", "max_age": "2 hours", "reentry": "restart",
  "entry": [{"event": "wc_buy", "when": "event.nth = 1 and event.total > 10"}],
  "key": "entry.order_id",
  "exit": [{"event": "wc_buy", "when": "event.order_id = entry.order_id"}],
  "steps": [
    {"id": "s", "when": "contact.email is not null", "note": "hello",
     "send": {"template": "wc_mail",
              "context": {"total": {"=": "entry.total * 2"}, "fixed": [1, "x"]},
              "else": [{"add_to_list": "wc_static"}]}},
    {"id": "w", "wait": {"for": "1 mon 2 days 3 hours"}},
    {"id": "q", "if": "count(''wc_buy'') > 3 and entry.nth = 1",
     "then": [{"exit": "enough"}], "else": [{"goto": "s"}]}]}');
select version_id as good from mautomate_internal.workflow_version v
join mautomate_internal.workflow w using (workflow_id)
where w.name = 'wc_good' \gset
select ordinality - 1 as op, value ->> 'verb' as verb, value ->> 'step' as step,
       value -> 'next' as next, value -> 'other' as other,
       value -> 'skip' as skip, value -> 'span' as span
from mautomate_internal.workflow_version v,
     jsonb_array_elements(v.program -> 'ops') with ordinality
where v.version_id = :good;

-- the same again is no new version; another is
select create_workflow('wc_good', workflow_definition('wc_good'));
select create_workflow('wc_good', '{"steps": [{"exit": "two"}]}');
select workflow, state, version, newest_version, description
from workflows where workflow = 'wc_good';
select workflow_definition('wc_good'),
       workflow_definition('wc_good', 1) ->> 'description' as first;

-- unknown kinds of events are told, not refused
select create_workflow('wc_new', '{"entry": [{"event": "wc_unseen"}],
  "steps": [{"id": "w", "wait": {"until": {"event": "wc_unseen_too"}}}]}');

-- unknown workflows and versions, wrong words
select activate_workflow('wc_none');
select activate_workflow('wc_good', 9);
select pause_workflow('wc_none');
select pause_workflow('wc_good', 'stop');
select pause_workflow('wc_good');
select workflow_definition('wc_none');
select workflow_definition('wc_good', 9);
select drop_workflow('wc_none');
select rename_workflow('wc_none', 'x');
select enroll('wc_none', 'nobody');
select unenroll('wc_none', 'nobody');
select explain_enrollment('wc_none', 'nobody');

-- names: a rename rewrites who uses it, a drop is refused while it is used
select create_workflow('wc_user', '{"steps": [{"enroll": "wc_new"}]}');
select rename_workflow('wc_new', 'wc_good');
select rename_workflow('wc_new', 'wc_newer');
select workflow_definition('wc_user');
select drop_workflow('wc_newer');
select activate_workflow('wc_user');
select drop_workflow('wc_user');
select pause_workflow('wc_user');
select drop_workflow('wc_user');
select drop_workflow('wc_newer');
select drop_workflow('wc_good');
select * from workflows where workflow like 'wc%';

-- what a workflow names cannot be dropped; a template's new name is followed
select create_score('wc_heat');
select create_list('wc_named', 'contact.first_name = ''y''');
select create_workflow('wc_names', '{"entry": [{"list": "wc_rule"}],
  "steps": [{"id": "s", "send": {"template": "wc_mail"}},
    {"add_to_list": "wc_static"},
    {"id": "q", "if": "in_list(''wc_named'') or score(''wc_heat'') > 1",
     "then": []}]}');
select drop_list('wc_rule');
select drop_list('wc_static');
select drop_list('wc_named');
select rename_list('wc_named', 'wc_other');
select drop_score('wc_heat');
select drop_template('wc_mail');
select rename_template('wc_mail', 'wc_letter');
select workflow_definition('wc_names');
select create_workflow('wc_names', '{"steps": [{"exit": "x"}]}');
select drop_list('wc_rule'), drop_list('wc_static'), drop_list('wc_other');
select drop_score('wc_heat');
select drop_template('wc_letter');
select drop_workflow('wc_names');
