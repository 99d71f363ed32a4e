-- Why somebody did or did not get a message.

create function mautomate_internal.explain_target(what text) returns bigint[]
  language c stable strict as 'MODULE_PATHNAME', 'mautomate_explain_target';
comment on function mautomate_internal.explain_target(text) is
  'what explain_message() is asked about: the ids of a workflow, a template and a message, null but for one; 42704 if there is no such thing';

create function mautomate_internal.gate(contact_id bigint, template_id int)
  returns text
  language c stable strict as 'MODULE_PATHNAME', 'mautomate_gate';
comment on function mautomate_internal.gate(bigint, int) is
  'why a message made of this template cannot reach this contact now; null if it can';

create function mautomate.explain_message(who text, what text,
                                          at timestamptz default null)
  returns table ("check" text, passed boolean, detail text, fix text)
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
begin atomic
  with asked as materialized (
    select mautomate_internal.contact_of(who) as contact_id,
           t.ids[1]::int as workflow_id, t.ids[2]::int as template_id,
           t.ids[3] as message_id, coalesce(at, 'infinity') as until,
           mautomate.clock() as now
    from (select mautomate_internal.explain_target(what)) t(ids)
  ), person as materialized (
    select c.* from asked join mautomate.contact c using (contact_id)
  ), message as materialized (
    select m.*, o.state as waiting, o.due_at, o.waits, o.attempt,
           coalesce(o.state, m.state) as now_state
    from asked a
    join mautomate_internal.message m
      on m.contact_id in (
        select c.contact_id from mautomate.contact c
        where c.contact_id = a.contact_id or c.merged_into = a.contact_id)
    left join mautomate_internal.outbox o
      on o.channel_id = m.channel_id and o.priority = m.priority
      and o.message_id = m.message_id
    left join mautomate_internal.enrollment e
      on e.contact_id = a.contact_id and e.enrollment_id = m.enrollment_id
    where m.enqueued_at <= a.until
    and (m.message_id = a.message_id or m.template_id = a.template_id
         or e.workflow_id = a.workflow_id)
    order by m.enqueued_at desc, m.message_id desc
    limit 1
  ), enrolment as materialized (
    select e.* from asked a
    left join message m on true
    join mautomate_internal.enrollment e
      on e.contact_id = a.contact_id
      and (e.enrollment_id = m.enrollment_id
           or (m.message_id is null and e.workflow_id = a.workflow_id))
    where e.entered_at <= a.until
    order by e.entered_at desc, e.enrollment_id desc
    limit 1
  ), flow as materialized (
    select w.workflow_id, w.name, w.state, v.definition, v.program,
           v.templates
    from asked a
    left join enrolment e on true
    join mautomate_internal.workflow w
      on w.workflow_id = coalesce(a.workflow_id, e.workflow_id)
    left join mautomate_internal.workflow_version v
      on v.version_id = coalesce(e.version_id, w.active_version,
        (select max(d.version_id) from mautomate_internal.workflow_version d
         where d.workflow_id = w.workflow_id))
  ), template as materialized (
    select t.template_id, t.name, h.channel_id, h.name as channel
    from asked a
    left join message m on true
    left join flow f on true
    join mautomate_internal.template t
      on t.template_id = coalesce(m.template_id, a.template_id, f.templates[1])
    join mautomate_internal.template_version v
      on v.template_id = t.template_id
      and v.version = coalesce(m.version, t.version)
    join mautomate_internal.channel h on h.channel_id = v.channel_id
  ), started as materialized (
    select coalesce(g.kind || g.which, '?') as what, g.kind, g.condition,
           s.n, s.last_at
    from flow f
    cross join asked a
    cross join lateral jsonb_array_elements(f.definition -> 'entry') e(entry)
    cross join lateral (
      select case when e.entry ? 'event' then e.entry ->> 'event'
               when e.entry ? 'list'
                 then 'list_' || coalesce(e.entry ->> 'change', 'entered')
               when e.entry ? 'tier' then 'tier_changed'
               when e.entry ? 'stage' then 'stage_changed' end as kind,
             case when e.entry ? 'list'
                 then jsonb_build_object('list', e.entry ->> 'list')
               when e.entry ? 'tier'
                 then jsonb_build_object('score', e.entry -> 'tier' -> 'score',
                                         'tier', e.entry -> 'tier' -> 'reached')
               when e.entry ? 'stage'
                 then jsonb_build_object('stage', e.entry ->> 'stage')
               else '{}' end as properties,
             coalesce(' "' || coalesce(e.entry ->> 'list', e.entry ->> 'stage',
               e.entry -> 'tier' ->> 'reached') || '"', '') as which,
             e.entry ->> 'when' as condition
    ) g
    cross join lateral (
      select count(*) as n, max(x.occurred_at) as last_at
      from mautomate.event x
      where x.contact_id = a.contact_id and x.kind = g.kind
      and x.properties @> g.properties and x.occurred_at <= a.until
    ) s
  ), lines (nth, "check", passed, detail, fix) as materialized (
    select 1, 'contact', true,
           format('%s, known since %s',
             concat_ws(', ', p.external_id, p.email, p.phone), p.created_at),
           null
    from person p
    union all
    select 2, 'workflow', f.state = 'active',
           format('"%s" is %s', f.name,
             case f.state when 'draft' then 'a draft' else f.state end),
           format('select mautomate.activate_workflow(%L);', f.name)
    from flow f
    union all
    select 3, 'event', max(s.n) > 0 or e.enrollment_id is not null,
           string_agg(case when s.n > 0
             then format('%s: %s, last at %s', s.what,
               case s.n when 1 then 'once' else s.n || ' times' end, s.last_at)
             else format('%s: never', s.what) end, '; '),
           format('select * from mautomate.timeline(%L);', who)
    from started s
    left join enrolment e on true
    group by e.enrollment_id
    union all
    select 4, 'entry', e.enrollment_id is not null,
           case when e.enrollment_id is not null
             then format('entered at %s', e.entered_at)
             when r.reason is not null
             then format('refused at %s: %s', r.refused_at, r.reason)
             else 'no event that starts it'
               || coalesce(' (when ' || (select string_agg(s.condition, ' or ')
                    from started s) || ')', '')
               || ' has come since it is active' end,
           format('select mautomate.enroll(%L, %L);', f.name, who)
    from flow f
    left join enrolment e on true
    left join lateral (
      select r.reason, r.refused_at
      from asked a
      join mautomate_internal.entry_refused r using (contact_id, workflow_id)
      where r.workflow_id = f.workflow_id and r.refused_at <= a.until
      order by r.refused_at desc limit 1
    ) r on true
    union all
    select 5, 'step', m.message_id is not null,
           case when m.message_id is not null
             then format('step "%s" asked for the message at %s', m.step,
                         m.enqueued_at)
             when e.state = 'active'
             then format('at step "%s" until %s',
                         f.program -> 'ops' -> e.op ->> 'step', e.wake_at)
             else format('%s at %s%s', e.state, e.ended_at,
                         coalesce(': ' || e.reason, '')) end
           || coalesce('; ' || l.said, ''),
           case when e.state = 'active' and e.wake_at <= a.now
             then 'select * from mautomate.run(); or select mautomate.start();'
             else format('select * from mautomate.explain_enrollment(%L, %L);',
                         f.name, who) end
    from flow f
    cross join asked a
    join enrolment e on e.workflow_id = f.workflow_id
    left join message m on true
    left join lateral (
      select format('last: %s "%s"%s', l.verb, l.step,
                    coalesce(', ' || l.result, '')) as said
      from mautomate_internal.enrollment_log l
      where l.contact_id = e.contact_id
      and l.enrollment_id = e.enrollment_id and m.message_id is null
      order by l.log_id desc limit 1
    ) l on true
    union all
    select 6, 'message', false,
           format('none made of template "%s" was asked for', t.name),
           format('select mautomate.send(%L, %L);', who, t.name)
           || coalesce(' or ask about ' || (
             select string_agg(distinct format('workflow "%s"', w.name), ', ')
             from mautomate_internal.workflow w
             join mautomate_internal.workflow_version v
               on v.version_id = w.active_version
             where t.template_id = any(v.templates)), '')
    from asked a
    join template t on t.template_id = a.template_id
    where not exists (select from message)
    union all
    select 7, 'gate', coalesce(g.refusal is null and m.state <> 'refused',
                               g.refusal is null),
           case when m.state = 'refused' then m.reason
             when m.state is distinct from 'pending'
               and m.state is not null then 'it was let through'
             else coalesce(g.refusal, 'it can be sent now') end,
           case when g.refusal like 'suppressed%'
             then format('select mautomate.unsuppress(%L);', (
               select mautomate_internal.recipient_address(c, h.recipient)
               from mautomate.contact c, mautomate_internal.channel h
               where c.contact_id = p.contact_id
               and h.channel_id = t.channel_id))
             when g.refusal like '%e-mail%'
             then format('select mautomate.identify(%L, email => ''...'');',
                         who)
             when g.refusal like '%phone%'
             then format('select mautomate.identify(%L, phone => ''...'');',
                         who)
             when m.state = 'refused'
             then format('select mautomate.resend_message(%s);', m.message_id)
           end
    from person p
    cross join template t
    left join message m on true
    cross join lateral (
      select case when m.message_id is null or m.state in ('pending', 'refused')
        then mautomate_internal.gate(p.contact_id, t.template_id) end
    ) g(refusal)
    union all
    select 8, 'channel', x.channel_id is null and not u.up and r.due is null,
           case when x.channel_id is not null
             then format('"%s" is paused since %s%s', t.channel, x.paused_at,
                         coalesce(': ' || x.reason, ''))
             when u.up
             then format('"%s" has sent the %s messages of day %s of its warm-up, and waits for tomorrow',
                         t.channel, u.used, u.day)
             when r.due is not null
             then format('"%s" has sent as many messages as its rate allows, the next one goes at %s',
                         t.channel, r.due)
             else format('"%s" is open', t.channel) end,
           case when x.channel_id is not null
             then format('select mautomate.resume_channel(%L);', t.channel)
             else format('select * from mautomate.stat_channels where channel = %L;',
                         t.channel) end
    from template t
    left join mautomate_internal.channel_pause x using (channel_id)
    left join lateral (
      select w.used, s.day,
             w.used >= mautomate_internal.warm_up_limit(h.settings, s.day) as up
      from mautomate_internal.warm_up w
      join mautomate_internal.channel h on h.channel_id = w.channel_id
      cross join lateral (
        select mautomate_internal.today() - w.first_day + 1 as day) s
      where w.channel_id = t.channel_id
      and w.day = mautomate_internal.today()
    ) q on true
    cross join lateral (
      select coalesce(q.up, false) as up, q.used, q.day) u
    left join lateral (
      select mautomate_internal.rate_due(h.settings, b.next_at)
      from mautomate_internal.bucket b
      join mautomate_internal.channel h using (channel_id)
      where b.channel_id = t.channel_id and b.domain = ''
      and not exists (
        select from message m cross join asked a where m.due_at > a.now)
    ) r(due) on true
    where not exists (select from message m where m.waiting is null)
    union all
    select 9, 'armed', r.armed,
           case when r.armed then 'this database may send'
             else 'this database may not send' end,
           'select mautomate.arm();'
    from mautomate_internal.arm r
    where not exists (select from message m where m.waiting is null)
    union all
    select 10, 'sender',
           mautomate_internal.worker_pid('sender', 1) is not null,
           case when mautomate_internal.worker_pid('sender', 1) is not null
             then 'a sender runs' else 'no sender runs' end,
           'select mautomate.start(); or call mautomate.deliver();'
    from message m
    where m.waiting in ('pending', 'retry', 'in_doubt')
    union all
    select 11, 'outbox', m.now_state = 'sent',
           case m.now_state
             when 'sent' then format('sent at %s to %s', m.sent_at, m.address)
             when 'cancelled' then 'cancelled by hand'
             when 'pending' then
               case when m.due_at > a.now and m.due_at < 'infinity'
                 then format('waits until %s', m.due_at)
                 else 'waits for its turn' end
               || coalesce(', for ' || m.waits, '')
             when 'sending' then 'is being sent'
             when 'retry' then format('tried %s',
               case m.attempt when 1 then 'once' else m.attempt || ' times' end)
               || case when m.due_at < 'infinity'
                    then format(', again at %s', m.due_at) else '' end
               || coalesce(', for ' || m.waits, '')
             when 'in_doubt' then format(
               'may have arrived, will be sent again at %s', m.due_at)
             when 'held' then 'is set aside, and may have arrived'
             else m.now_state end
           || case when m.now_state = 'sent' then ''
                else coalesce(': ' || m.reason, '') end,
           case when m.now_state in ('held', 'failed', 'refused', 'cancelled')
             then format('select mautomate.resend_message(%s);', m.message_id)
           end
    from message m cross join asked a
    union all
    select 12, 'reply',
           m.now_state = 'sent' and m.reply not like 'bounced%'
             and m.reply not like 'complained%',
           m.reply, null
    from message m
    where m.reply is not null
  )
  select l."check", l.passed, l.detail, case when not l.passed then l.fix end
  from lines l
  order by l.nth = (select min(f.nth) from lines f where not f.passed)
             desc nulls last, l.nth;
end;
comment on function mautomate.explain_message(text, text, timestamptz) is
  'why somebody did or did not get a message: each check from the contact to the server''s reply, the first that failed on top, with what to do about it. '
  'what: a template, a workflow or the id of a message; of several messages the last one asked for, before at if that is given. '
  'Where a workflow and a template have one name, write workflow:name or template:name. '
  'The gate, the channel and the workers are asked as they are now. Errors: 42704 for an unknown person or thing, 42725 for a name that means two.';
