-- What comes to a security tester's mind: refused, or harmless.
set client_min_messages = warning;
drop extension if exists mautomate cascade;
create extension mautomate;
set timezone = 'UTC';
set datestyle = 'ISO';
select mautomate.define_attribute('h_born', 'date');
select mautomate.identify('h_ann', attributes => '{"h_n": 5, "h_text": "now", "h_born": "1990-05-06"}') is not null;

-- compiles a predicate and forgets it again
create function pg_temp.try(predicate text) returns text language plpgsql as $$
begin
  perform mautomate.create_list('h_try', predicate);
  perform mautomate.drop_list('h_try');
  return 'taken';
exception when others then
  return sqlstate || ' ' || sqlerrm;
end $$;

-- things to reach for
create schema h_evil;
create table h_evil.log (what text);
create type h_evil.mood as enum ('good', 'bad');
create domain h_evil.small as int check (value < 10);
create type h_evil.pair as (a int, b int);
create function h_evil.spy(anyelement) returns boolean language sql immutable as 'insert into h_evil.log values (''spied''); select true';
create function public.lower(numeric) returns boolean language sql immutable as 'select true';
create function public.upper(text) returns text language sql immutable as 'insert into h_evil.log values (''upper''); select ''X''';
create function pg_temp.length(text) returns int language sql immutable as 'insert into h_evil.log values (''length''); select 1';
create function pg_temp.numeric_gt(numeric, numeric) returns boolean language sql immutable as 'insert into h_evil.log values (''gt''); select true';
create function h_evil.gt(text, text) returns boolean language plpgsql immutable as 'begin insert into h_evil.log values (''gt''); return true; end';
create operator public.> (leftarg = text, rightarg = text, function = h_evil.gt);
create operator public.=== (leftarg = text, rightarg = text, function = h_evil.gt);
create collation h_evil.odd from "C";
create cast (text as h_evil.mood) with inout as implicit;

