-- Liquid templates: common uses, mistakes, and what a hostile one can do.
set client_min_messages = warning;
drop extension if exists mautomate cascade;
create extension mautomate;
reset client_min_messages;
set timezone = 'Europe/London';

create table person (data jsonb);
insert into person values ('{"contact": {"first_name": "Ada", "last_name": "O''Hara & <Co>", "plan": "pro", "spent": 19.90, "note": null},
  "items": [{"name": "hat", "price": 12.5}, {"name": "shoe", "price": 30}],
  "event": {"at": "2026-07-01T22:30:00Z"}, "größe": "XL"}');

create function render(source text, escape boolean default false, strict boolean default false) returns text
  language sql as $$ select mautomate_internal.render_liquid(source, data,
    '{"greet": "Hello {{ name }}, {{ contact.plan }}.", "loop": "{% render ''loop'' %}"}', escape, strict) from person $$;

-- what mails do
select render('Hi {{ contact.first_name | default: "there" }}!');
select render('Hi {{ contact.nick | default: "there" }}!');
select render('{{ contact.spent }} {{ contact.spent | plus: 0.1 }} {{ 10 | divided_by: 3 }} {{ items.size }}');
select render('{% for i in items %}{{ forloop.index }}. {{ i.name | capitalize }} {{ i.price }}{% unless forloop.last %}, {% endunless %}{% endfor %}');
select render('{% assign total = items | map: "price" | sum %}{{ total }}');
select render('{% if contact.plan == "pro" and items.size > 1 %}yes{% else %}no{% endif %}');
select render('{{ event.at | date: "%A, %e %B %Y, %H:%M %Z" }}');
select render('{{ "2026-02-03" | date: "%d.%m.%y" }} {{ "2026-02-03 10:00 America/New_York" | date: "%FT%T%:z" }} {{ "soon" | date: "%Y" }}');
select render('{{ "2024-12-30 05:06:07.089" | date: "%a %b %-d %j %l%P %I%p %U %W %V %G %u %w %L %s %10Y %^a %C%y %% %Q" }}');
select render('{{ größe }} {{ ["größe"] }} {{ "Ärger" | size }} {{ "Ärger" | slice: 0, 2 }} {{ "Ärger" | truncate: 4 }}');
select render('{% render "greet", name: contact.first_name %}');
select render('{{ items | where: "name", "hat" | first }} {{ items[-1].name }} {{ contact["plan"] }}');

-- HTML: every output is escaped, unless the last filter is raw
select render('{{ contact.last_name }}|{{ contact.last_name | upcase }}|{{ contact.last_name | raw }}|{{ contact.last_name | raw | append: "<" }}', true);
select render('{{ contact.last_name | escape }}|{% echo contact.last_name %}|{% cycle contact.last_name, "x" %}|<b>', true);
select render('{% capture x %}<b>{{ contact.last_name }}</b>{% endcapture %}{{ x }}|{{ x | downcase }}', true);
select render('{% render "greet", name: "<i>" %}', true);

-- strict: an unknown variable is an error, unless it may be missing
select render('{{ contact.note }}|{{ contact.nick | default: "x" }}|{% if contact.nick %}a{% else %}b{% endif %}', false, true);
select render('{{ contact.frist_name }}', false, true);
select render('{% if person.plan == "pro" %}{% endif %}', false, true);

-- mistakes, each with its line
select render(e'line 1\n{{ contact.first_name');
select render(e'\n\n{% if x %}');
select render('{% endif %}');
select render('{% nonsense %}');
select render('{{ a | nonsense }}');
select render('{{ a | append }}');
select render('{{ a | append: 1, 2 }}');
select render('{{ a b }}');
select render('{{ "a }}');
select render('{{ a % b }}');
select render('{% for x of y %}{% endfor %}');
select render('{% for x in y limit 3 %}{% endfor %}');
select render('{% assign x %}');
select render('{% raw %}');
select render(e'\n{{ 1 | divided_by: 0 }}');
select render('{% render "nobody" %}');
select render('{% if 1 < "a" %}{% endif %}');

-- bombs
select render('{% for i in (1..1000000000) %}{% endfor %}');
select render('{% for i in (1..1000) %}{% for j in (1..1000) %}{% for k in (1..1000) %}{% endfor %}{% endfor %}{% endfor %}');
select render('{{ (1..1000000000) | join }}');
select render('{{ (-9223372036854775808..9223372036854775807) | size }}');
select render('{% for i in (-9223372036854775808..9223372036854775807) %}{{ i }}{% break %}{% endfor %}');
select render('{% assign x = "x" %}{% for i in (1..100) %}{% assign x = x | append: x %}{% endfor %}');
select render('{% assign x = "x" %}{% for i in (1..20) %}{% assign x = x | append: x %}{% endfor %}{{ x | replace: "x", x }}');
select render('{% assign x = "x" %}{% for i in (1..20) %}{% assign x = x | append: x %}{% endfor %}{% for i in (1..20) %}{{ x }}{% endfor %}');
select render('{% capture x %}{% for i in (1..300000) %}01234567890123456789012345678901234567890123456789{% endfor %}{% endcapture %}');
select render('{% render "loop" %}');
select render(repeat('{% if true %}', 1000) || repeat('{% endif %}', 1000));
select render('{{ ' || repeat('a[', 1000) || '1' || repeat(']', 1000) || ' }}');
select render('{% assign x = 9223372036854775807 | plus: 1 %}{{ x }} {{ -9223372036854775808 | abs }} {{ -9223372036854775808 | divided_by: -1 }}');
select render('{{ 1 | round: 999999999999 }} {{ "abc" | slice: -999999999999, 9223372036854775807 }} {{ "abc" | truncate: -1 }}');
select render('{{ 99999999999999999999 | round }} {{ 99999999999999999999.5 | ceil }} {{ (1..99999999999999999999) | size }} {{ "x" | slice: 99999999999999999999 }} {{ 9999999999999999999999999999 | times: 1.5 }}');
select length(mautomate_internal.render_liquid('{{ h | plus: 1 }} {{ h | times: 1.5 }} {{ h | ceil }}', '{"h": 1e400}'));
select render('{{ "%C3%28" | url_decode }}');
select render('{{ "%00" | url_decode }}');
select length(render('{% liquid ' || repeat('liquid ', 5000) || ' echo 1 %}'));
set statement_timeout = '300ms';
select render('{% assign x = "x" %}{% for i in (1..17) %}{% assign x = x | append: x %}{% endfor %}{% for i in (1..1000000) %}{% assign y = x | replace: "x", "y" %}{% endfor %}') is null;
reset statement_timeout;
-- however little of a long string is left, looking at all of it costs
select render('{% assign x = "x" %}{% for i in (1..21) %}{% assign x = x | append: x %}{% endfor %}{% for i in (1..1000000) %}{{ x | truncate: 1 }}{% endfor %}') is null;
select render('{% assign x = "x" %}{% for i in (1..21) %}{% assign x = x | append: x %}{% endfor %}{% for i in (1..1000000) %}{{ x.size }}{% endfor %}') is null;
select render('{% assign x = "x" %}{% for i in (1..21) %}{% assign x = x | append: x %}{% endfor %}{% for i in (1..1000000) %}{% if x contains "y" %}{% endif %}{% endfor %}') is null;

drop function render(text, boolean, boolean);
drop table person;
