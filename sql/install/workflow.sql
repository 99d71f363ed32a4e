-- Workflows, their versions, and who is on the way through them.

create table mautomate_internal.workflow (
  workflow_id serial primary key,
  name text not null unique,
  state text not null default 'draft'
    check (state in ('draft', 'active', 'paused')),
  entries text not null default 'drop' check (entries in ('drop', 'queue')),
  active_version int
);
comment on table mautomate_internal.workflow is
  'workflows; a draft was never activated; entries says what happens to who would enter while it is paused';
comment on column mautomate_internal.workflow.active_version is
  'version_id that new enrolments get; null in a draft';
create trigger definition_changed
  after insert or update or delete or truncate on mautomate_internal.workflow
  for each statement execute function mautomate_internal.definition_changed();

create table mautomate_internal.workflow_version (
  version_id serial primary key,
  workflow_id int not null,
  version int not null,
  definition jsonb not null,
  program jsonb not null,
  predicates int[] not null,
  lists int[] not null,
  templates int[] not null,
  scores int[] not null,
  workflows int[] not null,
  in_use boolean not null default false,
  created_at timestamptz not null default mautomate.clock(),
  unique (workflow_id, version)
);
comment on table mautomate_internal.workflow_version is
  'what each version of a workflow says; program is the definition compiled, its numbers are predicate_id, template_id and list_id';
comment on column mautomate_internal.workflow_version.predicates is
  'predicate ids of the program; what they need is folded while in_use';
comment on column mautomate_internal.workflow_version.in_use is
  'the active version, and each one that enrolments may still be on';
create trigger definition_changed
  after insert or update or delete or truncate on mautomate_internal.workflow_version
  for each statement execute function mautomate_internal.definition_changed();
create trigger invalidate
  after insert or update or delete or truncate on mautomate_internal.workflow_version
  for each statement execute function mautomate_internal.invalidate();

create table mautomate_internal.enrollment (
  enrollment_id bigserial,
  contact_id bigint not null,
  workflow_id int not null,
  version_id int not null,
  key text not null default '',
  exclusive boolean not null,
  state text not null default 'active'
    check (state in ('active', 'completed', 'exited', 'failed')),
  op int not null default 0,
  arrived boolean not null default false,
  pass int not null default 1,
  wake_at timestamptz not null,
  entered_at timestamptz not null,
  ended_at timestamptz,
  reason text,
  attempts int not null default 0,
  event_id bigint not null default 0,
  entry jsonb not null default '{}',
  context jsonb not null default '{}',
  event jsonb,
  primary key (contact_id, enrollment_id),
  check ((state = 'active') = (ended_at is null))
) with (fillfactor = 80);
comment on table mautomate_internal.enrollment is
  'one row per contact''s way through a workflow';
comment on column mautomate_internal.enrollment.exclusive is
  'no other active enrolment may have the same contact, workflow and key';
comment on column mautomate_internal.enrollment.op is
  'the operation of the program where it stands';
comment on column mautomate_internal.enrollment.arrived is
  'a wait at op has begun';
comment on column mautomate_internal.enrollment.pass is
  'grows with each goto and restart, so that a step may run again';
comment on column mautomate_internal.enrollment.wake_at is
  'when to go on; infinity while only an event can wake it';
comment on column mautomate_internal.enrollment.attempts is
  'failures of the current step';
comment on column mautomate_internal.enrollment.event_id is
  'the number of the event that started it (where mautomate.refresh = deferred only noted it, one of when it was folded); later ones may wake or end it';
comment on column mautomate_internal.enrollment.entry is
  'properties, kind, occurred_at and, where it is asked for, nth of the event that started it';
comment on column mautomate_internal.enrollment.event is
  'the same of the event that answered its last wait; null before';
create unique index enrollment_active
  on mautomate_internal.enrollment (contact_id, workflow_id, key)
  where state = 'active' and exclusive;
create index enrollment_due
  on mautomate_internal.enrollment (workflow_id, wake_at, enrollment_id)
  where state = 'active';

-- A step runs once in a pass: the key makes a second time an error.
create table mautomate_internal.enrollment_log (
  log_id bigserial,
  contact_id bigint not null,
  enrollment_id bigint not null,
  step text not null,
  pass int not null,
  verb text not null,
  executed_at timestamptz not null,
  result text,
  primary key (contact_id, enrollment_id, step, pass)
);
comment on table mautomate_internal.enrollment_log is
  'one row per step executed';

create table mautomate_internal.entry_refused (
  contact_id bigint not null,
  workflow_id int not null,
  key text not null,
  event_id bigint not null,
  refused_at timestamptz not null,
  reason text not null
);
-- no key, and it may be published
alter table mautomate_internal.entry_refused replica identity full;
comment on table mautomate_internal.entry_refused is
  'one row per event that could have started an enrolment and did not';
create index entry_refused_contact
  on mautomate_internal.entry_refused (contact_id);

