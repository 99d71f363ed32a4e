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

create function mautomate_internal.name_uses(out object text, out name text,
    out predicate_id int)
  returns setof record language c stable
  as 'MODULE_PATHNAME', 'mautomate_name_uses';
comment on function mautomate_internal.name_uses() is
  'which expressions of live definitions read which list or score by its name';

create view mautomate_internal.object_user as
  select n.object, n.name, u.users
  from mautomate_internal.name_uses() n
  join mautomate_internal.predicate_user u using (predicate_id)
  union
  select w.object, coalesce(l.name, s.name), format('workflow "%s"', w.workflow)
  from mautomate_internal.workflow_user w
  left join mautomate_internal.list l on w.object = 'list' and l.list_id = w.object_id
  left join mautomate_internal.score s on w.object = 'score' and s.score_id = w.object_id
  where w.object in ('list', 'score');
comment on view mautomate_internal.object_user is
  'who uses which list or score: lists, scores and workflows, by their names';

create view mautomate.lists as
  select l.name, l.predicate,
         (select count(*) from mautomate_internal.list_member m
          where m.list_id = l.list_id) as members,
         case l.state when 'sweeping' then 'building' when 'following' then 'ready'
           else l.state end as state,
         l.built_at, coalesce(u.used_by, '{}') as used_by
  from mautomate_internal.list l
  left join (select name, array_agg(users order by users) as used_by
             from mautomate_internal.object_user
             where object = 'list' group by name) u using (name);
comment on view mautomate.lists is
  'lists; predicate is null for a static one; members are counted now; used_by names the lists, scores and workflows that use it, and for which it cannot be dropped';
