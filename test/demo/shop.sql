-- The shop as it was before mautomate: three tables and a role of its own,
-- which nobody ever grants anything of mautomate's.
create schema shop;

create table shop.customer (
  customer_id text primary key,
  first_name text not null,
  last_name text not null,
  email text not null,
  country text not null
);

create table shop.invoice (
  invoice_no text primary key,        -- C...: a cancellation
  customer_id text references shop.customer,
  invoiced_at timestamptz not null,   -- that of its earliest line
  total numeric not null
);

create table shop.invoice_line (
  invoice_no text not null references shop.invoice,
  stock_code text not null,
  description text,
  quantity int not null,
  unit_price numeric not null
);

create role shop;
grant usage on schema shop to shop;
grant select, insert on all tables in schema shop to shop;
