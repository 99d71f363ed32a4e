-- Lists: contacts for whom a predicate holds, or who were put there.

create table mautomate_internal.list (
  list_id serial primary key,
  name text not null unique check (name <> ''),
  predicate text,
  predicate_id int,
  generation bigint not null default 0,
  state text not null default 'ready'
    check (state in ('ready', 'following', 'building', 'sweeping')),
  wait_for xid8,
  started_at timestamptz,
  built_at timestamptz,
  created_at timestamptz not null default mautomate.clock(),
  check ((predicate is null) = (predicate_id is null))
);
comment on table mautomate_internal.list is
  'lists; without a predicate a static one';
comment on column mautomate_internal.list.generation is
  'the generation of definitions at which its predicate last changed';
comment on column mautomate_internal.list.state is
  'building: waits for transactions that may not know it; sweeping: everybody is folded anew; following: members are right and stay right, the states of contacts follow; ready: so they do';
comment on column mautomate_internal.list.wait_for is
  'the sweep begins when all older transactions have ended';
create trigger definition_changed
  after insert or update or delete or truncate on mautomate_internal.list
  for each statement execute function mautomate_internal.definition_changed();

create table mautomate_internal.list_member (
  list_id int not null,
  contact_id bigint not null,
  since timestamptz not null,
  by text not null check (by in ('rule', 'hand')),
  primary key (list_id, contact_id)
);
comment on table mautomate_internal.list_member is
  'who is in which list, and since when: by the rule, or put there by hand';

-- What was decided by hand beats the predicate until it ends.
create table mautomate_internal.list_override (
  list_id int not null,
  contact_id bigint not null,
  entered boolean not null,
  since timestamptz not null,
  until timestamptz not null check (until > since),
  after boolean not null,
  primary key (list_id, contact_id)
);
comment on table mautomate_internal.list_override is
  'who is in a list, or out of it, by hand: for good (until infinity) or until an instant';
comment on column mautomate_internal.list_override.after is
  'of a static list: is the contact in it when this has ended?';
create index list_override_contact on mautomate_internal.list_override (contact_id);

create table mautomate_internal.list_change (
  contact_id bigint not null,
  list_id int not null,
  changed_at timestamptz not null,
  entered boolean not null,
  by text not null check (by in ('rule', 'hand'))
);
-- no key, and it may be published
alter table mautomate_internal.list_change replica identity full;
create index list_change_contact on mautomate_internal.list_change (contact_id);
comment on table mautomate_internal.list_change is
  'every entry into and exit from a list; exits by time alone at the computed instant';

create table mautomate_internal.list_dropped (
  list_id int primary key,
  wait_for xid8,
  file oid,
  swept_to bigint not null default 0
);
comment on table mautomate_internal.list_dropped is
  'lists that were dropped, whose history the sweep clears away; not dumped, and neither is that';
comment on column mautomate_internal.list_dropped.wait_for is
  'the sweep begins when all older transactions have ended';
comment on column mautomate_internal.list_dropped.file is
  'of list_change, whose pages are cleared';
comment on column mautomate_internal.list_dropped.swept_to is
  'pages before this one are clear';

select pg_catalog.pg_extension_config_dump('mautomate_internal.list', '');
select pg_catalog.pg_extension_config_dump('mautomate_internal.list_list_id_seq', '');
select pg_catalog.pg_extension_config_dump('mautomate_internal.list_member', 'where by = ''hand''');
select pg_catalog.pg_extension_config_dump('mautomate_internal.list_override', '');
select pg_catalog.pg_extension_config_dump('mautomate_internal.list_change',
  'where list_id in (select list_id from mautomate_internal.list)');

create function mautomate.create_list(name text, predicate text,
    wait boolean default true)
  returns text language c
  as 'MODULE_PATHNAME', 'mautomate_create_list';
comment on function mautomate.create_list(text, text, boolean) is
  'creates or changes a list of the contacts for whom a SQL expression holds. It fills it before it returns, while writers of contacts and events wait (like CREATE INDEX); with wait => false it returns at once and the scheduler or run() fill it while others write (like CREATE INDEX CONCURRENTLY): views lists and progress tell when it is ready. Returns created, changed or unchanged. Errors: a text that is no immutable boolean expression (with its position), an unknown list or score in it, a cycle';

create function mautomate.create_static_list(name text)
  returns text language c
  as 'MODULE_PATHNAME', 'mautomate_create_static_list';
comment on function mautomate.create_static_list(text) is
  'creates a list whose members are put there by add_to_list() or a workflow. Returns created or unchanged';

create function mautomate.drop_list(name text) returns void language c
  as 'MODULE_PATHNAME', 'mautomate_drop_list';
comment on function mautomate.drop_list(text) is
  'drops a list, its members and their history; what there is of that the scheduler or run() clear away. Error: 2BP01 where a list, score or workflow uses it or counts its events by its name (named)';

