-- Which expressions are in use, and by whom: the engine folds what they need.

create view mautomate_internal.predicate_user as
  select predicate_id, format('list "%s"', name) as users
  from mautomate_internal.list
  where predicate_id is not null
  union all
  select r.predicate_id, format('score "%s"', s.name)
  from mautomate_internal.score_rule r
  join mautomate_internal.score s using (score_id)
  union all
  select unnest(v.predicates), format('workflow "%s"', w.name)
  from mautomate_internal.workflow_version v
  join mautomate_internal.workflow w using (workflow_id)
  where v.in_use;
comment on view mautomate_internal.predicate_user is
  'expressions of live definitions, and whose they are';

create view mautomate_internal.predicate_in_use as
  select distinct predicate_id from mautomate_internal.predicate_user;
comment on view mautomate_internal.predicate_in_use is
  'expressions of live definitions';

