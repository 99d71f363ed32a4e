-- templates: versions, and every text that cannot be
set client_min_messages = warning;
drop extension if exists mautomate cascade;
create extension mautomate;
reset client_min_messages;
select mautomate.create_channel('t_log', 'log');
select mautomate.create_channel('t_mail', 'smtp', '{"host": "localhost", "from": "a@example.com"}');
select mautomate.create_template('t_hello', 't_log', body => 'Hi {{ contact.first_name | default: "there" }}', transactional => true);
select mautomate.create_template('t_hello', 't_log', body => 'Hi {{ contact.first_name | default: "there" }}', transactional => true);
select mautomate.create_template('t_hello', 't_log', subject => 'For {{ contact.first_name }}', html => '<p>{{ contact.first_name }} {{ context.n }}</p>', body => 'Hi {{ contact.first_name | default: "there" }}', transactional => true);
select name, channel, subject, html, body, transactional from mautomate.templates where name = 't_hello';
select version from mautomate_internal.template where name = 't_hello';
select version, subject from mautomate_internal.template_variant
  where template_id = (select template_id from mautomate_internal.template where name = 't_hello') order by version;
-- what it says
select mautomate.identify('t_ann', 't_ann@example.com', attributes => '{"first_name": "Ann <b>"}') > 0 as known;
select mautomate.preview_template('t_hello', 't_ann', '{"n": 3}');
select mautomate.preview_template('t_hello', 't_ann');
select mautomate.preview_template('t_hello', 't_nobody');
select mautomate.preview_template('t_nothing', 't_ann');
select mautomate.preview_template('t_hello', 't_ann', '[1]');
-- a version that was rolled back is not remembered
begin;
select mautomate.create_template('t_hello', 't_log', body => 'rolled back', transactional => true);
select mautomate.preview_template('t_hello', 't_ann');
rollback;
select mautomate.create_template('t_hello', 't_log', body => 'third', transactional => true);
select mautomate.preview_template('t_hello', 't_ann');
-- mistakes
select mautomate.create_template('t_x', 't_log', body => 'a');
select mautomate.create_template('t_x', 't_log', transactional => true);
select mautomate.create_template('t_x', 't_mail', body => 'a', transactional => true);
select mautomate.create_template('t_x', 't_nothing', body => 'a', transactional => true);
select mautomate.create_template(null, 't_log', body => 'a', transactional => true);
select mautomate.create_template('t_x', 't_log', body => E'a\n{% if %}', transactional => true);
select mautomate.create_template('t_x', 't_log', body => 'a', html => '{{ contact. }}', transactional => true);
select mautomate.create_template('t_x', 't_log', body => 'a', transactional => null);
select count(*) from mautomate.templates where name = 't_x';
-- names
select mautomate.drop_channel('t_log');
select mautomate.create_template('t_other', 't_log', body => 'a', transactional => true);
select mautomate.rename_template('t_hello', 't_other');
select mautomate.rename_template('t_hello', 't_bye');
select mautomate.drop_template('t_hello');
select mautomate.send('t_ann', 't_bye', not_before => '2200-01-01') > 0 as queued;
select mautomate.drop_template('t_bye');
select mautomate.cancel_message(message_id) from mautomate.messages where template = 't_bye';
select mautomate.drop_template('t_bye');
select template, state from mautomate.messages where template = 't_bye';
select mautomate.drop_template('t_other');
-- a subject is one line, whatever its lines and variables are
select mautomate.create_template('t_lines', 't_log', subject => E'\n{% if true %}\r\n For {{ context.x }}\n{% endif %}\n', body => 'x', transactional => true);
select mautomate.preview_template('t_lines', who, '{"x": "you\r\nBcc: evil@example.com\u007f\t"}') -> 'subject' as subject from (select external_id as who from mautomate.contact limit 1) c;
select mautomate.drop_template('t_lines');
select mautomate.drop_channel('t_log');
select mautomate.drop_channel('t_mail');
