-- Addresses nothing is sent to, whoever they belong to.

create table mautomate_internal.suppression (
  address_hash bytea primary key,
  reason text not null,
  suppressed_at timestamptz not null
);
comment on table mautomate_internal.suppression is
  'addresses nothing is sent to, by hash, so that it outlives the erasure of the person';
select pg_catalog.pg_extension_config_dump('mautomate_internal.suppression', '');

create function mautomate_internal.address_hash(address text) returns bytea
  language c stable strict parallel safe
  as 'MODULE_PATHNAME', 'mautomate_address_hash';
comment on function mautomate_internal.address_hash(text) is
  'by what an e-mail address or phone number is known to suppression, in any case and spelling';

create function mautomate_internal.address_checked(address text) returns text
  language c immutable as 'MODULE_PATHNAME', 'mautomate_address_checked';
comment on function mautomate_internal.address_checked(text) is
  'the address itself if it is an e-mail address or phone number, else an error (22023)';

create function mautomate.suppress(address text, reason text default 'manual')
  returns boolean
  language sql volatile security definer
  set search_path = pg_catalog, pg_temp
  begin atomic
    with done as (
      insert into mautomate_internal.suppression as s
        values (mautomate_internal.address_hash(
                  mautomate_internal.address_checked(address)),
                coalesce(reason, 'manual'), mautomate.clock())
      on conflict (address_hash) do nothing
      returning true
    )
    select exists (select from done);
  end;
comment on function mautomate.suppress(text, text) is
  'sends nothing to this e-mail address or phone number any more, whoever it belongs to; '
  'true if that is new; the first reason is kept. Errors: 22023 if it is no address.';

create function mautomate.unsuppress(address text) returns boolean
  language sql volatile security definer
  set search_path = pg_catalog, pg_temp
  begin atomic
    with done as (
      delete from mautomate_internal.suppression
      where address_hash = mautomate_internal.address_hash(
              mautomate_internal.address_checked(address))
      returning true
    )
    select exists (select from done);
  end;
comment on function mautomate.unsuppress(text) is
  'takes suppress() back; true if the address was suppressed. Errors: 22023 if it is no address.';

create view mautomate.suppressions as
  select encode(address_hash, 'hex') as address_hash, reason, suppressed_at
  from mautomate_internal.suppression;
comment on view mautomate.suppressions is
  'addresses nothing is sent to; address_hash is the SHA-256 of the address in lower case';
