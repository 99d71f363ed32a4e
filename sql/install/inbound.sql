-- What comes back: bounces, complaints, answers.

create function mautomate_internal.judge_mail(raw bytea) returns jsonb
  language c stable parallel safe as 'MODULE_PATHNAME', 'mautomate_judge_mail';
comment on function mautomate_internal.judge_mail(bytea) is
  'what handle_mail() takes a mail for, without doing anything';

create function mautomate.handle_mail(raw bytea) returns jsonb
  language c volatile as 'MODULE_PATHNAME', 'mautomate_handle_mail';
comment on function mautomate.handle_mail(bytea) is
  'takes in a mail that came back, as it was received, and tells what it was: '
  'kind is bounce, delayed, delivered, complaint, auto_reply, unsubscribe, reply or other. '
  'About a message of ours (by its Message-ID, else the newest one of the last 30 days to the address) it becomes an event of the contact: '
  'bounced {hard, status, reason, detail}, delivered, complained, auto_replied, unsubscribed, replied {subject, text}, all with message_id, template, channel and address; '
  'the address is suppressed as settings mautomate.hard_bounces, soft_bounces, soft_bounce_days and complaints say, and when somebody unsubscribes. '
  'The same mail again changes nothing (repeated). Other mail is left alone; strangers never become contacts. Any bytes will do; of more than 32 MB the beginning is read.';

create function mautomate.handle_status(channel text, provider_id text,
                                        state text, detail text default null)
  returns jsonb
  language c volatile as 'MODULE_PATHNAME', 'mautomate_handle_status';
comment on function mautomate.handle_status(text, text, text, text) is
  'takes in what a gateway tells of a message, with the same results as handle_mail(). '
  'provider_id: the id that the gateway gave the message, or our message_id or Message-ID; one that is unknown does nothing. '
  'state: queued, accepted, sent (nothing happens), delayed, deferred, delivered, bounced, failed, undelivered, rejected (dead address or not by what detail says), expired, hard_bounce, soft_bounce, complained, unsubscribed. '
  'The same provider_id and state again change nothing. Errors: 42704 for an unknown channel, 22023 for an unknown state.';

create function mautomate.handle_inbound(channel text, address text, body text,
                                         provider_id text default null)
  returns jsonb
  language c volatile as 'MODULE_PATHNAME', 'mautomate_handle_inbound';
comment on function mautomate.handle_inbound(text, text, text, text) is
  'takes in a short message that somebody wrote: an event replied {text} of the contact with this address, with the newest message that went there in the last 30 days; '
  'if its first line is one of mautomate.stop_words, unsubscribed, and the address is suppressed whoever has it; '
  'if it is one of mautomate.start_words, resubscribed, and the address is suppressed no more, unless for another reason. '
  'The same provider_id again changes nothing; null: nothing is known to be a repetition. Strangers never become contacts. '
  'Errors: 42704 for an unknown channel, 22023 if address is neither an e-mail address nor a phone number.';

create function mautomate.unsubscribe(token text, scope text default 'all')
  returns jsonb
  language c volatile as 'MODULE_PATHNAME', 'mautomate_unsubscribe';
comment on function mautomate.unsubscribe(text, text) is
  'what the page behind links.unsubscribe of a message calls, for GET by a person as for the POST of a mail program (RFC 8058): '
  'an event unsubscribed of the contact, and the address that got the message is suppressed; the same again changes nothing, unless the address was unsuppressed since. '
  'token: the last part of the link. scope: all. Errors: 22023 for a token that was not made here with the present key, or for another scope.';
