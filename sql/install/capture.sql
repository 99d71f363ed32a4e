-- Sources: tables of the application whose rows become contacts and events.

create table mautomate_internal.source (
  source text primary key,
  relation regclass not null,
  relation_was oid not null,
  kind text,
  contact text,
  email text,
  phone text,
  anonymous text,
  occurred_at text,
  condition text,
  void_when text,
  on_update text,
  on_delete text,
  fields text,
  zone text,
  key_prefix text unique,
  via regclass,
  via_key text,
  key int2[] not null,
  columns text[] not null,
  via_columns text[]
);
comment on table mautomate_internal.source is
  'what the rows of a table of the application mean; kind null: contacts, else events of that kind';
comment on column mautomate_internal.source.fields is
  'select list of attributes or properties';
comment on column mautomate_internal.source.key_prefix is
  'with the primary key of the row the dedupe key of its event';
comment on column mautomate_internal.source.columns is
  'names of the columns by number when the source was attached: expressions mean these, whatever they are called now';
comment on column mautomate_internal.source.relation_was is
  'number of the table when the source was attached; after a restore it has another, and its columns other numbers: then they are found by name';
comment on column mautomate_internal.source.via is
  'contact, email and anonymous are expressions over the row of this table that a foreign key points to (via_key: which, if there are several)';
create trigger invalidate
  after insert or update or delete or truncate on mautomate_internal.source
  for each statement execute function mautomate_internal.invalidate();
select pg_catalog.pg_extension_config_dump('mautomate_internal.source', '');

create function mautomate_internal.capture() returns trigger
  language c as 'MODULE_PATHNAME', 'mautomate_capture';
comment on function mautomate_internal.capture() is
  'statement trigger on the application''s tables: rows become contacts and events';

create function mautomate.attach_contacts(relation regclass, external_id text,
    email text default null, phone text default null, attributes text default null,
    on_delete text default 'keep', source text default null, backfill boolean default true)
  returns text language c
  as 'MODULE_PATHNAME', 'mautomate_attach_contacts';
comment on function mautomate.attach_contacts(regclass, text, text, text, text, text, text, boolean) is
  'makes the rows of a table contacts, from now on and (backfill) those that are there; external_id, email and phone are expressions over the columns, attributes a select list such as ''dob as birthdate, lang as locale''; an inserted row adds what is not null, an updated one what changed, a null that is new removes; a deleted row changes nothing (on_delete keep) or erases its contact for good, see erase_contact() (erase; a contact that has become part of another one stays, with an error noted; TRUNCATE erases nobody); source is the name, schema.relation by default; needs TRIGGER and (backfill) SELECT on the table; returns created, changed or unchanged. Errors: 42809 for what is no table of yours, or temporary or without primary key, 42501 without the rights, 22004 where nothing says who it is, 42602 for a column of contacts that is not given like this, 42710 where another source has the name, and for expressions 42601, 42701, 42703, 42804 and 0A000 with the position';

create function mautomate.attach_events(relation regclass, kind text,
    contact text default null, email text default null, anonymous text default null, via regclass default null,
    occurred_at text default null, properties text default null, condition text default null, void_when text default null,
    on_update text default 'ignore', zone text default null, source text default null,
    backfill boolean default true, via_key text default null)
  returns text language c
  as 'MODULE_PATHNAME', 'mautomate_attach_events';
