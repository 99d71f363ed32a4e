-- Everything is a function of the log: recompute and compare.

create function mautomate_internal.value_text(jsonb, text[]) returns text
  language c immutable strict parallel safe
  as 'MODULE_PATHNAME', 'mautomate_value';
comment on function mautomate_internal.value_text(jsonb, text[]) is
  'the value at a path of keys as text; null if there is none';
create function mautomate_internal.value_jsonb(jsonb, text[]) returns jsonb
  language c immutable strict parallel safe
  as 'MODULE_PATHNAME', 'mautomate_value';
comment on function mautomate_internal.value_jsonb(jsonb, text[]) is
  'the value at a path of keys as it is; null if there is none, or JSON null';
create function mautomate_internal.value_numeric(jsonb, text[]) returns numeric
  language c immutable strict parallel safe
  as 'MODULE_PATHNAME', 'mautomate_value';
comment on function mautomate_internal.value_numeric(jsonb, text[]) is
  'the value at a path of keys as numeric; null if it is none';
create function mautomate_internal.value_boolean(jsonb, text[]) returns boolean
  language c immutable strict parallel safe
  as 'MODULE_PATHNAME', 'mautomate_value';
comment on function mautomate_internal.value_boolean(jsonb, text[]) is
  'the value at a path of keys as boolean; null if it is none';
create function mautomate_internal.value_date(jsonb, text[]) returns date
  language c stable strict
  as 'MODULE_PATHNAME', 'mautomate_value';
comment on function mautomate_internal.value_date(jsonb, text[]) is
  'the value at a path of keys as date; null if it is none';
create function mautomate_internal.value_timestamp(jsonb, text[]) returns timestamp
  language c stable strict
  as 'MODULE_PATHNAME', 'mautomate_value';
comment on function mautomate_internal.value_timestamp(jsonb, text[]) is
  'the value at a path of keys as timestamp; null if it is none';
create function mautomate_internal.value_timestamptz(jsonb, text[]) returns timestamptz
  language c stable strict
  as 'MODULE_PATHNAME', 'mautomate_value';
comment on function mautomate_internal.value_timestamptz(jsonb, text[]) is
  'the value at a path of keys as timestamptz, in the session''s zone if it names none; null if it is none';

create function mautomate_internal.local_day(timestamptz, zone text) returns date
  language c stable
  as 'MODULE_PATHNAME', 'mautomate_local_day';
comment on function mautomate_internal.local_day(timestamptz, text) is
  'the day that it is in a zone; in mautomate.timezone where the name is none';

create function mautomate_internal.verify_rows(repair boolean,
    out object text, out external_id text, out stored text, out expected text,
    out contact_id bigint, out rank int, out place bigint)
  returns setof record language c strict
  as 'MODULE_PATHNAME', 'mautomate_verify';
comment on function mautomate_internal.verify_rows(boolean) is
  'what verify() shows, with the number of a contact that can be repaired, and by what it is ordered';

create function mautomate.verify(repair boolean default false)
  returns table (object text, external_id text, stored text, expected text)
  language sql security definer set search_path = pg_catalog, pg_temp
begin atomic
  select v.object, v.external_id, v.stored, v.expected
  from mautomate_internal.verify_rows(repair) v
  order by v.rank, v.place;
end;
comment on function mautomate.verify(boolean) is
  'recomputes every list, every score and every question that they ask about a history (signal) from the log in plain SQL and returns what differs: no rows if all is well. A row of a signal, such as signal count(''purchase'', within => ''30 days''), is about the state that the engine folds: what it answers at clock() (stored) and what the log says (expected; null: no value), whether or not a list is wrong by it; a count is compared up to one more than the greatest constant it is compared with. It looks at what is committed by now, whatever the transaction sees, and definitions may change meanwhile. It reads the log once for each 100,000 contacts (but at most some ten times), and once more for each 500 different questions about it, and may be cancelled at any time. Lists that are still being filled are left out, and so are contacts that are known to be behind: those for whom a timer is due that has not run, who wait for the sweep, or with events that mautomate.refresh = deferred only noted (view progress); run() brings them up to date. Of signals those are left out whose filter raises an error on the events of a contact, for the contacts with numbers near by (where that is so of many, for all that follow), and states that have not been brought to the definitions since they ask. Where a definition fails on somebody''s data the engine leaves things as they are, and stored is "not verified", for ten contacts at most, then for all others (external_id null). With repair what differs is folded anew (silently), and the rows say what was wrong';