create function mautomate.rename_list(name text, new_name text)
  returns void language c
  as 'MODULE_PATHNAME', 'mautomate_rename_list';
comment on function mautomate.rename_list(text, text) is
  'renames a list and rewrites whoever uses it or counts its events by its name: predicates, scores and workflows (also their older versions), templates that compare it with event.list or entry.list by == and != or in a case, and the events that tell of it; the whole log is read for them, while who writes contacts and events, or renders messages, waits. '
  'An event.list compared otherwise, an entry.list where other events may be the entry, and both in a template that no workflow sends which waits for such events, are told in a notice and stay as they are. '
  'Errors: 42704 for an unknown list, 42710 where the new name is taken or somebody counts events by it already, 42602 where a template cannot say it, 0A000 in a transaction with an old snapshot';

create function mautomate.add_to_list(list text, who text,
    until timestamptz default null)
  returns boolean language c
  as 'MODULE_PATHNAME', 'mautomate_add_to_list';
comment on function mautomate.add_to_list(text, text, timestamptz) is
  'puts a contact into a list by hand, until an instant (default null: for good); on a list with a predicate this beats the predicate until it ends or clear_override(). Returns whether the contact was not in it. Errors: unknown list or contact, an end that is not in the future';

create function mautomate.remove_from_list(list text, who text,
    until timestamptz default null)
  returns boolean language c
  as 'MODULE_PATHNAME', 'mautomate_remove_from_list';
comment on function mautomate.remove_from_list(text, text, timestamptz) is
  'takes a contact out of a list by hand, until an instant (default null: for good); on a list with a predicate this beats the predicate until it ends or clear_override(). Returns whether the contact was in it. Errors: unknown list or contact, an end that is not in the future';

create function mautomate.clear_override(list text, who text default null)
  returns bigint language c
  as 'MODULE_PATHNAME', 'mautomate_clear_override';
comment on function mautomate.clear_override(text, text) is
  'ends what add_to_list() and remove_from_list() decided by hand, for a contact or (default null) for everybody: the predicate decides again, and a static list is as it was before what was to end. Returns how many were cleared. Errors: unknown list or contact';

create view mautomate.list_members as
  select l.name as list, c.external_id, m.since, m.by, m.contact_id
  from mautomate_internal.list_member m
  join mautomate_internal.list l using (list_id)
  join mautomate.contact c using (contact_id);
comment on view mautomate.list_members is
  'who is in which list, since when, and whether by the rule or put there by hand';

create view mautomate.list_overrides as
  select l.name as list, c.external_id, o.entered, o.since,
         nullif(o.until, 'infinity') as until, o.contact_id
  from mautomate_internal.list_override o
  join mautomate_internal.list l using (list_id)
  join mautomate.contact c using (contact_id)
  where o.until > mautomate.clock();
comment on view mautomate.list_overrides is
  'who is in a list (entered) or out of it by hand, since when and until when (null: for good); without who was put into a static list for good';

create function mautomate.explain_list(list text, who text)
  returns table (condition text, value text, holds boolean, until timestamptz, because text)
  language c stable
  as 'MODULE_PATHNAME', 'mautomate_explain_list';
comment on function mautomate.explain_list(text, text) is
  'each condition of a list for a contact, as it is written, exact at clock(): what it reads, whether it holds by itself (null: unknown; a "not" before more than one condition is left out), until when if nothing happens (null: for good), and the events that decided it, up to three by their times (in mautomate.timezone). Errors: unknown list or contact';

create view mautomate.progress as
  select format('list "%s"', l.name) as object, t.done, t.total, l.started_at,
         case when t.done > 0
              then l.started_at + (clock_timestamp() - l.started_at)
                   * (t.total::float8 / t.done) end as estimated_end
  from mautomate_internal.list l,
       lateral (select count(*) as total,
                       count(*) filter (where l.state <> 'building'
                                        and s.generation >= l.generation) as done
                from mautomate_internal.contact_state s) t
  where l.state <> 'ready'
  union all
  select 'deferred', 0, sum(d.n), min(d.at), null
  from mautomate_internal.deferred d having count(*) > 0;
comment on view mautomate.progress is
  'lists for which every contact is looked at: to fill them, after create_list(..., wait => false), or only to fold what they ask about (then the list is ready already). Contacts done of how many, real time of the start, and the end at this pace (null: not begun, since transactions older than the list are still running). The row "deferred" is there while events and changes of contacts are only noted (mautomate.refresh = deferred): how many, and since when the oldest waits by mautomate.clock()';

create function mautomate.preview_list(predicate text,
    out matching bigint, out not_matching bigint, out unknown bigint, out because text)
  returns record language c stable
  as 'MODULE_PATHNAME', 'mautomate_preview_list';
comment on function mautomate.preview_list(text) is
  'how many contacts a list of this predicate would have, without creating it: for whom it holds, does not hold, and is unknown (null), and which conditions leave them unknown. Reads contacts and log. Errors: as create_list(); a condition that fails on somebody''s data';

