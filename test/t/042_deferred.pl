# mautomate.refresh = deferred beside a scheduler: folded soon after the commit,
# whoever is held by others, however much there is, and after a crash.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', q{
restart_after_crash = on
autovacuum_naptime = '1s'
});
$node->start;

sub value { return $node->safe_psql('postgres', shift); }

# A session's own SQL, only noted.
sub note_only { return value('set mautomate.refresh = deferred; ' . shift); }

sub is_folded
{
	my $what = shift;
	ok($node->poll_query_until('postgres',
		'select count(*) = 0 from mautomate_internal.deferred'), $what);
	is(value('select * from mautomate.verify()'), '', "$what: verified");
}

value(q[create extension mautomate;
	select mautomate.arm();
	select mautomate.create_list('two', 'count(''buy'') >= 2');
	insert into mautomate.contact (external_id)
	select 'c' || g from generate_series(1, 20000) g;
	select mautomate.start()]);

# woken by the commit
note_only(q[select mautomate.track('c1', 'buy') from generate_series(1, 2)]);
my $began = time();
ok($node->poll_query_until('postgres', 'select count(*) = 1 from mautomate.list_members'),
	'the scheduler is woken by the commit');
cmp_ok(time() - $began, '<', 5, 'at once');

# a session that commits often wakes it now and then: the last one is seen too
for my $n (1, 2, 20, 200)
{
	note_only("select mautomate.track('c5', 'buy');" x $n);
	$began = time();
	ok($node->poll_query_until('postgres',
		'select count(*) = 0 from mautomate_internal.deferred'),
		"$n transactions of one session are folded");
	cmp_ok(time() - $began, '<', 5, 'soon');
}

# who is held by a transaction waits alone
my $holder = $node->background_psql('postgres');
$holder->query_safe('begin');
$holder->query_safe(q[insert into mautomate.event (contact_id, kind)
	select contact_id, 'buy' from mautomate.contact where external_id = 'c2']);
note_only(q[insert into mautomate.event (contact_id, kind)
	select contact_id, 'buy' from mautomate.contact, generate_series(1, 2)
	where external_id in ('c2', 'c3')]);
ok($node->poll_query_until('postgres', q[select string_agg(external_id, ' ') = 'c3'
	from mautomate.list_members where external_id in ('c2', 'c3')]),
	'others do not wait for who is held');
is(value('select total from mautomate.progress'), 2, 'whose notes stay');
$holder->query_safe('commit');
$holder->quit;
is_folded('when he is free');
is(value(q[select value from mautomate.explain_list('two', 'c2')]), 3, 'each once');

# much: the scheduler's own memory stays small, writers go on
my $pid = value(q[select pid from mautomate.stat_workers where kind = 'scheduler']);
note_only(q[insert into mautomate.event (contact_id, kind)
	select contact_id, 'buy' from mautomate.contact, generate_series(1, 10)]);
my $most = 0;
my $written = 0;
while (value('select count(*) > 0 from mautomate_internal.deferred') eq 't')
{
	my ($anonymous) = slurp_file("/proc/$pid/status") =~ /RssAnon:\s+(\d+) kB/;
	$most = $anonymous if $anonymous > $most;
	value("select mautomate.track('c4', 'seen')");
	$written++;
}
cmp_ok($most, '<', 100_000, "200,000 events in bounded memory ($most kB)");
cmp_ok($written, '>', 1, "in transactions of their own, beside $written others");
is(value('select count(*) from mautomate.list_members'), 20000, 'all are folded');
is_folded('and right');

# a crash: before they are folded, and meanwhile
value('select mautomate.stop()');
note_only(q[insert into mautomate.event (contact_id, kind)
	select contact_id, 'late' from mautomate.contact limit 5000]);
$node->stop('immediate');
$node->start;
value(q[select mautomate.create_list('late', 'count(''late'') = 1')]);
is(value('select total from mautomate.progress'), 5000, 'notes outlive a crash');
my $folder = $node->background_psql('postgres', on_error_stop => 0);
$folder->query_safe('begin');
$folder->query_safe('select count(*) from mautomate.run(100000)');
my $offset = -s $node->logfile;
kill 'KILL', $folder->query_safe('select pg_backend_pid()');
$node->wait_for_log(qr/database system is ready to accept connections/, $offset);
eval { $folder->quit };
is(value('select total from mautomate.progress'), 5000, 'also one of who folds them');
value('select mautomate.start()');
is_folded('after the crash');
is(value(q[select members from mautomate.lists where name = 'late']), 5000,
	'each once');
value('select mautomate.stop()');
$node->stop;
done_testing();
