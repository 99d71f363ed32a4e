-- Liquid templates.

create function mautomate_internal.render_liquid(source text, data jsonb,
  partials jsonb default '{}', escape boolean default false,
  strict boolean default false) returns text
  language c stable strict parallel safe
  as 'MODULE_PATHNAME', 'mautomate_render_liquid';
comment on function mautomate_internal.render_liquid(text, jsonb, jsonb, boolean, boolean) is
  'the text of a Liquid template over data (an object); partials: name to source of what render and include name; escape: as HTML; strict: an unknown variable is an error (42703); a mistake in the template is 42601, in what it does with the data 22023, beyond a limit 54000; dates in the session''s time zone';
