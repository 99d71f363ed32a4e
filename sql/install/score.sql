-- Scores: points for what contacts did and for what holds of them.

create table mautomate_internal.score (
  score_id serial primary key,
  name text not null unique check (name <> ''),
  minimum float8,
  maximum float8,
  generation bigint not null default 0,
  created_at timestamptz not null default mautomate.clock(),
  check (minimum <= maximum)
);
comment on table mautomate_internal.score is
  'scores: the sum of their rules, kept between minimum and maximum';
create trigger definition_changed
  after insert or update or delete or truncate on mautomate_internal.score
  for each statement execute function mautomate_internal.definition_changed();

create table mautomate_internal.score_rule (
  score_id int not null,
  rule text not null check (rule <> ''),
  points float8 not null,
  event text,
  condition text,
  predicate_id int not null,
  primary key (score_id, rule),
  check (event is not null or condition is not null)
);
comment on table mautomate_internal.score_rule is
  'points for each event of a kind (that satisfies the condition), or while the condition holds';
create trigger definition_changed
  after insert or update or delete or truncate on mautomate_internal.score_rule
  for each statement execute function mautomate_internal.definition_changed();

create table mautomate_internal.score_tier (
  tier_id serial unique,
  score_id int not null,
  tier text not null check (tier <> ''),
  at_least float8 not null,
  leave_below float8 not null,
  primary key (score_id, tier),
  unique (score_id, at_least),
  check (leave_below <= at_least)
);
comment on table mautomate_internal.score_tier is
  'tiers: entered at at_least, left below leave_below';
create trigger definition_changed
  after insert or update or delete or truncate on mautomate_internal.score_tier
  for each statement execute function mautomate_internal.definition_changed();

create table mautomate_internal.contact_score (
  contact_id bigint not null,
  score_id int not null,
  bucket int not null,
  primary key (contact_id, score_id)
);
create index contact_score_bucket
  on mautomate_internal.contact_score (score_id, bucket desc);
comment on table mautomate_internal.contact_score is
  'who has about how much: the value is below 2 ^ bucket; 0: it is not above 0. Written when the value outgrows it or is far below';

select pg_catalog.pg_extension_config_dump('mautomate_internal.score', '');
select pg_catalog.pg_extension_config_dump('mautomate_internal.score_score_id_seq', '');
select pg_catalog.pg_extension_config_dump('mautomate_internal.score_rule', '');
select pg_catalog.pg_extension_config_dump('mautomate_internal.score_tier', '');
select pg_catalog.pg_extension_config_dump('mautomate_internal.score_tier_tier_id_seq', '');

create function mautomate.create_score(name text,
    minimum float8 default null, maximum float8 default null)
  returns text language c
  as 'MODULE_PATHNAME', 'mautomate_create_score';
comment on function mautomate.create_score(text, float8, float8) is
  'creates or changes a score: the sum of the points of its rules, kept between minimum and maximum (null: unbounded). Returns created, changed or unchanged';

create function mautomate.create_score_rule(score text, rule text, points float8,
    event text default null, condition text default null)
  returns text language c
  as 'MODULE_PATHNAME', 'mautomate_create_score_rule';
comment on function mautomate.create_score_rule(text, text, float8, text, text) is
  'gives points for each event of a kind (that satisfies a condition over event.x), or, without event, while a condition over the contact holds. Scores everybody before it returns. Returns created, changed or unchanged. Errors: unknown score, a condition that is no immutable boolean expression, neither event nor condition';

create function mautomate.create_score_tier(score text, tier text,
    at_least float8, leave_below float8 default null)
  returns text language c
  as 'MODULE_PATHNAME', 'mautomate_create_score_tier';
comment on function mautomate.create_score_tier(text, text, float8, float8) is
  'a tier begins at at_least points; who is in it leaves below leave_below (default: at_least). A crossing is an event tier_changed {score, tier, previous}. Returns created, changed or unchanged';

create function mautomate.drop_score(name text) returns void language c
  as 'MODULE_PATHNAME', 'mautomate_drop_score';
comment on function mautomate.drop_score(text) is
  'drops a score with its rules and tiers. Error: 2BP01 where a list, score or workflow uses it or counts its events by its name (named)';

create function mautomate.rename_score(name text, new_name text)
  returns void language c
  as 'MODULE_PATHNAME', 'mautomate_rename_score';
