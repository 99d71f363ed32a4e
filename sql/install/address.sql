-- E-mail addresses and phone numbers.

create function mautomate_internal.address_problem(address text) returns text
  language c immutable strict parallel safe
  as 'MODULE_PATHNAME', 'mautomate_address_problem';
comment on function mautomate_internal.address_problem(text) is
  'why no mail can be sent to this e-mail address, null if it can; nothing is looked up in the DNS';

create function mautomate_internal.normal_address(address text) returns text
  language c stable strict parallel safe
  as 'MODULE_PATHNAME', 'mautomate_normal_address';
comment on function mautomate_internal.normal_address(text) is
  'the one spelling of an e-mail address (domain in lower case, no needless quotes), null if it is not valid';

create function mautomate_internal.phone_problem(phone text) returns text
  language c immutable strict parallel safe
  as 'MODULE_PATHNAME', 'mautomate_phone_problem';
comment on function mautomate_internal.phone_problem(text) is
  'why this is no phone number with country code, null if it is; spaces and punctuation are ignored';

create function mautomate_internal.normal_phone(phone text) returns text
  language c immutable strict parallel safe
  as 'MODULE_PATHNAME', 'mautomate_normal_phone';
comment on function mautomate_internal.normal_phone(text) is
  'the one spelling of a phone number (+ and 7 to 15 digits), null if it is not valid';
