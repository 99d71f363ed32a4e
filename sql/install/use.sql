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
  'which expressions of live definitions read which list, score, kind of event or attribute by its name';

-- Who names what: what is live of workflows and templates is the version that
-- is in use, and the newest.
create view mautomate_internal.name_user as
  select n.object, n.name, u.users
  from mautomate_internal.name_uses() n
  join mautomate_internal.predicate_user u using (predicate_id)
  union
  select w.object, coalesce(l.name, s.name), format('workflow "%s"', w.workflow)
  from mautomate_internal.workflow_user w
  left join mautomate_internal.list l on w.object = 'list' and l.list_id = w.object_id
  left join mautomate_internal.score s on w.object = 'score' and s.score_id = w.object_id
  where w.object in ('list', 'score')
  union
  select 'event', s.kind, format('source "%s"', s.source)
  from mautomate_internal.source s where s.kind is not null
  union
  select x.object, x.name, format('workflow "%s"', w.name)
  from mautomate_internal.workflow_version v
  join mautomate_internal.workflow w using (workflow_id)
  cross join lateral (
    select 'event', j #>> '{}'
    from jsonb_path_query(v.definition, '$.**.event ? (@.type() == "string")') j
    union all
    select 'event', j #>> '{}'
    from jsonb_path_query(v.definition, '$.**.emit.event ? (@.type() == "string")') j
    union all
    select 'attribute', j #>> '{}'
    from jsonb_path_query(v.definition, '$.**.attribute ? (@.type() == "string")') j
    union all
    select 'attribute', k
    from jsonb_path_query(v.definition, '$.**.set ? (@.type() == "object")') j,
         jsonb_object_keys(j) k
  ) x (object, name)
  where v.in_use
     or v.version = (select max(n.version)
                     from mautomate_internal.workflow_version n
                     where n.workflow_id = v.workflow_id)
  union
  select 'attribute', a.attribute, u.users
  from mautomate_internal.attribute a,
  regexp_replace(a.attribute, '([^[:alnum:]_])', '\\\1', 'g') as pattern,
  (select format('template "%s"', t.name),
          concat_ws(' ', v.subject, v.html, v.body, v.payload #>> '{}', v.attachments #>> '{}')
   from mautomate_internal.template t
   join mautomate_internal.template_variant v using (template_id, version)
   where not t.dropped
   union all
   select format('channel "%s"', c.name), c.settings #>> '{}'
   from mautomate_internal.channel c
   where not c.dropped and c.transport = 'http') u (users, text)
  where u.text
      ~ ('contact\s*(\.\s*' || pattern || '(?![[:alnum:]_-])|\[\s*(''|\\?")' || pattern || '(''|\\?")\s*\])')
  union
  select 'attribute', c.recipient, format('channel "%s"', c.name)
  from mautomate_internal.channel c
  where not c.dropped and c.recipient not in ('email', 'phone', 'none')
  union
  select 'attribute', a.attribute, format('source "%s"', s.source)
  from mautomate_internal.attribute a, mautomate_internal.source s,
  regexp_replace(replace(a.attribute, '"', '""'), '([^[:alnum:]_])', '\\\1', 'g') as pattern
  where s.kind is null
    and s.fields ~ ('(^|[[:space:],.")])' || pattern || '"?\s*(,|$)');
comment on view mautomate_internal.name_user is
  'who names which list, score, kind of event (object "event") or declared attribute: lists, scores, sources, workflows, templates and channels; list and score by the events that tell of them, too';

create view mautomate.lists as
  select l.name, l.predicate,
         (select count(*) from mautomate_internal.list_member m
          where m.list_id = l.list_id) as members,
         case l.state when 'sweeping' then 'building' when 'following' then 'ready'
           else l.state end as state,
         l.built_at, coalesce(u.used_by, '{}') as used_by
  from mautomate_internal.list l
  left join (select name, array_agg(users order by users) as used_by
             from mautomate_internal.name_user
             where object = 'list' group by name) u using (name);
comment on view mautomate.lists is
  'lists; predicate is null for a static one; members are counted now; used_by names the lists, scores and workflows that use it, or count its events by its name, and for which it cannot be dropped';