select n, coalesce(left(t, 60), 'null') as predicate, pg_temp.try(t) from unnest(array[
  -- more than an expression
  'true; drop table mautomate.contact',
  'true; delete from mautomate.event; select true',
  'with x as (delete from mautomate.event returning 1) select true',
  'true union all select true',
  'true from mautomate.contact',
  'true from pg_sleep(10)',
  'true where true',
  'true for update',
  'true into h_evil.stolen',
  'true limit 1',
  'true) or (true',
  'true -- or',
  'true /* or',
  'exists (select from pg_authid)',
  'contact.h_n = (select count(*) from pg_class)',
  'contact.h_n = any (select 1)',
  'array(select 1) is null',
  'contact.h_n in (values (1))',
  'lateral (select 1)',
  'copy mautomate.contact to program ''id''',
  'do $x$ begin end $x$',
  'execute x',
  -- functions
  'set_config(''role'', ''postgres'', false) is null',
  'current_setting(''data_directory'') > ''''',
  'pg_sleep(10) is null',
  'pg_read_file(''/etc/passwd'') > ''''',
  'pg_ls_dir(''.'') is null',
  'lo_import(''/etc/passwd'') > 0',
  'dblink_exec(''x'', ''y'') is null',
  'pg_advisory_lock(1) is null',
  'pg_terminate_backend(pg_backend_pid())',
  'pg_notify(''a'', ''b'') is null',
  'pg_reload_conf()',
  'txid_current() > 0',
  'nextval(''mautomate.event_event_id_seq'') > 0',
  'random() > 0.5',
  'gen_random_uuid() is not null',
  'clock_timestamp() > contact.h_born',
  'timeofday() > ''''',
  'query_to_xml(''delete from mautomate.event'', true, true, '''') is null',
  'table_to_xml(''pg_authid'', true, true, '''') is null',
  'xmlparse(content ''<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>'') is null',
  'contact.h_text::xml is null',
  'generate_series(1, 1000000000) > 1',
  'unnest(array[true, true])',
  'regexp_matches(contact.h_text, ''.'', ''g'') is null',
  'has_table_privilege(''pg_authid'', ''select'')',
  'pg_get_viewdef(1) is null',
  'inet_server_addr() is null',
  'version() > ''''',
  'current_user = ''postgres''',
  'session_user = ''postgres''',
  'current_schema = ''x''',
  'current_database() = ''x''',
  'mautomate.untag(''h_ann'', ''x'') is null',
  'mautomate.set_clock(null) is null',
  'h_evil.spy(contact.h_n)',
  'public.lower(contact.h_n)',
  'count(*) > 1',
  'sum(contact.h_n) over () > 1',
  'grouping(contact.h_n) = 1',
  -- operators, types, collations
  'contact.h_text operator(public.>) ''a''',
  'contact.h_text === ''a''',
  'contact.h_text > ''a''',
  'contact.h_text::h_evil.mood = ''good''',
  'contact.h_n::h_evil.small > 1',
  'row(1, 2)::h_evil.pair is null',
  'contact.h_text::information_schema.sql_identifier = ''a''',
  'contact.h_text::regclass is null',
  '''pg_authid''::regclass is not null',
  '''pg_monitor''::regrole is not null',
  'contact.h_text collate h_evil.odd > ''a''',
  'row(contact.h_n) > row(1)',
  '(contact.x).y.z = 1',
  'contact.* is null',
  '$1 = 1',
  'default',
  -- time that is not ours
  'contact.h_born > ''today''',
  'contact.h_born > ''now''::text::date',
  'contact.h_born > (''to'' || ''day'')::date',
  'lower(contact.h_text)::timestamptz > ''2020-01-01''',
  'contact.h_text::timestamptz > ''2020-01-01''',
  'time ''NOW'' > time ''10:00''',
  'contact.h_born > ''10:00''::timetz::text',
  'current_date > contact.h_born',
  'localtimestamp > contact.h_born',
  'age(contact.h_born) > ''1 year''',
  'to_char(contact.h_born, ''TMMonth'') = ''mai''',
  'to_char(1.5, ''9D9'') = ''1.5''',
  'to_char(contact.h_born, contact.h_text) = ''x''',
  'to_char(contact.h_born::date, ''MM-DD'') = ''05-06''',
  -- size and depth
  'repeat(''x'', 1000000000) = contact.h_text',
  'lpad(contact.h_text, 1000000000) = contact.h_text',
  'format(''%1000000000s'', contact.h_text) = ''''',
  'array_fill(1, array[1000000000]) is null',
  'factorial(100000) > 1',
  '10.0 ^ 200000 > 1',
  'contact.h_n / 0 > 1',
  'count(''x'', within => ''-1 day'') > 1',
  'count(''x'', within => ''999999999 years'') > 1',
  'count(''x'') > 99999999999999999999999',
  'count('''') > 1',
  'count(''x'', ''y'', ''z'', ''w'') > 1',
  'count(''x'') filter (where pg_sleep(1) is null) > 1',
  'count(''x'') filter (where exists (select 1)) > 1',
  'in_list(''h_try'')',
  'in_list(contact.h_text)',
  -- more functions
  'pg_catalog.pg_read_file(''PG_VERSION'') is null',
  'pg_read_binary_file(''PG_VERSION'') is null',
  'pg_stat_file(''PG_VERSION'') is null',
  'pg_try_advisory_xact_lock(1)',
  'pg_advisory_unlock_all() is null',
  'pg_cancel_backend(1)',
  'pg_rotate_logfile()',
  'pg_create_restore_point(''x'') is null',
  'setval(''mautomate.event_event_id_seq'', 1) > 0',
  'currval(''mautomate.event_event_id_seq'') > 0',
  'lastval() > 0',
  'lo_get(1) is null',
  'lo_unlink(1) = 1',
  'setseed(0.5) is null',
  'statement_timestamp() > contact.h_born',
  'transaction_timestamp() > contact.h_born',
  'pg_current_xact_id() is null',
  'txid_current_snapshot() is null',
  'database_to_xml(true, true, '''') is null',
  'cursor_to_xml(''c'', 1, true, true, '''') is null',
  'xpath(''//x'', ''<x/>'') is null',
  'xmlelement(name x) is null',
  'row_to_json(row(1)) is null',
  'to_jsonb(contact.h_n) is null',
  'jsonb_path_query(''[1, 2]'', ''$[*]'') = ''1''',
  'jsonb_array_elements(''[1]'') = ''1''',
  'json_populate_record(null::h_evil.pair, ''{}'') is null',
  'regexp_split_to_table(contact.h_text, '''') = ''''',
  'pg_typeof(contact.h_n) = ''numeric''',
  'col_description(1, 1) is null',
  'to_regclass(''pg_authid'') is null',
  'has_database_privilege(''postgres'', ''connect'')',
  'pg_has_role(''postgres'', ''member'')',
  'current_role = ''postgres''',
  'user = ''postgres''',
  'current_catalog = ''x''',
  'current_time > ''10:00''',
  'pg_client_encoding() = ''UTF8''',
  'pg_postmaster_start_time() > now()',
  'pg_backend_pid() > 1',
  'string_agg(contact.h_text, '','') = ''x''',
  'percentile_cont(0.5) within group (order by contact.h_n) > 1',
  'rank() over (order by contact.h_n) = 1',
  'array_agg(contact.h_n) is null',
  -- columns that are none, casts, rows
  'ctid is null',
  'contact.ctid is null',
  'tableoid = 1',
  'xmin is null',
  'contact is null',
  'contact.contact_id > 0',
  '1259::oid::regclass is null',
  '1259::regclass::text = ''pg_class''',
  'contact.h_n[1] is null',
  '(array[1, 2])[1] = 1',
  'row(1, 2) = row(1, 2)',
  '(1, 2) overlaps (3, 4)',
  'contact.h_n = any (contact.h_text::int[])',
  '''{1}''::int[] = array[1]',
  'contact.h_n::h_evil.small::text = ''5''',
  'cast(contact.h_text as h_evil.mood) is null',
  'contact.h_text::name = ''now''',
  'treat(contact.h_n as int) = 5',
  'contact.h_n is of (numeric)',
  'current of c',
  'contact.h_n not in (select 5)',
  'contact.h_n > all (array[1, 2])',
  '? = 1',
  ':x = 1',
  'contact.h_n = 5;',
  ';',
  'select true',
  'table mautomate.contact',
  'values (true)',
  'begin',
  -- constants that are odd
  'contact.h_n < ''NaN''',
  'contact.h_n > ''-Infinity''',
  'contact.h_n::float8 = ''NaN''',
  'contact.h_born < ''infinity''',
  'sum(''x'', ''y'') > ''NaN''',
  'sum(''x'', ''y'') > 1e400',
  'count(''x'') > 1e400',
  'count(''x'') > -9223372036854775808',
  'count(''x'', since => ''infinity'') > 1',
  'elapsed(''x'') > ''178000000 years''',
  'contact.h_text = U&''\0041''',
  'contact.h_text = E''\\''''',
  'contact.h_text = $q$now$q$',
  'contact.h_text = B''101''::text',
  -- what takes for ever, or all there is
  'contact.h_text ~ ''(a*)*b''',
  'contact.h_text ~ ''^(a*)(a*)\1\2$''',
  'contact.h_text ~ contact.h_path',
  'contact.h_text ~ any (array[''x'', contact.h_path])',
  'textregexeq(contact.h_text, contact.h_path)',
  'contact.h_text similar to contact.h_path',
  'contact.h_text similar to ''n(o|a)w''',
  'substring(contact.h_text from ''(.)\1'') = ''x''',
  'substring(contact.h_text from 1 for 2) = ''no''',
  'regexp_replace(contact.h_text, contact.h_path, '''') = ''x''',
  'contact.h_text ~ ''((x{1,100}){1,100}){1,100}''',
  'replace(replace(replace(contact.h_text, ''n'', ''nnnnnnnn''), ''n'', ''nnnnnnnn''), ''n'', ''nnnnnnnn'') = ''x''',
  'quote_literal(quote_literal(contact.h_text)) = ''x''',
  'gcd(10.0 ^ 100000 + 1, 3.0 ^ 50000 + 7) > 1',
  'lcm(contact.h_n, 3.0 ^ 50000) > 1',
  'array_upper(string_to_array(contact.h_text, null), 1) = 3',
  'overlay(contact.h_text placing ''x'' from 2000000000) = ''x''',
  'contact.h_n ^ 100000 > 1',
  'contact.h_text::char(10485760) = ''x''',
  '''x''::char(10485760) || ''x''::char(10485760) = contact.h_text',
  'contact.h_n::int::bit(83886080) is null',
  '(array[contact.h_text])::char(10485760)[] is null',
  'contact.h_text::char(3) = ''now''',
  'contact.h_n::int::bit(3) = B''101''',
  'npoints(polygon(30000000, circle ''((0,0),1)'')) > 1',
  ''])
  with ordinality as p (t, n);
