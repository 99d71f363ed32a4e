-- templates: languages, parts, functions, attachments, links
set client_min_messages = warning;
drop extension if exists mautomate cascade;
create extension mautomate;
reset client_min_messages;
select mautomate.create_channel('v_log', 'log');
select count(mautomate.identify('v_' || locale, 'v_' || n || '@example.com', attributes => jsonb_build_object('locale', locale)))
  from unnest(array['en', 'fr', 'fr_CA.UTF-8', 'fr-BE', 'zh-hant-tw', 'nonsense!']) with ordinality as x(locale, n);
select mautomate.identify('v_none') > 0 as known;

-- languages
select mautomate.create_template('v_hello', 'v_log', body => 'Salut', transactional => true, locale => 'fr');
select mautomate.create_template('v_hello', 'v_log', body => 'Hello', transactional => true);
select mautomate.create_template('v_hello', 'v_log', body => 'Salut', transactional => true, locale => 'FR');
select mautomate.create_template('v_hello', 'v_log', body => 'Salut', transactional => true, locale => 'fr');
select mautomate.create_template('v_hello', 'v_log', body => 'Allo', transactional => true, locale => 'fr_ca');
select mautomate.create_template('v_hello', 'v_log', body => 'Nei ho', transactional => true, locale => 'zh-Hant');
select locale, version, body from mautomate.templates where name = 'v_hello' order by locale nulls first;
select external_id, mautomate.preview_template('v_hello', external_id) ->> 'body' as body
  from mautomate.contact where external_id like 'v\_%' order by contact_id;
select mautomate.preview_template('v_hello', 'v_en', locale => 'fr-CA') ->> 'body' as body;
select mautomate.create_template('v_hello', 'v_log', body => 'x', transactional => true, locale => 'klingon!');
-- the others stay when one changes, and when one goes
select mautomate.create_template('v_hello', 'v_log', body => 'Hi', transactional => true);
select mautomate.drop_template('v_hello', 'fr-CA');
select mautomate.drop_template('v_hello', 'fr-CA');
select mautomate.drop_template('v_hello', '');
select locale, version, body from mautomate.templates where name = 'v_hello' order by locale nulls first;

-- parts
select mautomate.create_template('v_letter', 'v_log', body => 'Dear you{% render "v_footer" %}', transactional => true);
select mautomate.create_template('v_footer', null, body => ', {{ contact.locale }}: bye', html => '<hr>{{ contact.locale }}');
select mautomate.create_template('v_footer', null, body => ', ciao', locale => 'fr');
select mautomate.create_template('v_letter', 'v_log', body => 'Dear you{% render "v_footer" %}', html => '<p>Dear you</p>{% if true %}{% render ''v_footer'' %}{% endif %}', transactional => true);
select mautomate.preview_template('v_letter', 'v_en');
select mautomate.preview_template('v_letter', 'v_fr');
select mautomate.create_template('v_footer', null, body => ', adieu', html => '<hr>fr', locale => 'fr');
select mautomate.preview_template('v_letter', 'v_fr');
-- not sent alone, no subject, no circle, nothing missing
select mautomate.send('v_en', 'v_footer');
select mautomate.create_template('v_x', null, subject => 'a', body => 'b');
select mautomate.create_template('v_footer', null, body => 'a {% render "v_footer" %}');
select mautomate.create_template('v_line', null, body => '{% render "v_footer" %}');
select mautomate.create_template('v_footer', null, body => 'a {% for x in (1..2) %}{% else %}{% render "v_line" %}{% endfor %}');
select mautomate.create_template('v_x', 'v_log', html => '{% render "v_line" %}', transactional => true);
-- names
select mautomate.drop_template('v_footer');
select mautomate.rename_template('v_footer', 'v "end" of it');
select name, html, body from mautomate.templates where name in ('v_letter', 'v_line') order by name;
select mautomate.preview_template('v_letter', 'v_fr');
select mautomate.rename_template('v "end" of it', 'v both '' and "');
select mautomate.rename_template('v "end" of it', 'v_footer');
select name, html, body from mautomate.templates where name in ('v_letter', 'v_line') order by name;

