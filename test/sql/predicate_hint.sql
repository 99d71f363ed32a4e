-- What is no expression is refused with what may have been meant.
set client_min_messages = warning;
drop extension if exists mautomate cascade;
create extension mautomate;
select mautomate.define_attribute('country', 'text'), mautomate.define_attribute('age', 'numeric'),
       mautomate.define_attribute('renewal', 'timestamptz'), mautomate.define_event('buy', '{"amount": "numeric", "sku": "text"}');
\set VERBOSITY default
\set SHOW_CONTEXT never

-- parentheses and quotes
select mautomate.create_list('h', $$(count('buy') > 3)) or contact.age = 1$$);
select mautomate.create_list('h', $$(count('buy') > 3 and (contact.age = 1)$$);
select mautomate.create_list('h', $$contact.age = 1 and ($$);
select mautomate.create_list('h', $$contact.country = 'it's'$$);
select mautomate.create_list('h', $$contact."country = 'FR'$$);
select mautomate.create_list('h', $$contact.country = ‘FR’$$);
select mautomate.create_list('h', $$contact.country = “FR” and contact.age = 1$$);
select mautomate.create_list('h', $$contact.country like „F%”$$);
select mautomate.create_list('h', $$contact.country = `FR`$$);
select mautomate.create_list('h', $$contact.country = FR$$);
select mautomate.create_list('h', $$contact.country like %FR$$);
select mautomate.create_list('h', $$case when contact.age = 1 then true$$);
select mautomate.create_list('h', $${{ contact.age }} = 1$$);
select mautomate.create_list('h', $$contact.age = 1;$$);
-- what stands in quotes and comments is none
select mautomate.create_list('h', $$contact.country = '‘(' /* “ ( */ and contact."(" = $q$($q$ -- (
  and contact.age = 1 contact.age$$);

-- operators of other languages
select mautomate.create_list('h', $$count('buy') => 3$$);
select mautomate.create_list('h', $$count('buy') =< 3$$);
select mautomate.create_list('h', $$count('buy') == 3$$);
select mautomate.create_list('h', $$count('buy') ≥ 3$$);
select mautomate.create_list('h', $$contact.country =! 'FR'$$);
select mautomate.create_list('h', $$!ever('buy')$$);
select mautomate.create_list('h', $$ever('buy') && contact.age = 1$$);
select mautomate.create_list('h', $$contact.country = 'FR' || contact.age > 1$$);
select mautomate.create_list('h', $$contact.country contains 'FR'$$);
select mautomate.create_list('h', $$contact.country !~ contact.age$$);

-- what is missing
select mautomate.create_list('h', $$count('buy') >= $$);
select mautomate.create_list('h', $$count('buy') > > 3$$);
select mautomate.create_list('h', $$1 < contact.age < 5$$);
select mautomate.create_list('h', $$contact.age > 1 and < 5$$);
select mautomate.create_list('h', $$contact.age between 1, 5$$);
select mautomate.create_list('h', $$and contact.age = 1$$);
select mautomate.create_list('h', $$contact.age = 1 or or ever('buy')$$);
select mautomate.create_list('h', $$contact.age = 1 and$$);
select mautomate.create_list('h', $$contact.country in 'FR', 'DE'$$);
select mautomate.create_list('h', $$contact.country is not 'FR'$$);

-- names
select mautomate.create_list('h', $$contact. = 'FR'$$);
select mautomate.create_list('h', $$contact = 'FR'$$);
select mautomate.create_list('h', $$contact.1st = 1$$);
select mautomate.create_list('h', $$contact.first name = 'x'$$);
select mautomate.create_list('h', $$user.country = 'FR'$$);
select mautomate.create_list('h', $$:country = 'FR'$$);
select mautomate.create_list('h', $$contact.renewal < today$$);
select mautomate.create_list('h', $$contact.renewal < today() + 3$$);
select mautomate.create_list('h', $$age(contact.renewal) > '18 years'$$);
select mautomate.create_list('h', $$in_list('nobody has it')$$);
select mautomate.create_list('h', 'contact.' || repeat('é', 60) || ' ' || repeat('ü', 30) || ' > 3');

-- arguments and values
select mautomate.create_list('h', $$count('buy' within => '90 days') > 3$$);
select mautomate.create_list('h', $$count('buy', within: '90 days') > 3$$);
select mautomate.create_list('h', $$count('buy', within => 90 days) > 3$$);
select mautomate.create_list('h', $$elapsed('buy') > interval 60 days$$);
select mautomate.create_list('h', $$elapsed('buy') > 60 days$$);
select mautomate.create_list('h', $$count('buy') filter where event.amount > 3$$);
select mautomate.create_list('h', $$count('buy') filter (event.amount > 3) > 1$$);
select mautomate.create_list('h', $$count(*) > 3$$);
select mautomate.create_list('h', $$count(distinct event.sku) > 3$$);
select mautomate.create_list('h', $$sum('buy'.amount) > 3$$);
select mautomate.create_list('h', $$min('buy', 'sku') = 'a'$$);
select mautomate.create_list('h', $$contact.age > 1,000$$);
select mautomate.create_list('h', $$select contact.age = 1$$);

-- expressions over a row
create table hint_row (id int primary key, who text, "order" int);
select mautomate.attach_events('hint_row', 'h', contact => 'who', condition => 'count(*) > 1');
select mautomate.attach_events('hint_row', 'h', contact => 'who', condition => 'order > 1');
select mautomate.attach_events('hint_row', 'h', contact => 'who', condition => '(id = 1');
select mautomate.attach_events('hint_row', 'h', contact => 'who', condition => 'hint_row.id = 1');
select mautomate.attach_events('hint_row', 'h', contact => 'who', occurred_at => 'now()');
select mautomate.attach_events('hint_row', 'h', contact => 'who', properties => 'id + 1');
select mautomate.attach_events('hint_row', 'h', contact => 'who', properties => 'id, who as id');
drop table hint_row;
drop extension mautomate cascade;
