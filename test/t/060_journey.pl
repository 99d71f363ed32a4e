# Enrolments on their way while the server crashes: every step once, nobody
# lost; and how long it takes from an event to its message.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $contacts = 400;
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', qq[
shared_preload_libraries = 'mautomate'
mautomate.databases = 'shop'
fsync = on
]);
$node->start;

sub value { return $node->safe_psql('shop', shift); }

$node->safe_psql('postgres', 'create database shop');
value(qq[
set client_min_messages = warning;
create extension mautomate;
select mautomate.arm();
select mautomate.create_channel('log', 'log');
select mautomate.create_template('mail', 'log', body => 'x',
                                 transactional => true);
select mautomate.create_static_list('done');
select mautomate.create_workflow('flow', '{
  "entry": [{"event": "go"}], "key": "entry.n", "reentry": "always",
  "steps": [{"id": "a", "send": {"template": "mail"}},
    {"id": "w", "wait": {"for": "300 milliseconds"}},
    {"id": "b", "send": {"template": "mail"}},
    {"set": {"first_name": {"=": "coalesce(contact.first_name, '''') || ''x''"}}},
    {"id": "t", "wait": {"until": {"event": "never"}, "timeout": "300 ms"}},
    {"add_to_list": "done"}]}');
select mautomate.activate_workflow('flow');
insert into mautomate.contact (external_id, email)
select 'c' || i, 'c' || i || '\@example.com' from generate_series(1, $contacts) i;
]);

# One event at a time, from commit to message.
$node->poll_query_until('shop', "select count(*) = 2 from mautomate.stat_workers")
  or die 'the workers did not start';
value("select mautomate.identify('ann', 'ann\@example.com')");
for my $n (1 .. 3)
{
	value("select mautomate.track('ann', 'go', '{\"n\": \"$n\"}')");
	$node->poll_query_until('shop', "select count(*) >= $n from mautomate.messages
		where external_id = 'ann' and state = 'sent'");
}
my $ms = value("select ceil(1000 * extract(epoch from min(m.sent_at - e.entered_at)))
	from mautomate.messages m join mautomate_internal.message i using (message_id)
	join mautomate.enrollments e using (enrollment_id)
	where m.external_id = 'ann' and i.step = 'a'");
note("from the event to the message sent: $ms ms");
cmp_ok($ms, '<', 1000, 'workers are woken by the commit of an event');

# Everybody, and crashes on the way.
value("insert into mautomate.event (contact_id, kind, properties)
	select contact_id, 'go', '{\"n\": \"1\"}' from mautomate.contact
	where external_id like 'c%'");
for my $crash (1 .. 3)
{
	$node->poll_query_until('shop', "select count(*) > 100 * $crash
		from mautomate_internal.enrollment_log");
	$node->stop('immediate');
	$node->start;
}
$node->poll_query_until('shop', "select count(*) = 0 from mautomate.enrollments
	where state = 'active'") or die 'somebody did not arrive';

is(value("select state, count(*) from mautomate.enrollments group by 1"),
	'completed|' . ($contacts + 3), 'everybody arrived');
is(value("select distinct count(*) from mautomate_internal.enrollment_log
	group by enrollment_id"), 6, 'each made every step once');
is(value("select count(*), count(distinct (enrollment_id, step))
	from mautomate_internal.message"),
	join('|', (2 * ($contacts + 3)) x 2), 'two messages each');
is(value("select count(*) from mautomate.contact
	where first_name = 'x' and external_id like 'c%'"), $contacts,
	'what a step did to a contact was done once');
is(value("select count(*) from mautomate.list_members where list = 'done'"),
	$contacts + 1, 'and all are in the list');
is(value("select count(*) from mautomate.errors"), 0, 'without an error');
is(value("select count(*) from mautomate.verify()"), 0,
	'stored and recomputed agree');

$node->stop;
done_testing();
