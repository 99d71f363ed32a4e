-- 1,000 contacts, and a mail with 4 KB of HTML for each of them; :port, :connections
create extension if not exists mautomate;
select mautomate.arm();
select count(mautomate.identify('c' || i, 'c' || i || '@example.com',
  attributes => jsonb_build_object('first_name', 'Ann' || i, 'plan', 'gold')))
from generate_series(1, 1000) i;
select mautomate.create_channel('bench', 'smtp', jsonb_build_object(
  'host', '127.0.0.1', 'port', :port, 'tls', 'none',
  'connections', :connections, 'from', 'shop@example.com',
  'from_name', 'The Shop'));
select mautomate.create_template('bench', 'bench',
  subject => 'Good to see you, {{ contact.first_name | default: "there" }}',
  html => '<html><body><p>Dear {{ contact.first_name }},</p>' || repeat(
    '<p style="color: #333">Here is some news about the things you like, and'
    ' because you are {{ contact.plan | upcase }}, a little more.</p>' || E'\n',
    30) || '</body></html>', transactional => true);
