-- Last: everything belongs to mautomate_owner, and nothing is public.

create function mautomate.reset_owner() returns void
  language c volatile as 'MODULE_PATHNAME', 'mautomate_reset_owner';
comment on function mautomate.reset_owner() is
  'gives everything of mautomate to the role mautomate_owner, which is created where absent; superusers only (42501). After REASSIGN OWNED BY mautomate_owner the engine goes on with the rights of the new owner, a superuser''s if it is one: this is the way back. Takes an exclusive lock on each table; roles keep what grant_access() gave them';
select mautomate.reset_owner();
revoke all on all routines in schema mautomate, mautomate_internal from public;

-- From here on: partitions and children of attached tables.
create event trigger mautomate_table_changed on ddl_command_end
  when tag in ('CREATE TABLE', 'ALTER TABLE', 'CREATE SCHEMA')
  execute function mautomate_internal.table_changed();
