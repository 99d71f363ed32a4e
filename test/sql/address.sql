-- E-mail addresses and phone numbers: what is accepted, what is refused and
-- why, and the one spelling of each.
set client_min_messages = warning;
drop extension if exists mautomate cascade;
create extension mautomate;
reset client_min_messages;

-- accepted
select a, mautomate_internal.address_problem(a) is null as valid,
       mautomate_internal.normal_address(a) as stored
from unnest(array[
  'ada@example.com', 'Ada.Lovelace+x@EXAMPLE.Com', '"ada"@example.com',
  '"ada lovelace"@example.com', '"a\@b"@example.com', 'o''hara@example.com',
  'ada@localhost', 'ada@[192.0.2.1]', 'ada@[IPv6:2001:db8::1]',
  'ada@xn--mnchen-3ya.example', 'ada@münchen.example', 'jörg@example.com',
  repeat('a', 64) || '@example.com']) as a;

-- refused, with the reason
select left(replace(replace(a, e'\r', '<CR>'), e'\n', '<LF>'), 50) as address,
       mautomate_internal.address_problem(a) as reason
from unnest(array[
  '', 'ada', 'ada@', '@example.com', 'ada@example.com ', ' ada@example.com',
  'ada@exa mple.com', 'ada@@example.com', 'ada@a@example.com',
  '.ada@example.com', 'ada.@example.com', 'a..b@example.com',
  'ada@example..com', 'ada@.example.com', 'ada@example.com.',
  'ada@-example.com', 'ada@example-.com', 'ada@exam_ple.com', 'ada@1.2.3.4',
  'ada(x)@example.com', 'ada@(x)example.com', '"ada@example.com',
  '"ada"b@example.com', '"ad"a"@example.com', 'a"d"a@example.com',
  '"ada".b@example.com', 'Ada <ada@example.com>', 'ada@example.com>',
  'ada@example.com> BODY=8BITMIME', 'ada@example.com, b@example.com',
  e'ada@example.com\r\nRCPT TO:<eve@example.com>', e'ada\n@example.com',
  e'"a\\\r"@example.com', e'\x7f@example.com', e'ada\t@example.com',
  'ada@[1.2.3]', 'ada@[1.2.3.256]', 'ada@[IPv6:1::2::3]', 'ada@[x]',
  'ada@[1.2.3.4', repeat('a', 65) || '@example.com',
  'ada@' || repeat('b', 64) || '.com',
  'ada@' || repeat('b.', 126) || 'com',
  repeat('a', 64) || '@' || repeat('b.', 94) || 'com',
  e'ada\u200b@example.com', e'ada@exam\u00a0ple.com']) as a;

-- phone numbers
select p, mautomate_internal.normal_phone(p) as stored,
       mautomate_internal.phone_problem(p) as reason
from unnest(array[
  '+442079460000', '+44 (0)20 7946 0000', '0044 20 7946-0000',
  '+1 (212) 555-0100', '', '020 7946 0000', '+44 20 CALL', '+0123456789',
  '+123456', '+1234567890123456', '+44+20', e'+4420\n79460000']) as p;
