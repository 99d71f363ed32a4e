-- what comes back: bounces, complaints, answers
set client_min_messages = warning;
create extension if not exists mautomate;
reset client_min_messages;
\pset format unaligned
select mautomate.set_clock('2031-05-01 12:00+00');
select mautomate.create_channel('inb', 'log');
select mautomate.create_template('inb hello', 'inb', subject => 's',
  body => 'b', transactional => true);
select count(*) from (
  select mautomate.identify('inb-' || n, 'inb' || n || '@example.com')
  from generate_series(1, 9) n) x;
select mautomate.identify('inb-sms', phone => '+44 20 7946 0001') > 0;

-- A message that was sent, without sending it: to whom, under which number.
create function inb_message(who text, at text)
  returns bigint language sql as $$
  insert into mautomate_internal.message (message_id, contact_id, template_id,
    version, channel_id, enqueued_at, state, attempts, sent_at, address)
  select nextval('mautomate_internal.message_message_id_seq'), c.contact_id,
    t.template_id, 1, h.channel_id, mautomate.clock(), 'sent', 1,
    mautomate.clock(), at
  from mautomate.contact c, mautomate_internal.template t,
    mautomate_internal.channel h
  where c.external_id = who and t.name = 'inb hello' and h.name = 'inb'
  returning message_id
$$;
create function inb_id(id bigint) returns text language sql as $$
  select format('<%s.%s@shop.example>', message_id, to_hex((extract(epoch from
    enqueued_at - '2000-01-01 00:00+00'::timestamptz) * 1000000)::bigint))
  from mautomate_internal.message where message_id = id
$$;
-- The mails here have LF; %s is our Message-ID.
create function inb_handle(mail text, variadic args text[] default '{}') returns jsonb
  language sql as $$
  select mautomate.handle_mail(convert_to(replace(format(mail, variadic args),
    E'\n', E'\r\n'), 'UTF8')) - '{message_id,event_id,template,channel}'::text[]
$$;
create function inb_suppressed(address text) returns text language sql as $$
  select reason from mautomate.suppressions where address_hash =
    encode(mautomate_internal.address_hash(address), 'hex')
$$;

select inb_message('inb-1', 'inb1@example.com') as m1 \gset
select inb_message('inb-2', 'inb2@example.com') as m2 \gset
select inb_message('inb-3', 'inb3@example.com') as m3 \gset
select inb_message('inb-4', 'inb4@example.com') as m4 \gset
select inb_message('inb-5', 'inb5@example.com') as m5 \gset
select inb_message('inb-6', 'inb6@example.com') as m6 \gset

-- a report of non-delivery
\set dsn 'Return-Path: <>\nFrom: MAILER-DAEMON@mx.example.net (Mail Delivery System)\nSubject: Undelivered Mail Returned to Sender\nTo: shop@shop.example\nAuto-Submitted: auto-replied\nMIME-Version: 1.0\nContent-Type: multipart/report; report-type=delivery-status;\n boundary="b1"\n\npreamble\n--b1\nContent-Type: text/plain\n\nI am sorry.\n--b1\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.example.net\n\nFinal-Recipient: rfc822; %2$s\nAction: %3$s\nStatus: %4$s\nDiagnostic-Code: smtp; %5$s\n\n--b1\nContent-Type: message/rfc822\n\nMessage-ID: %1$s\nSubject: s\n\nb\n--b1--\n'
\set handle_dsn 'inb_handle(replace(:''dsn'', ''\\n'', E''\\n''), '
select :handle_dsn inb_id(:m1), 'inb1@example.com', 'failed', '5.1.1',
  '550 5.1.1 <inb1@example.com>: User unknown');
select inb_suppressed('inb1@example.com');
select state, reply from mautomate.messages where message_id = :m1;
select kind, properties - 'message_id' as properties from mautomate.timeline('inb-1');
-- the same once more changes nothing, even after unsuppress()
select mautomate.unsuppress('inb1@example.com');
select :handle_dsn inb_id(:m1), 'inb1@example.com', 'failed', '5.1.1',
  '550 5.1.1 <inb1@example.com>: User unknown')
  ->> 'repeated' as repeated;
select inb_suppressed('inb1@example.com'), count(*)
  from mautomate.timeline('inb-1') group by 1;