comment on function mautomate.rename_score(text, text) is
  'renames a score and rewrites whoever uses it or counts its events by its name: predicates, scores and workflows (also their older versions), templates that compare it with event.score or entry.score by == and != or in a case, and the events that tell of it; the whole log is read for them, while who writes contacts and events, or renders messages, waits. '
  'An event.score compared otherwise, or in a template that no workflow sends which waits for such events, is told in a notice and stays as it is. '
  'Errors: 42704 for an unknown score, 42710 where the new name is taken or somebody counts events by it already, 42602 where a template cannot say it, 0A000 in a transaction with an old snapshot';

create function mautomate.drop_score_rule(score text, rule text)
  returns void language c
  as 'MODULE_PATHNAME', 'mautomate_drop_score_rule';
comment on function mautomate.drop_score_rule(text, text) is
  'drops a rule and scores everybody again. Error: unknown score or rule';

create function mautomate.drop_score_tier(score text, tier text)
  returns void language c
  as 'MODULE_PATHNAME', 'mautomate_drop_score_tier';
comment on function mautomate.drop_score_tier(text, text) is
  'drops a tier. Error: unknown score or tier';

create function mautomate_internal.state_scores(state bytea,
    out score_id int, out value float8, out tier_id int)
  returns setof record language c stable strict rows 2
  as 'MODULE_PATHNAME', 'mautomate_state_scores';
comment on function mautomate_internal.state_scores(bytea) is
  'the scores in a contact''s state; tier_id is null for none';

create view mautomate.scores as
  select s.name as score, c.external_id, x.value, t.tier, c.contact_id
  from mautomate_internal.contact_state cs
  join mautomate.contact c using (contact_id)
  cross join lateral mautomate_internal.state_scores(cs.state) x
  join mautomate_internal.score s on s.score_id = x.score_id
  left join mautomate_internal.score_tier t using (tier_id);
comment on view mautomate.scores is
  'every contact''s scores, in points, and the tier each is in';

create function mautomate_internal.score_id(name text) returns int
  language c stable strict as 'MODULE_PATHNAME', 'mautomate_score_id';
comment on function mautomate_internal.score_id(text) is
  'the number of a score. Error: unknown score';

create function mautomate.score(who text, name text) returns float8
  language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  select mautomate_internal.score_id(name);
  select x.value
  from mautomate_internal.contact_state cs
  cross join lateral mautomate_internal.state_scores(cs.state) x
  join mautomate_internal.score s using (score_id)
  where cs.contact_id = mautomate_internal.contact_of($1)
    and s.name = $2;
end;
comment on function mautomate.score(text, text) is
  'the points a contact has of a score. Errors: unknown contact or score';

create function mautomate.top_leads(score text, n int default 100)
  returns table (external_id text, value float8, tier text)
  language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  select mautomate_internal.score_id(score);
  -- the n best of all are no worse than those of some in the highest buckets
  with likely as materialized (
    select cs.contact_id, cs.score_id
    from mautomate_internal.contact_score cs
    join mautomate_internal.score s using (score_id)
    where s.name = top_leads.score
    order by cs.bucket desc
    limit 4 * greatest(n, 25)::bigint
  ), worst as (
    select x.value
    from likely
    join mautomate_internal.contact_state cs using (contact_id)
    cross join lateral mautomate_internal.state_scores(cs.state) x
    where x.score_id = likely.score_id
    order by x.value desc
    offset greatest(coalesce(n, 2147483647), 1) - 1 limit 1
  ), best as materialized (
    select cs.contact_id, cs.score_id
    from mautomate_internal.contact_score cs
    join mautomate_internal.score s using (score_id)
    where s.name = top_leads.score
      and cs.bucket >= coalesce((
        select floor(ln(value) / ln(2) - 1e-9)::int + 1
        from worst where value > 0), 0)
  )
  select c.external_id, x.value, t.tier
  from best
  join mautomate_internal.contact_state cs using (contact_id)
  join mautomate.contact c using (contact_id)
  cross join lateral mautomate_internal.state_scores(cs.state) x
  left join mautomate_internal.score_tier t using (tier_id)
  where x.score_id = best.score_id
  order by x.value desc, c.contact_id
  limit n;
end;
comment on function mautomate.top_leads(text, int) is
  'the n contacts (default 100) with the most points of a score, best first. Error: unknown score';

