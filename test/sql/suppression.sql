-- suppression is by address, in any spelling
set client_min_messages = warning;
set client_min_messages = warning;
drop extension if exists mautomate cascade;
create extension mautomate;
reset client_min_messages;
reset client_min_messages;
select mautomate.suppress('Ann.Supp@Example.com', 'hard bounce');
select mautomate.suppress('ann.supp@example.COM', 'again');
select reason from mautomate.suppressions
  where address_hash = encode(sha256('ann.supp@example.com'), 'hex');
select mautomate.suppress('+33 6 12 34 56 78', null);
select mautomate.unsuppress('+33612345678');
select mautomate.unsuppress('ANN.supp@example.com');
select mautomate.unsuppress('ANN.supp@example.com');
select mautomate.suppress(null);
select mautomate.suppress('');
select mautomate.suppress('nobody');
select mautomate.suppress('a@b@c');
select mautomate.unsuppress('nobody');
-- arm
select mautomate.arm("only" => '{nobody}');
select mautomate.arm("only" => '{null}');
select mautomate.arm(redirect => 'x');
begin;
select mautomate.arm("only" => '{Ann@Example.com}', redirect => 'Test@Example.com');
select ever, armed, only_addresses, redirect from mautomate_internal.arm;
select mautomate.disarm();
select ever, armed from mautomate_internal.arm;
rollback;