-- functions of the application
create schema v_shop;
create table v_shop.item (customer text, name text, price numeric);
insert into v_shop.item values ('v_en', 'Tea', 3.5), ('v_en', 'Pot', 20);
create function v_shop.items(text) returns setof v_shop.item language sql stable
  as 'select * from v_shop.item where customer = $1 order by name';
create function v_shop.total(text, jsonb) returns text language sql stable
  as $$ select ($2 #>> '{context,currency}') || sum(price) from v_shop.item where customer = $1 $$;
create function v_shop.nothing(text) returns v_shop.item language sql stable as 'select null::v_shop.item';
create function v_shop.writes(text) returns int language sql as 'select 1';
create function v_shop.count(int) returns int language sql stable as 'select 1';
create function v_shop.slow(text) returns int language sql stable
  as 'select count(*)::int from generate_series(1, 1000000) a, generate_series(1, 1000000) b';
create function v_shop.fails(text) returns int language sql stable as 'select length($1) / 0';
create function v_shop.invoice(text) returns bytea language sql stable
  as $$ select convert_to('for ' || $1, 'UTF8') where $1 = 'v_en' $$;
select mautomate.create_template('v_cart', 'v_log', transactional => true,
  body => '{% for i in items %}{{ i.name }} {{ i.price }}, {% endfor %}{{ total }}{{ nothing }}',
  data => '{"items": "v_shop.items(text)", "total": "v_shop.total(text,jsonb)", "nothing": "v_shop.nothing(text)"}');
select mautomate.preview_template('v_cart', 'v_en', '{"currency": "EUR "}') ->> 'body' as body;
select mautomate.preview_template('v_cart', 'v_fr', '{"currency": "EUR "}') ->> 'body' as body;
select data from mautomate.templates where name = 'v_cart';
-- a variant without functions of its own has those of the default
select mautomate.create_template('v_cart', 'v_log', transactional => true, locale => 'fr', body => '{{ items.size }} articles');
select mautomate.preview_template('v_cart', 'v_en', locale => 'fr') ->> 'body' as body;
select mautomate.create_template('v_x', 'v_log', body => 'a', transactional => true, data => '{"x": "v_shop.writes(text)"}');
select mautomate.create_template('v_x', 'v_log', body => 'a', transactional => true, data => '{"x": "v_shop.count(int)"}');
select mautomate.create_template('v_x', 'v_log', body => 'a', transactional => true, data => '{"x": "v_shop.unknown(text)"}');
select mautomate.create_template('v_x', 'v_log', body => 'a', transactional => true, data => '{"x": "pg_catalog.count(\"any\")"}');
select mautomate.create_template('v_x', 'v_log', body => 'a', transactional => true, data => '{"contact": "v_shop.items(text)", "A b": "v_shop.items(text)", "x": 1}');
select mautomate.create_template('v_x', 'v_log', body => 'a', transactional => true, data => '[]');
-- too slow, or wrong: this message only
set mautomate.data_timeout = '50ms';
select mautomate.create_template('v_slow', 'v_log', body => '{{ x }}', transactional => true, data => '{"x": "v_shop.slow(text)"}');
select mautomate.preview_template('v_slow', 'v_en');
select 1 as still_there;
select mautomate.create_template('v_fails', 'v_log', body => '{{ x }}', transactional => true, data => '{"x": "v_shop.fails(text)"}');
select mautomate.arm();
select mautomate.send('v_en', 'v_slow') > 0, mautomate.send('v_en', 'v_fails') > 0, mautomate.send('v_en', 'v_hello') > 0;
call mautomate.deliver();
select template, state, reason from mautomate.messages order by message_id;
reset mautomate.data_timeout;
-- with the rights of who created the template, not of who renders it
create role v_author;
create role v_reader;
select mautomate.grant_access('v_author', 'marketer'), mautomate.grant_access('v_reader', 'marketer');
grant usage on schema v_shop to v_author, v_reader;
revoke execute on function v_shop.items(text) from public;
create function v_shop.me(text) returns text language sql stable as 'select current_user::text';
set role v_author;
select mautomate.create_template('v_mine', 'v_log', body => '{{ x }}', transactional => true, data => '{"x": "v_shop.items(text)"}');
select mautomate.create_template('v_mine', 'v_log', body => '{{ x }}', transactional => true, data => '{"x": "v_shop.me(text)"}');
-- what somebody else wrote keeps its role
select mautomate.create_template('v_cart', 'v_log', transactional => true, locale => 'de', body => '{{ who }}', data => '{"who": "v_shop.me(text)"}');
select locale, nullif(owner, session_user) as owner, data from mautomate.templates where name = 'v_cart' order by locale nulls first;
select mautomate.preview_template('v_cart', 'v_en', '{"currency": ""}') ->> 'body' as body;
select mautomate.preview_template('v_cart', 'v_en', locale => 'de') ->> 'body' as body;
set role v_reader;
select mautomate.preview_template('v_mine', 'v_en') ->> 'body' as body;
reset role;
select owner from mautomate.templates where name = 'v_mine';

-- attachments
select mautomate.create_template('v_files', 'v_log', body => 'see there', transactional => true, attachments => '[
  {"name": "{{ contact.external_id }}.txt", "type": "text/plain", "function": "v_shop.invoice(text)"},
  {"name": "logo.png", "type": "image/png", "content": "aGVsbG8=", "content_id": "logo"}]');
select mautomate.preview_template('v_files', 'v_en') -> 'attachments' as attachments;
select mautomate.preview_template('v_files', 'v_fr') -> 'attachments' as attachments;
select attachments from mautomate.templates where name = 'v_files';
select mautomate.create_template('v_x', 'v_log', body => 'a', transactional => true, attachments => '[{"name": "a", "type": "text", "content": ""}, {"name": "a", "type": "a/b"}, {"type": "a/b", "content": ""}, {"name": "a", "type": "a/b", "content": "", "content_id": "a>b"}, 1]');
select mautomate.create_template('v_x', 'v_log', body => 'a', transactional => true, attachments => '[{"name": "a", "type": "a/b", "content": "%"}]');
select mautomate.create_template('v_x', 'v_log', body => 'a', transactional => true, attachments => jsonb_agg(jsonb_build_object('name', 'a', 'content', '', 'content_id', 'same', 'type', t)))
  from unnest(array['text/csv; charset=utf-8', 'a/b;c', 'a/b;c=', 'a/b; c="d', E'a/b; c="\n"', 'a/b; c=d;', '/b; c=d', 'a/b; c="d"']) t;
select mautomate.create_template('v_x', 'v_log', body => 'a', transactional => true, attachments => '[{"name": "a", "type": "a/b", "function": "v_shop.items(text)"}]');

-- links lead nowhere but to pages, mailboxes and telephones
select html, mautomate_internal.check_html(html) from unnest(array[
  '<a href="https://example.com/?a=1&amp;b:2">x</a><a href=mailto:a@b.c><a href="tel:1"><img src="cid:logo"><a href="#top"><a href="/a:b">',
  '<a href="javascript:alert(1)">',
  '<a title="x>y" href = "JavaScript:alert(1)">',
  '<a href="java&#9;script&#58;alert(1)">',
  '<a href="&#106;avascript&colon;alert(1)">',
  '<a href="javascript&#58alert(1)">',
  E'<a href=" \tja\nvascript:alert(1)">',
  '<a/href=vbscript:x>',
  '<img src="data:image/png;base64,AAAA">',
  '<!-- --!><form action="ftp://example.com">-->',
  '<a href="file:///etc/passwd" href="https://example.com">',
  '<svg><a xlink:href=''javascript:x''>',
  'a < b and href="javascript:x"']) as html;
select mautomate.create_template('v_link', 'v_log', html => '<a href="{{ contact.site }}">yours</a>', transactional => true);
select mautomate.identify('v_en', attributes => '{"site": "javascript:alert(1)"}') > 0, mautomate.identify('v_fr', attributes => '{"site": "https://example.com"}') > 0;
select mautomate.preview_template('v_link', 'v_fr') ->> 'html' as html;
select mautomate.preview_template('v_link', 'v_en') ->> 'html' as html;

set client_min_messages = warning;
drop extension mautomate cascade;
drop schema v_shop cascade;
drop owned by v_author, v_reader;
drop role v_author, v_reader;
