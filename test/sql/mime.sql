-- Messages: one of each kind as it goes out, text from HTML, refusals. What
-- other programs read in them is judged in test/t/020_render.pl.
set client_min_messages = warning;
drop extension if exists mautomate cascade;
create extension mautomate;
reset client_min_messages;
\pset format unaligned
\pset tuples_only on

create function mail(m jsonb) returns text language sql as $$
  select replace(convert_from(mautomate_internal.compose_mail(jsonb_build_object(
    'from', 'shop@example.com', 'to', 'ada@example.com',
    'message_id', '7.abc@example.com', 'date', '2026-03-04 05:06:07+00',
    'zone', 'Asia/Kolkata') || m), 'UTF8'), e'\r\n', e'\n') $$;

-- text alone; text and html; html alone, with image and attachment
select mail('{"subject": "Hello", "text": "Hi Ada,\n\nwelcome.\n"}');
select mail('{"subject": "Grüße aus Köln", "from_name": "Shop, Köln", "to_name": "Ada \"A.\" Lovelace", "text": "Grüße", "html": "<p>Grüße &amp; mehr</p>"}');
select mail('{"subject": "Pictures", "html": "<p>See <img src=\"cid:logo@shop\" alt=\"our logo\"></p>", "files": [{"name": "logo.png", "type": "image/png", "content_id": "logo@shop", "data": "aGVsbG8="}, {"name": "Preisliste größer.pdf", "type": "application/pdf", "data": "aGVsbG8="}]}');
-- parameters of a type, and one that is none
select mail('{"subject": "Invitation", "text": "x", "files": [{"name": "i.ics", "type": "text/calendar; method=REQUEST;  charset=\"utf-8\"", "data": "aGVsbG8="}, {"name": "x", "type": "text/plain; charset", "data": "aGVsbG8="}]}');
-- what newsletters need
select mail('{"subject": "News", "text": "x", "list_id": "news.example.com", "list_name": "News of the shop", "unsubscribe_url": "https://example.com/u/abcdefghijklmnopqrstuvwxyz0123456789", "unsubscribe_mailto": "leave@example.com", "one_click": true, "feedback_id": "spring:42:mail:shop", "auto_submitted": "auto-generated", "headers": {"X-Campaign": "spring"}}');
-- lines a mail server could take for its own, long lines, a subject that folds
select mail(jsonb_build_object('subject', repeat('word ', 30) || 'end', 'text', e'.\n..x\nFrom me\nend \n' || repeat('y', 80)));
-- UTF-8 before the @ needs SMTPUTF8, a domain does not
select mail('{"to": "jörg@bücher.example", "subject": "x", "text": "x"}') ~ 'To: jörg@bücher.example',
  mail('{"to": "joerg@Bücher.example", "subject": "x", "text": "x"}') ~ 'To: joerg@xn--bcher-kva.example';

-- text from HTML
select mautomate_internal.mail_text(h) from unnest(array[
  '<html><head><title>No</title><style>p {}</style></head><body><h1>Title</h1><p>One<br>two &lt;&eacute;&#8364;&#x1F600;&nbsp;&unknown; &amp</p></body>',
  '<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table><ul><li>x</li><li><b>y</b></li></ul>',
  '<a href="https://example.com/?a=1&amp;b=2">Shop</a>, <a href="https://example.com">https://example.com</a>, <a href="mailto:a@b.c">a@b.c</a>, <a href=''#top''>up</a><a href="https://x.y"><img src=x alt="Logo"></a>',
  e'<pre>a  b\n  c</pre><hr/>1 < 2 <!-- no --> <script>if (a < b) alert("</p>")</script>end',
  '<p>never closed <b', '<', '&', '&#0;&#xD800;&#x110000;&#99999999999999;', '<style>x', '<a href="x', '']) as h;

-- refused
select mail('{"to": "ada@example.com\r\nBcc: eve@example.com"}');
select mail('{"headers": {"Subject": "x"}}');
select mail('{"headers": {"X Y": "x"}}');
select mail('{"message_id": "x"}');
select mail('{"unsubscribe_url": "http://example.com"}');
select mail(jsonb_build_object('text', repeat('0123456789', 2700000)));

drop function mail(jsonb);
