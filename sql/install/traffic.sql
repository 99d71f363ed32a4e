-- What the channels are doing.

create table mautomate_internal.traffic (
  channel_id int not null,
  lease bigint not null,
  slot timestamptz not null,
  sent int not null,
  failed int not null,
  tried_again int not null,
  primary key (channel_id, lease, slot)
) with (fillfactor = 50);
comment on table mautomate_internal.traffic is
  'how many attempts ended how, by sender and ten seconds of the real clock; the last minutes only, not dumped';

create table mautomate_internal.recent (
  channel_id int primary key,
  failures varbit not null
) with (fillfactor = 50);
comment on table mautomate_internal.recent is
  'of channels with a setting pause_when, their last attempts: 1 is a failure; not dumped';

create view mautomate.stat_channels as
  select c.name as channel, c.transport,
         p.channel_id is not null as paused, p.reason, p.paused_at,
         coalesce(o.waiting, 0) as waiting, coalesce(o.sending, 0) as sending,
         coalesce(t.sent, 0) as sent_last_minute,
         coalesce(t.failed, 0) as failed_last_minute,
         coalesce(t.tried_again, 0) as tried_again_last_minute,
         case when length(r.failures) > 0
           then round(bit_count(r.failures)::numeric / length(r.failures), 3)
         end as failing,
         c.settings -> 'rate' as rate,
         mautomate_internal.today() - w.first_day + 1 as warm_up_day,
         case when w.day = mautomate_internal.today() then w.used
           when w.day is not null then 0 end as warm_up_used,
         mautomate_internal.warm_up_limit(c.settings,
           mautomate_internal.today() - w.first_day + 1) as warm_up_limit
  from mautomate_internal.channel c
  left join mautomate_internal.channel_pause p using (channel_id)
  left join mautomate_internal.recent r using (channel_id)
  left join mautomate_internal.warm_up w using (channel_id)
  left join lateral (
    select count(*) filter (where state <> 'sending') as waiting,
           count(*) filter (where state = 'sending') as sending
    from mautomate_internal.outbox o
    where o.channel_id = c.channel_id
  ) o on true
  left join lateral (
    select sum(t.sent) as sent, sum(t.failed) as failed,
           sum(t.tried_again) as tried_again
    from mautomate_internal.traffic t
    where t.channel_id = c.channel_id
    and t.slot > clock_timestamp() - interval '1 minute'
  ) t on true
  where not c.dropped;
comment on view mautomate.stat_channels is
  'what each channel is doing, counted about once a second by the real clock';
comment on column mautomate.stat_channels.failing is
  'share of failures among the last attempts, as setting pause_when counts them';
comment on column mautomate.stat_channels.warm_up_limit is
  'how many messages may be sent on this day of the warm-up; null: no limit any more';
