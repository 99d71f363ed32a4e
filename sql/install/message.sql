-- What became of each message, with the workflow that asked for it.

create view mautomate.messages as
  select m.message_id,
         coalesce(m.idempotency_key,
                  m.enrollment_id || '/' || m.step || '/' || m.pass)
           as idempotency_key,
         c.external_id,
         coalesce(m.address,
                  mautomate_internal.recipient_address(c, h.recipient))
           as address, t.name as template,
         m.version as template_version, w.name as workflow,
         h.name as channel,
         coalesce(o.state, m.state) as state,
         coalesce(o.waits, m.reason) as reason,
         coalesce(o.attempt, m.attempts) as attempts,
         m.in_doubt, m.priority, m.enqueued_at, o.due_at, m.sent_at, m.reply
  from mautomate_internal.message m
  join mautomate_internal.template t using (template_id)
  join mautomate_internal.channel h using (channel_id)
  left join mautomate.contact c on c.contact_id = m.contact_id
  left join mautomate_internal.outbox o
    on o.channel_id = m.channel_id and o.priority = m.priority
    and o.message_id = m.message_id
  left join mautomate_internal.enrollment e
    on e.contact_id = coalesce(c.merged_into, m.contact_id)
    and e.enrollment_id = m.enrollment_id
  left join mautomate_internal.workflow w using (workflow_id);
comment on view mautomate.messages is
  'every message ever asked for and what became of it: pending, sending, retry, in_doubt and held are on their way; sent, failed, refused and cancelled are final';
comment on column mautomate.messages.idempotency_key is
  'as given to send(); of a workflow: enrolment/step/pass, which is unique as well';
comment on column mautomate.messages.in_doubt is
  'how many attempts ended so that the server may or may not have taken it';
comment on column mautomate.messages.due_at is
  'when it is to be sent or tried again; null: at once, or never again';

create view mautomate.outbox_status as
  select c.name as channel, o.state, count(*) as messages,
         min(m.enqueued_at) as oldest, p.reason as paused
  from mautomate_internal.outbox o
  join mautomate_internal.message m using (message_id)
  join mautomate_internal.channel c on c.channel_id = o.channel_id
  left join (
    select channel_id, coalesce(reason, 'by hand') as reason
    from mautomate_internal.channel_pause
  ) p on p.channel_id = o.channel_id
  group by c.channel_id, c.name, o.state, p.reason;
comment on view mautomate.outbox_status is
  'messages that have not reached a final state, by channel and state; paused: why their channel is, null if it is not';
