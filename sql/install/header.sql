-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION mautomate" to load this file. \quit

-- Our tables have no foreign keys: a parallel pg_restore loads the tables of
-- an extension in any order.
create schema mautomate_internal;
comment on schema mautomate is
  'marketing automation: contacts, events, lists, scores, workflows, messages';
comment on schema mautomate_internal is
  'tables and functions of mautomate that nobody touches by hand';

create function mautomate_internal.invalidate() returns trigger
  language c as 'MODULE_PATHNAME', 'mautomate_invalidate';
comment on function mautomate_internal.invalidate() is
  'statement trigger: tells every session that the rows of the table changed';

