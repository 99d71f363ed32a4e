-- All the marketing automation of this shop.

-- What the shop's customers do.
select mautomate.define_attribute('country', 'text');
select mautomate.define_event('purchase',
  '{"order_id": "text", "amount": "numeric"}');
select mautomate.define_event('refund',
  '{"order_id": "text", "amount": "numeric"}');

-- Whom we want to know.
select mautomate.create_list('loyal',
  $$ count('purchase', within => '365 days') > 10 $$);
select mautomate.create_list('recent',
  $$ ever('purchase', within => '6 months') $$);
select mautomate.create_list('asleep',
  $$ elapsed('purchase') > '90 days' $$);
select mautomate.create_static_list('regulars');

-- Who is worth a call.
select mautomate.create_score('engagement');
select mautomate.create_score_rule('engagement', 'order',
  points => 10, event => 'purchase');
select mautomate.create_score_rule('engagement', 'big order',
  points => 15, event => 'purchase', condition => 'event.amount >= 500');
select mautomate.create_score_rule('engagement', 'refund',
  points => -5, event => 'refund');
select mautomate.create_score_tier('engagement', 'cold', 0);
select mautomate.create_score_tier('engagement', 'warm', 50);
select mautomate.create_score_tier('engagement', 'hot', 200);

-- What they get.
select mautomate.create_channel('mail', 'smtp', format(
  '{"host": "127.0.0.1", "port": %s, "tls": "none", "connections": 4,
    "from": "hello@shop.example.com", "from_name": "The Gift Shop"}',
  :'sink_port')::jsonb);
select mautomate.create_template('promo', 'mail',
  subject => 'Thank you, {{ contact.first_name | default: "there" }} – a present for you',
  body => 'Hello {{ contact.first_name | default: "there" }},

thank you for your first order. With the code WELCOME10 the next one is
10 % cheaper – naïve of us, but we would like to see you again.

The Gift Shop',
  html => '<p>Hello {{ contact.first_name | default: "there" }},</p>
<p>thank you for your first order. With the code <b>WELCOME10</b> the next one
is 10&nbsp;% cheaper – naïve of us, but we would like to see you again.</p>
<p>The Gift Shop</p>',
  transactional => true);
select mautomate.create_template('review', 'mail',
  subject => 'How was it, {{ contact.first_name | default: "there" }}?',
  body => 'Hello {{ contact.first_name | default: "there" }},

a week ago you ordered something from us. Was it worth the £? Just reply.

The Gift Shop',
  transactional => true);

-- And when.
select mautomate.create_workflow('first buy', $$ {
  "entry": [{"event": "purchase"}],
  "key": "entry.order_id",
  "reentry": "always",
  "steps": [
    {"id": "first", "if": "entry.nth = 1",
     "then": [{"id": "promo", "send": {"template": "promo"}}],
     "else": [{"add_to_list": "regulars"}]}
  ]} $$);
select mautomate.create_workflow('review', $$ {
  "entry": [{"event": "purchase"}],
  "reentry": {"after": "30 days"},
  "steps": [
    {"id": "week", "wait": {"for": "7 days"}},
    {"id": "ask", "send": {"template": "review"}}
  ]} $$);
select mautomate.activate_workflow('first buy');
select mautomate.activate_workflow('review');
