-- Last: everything belongs to mautomate_owner, and nothing is public.

do $$
declare
  object record;
begin
  for object in
    select format('alter %s %s owner to mautomate_owner',
                  case c.relkind when 'v' then 'view' when 'S' then 'sequence'
                                 else 'table' end, c.oid::regclass) as command
    from pg_class c
    where c.relnamespace in ('mautomate'::regnamespace, 'mautomate_internal'::regnamespace)
      and (c.relkind in ('r', 'v')
           or c.relkind = 'S' and not exists (
                select from pg_depend d
                where d.classid = 'pg_class'::regclass and d.objid = c.oid
                  and d.deptype in ('a', 'i') and d.refobjsubid > 0))
    union all
    select format('alter routine %s owner to mautomate_owner', p.oid::regprocedure)
    from pg_proc p
    where p.pronamespace in ('mautomate'::regnamespace, 'mautomate_internal'::regnamespace)
  loop
    execute object.command;
  end loop;
end
$$;
alter schema mautomate owner to mautomate_owner;
alter schema mautomate_internal owner to mautomate_owner;
revoke all on all routines in schema mautomate, mautomate_internal from public;

-- From here on: partitions and children of attached tables.
create event trigger mautomate_table_changed on ddl_command_end
  when tag in ('CREATE TABLE', 'ALTER TABLE', 'CREATE SCHEMA')
  execute function mautomate_internal.table_changed();