-- soft bounces: the third message within 30 days
select inb_message('inb-2', 'inb2@example.com') as m2b \gset
select inb_message('inb-2', 'inb2@example.com') as m2c \gset
select :handle_dsn inb_id(:m2), 'inb2@example.com', 'failed', '5.2.2',
  '552 5.2.2 over quota');
-- another report on the same message does not count
select :handle_dsn inb_id(:m2), 'inb2@example.com', 'failed', '5.2.2',
  '552 5.2.2 mailbox full') ->> 'suppressed' as suppressed;
select :handle_dsn inb_id(:m2b), 'inb2@example.com', 'failed', '4.2.2',
  '452 4.2.2 over quota') ->> 'suppressed' as suppressed;
select mautomate.set_clock('2031-06-05 12:00+00');
select :handle_dsn inb_id(:m2c), 'inb2@example.com', 'failed', '5.2.2',
  '552 over quota') ->> 'suppressed' as suppressed;
select mautomate.set_clock('2031-05-20 12:00+00');
select inb_message('inb-2', 'inb2@example.com') as m2d \gset
select :handle_dsn inb_id(:m2d), 'inb2@example.com', 'failed', '5.2.2',
  '552 over quota') ->> 'suppressed' as suppressed;
select inb_suppressed('inb2@example.com');
-- as configured
set mautomate.hard_bounces = 0;
select :handle_dsn inb_id(:m6), 'inb6@example.com', 'failed', '5.1.1',
  '550 5.1.1 user unknown') -> 'suppressed' as suppressed;
reset mautomate.hard_bounces;

-- delayed and delivered are told, but count for nothing
select :handle_dsn inb_id(:m3), 'inb3@example.com', 'delayed', '4.4.1',
  '451 4.4.1 timed out');
select :handle_dsn inb_id(:m3), 'inb3@example.com', 'delivered', '2.0.0',
  '250 ok') - 'detail';

-- a bounce in prose, matched by address alone
select inb_handle(E'From: Mailer-Daemon@mx.example.net\nSubject: failure notice\n\nHi. This is the qmail-send program.\n\n<inb4@example.com>:\n192.0.2.1 does not like recipient.\nRemote host said: 550 No such user here\n\n--- Below this line is a copy of the message.\n\nReceived: from x\nSubject: s\n');
-- about strangers nothing is done
select inb_handle(E'From: Mailer-Daemon@mx.example.net\nSubject: failure notice\n\n<stranger@example.com>:\n550 No such user here\n') - 'detail';
-- nor of a message whose number somebody guesses
select inb_handle(E'From: ann@example.com\nIn-Reply-To: <%s.12ab@shop.example>\n\nHello\n', :m3::text);

-- a complaint
select inb_handle(E'From: fbl@mx.example.net\nContent-Type: multipart/report; report-type=feedback-report; boundary=b2\n\n--b2\n\nA complaint.\n--b2\nContent-Type: message/feedback-report\n\nFeedback-Type: abuse\nVersion: 1\n\n--b2\nContent-Type: text/rfc822-headers\n\nMessage-ID: %s\n--b2--\n', inb_id(:m5));
select inb_suppressed('inb5@example.com');
select state, reply from mautomate.messages where message_id = :m5;

-- answers: of a machine, of a person, and of one who has had enough
select inb_handle(E'From: inb3@example.com\nAuto-Submitted: auto-replied\nIn-Reply-To: %s\nSubject: Re: s\n\nI am away.\n', inb_id(:m3));
select inb_handle(E'From: inb3@example.com\nSubject: =?UTF-8?Q?Abwesenheit:_s?=\n\nBin nicht da.\n');
select inb_handle(E'From: inb3@example.com\nReferences: <x@y> %s\nSubject: Re: s\nContent-Transfer-Encoding: quoted-printable\n\nYes, please =E2=9C=93\n\n> b\n', inb_id(:m3));
select inb_handle(E'From: inb3@example.com\nIn-Reply-To: %s\nContent-Transfer-Encoding: base64\nSubject: Re: s\n\nU1RPUAoKbXkgc2lnbmF0dXJlCg==\n', inb_id(:m3));
select inb_suppressed('inb3@example.com');
select inb_message('inb-7', 'inb7@example.com') > 0;
select inb_handle(E'From: <INB7@example.com>\nTo: unsubscribe@shop.example\nSubject: unsubscribe\n\n');
select inb_suppressed('inb7@example.com');
select inb_handle(E'From: inb7@example.com\nTo: unsubscribe@shop.example\nSubject: Re: unsubscribe\nAuto-Submitted: auto-replied\n\nI am away.\n') ->> 'kind' as kind;
select inb_handle(E'From: inb7@example.com\nTo: shop@shop.example\nSubject: Unsubscribe\nAuto-Submitted: auto-replied\n\n') ->> 'kind' as kind;
-- newsletters, and mails of persons we wrote to long ago
select inb_handle(E'From: inb7@example.com\nPrecedence: bulk\nSubject: News\n\nNews!\n');
select kind, properties ->> 'text' as text from mautomate.timeline('inb-3');