create table mautomate_internal.wakeup (
  wakeup_id bigserial,
  contact_id bigint not null,
  enrollment_id bigint not null,
  restart boolean not null,
  kind text not null,
  nth bigint not null,
  event_id bigint not null,
  occurred_at timestamptz not null,
  properties jsonb not null,
  primary key (contact_id, enrollment_id, wakeup_id)
);
comment on table mautomate_internal.wakeup is
  'events that concern an enrolment, written with the event and consumed by the runner: the event path never updates an enrolment';
comment on column mautomate_internal.wakeup.restart is
  'the event starts the enrolment again from its first step';

select pg_catalog.pg_extension_config_dump('mautomate_internal.workflow', '');
select pg_catalog.pg_extension_config_dump('mautomate_internal.workflow_workflow_id_seq', '');
select pg_catalog.pg_extension_config_dump('mautomate_internal.workflow_version', '');
select pg_catalog.pg_extension_config_dump('mautomate_internal.workflow_version_version_id_seq', '');
select pg_catalog.pg_extension_config_dump('mautomate_internal.enrollment', '');
select pg_catalog.pg_extension_config_dump('mautomate_internal.enrollment_enrollment_id_seq', '');
select pg_catalog.pg_extension_config_dump('mautomate_internal.enrollment_log', '');
select pg_catalog.pg_extension_config_dump('mautomate_internal.enrollment_log_log_id_seq', '');
select pg_catalog.pg_extension_config_dump('mautomate_internal.entry_refused', '');
select pg_catalog.pg_extension_config_dump('mautomate_internal.wakeup', '');
select pg_catalog.pg_extension_config_dump('mautomate_internal.wakeup_wakeup_id_seq', '');

create function mautomate.create_workflow(name text, definition jsonb)
  returns text
  language c volatile strict as 'MODULE_PATHNAME', 'mautomate_create_workflow';
comment on function mautomate.create_workflow(text, jsonb) is
  'stores a version of a workflow; returns created, changed (a new version) or unchanged. Nothing starts before activate_workflow. '
  'Errors: 22023 with every mistake of the definition and its path in the detail.';

create function mautomate.activate_workflow(name text,
                                            version int default null,
                                            existing boolean default false)
  returns bigint
  language c volatile as 'MODULE_PATHNAME', 'mautomate_activate_workflow';
comment on function mautomate.activate_workflow(text, int, boolean) is
  'lets contacts enter a version (default: the newest) from now on and resumes a paused workflow; those on the way stay on their version. '
  'existing: present members of the lists it is entered by enter too. Returns how many did. '
  'Errors: 42704 for an unknown workflow or version.';

create function mautomate.pause_workflow(name text,
                                         entries text default 'drop')
  returns void
  language c volatile strict as 'MODULE_PATHNAME', 'mautomate_pause_workflow';
comment on function mautomate.pause_workflow(text, text) is
  'stops everybody in a workflow where they are until activate_workflow; who would enter meanwhile is dropped (with a trace) or waits at the start (queue). '
  'Errors: 42704 for an unknown workflow, 22023 for another word, 55000 for one never activated.';

create function mautomate.drop_workflow(name text) returns void
  language c volatile strict as 'MODULE_PATHNAME', 'mautomate_drop_workflow';
comment on function mautomate.drop_workflow(text) is
  'drops a workflow that is not active, with all its versions and enrolments. '
  'Errors: 42704 for an unknown one, 55000 for an active one, 2BP01 where another workflow names it.';

create function mautomate.rename_workflow(name text, new_name text)
  returns void
  language c volatile strict as 'MODULE_PATHNAME', 'mautomate_rename_workflow';
comment on function mautomate.rename_workflow(text, text) is
  'gives a workflow a new name; workflows that name it are rewritten. '
  'Errors: 42704 for an unknown one, 42710 where the new name is taken.';

create function mautomate.enroll(workflow text, who text,
                                 context jsonb default '{}')
  returns bigint
  language c volatile strict as 'MODULE_PATHNAME', 'mautomate_enroll';
comment on function mautomate.enroll(text, text, jsonb) is
  'enters a contact by hand; context is context.x and, no event being there, also entry.x. '
  'Returns the number of the enrolment, or null with a notice where the workflow''s reentry does not allow it. '
  'Errors: 42704 for an unknown workflow or contact, 55000 for a workflow that is not active, 22023 for a context that is no object.';

create function mautomate.unenroll(workflow text, who text) returns bigint
  language c volatile strict as 'MODULE_PATHNAME', 'mautomate_unenroll';
comment on function mautomate.unenroll(text, text) is
  'takes a contact out of a workflow; returns how many enrolments ended. '
  'Errors: 42704 for an unknown workflow or contact.';

create function mautomate.workflow_definition(name text,
                                              version int default null)
  returns jsonb
  language c stable as 'MODULE_PATHNAME', 'mautomate_workflow_definition';
comment on function mautomate.workflow_definition(text, int) is
  'the definition of a version of a workflow (default: the newest). '
  'Errors: 42704 for an unknown workflow or version.';

