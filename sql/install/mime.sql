-- Messages as they go out.

create function mautomate_internal.compose_mail(mail jsonb) returns bytea
  language c stable strict parallel safe
  as 'MODULE_PATHNAME', 'mautomate_compose_mail';
comment on function mautomate_internal.compose_mail(jsonb) is
  'an e-mail message, for tests and previews: from_name, from, to_name, to, reply_to_name, reply_to, subject, text, html, message_id, in_reply_to, date (now), zone (the session''s), auto_submitted, unsubscribe_url, unsubscribe_mailto, one_click (false), list_id, list_name, feedback_id, headers (object), files (array of {name, type, content_id, data in base64}); what cannot be in a message is 22023, more than 25 MB 54000';

create function mautomate_internal.mail_text(html text) returns text
  language c immutable strict parallel safe
  as 'MODULE_PATHNAME', 'mautomate_mail_text';
comment on function mautomate_internal.mail_text(text) is
  'a readable text from HTML, as messages without a text of their own get';