-- a message in doubt has arrived
select inb_message('inb-8', 'inb8@example.com') as m8 \gset
update mautomate_internal.message set state = 'pending' where message_id = :m8;
insert into mautomate_internal.outbox (message_id, channel_id, state, attempt)
  select message_id, channel_id, 'held', 1
  from mautomate_internal.message where message_id = :m8;
select inb_handle(E'From: inb8@example.com\nIn-Reply-To: %s\n\nThank you!\n', inb_id(:m8)) ->> 'event' as event;
select state, sent_at from mautomate.messages where message_id = :m8;

-- callbacks of gateways
select inb_message('inb-9', 'inb9@example.com') as m9 \gset
update mautomate_internal.message set provider_id = 'SM1' where message_id = :m9;
select mautomate.handle_status('inb', 'SM1', 'sent') - 'message_id';
select mautomate.handle_status('inb', 'SM1', 'delivered') - '{message_id,event_id}'::text[];
select mautomate.handle_status('inb', 'SM1', 'Delivered') ->> 'repeated' as repeated;
select mautomate.handle_status('inb', :m9::text, 'failed', '550 5.1.1 unknown user')
  - '{message_id,event_id}'::text[];
select mautomate.handle_status('inb', 'SM2', 'delivered');
select mautomate.handle_status('inb', 'SM1', 'eaten');
select mautomate.handle_status('inb nowhere', 'SM1', 'sent');
select mautomate.handle_status('inb', null, 'sent');
select mautomate.handle_status('inb', repeat('1', 3000), 'sent');

-- short messages
select mautomate.handle_inbound('inb', '+442079460001', 'Yes!', 'in-1') - 'event_id';
select mautomate.handle_inbound('inb', '+442079460001', 'Yes!', 'in-1') ->> 'repeated' as repeated;
select mautomate.handle_inbound('inb', '+44 20 7946 0001', 'stop.') - 'event_id';
select inb_suppressed('+442079460001');
select mautomate.handle_inbound('inb', '+44 20 7946 0002', 'STOP', 'in-2');
select mautomate.handle_inbound('inb', '+44 20 7946 0003', 'Hello?', 'in-3');
set mautomate.stop_words = 'basta, enough';
select mautomate.handle_inbound('inb', '+44 20 7946 0004', 'STOP', 'in-4') ->> 'kind' as kind;
select mautomate.handle_inbound('inb', '+44 20 7946 0004', E' Enough!\nBye', 'in-5') ->> 'kind' as kind;
reset mautomate.stop_words;
-- capitals or not, beyond ASCII too
set mautomate.stop_words = 'ARRÊT, стоп';
select mautomate_internal.judge_mail(convert_to(E'Subject: Re: x\n\n' || word, 'UTF8')) ->> 'kind' as kind
  from unnest(array['arrêt', 'СТОП!', 'arret']) word;
reset mautomate.stop_words;
-- who has unsubscribed may come back, others may not
select mautomate.handle_inbound('inb', '+44 20 7946 0001', 'STOP') - 'event_id';
select mautomate.handle_inbound('inb', '+44 20 7946 0001', ' start! ') - 'event_id';
select mautomate.handle_inbound('inb', '+44 20 7946 0001', 'START', 'again') - 'event_id';
select mautomate.unsuppress('+44 20 7946 0001');
select mautomate.suppress('+44 20 7946 0001', 'complaint');
select mautomate.handle_inbound('inb', '+44 20 7946 0001', 'UNSTOP') - 'event_id';
select mautomate.unsuppress('+44 20 7946 0001');
select mautomate.handle_inbound('inb', 'nobody', 'STOP');
select count(*) from mautomate.contact
  where email ~ 'stranger@example.com' or phone ~ '4420794600(02|03|04)';