-- What workflows name cannot be dropped, and is renamed with care.
create view mautomate_internal.workflow_user as
select distinct u.object, u.object_id, w.name as workflow
from mautomate_internal.workflow_version v
join mautomate_internal.workflow w using (workflow_id)
cross join lateral (
  select 'list', unnest(v.lists)
  union all select 'template', unnest(v.templates)
  union all select 'score', unnest(v.scores)
  union all select 'workflow', unnest(v.workflows)
) u (object, object_id)
where v.in_use
   or v.version = (select max(n.version)
                   from mautomate_internal.workflow_version n
                   where n.workflow_id = v.workflow_id);
comment on view mautomate_internal.workflow_user is
  'which workflows name an object, in their newest version or one that somebody may be on';

create function mautomate_internal.workflow_guard() returns trigger
  language c as 'MODULE_PATHNAME', 'mautomate_workflow_guard';
comment on function mautomate_internal.workflow_guard() is
  'row trigger of a table whose objects workflows name: refuses (2BP01) to drop one that is named; of a template renamed the definitions follow';
create trigger workflow_guard
  before delete or update of name on mautomate_internal.list
  for each row execute function mautomate_internal.workflow_guard('list');
create trigger workflow_guard
  before delete or update of name on mautomate_internal.score
  for each row execute function mautomate_internal.workflow_guard('score');
create trigger workflow_guard
  before delete or update of name, dropped on mautomate_internal.template
  for each row execute function mautomate_internal.workflow_guard('template');

create view mautomate.workflows as
select w.name as workflow, w.state,
       (select v.version from mautomate_internal.workflow_version v
        where v.version_id = w.active_version) as version,
       (select max(v.version) from mautomate_internal.workflow_version v
        where v.workflow_id = w.workflow_id) as newest_version,
       (select count(*) from mautomate_internal.enrollment e
        where e.workflow_id = w.workflow_id and e.state = 'active') as enrolled,
       (select v.definition ->> 'description'
        from mautomate_internal.workflow_version v
        where v.workflow_id = w.workflow_id
        order by v.version desc limit 1) as description
from mautomate_internal.workflow w;
comment on view mautomate.workflows is
  'one row per workflow; version is the one that new enrolments get, enrolled counts who is on the way';

create view mautomate.enrollments as
select e.enrollment_id, w.name as workflow, v.version, c.external_id,
       e.contact_id, e.key,
       case when e.state = 'active'
            then v.program -> 'ops' -> e.op ->> 'step' end as step,
       e.state, case when e.state = 'active' then e.wake_at end as wake_at,
       e.entered_at, e.ended_at, e.reason
from mautomate_internal.enrollment e
join mautomate_internal.workflow w using (workflow_id)
join mautomate_internal.workflow_version v using (version_id)
left join mautomate.contact c on c.contact_id = e.contact_id;
comment on view mautomate.enrollments is
  'one row per contact''s way through a workflow; step is where it stands, wake_at when it goes on, reason why it ended';

create function mautomate_internal.workflow_id(name text) returns int
  language c stable strict as 'MODULE_PATHNAME', 'mautomate_workflow_id';
comment on function mautomate_internal.workflow_id(text) is
  'the number of a workflow; 42704 for an unknown one';

create function mautomate.explain_enrollment(workflow text, who text)
  returns table (at timestamptz, enrollment_id bigint, key text, step text,
                 what text, result text)
  language sql stable strict security definer
  set search_path = pg_catalog, pg_temp
begin atomic
  with asked as materialized (
    select mautomate_internal.workflow_id(workflow) as workflow_id,
           mautomate_internal.contact_of(who) as contact_id
  ), mine as (
    select e.* from asked
    join mautomate_internal.enrollment e using (contact_id, workflow_id)
  ), lines as (
    select e.entered_at as at, 0 as nth, e.enrollment_id, e.key,
           null as step, 'entered' as what, e.entry ->> 'kind' as result
    from mine e
    union all
    select l.executed_at, 1 + (row_number() over (order by l.log_id))::int,
           e.enrollment_id, e.key, l.step, l.verb, l.result
    from mine e
    join mautomate_internal.enrollment_log l using (contact_id, enrollment_id)
    union all
    select e.ended_at, 2147483647, e.enrollment_id, e.key, null, e.state,
           e.reason
    from mine e where e.ended_at is not null
    union all
    select r.refused_at, 0, null, r.key, null, 'refused', r.reason
    from asked
    join mautomate_internal.entry_refused r using (contact_id, workflow_id)
  )
  select l.at, l.enrollment_id, l.key, l.step, l.what, l.result
  from lines l order by l.at, l.enrollment_id nulls last, l.nth;
end;
comment on function mautomate.explain_enrollment(text, text) is
  'everything a workflow did with a contact, in order of time: entries, entries refused and why, steps, the end. '
  'Errors: 42704 for an unknown workflow or contact.';