select * from (values
  ('1 GB', pg_temp.try('contact.h_text = ''' || repeat('x', 100000000) || '''')),
  ('long', pg_temp.try((select format('contact.h_text in (%s)', string_agg(quote_literal(md5(n::text)), ', '))
    from generate_series(1, 1500) n))),
  ('long filter', pg_temp.try((select format('count(''x'') filter (where event.x in (%s)) > 1', string_agg(quote_literal(md5(n::text)), ', '))
    from generate_series(1, 1500) n))),
  ('10,000 terms', pg_temp.try('true' || repeat(' or contact.h_n = 1', 10000))),
  ('2,000 names', pg_temp.try('contact.a' || repeat('=1 or contact.a', 2000) || '=1')),
  ('parentheses', pg_temp.try(repeat('(', 30000) || 'true' || repeat(')', 30000))),
  ('not not not', pg_temp.try(repeat('not ', 15000) || 'true')),
  ('case case', pg_temp.try(repeat('case when true then ', 3000) || 'true' || repeat(' end', 3000))),
  ('minus', pg_temp.try('0 < ' || repeat('- ', 30000) || '1')),
  ('within within', pg_temp.try(repeat('coalesce(', 7000) || 'true' || repeat(')', 7000)))) t (what, result);

-- nothing came of it
select * from h_evil.log;
select count(*) from mautomate.contact;
select * from mautomate.lists;

-- settings that change what a text means
set standard_conforming_strings = off;
set transform_null_equals = on;
set escape_string_warning = off;
select mautomate.create_list('h_backslash', $$contact.h_path = 'a\b'$$),
       mautomate.create_list('h_null', $$contact.h_nothing = null$$);
reset standard_conforming_strings;
reset transform_null_equals;
reset escape_string_warning;
set search_path = h_evil, public, pg_catalog;
set intervalstyle = 'sql_standard';
set extra_float_digits = -15;
set lc_numeric = 'C';
set lc_monetary = 'C';
set lc_time = 'C';
set datestyle = 'SQL, DMY';
set timezone = 'Asia/Kolkata';
set bytea_output = 'escape';
set xmloption = 'document';
set array_nulls = off;
set timezone_abbreviations = 'Australia';
set quote_all_identifiers = on;
set jit_above_cost = 0;
set default_text_search_config = 'simple';
select mautomate.identify('h_ann', attributes => '{"h_path": "a\\b", "h_third": 0.333333333333333333, "h_hex": "6e6f77"}') is not null;
select mautomate.create_list('h_float', $$(1.0::float8 / 3)::text = '0.3333333333333333'$$),
       mautomate.create_list('h_span', $$contact.h_born::timestamptz - '1990-05-05' = '1 day'$$),
       mautomate.create_list('h_day', $$contact.h_born::text = '1990-05-06'$$),
       mautomate.create_list('h_greater', $$contact.h_text > 'zzz'$$),
       mautomate.create_list('h_planted', $$upper(contact.h_text) = 'NOW' and length(contact.h_text) = 3 and contact.h_n > 4$$),
       mautomate.create_list('h_dmy', $$contact.h_born < '1990-06-05' and contact.h_born::timestamptz = '1990-05-06 00:00+00'$$),
       mautomate.create_list('h_bytes', $$decode('6e6f77', 'hex')::text = '\x6e6f77'$$),
       mautomate.create_list('h_null_in', $$'{null}'::text[] = array[null::text] is not true$$),
       mautomate.create_list('h_zone', $$contact.h_born::timestamptz < '1990-05-06 00:00 EST'$$),
       mautomate.create_list('h_hex', $$decode(contact.h_hex, 'hex')::text = '\x6e6f77'$$);
select list, external_id from mautomate.list_members where list like 'h\_%' order by 1, 2;
-- nor what our own SQL means, and how we tell it
set standard_conforming_strings = off;
set backslash_quote = off;
set transform_null_equals = on;
select mautomate.identify('h_null', attributes => '{"stage": "NULL"}') is not null;
select mautomate.create_list('h_any_null', $$contact.stage in ('a', null, 'b') and contact.stage <> 'a\b'$$);
select matching, not_matching, unknown from mautomate.preview_list($$contact.stage in ('a', null, 'b') and contact.stage <> 'a\b'$$);
select condition from mautomate.explain_list('h_any_null', 'h_null');
select * from mautomate.verify();
reset standard_conforming_strings;
reset backslash_quote;
reset transform_null_equals;
reset search_path;
reset intervalstyle;
reset extra_float_digits;
set datestyle = 'ISO';
set timezone = 'UTC';
reset quote_all_identifiers;
reset array_nulls;
reset timezone_abbreviations;
reset bytea_output;
select list, external_id from mautomate.list_members where list like 'h\_%' order by 1, 2;
select * from mautomate.verify();
select * from h_evil.log;

-- a name is data, whatever is in it
select mautomate.create_list('h_''; drop table mautomate.contact; --', $$ever('x''; delete from mautomate.event; --') filter (where event."a'b" = 'c''; --' and event."$1" = '$2')$$);
select mautomate.create_list('h_quoted', $$in_list('h_''; drop table mautomate.contact; --')$$);
select mautomate.track('h_ann', 'x''; delete from mautomate.event; --', '{"a''b": "c''; --", "$1": "$2"}') is not null;
select list, external_id from mautomate.list_members where list like 'h\_''%' or list = 'h_quoted' order by 1;
select condition, holds from mautomate.explain_list('h_''; drop table mautomate.contact; --', 'h_ann');
select * from mautomate.verify();
drop extension mautomate cascade;
drop operator public.> (text, text);
drop operator public.=== (text, text);
drop function public.lower(numeric);
drop function public.upper(text);
drop schema h_evil cascade;