-- texts in other charsets, said or not, true or not
select m.n, j ->> 'subject' as subject, j ->> 'text' as text
  from (values (1, 'iso-8859-1', '=?iso-8859-1?q?Gr=FC=DFe?=', 'Gr=FC=DFe'),
    (2, 'windows-1252', '=?Windows-1252*fr?B?gCA1?=', '=80 5'),
    (3, 'koi8-r', '=?koi8-r?q?=F0=D2=C9=D7=C5=D4?= =?utf-8?q?_=C3=A9?=', '=F0=D2=C9=D7=C5=D4'),
    (4, 'utf-8', '=?utf-8?q?Gr=FC?=', 'Gr=FC'), (5, 'klingon', '=?klingon?q?=FC?=', '=FC'),
    (6, 'windows-1252', '=?windows-1252?q?=81?=', '=81'), (7, '', '=??q?=FC?=', '=FC')) m(n, charset, subject, text),
  mautomate_internal.judge_mail(convert_to(format(E'In-Reply-To: %s\nSubject: %s\nContent-Type: text/html; charset="%s"\nContent-Transfer-Encoding: quoted-printable\n\n<p>%s</p>\n',
    inb_id(:m5), m.subject, m.charset, m.text), 'UTF8')) j order by m.n;

-- any bytes will do
select mautomate.handle_mail(null);
select mautomate.handle_mail('') ->> 'kind' as kind;
select distinct mautomate_internal.judge_mail(m) ->> 'kind' as kind from (values
  ('\x00'::bytea), ('\x0d0a0d0a'), ('\xefbbbf'), ('\x2d2d'),
  (decode(repeat('00', 100000), 'hex')), (decode(repeat('ff', 100000), 'hex')),
  (convert_to(repeat('a', 100000), 'UTF8')),
  (convert_to(repeat(E'a: b\n', 100000), 'UTF8')),
  (convert_to(E'Content-Type: multipart/mixed; boundary=""\n\n--\n----\n', 'UTF8')),
  (convert_to(E'Content-Type: multipart/mixed; boundary="b\n\n--b', 'UTF8')),
  (convert_to(E'Content-Type: multipart/mixed; boundary=b\n\n--b--\n--b\n--b', 'UTF8')),
  (convert_to(E'Subject: =?x?q?=?=\nContent-Transfer-Encoding: base64\n\n====', 'UTF8')),
  (convert_to(E'Content-Transfer-Encoding: quoted-printable\n\n=\n=4\n=ZZ=', 'UTF8'))
) v(m);
-- 10 MB of what costs most, each in a second
set statement_timeout = '10s';
select mautomate_internal.judge_mail(convert_to(E'Content-Type: multipart/mixed; boundary=a\n\n'
  || (select string_agg(format(E'--%s\nContent-Type: multipart/mixed; boundary=%s\n\n',
      case when n = 1 then 'a' else 'a' || n - 1 end, 'a' || n), '' order by n)
      from generate_series(1, 180000) n), 'UTF8')) ->> 'kind' as nested;
select mautomate_internal.judge_mail(convert_to(
  E'From: mailer-daemon\nContent-Type: multipart/report; boundary=a\n\n'
  || repeat(E'--a\nContent-Type: message/delivery-status\n\n\n', 240000), 'UTF8'))
  ->> 'kind' as parts;
select mautomate_internal.judge_mail(convert_to(
  E'From: mailer-daemon\nSubject: ' || repeat('=?', 2000) || E'\n\n'
  || repeat('a@', 5000000), 'UTF8')) ->> 'kind' as signs;
select mautomate_internal.judge_mail(convert_to(repeat(E'--a\n', 2500000), 'UTF8')) ->> 'kind' as boundaries;
select mautomate_internal.judge_mail(convert_to(
  E'Content-Type: text/html\nX: ' || repeat(E'x\n ', 3000000) || E'\n\n' || repeat('<', 1000000), 'UTF8')) ->> 'kind' as folded;
reset statement_timeout;

drop function inb_message, inb_id, inb_handle, inb_suppressed;
select mautomate.unsuppress(a) from unnest('{inb2@example.com,inb3@example.com,inb4@example.com,inb5@example.com,inb7@example.com,inb9@example.com,+442079460001,+442079460002,+442079460004}'::text[]) a;
select mautomate.set_clock(null);
