-- Messages: the lasting record, and the outbox of those on their way.

create table mautomate_internal.message (
  message_id bigserial primary key,
  contact_id bigint not null,
  template_id int not null,
  version int not null,
  channel_id int not null,
  enqueued_at timestamptz not null,
  enrollment_id bigint,
  pass int,
  priority smallint not null default 0 check (priority between -9 and 9),
  attempts int not null default 0,
  in_doubt int not null default 0,
  sent_at timestamptz,
  state text not null default 'pending'
    check (state in ('pending', 'sent', 'failed', 'refused', 'cancelled')),
  step text,
  idempotency_key text,
  data jsonb,
  address text,
  reason text,
  reply text,
  provider_id text,
  check ((enrollment_id is null) = (step is null)
         and (enrollment_id is null) = (pass is null))
) with (fillfactor = 50);
comment on table mautomate_internal.message is
  'every message ever asked for; state is pending as long as there is a row in outbox, which then tells more';
comment on column mautomate_internal.message.data is
  'what the template may use beside the contact, as it was when asked: {"context", "entry", "event"}';
comment on column mautomate_internal.message.address is
  'where it went, once it was tried';
comment on column mautomate_internal.message.in_doubt is
  'how many attempts ended so that the server may or may not have taken it';
comment on column mautomate_internal.message.reply is
  'what the server said last; of a message that came back, what came of it';
comment on column mautomate_internal.message.provider_id is
  'the id that a gateway gave it, by which its callbacks name it';
create index message_provider on mautomate_internal.message (channel_id, provider_id)
  where provider_id is not null;
create unique index message_idempotency_key
  on mautomate_internal.message (idempotency_key)
  where idempotency_key is not null;
create unique index message_step
  on mautomate_internal.message (enrollment_id, step, pass)
  where enrollment_id is not null;
create index message_contact on mautomate_internal.message (contact_id);

create table mautomate_internal.outbox (
  message_id bigint not null,
  due_at timestamptz,
  real_at timestamptz,
  lease bigint,
  first_tried_at timestamptz,
  channel_id int not null,
  attempt int not null default 0,
  deaths int not null default 0,
  priority smallint not null default 0,
  state text not null default 'pending'
    check (state in ('pending', 'sending', 'retry', 'in_doubt', 'held')),
  waits text,
  primary key (channel_id, priority, message_id)
) with (fillfactor = 50);
comment on table mautomate_internal.outbox is
  'messages that have not reached a final state';
comment on column mautomate_internal.outbox.due_at is
  'when to send it; null: at once, in order of message_id, and never tried yet';
comment on column mautomate_internal.outbox.real_at is
  'when it may be sent by the real clock, where the other stands still; due_at is infinity then';
comment on column mautomate_internal.outbox.lease is
  'who is sending it, see table lease; null unless state is sending';
comment on column mautomate_internal.outbox.deaths is
  'how often the process that was sending it died; below 0: it was written all the same, as often';
comment on column mautomate_internal.outbox.priority is
  'as in message; the highest is sent first';
comment on column mautomate_internal.outbox.waits is
  'what it waits for beside its time, in words';
create index outbox_due on mautomate_internal.outbox
  (channel_id, priority, due_at, message_id) where due_at is not null;
create index outbox_parked on mautomate_internal.outbox
  (channel_id, real_at) where real_at is not null;
create index outbox_suspect on mautomate_internal.outbox
  (channel_id, due_at) where deaths <> 0;

-- The holder of a lease keeps a lock on its number; a lease whose number is
-- free belonged to a process that has died. Logged: it must outlive a crash.
create table mautomate_internal.lease (
  lease bigserial primary key
);
comment on table mautomate_internal.lease is
  'leases under which messages are being sent';

select pg_catalog.pg_extension_config_dump('mautomate_internal.message', '');
select pg_catalog.pg_extension_config_dump('mautomate_internal.message_message_id_seq', '');
select pg_catalog.pg_extension_config_dump('mautomate_internal.outbox', '');

create table mautomate_internal.arm (
  only_row boolean primary key default true check (only_row),
  ever boolean not null default false,
  armed boolean not null default false,
  only_addresses text[],
  redirect text
);
comment on table mautomate_internal.arm is
  'one row: whether this database may send; not dumped, so that a restored copy sends nothing';
insert into mautomate_internal.arm default values;
create trigger invalidate
  after insert or update or delete or truncate on mautomate_internal.arm
  for each statement execute function mautomate_internal.invalidate();

create function mautomate.arm("only" text[] default null,
                              redirect text default null)
  returns void
  language c volatile as 'MODULE_PATHNAME', 'mautomate_arm';
comment on function mautomate.arm(text[], text) is
  'lets this database send. Until the first call, in a new or restored database, nothing is sent and events start nothing. '
  'only (a word of SQL, in quotes when named): messages to other addresses are refused, and those that go to no address of a contact; redirect: all messages go to this address instead, those of channels that cannot reach it are refused. '
  'Errors: 22023 if one of them is neither an e-mail address nor a phone number.';

create function mautomate.disarm() returns void
  language c volatile as 'MODULE_PATHNAME', 'mautomate_disarm';
comment on function mautomate.disarm() is
  'stops sending; messages wait for the next arm(). What is at a server already is not called back.';

create function mautomate.send(who text, template text,
                               context jsonb default '{}',
                               not_before timestamptz default null,
                               idempotency_key text default null,
                               priority int default null)
  returns bigint
  language c volatile as 'MODULE_PATHNAME', 'mautomate_send';
comment on function mautomate.send(text, text, jsonb, timestamptz, text, int) is
  'puts a message into the outbox, in this transaction, and returns its id; a repeated idempotency_key returns the first one''s. '
  'not_before: null = now; priority: from -9, sent last, to 9, sent first, null = the template''s. '
  'Errors: 42704 for an unknown person or template, 22023 for a context that is no object or a priority that is none, 22001 for a key of more than 1000 bytes.';

create function mautomate.cancel_message(message_id bigint) returns boolean
  language c volatile as 'MODULE_PATHNAME', 'mautomate_cancel_message';
comment on function mautomate.cancel_message(bigint) is
  'takes a message back that waits or is held; true if so, false if it has been sent, refused or cancelled before. '
  'Errors: 42704 for an unknown id, 55006 while it is being sent.';

create function mautomate.resend_message(message_id bigint) returns boolean
  language c volatile as 'MODULE_PATHNAME', 'mautomate_resend_message';
comment on function mautomate.resend_message(bigint) is
  'sends a message again, whatever became of it, with the same Message-ID and text; false if it is on its way anyhow. '
  'Errors: 42704 for an unknown id, 55006 while it is being sent.';

create procedure mautomate.deliver(max_items int default 1000)
  language c as 'MODULE_PATHNAME', 'mautomate_deliver';
comment on procedure mautomate.deliver(int) is
  'does in this session what the sender workers do: sends at most max_items messages that are due. '
  'It commits between its steps. Errors: 2D000 inside a transaction block.';
