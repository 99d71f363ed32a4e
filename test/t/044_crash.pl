# A refresh of many contacts that ends in the middle, by a cancel, a timeout
# or a crash, leaves nothing half done.
use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'mautomate'
restart_after_crash = on
});
$node->start;

sub value { return $node->safe_psql('postgres', shift); }

# What must not change when a statement fails.
sub all_there
{
	return value(q[select (select count(*) from mautomate.event),
		(select string_agg(name || ' ' || members, ', ' order by name)
			from mautomate.lists),
		(select sum(value) from mautomate.scores),
		(select count(*) from mautomate_internal.list_change),
		(select count(*) from mautomate_internal.timer)]);
}

value(q{
	create extension mautomate;
	select mautomate.arm();
	insert into mautomate.contact (external_id)
		select 'c' || n from generate_series(1, 5000) n;
	select mautomate.create_list('two', 'count(''buy'') >= 2');
	select mautomate.create_list('week', 'ever(''buy'', within => ''7 days'')');
	select mautomate.create_score('s');
	select mautomate.create_score_rule('s', 'r', 5, 'buy');
	insert into mautomate.event (contact_id, kind)
		select contact_id, 'buy' from mautomate.contact;
});
my $insert = q[insert into mautomate.event (contact_id, kind)
	select contact_id, 'buy' from mautomate.contact];
my $before = all_there();

# Runs a statement that stops in the middle of its refresh, at a contact that
# another session holds; then calls $end with its pid.
sub stop_in_the_middle
{
	my ($statement, $end) = @_;
	my ($in, $out, $err) = ('', '', '');
	my $holder = $node->background_psql('postgres');
	$holder->query_safe(q[begin; select 1 from mautomate_internal.contact_state
		where contact_id = (select max(contact_id) - 500
			from mautomate.contact) for update]);
	my $writer = IPC::Run::start(
		[ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', $statement ],
		\$in, \$out, \$err, IPC::Run::timeout(180));
	$node->poll_query_until('postgres', q[select count(*) = 1
		from pg_stat_activity where wait_event_type = 'Lock']);
	my $pid = value(q[select pid from pg_stat_activity
		where wait_event_type = 'Lock']);
	$end->($pid);
	$writer->finish;
	eval { $holder->quit };
	return $err;
}

sub cancel { value("select pg_cancel_backend($_[0])"); }

sub kill_hard
{
	my $offset = -s $node->logfile;
	kill 'KILL', $_[0];
	$node->wait_for_log(qr/database system is ready to accept connections/,
		$offset);
}

my %statements = (
	'an INSERT' => $insert,
	'a DELETE' => q[delete from mautomate.event],
	'a change of attributes' => q[update mautomate.contact
		set stage = 'lead', attributes = '{"a": 1}'],
	# (one that no query says, so that it comes to each contact)
	'a build' =>
	  q[select mautomate.create_list('three', 'count(''buy'') >= 3 and in_list(''two'')')]);
value(q[select mautomate.create_list('lead', 'contact.stage = ''lead''')]);
$before = all_there();

for my $name (sort keys %statements)
{
	like(stop_in_the_middle($statements{$name}, \&cancel),
		qr/canceling statement due to user request/, "$name is cancelled");
	is(all_there(), $before, 'nothing has changed');
	is(value('select * from mautomate.verify()'), '', 'verify()');
}
like(stop_in_the_middle("set statement_timeout = '3s'; $insert", sub { }),
	qr/canceling statement due to statement timeout/, 'a timeout');
is(all_there(), $before, 'nothing has changed');
for my $name ('an INSERT', 'a DELETE')
{
	isnt(stop_in_the_middle($statements{$name}, \&kill_hard), '',
		"the server crashes in $name");
	is(all_there(), $before, 'nothing has changed');
	is(value('select * from mautomate.verify()'), '', 'verify()');
}

# a timeout anywhere
for my $ms (5, 20, 50, 100, 200)
{
	$node->psql('postgres', "set statement_timeout = '${ms}ms'; $insert");
	is(value('select * from mautomate.verify()'), '', "verify() after $ms ms");
}

# and all goes on
my $events = value(q[select count(*) from mautomate.event where kind = 'buy']);
value($insert);
is(value(q[select count(*) from mautomate.event where kind = 'buy']),
	$events + 5000, 'the next one is done');
is(value(q[select members from mautomate.lists where name = 'two']), 5000,
	'and seen');
is(value('select * from mautomate.verify()'), '', 'verify()');
$node->stop;
done_testing();
