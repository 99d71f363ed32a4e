-- Two calls attach the shop; what is there already is read, and starts nothing.
select mautomate.attach_contacts('shop.customer',
  external_id => 'customer_id',
  email => 'email',
  attributes => 'first_name, last_name, country');
select mautomate.attach_events('shop.invoice', 'purchase',
  contact => 'customer_id',
  occurred_at => 'invoiced_at',
  properties => 'invoice_no as order_id, total as amount',
  condition => $$ invoice_no not like 'C%' $$);
select mautomate.attach_events('shop.invoice', 'refund',
  contact => 'customer_id',
  occurred_at => 'invoiced_at',
  properties => 'invoice_no as order_id, -total as amount',
  condition => $$ invoice_no like 'C%' $$);
