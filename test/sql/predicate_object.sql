-- Objects and lists of values, and the order of texts: what the engine, the log and a text that is read again say.
set client_min_messages = warning;
drop extension if exists mautomate cascade;
create extension mautomate;
set timezone = 'UTC';
create view pg_temp.members as
  select list, string_agg(external_id, ' ' order by external_id collate "C") as members
  from mautomate.list_members group by list order by list;
select mautomate.define_attribute('o_address', 'jsonb'), mautomate.define_event('o_cart', '{"items": "jsonb"}');

select mautomate.create_list('o_paris', $$contact.o_address @> '{"city": "Paris"}'$$),
       mautomate.create_list('o_zip', $$contact.o_address ->> 'zip' like '75%'$$),
       mautomate.create_list('o_key', $$contact.o_address ? 'zip'$$),
       mautomate.create_list('o_none', $$contact.o_address is null$$),
       -- declared nowhere, an operator on jsonb tells what it is
       mautomate.create_list('o_french', $$contact.o_langs ? 'fr'$$),
       mautomate.create_list('o_any', $$contact.o_langs ?| array['fr', 'it']$$),
       mautomate.create_list('o_first', $$contact.o_langs ->> 0 = 'de'$$),
       mautomate.create_list('o_many', $$jsonb_array_length(contact.o_langs::jsonb) > 1$$),
       mautomate.create_list('o_shoes', $$count('o_cart') filter (where event.items @> '[{"sku": "shoe"}]') >= 2$$),
       mautomate.create_list('o_was', $$was(contact.o_address, '{"city": "Rome"}')$$);
select mautomate.identify('o_ann', attributes => '{"o_address": {"city": "Paris", "zip": "75001"}, "o_langs": ["fr"]}') > 0,
       mautomate.identify('o_bob', attributes => '{"o_address": {"city": "Rome"}, "o_langs": ["de", "it"]}') > 0,
       mautomate.identify('o_cid', attributes => '{"o_address": "Paris", "o_langs": "fr"}') > 0,
       mautomate.identify('o_dan', attributes => '{"o_langs": {"fr": 1}}') > 0,
       mautomate.identify('o_eva') > 0 as known;
select mautomate.track('o_ann', 'o_cart', items::jsonb) > 0 as stored
from unnest(array['{"items": [{"sku": "shoe", "n": 1}]}', '{"items": [{"sku": "hat"}, {"sku": "shoe"}]}', '{"items": "shoe"}', '{}']) items;
select * from pg_temp.members;
select * from mautomate.verify();
select mautomate.identify('o_bob', attributes => '{"o_address": {"city": "Paris"}, "o_langs": ["fr", "de", "it"]}') > 0 as known;
select * from pg_temp.members;
select condition, value, holds from unnest(array['o_paris', 'o_many', 'o_shoes']) list, mautomate.explain_list(list, 'o_ann');
select * from mautomate.verify();
-- a list where no list is expected fails for that contact alone
select object, message from mautomate.errors;
select mautomate.drop_list(name) from mautomate.lists;

-- a collation is part of what a text means, also in what is read again
select mautomate.create_list('o_c', $$contact.external_id collate "C" < 'o_b' and contact.locale collate "C" < 'b'$$),
       mautomate.create_list('o_posix', $$contact.locale collate "POSIX" < 'b' or contact.locale = 'a'$$);
select mautomate.identify('o_ann', attributes => '{"locale": "B"}') > 0, mautomate.identify('o_bob', attributes => '{"locale": "c"}') > 0 as known;
select * from pg_temp.members;
select condition from mautomate.explain_list('o_c', 'o_ann');
select * from mautomate.verify();

-- a preview asks conditions only where they are asked in the list
select matching, not_matching, unknown, because
from mautomate.preview_list($$count('o_cart') = 0 or 1 / count('o_cart') > 0 or contact.locale = 'x'$$);
\set VERBOSITY default
select * from mautomate.preview_list($$1 / count('o_cart') > 0$$);
drop extension mautomate cascade;