comment on function mautomate.attach_events(regclass, text, text, text, text, regclass, text, text, text, text, text, text, text, boolean, text) is
  'makes the rows of a table events of a kind, from now on and (backfill, which starts nothing) those that are there: a row counts once, when it first satisfies condition and is somebody''s, by INSERT or by UPDATE; '
  'contact (an external id, else, as in track(), an e-mail address or phone number) or else email says whose it is, an unknown person becomes a contact (an address is whose it is when the row first names it: the event of the row stays with that person, whoever has the address later, until the row names another one); anonymous (a cookie, a device) says so where they are null, and where they are not it names the same person from then on, see alias(); all null: nobody''s, no event; '
  'with via these three are expressions over the row of that table that this row''s foreign key points to (default: those of the sources of that table; via_key: the constraint or its columns, such as ''a, b'', needed where there are several; the columns are what counts from then on); a null key or no such row: nobody''s; where the row pointed to comes to be somebody''s, or arrives late, the rows that point to it become events then; where it comes to be somebody else''s, on_update decides for each as below; where it is deleted nothing changes; while both change in two open transactions the person is who it was; '
  'a row that comes to satisfy void_when takes its event out of the log again, with what append made of it for the same person, until it no longer does; '
  'on_update is what an update of a row that is an event already does: ignore (default), replace (time, properties and person follow the row, starting nothing; the person also while the row is no event) or append (each change of them is one more event); without replace a row that is no event for a while, and somebody else''s when it becomes one again, is an event of each; '
  'occurred_at is when, by default mautomate.clock(), a time without zone is in zone or else in mautomate.timezone; properties is a select list such as ''total as amount, id as order_id''; '
  'expressions mean the columns that had these names at the time, renamed or not; a dropped one is noted in mautomate.errors for each statement, and the rows are read when it is attached again; '
  'what is deleted or truncated stays in the log; what is written with the triggers disabled or in a session with session_replication_role = replica is not seen until it is attached again; '
  'rows of partitions and children count as rows of the table, whichever name the statement uses, and those that come later too; what a partition brings along when it is attached to its table is not seen until the source is attached again; a partition that leaves takes no part any more; children need keys of their own; '
  'source is the name, schema.relation.kind by default; a table that was dropped and made anew is attached again by it, and its rows are the events that they were; a table that gets another primary key is to be attached again (with backfill), while the columns of the old one are there: its rows are found by that; needs a primary key, TRIGGER and (backfill) SELECT on the table, and both on via; returns created, changed or unchanged. '
  'Errors: 42809 for what cannot be attached (a view, a temporary or foreign table, one without primary key), 42501 without the rights, 22004 where nothing says whose a row is, 42704 and 42P08 where via has no such foreign key, or several, 42939 for a kind that the engine writes, 42710 where another source has the name, 22023 for another on_update or zone, and for expressions 42601, 42701, 42703, 42804 and 0A000 with the position';

create function mautomate.attach_preview(relation regclass, kind text,
    contact text default null, email text default null, anonymous text default null, via regclass default null,
    occurred_at text default null, properties text default null, condition text default null, void_when text default null,
    on_update text default 'ignore', zone text default null, source text default null,
    backfill boolean default true, via_key text default null,
    out what text, out n bigint, out external_id text, out email_address text, out event text,
    out at timestamptz, out event_properties jsonb, out problem text)
  returns setof record language c
  as 'MODULE_PATHNAME', 'mautomate_attach_preview';
comment on function mautomate.attach_preview(regclass, text, text, text, text, regclass, text, text, text, text, text, text, text, boolean, text) is
  'what attach_events() with the same arguments would do with the rows that are there, doing nothing: up to ten events that they would become, each with the name of the contact, up to ten errors, and (n) how many rows were read, would be new events, are events already, how many contacts nobody knows yet, and how many errors. Rows that are in none of these do not satisfy condition, are void or nobody''s. Reads the whole table; needs SELECT on it; errors as attach_events()';

create function mautomate.detach(source text)
  returns void language c strict
  as 'MODULE_PATHNAME', 'mautomate_detach';
comment on function mautomate.detach(text) is
  'ends the capture of a source; contacts and events stay, and attaching again under the same name does not double them; needs TRIGGER on the table. Errors: 42704 for an unknown source, 42501 without the right';

create function mautomate_internal.table_changed() returns event_trigger
  language c as 'MODULE_PATHNAME', 'mautomate_table_changed';
comment on function mautomate_internal.table_changed() is
  'event trigger: partitions and children of attached tables get their triggers';

create view mautomate.sources as
  select s.source, s.relation::text as relation,
         case when s.kind is null then 'contacts' else 'events' end as becomes,
         s.kind, s.contact, s.email, s.phone, s.anonymous, s.via::text as via, s.occurred_at, s.condition,
         s.void_when, s.on_update, s.on_delete, s.fields, s.zone,
         case
           when c.oid is null then 'table dropped'
           when c.relispartition then 'table is a partition now'
           when t.enabled is null then 'trigger dropped'
           when s.via is not null and not exists (
             select from pg_constraint f
             where f.contype = 'f' and f.conrelid = s.relation and f.confrelid = s.via) then 'foreign key dropped'
           when t.enabled then 'capturing'
           else 'trigger disabled'
         end as state
  from mautomate_internal.source s
    left join pg_class c on c.oid = s.relation
    left join lateral (
      select bool_and(g.tgenabled in ('O', 'A')) as enabled
      from pg_trigger g
      where g.tgrelid = s.relation
        and g.tgname in ('mautomate_capture_insert', 'mautomate_capture_update', 'mautomate_capture_delete')
      having count(*) >= case s.on_delete when 'erase' then 3 else 2 end
    ) t on true;
comment on view mautomate.sources is
  'tables of the application that become contacts and events; state tells whether they do at present';

